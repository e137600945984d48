//! From packed blocks to registers: sixteen codes of each of four blocks at once, whatever the
//! format, and the headers of sixteen flat blocks.
//!
//! Every function here is inlined into a kernel, where the layout is a constant: its loops and
//! branches are gone by then.

use crate::format::{Super, SuperScales};
use crate::layout::{Codes, Layout, Plane};
use std::arch::x86_64::*;

/// Codes of one block in a lane.
pub const PIECE_LEN: usize = 16;

/// The addresses of four blocks, one per lane.
pub type Blocks = [*const u8; 4];

/// Bytes between what a stream of blocks reads and what it asks for.
pub const STREAM_DISTANCE: usize = 2048;

/// Asks for as much as a block, `distance` bytes after its start. It need not exist.
#[inline(always)]
pub fn prefetch<T>(block: *const T, distance: usize) {
    let start = block.cast::<i8>().wrapping_add(distance);
    for line in (0..size_of::<T>()).step_by(64) {
        // SAFETY: a prefetch has no effect that could be observed, wherever it points.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line)) };
    }
}

/// Every fourth of sixteen blocks, from block `i` on: the lanes that [`transpose`] puts in order.
#[inline(always)]
pub fn every_fourth<T>(blocks: &[*const T; 16], i: usize) -> Blocks {
    [blocks[i].cast(), blocks[i + 4].cast(), blocks[i + 8].cast(), blocks[i + 12].cast()]
}

/// Runs a block of code once per number, each time with the number as a constant.
macro_rules! unroll {
    ($index:ident in [$($n:literal)*] $body:block) => {
        $({
            const $index: usize = $n;
            $body
        })*
    };
}
pub(super) use unroll;

/// The largest unsigned byte that [`piece`] makes.
pub const fn max_unsigned(layout: &Layout) -> i32 {
    match layout.codes {
        Codes::Offset(_) => layout.max_code(),
        Codes::Signed | Codes::Table(_) => u8::MAX as i32,
    }
}

/// Sixteen bytes at `offset` of each block.
///
/// # Safety
/// The blocks must be readable that far.
#[inline(always)]
pub unsafe fn load_lanes(blocks: Blocks, offset: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let [a, b, c, d] = blocks;
        let lanes = _mm512_castsi128_si512(_mm_loadu_si128(a.add(offset).cast()));
        let lanes = _mm512_inserti32x4::<1>(lanes, _mm_loadu_si128(b.add(offset).cast()));
        let lanes = _mm512_inserti32x4::<2>(lanes, _mm_loadu_si128(c.add(offset).cast()));
        _mm512_inserti32x4::<3>(lanes, _mm_loadu_si128(d.add(offset).cast()))
    }
}

/// The unsigned bytes ([`Layout::unpack`]) of weights `16 * piece..16 * (piece + 1)` of each block.
///
/// # Safety
/// The addresses must be those of blocks of this layout, with at least 16 bytes from each plane's
/// offset on.
#[inline(always)]
pub unsafe fn piece(layout: &Layout, blocks: Blocks, piece: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let mut codes = _mm512_setzero_si512();
        let mut low_bits = 0;
        for plane in layout.planes {
            let bits = if plane.run < PIECE_LEN {
                single_bits(load_lanes(blocks, plane.offset), piece, low_bits)
            } else {
                let Source { offset, shift } = source(plane, piece);
                group_of_bits(load_lanes(blocks, plane.offset + offset), plane, shift, low_bits)
            };
            codes = _mm512_or_si512(codes, bits);
            low_bits += plane.bits;
        }
        unsigned(layout, codes)
    }
}

/// The unsigned bytes of sixteen blocks, four weights of each to a register: element `r` of
/// register `k` has weights `4 * k..4 * (k + 1)` of block `r`.
///
/// Bytes are transposed as they lie in the blocks: half as often, or less, as if they were taken
/// apart before.
///
/// # Safety
/// See [`piece`].
#[inline(always)]
pub unsafe fn columns<T, const N: usize>(
    layout: &Layout,
    blocks: &[*const T; 16],
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
            _ => unreachable!("no layout has more"),
        }
        for codes in codes {
            *codes = unsigned(layout, *codes);
        }
    }
}

/// Adds a plane's bits to those of lower planes, of which there are `low_bits`.
#[inline(always)]
unsafe fn add_plane<T, const N: usize>(
    plane: &Plane,
    low_bits: usize,
    blocks: &[*const T; 16],
    codes: &mut [__m512i; N],
) {
    // SAFETY: the caller's promise.
    unsafe {
        let n_bytes = 4 * N * plane.bits / 8;
        let mut raw = [[_mm512_setzero_si512(); 4]; MAX_PLANE_BYTES / PIECE_LEN];
        for (i, raw) in raw.iter_mut().take(n_bytes.div_ceil(PIECE_LEN)).enumerate() {
            *raw = load_columns(blocks, plane.offset + i * PIECE_LEN);
        }
        unroll!(PIECE in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            if PIECE < N / 4 {
                for k in 0..4 {
                    let bits = if plane.run < PIECE_LEN {
                        four_single_bits(raw[0][0], 4 * PIECE + k, low_bits)
                    } else {
                        let Source { offset, shift } = source(plane, PIECE);
                        group_of_bits(raw[offset / PIECE_LEN][k], plane, shift, low_bits)
                    };
                    let codes = &mut codes[4 * PIECE + k];
                    *codes = if low_bits == 0 { bits } else { _mm512_or_si512(*codes, bits) };
                }
            }
        });
    }
}

