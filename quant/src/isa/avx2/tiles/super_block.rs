//! GEMM with K-quants, super-blocks of 256.

use super::*;
use crate::codebook::{Decoded, decoded};
use crate::format::{SUPER_LEN, Super};
use crate::isa::avx2::codebook::decode;
use crate::isa::avx2::dot::run_len;
use crate::isa::avx2::headers::super_block::{Headers, sum_pairs};
use crate::isa::avx2::unpack::{is_wide, unpack_super};
use crate::isa::stamp::unroll;
use std::marker::PhantomData;

/// Blocks of a row that the widest tile has.
const N_BLOCKS: usize = 512 / SUPER_LEN;
/// Registers per half of a strip.
const N_REGISTERS: usize = N_BLOCKS * 64;

/// A tile of a K-quant. Its arrays are indexed by strip, block or register, then half.
pub struct SuperTile<F, D> {
    codes: [[[__m256i; 2]; N_REGISTERS]; N_STRIPS],
    headers: [[Header; N_BLOCKS]; N_STRIPS],
    marker: PhantomData<(F, D)>,
}

/// The scales and minimums of a block of each row.
struct Header {
    scale: [__m256; 2],
    minimum: [__m256; 2],
    /// The sub-scale of each sub-block, as [`IntegerDot::add_scaled`] takes it.
    multipliers: [[__m256i; 2]; 16],
    /// What meets the sums of activations: the sub-minimums or, for the codes' offset, the sub-scales
    /// times the offset; see [`Headers::pairs`].
    pairs: [[__m256i; 2]; 8],
}

/// The prepared sums of a group's activations, by block and token.
pub struct SuperSums {
    /// Of each sub-block, what the codes' offset takes from its dot product.
    offset: [[i32; 16]; N_BLOCKS * GROUP_LEN],
    /// Of two sub-blocks each, as 16-bit integers.
    pairs: [[i32; 8]; N_BLOCKS * GROUP_LEN],
}

/// Whether the dot product of a sub-block fits into 16 bits.
const fn is_short<F: Super>() -> bool {
    if is_wide(&F::LAYOUT) {
        return false;
    }
    let (offset, max) = (F::LAYOUT.offset() as usize, F::LAYOUT.max_code() as usize);
    let largest = if offset > max - offset { offset } else { max - offset };
    largest * 127 * F::SUB_LEN <= i16::MAX as usize
}

impl<F: Super, D: IntegerDot> Tile<F, D> for SuperTile<F, D> {
    type Sums = SuperSums;

    #[inline(always)]
    unsafe fn zeroed() -> (Self, SuperSums) {
        // SAFETY: numbers that are zero are as good as any.
        unsafe { std::mem::zeroed() }
    }

