//! Sums of products of small integers, exact, in the three ways that CPUs with AVX2 have.
//!
//! A register holds some consecutive weights of each of eight rows, and meets as many activations
//! of one token, broadcast. Accumulation has a beginning and an end: in between an *accumulator* has
//! whatever form suits the instructions (16 or 32 bits), outside sums are 32-bit integers.

use super::unpack::is_wide;
use crate::activations::GROUP_LEN;
use crate::layout::Layout;
use std::arch::x86_64::*;

/// Bytes of activations that meet a register of weights.
pub const X_BYTES: usize = 4;
/// Registers that 32 weights of eight rows are, a byte each.
const PER_32: usize = 8;

/// A way to sum products. The provided methods are for accumulators of 32 bits.
///
/// # Safety
/// For all functions: the CPU must have AVX2, and what else the implementation names.
pub trait IntegerDot {
    /// Registers that hold 32 weights of eight rows.
    const PER_32: usize;
    /// Columns of a tile, so that it stays in a first-level cache of 32 KB.
    const TILE_COLS: usize;
    /// Whether accumulators are of 16 bits, two per row, and start from zero.
    const IN_WORDS: bool;
    /// Scratch memory for the activations of a group, at a tile's columns, rearranged.
    type Scratch;

    /// What to take from the stored weights to get the true ones.
    fn offset(layout: &Layout) -> i32;

    /// Stores four consecutive weights of eight rows, as `unpack` makes them, to be number `place`
    /// of the eight fours of `registers`.
    unsafe fn store(
        layout: &Layout,
        codes: __m256i,
        registers: &mut [[__m256i; 2]],
        place: usize,
        half: usize,
    );

    /// Scratch memory with anything in it.
    unsafe fn scratch() -> Self::Scratch;

    /// The codes of activations rearranged in the order of [`Self::store`]: [`X_BYTES`] for each
    /// register.
    unsafe fn rearrange<'a>(codes: &'a [i8], scratch: &'a mut Self::Scratch) -> &'a [i8];

    /// Begins accumulation: an accumulator that goes on from `sum`.
    #[inline(always)]
    unsafe fn begin(sum: __m256i) -> __m256i {
        sum
    }

    /// Adds products to an accumulator.
    unsafe fn add(acc: __m256i, weights: __m256i, x: __m256i) -> __m256i;

    /// Ends accumulation: the sum, for an accumulator that went on from `sum`.
    #[inline(always)]
    unsafe fn end(_sum: __m256i, acc: __m256i) -> __m256i {
        acc
    }

    /// What [`Self::add_scaled`] takes for the scale in the low word of each element, the high word
    /// being zero. A sum is short if it fits into 16 bits.
    #[inline(always)]
    unsafe fn multiplier(scale: __m256i, is_short: bool) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { multiplier(scale, is_short) }
    }

    /// Adds an accumulator times a scale, which [`Self::multiplier`] has prepared.
    #[inline(always)]
    unsafe fn add_scaled(
        total: __m256i,
        acc: __m256i,
        multiplier: __m256i,
        is_short: bool,
    ) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { Self::add_pairs(total, multiplicand(acc, is_short), multiplier) }
    }

    /// Adds to each element of `sum` the two products of its 16-bit halves.
    #[inline(always)]
    unsafe fn add_pairs(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)) }
    }
}

/// Registers whose products add up between the beginning and the end of an accumulation, where
/// those of `n` may.
pub const fn run_len<D: IntegerDot>(layout: &Layout, n: usize) -> usize {
    // Two products of a weight with an activation, which is at most 127, meet in a word.
    let exact = i16::MAX as usize / (2 * 127 * layout.max_code() as usize);
    if !D::IN_WORDS || exact >= n {
        return n;
    }
    match exact.checked_ilog2() {
        // Whole runs make up `n`, a power of two.
        Some(log) => 1 << log,
        // Wide weights, which are multiplied in another way.
        None => 0,
    }
}

/// `vpmaddubsw`, for codes of up to six bits: products add up in 16 bits for as long as that is
/// exact.
pub struct Bytes;

/// `vpmaddwd`, for weights of eight bits, whose products do not add up in 16: weights and
/// activations are made words before.
pub struct Words;

/// `vpdpbusd` of AVX-VNNI.
pub struct Vnni;

impl IntegerDot for Bytes {
    const PER_32: usize = PER_32;
    const TILE_COLS: usize = 512;
    const IN_WORDS: bool = true;
    type Scratch = ();

    #[inline(always)]
    fn offset(layout: &Layout) -> i32 {
        layout.offset()
    }

    #[inline(always)]
    unsafe fn store(
        _: &Layout,
        codes: __m256i,
        registers: &mut [[__m256i; 2]],
        place: usize,
        half: usize,
    ) {
        registers[place][half] = codes;
    }

    #[inline(always)]
    unsafe fn scratch() {}

    #[inline(always)]
    unsafe fn rearrange<'a>(codes: &'a [i8], (): &'a mut ()) -> &'a [i8] {
        codes
    }

