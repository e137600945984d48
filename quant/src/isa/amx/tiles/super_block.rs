//! GEMM with K-quants, super-blocks of 256: weights and sub-scales are multiplied when they are
//! unpacked, so that the integer sum of a block takes one product, as deep as the block.
//!
//! The product of a code and its sub-scale needs up to 14 bits. It is `128 * high + low`, and so is
//! the sum.

use crate::activations::{Activations, GROUP_LEN, Group};
use crate::codebook::Decoded;
use crate::format::{SUPER_LEN, Super};
use crate::isa::amx::registers::{Sums, TileRegisters, multiply_four, store_four, zero_four};
use crate::isa::avx512::headers::super_block::{
    N_SIXTEENS, PackedHeaders, SixteenHeaders, of_pairs,
};
use crate::isa::avx512::prefetch::{Costs, Prefetcher, prefetch};
use crate::isa::avx512::tiles::{Place, Tile};
use crate::isa::avx512::transpose::{N_ROWS, SixteenBlocks, decoded, transpose_unpack};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// Columns that one product of tile registers takes.
const DEPTH: usize = 64;

/// A tile of a K-quant: one block of each row. Its arrays are indexed by half.
pub struct SuperTile<F> {
    registers: TileRegisters,
    /// Of each half, the high and the low parts of weights times sub-scales, four columns to a
    /// register.
    weights: [[__m512i; SUPER_LEN / 4]; 4],
    /// The headers of the half that is being unpacked.
    headers: PackedHeaders,
    /// The sub-minimums of each two sub-blocks, as 16-bit integers.
    sub_minimums: [[__m512i; N_SIXTEENS / 2]; 2],
    scales: [__m512; 2],
    minimums: [__m512; 2],
    /// A product with one group: of each half, the sums of the high and of the low parts.
    dots: [Sums; 4],
    format: PhantomData<F>,
}

impl<F: Super> Tile<F> for SuperTile<F> {
    const MAX_BLOCKS: usize = 1;
    const COSTS: Costs = Costs { unpacking: 50, multiplying: 3 };

    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: no memory is touched; the features are the caller's promise.
        let (zero, zeros) = unsafe { (_mm512_setzero_si512(), _mm512_setzero_ps()) };
        SuperTile {
            registers: TileRegisters::new(),
            weights: [[zero; _]; _],
            headers: PackedHeaders::ZERO,
            sub_minimums: [[zero; _]; _],
            scales: [zeros; _],
            minimums: [zeros; _],
            dots: [[zero; _]; _],
            format: PhantomData,
        }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, _: usize, rows: &SixteenBlocks<F::Block>) {
        // SAFETY: the caller's promise.
        unsafe {
            self.headers.copy::<F>(rows);
            let mut codes = [_mm512_setzero_si512(); SUPER_LEN / 4];
            let mut scratch = [Decoded::ZERO; N_ROWS];
            transpose_unpack(&F::LAYOUT, &decoded::<F>(rows, &mut scratch), &mut codes);
            let headers = SixteenHeaders::unpack::<F>(&self.headers);
            let offset = _mm512_set1_epi16(-F::LAYOUT.offset() as i16);
            for sub in 0..SUPER_LEN / F::SUB_LEN {
                let scale = headers.sub_scales[sub];
                let scale =
                    _mm512_mask_mov_epi16(scale, 0xaaaa_aaaa, _mm512_slli_epi32::<16>(scale));
                let offset = _mm512_mullo_epi16(scale, offset);
                for k in sub * F::SUB_LEN / 4..(sub + 1) * F::SUB_LEN / 4 {
                    let [high, low] = two_parts(codes[k], scale, offset);
                    self.weights[2 * half][k] = high;
                    self.weights[2 * half + 1][k] = low;
                }
            }
            self.sub_minimums[half] = headers.sub_minimums;
            self.scales[half] = headers.scales;
            self.minimums[half] = headers.minimums;
        }
    }

    /// While the sums of a group are scaled, the next group's are on their way.
    #[inline(always)]
    unsafe fn multiply(
        &mut self,
        at: Place,
        x: &Activations,
        prefetcher: &mut Prefetcher,
        mut out: &mut [f32],
    ) {
        let to_next_group = GROUP_LEN * x.cols();
        let mut previous: Option<BlockActivations<'_>> = None;
        let blocks = x.groups().map(|group| Some(BlockActivations::new(group, at.first_block)));
        for x in blocks.chain([None]) {
            let n_previous = previous.map_or(0, |previous| previous.n_tokens());
            // SAFETY: the caller's promise.
            unsafe {
                if let Some(x) = x {
                    self.registers.configure(x.n_tokens(), DEPTH);
                    zero_four();
                }
                for step in 0..N_STEPS {
                    if let Some(x) = x {
                        prefetcher.multiplying(share_of(x, step).len());
                        self.multiply_step(x, step);
                        for t in 0..x.n_tokens() {
                            let codes = x.codes[t].as_ptr().wrapping_add(step * DEPTH);
                            prefetch(codes, to_next_group);
                        }
                    }
                    if let Some(previous) = previous {
                        for t in share_of(previous, step) {
                            self.add_scaled(t, previous, at, &mut out[t * at.n_rows..]);
                        }
                    }
                }
                if x.is_some() {
                    store_four(&mut self.dots);
                }
            }
            out = &mut out[n_previous * at.n_rows..];
            previous = x;
        }
    }
}

