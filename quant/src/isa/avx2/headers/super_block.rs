//! The scales of eight super-blocks, unpacked together.

use crate::format::Super;
use crate::header::{MAX_WORDS, Part};
use crate::isa::avx2::unpack::{eight_f16, eight_sixteens, f16_bits_to_f32, transpose};
use crate::isa::stamp::each;
use std::arch::x86_64::*;

/// The scales of a super-block of each of eight rows: element `r` is row `r`'s.
pub struct Headers {
    /// The scales.
    pub scales: __m256,
    /// The scales of the minimums.
    pub minimums: __m256,
    /// The sub-scales, two sub-blocks' in the words of an element: 0 and 2, 1 and 3, 4 and 6...
    pub sub_scales: [__m256i; 8],
    /// What meets the activations' sums, two sub-blocks' in the words of an element: 0 and 2, 1 and
    /// 3, 4 and 6, and so on ([`sum_pairs`]). It is the sub-minimums where the format has any, else
    /// the sub-scales, for the offset of the codes.
    pub pairs: [__m256i; 8],
}

impl Headers {
    /// Unpacks the headers.
    ///
    /// # Safety
    /// The CPU must have AVX2 and F16C.
    #[inline(always)]
    pub unsafe fn unpack<F: Super>(blocks: [&[u8]; 8]) -> Headers {
        let header = const { F::HEADER };
        let is_signed = const { F::SUB_SCALES.lowest < 0 };
        // SAFETY: the caller's promise.
        unsafe {
            let zero = _mm256_setzero_si256();
            let words = words::<F>(blocks);
            let (scales, minimums) = match const { scale_word::<F>() } {
                Some(word) => f16_pairs(words[word]),
                None => {
                    let scales = each!(r in [0 1 2 3 4 5 6 7] => header.scale_bits(blocks[r]));
                    let minimum = header.minimum.unwrap_or(header.scale);
                    (f16_bits_to_f32(scales), eight_f16(blocks, minimum))
                }
            };
            let scales = if F::UNIT == 1.0 {
                scales
            } else {
                _mm256_mul_ps(scales, _mm256_set1_ps(F::UNIT))
            };
            let (mut sub_scales, mut pairs) = ([zero; 8], [zero; 8]);
            let offset = _mm256_set1_epi8(header.offset as i8);
            for (parts, subs) in header.sub_scales.iter().zip(sub_scales.as_chunks_mut::<2>().0) {
                let bytes = _mm256_sub_epi8(unpacked::<F>(parts, words), offset);
                *subs = even_odd(bytes, is_signed);
            }
            for (parts, pairs) in header.sub_minimums.iter().zip(pairs.as_chunks_mut::<2>().0) {
                *pairs = even_odd(unpacked::<F>(parts, words), false);
            }
            let pairs = if F::HAS_MINIMUM { pairs } else { sub_scales };
            Headers { scales, minimums, sub_scales, pairs }
        }
    }
}

/// The words of the window of eight blocks or, where packed words do not lie together, these.
#[inline(always)]
unsafe fn words<F: Super>(blocks: [&[u8]; 8]) -> [__m256i; MAX_WORDS] {
    let header = const { F::HEADER };
    // SAFETY: the caller's promise.
    unsafe {
        if header.stride == 1 {
            return transpose(eight_sixteens(blocks, const { window::<F>() }));
        }
        each!(word in [0 1 2 3] => {
            if word < header.n_words {
                let of_rows = each!(r in [0 1 2 3 4 5 6 7] => header.word(blocks[r], word) as i32);
                let [a, b, c, d, e, f, g, h] = of_rows;
                _mm256_set_epi32(h, g, f, e, d, c, b, a)
            } else {
                _mm256_setzero_si256()
            }
        })
    }
}

/// The first packed word's number among those of [`words`].
const fn first_word<F: Super>() -> usize {
    if F::HEADER.stride == 1 { (F::HEADER.packed - window::<F>()) / 4 } else { 0 }
}

/// First of sixteen bytes of a block that have the packed words: those that end with them, so that
/// a scale before them is there, too.
const fn window<F: Super>() -> usize {
    let end = F::HEADER.packed + 4 * F::HEADER.n_words;
    let start = end.saturating_sub(4 * MAX_WORDS);
    assert!((F::HEADER.packed - start).is_multiple_of(4), "words at odd places");
    start
}