/// Most bytes in a plane of a block.
const MAX_PLANE_BYTES: usize = 128;

/// Sixteen bytes at `offset` of sixteen blocks: element `r` of register `k` has bytes
/// `4 * k..4 * (k + 1)` of block `r`.
#[inline(always)]
unsafe fn load_columns<T>(blocks: &[*const T; 16], offset: usize) -> [__m512i; 4] {
    // SAFETY: the caller's promise.
    unsafe {
        transpose(&[
            load_lanes(every_fourth(blocks, 0), offset),
            load_lanes(every_fourth(blocks, 1), offset),
            load_lanes(every_fourth(blocks, 2), offset),
            load_lanes(every_fourth(blocks, 3), offset),
        ])
    }
}

/// Where a plane has its bits of sixteen consecutive weights.
struct Source {
    /// First of sixteen bytes of the plane.
    offset: usize,
    /// Place of the bits in each.
    shift: usize,
}

#[inline(always)]
fn source(plane: &Plane, piece: usize) -> Source {
    let first = piece * PIECE_LEN;
    let run_idx = first * plane.bits / (8 * plane.run);
    let in_run = first % (8 / plane.bits * plane.run);
    Source {
        offset: run_idx * plane.run + in_run % plane.run,
        shift: in_run / plane.run * plane.bits,
    }
}

/// A plane's bits, from `shift` on in each byte of `raw`, moved to `low_bits`.
#[inline(always)]
unsafe fn group_of_bits(raw: __m512i, plane: &Plane, shift: usize, low_bits: usize) -> __m512i {
    let mask = (0xff >> (8 - plane.bits)) << low_bits;
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let shifted = shift_right(raw, shift as i32 - low_bits as i32);
        if plane.bits == 8 {
            shifted
        } else {
            _mm512_and_si512(shifted, _mm512_set1_epi8(mask as u8 as i8))
        }
    }
}

/// What assembled bits stand for, as unsigned bytes.
#[inline(always)]
unsafe fn unsigned(layout: &Layout, codes: __m512i) -> __m512i {
    // SAFETY: a table has a lane's sixteen bytes; the features are the caller's promise.
    unsafe {
        match layout.codes {
            Codes::Offset(_) => codes,
            Codes::Signed => _mm512_xor_si512(codes, _mm512_set1_epi8(-128)),
            Codes::Table(table) => {
                let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
                let unsigned = _mm512_xor_si512(table, _mm512_set1_epi8(-128));
                _mm512_shuffle_epi8(unsigned, codes)
            }
        }
    }
}

/// For planes of one bit per weight in order: spreads bits `16 * piece..` of each lane over bytes.
#[inline(always)]
unsafe fn single_bits(lanes: __m512i, piece: usize, low_bits: usize) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let (first, second) = (2 * piece as i64, 2 * piece as i64 + 1);
        let (first, second) = (first * 0x0101_0101_0101_0101, second * 0x0101_0101_0101_0101);
        let bytes = _mm512_broadcast_i32x4(_mm_set_epi64x(second, first));
        let bits = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
        let is_set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(lanes, bytes), bits);
        _mm512_maskz_set1_epi8(is_set, 1 << low_bits)
    }
}

/// For such planes of 32 weights: spreads bits `4 * k..` of each element over its bytes.
#[inline(always)]
unsafe fn four_single_bits(elements: __m512i, k: usize, low_bits: usize) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let byte = _mm512_set_epi32(
            0x0c0c_0c0c,
            0x0808_0808,
            0x0404_0404,
            0,
            0x0c0c_0c0c,
            0x0808_0808,
            0x0404_0404,
            0,
            0x0c0c_0c0c,
            0x0808_0808,
            0x0404_0404,
            0,
            0x0c0c_0c0c,
            0x0808_0808,
            0x0404_0404,
            0,
        );
        let byte = _mm512_add_epi8(byte, _mm512_set1_epi8((k / 2) as i8));
        let bits = _mm512_set1_epi32(0x0804_0201 << (4 * (k % 2)));
        let is_set = _mm512_test_epi8_mask(_mm512_shuffle_epi8(elements, byte), bits);
        _mm512_maskz_set1_epi8(is_set, 1 << low_bits)
    }
}

