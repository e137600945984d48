//! Several tokens: a tile of rows is unpacked once, then multiplied with every token.
//!
//! A tile is 32 rows high and 512 columns wide, so that it stays in the first-level cache. In it a
//! register holds the same four columns of sixteen rows, which meet one token's four activations,
//! broadcast. Sums live in registers for the width of a tile, and in the output between tiles. All
//! tiles of some columns follow each other, so that the activations there, of some hundred tokens,
//! stay in the second-level cache.

use super::codes::prefetch;
use super::dot::IntegerDot;
use crate::activations::{Group, Tokens};
use crate::format::Format;
use crate::registry::Product;
use std::arch::x86_64::*;

/// Rows of a register.
pub const HALF_ROWS: usize = 16;
/// Columns of a tile.
pub const TILE_COLS: usize = 512;
/// Tokens whose sums are in registers at once.
const MAX_TOKENS: usize = 6;

/// Unpacked blocks of two halves of sixteen rows.
pub trait Tile<F: Format> {
    /// What kernels need of the sums of a group's activations at a tile's columns.
    type Sums;

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

    /// Looks at a group's activations for some of its blocks.
    ///
    /// # Safety
    /// See [`Self::zeroed`].
    unsafe fn sums(x: Group<'_>, columns: Columns) -> Self::Sums;

    /// Adds the products of the tile with `N` tokens, `first_token` and on of their group, to their
    /// sums.
    ///
    /// # Safety
    /// The CPU must have the features of `D`.
    unsafe fn multiply<D: IntegerDot, const N: usize>(
        &self,
        columns: Columns,
        x: Tokens<'_, N>,
        x_sums: &Self::Sums,
        first_token: usize,
        sums: &mut [[__m512; 2]; N],
    );
}

/// The blocks of each row that a tile holds.
#[derive(Clone, Copy)]
pub struct Columns {
    /// The first.
    pub first_block: usize,
    /// How many.
    pub n_blocks: usize,
}

/// Multiplies with any number of tokens.
///
/// # Safety
/// The CPU must have the features of `D`.
#[inline(always)]
pub unsafe fn multiply_many<F: Format, T: Tile<F>, D: IntegerDot>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    // SAFETY: the caller's promise.
    unsafe {
        let mut tile = T::zeroed();
        for first_block in (0..blocks_per_row).step_by(TILE_COLS / F::BLOCK_LEN) {
            let n_blocks = (blocks_per_row - first_block).min(TILE_COLS / F::BLOCK_LEN);
            let columns = Columns { first_block, n_blocks };
            for first_row in (0..n_rows).step_by(2 * HALF_ROWS) {
                unpack(&mut tile, &product, first_row, columns);
                let at = Place { n_rows, first_row, columns };
                let mut out = &mut *product.out;
                for group in product.x.groups() {
                    let x_sums = T::sums(group, columns);
                    let mut first = 0;
                    while first < group.n_tokens() {
                        // Parts of nearly equal size, none larger than fits.
                        let rest = group.n_tokens() - first;
                        let n = rest.div_ceil(rest.div_ceil(MAX_TOKENS));
                        multiply_part::<F, T, D>(&tile, at, group, &x_sums, (first, n), out);
                        out = &mut out[n * n_rows..];
                        first += n;
                    }
                }
            }
        }
    }
}

/// Fills a tile, and asks for what the one below it will be filled with.
#[inline(always)]
unsafe fn unpack<F: Format, T: Tile<F>>(
    tile: &mut T,
    product: &Product<'_, F>,
    first_row: usize,
    Columns { first_block, n_blocks }: Columns,
) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let blocks_per_line = (64 / size_of::<F::Block>()).max(1);
    for half in 0..2 {
        // Rows beyond the end are copies of the last; what they give is not stored.
        let mut rows = [std::ptr::null::<F::Block>(); HALF_ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            let row_idx = (first_row + half * HALF_ROWS + i).min(n_rows - 1);
            *row = &raw const product.weights[row_idx * blocks_per_row + first_block];
        }
        for block in 0..n_blocks {
            // SAFETY: the caller's promise; each row has `n_blocks` from its address on.
            unsafe { tile.unpack(half, block, &rows) };
            if block % blocks_per_line == 0 {
                for row in rows {
                    prefetch(row, 2 * HALF_ROWS * blocks_per_row * size_of::<F::Block>());
                }
            }
            for row in &mut rows {
                *row = row.wrapping_add(1);
            }
        }
    }
}

/// What a tile is of.
#[derive(Clone, Copy)]
struct Place {
    n_rows: usize,
    first_row: usize,
    columns: Columns,
}

/// Multiplies a tile with `n` tokens of a group, `first` and on; `out` begins with the first's row.
#[inline(always)]
unsafe fn multiply_part<F: Format, T: Tile<F>, D: IntegerDot>(
    tile: &T,
    at: Place,
    x: Group<'_>,
    x_sums: &T::Sums,
    (first, n): (usize, usize),
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        match n {
            1 => update_sums::<F, T, D, 1>(tile, at, x, x_sums, first, out),
            2 => update_sums::<F, T, D, 2>(tile, at, x, x_sums, first, out),
            3 => update_sums::<F, T, D, 3>(tile, at, x, x_sums, first, out),
            4 => update_sums::<F, T, D, 4>(tile, at, x, x_sums, first, out),
            5 => update_sums::<F, T, D, 5>(tile, at, x, x_sums, first, out),
            _ => update_sums::<F, T, D, MAX_TOKENS>(tile, at, x, x_sums, first, out),
        }
    }
}

#[inline(always)]
unsafe fn update_sums<F, T, D, const N: usize>(
    tile: &T,
    at: Place,
    x: Group<'_>,
    x_sums: &T::Sums,
    first: usize,
    out: &mut [f32],
) where
    F: Format,
    T: Tile<F>,
    D: IntegerDot,
{
    let Place { n_rows, first_row, columns } = at;
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
        if columns.first_block > 0 {
            for (t, sums) in sums.iter_mut().enumerate() {
                for (half, sum) in sums.iter_mut().enumerate() {
                    *sum = _mm512_maskz_loadu_ps(mask(half), place(out.as_mut_ptr(), t, half));
                }
            }
        }
        tile.multiply::<D, N>(columns, x.tokens(first), x_sums, first, &mut sums);
        for (t, sums) in sums.iter().enumerate() {
            for (half, &sum) in sums.iter().enumerate() {
                _mm512_mask_storeu_ps(place(out.as_mut_ptr(), t, half), mask(half), sum);
            }
        }
    }
}
