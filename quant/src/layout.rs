//! Where the codes of a block lie, as data.
//!
//! Every GGUF block format scatters the bits of its weight codes over one or two *bit planes*: runs
//! of bytes, each byte holding the same few bits of several weights. Within a plane the order is
//! always the same: a run of `run` bytes gives, from its lowest bits upwards, the bits of weights
//! `0..run`, then of weights `run..2 * run`, and so on; then comes the next run. Three numbers per
//! plane therefore say everything, and each instruction set needs one unpacking routine, not one
//! per format.
//!
//! Blocks with a [`Codebook`] are decoded first; what comes of that is a plane of whole bytes.

use crate::codebook::Codebook;
use crate::format::SUPER_LEN;

/// Most bit planes of a layout: as many as the kernels combine.
pub const MAX_PLANES: usize = 2;

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
    /// The planes are those of the decoded block, whose bytes are `u`.
    Codebook(&'static Codebook),
}

/// The plane of a decoded block.
const DECODED: &[Plane] = &[Plane { offset: 0, bits: 8, run: SUPER_LEN }];

impl Layout {
    /// The layout of blocks with a codebook.
    pub const fn of_codebook(book: &'static Codebook) -> Layout {
        Layout { planes: DECODED, codes: Codes::Codebook(book) }
    }

    /// The codebook that blocks are decoded with, if there is one.
    pub const fn codebook(&self) -> Option<&'static Codebook> {
        match self.codes {
            Codes::Codebook(book) => Some(book),
            _ => None,
        }
    }

    /// What to subtract from an unsigned byte of [`Self::unpack`] to get the integer weight.
    pub const fn offset(&self) -> i32 {
        match self.codes {
            Codes::Offset(offset) => offset as i32,
            Codes::Signed | Codes::Table(_) => 128,
            Codes::Codebook(book) => book.offset as i32,
        }
    }

    /// Bits of a code, in all planes.
    const fn code_bits(&self) -> usize {
        let (mut bits, mut plane_idx) = (0, 0);
        while plane_idx < self.planes.len() {
            bits += self.planes[plane_idx].bits;
            plane_idx += 1;
        }
        bits
    }

    /// The largest code that is assembled, before offset, sign or table.
    pub const fn max_code(&self) -> i32 {
        match self.codes {
            Codes::Codebook(book) => book.max_unsigned(),
            _ => (1 << self.code_bits()) - 1,
        }
    }

    /// Fails to compile unless the planes of a block of `n_bytes` lie behind its first
    /// `header_bytes` and inside it, and hold `n_codes` codes in runs that every instruction set can
    /// load: sixteen bytes at a time, or for single bits in order all at once.
    pub const fn check(&self, header_bytes: usize, n_bytes: usize, n_codes: usize) {
        assert!(matches!(self.planes.len(), 1..=MAX_PLANES), "kernels unpack one plane or two");
        let n_bytes = match self.codes {
            Codes::Codebook(book) => {
                book.check(n_bytes);
                SUPER_LEN
            }
            _ => n_bytes,
        };
        let mut plane_idx = 0;
        while plane_idx < self.planes.len() {
            let Plane { offset, bits, run } = self.planes[plane_idx];
            assert!(matches!(bits, 1 | 2 | 4 | 8), "codes straddle bytes");
            assert!(n_codes.is_multiple_of(8 / bits * run), "the last run is not whole");
            assert!(offset >= header_bytes, "the plane lies over the header");
            assert!(offset + n_codes * bits / 8 <= n_bytes, "the plane leaves the block");
            if run == 1 {
                assert!(bits == 1 && n_codes <= 128, "more than sixteen bytes of single bits");
                assert!(offset + 16 <= n_bytes, "a load of sixteen bytes leaves the block");
            } else {
                assert!(run.is_multiple_of(16), "runs are not whole loads");
            }
            plane_idx += 1;
        }
        let code_bits = self.code_bits();
        match self.codes {
            Codes::Offset(_) => assert!(matches!(code_bits, 1..=8), "codes need more than a byte"),
            Codes::Signed => assert!(code_bits == 8, "signed codes are bytes"),
            Codes::Table(_) => assert!(code_bits == 4, "a table has sixteen entries"),
            Codes::Codebook(_) => assert!(code_bits == 8, "decoded codes are bytes"),
        }
    }

    /// Writes the unsigned byte of every weight of `block`: the definition that each instruction
    /// set's unpacking is tested against.
    #[inline(always)]
    pub fn unpack(&self, block: &[u8], unsigned: &mut [u8]) {
        if let Codes::Codebook(book) = self.codes {
            return book.decode(block, unsigned);
        }
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
            Codes::Offset(_) | Codes::Codebook(_) => {}
            Codes::Signed => unsigned.iter_mut().for_each(|u| *u ^= 0x80),
            Codes::Table(table) => {
                unsigned.iter_mut().for_each(|u| *u = table[*u as usize] as u8 ^ 0x80);
            }
        }
    }

    /// The inverse of [`Self::unpack`] for the bits of a block: ORs each code into its planes,
    /// which must be zero. `codes` are the assembled bits, before offset, sign or table.
    #[inline(always)]
    pub fn pack(&self, codes: &[u8], block: &mut [u8]) {
        let mut low_bits = 0;
        for plane in self.planes {
            if plane.run == 1 {
                // Single bits in order: those of eight codes are a byte.
                let bytes = &mut block[plane.offset..][..codes.len() / 8];
                for (codes, byte) in codes.as_chunks().0.iter().zip(bytes) {
                    *byte |= gathered_bits(u64::from_le_bytes(*codes) >> low_bits);
                }
                low_bits += 1;
                continue;
            }
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

/// The lowest bits of eight bytes, in order from the lowest bit up.
#[inline(always)]
fn gathered_bits(bytes: u64) -> u8 {
    // The product's top byte: bit `i` of it is bit `8 * i` of the bytes times 2 to the 56 - 7 * i.
    ((bytes & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks one plane of codes, behind a header of two bytes in a block of 18 for 32 weights.
    fn check(offset: usize, bits: usize, run: usize) -> bool {
        let layout =
            Layout { planes: vec![Plane { offset, bits, run }].leak(), codes: Codes::Offset(0) };
        std::panic::catch_unwind(|| layout.check(2, 18, 32)).is_ok()
    }

    #[test]
    fn planes_stay_inside_their_block() {
        assert!(check(2, 4, 16) && check(2, 1, 1));
        assert!(!check(3, 4, 16), "beyond the end");
        assert!(!check(0, 4, 16), "over the header");
        assert!(!check(2, 8, 32), "twice as long");
        assert!(!check(2, 2, 16), "half a run");
        assert!(!check(2, 4, 32) && !check(2, 4, 8), "runs of other lengths");
        assert!(!check(2, 3, 16), "three bits");
        assert!(!check(3, 1, 1), "sixteen bytes are loaded");
    }

    #[test]
    fn kernels_unpack_one_plane_or_two() {
        let check = |bits: &[usize]| {
            let planes: Vec<Plane> =
                bits.iter().map(|&bits| Plane { offset: 2, bits, run: 16 }).collect();
            let layout = Layout { planes: planes.leak(), codes: Codes::Offset(0) };
            std::panic::catch_unwind(|| layout.check(2, 66, 128)).is_ok()
        };
        assert!(check(&[4]) && check(&[2, 1]));
        assert!(!check(&[]) && !check(&[2, 1, 1]));
    }
}
