//! GEMM micro-kernels, for more tokens: a tile of rows is unpacked once, then multiplied with every
//! token. Registers hold the sums of `MR x NR` results: a strip of 16 rows by up to 4 tokens.
//!
//! A tile is 32 rows high, in two strips of two registers of eight. In it a register holds the same
//! few columns of eight rows, and meets those activations of one token, broadcast. Sums live in
//! registers for the width of a tile, and in the output between tiles. Tiles follow each other along
//! their rows, which memory answers fastest, for as many columns as have activations that fit into the
//! second-level cache: of few tokens all, of some hundred those of a tile.

pub mod flat;
pub mod super_block;

use super::dot::{IntegerDot, X_BYTES};
use super::unpack::transpose;
use crate::activations::{GROUP_LEN, Group};
use crate::format::Format;
use crate::isa::stamp::each;
use crate::layout::Layout;
use crate::product::Product;
use std::arch::x86_64::*;

/// Rows of a register.
const N_LANES: usize = 8;
/// Rows of a strip: the `MR` of the micro-kernels.
const STRIP_ROWS: usize = 2 * N_LANES;
/// Strips of a tile.
const N_STRIPS: usize = 2;
/// Rows of a tile.
const TILE_ROWS: usize = N_STRIPS * STRIP_ROWS;
/// Tokens whose sums are in registers at once: the largest `NR` of the micro-kernels.
const MAX_TOKENS: usize = 4;

/// A tile of unpacked blocks, and its micro-kernel.
pub trait Tile<F: Format, D: IntegerDot> {
    /// What the micro-kernel needs of the sums of a group's activations at a tile's columns.
    type Sums;

    /// A tile of zeros, to be overwritten.
    ///
    /// # Safety
    /// The CPU must have AVX2 and what `D` needs; so for all functions here.
    unsafe fn zeroed() -> (Self, Self::Sums)
    where
        Self: Sized;

    /// Unpacks a block of each row of a strip, to be block `block` of the tile.
    unsafe fn unpack(&mut self, strip: usize, block: usize, rows: [&F::Block; STRIP_ROWS]);

    /// Prepares what the kernel needs of the sums of a group's activations.
    unsafe fn prepare_sums(x: &Columns<'_>, sums: &mut Self::Sums);

    /// Adds the products of a strip with `N` tokens, `first` and on of their group, to their sums.
    unsafe fn multiply<const N: usize>(
        &self,
        strip: usize,
        x: &Columns<'_>,
        x_sums: &Self::Sums,
        first: usize,
        sums: &mut [[__m256; 2]; N],
    );
}

/// The activations of a group at a tile's columns.
pub struct Columns<'a> {
    n_blocks: usize,
    n_tokens: usize,
    /// `[n_blocks, n_tokens, ..]`, as the way of multiplying wants them.
    codes: &'a [i8],
    /// `[n_blocks, n_tokens]`.
    scales: &'a [f32],
    /// `[n_blocks, n_tokens, n_sums]`.
    sums: &'a [i16],
}

/// Bytes of activations that should stay in a second-level cache, which has 256 KB or more, while rows
/// pass.
const CACHED_BYTES: usize = 128 << 10;

