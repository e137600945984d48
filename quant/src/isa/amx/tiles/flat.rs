//! GEMM with legacy formats, blocks of 32: one product of tile registers per block.

use crate::activations::{Activations, GROUP_LEN, Group};
use crate::format::{FLAT_LEN, Flat};
use crate::isa::amx::registers::{Sums, TileRegisters, finish, start};
use crate::isa::avx512::headers::flat::{FlatHeaders, N_BLOCKS};
use crate::isa::avx512::prefetch::{Costs, Prefetcher};
use crate::isa::avx512::tiles::{Place, Tile};
use crate::isa::avx512::transpose::{SixteenBlocks, transpose_unpack};
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// Tokens for which a smaller kernel does.
const HALF_GROUP: usize = GROUP_LEN / 2;

/// A tile of a legacy format. Its arrays are indexed by block, then half.
pub struct FlatTile<F> {
    registers: TileRegisters,
    /// For each four consecutive weights of the block, these, signed.
    weights: [[[__m512i; FLAT_LEN / 4]; 2]; N_BLOCKS],
    headers: FlatHeaders,
    /// Products of a block, and of the next, with one group.
    dots: [Sums; 2],
    format: PhantomData<F>,
}

impl<F: Flat> Tile<F> for FlatTile<F> {
    const MAX_BLOCKS: usize = N_BLOCKS;
    const COSTS: Costs = Costs { unpacking: 20, multiplying: 8 };

    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: no memory is touched; the features are the caller's promise.
        let zero = unsafe { _mm512_setzero_si512() };
        FlatTile {
            registers: TileRegisters::new(),
            weights: [[[zero; _]; _]; _],
            headers: FlatHeaders::zeroed(),
            dots: [[zero; _]; _],
            format: PhantomData,
        }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &SixteenBlocks<F::Block>) {
        // SAFETY: the caller's promise.
        unsafe {
            let weights = &mut self.weights[block][half];
            transpose_unpack(&F::LAYOUT, rows, weights);
            let offset = _mm512_set1_epi8(F::LAYOUT.offset() as u8 as i8);
            for weights in weights {
                *weights = _mm512_sub_epi8(*weights, offset);
            }
            self.headers.copy::<F>(half, block, rows);
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        &mut self,
        at: Place,
        x: &Activations,
        prefetcher: &mut Prefetcher,
        mut rest: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.headers.convert::<F>(at.n_blocks) };
        for x in x.groups() {
            let n_tokens = x.n_tokens();
            let out = rest.split_off_mut(..n_tokens * at.n_rows).expect("a row per token");
            // SAFETY: the caller's promise.
            unsafe {
                self.registers.configure(n_tokens, FLAT_LEN);
                let x = FlatActivations { codes: x.codes(), scales: FlatScales::new::<F>(at, x) };
                for half in 0..2 {
                    prefetcher.multiplying(at.n_blocks * n_tokens / 2);
                    match n_tokens {
                        // As a constant, which makes for fewer instructions.
                        GROUP_LEN => self.multiply_half::<GROUP_LEN>(half, GROUP_LEN, at, &x, out),
                        ..=HALF_GROUP => {
                            self.multiply_half::<HALF_GROUP>(half, n_tokens, at, &x, out);
                        }
                        _ => self.multiply_half::<GROUP_LEN>(half, n_tokens, at, &x, out),
                    }
                }
            }
        }
    }
}

