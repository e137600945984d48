//! One file per block format.

mod codebooks;
mod float;
mod iq1_m;
mod iq1_s;
mod iq2_s;
mod iq2_xs;
mod iq2_xxs;
mod iq3_s;
mod iq3_xxs;
mod iq4_nl;
mod iq4_xs;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;

pub(crate) use float::{Bf16, F16, F32};
pub(crate) use iq1_m::Iq1M;
pub(crate) use iq1_s::Iq1S;
pub(crate) use iq2_s::Iq2S;
pub(crate) use iq2_xs::Iq2Xs;
pub(crate) use iq2_xxs::Iq2Xxs;
pub(crate) use iq3_s::Iq3S;
pub(crate) use iq3_xxs::Iq3Xxs;
pub(crate) use iq4_nl::Iq4Nl;
pub(crate) use iq4_xs::Iq4Xs;
pub(crate) use q2_k::Q2K;
pub(crate) use q3_k::Q3K;
pub(crate) use q4_0::Q4_0;
pub(crate) use q4_1::Q4_1;
pub(crate) use q4_k::Q4K;
pub(crate) use q5_0::Q5_0;
pub(crate) use q5_1::Q5_1;
pub(crate) use q5_k::Q5K;
pub(crate) use q6_k::Q6K;
pub(crate) use q8_0::Q8_0;

use crate::format::{FLAT_LEN, Flat, SUPER_LEN, Super};
use half::f16;

/// The list of formats, each with its family: an array of what a function for the formats of a family
/// gives for each of them, `[$float::<F32>(), .., $flat::<Q4_0>(), .., $super_block::<Q2K>(), ..]`.
/// With `_` in place of a function the family's elements are `()`. Arguments, the same for all, may
/// follow in parentheses.
///
/// [`crate::FORMATS`] and all tests take the formats from here, in this order. A format that is not
/// in the list is an unused import above, which the compiler warns of and CI refuses.
macro_rules! for_each_format {
    ($float:tt, $flat:tt, $super_block:tt) => {
        for_each_format!($float, $flat, $super_block, ())
    };
    ($float:tt, $flat:tt, $super_block:tt, $arguments:tt) => {
        for_each_format!(@array $arguments
            $float F32,
            $float F16,
            $float Bf16,
            $flat Q4_0,
            $flat Q4_1,
            $flat Q5_0,
            $flat Q5_1,
            $flat Q8_0,
            $super_block Q2K,
            $super_block Q3K,
            $super_block Q4K,
            $super_block Q5K,
            $super_block Q6K,
            $flat Iq4Nl,
            $super_block Iq4Xs,
            $super_block Iq3S,
            $super_block Iq3Xxs,
            $super_block Iq2S,
            $super_block Iq2Xs,
            $super_block Iq2Xxs,
            $super_block Iq1M,
            $super_block Iq1S,
        )
    };
    (@array $arguments:tt $($function:tt $format:ident,)*) => {
        [$(for_each_format!(@call $function $format $arguments)),*]
    };
    (@call _ $format:ident $arguments:tt) => {
        ()
    };
    (@call $function:ident $format:ident ($($argument:expr),*)) => {
        $function::<$crate::formats::$format>($($argument),*)
    };
}
pub(crate) use for_each_format;

/// The weights of a legacy format's block of 32.
#[inline(always)]
fn dequantize_flat<F: Flat>(block: &F::Block, weights: &mut [f32]) {
    let block = bytemuck::bytes_of(block);
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let mut unsigned = [0; FLAT_LEN];
    F::LAYOUT.unpack(block, &mut unsigned);
    for (weight, u) in weights.iter_mut().zip(unsigned) {
        *weight = scale * (i32::from(u) - F::LAYOUT.offset()) as f32;
    }
    if F::HAS_MINIMUM {
        let minimum = f16::from_le_bytes([block[2], block[3]]).to_f32();
        weights.iter_mut().for_each(|weight| *weight += minimum);
    }
}