/// GEMM with any number of tokens.
///
/// # Safety
/// The CPU must have AVX2 and what `D` needs.
#[inline(always)]
pub unsafe fn multiply<F: Format, T: Tile<F, D>, D: IntegerDot>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let max_blocks = D::TILE_COLS / F::BLOCK_LEN;
    let stripe_len = (CACHED_BYTES / product.n_tokens() / D::TILE_COLS).max(1) * max_blocks;
    // SAFETY: the caller's promise.
    unsafe {
        let (mut tile, mut x_sums) = T::zeroed();
        let mut scratch = D::scratch();
        for stripe in (0..blocks_per_row).step_by(stripe_len) {
            let stripe_end = blocks_per_row.min(stripe + stripe_len);
            for first_row in (0..n_rows).step_by(TILE_ROWS) {
                // After the stripe's last tile of these rows comes the first of those below or, after
                // the last rows, of the next stripe.
                let below = if first_row + TILE_ROWS < n_rows {
                    (first_row + TILE_ROWS) * blocks_per_row + stripe
                } else {
                    stripe_end
                };
                for first_block in (stripe..stripe_end).step_by(max_blocks) {
                    let n_blocks = (stripe_end - first_block).min(max_blocks);
                    let here = first_row * blocks_per_row + first_block;
                    let is_last = first_block + n_blocks == stripe_end;
                    let ahead = if is_last { below.wrapping_sub(here) } else { n_blocks };
                    fill(&mut tile, &product, here, n_blocks, ahead);
                    let mut out = &mut *product.out;
                    for group in product.x.groups() {
                        let n_tokens = group.n_tokens();
                        let x = columns::<F, D>(group, first_block, n_blocks, &mut scratch);
                        T::prepare_sums(&x, &mut x_sums);
                        for strip in 0..N_STRIPS {
                            let row = first_row + strip * STRIP_ROWS;
                            if row < n_rows {
                                let at = Place { strip, row, n_rows, is_first: first_block == 0 };
                                multiply_strip(&tile, at, &x, &x_sums, out);
                            }
                        }
                        out = &mut out[n_tokens * n_rows..];
                    }
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn columns<'a, F: Format, D: IntegerDot>(
    x: Group<'a>,
    first_block: usize,
    n_blocks: usize,
    scratch: &'a mut D::Scratch,
) -> Columns<'a> {
    let n_tokens = x.n_tokens();
    let places = first_block * n_tokens..(first_block + n_blocks) * n_tokens;
    let n_sums = x.sums().len() / x.scales().len();
    let codes = &x.codes()[places.start * F::BLOCK_LEN..places.end * F::BLOCK_LEN];
    Columns {
        n_blocks,
        n_tokens,
        // SAFETY: the caller's promise.
        codes: unsafe { D::rearrange(codes, scratch) },
        scales: &x.scales()[places.clone()],
        sums: &x.sums()[places.start * n_sums..places.end * n_sums],
    }
}

/// Fills a tile whose first block is number `first` of the matrix, and asks for what the next one, so
/// many blocks ahead, will be filled with.
#[inline(always)]
unsafe fn fill<F: Format, T: Tile<F, D>, D: IntegerDot>(
    tile: &mut T,
    product: &Product<'_, F>,
    first: usize,
    n_blocks: usize,
    ahead: usize,
) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    let (first_row, first_block) = (first / blocks_per_row, first % blocks_per_row);
    let blocks_per_line = (64 / size_of::<F::Block>()).max(1);
    for strip in 0..N_STRIPS {
        // Rows beyond the end are copies of the last; what they give is not stored.
        let mut rows = [&product.weights[..0]; STRIP_ROWS];
        for (i, row) in rows.iter_mut().enumerate() {
            let row_idx = (first_row + strip * STRIP_ROWS + i).min(n_rows - 1);
            *row = &product.weights[row_idx * blocks_per_row + first_block..][..n_blocks];
        }
        for block in 0..n_blocks {
            let blocks = each!(r in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] => &rows[r][block]);
            // SAFETY: the caller's promise.
            unsafe { tile.unpack(strip, block, blocks) };
            if block % blocks_per_line == 0 {
                for block in blocks {
                    let next = std::ptr::from_ref(block).wrapping_add(ahead).cast::<i8>();
                    for line in (0..size_of::<F::Block>()).step_by(64) {
                        // SAFETY: a prefetch may name any address.
                        unsafe { _mm_prefetch::<_MM_HINT_T1>(next.wrapping_add(line)) };
                    }
                }
            }
        }
    }
}

/// A strip, and where its results belong.
#[derive(Clone, Copy)]
struct Place {
    strip: usize,
    row: usize,
    n_rows: usize,
    /// Whether there are no sums yet, of tiles further left.
    is_first: bool,
}

