//! The headers of super-blocks: four at a time, a block to a lane, or sixteen, an element each.

use crate::format::{SUPER_LEN, Super};
use crate::header::{MAX_PARTS, MAX_WORDS, Part};
use crate::isa::avx512::transpose::{N_ROWS, SixteenBlocks};
use crate::isa::avx512::unpack::{Blocks, LANE_LEN, high_f16, load_lanes, low_f16};
use crate::isa::stamp::{each, unroll};
use std::arch::x86_64::*;

/// Words of four sub-blocks in a lane.
const WORDS_PER_LANE: usize = 4;

/// Sixteens of weights in a block.
pub const N_SIXTEENS: usize = SUPER_LEN / LANE_LEN;

/// The headers of four blocks.
pub struct FourHeaders {
    /// The sub-scales: per lane, a byte for each sixteen weights of its block.
    pub sub_scales: __m512i,
    /// The sub-minimums, in the same order; zeros in formats without.
    pub sub_minimums: __m512i,
    /// The scales, as f32.
    pub scales: __m128,
    /// The scales of the minimums, as f32; zeros in formats without.
    pub minimums: __m128,
}

impl FourHeaders {
    /// Unpacks the headers.
    ///
    /// # Safety
    /// The addresses must be those of blocks, and the CPU have this module's features.
    #[inline(always)]
    pub unsafe fn unpack<F: Super>(blocks: Blocks) -> FourHeaders {
        let header = const { F::HEADER };
        // SAFETY: the caller's promise; what the header names is inside of a block.
        unsafe {
            let packed = packed_lanes::<F>(blocks);
            let first = words_of_lanes::<F, 0>(packed);
            let sub_scales = _mm512_sub_epi8(
                spread(first, const { of_sixteens::<F>(0) }),
                _mm512_set1_epi8(header.offset as i8),
            );
            let n_scale_words = header.sub_scales.len();
            let sub_minimums = if header.sub_minimums.is_empty() {
                _mm512_setzero_si512()
            } else if n_scale_words < WORDS_PER_LANE {
                spread(first, const { of_sixteens::<F>(SUPER_LEN / F::SUB_LEN) })
            } else {
                spread(words_of_lanes::<F, 1>(packed), const { of_sixteens::<F>(0) })
            };
            let [a, b, c, d] = each!(i in [0 1 2 3] => scale_pair::<F>(blocks[i]));
            let pairs = _mm512_castsi128_si512(_mm_set_epi32(d, c, b, a));
            let scales = _mm512_castps512_ps128(low_f16(pairs));
            FourHeaders {
                sub_scales,
                sub_minimums,
                scales: match F::UNIT {
                    1.0 => scales,
                    unit => _mm_mul_ps(scales, _mm_set1_ps(unit)),
                },
                minimums: _mm512_castps512_ps128(high_f16(pairs)),
            }
        }
    }
}

/// The packed words of each block, from byte [`first_byte`] of a lane on.
///
/// # Safety
/// The addresses must be those of blocks, and the CPU have this module's features.
#[inline(always)]
unsafe fn packed_lanes<F: Super>(blocks: Blocks) -> __m512i {
    let header = const { F::HEADER };
    // SAFETY: the caller's promise.
    unsafe {
        if header.stride == 1 {
            return load_lanes(blocks, const { window::<F>() });
        }
        let [a, b, c, d] = each!(i in [0 1 2 3] => {
            let [e, f, g, h] = each!(word in [0 1 2 3] => match word < header.n_words {
                true => header.word(bytes_of::<F>(blocks[i]), word) as i32,
                false => 0,
            });
            _mm_set_epi32(h, g, f, e)
        });
        let lanes = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
        _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(lanes, c), d)
    }
}

/// First byte of the packed words among those of [`packed_lanes`].
const fn first_byte<F: Super>() -> usize {
    if F::HEADER.stride == 1 { F::HEADER.packed - window::<F>() } else { 0 }
}

/// First of sixteen bytes of a block that have the packed words.
const fn window<F: Super>() -> usize {
    let last = size_of::<F::Block>() - 4 * MAX_WORDS;
    if F::HEADER.packed < last { F::HEADER.packed } else { last }
}

/// The bytes of a block.
///
/// # Safety
/// The address must be that of a block.
#[inline(always)]
unsafe fn bytes_of<'a, F: Super>(block: *const u8) -> &'a [u8] {
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(block, size_of::<F::Block>()) }
}

/// The block's scale and that of its minimums, as [`low_f16`] and [`high_f16`] take them.
///
/// # Safety
/// The address must be that of a block.
#[inline(always)]
unsafe fn scale_pair<F: Super>(block: *const u8) -> i32 {
    // SAFETY: the caller's promise; what the header names is inside of a block.
    let at = |offset: usize| unsafe { i32::from(block.add(offset).cast::<u16>().read_unaligned()) };
    let minimum = const { F::HEADER.minimum };
    // SAFETY: the caller's promise.
    let scale = const { F::HEADER }.scale_bits(unsafe { bytes_of::<F>(block) });
    minimum.map_or(0, at) << 16 | i32::from(scale)
}

