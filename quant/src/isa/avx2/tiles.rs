//! Products with more tokens: the codes of eight rows of weights are unpacked once and
//! multiplied with four tokens at a time.
//!
//! A register holds four consecutive codes of each of the eight rows; one dword of activations is
//! broadcast to meet it. Products add up in 16 bits for as long as that is exact, then in 32, and
//! the eight f32 lanes of a token's accumulator are rows. Eight-bit weights are split into halves
//! of four bits, of which sixteen products still add up in 16 bits.

mod flat;
mod super_block;

pub use flat::multiply_flat;
pub use super_block::multiply_super;

use super::unpack::{Sixteen, is_wide, max_code, unpack};
use crate::layout::Layout;
use std::arch::x86_64::*;
use std::ops::Range;

/// Rows of a tile.
const N_ROWS: usize = 8;
/// Tokens that share a load of weights.
const N_TOKENS: usize = 4;
/// Registers of unpacked codes: they and the activations of four tokens stay in a first-level
/// cache of 32 KB.
const N_REGISTERS: usize = 512;
/// Registers of codes per 32 weights, or of each half of eight-bit ones.
const PER_32: usize = 8;

/// Registers that 32 weights of eight rows become.
const fn registers_per_32(layout: &Layout) -> usize {
    if is_wide(layout) { 2 * PER_32 } else { PER_32 }
}

/// Registers whose products with activations, at most 127, add up exactly in 16 bits: two to a
/// word each.
const fn exact_additions(layout: &Layout) -> usize {
    let max_code = if is_wide(layout) { 15 } else { max_code(layout) };
    i16::MAX as usize / (2 * 127 * max_code)
}

/// Stamps out the product over `$tile`, which unpacks as many blocks of eight rows as it has room
/// for and multiplies them with tokens.
macro_rules! tile_product {
    ($(#[$doc:meta])* $name:ident, $family:ident, $tile:ident) => {
        $(#[$doc])*
        #[target_feature(enable = "avx2,fma,f16c")]
        pub fn $name<F: $family>(product: crate::registry::Product<'_, F>) {
            let (n_rows, n_blocks) = (product.n_rows(), product.blocks_per_row());
            let mut tile = $tile::new();
            for first_row in (0..n_rows).step_by(N_ROWS) {
                let n_lanes = N_ROWS.min(n_rows - first_row);
                for first_block in (0..n_blocks).step_by($tile::capacity::<F>()) {
                    let end = n_blocks.min(first_block + $tile::capacity::<F>());
                    let (weights, blocks) = (product.weights, first_block..end);
                    let rows = tile_rows(weights, n_blocks, first_row, blocks.clone());
                    tile.unpack::<F>(rows, first_block);
                    let mut ahead = Ahead::new(weights, n_blocks, first_row, blocks);
                    let (x, mut out) = (product.x, first_row);
                    for first in (0..x.n_tokens()).step_by(N_TOKENS) {
                        let columns = &mut product.out[out..];
                        let columns = OutColumns { out: columns, stride: n_rows, n_lanes };
                        match x.n_tokens() - first {
                            1 => tile.multiply::<F, 1>(x.tokens(first), &ahead, columns),
                            2 => tile.multiply::<F, 2>(x.tokens(first), &ahead, columns),
                            3 => tile.multiply::<F, 3>(x.tokens(first), &ahead, columns),
                            _ => tile.multiply::<F, N_TOKENS>(x.tokens(first), &ahead, columns),
                        }
                        out += N_TOKENS * n_rows;
                        ahead = Ahead::NOTHING;
                    }
                }
            }
        }
    };
}
use tile_product;

/// Some blocks of eight neighbouring rows; at the matrix's end the last row repeats.
fn tile_rows<B>(
    weights: &[B],
    n_blocks: usize,
    first_row: usize,
    blocks: Range<usize>,
) -> [&[B]; N_ROWS] {
    let last_row = weights.len() / n_blocks - 1;
    let row = |r: usize| &weights[(first_row + r).min(last_row) * n_blocks..][blocks.clone()];
    std::array::from_fn(row)
}

/// One element of each row.
#[inline(always)]
fn column<'a, T, const N: usize>(rows: &[&'a [T]; N], idx: usize) -> [&'a T; N] {
    std::array::from_fn(|r| &rows[r][idx])
}

/// The weights of the next tile, to be fetched a few lines at a time while this one multiplies: all
/// at once they would hold up its loads.
struct Ahead {
    start: *const i8,
    row_bytes: usize,
    lines_per_block: usize,
}

impl Ahead {
    const NOTHING: Ahead = Ahead { start: std::ptr::null(), row_bytes: 0, lines_per_block: 0 };