/// Multiplies a strip with a group; `out` begins with the group's first token.
#[inline(always)]
unsafe fn multiply_strip<F: Format, T: Tile<F, D>, D: IntegerDot>(
    tile: &T,
    at: Place,
    x: &Columns<'_>,
    x_sums: &T::Sums,
    mut out: &mut [f32],
) {
    let mut first = 0;
    while first < x.n_tokens {
        // Parts of nearly equal size, none larger than fits.
        let rest = x.n_tokens - first;
        let n = rest.div_ceil(rest.div_ceil(MAX_TOKENS));
        // SAFETY: the caller's promise.
        unsafe {
            match n {
                1 => multiply_part::<F, T, D, 1>(tile, at, x, x_sums, first, out),
                2 => multiply_part::<F, T, D, 2>(tile, at, x, x_sums, first, out),
                3 => multiply_part::<F, T, D, 3>(tile, at, x, x_sums, first, out),
                _ => multiply_part::<F, T, D, MAX_TOKENS>(tile, at, x, x_sums, first, out),
            }
        }
        out = &mut out[n * at.n_rows..];
        first += n;
    }
}

#[inline(always)]
unsafe fn multiply_part<F: Format, T: Tile<F, D>, D: IntegerDot, const N: usize>(
    tile: &T,
    at: Place,
    x: &Columns<'_>,
    x_sums: &T::Sums,
    first: usize,
    out: &mut [f32],
) {
    let n_rows = (at.n_rows - at.row).min(STRIP_ROWS);
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[_mm256_setzero_ps(); 2]; N];
        if !at.is_first {
            for t in 0..N {
                sums[t] = load(&out[t * at.n_rows + at.row..][..n_rows]);
            }
        }
        tile.multiply::<N>(at.strip, x, x_sums, first, &mut sums);
        for t in 0..N {
            store(sums[t], &mut out[t * at.n_rows + at.row..][..n_rows]);
        }
    }
}

/// Up to sixteen sums.
#[inline(always)]
unsafe fn load(sums: &[f32]) -> [__m256; 2] {
    let mut lanes = [0.0; STRIP_ROWS];
    let lanes: &[f32; STRIP_ROWS] = match sums.try_into() {
        Ok(sums) => sums,
        Err(_) => {
            lanes.iter_mut().zip(sums).for_each(|(lane, &sum)| *lane = sum);
            &lanes
        }
    };
    // SAFETY: the array is two registers.
    unsafe { [_mm256_loadu_ps(lanes.as_ptr()), _mm256_loadu_ps(lanes.as_ptr().add(N_LANES))] }
}

/// Stores as many sums as there is room for.
#[inline(always)]
unsafe fn store(sums: [__m256; 2], out: &mut [f32]) {
    let mut lanes = [0.0; STRIP_ROWS];
    let is_whole = out.len() == STRIP_ROWS;
    let to = if is_whole { out.as_mut_ptr() } else { lanes.as_mut_ptr() };
    // SAFETY: there is room for two registers.
    unsafe {
        _mm256_storeu_ps(to, sums[0]);
        _mm256_storeu_ps(to.add(N_LANES), sums[1]);
    }
    if !is_whole {
        out.iter_mut().zip(lanes).for_each(|(out, lane)| *out = lane);
    }
}

/// Stores sixteen weights of eight blocks, as `unpack` makes them of blocks `r` and `r + 4`, to be
/// the first or the second of the 32 of `registers`.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
unsafe fn store_16<D: IntegerDot>(
    layout: &Layout,
    codes: [__m256i; 4],
    registers: &mut [[__m256i; 2]],
    sixteen: usize,
    half: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let codes = transpose(codes);
        each!(i in [0 1 2 3] => {
            D::store(layout, codes[i], registers, 4 * sixteen + i, half);
        });
    }
}

/// For each of `N` tokens, accumulators that go on from `starts` with the products of some
/// registers and the activations from `x` on.
///
/// # Safety
/// The CPU must have AVX2 and what `D` needs, and there must be as many activations.
#[inline(always)]
unsafe fn add_products<D: IntegerDot, const N: usize>(
    starts: [[__m256i; 2]; N],
    registers: &[[__m256i; 2]],
    x: [*const i8; N],
) -> [[__m256i; 2]; N] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut acc = starts;
        for t in 0..N {
            for half in 0..2 {
                acc[t][half] = D::begin(starts[t][half]);
            }
        }
        for (i, weights) in registers.iter().enumerate() {
            for t in 0..N {
                let x = x[t].add(X_BYTES * i).cast::<i32>().read_unaligned();
                let x = _mm256_set1_epi32(x);
                for half in 0..2 {
                    acc[t][half] = D::add(acc[t][half], weights[half], x);
                }
            }
        }
        acc
    }
}
