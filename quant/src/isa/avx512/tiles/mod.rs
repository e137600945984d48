//! GEMM micro-kernels, for more than a few tokens: a tile of rows is unpacked once, then multiplied
//! with every token. Registers hold the sums of `MR x NR` results: 32 rows by up to 6 tokens.
//!
//! A tile is 32 rows high and some hundred columns wide, so that it stays in the first-level cache;
//! of matrices with fewer than 16 rows it has two.
//! In it a register holds the same four columns of sixteen rows, which meet one token's four
//! activations, broadcast. Sums live in registers for the width of a tile, and in the output between
//! tiles. Where there are very many tokens, a stripe of columns is taken through all rows before the
//! next, so that the activations there stay in the second-level cache.

pub mod flat;
pub mod super_block;

use super::dot::IntegerDot;
use super::prefetch::{Costs, PrefetchBudget, Prefetcher};
use super::transpose::{N_ROWS, SixteenBlocks};
use crate::activations::{Activations, Group, Tokens};
use crate::format::Format;
use crate::product::Product;
use std::arch::x86_64::*;

/// Tokens whose sums are in registers at once: the largest `NR` of the micro-kernels.
const MAX_TOKENS: usize = 6;

/// A tile: unpacked blocks of two halves of sixteen rows.
pub trait Tile<F: Format> {
    /// Most blocks of each row that fit.
    const MAX_BLOCKS: usize;
    /// How long its two phases take, for the prefetches in between.
    const COSTS: Costs = Costs { unpacking: 20, multiplying: 11 };

    /// A tile of zeros, to be overwritten.
    ///
    /// # Safety
    /// The CPU must have what the kernel needs; so for all functions here.
    unsafe fn zeroed() -> Self;

    /// Unpacks one block of each row of a half, to be block `block` of the tile.
    ///
    /// # Safety
    /// `rows` must be blocks.
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &SixteenBlocks<F::Block>);

    /// Adds the products of the tile with all tokens to `out`, `[n_tokens, n_rows]`, and prefetches
    /// the next rows meanwhile.
    ///
    /// # Safety
    /// See [`Self::zeroed`].
    unsafe fn multiply(
        &mut self,
        at: Place,
        x: &Activations,
        prefetcher: &mut Prefetcher,
        out: &mut [f32],
    );
}

/// The part of a matrix that a tile holds.
#[derive(Clone, Copy)]
pub struct Place {
    /// Rows of the matrix.
    pub n_rows: usize,
    /// The rows of each half.
    pub halves: [Half; 2],
    /// The tile's first block of each row.
    pub first_block: usize,
    /// The tile's blocks of each row.
    pub n_blocks: usize,
}

/// The rows of a half of a tile, one per element of a register.
#[derive(Clone, Copy)]
pub struct Half {
    /// The first row.
    row: usize,
    /// The elements whose rows no half before it has.
    mask: u16,
}

impl Half {
    /// The half that begins at `row`, or earlier where the matrix would end before the half.
    fn new(n_rows: usize, row: usize) -> Half {
        let height = half_height(n_rows);
        let first = row.min(n_rows - height);
        let up_to = |n: usize| ((1u32 << n) - 1) as u16;
        Half { row: first, mask: up_to(height) & !up_to((row - first).min(height)) }
    }
}

/// Rows of a half of a tile: a register's 16 or, where the matrix has fewer, a single row that is
/// broadcast to all elements.
fn half_height(n_rows: usize) -> usize {
    if n_rows < N_ROWS { 1 } else { N_ROWS }
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
                    let rows = out.as_ptr().wrapping_add(t * self.n_rows + self.halves[half].row);
                    let mask = if t < n_tokens { self.halves[half].mask } else { 0 };
                    *sum = _mm512_maskz_loadu_ps(mask, rows);
                }
            }
            sums
        }
    }

    /// Stores the sums of a half's rows with `n_tokens`: the inverse of [`Self::load`].
    ///
    /// # Safety
    /// The CPU must have this module's features.
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
            let rows = out.as_mut_ptr().wrapping_add(t * self.n_rows + self.halves[half].row);
            let mask = if t < n_tokens { self.halves[half].mask } else { 0 };
            // SAFETY: the masks keep the stores inside of each token's rows.
            unsafe { _mm512_mask_storeu_ps(rows, mask, sum) };
        }
    }
}

/// Bytes of activations that should stay in a second-level cache while rows pass.
const CACHED_BYTES: usize = 1 << 20;

