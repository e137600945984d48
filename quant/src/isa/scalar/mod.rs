//! The reference: plain Rust that states what each kernel computes, on any CPU.

mod lanes;

pub use super::peak::int8_peak;
use crate::format::{FLAT_LEN, Flat, SUPER_LEN, Super};
use crate::product::Product;
use half::f16;
use lanes::ScalarLanes;

crate::isa::stamp::stamp_vector_functions!(ScalarLanes, []);

/// See [`Flat`] for the sum.
pub fn multiply_flat<F: Flat>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    for (row_idx, row) in product.weights.chunks_exact(blocks_per_row).enumerate() {
        for t in 0..product.n_tokens() {
            let mut acc = 0.0f32;
            for (block_idx, block) in row.iter().enumerate() {
                let block = bytemuck::bytes_of(block);
                let (scale, x_scale) = (f16_at(block, 0), product.x.scale(t, block_idx));
                let mut unsigned = [0; FLAT_LEN];
                F::LAYOUT.unpack(block, &mut unsigned);
                let codes = product.x.codes(t, block_idx);
                let sum = integer_dot(&unsigned, F::LAYOUT.offset(), codes);
                acc = (scale * x_scale).mul_add(sum as f32, acc);
                if F::HAS_MINIMUM {
                    let x_sum = product.x.sums(t, block_idx)[0];
                    acc = f16_at(block, 2).mul_add(x_scale * f32::from(x_sum), acc);
                }
            }
            product.out[t * n_rows + row_idx] = acc;
        }
    }
}

/// See [`Super`] for the sum.
pub fn multiply_super<F: Super>(product: Product<'_, F>) {
    let (n_rows, blocks_per_row) = (product.n_rows(), product.blocks_per_row());
    for (row_idx, row) in product.weights.chunks_exact(blocks_per_row).enumerate() {
        for t in 0..product.n_tokens() {
            let mut acc = 0.0f32;
            for (block_idx, block) in row.iter().enumerate() {
                let scales = F::scales(block);
                let mut unsigned = [0; SUPER_LEN];
                F::LAYOUT.unpack(bytemuck::bytes_of(block), &mut unsigned);
                let (codes, x_scale) =
                    (product.x.codes(t, block_idx), product.x.scale(t, block_idx));
                let subs = unsigned.chunks_exact(16).zip(codes.chunks_exact(16));
                let sum: i32 = subs
                    .zip(scales.sub_scales)
                    .map(|((u, q), scale)| i32::from(scale) * integer_dot(u, F::LAYOUT.offset(), q))
                    .sum();
                acc = (scales.scale.to_f32() * F::UNIT * x_scale).mul_add(sum as f32, acc);
                if F::HAS_MINIMUM {
                    let sums = product.x.sums(t, block_idx);
                    let minimums = scales.sub_minimums.iter().zip(sums);
                    let sum: i32 = minimums.map(|(&m, &s)| i32::from(m) * i32::from(s)).sum();
                    acc = (-(scales.minimum.to_f32() * x_scale)).mul_add(sum as f32, acc);
                }
            }
            product.out[t * n_rows + row_idx] = acc;
        }
    }
}

fn integer_dot(unsigned: &[u8], offset: i32, codes: &[i8]) -> i32 {
    unsigned.iter().zip(codes).map(|(&u, &q)| (i32::from(u) - offset) * i32::from(q)).sum()
}

fn f16_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}