/// Shifts 16-bit elements right, or left where `count` is negative.
#[inline(always)]
unsafe fn shift_right(lanes: __m512i, count: i32) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        match count {
            0 => lanes,
            1.. => _mm512_srl_epi16(lanes, _mm_cvtsi32_si128(count)),
            _ => _mm512_sll_epi16(lanes, _mm_cvtsi32_si128(-count)),
        }
    }
}

/// Within each lane, the 4x4 transpose of 32-bit elements: element `i` of result `k` is element `k`
/// of register `i`.
#[inline(always)]
pub unsafe fn transpose(rows: &[__m512i; 4]) -> [__m512i; 4] {
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

/// Within each lane, element `i` of the result is the sum of register `i`'s four.
#[inline(always)]
pub unsafe fn sum_quads(rows: &[__m512i; 4]) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        let pairs01 = sum_pairs(rows[0], rows[1]);
        let pairs23 = sum_pairs(rows[2], rows[3]);
        let low = _mm512_unpacklo_epi64(pairs01, pairs23);
        _mm512_add_epi32(low, _mm512_unpackhi_epi64(pairs01, pairs23))
    }
}

/// Within each lane, the sums of elements 0 and 2 of `a` and of `b`, then of elements 1 and 3.
#[inline(always)]
unsafe fn sum_pairs(a: __m512i, b: __m512i) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b)) }
}

/// The first four bytes of sixteen blocks; `block` gives the address for element `4 * lane + i`.
///
/// # Safety
/// The addresses must be readable.
#[inline(always)]
pub unsafe fn headers(block: impl Fn(usize, usize) -> *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let mut lanes = _mm512_setzero_si512();
        unroll!(ELEMENT in [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15] {
            let header = block(ELEMENT / 4, ELEMENT % 4).cast::<i32>().read_unaligned();
            lanes = _mm512_mask_set1_epi32(lanes, 1 << ELEMENT, header);
        });
        lanes
    }
}

/// The headers of four super-blocks.
pub struct SuperHeaders {
    /// Per lane, the block's sub-scales.
    pub sub_scales: __m512i,
    /// Per lane, the block's sub-minimums.
    pub sub_minimums: __m512i,
    /// Each block's two scales as [`low_f16`] and [`high_f16`] take them.
    pub scales: [i32; 4],
}

/// Decodes the headers of four super-blocks.
#[inline(always)]
pub unsafe fn headers_of_four<F: Super>(blocks: [&F::Block; 4]) -> SuperHeaders {
    let [a, b, c, d] = blocks;
    let (a, b, c, d) = (F::scales(a), F::scales(b), F::scales(c), F::scales(d));
    // SAFETY: the features are the caller's promise.
    unsafe {
        let bytes = bytemuck::cast_ref::<[i8; 16], [u8; 16]>;
        SuperHeaders {
            sub_scales: of_subs::<F>([
                bytes(&a.sub_scales),
                bytes(&b.sub_scales),
                bytes(&c.sub_scales),
                bytes(&d.sub_scales),
            ]),
            sub_minimums: of_subs::<F>([
                &a.sub_minimums,
                &b.sub_minimums,
                &c.sub_minimums,
                &d.sub_minimums,
            ]),
            scales: [scale_pair(&a), scale_pair(&b), scale_pair(&c), scale_pair(&d)],
        }
    }
}

#[inline(always)]
fn scale_pair(header: &SuperScales) -> i32 {
    i32::from(header.minimum.to_bits() as i16) << 16 | i32::from(header.scale.to_bits())
}

/// Sixteen bytes per lane. Where they are pairs of equals, only one of each is read: the compiler
/// then leaves out that it was ever doubled.
#[inline(always)]
unsafe fn of_subs<F: Super>(lanes: [&[u8; 16]; 4]) -> __m512i {
    let [a, b, c, d] = lanes;
    // SAFETY: the features are the caller's promise; the arrays have a lane's sixteen bytes.
    unsafe {
        if F::SUB_LEN == PIECE_LEN {
            return load_lanes([a.as_ptr(), b.as_ptr(), c.as_ptr(), d.as_ptr()], 0);
        }
        let evens =
            |b: &[u8; 16]| i64::from_le_bytes([b[0], b[2], b[4], b[6], b[8], b[10], b[12], b[14]]);
        let evens = _mm512_set_epi64(0, evens(d), 0, evens(c), 0, evens(b), 0, evens(a));
        _mm512_unpacklo_epi8(evens, evens)
    }
}

/// The low half of each 32-bit element, an f16, as f32.
#[inline(always)]
pub unsafe fn low_f16(elements: __m512i) -> __m512 {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_cvtph_ps(_mm512_cvtepi32_epi16(elements)) }
}

/// The high half.
#[inline(always)]
pub unsafe fn high_f16(elements: __m512i) -> __m512 {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { low_f16(_mm512_srli_epi32::<16>(elements)) }
}
