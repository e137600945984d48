//! Unpacking with a transpose, for GEMM: blocks of sixteen rows become registers that hold the same
//! four columns of each.

use super::codebook::decode;
use super::unpack::{Blocks, LANE_LEN, Source, group_of_bits, load_lanes, source, unsigned};
use crate::codebook::Decoded;
use crate::format::Super;
use crate::isa::stamp::{each, unroll};
use crate::layout::{Layout, Plane};
use std::arch::x86_64::*;

/// Rows of a register.
pub const N_ROWS: usize = 16;

/// A block of each of sixteen rows that are equally far apart.
pub struct SixteenBlocks<B> {
    /// The blocks of rows 0, 4, 8 and 12. An instruction can name what is one or two distances further,
    /// and with a register for it three: six registers name all sixteen.
    every_fourth: [*const B; 4],
    /// Bytes from row to row.
    distance: usize,
}

impl<B> SixteenBlocks<B> {
    /// `first` is the block of row 0.
    #[inline(always)]
    pub fn new(first: *const B, distance: usize) -> Self {
        let every_fourth = each!(i in [0 1 2 3] => first.wrapping_byte_add(4 * i * distance));
        SixteenBlocks { every_fourth, distance }
    }

    /// The block of a row.
    #[inline(always)]
    pub fn of_row(&self, row: usize) -> *const B {
        self.every_fourth[row / 4].wrapping_byte_add(row % 4 * self.distance)
    }

    /// Moves on to the next block of each row.
    #[inline(always)]
    pub fn advance(&mut self) {
        for block in &mut self.every_fourth {
            *block = block.wrapping_add(1);
        }
    }
}

/// The blocks as [`transpose_unpack`] takes them: decoded into the scratch memory where the format
/// has a codebook.
///
/// # Safety
/// See [`super::unpack::unpack16`].
#[inline(always)]
pub unsafe fn decoded<F: Super>(
    blocks: &SixteenBlocks<F::Block>,
    scratch: &mut [Decoded; N_ROWS],
) -> SixteenBlocks<u8> {
    if F::LAYOUT.codebook().is_none() {
        return SixteenBlocks::new(blocks.of_row(0).cast(), blocks.distance);
    }
    for (row, decoded) in scratch.iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        unsafe { decode::<F>(&*blocks.of_row(row), decoded) };
    }
    SixteenBlocks::new(scratch.as_ptr().cast(), size_of::<Decoded>())
}

/// The unsigned bytes of sixteen blocks, decoded if they have a codebook, four weights of each to a
/// register: element `r` of register `k` has weights `4 * k..4 * (k + 1)` of block `r`.
///
/// Bytes are transposed as they lie in the blocks: half as often, or less, as if they were taken
/// apart before.
///
/// # Safety
/// See [`super::unpack::unpack16`].
#[inline(always)]
pub unsafe fn transpose_unpack<B, const N: usize>(
    layout: &Layout,
    blocks: &SixteenBlocks<B>,
    codes: &mut [__m512i; N],
) {
    // SAFETY: the caller's promise.
    unsafe {
        // Not a loop: the compiler is to know each plane's numbers.
        match layout.planes {
            [plane] => add_plane(plane, 0, blocks, codes),
            [low, high] => {
                add_plane(low, 0, blocks, codes);
                add_plane(high, low.bits, blocks, codes);
            }
            // `Layout::check` allows no more.
            _ => unreachable!("more than two planes"),
        }
        for codes in codes {
            *codes = unsigned(layout, *codes);
        }
    }
}

/// Adds a plane's bits to those of lower planes, of which there are `low_bits`.
#[inline(always)]
unsafe fn add_plane<B, const N: usize>(
    plane: &Plane,
    low_bits: usize,
    blocks: &SixteenBlocks<B>,
    codes: &mut [__m512i; N],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let n_bytes = 4 * N * plane.bits / 8;
        let mut raw = [[_mm512_setzero_si512(); 4]; MAX_PLANE_BYTES / LANE_LEN];
        for (i, raw) in raw.iter_mut().take(n_bytes.div_ceil(LANE_LEN)).enumerate() {
            *raw = load_columns(blocks, plane.offset + i * LANE_LEN);
        }
        unroll!(SIXTEEN in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            if SIXTEEN < N / 4 {
                for k in 0..4 {
                    let bits = if plane.run < LANE_LEN {
                        four_single_bits(raw[0][0], 4 * SIXTEEN + k, low_bits)
                    } else {
                        let Source { offset, shift } = source(plane, SIXTEEN);
                        group_of_bits(raw[offset / LANE_LEN][k], plane, shift, low_bits)
                    };
                    let codes = &mut codes[4 * SIXTEEN + k];
                    *codes = if low_bits == 0 { bits } else { _mm512_or_si512(*codes, bits) };
                }
            }
        });
    }
}

/// Most bytes in a plane of a block.
const MAX_PLANE_BYTES: usize = 256;

/// Sixteen bytes at `offset` of sixteen blocks: element `r` of register `k` has bytes
/// `4 * k..4 * (k + 1)` of block `r`.
#[inline(always)]
unsafe fn load_columns<B>(blocks: &SixteenBlocks<B>, offset: usize) -> [__m512i; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        transpose(&each!(i in [0 1 2 3] => {
            let every_fourth: Blocks = each!(k in [0 1 2 3] => blocks.of_row(4 * k + i).cast());
            load_lanes(every_fourth, offset)
        }))
    }
}

/// For planes of one bit per weight in order, which have 32: spreads bits `4 * k..` of each element
/// over its bytes.
#[inline(always)]
unsafe fn four_single_bits(elements: __m512i, k: usize, low_bits: usize) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let first = _mm_set_epi32(0x0c0c_0c0c, 0x0808_0808, 0x0404_0404, 0);
        let byte = _mm512_broadcast_i32x4(first);
        let byte = _mm512_add_epi8(byte, _mm512_set1_epi8((k / 2) as i8));
        let bits = _mm512_set1_epi32(0x0804_0201 << (4 * (k % 2)));
        let is_set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(elements, byte), bits);
        _mm512_maskz_set1_epi8(is_set, 1 << low_bits)
    }
}

/// Within each lane, the 4x4 transpose of 32-bit elements: element `i` of result `k` is element `k`
/// of register `i`.
#[inline(always)]
unsafe fn transpose(rows: &[__m512i; 4]) -> [__m512i; 4] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let low01 = _mm512_unpacklo_epi32(rows[0], rows[1]);
        let low23 = _mm512_unpacklo_epi32(rows[2], rows[3]);
        let high01 = _mm512_unpackhi_epi32(rows[0], rows[1]);
        let high23 = _mm512_unpackhi_epi32(rows[2], rows[3]);
        [
            _mm512_unpacklo_epi64(low01, low23),
            _mm512_unpackhi_epi64(low01, low23),
            _mm512_unpacklo_epi64(high01, high23),
            _mm512_unpackhi_epi64(high01, high23),
        ]
    }
}
