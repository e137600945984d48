//! Decoding of blocks with a codebook: indices and signs are collected in vectors, entries are
//! loaded one by one.

use crate::codebook::{Codebook, Decoded, Entries, FieldLanes, N_CHUNKS, Signs};
use crate::format::{SUPER_LEN, Super};
use crate::isa::stamp::each;
use std::arch::aarch64::*;

/// Writes the unsigned byte of every weight of a block; see [`Codebook::decode`].
#[target_feature(enable = "neon")]
#[inline(never)]
pub fn decode<F: Super>(block: &F::Block, decoded: &mut Decoded) {
    let Some(book) = (const { F::LAYOUT.codebook() }) else { return };
    let block = bytemuck::bytes_of(block);
    let (indices, signs) = (indices(book, block), signs(book, block));
    let own_bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040_2010_0804_0201));
    let sixteens = decoded.0.as_chunks_mut::<16>().0.iter_mut().zip(signs.as_chunks().0);
    for (i, (to, &[first, second])) in sixteens.enumerate() {
        let weights = match book.entries {
            Entries::Eights(table) => {
                let [a, b] = each!(k in [0 1] => table[usize::from(indices[2 * i + k])]);
                vcombine_u8(vcreate_u8(a), vcreate_u8(b))
            }
            Entries::Fours(table) => {
                let fours = each!(k in [0 1 2 3] => table[usize::from(indices[4 * i + k])]);
                // SAFETY: the array is sixteen bytes.
                vreinterpretq_u8_u32(unsafe { vld1q_u32(fours.as_ptr()) })
            }
        };
        let is_negative = vtstq_u8(vcombine_u8(vdup_n_u8(first), vdup_n_u8(second)), own_bit);
        let unsigned = match book.signs {
            Signs::Each(_) | Signs::Parity(_) => {
                vbslq_u8(is_negative, vsubq_u8(vdupq_n_u8(2 * book.offset), weights), weights)
            }
            Signs::Delta(_) => vsubq_u8(weights, vandq_u8(is_negative, vdupq_n_u8(2))),
        };
        // SAFETY: the array is sixteen bytes.
        unsafe { vst1q_u8(to.as_mut_ptr(), unsigned) };
    }
}

/// Most entries of a block.
const MAX_ENTRIES: usize = SUPER_LEN / 4;

/// The indices of a block's entries, in order.
#[inline(always)]
fn indices(book: &Codebook, block: &[u8]) -> [u16; MAX_ENTRIES] {
    let [low, high] = &book.index_lanes;
    let (n_bits, n_lanes) = (book.index[1].bits, N_CHUNKS * book.entries.per_chunk() / 8);
    let mut indices = [0; MAX_ENTRIES];
    for (i, to) in indices.as_chunks_mut::<8>().0.iter_mut().take(n_lanes).enumerate() {
        let mut words = lane(low, block, i);
        // SAFETY: NEON is part of the target; the array is sixteen bytes.
        unsafe {
            if n_bits > 0 {
                let high = vmulq_u16(lane(high, block, i), factors(high));
                let mask = vdupq_n_u16(((1 << n_bits) - 1) << 8);
                words = vorrq_u16(words, vandq_u16(high, mask));
            }
            vst1q_u16(to.as_mut_ptr(), words);
        }
    }
    indices
}

/// A lane of a field.
#[inline(always)]
fn lane(lanes: &FieldLanes, block: &[u8], idx: usize) -> uint16x8_t {
    let window = lanes.window(block, idx);
    // SAFETY: NEON is part of the target; a window, and a lane's order, are sixteen bytes.
    unsafe {
        let (bytes, order) = (vld1q_u8(window.as_ptr()), vld1q_u8(lanes.bytes.as_ptr()));
        vreinterpretq_u16_u8(vqtbl1q_u8(bytes, order))
    }
}

/// What the elements of a lane are multiplied with.
#[inline(always)]
fn factors(lanes: &FieldLanes) -> uint16x8_t {
    // SAFETY: NEON is part of the target; the array is sixteen bytes.
    unsafe { vld1q_u16(lanes.factors.as_ptr()) }
}

/// The signs of a block, a bit for each weight.
#[inline(always)]
fn signs(book: &Codebook, block: &[u8]) -> [u8; SUPER_LEN / 8] {
    if let Signs::Each(field) = book.signs {
        return *block[field.first / 8..].first_chunk().expect("the block has its signs");
    }
    let (lanes, mut signs) = (&book.sign_lanes, [0; SUPER_LEN / 8]);
    for (i, to) in signs.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        // SAFETY: NEON is part of the target; the array is eight bytes.
        unsafe {
            let field = vshrn_n_u16::<8>(vmulq_u16(lane(lanes, block, i), factors(lanes)));
            let bytes = if let Signs::Parity(_) = book.signs {
                // The eighth is the parity of the seven.
                let seven = vand_u8(field, vdup_n_u8(0x7f));
                vorr_u8(seven, vshl_n_u8::<7>(vcnt_u8(seven)))
            } else {
                // The one bit to all bits.
                vtst_u8(field, vdup_n_u8(1))
            };
            vst1_u8(to.as_mut_ptr(), bytes);
        }
    }
    signs
}

#[cfg(test)]
mod tests {
    crate::isa::kernel_check::test_decoding!("NEON", true);
}