/// One part of each of four words in a lane.
struct LaneParts {
    /// Which bytes of the lane have them.
    bytes: [u8; 16],
    rotations: [u32; WORDS_PER_LANE],
    masks: [u32; WORDS_PER_LANE],
}

/// The parts with this number of the words of a register: first the sub-scales' words, then the
/// sub-minimums', four to a register.
const fn lane_parts<F: Super>(register: usize, number: usize) -> LaneParts {
    let mut parts = LaneParts { bytes: [0; 16], rotations: [0; _], masks: [0; _] };
    let mut word = 0;
    while word < WORDS_PER_LANE {
        let of_word = word_parts::<F>(WORDS_PER_LANE * register + word);
        if number < of_word.len() {
            let part = of_word[number];
            let first = first_byte::<F>() + 4 * part.word;
            let mut byte = 0;
            while byte < 4 {
                parts.bytes[4 * word + byte] = (first + byte) as u8;
                byte += 1;
            }
            (parts.rotations[word], parts.masks[word]) = (part.rotation, part.mask);
        }
        word += 1;
    }
    parts
}

/// The parts of a word: those of the sub-scales come first, then those of the minimums, if any.
const fn word_parts<F: Super>(word: usize) -> &'static [Part] {
    let header = F::HEADER;
    let n = header.sub_scales.len();
    if word < n {
        header.sub_scales[word]
    } else if word - n < header.sub_minimums.len() {
        header.sub_minimums[word - n]
    } else {
        &[]
    }
}

/// Most parts of these words.
const fn n_parts<F: Super>(register: usize) -> usize {
    let (mut n, mut word) = (0, 0);
    while word < WORDS_PER_LANE {
        let len = word_parts::<F>(WORDS_PER_LANE * register + word).len();
        n = if len > n { len } else { n };
        word += 1;
    }
    n
}

/// Unpacks four words of each lane.
#[inline(always)]
unsafe fn words_of_lanes<F: Super, const REGISTER: usize>(packed: __m512i) -> __m512i {
    // SAFETY: no memory is touched but arrays of a lane's size; the features are the caller's
    // promise.
    unsafe {
        let mut words = _mm512_setzero_si512();
        const { assert!(MAX_PARTS == 8, "not all parts are unpacked") };
        unroll!(NUMBER in [0 1 2 3 4 5 6 7] {
            if NUMBER < const { n_parts::<F>(REGISTER) } {
                let parts = const { lane_parts::<F>(REGISTER, NUMBER) };
                let bits = spread(packed, parts.bytes);
                let bits = _mm512_rorv_epi32(bits, each_lane(&parts.rotations));
                let bits = _mm512_and_si512(bits, each_lane(&parts.masks));
                words = _mm512_or_si512(words, bits);
            }
        });
        words
    }
}

/// For each sixteen weights, the number of the byte of their sub-block, from `first` on.
const fn of_sixteens<F: Super>(first: usize) -> [u8; 16] {
    let (mut bytes, mut sixteen) = ([0; 16], 0);
    while sixteen < N_SIXTEENS {
        bytes[sixteen] = (first + sixteen * LANE_LEN / F::SUB_LEN) as u8;
        sixteen += 1;
    }
    bytes
}

/// The named bytes of each lane, in the named order.
#[inline(always)]
unsafe fn spread(lanes: __m512i, bytes: [u8; 16]) -> __m512i {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { _mm512_shuffle_epi8(lanes, each_lane(&bytes)) }
}

/// The same sixteen bytes in every lane.
#[inline(always)]
unsafe fn each_lane<T>(of_lane: &T) -> __m512i {
    const { assert!(size_of::<T>() == 16) };
    // SAFETY: the load is of the size of `T`; the features are the caller's promise.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(std::ptr::from_ref(of_lane).cast())) }
}

/// The packed headers of a block of sixteen rows.
///
/// They are copied from the blocks one by one, which takes none of the vector units' time, and
/// unpacked together some time later.
pub struct PackedHeaders {
    words: [[u32; N_ROWS]; MAX_WORDS],
    scales: [i32; N_ROWS],
}

impl PackedHeaders {
    /// Headers of zeros, to be overwritten.
    pub const ZERO: PackedHeaders =
        PackedHeaders { words: [[0; N_ROWS]; MAX_WORDS], scales: [0; N_ROWS] };

    /// Copies the headers of a block of sixteen rows.
    ///
    /// # Safety
    /// The blocks must be readable.
    #[inline(always)]
    pub unsafe fn copy<F: Super>(&mut self, rows: &SixteenBlocks<F::Block>) {
        let header = const { F::HEADER };
        for row in 0..N_ROWS {
            let block = rows.of_row(row).cast::<u8>();
            // SAFETY: the caller's promise; what the header names is inside of a block.
            unsafe {
                self.scales[row] = scale_pair::<F>(block);
                for word in 0..header.n_words {
                    self.words[word][row] = header.word(bytes_of::<F>(block), word);
                }
            }
        }
    }
}

