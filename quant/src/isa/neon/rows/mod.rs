//! GEMV micro-kernels, for a few tokens: four rows of weights at a time, each read once from where
//! it lies.
//!
//! The lanes of a token's accumulator are the four rows, so that their sums advance together, one
//! fused multiply-add per block. A dot product leaves four sums in a register; three pairwise
//! additions turn those of four rows into one register with a row in each lane.

pub mod flat;
pub mod super_block;

use super::dot::Dot;
use super::unpack::{f16_at, f16_bits_to_f32, largest, load, unpack};
use crate::format::{Flat, Super};
use crate::product::Product;
use std::arch::aarch64::*;
use std::arch::asm;

/// Rows computed together.
pub const N_ROWS: usize = 4;
/// How far ahead of use weights are prefetched.
const PREFETCH_BYTES: usize = 16 << 10;

/// Four neighbouring rows of weights; at the matrix's end the last one repeats.
pub struct Rows<'a, B> {
    rows: [&'a [B]; N_ROWS],
}

impl<'a, B> Rows<'a, B> {
    #[inline(always)]
    pub fn new(weights: &'a [B], first_row: usize, n_rows: usize, n_blocks: usize) -> Self {
        let row = |r: usize| &weights[(first_row + r).min(n_rows - 1) * n_blocks..][..n_blocks];
        Rows { rows: std::array::from_fn(row) }
    }

    /// A block of each row.
    #[inline(always)]
    pub fn blocks(&self, block_idx: usize) -> [&'a B; N_ROWS] {
        let [a, b, c, d] = self.rows;
        [&a[block_idx], &b[block_idx], &c[block_idx], &d[block_idx]]
    }

    /// The lines to prefetch: as many bytes as `n_blocks` blocks of each row have. All four rows
    /// together count as one stream. The addresses may lie beyond the weights.
    #[inline(always)]
    pub fn ahead(&self, first_block: usize, n_blocks: usize) -> impl Iterator<Item = *const i8> {
        let at = first_block * N_ROWS * size_of::<B>() + PREFETCH_BYTES;
        let start = self.rows[0].as_ptr().cast::<i8>().wrapping_add(at);
        let n_lines = (n_blocks * N_ROWS * size_of::<B>()).div_ceil(64);
        (0..n_lines).map(move |line| start.wrapping_add(64 * line))
    }
}

/// Writes the tokens' sums of as many rows as there are.
#[inline(always)]
pub fn store<const N: usize>(
    sums: [[f32; N_ROWS]; N],
    out: &mut [f32],
    first_row: usize,
    n_rows: usize,
) {
    for (out, sums) in out.chunks_exact_mut(n_rows).zip(sums) {
        let out = &mut out[first_row..n_rows.min(first_row + N_ROWS)];
        out.copy_from_slice(&sums[..out.len()]);
    }
}

/// Tokens that share the unpacking of the weights.
pub const N_TOKENS: usize = 4;

/// The sums of four rows' registers, a row in each lane.
#[target_feature(enable = "neon")]
#[inline]
fn add_up([a, b, c, d]: [int32x4_t; N_ROWS]) -> int32x4_t {
    vpaddq_s32(vpaddq_s32(a, b), vpaddq_s32(c, d))
}

#[target_feature(enable = "neon")]
#[inline]
fn to_arrays<const N: usize>(sums: [float32x4_t; N]) -> [[f32; N_ROWS]; N] {
    let mut arrays = [[0.0; N_ROWS]; N];
    for (array, sums) in arrays.iter_mut().zip(sums) {
        // SAFETY: the reference is to four values.
        unsafe { vst1q_f32(array.as_mut_ptr(), sums) };
    }
    arrays
}

/// Prefetches a line that will be read once.
#[inline(always)]
pub fn prefetch(line: *const i8) {
    // SAFETY: a prefetch may name any address.
    unsafe {
        asm!("prfm pldl1strm, [{}]", in(reg) line, options(readonly, nostack, preserves_flags))
    };
}
