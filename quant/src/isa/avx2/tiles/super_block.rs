//! Tiles of formats with blocks of 256.

use super::*;
use crate::activations::Tokens;
use crate::format::{SUPER_LEN, Super, SuperScales};

/// Blocks that a tile of narrow codes has room for.
const N_BLOCKS: usize = N_REGISTERS / (8 * PER_32);

/// Unpacked blocks of eight rows.
struct SuperTile {
    first_block: usize,
    n_blocks: usize,
    codes: [__m256i; N_REGISTERS],
    headers: [Header; N_BLOCKS],
}

/// The scales and minimums of a block of eight rows. A row's dword is two words, for two
/// neighbouring sixteens of weights.
#[derive(Clone, Copy)]
struct Header {
    scale: __m256,
    minimum: __m256,
    /// For each sixteen, its sub-scale twice.
    sub_scales: [__m256i; 16],
    /// For each two sixteens, their sub-scales times the offset.
    offsets: [__m256i; 8],
    /// For each two sixteens, their sub-minimums.
    sub_minimums: [__m256i; 8],
}

tile_product! {
    /// The product with the tokens of a super-block format's matrix; see [`Super`] for the sum.
    multiply_super, Super, SuperTile
}

impl SuperTile {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new() -> Self {
        let (zero, zero_words) = (_mm256_setzero_ps(), _mm256_setzero_si256());
        let header = Header {
            scale: zero,
            minimum: zero,
            sub_scales: [zero_words; 16],
            offsets: [zero_words; 8],
            sub_minimums: [zero_words; 8],
        };
        let codes = [zero_words; N_REGISTERS];
        SuperTile { first_block: 0, n_blocks: 0, codes, headers: [header; N_BLOCKS] }
    }

    const fn capacity<F: Super>() -> usize {
        N_REGISTERS / (8 * registers_per_32(&F::LAYOUT))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack<F: Super>(&mut self, rows: [&[F::Block]; N_ROWS], first_block: usize) {
        (self.first_block, self.n_blocks) = (first_block, rows[0].len());
        let per_32 = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            let blocks = column(&rows, block_idx);
            let headers = each!(r in [0 1 2 3 4 5 6 7] => F::scales(blocks[r]));
            self.headers[block_idx] = Header::new::<F>(&headers);
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
            let registers = &mut self.codes[block_idx * 8 * per_32..][..8 * per_32];
            each!(chunk_idx in [0 1 2 3 4 5 6 7] => {
                let registers = &mut registers[chunk_idx * per_32..][..per_32];
                // SAFETY: this function has AVX2.
                unsafe { unpack_32(&F::LAYOUT, blocks, 32 * chunk_idx, registers) };
            });
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn multiply<F: Super, const N: usize>(
        &self,
        x: Tokens<'_, N>,
        ahead: &Ahead,
        mut out: OutColumns<'_>,
    ) {
        let mut sums = if self.first_block == 0 { [_mm256_setzero_ps(); N] } else { out.load() };
        let per_block = 8 * registers_per_32(&F::LAYOUT);
        for (block_idx, header) in self.headers[..self.n_blocks].iter().enumerate() {
            ahead.fetch(block_idx);
            let registers = &self.codes[block_idx * per_block..][..per_block];
            let block = self.first_block + block_idx;
            let (x_codes, x_scales, x_sums) = (x.codes(block), x.scales(block), x.sums(block));
            let dots = header.dot::<F, N>(registers, x_codes, x_sums);
            for t in 0..N {
                let x_scale = _mm256_set1_ps(x_scales[t]);
                let factor = _mm256_mul_ps(header.scale, x_scale);
                sums[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dots[t]), sums[t]);
                if F::HAS_MINIMUM {
                    let dot = dot_pairs(&header.sub_minimums, &x_sums[t]);
                    let factor = _mm256_mul_ps(header.minimum, x_scale);
                    sums[t] = _mm256_fnmadd_ps(factor, _mm256_cvtepi32_ps(dot), sums[t]);
                }
            }
        }
        out.store(sums);
    }
}

impl Header {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new<F: Super>(headers: &[SuperScales; N_ROWS]) -> Self {
        let signed = each!(r in [0 1 2 3 4 5 6 7] => load_bytes(&headers[r].sub_scales));
        let scales = pairs(each!(r in [0 1 2 3 4 5 6 7] => _mm256_cvtepi8_epi16(signed[r])));
        let minimums = each!(r in [0 1 2 3 4 5 6 7] => load_bytes(&headers[r].sub_minimums));
        let minimums = each!(r in [0 1 2 3 4 5 6 7] => _mm256_cvtepu8_epi16(minimums[r]));
        let offset = _mm256_set1_epi16(F::LAYOUT.offset() as i16);
        let scale = widen(each!(r in [0 1 2 3 4 5 6 7] => headers[r].scale.to_bits()));
        let minimum = widen(each!(r in [0 1 2 3 4 5 6 7] => headers[r].minimum.to_bits()));
        let mut sub_scales = [_mm256_setzero_si256(); 16];
        for (twice, &both) in sub_scales.as_chunks_mut::<2>().0.iter_mut().zip(&scales) {
            let (first, second) = (_mm256_slli_epi32::<16>(both), _mm256_srli_epi32::<16>(both));
            twice[0] = _mm256_blend_epi16::<0b10101010>(both, first);
            twice[1] = _mm256_blend_epi16::<0b01010101>(both, second);
        }
        Header {
            scale,
            minimum,
            sub_scales,
            offsets: each!(i in [0 1 2 3 4 5 6 7] => _mm256_mullo_epi16(scales[i], offset)),
            sub_minimums: pairs(minimums),
        }
    }

