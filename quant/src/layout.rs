//! Where the codes of a block lie, as data.
//!
//! Every GGUF block format scatters the bits of its weight codes over one or two *bit planes*: runs
//! of bytes, each byte holding the same few bits of several weights. Within a plane the order is
//! always the same: a run of `run` bytes gives, from its lowest bits upwards, the bits of weights
//! `0..run`, then of weights `run..2 * run`, and so on; then comes the next run. Three numbers per
//! plane therefore say everything, and each instruction set needs one unpacking routine, not one
//! per format.

/// Some bits of every code of a block.
#[derive(Clone, Copy, Debug)]
pub struct Plane {
    /// First byte of the plane within the block.
    pub offset: usize,
    /// Bits that each code has in this plane: 1, 2, 4 or 8.
    pub bits: usize,
    /// Bytes per run: consecutive bytes belong to consecutive weights.
    pub run: usize,
}

/// How the bytes of a block become one integer per weight.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bit planes, the lowest bits of the code first.
    pub planes: &'static [Plane],
    /// What the assembled bits stand for.
    pub codes: Codes,
}

/// What the assembled bits of a code stand for.
///
/// Kernels want unsigned bytes (that is what `vpdpbusd` and `vpmaddubsw` take), so each case names
/// an unsigned byte `u` and the constant to subtract from it: weight = scale * (u - offset).
#[derive(Clone, Copy, Debug)]
pub enum Codes {
    /// `u` is the assembled bits; subtract this offset.
    Offset(u8),
    /// The assembled eight bits are a two's complement number: `u` is it plus 128.
    Signed,
    /// The assembled four bits select an entry: `u` is that entry plus 128.
    Table(&'static [i8; 16]),
}

impl Layout {
    /// What to subtract from an unsigned byte of [`Self::unpack`] to get the integer weight.
    pub const fn offset(&self) -> i32 {
        match self.codes {
            Codes::Offset(offset) => offset as i32,
            Codes::Signed | Codes::Table(_) => 128,
        }
    }

    /// Writes the unsigned byte of every weight of `block`: the definition that each instruction
    /// set's unpacking is tested against.
    #[inline(always)]
    pub fn unpack(&self, block: &[u8], unsigned: &mut [u8]) {
        unsigned.fill(0);
        let mut low_bits = 0;
        for plane in self.planes {
            let per_byte = 8 / plane.bits;
            let mask = (0xffu16 >> (8 - plane.bits)) as u8;
            for (run_idx, weights) in unsigned.chunks_exact_mut(plane.run * per_byte).enumerate() {
                let start = plane.offset + run_idx * plane.run;
                let bytes = &block[start..start + plane.run];
                for (group_idx, group) in weights.chunks_exact_mut(plane.run).enumerate() {
                    for (u, byte) in group.iter_mut().zip(bytes) {
                        *u |= (byte >> (group_idx * plane.bits) & mask) << low_bits;
                    }
                }
            }
            low_bits += plane.bits;
        }
        match self.codes {
            Codes::Offset(_) => {}
            Codes::Signed => unsigned.iter_mut().for_each(|u| *u ^= 0x80),
            Codes::Table(table) => {
                unsigned.iter_mut().for_each(|u| *u = table[*u as usize] as u8 ^ 0x80);
            }
        }
    }

    /// The inverse of [`Self::unpack`] for the bits of a block: ORs each code into its planes,
    /// which must be zero. `codes` are the assembled bits, before offset, sign or table.
    pub fn pack(&self, codes: &[u8], block: &mut [u8]) {
        let mut low_bits = 0;
        for plane in self.planes {
            let per_byte = 8 / plane.bits;
            let mask = (0xffu16 >> (8 - plane.bits)) as u8;
            for (run_idx, codes) in codes.chunks_exact(plane.run * per_byte).enumerate() {
                let start = plane.offset + run_idx * plane.run;
                let bytes = &mut block[start..start + plane.run];
                for (group_idx, group) in codes.chunks_exact(plane.run).enumerate() {
                    for (byte, code) in bytes.iter_mut().zip(group) {
                        *byte |= (code >> low_bits & mask) << (group_idx * plane.bits);
                    }
                }
            }
            low_bits += plane.bits;
        }
    }
}
