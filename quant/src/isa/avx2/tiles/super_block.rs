//! GEMM with K-quants, super-blocks of 256.

use super::*;
use crate::format::{SUPER_LEN, Super};
use crate::header::SuperScales;
use crate::isa::avx2::dot::run_len;
use crate::isa::avx2::unpack::is_wide;
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
    /// The sub-scales of each two sub-blocks, times the format's offset.
    offsets: [[__m256i; 2]; 8],
    /// The sub-minimums of each two sub-blocks.
    sub_minimums: [[__m256i; 2]; 8],
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
            let headers = each!(r in [0 1 2 3 4 5 6 7] => F::scales(blocks[r]));
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
            // SAFETY: the caller's promise.
            unsafe {
                header.fill::<F, D>(half, &headers);
                each!(chunk in [0 1 2 3 4 5 6 7] => {
                    let registers = &mut registers[chunk * D::PER_32..][..D::PER_32];
                    unpack_32::<D>(&F::LAYOUT, blocks, 32 * chunk, registers, half);
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
                let sums = _mm256_loadu_si256(sums.as_ptr().cast());
                if F::SUB_LEN == 16 {
                    _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sums);
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
                    let subs = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
                    let subs =
                        _mm256_permute4x64_epi64::<0b00_00_10_00>(_mm256_packs_epi32(subs, subs));
                    _mm_storeu_si128(pairs.as_mut_ptr().cast(), _mm256_castsi256_si128(subs));
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
                                let offset = header.offsets[pair][half];
                                totals[t][half] = D::add_pairs(totals[t][half], offset, x_sums);
                            }
                            if F::HAS_MINIMUM {
                                let minimum = header.sub_minimums[pair][half];
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
    unsafe fn fill<F: Super, D: IntegerDot>(
        &mut self,
        half: usize,
        headers: &[SuperScales; N_LANES],
    ) {
        let is_short = const { is_short::<F>() };
        // SAFETY: the caller's promise.
        unsafe {
            self.scale[half] =
                f16_to_f32(each!(r in [0 1 2 3 4 5 6 7] => headers[r].scale.to_bits()));
            let scales = pairs(each!(r in [0 1 2 3 4 5 6 7] => {
                _mm256_cvtepi8_epi16(load_bytes(&headers[r].sub_scales))
            }));
            let low = _mm256_set1_epi32(0xffff);
            for i in 0..8 {
                let first = D::multiplier(_mm256_and_si256(scales[i], low), is_short);
                if F::SUB_LEN == 16 {
                    self.multipliers[2 * i][half] = first;
                    let second = _mm256_srli_epi32::<16>(scales[i]);
                    self.multipliers[2 * i + 1][half] = D::multiplier(second, is_short);
                } else {
                    self.multipliers[i][half] = first;
                }
            }
            if D::offset(&F::LAYOUT) != 0 && D::IN_WORDS {
                let offset = _mm256_set1_epi16(-D::offset(&F::LAYOUT) as i16);
                let scales = of_subs::<F>(scales);
                for i in 0..8 {
                    self.offsets[i][half] = _mm256_mullo_epi16(scales[i], offset);
                }
            }
            if F::HAS_MINIMUM {
                self.minimum[half] =
                    f16_to_f32(each!(r in [0 1 2 3 4 5 6 7] => headers[r].minimum.to_bits()));
                let minimums = of_subs::<F>(pairs(each!(r in [0 1 2 3 4 5 6 7] => {
                    _mm256_cvtepu8_epi16(load_bytes(&headers[r].sub_minimums))
                })));
                for i in 0..8 {
                    self.sub_minimums[i][half] = minimums[i];
                }
            }
        }
    }
}

/// From words for each two sixteens of weights to words for each two sub-blocks, which come first.
#[inline(always)]
unsafe fn of_subs<F: Super>(mut pairs: [__m256i; 8]) -> [__m256i; 8] {
    if F::SUB_LEN == 32 {
        for i in 0..4 {
            // SAFETY: the caller's promise.
            pairs[i] = unsafe { _mm256_blend_epi16::<0b10101010>(pairs[2 * i], pairs[2 * i + 1]) };
        }
    }
    pairs
}

/// Sixteen words of each of eight rows, from a register per row to one per two words: a row's
/// dword is those two.
#[inline(always)]
unsafe fn pairs(rows: [__m256i; N_LANES]) -> [__m256i; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        let low = each!(r in [0 1 2 3] => _mm256_permute2x128_si256::<0x20>(rows[r], rows[r + 4]));
        let high = each!(r in [0 1 2 3] => _mm256_permute2x128_si256::<0x31>(rows[r], rows[r + 4]));
        let [[a, b, c, d], [e, f, g, h]] = [transpose(low), transpose(high)];
        [a, b, c, d, e, f, g, h]
    }
}

#[inline(always)]
unsafe fn load_bytes<T: bytemuck::Pod>(bytes: &[T; 16]) -> __m128i {
    let bytes: &[u8; 16] = bytemuck::cast_ref(bytes);
    // SAFETY: the reference is to sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}
