//! Where the scales of a super-block lie, as data.
//!
//! Every format packs the scales of its sub-blocks in its own way, but all of them work in words of
//! four bytes: the scales of four neighbouring sub-blocks, a byte each, are the union of a few
//! [`Part`]s, and each of these is some bits of one packed word, rotated. The same few operations
//! unpack a word of one block, or those of many at once.

use crate::format::{Super, SuperScales};
use bytemuck::Zeroable;
use half::f16;

/// Bits of the scales, or of the minimums, of four neighbouring sub-blocks.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The packed word that has them.
    pub word: usize,
    /// By how many bits that is rotated to the right, so that they are where they belong;
    pub rotation: u32,
    /// which of the word's bits they are then.
    pub mask: u32,
}

/// A [`Part`].
pub const fn part(word: usize, rotation: u32, mask: u32) -> Part {
    Part { word, rotation, mask }
}

/// Most packed words.
pub const MAX_WORDS: usize = 4;

/// Most parts of a word.
pub const MAX_PARTS: usize = 8;

/// Where the scales of a super-block lie.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// First byte of the block's scale, an f16.
    pub scale: usize,
    /// Likewise of the scale of its minimums, where it has some.
    pub minimum: Option<usize>,
    /// First byte of the packed words.
    pub packed: usize,
    /// How many words.
    pub n_words: usize,
    /// What the sub-scales of each four sub-blocks are made of.
    pub sub_scales: &'static [&'static [Part]],
    /// Likewise their minimums.
    pub sub_minimums: &'static [&'static [Part]],
    /// What is to be subtracted from each sub-scale.
    pub offset: u8,
}

impl Header {
    /// Fails to compile unless all is inside of a block of `n_bytes` with `n_subs` sub-blocks, where
    /// sixteen bytes can be loaded that have the packed words.
    pub const fn check(&self, n_bytes: usize, n_subs: usize, has_minimum: bool) {
        assert!(self.scale + 2 <= n_bytes, "the scale leaves the block");
        assert!(self.packed + 4 * self.n_words <= n_bytes, "the words leave the block");
        assert!(n_bytes >= 4 * MAX_WORDS, "sixteen bytes leave the block");
        assert!(self.n_words <= MAX_WORDS, "too many words");
        let minimum_end = match self.minimum {
            Some(minimum) => minimum + 2,
            None => 0,
        };
        assert!(minimum_end <= n_bytes, "the minimum leaves the block");
        assert!(self.minimum.is_some() == has_minimum, "a minimum or none");
        assert!(self.sub_scales.len() * 4 == n_subs, "not a scale per sub-block");
        let n_minimums = if has_minimum { n_subs } else { 0 };
        assert!(self.sub_minimums.len() * 4 == n_minimums, "not a minimum per sub-block");
        self.check_parts(self.sub_scales);
        self.check_parts(self.sub_minimums);
    }

    const fn check_parts(&self, words: &[&[Part]]) {
        let mut word = 0;
        while word < words.len() {
            assert!(words[word].len() <= MAX_PARTS, "too many parts");
            let mut part = 0;
            while part < words[word].len() {
                assert!(words[word][part].word < self.n_words, "a part of no word");
                part += 1;
            }
            word += 1;
        }
    }
}

/// The scales of a block.
#[inline(always)]
pub fn unpack<F: Super>(block: &F::Block) -> SuperScales {
    let block = bytemuck::bytes_of(block);
    let header = const { F::HEADER };
    let at = |offset: usize| f16::from_le_bytes([block[offset], block[offset + 1]]);
    let mut packed = [0; MAX_WORDS];
    for (word, bytes) in
        packed.iter_mut().zip(block[header.packed..].as_chunks().0).take(header.n_words)
    {
        *word = u32::from_le_bytes(*bytes);
    }
    let sub_scales = per_sixteen::<F>(bytes(header.sub_scales, &packed));
    SuperScales {
        scale: at(header.scale),
        minimum: header.minimum.map_or(f16::ZERO, at),
        sub_scales: sub_scales.map(|sub_scale| sub_scale.wrapping_sub(header.offset) as i8),
        sub_minimums: per_sixteen::<F>(bytes(header.sub_minimums, &packed)),
    }
}

