//! Tiles of formats with blocks of 32.

use super::*;
use crate::activations::Tokens;
use crate::format::{FLAT_LEN, Flat};

/// Blocks that a tile of narrow codes has room for.
const N_BLOCKS: usize = N_REGISTERS / PER_32;

/// Unpacked blocks of eight rows.
struct FlatTile {
    first_block: usize,
    n_blocks: usize,
    codes: [__m256i; N_REGISTERS],
    scales: [__m256; N_BLOCKS],
    minimums: [__m256; N_BLOCKS],
}

tile_product! {
    /// The product with the tokens of a flat format's matrix; see [`Flat`] for the sum.
    multiply_flat, Flat, FlatTile
}

impl FlatTile {
    #[target_feature(enable = "avx2,fma,f16c")]
    fn new() -> Self {
        FlatTile {
            first_block: 0,
            n_blocks: 0,
            codes: [_mm256_setzero_si256(); N_REGISTERS],
            scales: [_mm256_setzero_ps(); N_BLOCKS],
            minimums: [_mm256_setzero_ps(); N_BLOCKS],
        }
    }

    const fn capacity<F: Flat>() -> usize {
        N_REGISTERS / registers_per_32(&F::LAYOUT)
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack<F: Flat>(&mut self, rows: [&[F::Block]; N_ROWS], first_block: usize) {
        (self.first_block, self.n_blocks) = (first_block, rows[0].len());
        let per_block = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            let blocks = column(&rows, block_idx);
            let registers = &mut self.codes[block_idx * per_block..][..per_block];
            let blocks = each!(r in [0 1 2 3 4 5 6 7] => bytemuck::bytes_of(blocks[r]));
            // SAFETY: this function has AVX2.
            unsafe { unpack_32(&F::LAYOUT, blocks, 0, registers) };
            self.scales[block_idx] = f16_at(blocks, 0);
            if F::HAS_MINIMUM {
                self.minimums[block_idx] = f16_at(blocks, 2);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn multiply<F: Flat, const N: usize>(
        &self,
        x: Tokens<'_, N>,
        ahead: &Ahead,
        mut out: OutColumns<'_>,
    ) {
        let mut sums = if self.first_block == 0 { [_mm256_setzero_ps(); N] } else { out.load() };
        let blocks = self.first_block..self.first_block + self.n_blocks;
        let of_sums = OfSums::new::<F>(x, blocks);
        let per_block = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            ahead.fetch(block_idx);
            let registers = &self.codes[block_idx * per_block..][..per_block];
            let (x_codes, x_scales) =
                (x.codes(self.first_block + block_idx), x.scales(self.first_block + block_idx));
            let dots = dot::<F, N>(registers, x_codes);
            for t in 0..N {
                let offset = _mm256_set1_epi32(of_sums.offsets[t][block_idx]);
                let dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots[t], offset));
                let x_scale = _mm256_set1_ps(x_scales[t]);
                let factor = _mm256_mul_ps(self.scales[block_idx], x_scale);
                sums[t] = _mm256_fmadd_ps(factor, dot, sums[t]);
                if F::HAS_MINIMUM {
                    let x_sum = _mm256_set1_ps(of_sums.scaled[t][block_idx]);
                    sums[t] = _mm256_fmadd_ps(self.minimums[block_idx], x_sum, sums[t]);
                }
            }
        }
        out.store(sums);
    }
}

/// What the sums of some tokens' codes become for a tile.
struct OfSums<const N: usize> {
    /// Times the format's offset.
    offsets: [[i32; N_BLOCKS]; N],
    /// Times the codes' scale; zero for formats without minimums.
    scaled: [[f32; N_BLOCKS]; N],
}

impl<const N: usize> OfSums<N> {
    fn new<F: Flat>(x: Tokens<'_, N>, blocks: Range<usize>) -> Self {
        let mut of_sums = OfSums { offsets: [[0; N_BLOCKS]; N], scaled: [[0.0; N_BLOCKS]; N] };
        for (block_idx, block) in blocks.enumerate() {
            let (sums, scales) = (x.sums::<1>(block), x.scales(block));
            for t in 0..N {
                of_sums.offsets[t][block_idx] = i32::from(sums[t][0]) * F::LAYOUT.offset();
                if F::HAS_MINIMUM {
                    of_sums.scaled[t][block_idx] = scales[t] * f32::from(sums[t][0]);
                }
            }
        }
        of_sums
    }
}

/// The sums of products of the unsigned codes of a block of eight rows with each token's.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot<F: Flat, const N: usize>(
    registers: &[__m256i],
    x_codes: &[[i8; FLAT_LEN]; N],
) -> [__m256i; N] {
    let mut dots = [_mm256_setzero_si256(); N];
    for (half_idx, registers) in registers.chunks_exact(PER_32).enumerate() {
        let place_value = _mm256_set1_epi16(1 << (4 * half_idx));
        let n_exact = PER_32.min(exact_additions(&F::LAYOUT));
        for (i, registers) in registers.chunks_exact(n_exact).enumerate() {
            // SAFETY: this function has AVX2; a block has four codes per register.
            let words = unsafe { multiply_words(registers, x_codes, 4 * n_exact * i) };
            for t in 0..N {
                dots[t] = _mm256_add_epi32(dots[t], _mm256_madd_epi16(words[t], place_value));
            }
        }
    }
    dots
}

/// The f16 at byte `at` of eight blocks.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn f16_at(blocks: [&[u8]; N_ROWS], at: usize) -> __m256 {
    widen(each!(r in [0 1 2 3 4 5 6 7] => u16::from_le_bytes([blocks[r][at], blocks[r][at + 1]])))
}
