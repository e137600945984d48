//! GEMM micro-kernels, for more tokens: a tile of rows is unpacked once, then multiplied with four
//! tokens at a time. Registers hold the sums of `MR x NR` results: 8 rows by 4 tokens.
//!
//! A tile is 32 rows high and 512 columns wide, so that it stays in the first-level cache. Codes
//! and activations lie in it in the order in which [`FourByFour`] multiplies them: eight rows and
//! four tokens together, whose sums are in registers for the width of a tile and in the output
//! between tiles.

pub mod flat;
pub mod super_block;

use super::dot::FourByFour;
use super::rows::Rows;
use super::unpack::{f16_at, f16_bits_to_f32, load, unpack};
use crate::activations::{Activations, Tokens};
use crate::format::Format;
use crate::isa::stamp::each;
use crate::product::Product;
use std::arch::aarch64::*;

/// Rows, and tokens, of a [`FourByFour`]; tokens are the `NR` of the micro-kernels.
const FOUR: usize = 4;
/// Fours of rows in a tile.
const N_FOURS: usize = 8;
/// Fours of rows whose sums are in registers at once: `MR` is eight.
const N_TOGETHER: usize = 2;
/// Columns of a tile.
const TILE_COLS: usize = 512;
/// Sixteens of columns.
const SIXTEENS: usize = TILE_COLS / 16;

/// The sums of some fours of rows with four tokens.
type Sums = [[float32x4_t; FOUR]; N_TOGETHER];

/// A tile: unpacked blocks of some fours of rows.
pub trait Tile<F: Format> {
    /// Activations of four tokens for the tile's columns.
    type Tokens;

    /// A tile of zeros, to be overwritten.
    fn zeroed() -> Self;

    /// Unpacks one block of each of four rows, to be block `block_idx` of the tile.
    fn unpack<G: FourByFour>(
        &mut self,
        four_idx: usize,
        block_idx: usize,
        blocks: [&F::Block; FOUR],
        grid: G,
    );

    /// Puts activations into order.
    fn tokens<G: FourByFour>(x: &Columns<'_>, grid: G) -> Self::Tokens;

    /// Adds the products of the first `n_blocks` blocks of some fours of rows to their sums.
    fn multiply<G: FourByFour>(
        &self,
        first_four: usize,
        n_blocks: usize,
        x: &Self::Tokens,
        sums: Sums,
        grid: G,
    ) -> Sums;
}

/// Some blocks of four tokens' activations.
pub struct Columns<'a> {
    tokens: [Tokens<'a, 1>; FOUR],
    first_block: usize,
    n_blocks: usize,
}

impl<'a> Columns<'a> {
    /// Missing tokens are copies of the last; what they give is not stored.
    fn new(x: &'a Activations, first_token: usize, first_block: usize, n_blocks: usize) -> Self {
        let last = x.n_tokens() - 1;
        let tokens = std::array::from_fn(|t| x.tokens((first_token + t).min(last)));
        Columns { tokens, first_block, n_blocks }
    }

    /// The codes, in order. Blocks have `LEN` of them.
    #[inline(always)]
    fn codes<G: FourByFour, const LEN: usize>(&self, grid: G) -> [[int8x16_t; FOUR]; SIXTEENS] {
        // SAFETY: NEON is part of the target.
        let mut codes = [[unsafe { vdupq_n_s8(0) }; FOUR]; SIXTEENS];
        for (block_idx, codes) in codes.chunks_exact_mut(LEN / 16).take(self.n_blocks).enumerate() {
            let tokens = each!(t in [0 1 2 3] => {
                let [codes] = self.tokens[t].codes::<LEN>(self.first_block + block_idx);
                codes.as_chunks().0
            });
            for (i, codes) in codes.iter_mut().enumerate() {
                *codes = grid.tokens(each!(t in [0 1 2 3] => load(&tokens[t][i])));
            }
        }
        codes
    }

    /// The scales of a block.
    #[inline(always)]
    fn scales(&self, block_idx: usize) -> float32x4_t {
        let scales =
            each!(t in [0 1 2 3] => self.tokens[t].scales(self.first_block + block_idx)[0]);
        // SAFETY: the array is four values; NEON is part of the target.
        unsafe { vld1q_f32(scales.as_ptr()) }
    }