impl<F: Flat> FlatTile<F> {
    /// Multiplies half of the rows with `n_tokens`, at most `N`. While the sums of a block are
    /// scaled, the next block's are on their way.
    #[inline(always)]
    unsafe fn multiply_half<const N: usize>(
        &mut self,
        half: usize,
        n_tokens: usize,
        at: Place,
        x: &FlatActivations<'_>,
        out: &mut [f32],
    ) {
        let block_bytes = n_tokens * FLAT_LEN;
        let codes = &x.codes[at.first_block * block_bytes..][..at.n_blocks * block_bytes];
        // SAFETY: the caller's promise; the slice has the codes of `n_blocks` blocks.
        unsafe {
            let x_codes = |block: usize| codes.as_ptr().wrapping_add(block * block_bytes);
            let weights = &raw const self.weights;
            let weights = |block: usize| (&raw const (*weights)[block][half]).cast::<i8>();
            let mut sums = at.load::<N>(half, n_tokens, out);
            start!(0, x_codes(0), FLAT_LEN, weights(0));
            finish!(0, &mut self.dots[0]);
            for block in (0..at.n_blocks).step_by(2) {
                if block + 1 < at.n_blocks {
                    start!(1, x_codes(block + 1), FLAT_LEN, weights(block + 1));
                }
                self.add_scaled(half, block, 0, &x.scales, &mut sums);
                if block + 1 == at.n_blocks {
                    break;
                }
                finish!(1, &mut self.dots[1]);
                if block + 2 < at.n_blocks {
                    start!(0, x_codes(block + 2), FLAT_LEN, weights(block + 2));
                }
                self.add_scaled(half, block + 1, 1, &x.scales, &mut sums);
                if block + 2 < at.n_blocks {
                    finish!(0, &mut self.dots[0]);
                }
            }
            at.store(half, n_tokens, &sums, out);
        }
    }

    /// Adds a block's integer sums, scaled, to those of its rows.
    #[inline(always)]
    unsafe fn add_scaled<const N: usize>(
        &self,
        half: usize,
        block: usize,
        dots_idx: usize,
        x: &FlatScales,
        sums: &mut [__m512; N],
    ) {
        // SAFETY: no memory is touched but arrays; the features are the caller's promise.
        unsafe {
            for t in 0..N {
                let scale = _mm512_mul_ps(
                    self.headers.scales[block][half],
                    _mm512_set1_ps(x.scales[block][t]),
                );
                sums[t] =
                    _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(self.dots[dots_idx][t]), sums[t]);
                if F::HAS_MINIMUM {
                    let x_sum = _mm512_set1_ps(x.scaled_sums[block][t]);
                    sums[t] = _mm512_fmadd_ps(self.headers.minimums[block][half], x_sum, sums[t]);
                }
            }
        }
    }
}

/// A group's activations.
struct FlatActivations<'a> {
    codes: &'a [i8],
    scales: FlatScales,
}

/// A group's scales at a tile's columns, by block and token.
struct FlatScales {
    scales: [[f32; GROUP_LEN]; N_BLOCKS],
    /// Times the sum of the block's codes: what minimums meet.
    scaled_sums: [[f32; GROUP_LEN]; N_BLOCKS],
}

impl FlatScales {
    #[inline(always)]
    unsafe fn new<F: Flat>(at: Place, x: Group<'_>) -> FlatScales {
        let n = x.n_tokens();
        let places = at.first_block * n..(at.first_block + at.n_blocks) * n;
        let sums = x.sums()[places.clone()].chunks_exact(n);
        let scales = x.scales()[places].chunks_exact(n);
        let mut all = FlatScales { scales: [[0.0; _]; _], scaled_sums: [[0.0; _]; _] };
        // SAFETY: the features are the caller's promise; the mask keeps loads inside of the slices.
        unsafe {
            let mask = (!0u32 >> (32 - n)) as u16;
            for (block, (sums, scales)) in sums.zip(scales).enumerate() {
                let scales = _mm512_maskz_loadu_ps(mask, scales.as_ptr());
                _mm512_storeu_ps(all.scales[block].as_mut_ptr(), scales);
                if F::HAS_MINIMUM {
                    let sums = _mm256_maskz_loadu_epi16(mask, sums.as_ptr());
                    let sums = _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(sums));
                    let scaled = _mm512_mul_ps(scales, sums);
                    _mm512_storeu_ps(all.scaled_sums[block].as_mut_ptr(), scaled);
                }
            }
        }
        all
    }
}