/// The weights of a K-quant's super-block of 256.
fn dequantize_super<F: Super>(block: &F::Block, weights: &mut [f32]) {
    let scales = F::scales(block);
    let (scale, minimum) = (scales.scale.to_f32() * F::UNIT, scales.minimum.to_f32());
    let mut unsigned = [0; SUPER_LEN];
    F::LAYOUT.unpack(bytemuck::bytes_of(block), &mut unsigned);
    for (i, (weight, u)) in weights.iter_mut().zip(unsigned).enumerate() {
        let scale = scale * f32::from(scales.sub_scales[i / 16]);
        let minimum = minimum * f32::from(scales.sub_minimums[i / 16]);
        *weight = scale * (i32::from(u) - F::LAYOUT.offset()) as f32 - minimum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codebook::{Codebook, N_CHUNKS, Signs};
    use crate::format::Float;
    use crate::header::SuperScales;
    use crate::layout::{Codes, Layout};
    use proptest::prelude::*;
    use std::ops::Range;

    /// A layout and its block. For failures, the format's name.
    struct Case {
        name: &'static str,
        layout: Layout,
        block_len: usize,
        block_bytes: usize,
    }

    fn flat<F: Flat>() -> Option<Case> {
        let (name, block_bytes) = (F::NAME, size_of::<F::Block>());
        Some(Case { name, layout: F::LAYOUT, block_len: F::BLOCK_LEN, block_bytes })
    }

    /// Codes of a codebook are in no planes.
    fn super_block<F: Super>() -> Option<Case> {
        let (name, block_bytes) = (F::NAME, size_of::<F::Block>());
        F::LAYOUT.codebook().is_none().then_some(Case {
            name,
            layout: F::LAYOUT,
            block_len: F::BLOCK_LEN,
            block_bytes,
        })
    }

    /// Plain floats have no layout.
    fn float<F: Float>() -> Option<Case> {
        None
    }

    fn cases() -> impl Iterator<Item = Case> {
        for_each_format!(float, flat, super_block).into_iter().flatten()
    }

    impl Case {
        fn bits(&self) -> usize {
            self.layout.planes.iter().map(|plane| plane.bits).sum()
        }

        /// What [`Layout::unpack`] makes of a code.
        fn unsigned(&self, code: u8) -> u8 {
            match self.layout.codes {
                Codes::Offset(_) => code,
                Codes::Signed => code.wrapping_add(128),
                Codes::Table(table) => (i16::from(table[usize::from(code)]) + 128) as u8,
                Codes::Codebook(_) => unreachable!("no planes"),
            }
        }

        fn pack(&self, codes: &[u8]) -> Vec<u8> {
            let mut block = vec![0; self.block_bytes];
            self.layout.pack(codes, &mut block);
            block
        }
    }

    #[test]
    fn every_bit_of_the_planes_belongs_to_one_code() {
        for case in cases() {
            let most = (0xffu16 >> (8 - case.bits())) as u8;
            let full = case.pack(&vec![most; case.block_len]);
            let n_ones: usize = full.iter().map(|byte| byte.count_ones() as usize).sum();
            assert_eq!(n_ones, case.block_len * case.bits(), "{}", case.name);
            assert!(full.iter().all(|byte| [0, 0xff].contains(byte)), "{}", case.name);
        }
    }

    #[test]
    fn tables_are_in_increasing_order() {
        for case in cases() {
            if let Codes::Table(table) = case.layout.codes {
                assert!(table.is_sorted_by(|a, b| a < b), "{}", case.name);
            }
        }
    }

    /// Makes a block of these scales and of codes of zero bits.
    fn packed<F: Super>(scales: &SuperScales) -> F::Block {
        let mut block: F::Block = bytemuck::Zeroable::zeroed();
        F::HEADER.pack(scales, bytemuck::bytes_of_mut(&mut block));
        block
    }

    /// Scales and codes of ones leave no bit of a block at zero, and are as many bits as it has:
    /// none lies over another.
    fn check_cover<F: Super>() {
        let header = F::HEADER;
        if let Some(book) = F::LAYOUT.codebook() {
            return check_cover_with_codebook::<F>(book);
        }
        let mut block = packed::<F>(&SuperScales {
            scale: f16::from_bits(!0),
            minimum: f16::from_bits(!0),
            sub_scales: [0xffu8.wrapping_sub(header.offset) as i8; 16],
            sub_minimums: [0xff; 16],
        });
        let bytes = bytemuck::bytes_of_mut(&mut block);
        F::LAYOUT.pack(&vec![F::LAYOUT.max_code() as u8; F::BLOCK_LEN], bytes);
        assert!(bytes.iter().all(|&byte| byte == 0xff), "{}: {bytes:02x?}", F::NAME);
        let parts = header.sub_scales.iter().chain(header.sub_minimums).copied().flatten();
        let n_bits: u32 = parts.map(|part| part.mask.count_ones()).sum();
        let n_scales = if F::HAS_MINIMUM { 2 } else { 1 };
        let n_code_bits = (F::LAYOUT.max_code() + 1).ilog2() as usize * F::BLOCK_LEN;
        assert_eq!(n_bits as usize + 16 * n_scales + n_code_bits, 8 * bytes.len(), "{}", F::NAME);
    }

    /// Counts how often a codebook and a header name each bit of a block: IQ2_XXS's and IQ3_XXS's
    /// packed words are bytes of which they have the high halves alone.
    fn check_cover_with_codebook<F: Super>(book: &Codebook) {
        let mut n_meanings = vec![0; 8 * size_of::<F::Block>()];
        let mut name = |bits: Range<usize>| bits.for_each(|bit| n_meanings[bit] += 1);
        let (Signs::Each(signs) | Signs::Parity(signs) | Signs::Delta(signs)) = book.signs;
        let [low, high] = book.index;
        for (field, n) in
            [(low, book.entries.per_chunk()), (high, book.entries.per_chunk()), (signs, 4)]
        {
            let n = if field.step == 0 { 1 } else { n };
            for (chunk, i) in (0..N_CHUNKS).flat_map(|chunk| (0..n).map(move |i| (chunk, i))) {
                let first = field.bit(chunk, i);
                name(first..first + field.bits);
            }
        }
        let header = F::HEADER;
        for part in header.sub_scales.iter().copied().flatten() {
            for bit in (0..32).filter(|bit| part.mask >> bit & 1 == 1) {
                let bit = (bit + part.rotation as usize) % 32;
                let at = 8 * (header.packed + header.stride * (4 * part.word + bit / 8)) + bit % 8;
                name(at..at + 1);
            }
        }
        if header.is_split {
            (0..4)
                .for_each(|i| name(8 * header.scale + 16 * i + 12..8 * header.scale + 16 * i + 16));
        } else {
            name(8 * header.scale..8 * header.scale + 16);
        }
        assert!(n_meanings.iter().all(|&n| n == 1), "{}: {n_meanings:?}", F::NAME);
    }

    #[test]
    fn every_bit_of_a_super_block_has_one_meaning() {
        for_each_format!(_, _, check_cover);
    }

    fn check_inverse<F: Super>(bytes: &[u8]) {
        let block = bytemuck::from_bytes(&bytes[..size_of::<F::Block>()]);
        let once = F::scales(block);
        let twice = F::scales(&packed::<F>(&once));
        assert_eq!(once.scale.to_bits(), twice.scale.to_bits(), "{}", F::NAME);
        assert_eq!(once.minimum.to_bits(), twice.minimum.to_bits(), "{}", F::NAME);
        assert_eq!(once.sub_scales, twice.sub_scales, "{}", F::NAME);
        assert_eq!(once.sub_minimums, twice.sub_minimums, "{}", F::NAME);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None,
            // Miri is some thousand times slower.
            cases: if cfg!(miri) { 2 } else { ProptestConfig::default().cases },
            ..ProptestConfig::default()
        })]

        #[test]
        fn unpacking_codes_inverts_packing(bytes in prop::collection::vec(any::<u8>(), 256)) {
            for case in cases() {
                let codes: Vec<u8> =
                    bytes[..case.block_len].iter().map(|byte| byte >> (8 - case.bits())).collect();
                let mut unsigned = vec![0; case.block_len];
                case.layout.unpack(&case.pack(&codes), &mut unsigned);
                let expected: Vec<u8> = codes.iter().map(|&code| case.unsigned(code)).collect();
                prop_assert_eq!(unsigned, expected, "{}", case.name);
            }
        }

        #[test]
        fn unpacking_scales_inverts_packing(bytes in prop::collection::vec(any::<u8>(), 256)) {
            for_each_format!(_, _, check_inverse, (&bytes));
        }
    }
}
