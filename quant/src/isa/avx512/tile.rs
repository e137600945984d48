//! Several tokens: a tile of rows is unpacked once, then multiplied with every token.
//!
//! A tile is 32 rows high and some hundred columns wide, so that it stays in the first-level cache.
//! In it a register holds the same four columns of sixteen rows, which meet one token's four
//! activations, broadcast. Sums live in registers for the width of a tile, and in the output between
//! tiles. Where there are very many tokens, a stripe of columns is taken through all rows before the
//! next, so that the activations there stay in the second-level cache.

use super::codes::prefetch;
use super::dot::IntegerDot;
use crate::activations::{Activations, Group, Tokens};
use crate::format::Format;
use crate::registry::Product;
use std::arch::x86_64::*;

/// Rows of a register.
pub const HALF_ROWS: usize = 16;
/// Tokens whose sums are in registers at once.
const MAX_TOKENS: usize = 6;

/// Unpacked blocks of two halves of sixteen rows.
pub trait Tile<F: Format> {
    /// Most blocks of each row.
    const MAX_BLOCKS: usize;

    /// Room for a tile.
    ///
    /// # Safety
    /// The CPU must have what the kernel needs; so for all functions here.
    unsafe fn zeroed() -> Self;

    /// Unpacks one block of each row of a half, to be block `block` of the tile.
    ///
    /// # Safety
    /// `rows` must be the addresses of blocks.
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &[*const F::Block; HALF_ROWS]);

    /// Adds the products of the tile with all tokens to `out`, `[n_tokens, n_rows]`, and takes
    /// from `ahead` a share for each group.
    ///
    /// # Safety
    /// See [`Self::zeroed`].
    unsafe fn multiply(&mut self, at: Place, x: &Activations, ahead: &mut Ahead, out: &mut [f32]);
}

/// What a tile is of.
#[derive(Clone, Copy)]
pub struct Place {
    /// Rows of the matrix.
    pub n_rows: usize,
    /// First of the tile's.
    pub first_row: usize,
    /// First of its blocks in each row.
    pub first_block: usize,
    /// How many blocks.
    pub n_blocks: usize,
}

impl Place {
    /// The sums so far of a half's rows with `n_tokens`, at most `N`, whose rows `out` has.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    #[inline(always)]
    pub unsafe fn load<const N: usize>(
        &self,
        half: usize,
        n_tokens: usize,
        out: &[f32],
    ) -> [__m512; N] {
        assert!(out.len() >= n_tokens * self.n_rows);
        // SAFETY: the masks keep loads inside of each token's rows.
        unsafe {
            let mut sums = [_mm512_setzero_ps(); N];
            if self.first_block > 0 {
                for (t, sum) in sums.iter_mut().enumerate() {
                    let rows = out.as_ptr().wrapping_add(t * self.n_rows + self.row(half));
                    let mask = if t < n_tokens { self.mask(half) } else { 0 };
                    *sum = _mm512_maskz_loadu_ps(mask, rows);
                }
            }
            sums
        }
    }

    /// The inverse of [`Self::load`].
    ///
    /// # Safety
    /// Likewise.
    #[inline(always)]
    pub unsafe fn store<const N: usize>(
        &self,
        half: usize,
        n_tokens: usize,
        sums: &[__m512; N],
        out: &mut [f32],
    ) {
        assert!(out.len() >= n_tokens * self.n_rows);
        for (t, &sum) in sums.iter().enumerate() {
            let rows = out.as_mut_ptr().wrapping_add(t * self.n_rows + self.row(half));
            let mask = if t < n_tokens { self.mask(half) } else { 0 };
            // SAFETY: the masks keep the stores inside of each token's rows.
            unsafe { _mm512_mask_storeu_ps(rows, mask, sum) };
        }
    }

    /// First row of a half.
    pub fn row(&self, half: usize) -> usize {
        self.first_row + half * HALF_ROWS
    }

    /// Those of a half's rows that the matrix has.
    pub fn mask(&self, half: usize) -> u16 {
        let n_rows = self.n_rows.saturating_sub(self.row(half));
        if n_rows < HALF_ROWS { (1 << n_rows) - 1 } else { !0 }
    }
}

/// The packed weights of the next tile, to be asked for a few lines at a time while this one is
/// multiplied: all at once they would hold up its loads.
pub struct Ahead {
    start: *const i8,
    row_bytes: usize,
    /// Lines asked for so far, counted down the rows, and how many there are.
    n_asked: usize,
    n_lines: usize,
    share: usize,
}

impl Ahead {
    fn new(start: *const i8, row_bytes: usize, tile_row_bytes: usize, n_groups: usize) -> Ahead {
        let n_lines = 2 * HALF_ROWS * (tile_row_bytes / 64 + 1);
        Ahead { start, row_bytes, n_asked: 0, n_lines, share: n_lines.div_ceil(n_groups) }
    }

    /// Asks for a group's share.
    #[inline(always)]
    pub fn ask(&mut self) {
        let end = (self.n_asked + self.share).min(self.n_lines);
        for line in self.n_asked..end {
            let (row, line) = (line % (2 * HALF_ROWS), line / (2 * HALF_ROWS));
            prefetch(self.start, row * self.row_bytes + line * 64);
        }
        self.n_asked = end;
    }
}