    #[inline(always)]
    unsafe fn unpack(&mut self, strip: usize, block: usize, rows: [&F::Block; STRIP_ROWS]) {
        let registers = &mut self.codes[strip][block * 8 * D::PER_32..][..8 * D::PER_32];
        let header = &mut self.headers[strip][block];
        each!(half in [0 1] => {
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => rows[half * N_LANES + r]);
            let bytes = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
            let mut scratch = [Decoded::ZERO; N_LANES];
            // SAFETY: the caller's promise.
            unsafe {
                header.fill::<F, D>(half, Headers::unpack::<F>(bytes));
                let blocks =
                    decoded::<F, N_LANES>(blocks, &mut scratch, |block, to| decode::<F>(block, to));
                unroll!(SIXTEEN in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
                    let registers = &mut registers[SIXTEEN / 2 * D::PER_32..][..D::PER_32];
                    let codes = each!(r in [0 1 2 3] => {
                        unpack_super::<F, SIXTEEN>([blocks[r], blocks[r + 4]])
                    });
                    store_16::<D>(&F::LAYOUT, codes, registers, SIXTEEN % 2, half);
                });
            }
        });
    }

    #[inline(always)]
    unsafe fn prepare_sums(x: &Columns<'_>, SuperSums { offset, pairs }: &mut SuperSums) {
        let factor = -D::offset(&F::LAYOUT);
        let all = offset.iter_mut().zip(pairs).zip(x.sums.as_chunks::<16>().0);
        for ((offset, pairs), sums) in all {
            // SAFETY: the caller's promise; loads and stores are of the arrays' sizes.
            unsafe {
                *pairs = sum_pairs::<F>(sums);
                let sums = _mm256_loadu_si256(sums.as_ptr().cast());
                if F::SUB_LEN == 16 {
                    let factor = _mm256_set1_epi32(factor);
                    let low = _mm256_cvtepi16_epi32(_mm256_castsi256_si128(sums));
                    let high = _mm256_cvtepi16_epi32(_mm256_extracti128_si256::<1>(sums));
                    let offset = offset.as_mut_ptr().cast::<__m256i>();
                    _mm256_storeu_si256(offset, _mm256_mullo_epi32(low, factor));
                    _mm256_storeu_si256(offset.add(1), _mm256_mullo_epi32(high, factor));
                } else {
                    let factor = _mm256_set1_epi16(factor as i16);
                    let offsets = _mm256_madd_epi16(sums, factor);
                    _mm256_storeu_si256(offset.as_mut_ptr().cast(), offsets);
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<const N: usize>(
        &self,
        strip: usize,
        x: &Columns<'_>,
        x_sums: &SuperSums,
        first: usize,
        sums: &mut [[__m256; 2]; N],
    ) {
        // Wide weights lie in the order of words, which only whole runs of 32 have in common.
        const { assert!(F::SUB_LEN == 32 || !is_wide(&F::LAYOUT)) }
        let per_sub = F::SUB_LEN * D::PER_32 / 32;
        let run_len = const { run_len::<D>(&F::LAYOUT, F::SUB_LEN * D::PER_32 / 32) };
        let token_bytes = 8 * D::PER_32 * X_BYTES;
        let n_pairs = SUPER_LEN / F::SUB_LEN / 2;
        let has_offset = D::offset(&F::LAYOUT) != 0;
        // SAFETY: the caller's promise; loads stay inside of the arrays.
        unsafe {
            for block in 0..x.n_blocks {
                let header = &self.headers[strip][block];
                let place = block * x.n_tokens + first;
                let codes = &x.codes[place * token_bytes..][..N * token_bytes];
                let x_scales = &x.scales[place..][..N];
                let (offsets, pairs) = (&x_sums.offset[place..][..N], &x_sums.pairs[place..][..N]);
                let registers = &self.codes[strip][block * 8 * D::PER_32..][..8 * D::PER_32];
                let mut totals = [[_mm256_setzero_si256(); 2]; N];
                let mut pointers = [codes.as_ptr(); N];
                for t in 0..N {
                    pointers[t] = codes.as_ptr().add(t * token_bytes);
                }
                for (sub, registers) in registers.chunks_exact(per_sub).enumerate() {
                    let mut starts = [[_mm256_setzero_si256(); 2]; N];
                    if has_offset && !D::IN_WORDS {
                        for t in 0..N {
                            starts[t] = [_mm256_set1_epi32(offsets[t][sub]); 2];
                        }
                    }
                    let multipliers = &header.multipliers[sub];
                    for registers in registers.chunks_exact(run_len) {
                        let acc = add_products::<D, N>(starts, registers, pointers);
                        for t in 0..N {
                            for half in 0..2 {
                                totals[t][half] = D::add_scaled(
                                    totals[t][half],
                                    acc[t][half],
                                    multipliers[half],
                                    const { is_short::<F>() },
                                );
                            }
                            pointers[t] = pointers[t].add(run_len * X_BYTES);
                        }
                    }
                }
                for t in 0..N {
                    let x_scale = _mm256_set1_ps(x_scales[t]);
                    let mut minimums = [_mm256_setzero_si256(); 2];
                    for pair in 0..n_pairs {
                        let x_sums = _mm256_set1_epi32(pairs[t][pair]);
                        for half in 0..2 {
                            if has_offset && D::IN_WORDS {
                                let offset = header.pairs[pair][half];
                                totals[t][half] = D::add_pairs(totals[t][half], offset, x_sums);
                            }
                            if F::HAS_MINIMUM {
                                let minimum = header.pairs[pair][half];
                                minimums[half] = D::add_pairs(minimums[half], minimum, x_sums);
                            }
                        }
                    }
                    for half in 0..2 {
                        let scale = _mm256_mul_ps(header.scale[half], x_scale);
                        let dot = _mm256_cvtepi32_ps(totals[t][half]);
                        sums[t][half] = _mm256_fmadd_ps(scale, dot, sums[t][half]);
                        if F::HAS_MINIMUM {
                            let scale = _mm256_mul_ps(header.minimum[half], x_scale);
                            let dot = _mm256_cvtepi32_ps(minimums[half]);
                            sums[t][half] = _mm256_fnmadd_ps(scale, dot, sums[t][half]);
                        }
                    }
                }
            }
        }
    }
}

impl Header {
    /// Takes over the headers of eight rows.
    #[inline(always)]
    unsafe fn fill<F: Super, D: IntegerDot>(&mut self, half: usize, headers: Headers) {
        let is_short = const { is_short::<F>() };
        self.scale[half] = headers.scales;
        self.minimum[half] = headers.minimums;
        // SAFETY: the caller's promise.
        unsafe {
            let low = _mm256_set1_epi32(0xffff);
            for i in 0..SUPER_LEN / F::SUB_LEN / 2 {
                let pair = headers.sub_scales[i];
                let (first, second) = (_mm256_and_si256(pair, low), _mm256_srli_epi32::<16>(pair));
                let sub = i / 2 * 4 + i % 2;
                self.multipliers[sub][half] = D::multiplier(first, is_short);
                self.multipliers[sub + 2][half] = D::multiplier(second, is_short);
                self.pairs[i][half] = if D::offset(&F::LAYOUT) != 0 && D::IN_WORDS {
                    let offset = _mm256_set1_epi16(-D::offset(&F::LAYOUT) as i16);
                    _mm256_mullo_epi16(pair, offset)
                } else {
                    headers.pairs[i]
                };
            }
        }
    }
}