/// The headers of a block of sixteen rows: element `r` is row `r`'s.
pub struct SixteenHeaders {
    /// The scales, as f32.
    pub scales: __m512,
    /// The scales of the minimums, as f32.
    pub minimums: __m512,
    /// The sub-scale of each sub-block, as 32-bit integers; as many as the format has.
    pub sub_scales: [__m512i; N_SIXTEENS],
    /// The sub-minimums of each two sub-blocks, as halves of 32 bits.
    pub sub_minimums: [__m512i; N_SIXTEENS / 2],
}

impl SixteenHeaders {
    /// Unpacks the headers.
    ///
    /// # Safety
    /// The CPU must have this module's features.
    #[inline(always)]
    pub unsafe fn unpack<F: Super>(packed: &PackedHeaders) -> SixteenHeaders {
        let header = const { F::HEADER };
        // SAFETY: loads are of the arrays' sizes; the features are the caller's promise.
        unsafe {
            let zero = _mm512_setzero_si512();
            let scales = _mm512_loadu_si512(packed.scales.as_ptr().cast());
            let mut all = SixteenHeaders {
                scales: match F::UNIT {
                    1.0 => low_f16(scales),
                    unit => _mm512_mul_ps(low_f16(scales), _mm512_set1_ps(unit)),
                },
                minimums: high_f16(scales),
                sub_scales: [zero; N_SIXTEENS],
                sub_minimums: [zero; N_SIXTEENS / 2],
            };
            let offset = _mm512_set1_epi8(header.offset as i8);
            for (parts, subs) in header.sub_scales.iter().zip(all.sub_scales.as_chunks_mut().0) {
                *subs = sign_extended(_mm512_sub_epi8(words_of_elements(parts, packed), offset));
            }
            for (parts, subs) in header.sub_minimums.iter().zip(all.sub_minimums.as_chunks_mut().0)
            {
                *subs = pairs(words_of_elements(parts, packed));
            }
            all
        }
    }
}

/// Unpacks a word of each block.
#[inline(always)]
unsafe fn words_of_elements(parts: &[Part], packed: &PackedHeaders) -> __m512i {
    // SAFETY: loads are of the arrays' sizes; the features are the caller's promise.
    unsafe {
        let mut words = _mm512_setzero_si512();
        for part in parts {
            let bits = _mm512_loadu_si512(packed.words[part.word].as_ptr().cast());
            let bits = _mm512_rorv_epi32(bits, _mm512_set1_epi32(part.rotation as i32));
            let bits = _mm512_and_si512(bits, _mm512_set1_epi32(part.mask as i32));
            words = _mm512_or_si512(words, bits);
        }
        words
    }
}

/// The sums of each two sub-blocks, from those of their sixteens, as halves of 32 bits.
///
/// # Safety
/// The CPU must have this module's features.
#[inline(always)]
pub unsafe fn of_pairs<F: Super>(sixteens: &[i16; N_SIXTEENS]) -> [i32; N_SIXTEENS / 2] {
    let mut pairs = [0; N_SIXTEENS / 2];
    if !F::HAS_MINIMUM {
        return pairs;
    }
    // SAFETY: the features are the caller's promise; loads and stores are of the arrays' sizes.
    unsafe {
        let sixteens = _mm256_loadu_si256(sixteens.as_ptr().cast());
        if F::SUB_LEN == LANE_LEN {
            _mm256_storeu_si256(pairs.as_mut_ptr().cast(), sixteens);
        } else {
            let subs = _mm256_madd_epi16(sixteens, _mm256_set1_epi16(1));
            _mm_storeu_si128(pairs.as_mut_ptr().cast(), _mm256_cvtepi32_epi16(subs));
        }
    }
    pairs
}

/// The four signed bytes of each element as 32-bit integers.
#[inline(always)]
unsafe fn sign_extended(bytes: __m512i) -> [__m512i; 4] {
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe {
        [
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<24>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<16>(bytes)),
            _mm512_srai_epi32::<24>(_mm512_slli_epi32::<8>(bytes)),
            _mm512_srai_epi32::<24>(bytes),
        ]
    }
}

/// The first and the last two bytes of each element as pairs of 16-bit integers.
#[inline(always)]
unsafe fn pairs(bytes: __m512i) -> [__m512i; 2] {
    const NONE: u8 = 0x80;
    const FIRST: [u8; 16] =
        [0, NONE, 1, NONE, 4, NONE, 5, NONE, 8, NONE, 9, NONE, 12, NONE, 13, NONE];
    const LAST: [u8; 16] =
        [2, NONE, 3, NONE, 6, NONE, 7, NONE, 10, NONE, 11, NONE, 14, NONE, 15, NONE];
    // SAFETY: no memory is touched; the features are the caller's promise.
    unsafe { [spread(bytes, FIRST), spread(bytes, LAST)] }
}