/// The word of the window that has the scale, and above it that of the minimums, if any.
const fn scale_word<F: Super>() -> Option<usize> {
    let (scale, start) = (F::HEADER.scale, window::<F>());
    let is_pair = match F::HEADER.minimum {
        Some(minimum) => minimum == scale + 2,
        None => true,
    };
    let is_there = scale >= start && scale + 4 <= start + 4 * MAX_WORDS;
    let is_plain = F::HEADER.stride == 1 && !F::HEADER.is_split;
    if is_plain && is_pair && is_there && (scale - start).is_multiple_of(4) {
        Some((scale - start) / 4)
    } else {
        None
    }
}

/// Four bytes of each row, from the words of the window.
#[inline(always)]
unsafe fn unpacked<F: Super>(parts: &[Part], words: [__m256i; MAX_WORDS]) -> __m256i {
    // SAFETY: no memory is touched; the CPU has AVX2.
    unsafe {
        let mut bytes = _mm256_setzero_si256();
        for part in parts {
            // Of the two shifts of a rotation the compiler leaves out the one whose bits are masked.
            let word = words[const { first_word::<F>() } + part.word];
            let right = _mm256_srlv_epi32(word, _mm256_set1_epi32(part.rotation as i32));
            let left = _mm256_sllv_epi32(word, _mm256_set1_epi32(32 - part.rotation as i32));
            let mask = _mm256_set1_epi32(part.mask as i32);
            bytes = _mm256_or_si256(bytes, _mm256_and_si256(_mm256_or_si256(right, left), mask));
        }
        bytes
    }
}

/// Bytes 0 and 2, and bytes 1 and 3, of each element as 16-bit integers.
#[inline(always)]
unsafe fn even_odd(bytes: __m256i, is_signed: bool) -> [__m256i; 2] {
    // SAFETY: no memory is touched; the CPU has AVX2.
    unsafe {
        if is_signed {
            let even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes));
            [even, _mm256_srai_epi16::<8>(bytes)]
        } else {
            let even = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff));
            [even, _mm256_srli_epi16::<8>(bytes)]
        }
    }
}

/// The low and the high half of each element, f16s, as f32.
#[inline(always)]
unsafe fn f16_pairs(elements: __m256i) -> (__m256, __m256) {
    // SAFETY: no memory is touched; the CPU has AVX2 and F16C.
    unsafe {
        let order = _mm_set_epi8(15, 14, 11, 10, 7, 6, 3, 2, 13, 12, 9, 8, 5, 4, 1, 0);
        let sorted = _mm256_shuffle_epi8(elements, _mm256_broadcastsi128_si256(order));
        let sorted = _mm256_permute4x64_epi64::<0b11_01_10_00>(sorted);
        let (low, high) = (_mm256_castsi256_si128(sorted), _mm256_extracti128_si256::<1>(sorted));
        (_mm256_cvtph_ps(low), _mm256_cvtph_ps(high))
    }
}

/// The sums of a token's activations over each sub-block, from those over sixteens, in the pairs of
/// [`Headers::pairs`].
///
/// # Safety
/// The CPU must have AVX2.
#[inline(always)]
pub unsafe fn sum_pairs<F: Super>(sixteens: &[i16; 16]) -> [i32; 8] {
    let mut pairs = [0; 8];
    // SAFETY: the caller's promise; loads and stores are of the arrays' sizes.
    unsafe {
        let mut sums = _mm256_loadu_si256(sixteens.as_ptr().cast());
        if F::SUB_LEN == 32 {
            let subs = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
            sums = _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packs_epi32(subs, subs));
        }
        let order = _mm_set_epi8(15, 14, 11, 10, 13, 12, 9, 8, 7, 6, 3, 2, 5, 4, 1, 0);
        let sorted = _mm256_shuffle_epi8(sums, _mm256_broadcastsi128_si256(order));
        _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sorted);
    }
    pairs
}

const _: () = assert!(MAX_WORDS == 4, "a window is sixteen bytes");
