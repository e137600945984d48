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
            let blocks = rows.map(|row| &row[block_idx]);
            let registers = &mut self.codes[block_idx * per_block..][..per_block];
            let pointers = blocks.map(|block| std::ptr::from_ref(block).cast());
            // SAFETY: the pointers come from references to blocks of the layout's format.
            unsafe { unpack_32(&F::LAYOUT, pointers, 0, registers) };
            self.scales[block_idx] = halves_at::<F>(blocks, 0);
            if F::HAS_MINIMUM {
                self.minimums[block_idx] = halves_at::<F>(blocks, 2);
            }
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn multiply<F: Flat, const N: usize>(
        &self,
        x: &Activations,
        tokens: [u32; N],
        mut out: OutRows<'_>,
    ) {
        let mut sums = if self.first_block == 0 { [_mm256_setzero_ps(); N] } else { out.load() };
        let end = self.first_block + self.n_blocks;
        let codes =
            tokens.map(|token| &x.codes(token)[self.first_block * FLAT_LEN..end * FLAT_LEN]);
        let x_scales = tokens.map(|token| &x.scales(token)[self.first_block..end]);
        let x_sums = tokens.map(|token| &x.sums(token)[self.first_block..end]);
        let per_block = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            let registers = &self.codes[block_idx * per_block..][..per_block];
            let codes = codes.map(|codes| &codes[block_idx * FLAT_LEN..][..FLAT_LEN]);
            let dots = dot::<F, N>(registers, codes);
            for t in 0..N {
                let x_sum = i32::from(x_sums[t][block_idx]);
                let offset = _mm256_set1_epi32(x_sum * F::LAYOUT.offset());
                let dot = _mm256_cvtepi32_ps(_mm256_sub_epi32(dots[t], offset));
                let x_scale = x_scales[t][block_idx];
                let factor = _mm256_mul_ps(self.scales[block_idx], _mm256_set1_ps(x_scale));
                sums[t] = _mm256_fmadd_ps(factor, dot, sums[t]);
                if F::HAS_MINIMUM {
                    let x_sum = _mm256_set1_ps(x_scale * x_sum as f32);
                    sums[t] = _mm256_fmadd_ps(self.minimums[block_idx], x_sum, sums[t]);
                }
            }
        }
        out.store(sums);
    }
}

/// The sums of products of the unsigned codes of a block of eight rows with each token's.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn dot<F: Flat, const N: usize>(registers: &[__m256i], codes: [&[i8]; N]) -> [__m256i; N] {
    let mut dots = [_mm256_setzero_si256(); N];
    for (half_idx, registers) in registers.chunks_exact(PER_32).enumerate() {
        let place_value = _mm256_set1_epi16(1 << (4 * half_idx));
        let n_exact = PER_32.min(exact_additions(&F::LAYOUT));
        for (i, registers) in registers.chunks_exact(n_exact).enumerate() {
            let codes = codes.map(|codes| codes[4 * n_exact * i..][..4 * n_exact].as_ptr());
            // SAFETY: the slices hold four codes per register.
            let words = unsafe { multiply_words(registers, codes) };
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
fn halves_at<F: Flat>(blocks: [&F::Block; N_ROWS], at: usize) -> __m256 {
    let [a, b, c, d, e, f, g, h] = blocks.map(|block| {
        let block = bytemuck::bytes_of(block);
        i16::from_le_bytes([block[at], block[at + 1]])
    });
    _mm256_cvtph_ps(_mm_set_epi16(h, g, f, e, d, c, b, a))
}