    /// The sums of a block, `LEN` of each token.
    #[inline(always)]
    fn sums<const LEN: usize>(&self, block_idx: usize) -> [&'a [i16; LEN]; FOUR] {
        each!(t in [0 1 2 3] => &self.tokens[t].sums(self.first_block + block_idx)[0])
    }
}

/// GEMM with any number of tokens.
pub fn multiply<F: Format, T: Tile<F>, G: FourByFour>(product: Product<'_, F>, grid: G) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let max_blocks = TILE_COLS / F::BLOCK_LEN;
    let mut tile = T::zeroed();
    for first_row in (0..n_rows).step_by(N_FOURS * FOUR) {
        let n_fours = (n_rows - first_row).div_ceil(FOUR).min(N_FOURS);
        for first_block in (0..blocks_per_row).step_by(max_blocks) {
            let n_blocks = (blocks_per_row - first_block).min(max_blocks);
            for four_idx in 0..n_fours {
                let row_idx = first_row + four_idx * FOUR;
                let rows = Rows::new(product.weights, row_idx, n_rows, blocks_per_row);
                for block_idx in 0..n_blocks {
                    let blocks = rows.blocks(first_block + block_idx);
                    tile.unpack(four_idx, block_idx, blocks, grid);
                }
            }
            let outs = product.out.chunks_mut(FOUR * n_rows);
            for (first_token, out) in (0..).step_by(FOUR).zip(outs) {
                let x = Columns::new(product.x, first_token, first_block, n_blocks);
                let x = T::tokens(&x, grid);
                for first_four in (0..n_fours).step_by(N_TOGETHER) {
                    let mut corner =
                        Corner { out, n_rows, first_row: first_row + first_four * FOUR };
                    let sums = if first_block == 0 { zero_sums() } else { corner.load(grid) };
                    corner.store(tile.multiply(first_four, n_blocks, &x, sums, grid), grid);
                }
            }
        }
    }
}

#[inline(always)]
fn zero_sums() -> Sums {
    // SAFETY: NEON is part of the target.
    [[unsafe { vdupq_n_f32(0.0) }; FOUR]; N_TOGETHER]
}

/// The place of some fours of rows in the output of up to four tokens.
struct Corner<'a> {
    out: &'a mut [f32],
    n_rows: usize,
    first_row: usize,
}

impl Corner<'_> {
    /// The results of a four of rows, token by token; fewer than four at the matrix's end.
    #[inline(always)]
    fn places(&mut self, four_idx: usize) -> impl Iterator<Item = &mut [f32]> {
        let start = (self.first_row + four_idx * FOUR).min(self.n_rows);
        let end = (start + FOUR).min(self.n_rows);
        self.out.chunks_exact_mut(self.n_rows).map(move |out| &mut out[start..end])
    }

    /// The sums that tiles further left have stored there.
    #[inline(always)]
    fn load<G: FourByFour>(&mut self, grid: G) -> Sums {
        let mut sums = zero_sums();
        for (four_idx, sums) in sums.iter_mut().enumerate() {
            for (sums, place) in sums.iter_mut().zip(self.places(four_idx)) {
                let mut values = [0.0; FOUR];
                match place.first_chunk() {
                    Some(all) => values = *all,
                    None => values[..place.len()].copy_from_slice(place),
                }
                // SAFETY: the array is four values; NEON is part of the target.
                *sums = unsafe { vld1q_f32(values.as_ptr()) };
            }
            *sums = grid.own_order(*sums);
        }
        sums
    }

    #[inline(always)]
    fn store<G: FourByFour>(&mut self, sums: Sums, grid: G) {
        for (four_idx, sums) in sums.into_iter().enumerate() {
            for (sums, place) in grid.by_token(sums).into_iter().zip(self.places(four_idx)) {
                let mut values = [0.0; FOUR];
                // SAFETY: the array is four values; NEON is part of the target.
                unsafe { vst1q_f32(values.as_mut_ptr(), sums) };
                match place.first_chunk_mut() {
                    Some(all) => *all = values,
                    None => place.copy_from_slice(&values[..place.len()]),
                }
            }
        }
    }
}