/// GEMM with any number of tokens.
///
/// # Safety
/// The CPU must have what `T` needs.
#[inline(always)]
pub unsafe fn multiply<F: Format, T: Tile<F>>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let height = 2 * half_height(n_rows);
    let n_tiles = (CACHED_BYTES / product.n_tokens() / (T::MAX_BLOCKS * F::BLOCK_LEN)).max(1);
    let stripe_len = n_tiles * T::MAX_BLOCKS;
    // SAFETY: the caller's promise.
    unsafe {
        let mut tile = T::zeroed();
        for stripe in (0..blocks_per_row).step_by(stripe_len) {
            let stripe_end = blocks_per_row.min(stripe + stripe_len);
            let budget =
                PrefetchBudget::new::<F>(stripe_end - stripe, product.n_tokens(), T::COSTS);
            for first_row in (0..n_rows).step_by(height) {
                let halves = [first_row, first_row + height / 2].map(|row| Half::new(n_rows, row));
                let next = if first_row + height < n_rows {
                    (first_row + height) * blocks_per_row + stripe
                } else if stripe_end < blocks_per_row {
                    stripe_end
                } else {
                    n_rows * blocks_per_row
                };
                let mut prefetcher = Prefetcher::new(&product, next, budget);
                for first_block in (stripe..stripe_end).step_by(T::MAX_BLOCKS) {
                    let n_blocks = (stripe_end - first_block).min(T::MAX_BLOCKS);
                    let at = Place { n_rows, halves, first_block, n_blocks };
                    unpack(&mut tile, &product, at, &mut prefetcher);
                    tile.multiply(at, product.x, &mut prefetcher, product.out);
                }
            }
        }
    }
}

/// Unpacks the rows of a tile.
#[inline(always)]
unsafe fn unpack<F: Format, T: Tile<F>>(
    tile: &mut T,
    product: &Product<'_, F>,
    at: Place,
    prefetcher: &mut Prefetcher,
) {
    let blocks_per_row = product.blocks_per_row();
    let height = half_height(at.n_rows);
    // Where there are fewer rows than elements, all elements are the one row.
    let distance = if height < N_ROWS { 0 } else { blocks_per_row * size_of::<F::Block>() };
    for half in 0..2 {
        let first = at.halves[half].row * blocks_per_row + at.first_block;
        let weights = &product.weights[first..][..(height - 1) * blocks_per_row + at.n_blocks];
        let mut rows = SixteenBlocks::new(weights.as_ptr(), distance);
        for block in 0..at.n_blocks {
            prefetcher.unpacking();
            // SAFETY: the caller's promise; the slice has `n_blocks` of each row.
            unsafe { tile.unpack(half, block, &rows) };
            rows.advance();
        }
    }
}

/// A tile whose micro-kernel multiplies up to [`MAX_TOKENS`] tokens at a time.
pub trait PartTile<D: IntegerDot> {
    /// What the micro-kernel needs of the sums of a group's activations.
    type Sums;

    /// Prepares the sums of a group's activations.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    unsafe fn prepare_sums(at: Place, x: Group<'_>) -> Self::Sums;

    /// Adds the products with `N` tokens, `first` and on of their group, to their sums.
    ///
    /// # Safety
    /// The CPU must have the features of `D`, too.
    unsafe fn multiply_part<const N: usize>(
        &self,
        at: Place,
        x: Tokens<'_, N>,
        of_group: (&Self::Sums, usize),
        prefetcher: &mut Prefetcher,
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
    prefetcher: &mut Prefetcher,
    mut out: &mut [f32],
) {
    for x in x.groups() {
        // SAFETY: the caller's promise.
        let sums = unsafe { T::prepare_sums(at, x) };
        let mut first = 0;
        while first < x.n_tokens() {
            // Parts of nearly equal size, none larger than fits.
            let rest = x.n_tokens() - first;
            let n = rest.div_ceil(rest.div_ceil(MAX_TOKENS));
            let of_group = (&sums, first);
            let (part, others) = out.split_at_mut(n * at.n_rows);
            // SAFETY: the caller's promise.
            unsafe {
                match n {
                    1 => add_part::<D, T, 1>(tile, at, x, of_group, prefetcher, part),
                    2 => add_part::<D, T, 2>(tile, at, x, of_group, prefetcher, part),
                    3 => add_part::<D, T, 3>(tile, at, x, of_group, prefetcher, part),
                    4 => add_part::<D, T, 4>(tile, at, x, of_group, prefetcher, part),
                    5 => add_part::<D, T, 5>(tile, at, x, of_group, prefetcher, part),
                    _ => add_part::<D, T, MAX_TOKENS>(tile, at, x, of_group, prefetcher, part),
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
    prefetcher: &mut Prefetcher,
    out: &mut [f32],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let sums = [at.load::<N>(0, N, out), at.load::<N>(1, N, out)];
        let [low, high] = tile.multiply_part(at, x.tokens(of_group.1), of_group, prefetcher, sums);
        at.store(0, N, &low, out);
        at.store(1, N, &high, out);
    }
}