    #[inline(always)]
    unsafe fn begin(_: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    unsafe fn add(acc: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_add_epi16(acc, _mm256_maddubs_epi16(weights, x)) }
    }

    #[inline(always)]
    unsafe fn end(sum: __m256i, acc: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { Self::add_pairs(sum, acc, _mm256_set1_epi16(1)) }
    }

    #[inline(always)]
    unsafe fn multiplier(scale: __m256i, _: bool) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_or_si256(scale, _mm256_slli_epi32::<16>(scale)) }
    }

    #[inline(always)]
    unsafe fn add_scaled(total: __m256i, acc: __m256i, multiplier: __m256i, _: bool) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { Self::add_pairs(total, acc, multiplier) }
    }
}

impl IntegerDot for Words {
    const PER_32: usize = 2 * PER_32;
    const TILE_COLS: usize = 256;
    const IN_WORDS: bool = false;
    type Scratch = [__m256i; 2 * GROUP_LEN * Self::TILE_COLS / 32];

    #[inline(always)]
    fn offset(_: &Layout) -> i32 {
        0
    }

    /// The first and third weight, and eight registers later the second and fourth.
    #[inline(always)]
    unsafe fn store(
        _: &Layout,
        codes: __m256i,
        registers: &mut [[__m256i; 2]],
        place: usize,
        half: usize,
    ) {
        // SAFETY: the caller's promise.
        let [even, odd] = unsafe { even_odd_words(codes) };
        registers[place][half] = even;
        registers[PER_32 + place][half] = odd;
    }

    #[inline(always)]
    unsafe fn scratch() -> Self::Scratch {
        // SAFETY: the caller's promise.
        unsafe { [_mm256_setzero_si256(); 2 * GROUP_LEN * Self::TILE_COLS / 32] }
    }

    #[inline(always)]
    unsafe fn rearrange<'a>(codes: &'a [i8], scratch: &'a mut Self::Scratch) -> &'a [i8] {
        let codes = codes.as_chunks::<32>().0;
        assert!(2 * codes.len() <= scratch.len());
        for (codes, words) in codes.iter().zip(scratch.as_chunks_mut().0) {
            // SAFETY: the caller's promise.
            *words = unsafe { even_odd_words(_mm256_loadu_si256(codes.as_ptr().cast())) };
        }
        // SAFETY: the bytes of the scratch memory, which has as many as the slice.
        unsafe { std::slice::from_raw_parts(scratch.as_ptr().cast(), size_of_val(scratch)) }
    }

    #[inline(always)]
    unsafe fn add(acc: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { Self::add_pairs(acc, weights, x) }
    }
}

impl IntegerDot for Vnni {
    const PER_32: usize = PER_32;
    const TILE_COLS: usize = 512;
    const IN_WORDS: bool = false;
    type Scratch = ();

    #[inline(always)]
    fn offset(layout: &Layout) -> i32 {
        layout.offset()
    }

    #[inline(always)]
    unsafe fn store(
        layout: &Layout,
        codes: __m256i,
        registers: &mut [[__m256i; 2]],
        place: usize,
        half: usize,
    ) {
        let to_unsigned = if is_wide(layout) { -128 } else { 0 };
        registers[place][half] =
            // SAFETY: the caller's promise.
            unsafe { _mm256_xor_si256(codes, _mm256_set1_epi8(to_unsigned)) };
    }

    #[inline(always)]
    unsafe fn scratch() {}

    #[inline(always)]
    unsafe fn rearrange<'a>(codes: &'a [i8], (): &'a mut ()) -> &'a [i8] {
        codes
    }

    #[inline(always)]
    unsafe fn add(acc: __m256i, weights: __m256i, x: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpbusd_avx_epi32(acc, weights, x) }
    }

    #[inline(always)]
    unsafe fn add_pairs(sum: __m256i, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { _mm256_dpwssd_avx_epi32(sum, a, b) }
    }
}

/// Bytes as 16-bit integers, those at even places and those at odd.
#[inline(always)]
unsafe fn even_odd_words(bytes: __m256i) -> [__m256i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        [_mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(bytes)), _mm256_srai_epi16::<8>(bytes)]
    }
}

/// A 32-bit sum as two 16-bit integers that meet a [`multiplier`]: its lowest byte and the rest of
/// it. 32-bit products would be several instructions.
#[inline(always)]
unsafe fn multiplicand(sum: __m256i, is_short: bool) -> __m256i {
    if is_short {
        return sum;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let split = _mm_set_epi8(14, 13, -128, 12, 10, 9, -128, 8, 6, 5, -128, 4, 2, 1, -128, 0);
        _mm256_shuffle_epi8(sum, _mm256_broadcastsi128_si256(split))
    }
}

/// A scale as the 16-bit integers that meet a [`multiplicand`]: itself, and nothing or 256 times
/// itself.
#[inline(always)]
unsafe fn multiplier(scale: __m256i, is_short: bool) -> __m256i {
    if is_short {
        return scale;
    }
    // SAFETY: the caller's promise.
    unsafe { _mm256_or_si256(scale, _mm256_slli_epi32::<24>(scale)) }
}
