//! Decoding of blocks with a codebook: indices and signs are collected in vectors, entries are
//! loaded one by one.

use crate::codebook::{Codebook, Decoded, Entries, FieldLanes, N_CHUNKS, Signs};
use crate::format::{SUPER_LEN, Super};
use crate::isa::stamp::each;
use std::arch::x86_64::*;
use std::hint::black_box;

/// Writes the unsigned byte of every weight of a block; see [`Codebook::decode`].
#[target_feature(enable = "avx2,fma,f16c")]
#[inline(never)]
pub fn decode<F: Super>(block: &F::Block, decoded: &mut Decoded) {
    let Some(book) = (const { F::LAYOUT.codebook() }) else { return };
    let block = bytemuck::bytes_of(block);
    let (mut indices, mut own_signs) = (Indices([0; MAX_ENTRIES]), [0; SUPER_LEN / 8]);
    let n_sixteens = N_CHUNKS * book.entries.per_chunk() / 16;
    // SAFETY: this function has AVX2; the arrays are 32 bytes.
    let signs = unsafe {
        each!(sixteen in [0 1 2 3] => if sixteen < n_sixteens {
            let to = indices.0[16 * sixteen..][..16].as_mut_ptr();
            _mm256_storeu_si256(to.cast(), sixteen_indices(book, block, sixteen));
        });
        signs(book, block, &mut own_signs)
    };
    // Both are to be loaded, not to be taken out of registers piece by piece.
    let (indices, signs) = (black_box(&indices), black_box(signs).as_chunks().0);
    // Two of four bytes of signs go to eight weights each in each half, and each looks at its bit.
    let places = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    let own_bit = _mm256_set1_epi64x(0x8040201008040201u64 as i64);
    let twice_offset = _mm256_set1_epi8((2 * book.offset) as i8);
    for ((chunk, signs), to) in (0..N_CHUNKS).zip(signs).zip(decoded.0.as_chunks_mut::<32>().0) {
        let weights = match book.entries {
            Entries::Eights(table) => {
                let [low, high] = each!(i in [0 1] => {
                    two_eights(each!(k in [0 1] => entry(table, indices.0[4 * chunk + 2 * i + k])))
                });
                _mm256_set_m128i(high, low)
            }
            Entries::Fours(table) => {
                let [a, b, c, d, e, f, g, h] = each!(i in [0 1 2 3 4 5 6 7] => {
                    *entry(table, indices.0[8 * chunk + i]) as i32
                });
                _mm256_set_epi32(h, g, f, e, d, c, b, a)
            }
        };
        let signs = _mm256_shuffle_epi8(_mm256_set1_epi32(i32::from_le_bytes(*signs)), places);
        let is_negative = _mm256_cmpeq_epi8(_mm256_and_si256(signs, own_bit), own_bit);
        let unsigned = match book.signs {
            Signs::Each(_) | Signs::Parity(_) => {
                _mm256_blendv_epi8(weights, _mm256_sub_epi8(twice_offset, weights), is_negative)
            }
            Signs::Delta(_) => {
                let two = _mm256_and_si256(is_negative, _mm256_set1_epi8(2));
                _mm256_sub_epi8(weights, two)
            }
        };
        // SAFETY: the array is 32 bytes.
        unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), unsigned) };
    }
}

/// An entry of a table.
#[inline(always)]
fn entry<T>(table: &'static [T], index: u16) -> &'static T {
    // SAFETY: `Codebook::check` sees to it that a table has an entry for every index of its bits,
    // and `sixteen_indices` gives no others.
    unsafe { table.get_unchecked(usize::from(index)) }
}

/// Two entries of eight weights: two instructions, which the compiler finds among those for floats.
#[target_feature(enable = "avx2,fma,f16c")]
#[inline]
fn two_eights([low, high]: [&u64; 2]) -> __m128i {
    // SAFETY: the references are to eight bytes.
    unsafe {
        let low = _mm_load_sd(std::ptr::from_ref(low).cast());
        _mm_castpd_si128(_mm_loadh_pd(low, std::ptr::from_ref(high).cast()))
    }
}

/// Most entries of a block.
const MAX_ENTRIES: usize = SUPER_LEN / 4;

/// The indices of a block's entries, in order.
#[repr(C, align(32))]
struct Indices([u16; MAX_ENTRIES]);

/// The indices of entries `16 * sixteen..16 * (sixteen + 1)` of a block.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub unsafe fn sixteen_indices(book: &Codebook, block: &[u8], sixteen: usize) -> __m256i {
    let [low, high] = &book.index_lanes;
    // SAFETY: the caller's promise.
    unsafe {
        let words = two_lanes(low, block, sixteen);
        let n_bits = book.index[1].bits;
        if n_bits == 0 {
            return words;
        }
        let high = _mm256_mullo_epi16(two_lanes(high, block, sixteen), factors(high));
        let mask = _mm256_set1_epi16(((1 << n_bits) - 1) << 8);
        _mm256_or_si256(words, _mm256_and_si256(high, mask))
    }
}

