//! Probes of what a machine can do at most: read bandwidth of memory, and int8 multiply-adds. Kernels
//! are judged by them.

use std::hint::black_box;

/// Bytes that each stream reads at a time: a cache line.
const LINE_BYTES: usize = 64;

/// Probe of the read bandwidth: the XOR of all words, little-endian, the last one filled up with
/// zeros. The bytes are read as
/// `STREAMS` stretches side by side.
#[inline(always)]
pub fn read_bandwidth<const STREAMS: usize>(bytes: &[u8]) -> u64 {
    let stretch_bytes = bytes.len() / STREAMS / LINE_BYTES * LINE_BYTES;
    let (stretches, rest) = bytes.split_at(STREAMS * stretch_bytes);
    let streams: [&[u8]; STREAMS] =
        std::array::from_fn(|stream| &stretches[stream * stretch_bytes..][..stretch_bytes]);
    let mut sums = [[0; LINE_BYTES / 8]; STREAMS];
    for start in (0..stretch_bytes).step_by(LINE_BYTES) {
        for (stream, sums) in streams.iter().zip(&mut sums) {
            let line = stream[start..][..LINE_BYTES].as_chunks().0;
            for (sum, word) in sums.iter_mut().zip(line) {
                *sum ^= u64::from_le_bytes(*word);
            }
        }
    }
    let words = rest.chunks(8).map(|word| {
        let mut whole = [0; 8];
        whole[..word.len()].copy_from_slice(word);
        u64::from_le_bytes(whole)
    });
    words.chain(sums.into_iter().flatten()).fold(0, |sum, word| sum ^ word)
}

/// Rounds of an int8 probe: few enough that sums of 32 bits hold, enough to hide their reduction.
pub const PROBE_ROUNDS: u32 = 4096;

/// Probe of the int8 peak in plain code: the sum of products of ones.
pub fn int8_peak() -> u64 {
    let (unsigned, signed) = ([1u8; 256], [1i8; 256]);
    let products = |_| {
        let factors = black_box(&unsigned).iter().zip(black_box(&signed));
        factors.map(|(&u, &s)| i32::from(u) * i32::from(s)).sum::<i32>() as u64
    };
    (0..PROBE_ROUNDS / 16).map(products).sum()
}
