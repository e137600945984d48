//! Eight 6-bit scales and eight 6-bit minimums in twelve bytes, as in Q4_K and Q5_K.
//!
//! The first four scales are the low six bits of bytes 0..4, the first four minimums those of bytes
//! 4..8. Of the last four, bytes 8..12 hold the low four bits (scale in the low half, minimum in
//! the high half), and the top two bits of bytes 0..8 their high two.

/// The scales and the minimums; four bytes at a time, since every kernel needs them.
#[inline(always)]
pub fn unpack(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let word = |i: usize| u32::from_le_bytes(packed.as_chunks().0[i]);
    let (with_scales, with_minimums, low) = (word(0), word(1), word(2));
    let six_bits = |word: u32| u64::from(word & 0x3f3f_3f3f);
    let high_bits = |word: u32| word >> 2 & 0x3030_3030;
    let halves = |word: u32| word & 0x0f0f_0f0f;
    let scales = six_bits(with_scales) | u64::from(halves(low) | high_bits(with_scales)) << 32;
    let minimums =
        six_bits(with_minimums) | u64::from(halves(low >> 4) | high_bits(with_minimums)) << 32;
    (scales.to_le_bytes(), minimums.to_le_bytes())
}

/// The inverse of [`unpack`], for eight of each, which are below 64 and given twice, as in
/// [`crate::format::SuperScales`].
pub fn pack(scales: &[i8; 16], minimums: &[u8; 16]) -> [u8; 12] {
    let (scales, minimums) = (|i: usize| scales[2 * i] as u8, |i: usize| minimums[2 * i]);
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales(i) | scales(i + 4) >> 4 << 6;
        packed[i + 4] = minimums(i) | minimums(i + 4) >> 4 << 6;
        packed[i + 8] = scales(i + 4) & 15 | minimums(i + 4) << 4;
    }
    packed
}
