//! GEMM with legacy formats, blocks of 32.

use super::*;
use crate::format::{FLAT_LEN, Flat};
use crate::isa::avx2::dot::run_len;
use crate::isa::avx2::unpack::{Sixteen, eight_f16, unpack};
use std::marker::PhantomData;

/// Blocks of a row that the widest tile has.
const N_BLOCKS: usize = 512 / FLAT_LEN;
/// Registers per half of a strip.
const N_REGISTERS: usize = N_BLOCKS * 8;

/// A tile of a legacy format. Its arrays are indexed by strip, block or register, then half.
pub struct FlatTile<F, D> {
    codes: [[[__m256i; 2]; N_REGISTERS]; N_STRIPS],
    scales: [[[__m256; 2]; N_BLOCKS]; N_STRIPS],
    minimums: [[[__m256; 2]; N_BLOCKS]; N_STRIPS],
    marker: PhantomData<(F, D)>,
}

/// The prepared sums of a group's activations, by block and token.
pub struct FlatSums {
    /// What the codes' offset takes from the integer sums.
    offset: [i32; N_BLOCKS * GROUP_LEN],
    /// What the minimums meet.
    scaled: [f32; N_BLOCKS * GROUP_LEN],
}

impl<F: Flat, D: IntegerDot> Tile<F, D> for FlatTile<F, D> {
    type Sums = FlatSums;

    #[inline(always)]
    unsafe fn zeroed() -> (Self, FlatSums) {
        // SAFETY: numbers that are zero are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, strip: usize, block: usize, rows: [&F::Block; STRIP_ROWS]) {
        let registers = &mut self.codes[strip][block * D::PER_32..][..D::PER_32];
        each!(half in [0 1] => {
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => {
                bytemuck::bytes_of(rows[half * N_LANES + r])
            });
            // SAFETY: the caller's promise.
            unsafe {
                each!(sixteen in [0 1] => {
                    let first = 16 * sixteen;
                    let codes = each!(r in [0 1 2 3] => {
                        let halves = each!(i in [0 1] => Sixteen { block: blocks[r + 4 * i], first });
                        unpack(&F::LAYOUT, halves)
                    });
                    store_16::<D>(&F::LAYOUT, codes, registers, sixteen, half);
                });
                self.scales[strip][block][half] = eight_f16(blocks, 0);
                if F::HAS_MINIMUM {
                    self.minimums[strip][block][half] = eight_f16(blocks, 2);
                }
            }
        });
    }

    #[inline(always)]
    unsafe fn prepare_sums(x: &Columns<'_>, FlatSums { offset, scaled }: &mut FlatSums) {
        let factor = -D::offset(&F::LAYOUT);
        for (offset, &sum) in offset.iter_mut().zip(x.sums) {
            *offset = factor * i32::from(sum);
        }
        if F::HAS_MINIMUM {
            for (scaled, (&sum, &scale)) in scaled.iter_mut().zip(x.sums.iter().zip(x.scales)) {
                *scaled = scale * f32::from(sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<const N: usize>(
        &self,
        strip: usize,
        x: &Columns<'_>,
        x_sums: &FlatSums,
        first: usize,
        sums: &mut [[__m256; 2]; N],
    ) {
        let run_len = const { run_len::<D>(&F::LAYOUT, D::PER_32) };
        let token_bytes = D::PER_32 * X_BYTES;
        let registers = &self.codes[strip];
        // SAFETY: the caller's promise; loads stay inside of the arrays.
        unsafe {
            for block in 0..x.n_blocks {
                let place = block * x.n_tokens + first;
                let codes = &x.codes[place * token_bytes..][..N * token_bytes];
                let (x_scales, offsets) = (&x.scales[place..][..N], &x_sums.offset[place..][..N]);
                let registers = &registers[block * D::PER_32..][..D::PER_32];
                let mut dots = [[_mm256_setzero_si256(); 2]; N];
                let mut pointers = [codes.as_ptr(); N];
                for t in 0..N {
                    dots[t] = [_mm256_set1_epi32(offsets[t]); 2];
                    pointers[t] = codes.as_ptr().add(t * token_bytes);
                }
                for registers in registers.chunks_exact(run_len) {
                    let registers = of_unknown_length(registers);
                    let acc = add_products::<D, N>(dots, registers, pointers);
                    for t in 0..N {
                        for half in 0..2 {
                            dots[t][half] = D::end(dots[t][half], acc[t][half]);
                        }
                        pointers[t] = pointers[t].add(run_len * X_BYTES);
                    }
                }
                let (scales, minimums) = (&self.scales[strip][block], &self.minimums[strip][block]);
                for t in 0..N {
                    let x_scale = _mm256_set1_ps(x_scales[t]);
                    for half in 0..2 {
                        let scale = _mm256_mul_ps(scales[half], x_scale);
                        let dot = _mm256_cvtepi32_ps(dots[t][half]);
                        sums[t][half] = _mm256_fmadd_ps(scale, dot, sums[t][half]);
                        if F::HAS_MINIMUM {
                            let x_sum = _mm256_set1_ps(x_sums.scaled[place + t]);
                            sums[t][half] = _mm256_fmadd_ps(minimums[half], x_sum, sums[t][half]);
                        }
                    }
                }
            }
        }
    }
}

/// The same slice, as long, but the compiler cannot know how long: a loop over it stays a loop.
///
/// Unrolled, the eight steps of a block have their 32 broadcasts moved to the front, more than there
/// are registers, and a block of four tokens takes 86 memory operands where 16 would do. Rolled it
/// is a quarter faster. (With super-blocks, where sums are scaled between the steps, the compiler
/// leaves broadcasts where they are, and unrolled loops are faster.)
#[inline(always)]
fn of_unknown_length<T>(slice: &[T]) -> &[T] {
    &slice[..std::hint::black_box(slice.len())]
}
