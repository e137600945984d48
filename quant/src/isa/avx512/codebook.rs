//! Decoding of blocks with a codebook: entries come out of tables in registers, 32 at a time, and
//! are expanded to bytes there.

use super::unpack::{Blocks, unroll};
use crate::codebook::{Codebook, Decoded, Entries, Signs};
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx2::codebook::{indices, signs};
use std::arch::x86_64::*;

/// The addresses of blocks as [`super::unpack::unpack16`] takes them: decoded into the scratch
/// memory where the format has a codebook.
///
/// # Safety
/// The addresses must be those of blocks, and the CPU have this module's features.
#[inline(always)]
pub unsafe fn decoded<F: Super>(blocks: Blocks, scratch: &mut [Decoded; 4]) -> Blocks {
    if F::LAYOUT.codebook().is_none() {
        return blocks;
    }
    for (block, decoded) in blocks.into_iter().zip(scratch.iter_mut()) {
        // SAFETY: the caller's promise.
        unsafe { decode::<F>(&*block.cast(), decoded) };
    }
    scratch.each_ref().map(|decoded| decoded.0.as_ptr())
}

/// Entries in a register.
const N_ENTRIES: usize = 32;

/// Writes the unsigned byte of every weight of a block; see [`Codebook::decode`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline(never)]
pub fn decode<F: Super>(block: &F::Block, decoded: &mut Decoded) {
    let Some(book) = (const { F::LAYOUT.codebook() }) else { return };
    let block = bytemuck::bytes_of(block);
    let (indices, mut own_signs) = (indices(book, block), [0; SUPER_LEN / 8]);
    let signs = signs(book, block, &mut own_signs).as_chunks().0;
    // SAFETY: the array is sixteen bytes.
    let levels = unsafe { _mm_loadu_si128(book.levels.as_ptr().cast()) };
    let levels = _mm512_broadcast_i32x4(levels);
    let twice_offset = _mm512_set1_epi8((2 * book.offset) as i8);
    let mut sixty_fours = decoded.0.as_chunks_mut::<64>().0.iter_mut().zip(signs);
    let per_register = N_ENTRIES * book.entries.entry_len() / 64;
    for indices in indices.0.as_chunks::<N_ENTRIES>().0.iter().take(4 / per_register) {
        // SAFETY: the array is 64 bytes.
        let words = pick(book, unsafe { _mm512_loadu_si512(indices.as_ptr().cast()) });
        unroll!(I in [0 1 2 3] {
            if I < per_register && let Some((to, signs)) = sixty_fours.next() {
                let weights = _mm512_shuffle_epi8(levels, level_numbers::<I>(book, words));
                let is_negative = u64::from_le_bytes(*signs);
                let unsigned = match book.signs {
                    Signs::Each(_) | Signs::Parity(_) => {
                        _mm512_mask_sub_epi8(weights, is_negative, twice_offset, weights)
                    }
                    Signs::Delta(_) => {
                        _mm512_mask_sub_epi8(weights, is_negative, weights, _mm512_set1_epi8(2))
                    }
                };
                // SAFETY: the array is 64 bytes.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), unsigned) };
            }
        });
    }
}

/// Entries in a pair of registers, of which an instruction picks.
const PAIR: usize = 64;
/// Bits of an index that such an instruction takes.
const PAIR_BITS: usize = PAIR.ilog2() as usize;

/// Most pairs of registers that a table is.
const MAX_PAIRS: usize = 32;

/// The entries with these indices: all pairs of registers are asked, and an index's higher bits
/// then choose among the answers, bit by bit.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline]
fn pick(book: &Codebook, indices: __m512i) -> __m512i {
    let pairs = book.words.as_chunks::<PAIR>().0;
    let mut answers = [indices; MAX_PAIRS];
    for (answer, pair) in answers.iter_mut().zip(pairs) {
        // SAFETY: the array is two registers.
        let [low, high] = unsafe {
            [
                _mm512_loadu_si512(pair[..32].as_ptr().cast()),
                _mm512_loadu_si512(pair[32..].as_ptr().cast()),
            ]
        };
        *answer = _mm512_permutex2var_epi16(low, indices, high);
    }
    unroll!(LEVEL in [0 1 2 3 4] {
        let bit = _mm512_set1_epi16(1 << (PAIR_BITS + LEVEL));
        let is_set = _mm512_test_epi16_mask(indices, bit);
        for i in 0..pairs.len() >> (LEVEL + 1) {
            answers[i] = _mm512_mask_blend_epi16(is_set, answers[2 * i], answers[2 * i + 1]);
        }
    });
    answers[0]
}

/// The numbers of 64 levels, each a byte, from the entries that have them: eight entries or
/// sixteen, of which these are number `I` of a register.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c")]
#[inline]
fn level_numbers<const I: usize>(book: &Codebook, words: __m512i) -> __m512i {
    // Each entry goes to as many elements as it has pairs of levels, and each looks at its pair.
    let (places, n_bits) = match book.entries {
        Entries::Eights(_) => (const { &PairPlaces::of(I, 4) }, 2),
        Entries::Fours(_) => (const { &PairPlaces::of(I, 2) }, 4),
    };
    // SAFETY: the arrays are 64 bytes.
    let (elements, shifts) = unsafe {
        let (elements, shifts) = (places.elements.as_ptr(), places.shifts.as_ptr());
        (_mm512_loadu_si512(elements.cast()), _mm512_loadu_si512(shifts.cast()))
    };
    let pairs = _mm512_srlv_epi16(_mm512_permutexvar_epi16(elements, words), shifts);
    // The second level of a pair goes to the second byte. What is above the levels is taken off.
    const FIRST_CHOOSES: i32 = 0xca;
    let moved = _mm512_sll_epi16(pairs, _mm_cvtsi32_si128(8 - n_bits));
    let first_byte = _mm512_set1_epi16(0xff);
    let levels = _mm512_ternarylogic_epi32::<FIRST_CHOOSES>(first_byte, pairs, moved);
    _mm512_and_si512(levels, _mm512_set1_epi8((1 << n_bits) - 1))
}

/// Where 32 pairs of levels are.
struct PairPlaces {
    /// The element that has the entry.
    elements: [u16; 32],
    /// The pair's place in it.
    shifts: [u16; 32],
}

impl PairPlaces {
    /// Those of register `i` where entries have `n_pairs`.
    const fn of(i: usize, n_pairs: usize) -> PairPlaces {
        let (mut places, mut pair) = (PairPlaces { elements: [0; 32], shifts: [0; 32] }, 0);
        while pair < 32 {
            places.elements[pair] = ((32 * i + pair) / n_pairs) as u16;
            places.shifts[pair] = (pair % n_pairs * (16 / n_pairs)) as u16;
            pair += 1;
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::for_each_format;
    use crate::isa::kernel_check::{check_decoding, skip};

    fn check<F: Super>() {
        // SAFETY: the test has asked for the features.
        check_decoding::<F>(|block, decoded| unsafe { decode::<F>(block, decoded) });
    }

    #[test]
    fn blocks_are_decoded_as_defined() {
        if !crate::isa::avx512::is_available() {
            return skip("decoding with AVX-512");
        }
        for_each_format!(_, _, check);
    }
}
