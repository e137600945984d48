//! Decoding of blocks with a codebook: entries come out of tables in registers, 32 at a time, and
//! are expanded to bytes there. Large tables are faster in memory: AVX2's way.

use super::unpack::Blocks;
use crate::codebook::{Codebook, Decoded, Entries, Signs};
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx2::codebook::{self as avx2, signs, sixteen_indices};
use crate::isa::stamp::unroll;
use std::arch::x86_64::*;
use std::hint::black_box;

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
    if book.words.len() > PAIR * MAX_PAIRS {
        return avx2::decode::<F>(block, decoded);
    }
    let block = bytemuck::bytes_of(block);
    let mut own_signs = [0; SUPER_LEN / 8];
    // SAFETY: this function has AVX2.
    let signs = unsafe { signs(book, block, &mut own_signs) };
    // Masks are loaded, not taken out of a register.
    let signs = black_box(signs).as_chunks().0;
    let mut sixty_fours = decoded.0.as_chunks_mut::<64>().0.iter_mut().zip(signs);
    let per_register = N_ENTRIES * book.entries.entry_len() / 64;
    unroll!(REGISTER in [0 1] {
        if REGISTER < 4 / per_register {
            // SAFETY: this function has the features.
            let words = unsafe {
                let low = sixteen_indices(book, block, 2 * REGISTER);
                let high = sixteen_indices(book, block, 2 * REGISTER + 1);
                pick(book, _mm512_inserti64x4::<1>(_mm512_castsi256_si512(low), high))
            };
            unroll!(I in [0 1 2 3] {
                if I < per_register && let Some((to, signs)) = sixty_fours.next() {
                    // SAFETY: this function has the features; the array is 64 bytes.
                    unsafe {
                        let unsigned = unsigned::<I>(book, words, u64::from_le_bytes(*signs));
                        _mm512_storeu_si512(to.as_mut_ptr().cast(), unsigned);
                    }
                }
            });
        }
    });
}

/// The bytes of 64 weights, number `I` of those of a register of entries, with their signs.
#[inline(always)]
unsafe fn unsigned<const I: usize>(book: &Codebook, words: __m512i, is_negative: u64) -> __m512i {
    // SAFETY: the features are the caller's promise; the array is sixteen bytes.
    unsafe {
        let levels = _mm512_broadcast_i32x4(_mm_loadu_si128(book.levels.as_ptr().cast()));
        let weights = _mm512_shuffle_epi8(levels, level_numbers::<I>(book, words));
        let (subtrahend, minuend) = match book.signs {
            Signs::Each(_) | Signs::Parity(_) => {
                (weights, _mm512_set1_epi8((2 * book.offset) as i8))
            }
            Signs::Delta(_) => (_mm512_set1_epi8(2), weights),
        };
        _mm512_mask_sub_epi8(weights, is_negative, minuend, subtrahend)
    }
}

/// Entries in a pair of registers, of which an instruction picks.
const PAIR: usize = 64;
/// Bits of an index that such an instruction takes.
const PAIR_BITS: usize = PAIR.ilog2() as usize;

/// Pairs of registers from which entries are picked. Those of IQ2_S, 16, would take 17 ns a block
/// instead of 16, those of IQ1, 32, 27 instead of 16 (Zen 4).
const MAX_PAIRS: usize = 8;

/// The entries with these indices: all pairs of registers are asked, and an index's higher bits
/// then choose among the answers, bit by bit.
#[inline(always)]
unsafe fn pick(book: &Codebook, indices: __m512i) -> __m512i {
    let pairs = book.words.as_chunks::<PAIR>().0;
    // SAFETY: the features are the caller's promise; pairs are two registers.
    unsafe {
        let mut answers = [indices; MAX_PAIRS];
        for (answer, pair) in answers.iter_mut().zip(pairs) {
            let low = _mm512_loadu_si512(pair[..32].as_ptr().cast());
            let high = _mm512_loadu_si512(pair[32..].as_ptr().cast());
            *answer = _mm512_permutex2var_epi16(low, indices, high);
        }
        unroll!(LEVEL in [0 1 2] {
            let bit = _mm512_set1_epi16(1 << (PAIR_BITS + LEVEL));
            let is_set = _mm512_test_epi16_mask(indices, bit);
            for i in 0..pairs.len() >> (LEVEL + 1) {
                answers[i] = _mm512_mask_blend_epi16(is_set, answers[2 * i], answers[2 * i + 1]);
            }
        });
        answers[0]
    }
}

/// The numbers of 64 levels, each a byte, from the entries that have them: eight entries or
/// sixteen, of which these are number `I` of a register.
#[inline(always)]
unsafe fn level_numbers<const I: usize>(book: &Codebook, words: __m512i) -> __m512i {
    // Each entry goes to as many elements as it has pairs of levels, and each looks at its pair.
    let (places, n_bits) = match book.entries {
        Entries::Eights(_) => (const { &PairPlaces::of(I, 4) }, 2),
        Entries::Fours(_) => (const { &PairPlaces::of(I, 2) }, 4),
    };
    const FIRST_CHOOSES: i32 = 0xca;
    // SAFETY: the features are the caller's promise; the arrays are 64 bytes.
    unsafe {
        let elements = _mm512_loadu_si512(places.elements.as_ptr().cast());
        let shifts = _mm512_loadu_si512(places.shifts.as_ptr().cast());
        let pairs = _mm512_srlv_epi16(_mm512_permutexvar_epi16(elements, words), shifts);
        // The second level of a pair goes to the second byte. What is above the levels is taken off.
        let moved = _mm512_sll_epi16(pairs, _mm_cvtsi32_si128(8 - n_bits));
        let first_byte = _mm512_set1_epi16(0xff);
        let levels = _mm512_ternarylogic_epi32::<FIRST_CHOOSES>(first_byte, pairs, moved);
        _mm512_and_si512(levels, _mm512_set1_epi8((1 << n_bits) - 1))
    }
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
    crate::isa::kernel_check::test_decoding!("AVX-512", crate::isa::avx512::is_available());
}