/// Two neighbouring lanes.
#[inline(always)]
unsafe fn two_lanes(lanes: &FieldLanes, block: &[u8], pair: usize) -> __m256i {
    let [a, b] = each!(i in [0 1] => lanes.window(block, 2 * pair + i).as_ptr().cast());
    // SAFETY: the caller's promise; windows, and a lane's order, are sixteen bytes.
    unsafe {
        let order = _mm256_broadcastsi128_si256(_mm_loadu_si128(lanes.bytes.as_ptr().cast()));
        _mm256_shuffle_epi8(_mm256_loadu2_m128i(b, a), order)
    }
}

/// What the elements of two lanes are multiplied with.
#[inline(always)]
unsafe fn factors(lanes: &FieldLanes) -> __m256i {
    // SAFETY: the caller's promise; the array is sixteen bytes.
    unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(lanes.factors.as_ptr().cast())) }
}

/// The signs of a block, a bit for each weight. They lie in the block, or are put into `own`.
///
/// # Safety
/// The CPU has AVX2.
#[inline(always)]
pub unsafe fn signs<'a>(
    book: &Codebook,
    block: &'a [u8],
    own: &'a mut [u8; SUPER_LEN / 8],
) -> &'a [u8; SUPER_LEN / 8] {
    if let Signs::Each(field) = book.signs {
        return block[field.first / 8..].first_chunk().expect("the block has its signs");
    }
    let lanes = &book.sign_lanes;
    // SAFETY: the caller's promise; the array is 32 bytes.
    unsafe {
        let [a, b] = each!(pair in [0 1] => {
            _mm256_mullo_epi16(two_lanes(lanes, block, pair), factors(lanes))
        });
        let signs = if let Signs::Parity(_) = book.signs {
            let seven = _mm256_set1_epi16(0x7f);
            let a = _mm256_and_si256(_mm256_srli_epi16::<8>(a), seven);
            let b = _mm256_and_si256(_mm256_srli_epi16::<8>(b), seven);
            with_parity(_mm256_packus_epi16(a, b))
        } else {
            // The one bit to all bits.
            let a = _mm256_srai_epi16::<15>(_mm256_slli_epi16::<7>(a));
            let b = _mm256_srai_epi16::<15>(_mm256_slli_epi16::<7>(b));
            _mm256_packs_epi16(a, b)
        };
        let in_order = _mm256_permute4x64_epi64::<0b11_01_10_00>(signs);
        _mm256_storeu_si256(own.as_mut_ptr().cast(), in_order);
    }
    own
}

/// Sets the highest bit of each byte, of which the seven others are there, where these are odd in
/// number.
#[inline(always)]
unsafe fn with_parity(sevens: __m256i) -> __m256i {
    const ODD: i8 = -128;
    // SAFETY: no memory is touched; the CPU has AVX2.
    unsafe {
        // The parity of each number of four bits.
        let odd = _mm_set_epi8(0, ODD, ODD, 0, ODD, 0, 0, ODD, ODD, 0, 0, ODD, 0, ODD, ODD, 0);
        let odd = _mm256_broadcastsi128_si256(odd);
        let four = _mm256_set1_epi8(0x0f);
        let low = _mm256_shuffle_epi8(odd, _mm256_and_si256(sevens, four));
        let high = _mm256_and_si256(_mm256_srli_epi16::<4>(sevens), four);
        let parity = _mm256_xor_si256(low, _mm256_shuffle_epi8(odd, high));
        _mm256_or_si256(sevens, parity)
    }
}

#[cfg(test)]
mod tests {
    crate::isa::kernel_check::test_decoding!("AVX2", crate::isa::avx2::is_available());
}