    /// The sums of products of a block of eight rows with each token's, sub-scales and offset
    /// applied.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn dot<F: Super, const N: usize>(
        &self,
        registers: &[__m256i],
        x_codes: &[[i8; SUPER_LEN]; N],
        x_sums: &[[i16; 16]; N],
    ) -> [__m256i; N] {
        let mut dots = [_mm256_setzero_si256(); N];
        let n_exact = (F::SUB_LEN / 4).min(exact_additions(&F::LAYOUT));
        let per_32 = registers_per_32(&F::LAYOUT);
        for (chunk_idx, registers) in registers.chunks_exact(per_32).enumerate() {
            for (i, registers) in registers.chunks_exact(n_exact).enumerate() {
                // Of wide weights the low halves come first, then the high.
                let (half_idx, first) = (i * n_exact / PER_32, i * n_exact % PER_32 * 4);
                // SAFETY: this function has AVX2; a chunk has four codes per register.
                let words = unsafe { multiply_words(registers, x_codes, 32 * chunk_idx + first) };
                let mut sub_scale = self.sub_scales[2 * chunk_idx + first / 16];
                if half_idx == 1 {
                    sub_scale = _mm256_slli_epi16::<4>(sub_scale);
                }
                for t in 0..N {
                    dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(words[t], sub_scale));
                }
            }
        }
        if F::LAYOUT.offset() != 0 {
            for t in 0..N {
                dots[t] = _mm256_sub_epi32(dots[t], dot_pairs(&self.offsets, &x_sums[t]));
            }
        }
        dots
    }
}

/// Sixteen words of each of eight rows, from a register per row to one per two words: a row's
/// dword is those two.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn pairs(rows: [__m256i; N_ROWS]) -> [__m256i; 8] {
    let low = each!(r in [0 1 2 3] => _mm256_permute2x128_si256::<0x20>(rows[r], rows[r + 4]));
    let high = each!(r in [0 1 2 3] => _mm256_permute2x128_si256::<0x31>(rows[r], rows[r + 4]));
    let [[a, b, c, d], [e, f, g, h]] = [transpose(low), transpose(high)];
    [a, b, c, d, e, f, g, h]
}

#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn load_bytes<T: bytemuck::Pod>(bytes: &[T; 16]) -> __m128i {
    let bytes: &[u8; 16] = bytemuck::cast_ref(bytes);
    // SAFETY: the reference is to sixteen bytes.
    unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) }
}

/// The sum over sixteen words of the eight rows' with those of a token.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot_pairs(pairs: &[__m256i; 8], words: &[i16; 16]) -> __m256i {
    let mut dot = _mm256_setzero_si256();
    for (&pair, &[first, second]) in pairs.iter().zip(words.as_chunks::<2>().0) {
        let words = i32::from(second) << 16 | i32::from(first) & 0xffff;
        dot = _mm256_add_epi32(dot, _mm256_madd_epi16(pair, _mm256_set1_epi32(words)));
    }
    dot
}
