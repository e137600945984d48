//! Eight 6-bit scales and eight 6-bit minimums in twelve bytes, as in Q4_K and Q5_K.
//!
//! The first four scales are the low six bits of bytes 0..4, the first four minimums those of bytes
//! 4..8. Of the last four, bytes 8..12 hold the low four bits (scale in the low half, minimum in
//! the high half), and the top two bits of bytes 0..8 their high two.

/// The scales and the minimums.
pub fn unpack(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut minimums) = ([0; 8], [0; 8]);
    for i in 0..4 {
        let (with_scale, with_minimum, low) = (packed[i], packed[i + 4], packed[i + 8]);
        scales[i] = with_scale & 63;
        minimums[i] = with_minimum & 63;
        scales[i + 4] = low & 15 | with_scale >> 6 << 4;
        minimums[i + 4] = low >> 4 | with_minimum >> 6 << 4;
    }
    (scales, minimums)
}

/// The inverse of [`unpack`], for the first eight of each, which are below 64.
pub fn pack(scales: &[i8; 16], minimums: &[u8; 16]) -> [u8; 12] {
    let scales = scales.map(|scale| scale as u8);
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales[i] | scales[i + 4] >> 4 << 6;
        packed[i + 4] = minimums[i] | minimums[i + 4] >> 4 << 6;
        packed[i + 8] = scales[i + 4] & 15 | minimums[i + 4] << 4;
    }
    packed
}
