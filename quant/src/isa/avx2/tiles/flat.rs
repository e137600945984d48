//! Tiles of formats with blocks of 32.

use super::*;
use crate::activations::Activations;
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
        x: &Activations,
        tokens: [u32; N],
        ahead: &Ahead,
        mut out: OutColumns<'_>,
    ) {
        let mut sums = if self.first_block == 0 { [_mm256_setzero_ps(); N] } else { out.load() };
        let blocks = self.first_block..self.first_block + self.n_blocks;
        let x = FlatActivations::new::<F>(x, tokens, blocks);
        let per_block = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            ahead.fetch(block_idx);
            let registers = &self.codes[block_idx * per_block..][..per_block];
            let dots = dot::<F, N>(registers, column(&x.codes, block_idx));
            for t in 0..N {
                let offset = _mm256_set1_epi32(x.offsets[t][block_idx]);
                let dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots[t], offset));
                let x_scale = _mm256_set1_ps(x.scales[t][block_idx]);
                let factor = _mm256_mul_ps(self.scales[block_idx], x_scale);
                sums[t] = _mm256_fmadd_ps(factor, dot, sums[t]);
                if F::HAS_MINIMUM {
                    let x_sum = _mm256_set1_ps(x.scaled_sums[t][block_idx]);
                    sums[t] = _mm256_fmadd_ps(self.minimums[block_idx], x_sum, sums[t]);
                }
            }
        }
        out.store(sums);
    }
}

/// The activations that some tokens have for a tile.
struct FlatActivations<'a, const N: usize> {
    codes: [&'a [[i8; FLAT_LEN]]; N],
    scales: [&'a [f32]; N],
    /// Sums of codes, times the format's offset.
    offsets: [[i32; N_BLOCKS]; N],
    /// Sums of codes, times their scale; zero for formats without minimums.
    scaled_sums: [[f32; N_BLOCKS]; N],
}

impl<'a, const N: usize> FlatActivations<'a, N> {
    fn new<F: Flat>(x: &'a Activations, tokens: [u32; N], blocks: Range<usize>) -> Self {
        let mut offsets = [[0; N_BLOCKS]; N];
        let mut scaled_sums = [[0.0; N_BLOCKS]; N];
        for t in 0..N {
            let sums = &x.sums(tokens[t])[blocks.clone()];
            for (offset, &sum) in offsets[t].iter_mut().zip(sums) {
                *offset = i32::from(sum) * F::LAYOUT.offset();
            }
            if F::HAS_MINIMUM {
                let scales = &x.scales(tokens[t])[blocks.clone()];
                for ((scaled, &sum), &scale) in scaled_sums[t].iter_mut().zip(sums).zip(scales) {
                    *scaled = scale * f32::from(sum);
                }
            }
        }
        FlatActivations {
            codes: tokens.map(|token| &x.codes(token).as_chunks().0[blocks.clone()]),
            scales: tokens.map(|token| &x.scales(token)[blocks.clone()]),
            offsets,
            scaled_sums,
        }
    }
}

/// The sums of products of the unsigned codes of a block of eight rows with each token's.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot<F: Flat, const N: usize>(
    registers: &[__m256i],
    x_codes: [&[i8; FLAT_LEN]; N],
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