/// Products of [`DEPTH`] columns that make up one of a block.
const N_STEPS: usize = SUPER_LEN / DEPTH;

/// The tokens of a group that a step sees to.
fn share_of(x: BlockActivations<'_>, step: usize) -> std::ops::Range<usize> {
    step * x.n_tokens() / N_STEPS..(step + 1) * x.n_tokens() / N_STEPS
}

/// A group's activations for one block.
#[derive(Clone, Copy)]
struct BlockActivations<'a> {
    codes: &'a [[i8; SUPER_LEN]],
    scales: &'a [f32],
    sums: &'a [[i16; N_SIXTEENS]],
}

impl<'a> BlockActivations<'a> {
    fn new(x: Group<'a>, block: usize) -> Self {
        let places = block * x.n_tokens()..(block + 1) * x.n_tokens();
        BlockActivations {
            codes: &x.codes().as_chunks().0[places.clone()],
            scales: &x.scales()[places.clone()],
            sums: &x.sums().as_chunks().0[places],
        }
    }

    fn n_tokens(&self) -> usize {
        self.scales.len()
    }
}

impl<F: Super> SuperTile<F> {
    /// Adds the products of some columns of a group to the sums in the registers.
    #[inline(always)]
    unsafe fn multiply_step(&self, x: BlockActivations<'_>, step: usize) {
        let columns = step * DEPTH;
        // SAFETY: the caller's promise.
        unsafe {
            let x = x.codes.as_ptr().cast::<i8>().wrapping_add(columns);
            let weights =
                |part: usize| self.weights[part].as_ptr().wrapping_add(columns / 4).cast();
            multiply_four(x, SUPER_LEN, [weights(0), weights(1), weights(2), weights(3)]);
        }
    }

    /// Adds the integer sums with a token, scaled, to those in `out`, which begins with its row.
    #[inline(always)]
    unsafe fn add_scaled(&self, t: usize, x: BlockActivations<'_>, at: Place, out: &mut [f32]) {
        // SAFETY: the caller's promise about features; the masks keep to the token's row of `out`.
        unsafe {
            let x_sums = of_pairs::<F>(&x.sums[t]);
            let x_scale = _mm512_set1_ps(x.scales[t]);
            for half in 0..2 {
                let mut sums = at.load::<1>(half, 1, out);
                let (high, low) = (self.dots[2 * half][t], self.dots[2 * half + 1][t]);
                let dot = _mm512_add_epi32(_mm512_slli_epi32::<7>(high), low);
                let scale = _mm512_mul_ps(self.scales[half], x_scale);
                sums[0] = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(dot), sums[0]);
                if F::HAS_MINIMUM {
                    let mut dot = _mm512_setzero_si512();
                    for pair in 0..SUPER_LEN / F::SUB_LEN / 2 {
                        let x_sums = _mm512_set1_epi32(x_sums[pair]);
                        dot = _mm512_dpwssd_epi32(dot, self.sub_minimums[half][pair], x_sums);
                    }
                    let scale = _mm512_mul_ps(self.minimums[half], x_scale);
                    sums[0] = _mm512_fnmadd_ps(scale, _mm512_cvtepi32_ps(dot), sums[0]);
                }
                at.store(half, 1, &sums, out);
            }
        }
    }
}

/// Bytes times 16-bit integers, plus others: their bits 7 and up, and their lowest seven.
#[inline(always)]
unsafe fn two_parts(codes: __m512i, scale: __m512i, addend: __m512i) -> [__m512i; 2] {
    const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let even = _mm512_and_si512(codes, _mm512_set1_epi16(0xff));
        let odd = _mm512_srli_epi16::<8>(codes);
        let even = _mm512_add_epi16(_mm512_mullo_epi16(even, scale), addend);
        let odd = _mm512_add_epi16(_mm512_mullo_epi16(odd, scale), addend);
        let high =
            _mm512_mask_mov_epi8(_mm512_srli_epi16::<7>(even), ODD, _mm512_slli_epi16::<1>(odd));
        let low = _mm512_mask_mov_epi8(even, ODD, _mm512_slli_epi16::<8>(odd));
        [high, _mm512_and_si512(low, _mm512_set1_epi8(0x7f))]
    }
}