/// Bytes of activations that should stay in a second-level cache while rows pass.
const CACHED_BYTES: usize = 1 << 20;

/// Multiplies with any number of tokens.
///
/// # Safety
/// The CPU must have what `T` needs.
#[inline(always)]
pub unsafe fn multiply_many<F: Format, T: Tile<F>>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let n_tiles = (CACHED_BYTES / product.n_tokens() / (T::MAX_BLOCKS * F::BLOCK_LEN)).max(1);
    let stripe_len = n_tiles * T::MAX_BLOCKS;
    let n_groups = product.x.groups().count();
    // SAFETY: the caller's promise.
    unsafe {
        let mut tile = T::zeroed();
        for stripe in (0..blocks_per_row).step_by(stripe_len) {
            let stripe_end = blocks_per_row.min(stripe + stripe_len);
            for first_row in (0..n_rows).step_by(2 * HALF_ROWS) {
                for first_block in (stripe..stripe_end).step_by(T::MAX_BLOCKS) {
                    let n_blocks = (stripe_end - first_block).min(T::MAX_BLOCKS);
                    let at = Place { n_rows, first_row, first_block, n_blocks };
                    unpack(&mut tile, &product, at);
                    let next = if first_block + n_blocks < stripe_end {
                        first_row * blocks_per_row + first_block + n_blocks
                    } else {
                        (first_row + 2 * HALF_ROWS) * blocks_per_row + stripe
                    };
                    let next = product.weights.as_ptr().wrapping_add(next).cast();
                    let block_bytes = size_of::<F::Block>();
                    let mut ahead = Ahead::new(
                        next,
                        blocks_per_row * block_bytes,
                        n_blocks * block_bytes,
                        n_groups,
                    );
                    tile.multiply(at, product.x, &mut ahead, product.out);
                }
            }
        }
    }
}

/// Fills a tile.
#[inline(always)]
unsafe fn unpack<F: Format, T: Tile<F>>(tile: &mut T, product: &Product<'_, F>, at: Place) {
    let blocks_per_row = product.blocks_per_row();
    for half in 0..2 {
        // Rows beyond the end are copies of the last; what they give is not stored.
        let mut rows = [std::ptr::null::<F::Block>(); HALF_ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            let row_idx = (at.row(half) + i).min(at.n_rows - 1);
            *row = &raw const product.weights[row_idx * blocks_per_row + at.first_block];
        }
        for block in 0..at.n_blocks {
            // SAFETY: the caller's promise; each row has `n_blocks` from its address on.
            unsafe { tile.unpack(half, block, &rows) };
            for row in &mut rows {
                *row = row.wrapping_add(1);
            }
        }
    }
}

/// A tile that multiplies up to [`MAX_TOKENS`] tokens at a time.
pub trait PartTile<D: IntegerDot> {
    /// What it needs of the sums of a group's activations.
    type Sums;

    /// Looks at these.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    unsafe fn sums(at: Place, x: Group<'_>) -> Self::Sums;

    /// Adds the products with `N` tokens, `first` and on of their group, to their sums.
    ///
    /// # Safety
    /// The CPU must have the features of `D`, too.
    unsafe fn multiply_part<const N: usize>(
        &self,
        at: Place,
        x: Tokens<'_, N>,
        of_group: (&Self::Sums, usize),
        sums: [[__m512; N]; 2],
    ) -> [[__m512; N]; 2];
}

/// Multiplies part by part; see [`Tile::multiply`].
///
/// # Safety
/// See [`PartTile::multiply_part`].
#[inline(always)]
pub unsafe fn multiply_parts<D: IntegerDot, T: PartTile<D>>(
    tile: &T,
    at: Place,
    x: &Activations,
    ahead: &mut Ahead,
    mut out: &mut [f32],
) {
    for x in x.groups() {
        ahead.ask();
        // SAFETY: the caller's promise.
        let sums = unsafe { T::sums(at, x) };
        let mut first = 0;
        while first < x.n_tokens() {
            // Parts of nearly equal size, none larger than fits.
            let rest = x.n_tokens() - first;
            let n = rest.div_ceil(rest.div_ceil(MAX_TOKENS));
            let of_group = (&sums, first);
            let (part, others) = out.split_at_mut(n * at.n_rows);
            // SAFETY: likewise.
            unsafe {
                match n {
                    1 => add_part::<D, T, 1>(tile, at, x, of_group, part),
                    2 => add_part::<D, T, 2>(tile, at, x, of_group, part),
                    3 => add_part::<D, T, 3>(tile, at, x, of_group, part),
                    4 => add_part::<D, T, 4>(tile, at, x, of_group, part),
                    5 => add_part::<D, T, 5>(tile, at, x, of_group, part),
                    _ => add_part::<D, T, MAX_TOKENS>(tile, at, x, of_group, part),
                }
            }
            out = others;
            first += n;
        }
    }
}

#[inline(always)]
unsafe fn add_part<D: IntegerDot, T: PartTile<D>, const N: usize>(
    tile: &T,
    at: Place,
    x: Group<'_>,
    of_group: (&T::Sums, usize),
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let sums = [at.load::<N>(0, N, out), at.load::<N>(1, N, out)];
        let [low, high] = tile.multiply_part(at, x.tokens(of_group.1), of_group, sums);
        at.store(0, N, &low, out);
        at.store(1, N, &high, out);
    }
}