/// A block with these scales, and zeros in place of the bits of the codes: the inverse of
/// [`unpack`].
pub fn pack<F: Super>(scales: &SuperScales) -> F::Block {
    let mut block = F::Block::zeroed();
    let bytes = bytemuck::bytes_of_mut(&mut block);
    let header = F::HEADER;
    let sub_scales = scales.sub_scales.map(|scale| (scale as u8).wrapping_add(header.offset));
    let mut packed = [0; MAX_WORDS];
    for (parts, values) in
        [(header.sub_scales, &sub_scales), (header.sub_minimums, &scales.sub_minimums)]
    {
        for (four, parts) in parts.iter().enumerate() {
            let value = |i: usize| values[(4 * four + i) * F::SUB_LEN / 16];
            let word = u32::from_le_bytes([value(0), value(1), value(2), value(3)]);
            for part in *parts {
                packed[part.word] |= (word & part.mask).rotate_left(part.rotation);
            }
        }
    }
    for (bytes, word) in
        bytes[header.packed..].as_chunks_mut().0.iter_mut().zip(packed).take(header.n_words)
    {
        *bytes = word.to_le_bytes();
    }
    bytes[header.scale..][..2].copy_from_slice(&scales.scale.to_le_bytes());
    if let Some(minimum) = header.minimum {
        bytes[minimum..][..2].copy_from_slice(&scales.minimum.to_le_bytes());
    }
    block
}

/// Sixteen bytes, or as many as there are, from packed words.
#[inline(always)]
fn bytes(parts: &[&[Part]], packed: &[u32; MAX_WORDS]) -> [u8; 16] {
    let mut words = [0; 4];
    for (word, parts) in words.iter_mut().zip(parts) {
        for part in *parts {
            *word |= packed[part.word].rotate_right(part.rotation) & part.mask;
        }
    }
    bytemuck::cast(words.map(u32::to_le))
}

/// A byte per sub-block as one per 16 weights.
#[inline(always)]
fn per_sixteen<F: Super>(bytes: [u8; 16]) -> [u8; 16] {
    std::array::from_fn(|i| bytes[i * 16 / F::SUB_LEN])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::*;
    use proptest::prelude::*;

    /// Scales and codes of ones leave no bit of a block at zero, and are as many bits as it has:
    /// none lies over another.
    fn check_cover<F: Super>() {
        let header = F::HEADER;
        let mut block = pack::<F>(&SuperScales {
            scale: f16::from_bits(!0),
            minimum: f16::from_bits(!0),
            sub_scales: [0xffu8.wrapping_sub(header.offset) as i8; 16],
            sub_minimums: [0xff; 16],
        });
        let bytes = bytemuck::bytes_of_mut(&mut block);
        F::LAYOUT.pack(&vec![F::LAYOUT.max_code() as u8; F::BLOCK_LEN], bytes);
        assert!(bytes.iter().all(|&byte| byte == 0xff), "{}: {bytes:02x?}", F::NAME);
        let parts = header.sub_scales.iter().chain(header.sub_minimums).copied().flatten();
        let n_bits: u32 = parts.map(|part| part.mask.count_ones()).sum();
        let n_scales = if F::HAS_MINIMUM { 2 } else { 1 };
        let n_code_bits = (F::LAYOUT.max_code() + 1).ilog2() as usize * F::BLOCK_LEN;
        assert_eq!(n_bits as usize + 16 * n_scales + n_code_bits, 8 * bytes.len(), "{}", F::NAME);
    }

    #[test]
    fn every_bit_of_a_block_has_one_meaning() {
        check_cover::<Q2K>();
        check_cover::<Q3K>();
        check_cover::<Q4K>();
        check_cover::<Q5K>();
        check_cover::<Q6K>();
        check_cover::<Iq4Xs>();
    }

    fn check_inverse<F: Super>(bytes: &[u8]) {
        let block = bytemuck::from_bytes(&bytes[..size_of::<F::Block>()]);
        let once = unpack::<F>(block);
        let twice = unpack::<F>(&pack::<F>(&once));
        assert_eq!(once.scale.to_bits(), twice.scale.to_bits(), "{}", F::NAME);
        assert_eq!(once.minimum.to_bits(), twice.minimum.to_bits(), "{}", F::NAME);
        assert_eq!(once.sub_scales, twice.sub_scales, "{}", F::NAME);
        assert_eq!(once.sub_minimums, twice.sub_minimums, "{}", F::NAME);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn unpacking_inverts_packing(bytes in prop::collection::vec(any::<u8>(), 210)) {
            check_inverse::<Q2K>(&bytes);
            check_inverse::<Q3K>(&bytes);
            check_inverse::<Q4K>(&bytes);
            check_inverse::<Q5K>(&bytes);
            check_inverse::<Q6K>(&bytes);
            check_inverse::<Iq4Xs>(&bytes);
        }
    }
}
