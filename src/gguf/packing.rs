//! Types of tensors that are not multiplied as they are stored, but have the same weights in a
//! format that is: rows that lie side by side for the CPUs of 2024, ternary weights, and those of
//! OCP's microscaling. They are read when a file is converted.

use gatefold_quant::DynFormat;

/// How the blocks of a tensor are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Q4_0 with `n_rows` rows side by side, `run` bytes of codes of each in turn. Codes count from 0
    /// and not from 8: their highest bits are turned around.
    Interleaved {
        /// Rows side by side.
        n_rows: usize,
        /// Bytes of codes from each.
        run: usize,
    },
    /// Blocks of 32 floats of four bits with an exponent for all:
    /// <https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf>.
    Mxfp4,
    /// Blocks of 256 numbers -1, 0 and 1, five in a byte.
    Tq1,
    /// Blocks of 256 numbers -1, 0 and 1, four in a byte.
    Tq2,
}

/// The packings with their numbers in a GGUF.
const PACKINGS: [(u32, Packing); 6] = [
    (31, Packing::Interleaved { n_rows: 4, run: 4 }),
    (32, Packing::Interleaved { n_rows: 4, run: 8 }),
    (33, Packing::Interleaved { n_rows: 8, run: 8 }),
    (34, Packing::Tq1),
    (35, Packing::Tq2),
    (39, Packing::Mxfp4),
];

/// Twice the numbers of MXFP4's codes.
const MXFP4_TWICE: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// Bytes of codes of a block of Q4_0, Q8_0, Q2_K.
const Q4_0_CODES: usize = 16;
const Q8_0_CODES: usize = 32;
const Q2_K_CODES: usize = 64;

impl Packing {
    /// The packing with this number in a GGUF tensor table.
    pub(super) fn by_gguf_type(gguf_type: u32) -> Option<Packing> {
        let found = PACKINGS.iter().find(|(number, _)| *number == gguf_type);
        found.map(|(_, packing)| *packing)
    }

    /// Its name: `Q4_0_4_4`.
    pub fn name(self) -> &'static str {
        match self {
            Packing::Interleaved { n_rows: 8, .. } => "Q4_0_8_8",
            Packing::Interleaved { run: 8, .. } => "Q4_0_4_8",
            Packing::Interleaved { .. } => "Q4_0_4_4",
            Packing::Mxfp4 => "MXFP4",
            Packing::Tq1 => "TQ1_0",
            Packing::Tq2 => "TQ2_0",
        }
    }

    /// The format that has the same weights.
    pub fn format(self) -> &'static DynFormat {
        let name = match self {
            Packing::Interleaved { .. } => "Q4_0",
            Packing::Mxfp4 => "Q8_0",
            Packing::Tq1 | Packing::Tq2 => "Q2_K",
        };
        DynFormat::by_name(name).expect("a registered format")
    }

    /// Stored bytes of a block, which has as many weights as one of [`Self::format`].
    pub fn block_bytes(self) -> usize {
        match self {
            Packing::Interleaved { .. } => 2 + Q4_0_CODES,
            Packing::Mxfp4 => 1 + 16,
            Packing::Tq1 => 48 + 4 + 2,
            Packing::Tq2 => 64 + 2,
        }
    }

    /// Rows that are stored together.
    pub fn n_rows(self) -> usize {
        match self {
            Packing::Interleaved { n_rows, .. } => n_rows,
            _ => 1,
        }
    }

    /// Writes the rows that are stored together in [`Self::format`]. All weights are the same, but
    /// for MXFP4's beyond what Q8_0 has: the step between the least ones is 6e-8, and the largest
    /// are half a million.
    pub fn unpack(self, stored: &[u8], rows: &mut [u8]) {
        let format = self.format();
        let row_bytes = rows.len() / self.n_rows();
        let groups = stored.chunks_exact(self.n_rows() * self.block_bytes());
        for (i, group) in groups.enumerate() {
            let block = |row: usize| row * row_bytes + i * format.block_bytes;
            match self {
                Packing::Interleaved { n_rows, run } => {
                    let (scales, codes) = group.split_at(2 * n_rows);
                    for (row, scale) in scales.as_chunks::<2>().0.iter().enumerate() {
                        let block = &mut rows[block(row)..][..2 + Q4_0_CODES];
                        block[..2].copy_from_slice(scale);
                        let runs = codes.chunks_exact(run).skip(row).step_by(n_rows);
                        for (to, from) in block[2..].iter_mut().zip(runs.flatten()) {
                            *to = from ^ 0x88;
                        }
                    }
                }
                Packing::Mxfp4 => mxfp4(group, &mut rows[block(0)..][..2 + Q8_0_CODES]),
                Packing::Tq1 => {
                    let mut codes = [0; Q2_K_CODES];
                    for (weight, code) in ternary(group).enumerate() {
                        let (half, quarter) = (weight / 128, weight % 128 / 32);
                        codes[32 * half + weight % 32] |= code << (2 * quarter);
                    }
                    q2_k(&codes, &group[52..], &mut rows[block(0)..]);
                }
                Packing::Tq2 => q2_k(&group[..64], &group[64..], &mut rows[block(0)..]),
            }
        }
    }
}

/// A block of Q2_K of codes 0, 1 and 2 for -1, 0 and 1: `scale * code - scale`.
fn q2_k(codes: &[u8], scale: &[u8], block: &mut [u8]) {
    const SCALE_AND_MINIMUM_ONE: u8 = 0x11;
    block[..16].fill(SCALE_AND_MINIMUM_ONE);
    block[16..80].copy_from_slice(codes);
    block[80..82].copy_from_slice(scale);
    block[82..84].copy_from_slice(scale);
}

/// The codes of a block of TQ1_0: numbers of five digits to the base of three, as fractions of 256.
/// The first digits of some bytes are followed by their second ones, and so on; of the last four
/// bytes there are four.
fn ternary(block: &[u8]) -> impl Iterator<Item = u8> {
    [(0..32, 5), (32..48, 5), (48..52, 4)].into_iter().flat_map(move |(bytes, n_digits)| {
        (0..n_digits).flat_map(move |digit| {
            block[bytes.clone()].iter().map(move |byte| {
                let rest = byte.wrapping_mul(3u8.pow(digit));
                ((u16::from(rest) * 3) >> 8) as u8
            })
        })
    })
}

/// A block of Q8_0 of one of MXFP4. The exponent of half the scale is stored with 128 added.
fn mxfp4(stored: &[u8], block: &mut [u8]) {
    let exponent = i32::from(stored[0]) - 128;
    // What an f16 cannot have goes into the codes.
    let of_scale = exponent.clamp(-24, 15);
    let factor = 2f32.powi((exponent - of_scale).clamp(-8, 8));
    let scale =
        if of_scale < -14 { 1u16 << (of_scale + 24) } else { ((of_scale + 15) as u16) << 10 };
    block[..2].copy_from_slice(&scale.to_le_bytes());
    let nibbles = |shift: u32| stored[1..].iter().map(move |byte| usize::from(byte >> shift & 0xf));
    for (to, nibble) in block[2..].iter_mut().zip(nibbles(0).chain(nibbles(4))) {
        *to = (f32::from(MXFP4_TWICE[nibble]) * factor).round().clamp(-127.0, 127.0) as i8 as u8;
    }
}
