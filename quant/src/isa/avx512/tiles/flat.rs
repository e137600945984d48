//! GEMM with legacy formats, blocks of 32.

use super::{PartTile, Place, Tile, multiply_parts};
use crate::activations::{Activations, GROUP_LEN, Group, Tokens};
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx512::dot::IntegerDot;
use crate::isa::avx512::headers::flat::{FlatHeaders, N_BLOCKS};
use crate::isa::avx512::prefetch::Prefetcher;
use crate::isa::avx512::transpose::{SixteenBlocks, transpose_unpack};
use crate::isa::avx512::unpack::max_unsigned;
use std::arch::x86_64::*;
use std::marker::PhantomData;

/// A tile of a legacy format. Its arrays are indexed by block, then half.
pub struct FlatTile<F, D> {
    /// For each four consecutive weights of the block, their unsigned bytes.
    codes: [[[__m512i; FLAT_LEN / 4]; 2]; N_BLOCKS],
    headers: FlatHeaders,
    kernel: PhantomData<(F, D)>,
}

impl<F: Flat, D: IntegerDot> Tile<F> for FlatTile<F, D> {
    const MAX_BLOCKS: usize = N_BLOCKS;

    #[inline(always)]
    unsafe fn zeroed() -> Self {
        // SAFETY: registers of zeros are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, half: usize, block: usize, rows: &SixteenBlocks<F::Block>) {
        // SAFETY: the caller's promise.
        unsafe {
            transpose_unpack(&F::LAYOUT, rows, &mut self.codes[block][half]);
            self.headers.copy::<F>(half, block, rows);
        }
    }

    #[inline(always)]
    unsafe fn multiply(
        &mut self,
        at: Place,
        x: &Activations,
        prefetcher: &mut Prefetcher,
        out: &mut [f32],
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            self.headers.convert::<F>(at.n_blocks);
            multiply_parts::<D, _>(self, at, x, prefetcher, out);
        }
    }
}

impl<F: Flat, D: IntegerDot> PartTile<D> for FlatTile<F, D> {
    type Sums = FlatSums;

    #[inline(always)]
    unsafe fn prepare_sums(at: Place, x: Group<'_>) -> FlatSums {
        let n = x.n_tokens();
        let places = at.first_block * n..(at.first_block + at.n_blocks) * n;
        let mut of_sums = FlatSums { offset: [[0; GROUP_LEN]; N_BLOCKS], scaled: [[0.0; _]; _] };
        let blocks =
            x.sums()[places.clone()].chunks_exact(n).zip(x.scales()[places].chunks_exact(n));
        // SAFETY: the features are the caller's promise; the masks keep loads inside of the slices.
        unsafe {
            let mask = (!0u32 >> (32 - n)) as u16;
            let offset = _mm512_set1_epi32(-F::LAYOUT.offset());
            for (block, (sums, scales)) in blocks.enumerate() {
                let sums = _mm512_cvtepi16_epi32(_mm256_maskz_loadu_epi16(mask, sums.as_ptr()));
                let offset = _mm512_mullo_epi32(sums, offset);
                _mm512_storeu_si512(of_sums.offset[block].as_mut_ptr().cast(), offset);
                if F::HAS_MINIMUM {
                    let scales = _mm512_maskz_loadu_ps(mask, scales.as_ptr());
                    let scaled = _mm512_mul_ps(scales, _mm512_cvtepi32_ps(sums));
                    _mm512_storeu_ps(of_sums.scaled[block].as_mut_ptr(), scaled);
                }
            }
        }
        of_sums
    }

    #[inline(always)]
    unsafe fn multiply_part<const N: usize>(
        &self,
        at: Place,
        x: Tokens<'_, N>,
        (x_sums, first_token): (&FlatSums, usize),
        prefetcher: &mut Prefetcher,
        mut sums: [[__m512; N]; 2],
    ) -> [[__m512; N]; 2] {
        let max = const { max_unsigned(&F::LAYOUT) };
        // SAFETY: the caller's promise about features; loads stay inside of the arrays.
        unsafe {
            for block in 0..at.n_blocks {
                prefetcher.multiplying(N);
                let codes = &self.codes[block];
                let x_codes: &[[i8; FLAT_LEN]; N] = x.codes(at.first_block + block);
                let x_scales = x.scales(at.first_block + block);
                let offsets = &x_sums.offset[block][first_token..][..N];
                let mut dots = [[_mm512_setzero_si512(); 2]; N];
                for t in 0..N {
                    dots[t] = [_mm512_set1_epi32(offsets[t]); 2];
                }
                for k in 0..FLAT_LEN / 4 {
                    for t in 0..N {
                        let four = x_codes[t].as_ptr().add(4 * k).cast::<i32>();
                        let four = _mm512_set1_epi32(four.read_unaligned());
                        for half in 0..2 {
                            dots[t][half] = D::dot4(dots[t][half], codes[half][k], four, max);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm512_set1_ps(x_scales[t]);
                    for half in 0..2 {
                        let scale = _mm512_mul_ps(self.headers.scales[block][half], x_scale);
                        let dot = _mm512_cvtepi32_ps(dots[t][half]);
                        sums[half][t] = _mm512_fmadd_ps(scale, dot, sums[half][t]);
                        if F::HAS_MINIMUM {
                            let minimum = self.headers.minimums[block][half];
                            let x_sum = _mm512_set1_ps(x_sums.scaled[block][first_token + t]);
                            sums[half][t] = _mm512_fmadd_ps(minimum, x_sum, sums[half][t]);
                        }
                    }
                }
            }
        }
        sums
    }
}

/// The prepared sums of a group's activations, by block and token.
pub struct FlatSums {
    /// What the codes' offset takes from the integer sums.
    offset: [[i32; GROUP_LEN]; N_BLOCKS],
    /// What the minimums meet.
    scaled: [[f32; GROUP_LEN]; N_BLOCKS],
}
