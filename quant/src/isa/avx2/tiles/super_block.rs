//! Tiles of formats with blocks of 256.

use super::*;
use crate::activations::Activations;
use crate::format::{SUPER_LEN, Super, SuperScales};

/// Blocks that a tile of narrow codes has room for.
const N_BLOCKS: usize = N_REGISTERS / (8 * PER_32);

/// Unpacked blocks of eight rows.
struct SuperTile {
    first_block: usize,
    n_blocks: usize,
    codes: [__m256i; N_REGISTERS],
    blocks: [Header; N_BLOCKS],
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
        SuperTile { first_block: 0, n_blocks: 0, codes, blocks: [header; N_BLOCKS] }
    }

    const fn capacity<F: Super>() -> usize {
        N_REGISTERS / (8 * registers_per_32(&F::LAYOUT))
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn unpack<F: Super>(&mut self, rows: [&[F::Block]; N_ROWS], first_block: usize) {
        (self.first_block, self.n_blocks) = (first_block, rows[0].len());
        let per_32 = registers_per_32(&F::LAYOUT);
        for block_idx in 0..self.n_blocks {
            let blocks = rows.map(|row| &row[block_idx]);
            let pointers = blocks.map(|block| std::ptr::from_ref(block).cast());
            let registers = &mut self.codes[block_idx * 8 * per_32..][..8 * per_32];
            for (chunk_idx, registers) in registers.chunks_exact_mut(per_32).enumerate() {
                // SAFETY: the pointers come from references to blocks of the layout's format.
                unsafe { unpack_32(&F::LAYOUT, pointers, 32 * chunk_idx, registers) };
            }
            self.blocks[block_idx] = Header::new::<F>(&blocks.map(F::scales));
        }
    }

    #[target_feature(enable = "avx2,fma,f16c")]
    fn multiply<F: Super, const N: usize>(
        &self,
        x: &Activations,
        tokens: [u32; N],
        mut out: OutRows<'_>,
    ) {
        let mut sums = if self.first_block == 0 { [_mm256_setzero_ps(); N] } else { out.load() };
        let x_scales = tokens.map(|token| x.scales(token));
        let codes = tokens.map(|token| x.codes(token).as_chunks::<SUPER_LEN>().0);
        let x_sums = tokens.map(|token| x.sums(token).as_chunks::<16>().0);
        let per_block = 8 * registers_per_32(&F::LAYOUT);
        let registers = self.codes.chunks_exact(per_block);
        for (i, (registers, header)) in registers.zip(&self.blocks).take(self.n_blocks).enumerate()
        {
            let block_idx = self.first_block + i;
            let codes = codes.map(|codes| &codes[block_idx]);
            let x_sums = x_sums.map(|sums| &sums[block_idx]);
            let dots = header.dot::<F, N>(registers, codes, x_sums);
            for t in 0..N {
                let x_scale = _mm256_set1_ps(x_scales[t][block_idx]);
                let factor = _mm256_mul_ps(header.scale, x_scale);
                sums[t] = _mm256_fmadd_ps(factor, _mm256_cvtepi32_ps(dots[t]), sums[t]);
                if F::HAS_MINIMUM {
                    let dot = dot_pairs(&header.sub_minimums, x_sums[t]);
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
        let scales = pairs(headers.each_ref().map(|header| {
            let scales: &[u8; 16] = bytemuck::cast_ref(&header.sub_scales);
            scales
        }))
        .map(|words| _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(words)));
        let offset = _mm256_set1_epi16(F::LAYOUT.offset() as i16);
        let lanes = |values: [f32; N_ROWS]| {
            // SAFETY: the array is 32 bytes.
            unsafe { _mm256_loadu_ps(values.as_ptr()) }
        };
        Header {
            scale: lanes(headers.each_ref().map(|header| header.scale)),
            minimum: lanes(headers.each_ref().map(|header| header.minimum)),
            sub_scales: std::array::from_fn(|sixteen| {
                let words = scales[sixteen / 2];
                if sixteen % 2 == 0 {
                    _mm256_blend_epi16::<0b10101010>(words, _mm256_slli_epi32::<16>(words))
                } else {
                    _mm256_blend_epi16::<0b01010101>(words, _mm256_srli_epi32::<16>(words))
                }
            }),
            offsets: scales.map(|words| _mm256_mullo_epi16(words, offset)),
            sub_minimums: pairs(headers.each_ref().map(|header| &header.sub_minimums)),
        }
    }

    /// The sums of products of a block of eight rows with each token's, sub-scales and offset
    /// applied.
    #[target_feature(enable = "avx2,fma,f16c")]
    #[inline]
    fn dot<F: Super, const N: usize>(
        &self,
        registers: &[__m256i],
        codes: [&[i8; SUPER_LEN]; N],
        x_sums: [&[i16; 16]; N],
    ) -> [__m256i; N] {
        let mut dots = [_mm256_setzero_si256(); N];
        let n_exact = (F::SUB_LEN / 4).min(exact_additions(&F::LAYOUT));
        let per_32 = registers_per_32(&F::LAYOUT);
        for (chunk_idx, registers) in registers.chunks_exact(per_32).enumerate() {
            for (i, registers) in registers.chunks_exact(n_exact).enumerate() {
                // Of wide weights the low halves come first, then the high.
                let (half_idx, first) = (i * n_exact / PER_32, i * n_exact % PER_32 * 4);
                let codes =
                    codes.map(|codes| codes[32 * chunk_idx + first..][..4 * n_exact].as_ptr());
                // SAFETY: the slices hold four codes per register.
                let words = unsafe { multiply_words(registers, codes) };
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
                dots[t] = _mm256_sub_epi32(dots[t], dot_pairs(&self.offsets, x_sums[t]));
            }
        }
        dots
    }
}

/// Sixteen bytes of each of eight rows as pairs of words, a row's dword for each two bytes.
#[target_feature(enable = "avx2,fma,f16c")]
fn pairs(rows: [&[u8; 16]; N_ROWS]) -> [__m256i; 8] {
    let eights = |half: usize| {
        transpose(std::array::from_fn(|r| {
            let [a, b] =
                [rows[r], rows[r + 4]].map(|row| i64::from_le_bytes(row.as_chunks().0[half]));
            _mm256_cvtepu8_epi16(_mm_set_epi64x(b, a))
        }))
    };
    let [[a, b, c, d], [e, f, g, h]] = [eights(0), eights(1)];
    [a, b, c, d, e, f, g, h]
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
