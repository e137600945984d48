//! Several tokens: a tile of rows is unpacked once, then multiplied with every token.
//!
//! A tile is 32 rows high and 512 columns wide, so that it stays in the first-level cache. In it a
//! register holds the same four columns of sixteen rows, which meet one token's four activations,
//! broadcast. Sums live in registers for the width of a tile, and in the output between tiles.

use super::dot::IntegerDot;
use crate::activations::Activations;
use crate::format::Format;
use crate::registry::Product;
use std::arch::x86_64::*;

/// Rows of a register.
pub const HALF_ROWS: usize = 16;
/// Columns of a tile.
pub const TILE_COLS: usize = 512;
/// Tokens whose sums are in registers at once.
const GROUP_LEN: usize = 6;

/// Unpacked blocks of two halves of sixteen rows.
pub trait Tile<F: Format> {
    /// Room for a tile.
    ///
    /// # Safety
    /// The CPU must have this module's features; so for all functions here.
    unsafe fn zeroed() -> Self;

    /// Unpacks one block of each row of a half, to be block `block` of the tile.
    ///
    /// # Safety
    /// `rows` must be the addresses of blocks.
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &[*const F::Block; HALF_ROWS]);

    /// Adds the products of the tile's first `n_blocks` blocks with `N` tokens to their sums.
    ///
    /// # Safety
    /// The CPU must have the features of `D`.
    unsafe fn multiply<D: IntegerDot, const N: usize>(
        &self,
        n_blocks: usize,
        x: TileActivations<'_>,
        sums: &mut [[__m512; 2]; N],
    );
}

/// The activations of some tokens at a tile's columns.
#[derive(Clone, Copy)]
pub struct TileActivations<'a> {
    x: &'a Activations,
    tokens: &'a [u32],
    first_col: usize,
}

impl<'a> TileActivations<'a> {
    /// Codes of token `t` of the group, from the tile's first column on.
    #[inline(always)]
    pub fn codes(&self, t: usize) -> &'a [i8] {
        &self.x.codes(self.tokens[t])[self.first_col..]
    }

    /// Scales of its blocks.
    #[inline(always)]
    pub fn scales(&self, t: usize) -> &'a [f32] {
        &self.x.scales(self.tokens[t])[self.first_col / self.x.kind().block_len()..]
    }

    /// Sums of its codes.
    #[inline(always)]
    pub fn sums(&self, t: usize) -> &'a [i16] {
        &self.x.sums(self.tokens[t])[self.first_col / self.x.kind().sum_len()..]
    }
}

/// Multiplies with any number of tokens.
///
/// # Safety
/// The CPU must have the features of `D`.
#[inline(always)]
pub unsafe fn multiply_many<F: Format, T: Tile<F>, D: IntegerDot>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let max_blocks = TILE_COLS / F::BLOCK_LEN;
    // SAFETY: the caller's promise; `rows` are addresses of blocks, each with `n_blocks` more.
    unsafe {
        let mut tile = T::zeroed();
        for first_row in (0..n_rows).step_by(2 * HALF_ROWS) {
            for first_block in (0..blocks_per_row).step_by(max_blocks) {
                let n_blocks = (blocks_per_row - first_block).min(max_blocks);
                for half in 0..2 {
                    let first_row = first_row + half * HALF_ROWS;
                    // Rows beyond the end are copies of the last; what they give is not stored.
                    let mut rows = [std::ptr::null::<F::Block>(); HALF_ROWS];
                    for (i, row) in rows.iter_mut().enumerate() {
                        let row_idx = (first_row + i).min(n_rows - 1);
                        *row = &raw const product.weights[row_idx * blocks_per_row + first_block];
                    }
                    for block in 0..n_blocks {
                        tile.unpack(half, block, &rows);
                        rows.iter_mut().for_each(|row| *row = row.add(1));
                    }
                }
                let mut tokens = product.tokens;
                let mut out = &mut *product.out;
                while !tokens.is_empty() {
                    // Groups of nearly equal size, none larger than fits.
                    let n = tokens.len().div_ceil(tokens.len().div_ceil(GROUP_LEN));
                    let first_col = first_block * F::BLOCK_LEN;
                    let x = TileActivations { x: product.x, tokens: &tokens[..n], first_col };
                    let at = Place { n_rows, first_row, n_blocks };
                    multiply_group::<F, T, D>(&tile, at, x, out);
                    tokens = &tokens[n..];
                    out = &mut out[n * n_rows..];
                }
            }
        }
    }
}

/// What a tile is of.
#[derive(Clone, Copy)]
struct Place {
    n_rows: usize,
    first_row: usize,
    n_blocks: usize,
}

/// Multiplies a tile with one group of tokens; `out` begins with the first token's row.
#[inline(always)]
unsafe fn multiply_group<F: Format, T: Tile<F>, D: IntegerDot>(
    tile: &T,
    at: Place,
    x: TileActivations<'_>,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        match x.tokens.len() {
            1 => update_sums::<F, T, D, 1>(tile, at, x, out),
            2 => update_sums::<F, T, D, 2>(tile, at, x, out),
            3 => update_sums::<F, T, D, 3>(tile, at, x, out),
            4 => update_sums::<F, T, D, 4>(tile, at, x, out),
            5 => update_sums::<F, T, D, 5>(tile, at, x, out),
            _ => update_sums::<F, T, D, GROUP_LEN>(tile, at, x, out),
        }
    }
}

#[inline(always)]
unsafe fn update_sums<F, T, D, const N: usize>(
    tile: &T,
    at: Place,
    x: TileActivations<'_>,
    out: &mut [f32],
) where
    F: Format,
    T: Tile<F>,
    D: IntegerDot,
{
    assert_eq!(x.tokens.len(), N);
    let Place { n_rows, first_row, n_blocks } = at;
    assert!(out.len() >= N * n_rows);
    // SAFETY: the caller's promise; the masks keep loads and stores inside of the rows of `out`.
    unsafe {
        let mask = |half: usize| {
            let rows = n_rows.saturating_sub(first_row + half * HALF_ROWS);
            if rows < HALF_ROWS { (1 << rows) - 1 } else { !0 }
        };
        let place =
            |out: *mut f32, t, half| out.wrapping_add(t * n_rows + first_row + half * HALF_ROWS);
        let mut sums = [[_mm512_setzero_ps(); 2]; N];
        if x.first_col > 0 {
            for (t, sums) in sums.iter_mut().enumerate() {
                for (half, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(mask(half), place(out.as_mut_ptr(), t, half));
                }
            }
        }
        tile.multiply::<D, N>(n_blocks, x, &mut sums);
        for (t, sums) in sums.iter().enumerate() {
            for (half, &sum) in sums.iter().enumerate() {
                _mm512_mask_storeu_ps(place(out.as_mut_ptr(), t, half), mask(half), sum);
            }
        }
    }
}