    /// What follows the tile of `blocks` of eight rows: as many blocks further right, or the start
    /// of the next eight rows.
    fn new<B>(weights: &[B], n_blocks: usize, first_row: usize, blocks: Range<usize>) -> Ahead {
        let (row, block) =
            if blocks.end < n_blocks { (first_row, blocks.end) } else { (first_row + N_ROWS, 0) };
        Ahead {
            start: weights.as_ptr().wrapping_add(row * n_blocks + block).cast(),
            row_bytes: n_blocks * size_of::<B>(),
            lines_per_block: (size_of::<B>() * N_ROWS).div_ceil(64),
        }
    }

    /// Fetches the share of the tile's block `block_idx`.
    #[inline(always)]
    fn fetch(&self, block_idx: usize) {
        for line in block_idx * self.lines_per_block..(block_idx + 1) * self.lines_per_block {
            let at = line % N_ROWS * self.row_bytes + line / N_ROWS * 64;
            // SAFETY: a prefetch may name any address.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.start.wrapping_add(at)) };
        }
    }
}

/// A tile's columns of the rows of output that belong to up to four tokens.
struct OutColumns<'a> {
    out: &'a mut [f32],
    stride: usize,
    n_lanes: usize,
}

impl OutColumns<'_> {
    /// What tiles further left have left there.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn load<const N: usize>(&self) -> [__m256; N] {
        let mut sums = [_mm256_setzero_ps(); N];
        for (t, sums) in sums.iter_mut().enumerate() {
            let mut lanes = [0.0; N_ROWS];
            lanes[..self.n_lanes].copy_from_slice(&self.out[t * self.stride..][..self.n_lanes]);
            // SAFETY: the array is 32 bytes.
            *sums = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
        }
        sums
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn store<const N: usize>(&mut self, sums: [__m256; N]) {
        for (t, sums) in sums.into_iter().enumerate() {
            let mut lanes = [0.0; N_ROWS];
            // SAFETY: the array is 32 bytes.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), sums) };
            self.out[t * self.stride..][..self.n_lanes].copy_from_slice(&lanes[..self.n_lanes]);
        }
    }
}

/// Unpacks 32 weights, `first` and on, of eight blocks into [`registers_per_32`] registers: four
/// weights of each block per register, wide weights plus 128 as their low halves, then their high
/// halves.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn unpack_32(
    layout: &Layout,
    blocks: [&[u8]; N_ROWS],
    first: usize,
    registers: &mut [__m256i],
) {
    let (low, high) = registers.split_at_mut(PER_32);
    for half in 0..2 {
        let first = first + 16 * half;
        // SAFETY: the caller's promise.
        unsafe {
            let codes = transpose(each!(r in [0 1 2 3] => {
                let halves = each!(i in [0 1] => Sixteen { block: blocks[r + 4 * i], first });
                unpack(layout, halves)
            }));
            for (place, codes) in (4 * half..).zip(codes) {
                if is_wide(layout) {
                    let unsigned = _mm256_xor_si256(codes, _mm256_set1_epi8(-128));
                    let mask = _mm256_set1_epi8(15);
                    low[place] = _mm256_and_si256(unsigned, mask);
                    high[place] = _mm256_and_si256(_mm256_srli_epi16::<4>(unsigned), mask);
                } else {
                    low[place] = codes;
                }
            }
        }
    }
}

/// Eight f16, given by their bits, as f32.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn widen(bits: [u16; N_ROWS]) -> __m256 {
    let bits: &[u8; 16] = bytemuck::cast_ref(&bits);
    // SAFETY: the reference is to sixteen bytes.
    _mm256_cvtph_ps(unsafe { _mm_loadu_si128(bits.as_ptr().cast()) })
}

/// Transposes four by four dwords in each half.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn transpose([a, b, c, d]: [__m256i; 4]) -> [__m256i; 4] {
    let (ab_low, ab_high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    let (cd_low, cd_high) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab_low, cd_low),
        _mm256_unpackhi_epi64(ab_low, cd_low),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// For each token, the products of the registers with its activations, added up: the two words of
/// lane `r` belong to row `r`.
///
/// # Safety
/// The CPU has AVX2, and `x_codes` hold four codes per register from `first` on.
#[inline(always)]
unsafe fn multiply_words<const N: usize, const LEN: usize>(
    registers: &[__m256i],
    x_codes: &[[i8; LEN]; N],
    first: usize,
) -> [__m256i; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut words = [_mm256_setzero_si256(); N];
        for (i, &weights) in registers.iter().enumerate() {
            for t in 0..N {
                let x_codes = x_codes[t].as_ptr().add(first + 4 * i).cast::<i32>();
                let x_codes = _mm256_set1_epi32(x_codes.read_unaligned());
                words[t] = _mm256_add_epi16(words[t], _mm256_maddubs_epi16(weights, x_codes));
            }
        }
        words
    }
}
