//! Where the scales of a K-quant's super-block lie, as data.
//!
//! Every format packs the scales of its sub-blocks in its own way, but all of them work in words of
//! four bytes: the scales of four neighbouring sub-blocks, a byte each, are the union of a few
//! [`Part`]s, and each of these is some bits of one packed word, rotated. The same few operations
//! unpack a word of one block, or those of many at once.

use half::f16;

/// Bits of the scales, or of the minimums, of four neighbouring sub-blocks.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// The packed word that has the bits.
    pub word: usize,
    /// By how many bits that word is rotated to the right, so that its bits are in place.
    pub rotation: u32,
    /// Which of the rotated word's bits are meant.
    pub mask: u32,
}

/// Makes a [`Part`] from its fields.
pub const fn part(word: usize, rotation: u32, mask: u32) -> Part {
    Part { word, rotation, mask }
}

/// The parts of four neighbouring sub-scales that are odd numbers: of `2 * n + 1` a header stores
/// the `n_bits` of `n`, here from bit `first` of a word on, `step` bits apart. Their place is one
/// bit up, and the header's offset is [`ODD`].
pub const fn odd(word: usize, first: u32, step: u32, n_bits: u32) -> [Part; 4] {
    let (mut parts, mut i) = ([part(word, 0, 0); 4], 0);
    while i < 4 {
        let (from, to) = (first + step * i, 8 * i + 1);
        parts[i as usize] = part(word, (from + 32 - to) % 32, ((1 << n_bits) - 1) << to);
        i += 1;
    }
    parts
}

/// The offset that makes `2 * n` to `2 * n + 1`: minus one.
pub const ODD: u8 = u8::MAX;

/// The scales of a super-block, as its header has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SuperScales {
    /// Scale of the sub-scales, as stored: kernels convert those of several rows at once.
    pub scale: f16,
    /// Scale of the sub-minimums; 0 without minimums.
    pub minimum: f16,
    /// A scale per 16 weights; formats with sub-blocks of 32 repeat each.
    pub sub_scales: [i8; 16],
    /// A minimum per 16 weights, repeated in the same way; 0 without minimums.
    pub sub_minimums: [u8; 16],
}

/// Most packed words of a header.
pub const MAX_WORDS: usize = 4;

/// Most parts that make up a word of four sub-scales or sub-minimums.
pub const MAX_PARTS: usize = 8;

/// The header of a super-block: where its scales lie.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// First byte of the block's scale, an f16.
    pub scale: usize,
    /// Whether the scale is not in two bytes but in the high halves of every second one of eight,
    /// its lowest bits first.
    pub is_split: bool,
    /// First byte of the scale of the block's minimums, an f16, where it has minimums.
    pub minimum: Option<usize>,
    /// First byte of the packed words.
    pub packed: usize,
    /// Bytes from one byte of the packed words to the next: 1 where they lie together.
    pub stride: usize,
    /// Number of packed words.
    pub n_words: usize,
    /// What the sub-scales of each four sub-blocks are made of.
    pub sub_scales: &'static [&'static [Part]],
    /// What the sub-minimums of each four sub-blocks are made of.
    pub sub_minimums: &'static [&'static [Part]],
    /// Offset that is subtracted from each sub-scale.
    pub offset: u8,
}

impl Header {
    /// Fails to compile unless all is inside of a block of `n_bytes` with `n_subs` sub-blocks, where
    /// sixteen bytes can be loaded that have the packed words.
    pub const fn check(&self, n_bytes: usize, n_subs: usize, has_minimum: bool) {
        let scale_bytes = if self.is_split { 8 } else { 2 };
        assert!(self.scale + scale_bytes <= n_bytes, "the scale leaves the block");
        assert!(self.place(4 * self.n_words - 1) < n_bytes, "the words leave the block");
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

    /// Where the block has byte `i` of the packed words.
    #[inline(always)]
    const fn place(&self, i: usize) -> usize {
        self.packed + self.stride * i
    }

    /// A packed word of a block, given as its bytes.
    #[inline(always)]
    pub fn word(&self, block: &[u8], word: usize) -> u32 {
        let byte = |i: usize| block[self.place(4 * word + i)];
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    }

    /// The bits of the scale of a block, an f16.
    #[inline(always)]
    pub fn scale_bits(&self, block: &[u8]) -> u16 {
        let at = |offset: usize| u16::from(block[self.scale + offset]);
        if self.is_split {
            at(1) >> 4 | at(3) & 0xf0 | (at(5) & 0xf0) << 4 | (at(7) & 0xf0) << 8
        } else {
            at(0) | at(1) << 8
        }
    }

    /// The scales of a block, given as its bytes.
    #[inline(always)]
    pub fn unpack(&self, block: &[u8]) -> SuperScales {
        let at = |offset: usize| f16::from_le_bytes([block[offset], block[offset + 1]]);
        let mut packed = [0; MAX_WORDS];
        for (i, word) in packed.iter_mut().enumerate().take(self.n_words) {
            *word = self.word(block, i);
        }
        let sub_scales = self.per_sixteen(bytes(self.sub_scales, &packed));
        SuperScales {
            scale: f16::from_bits(self.scale_bits(block)),
            minimum: self.minimum.map_or(f16::ZERO, at),
            sub_scales: sub_scales.map(|sub_scale| sub_scale.wrapping_sub(self.offset) as i8),
            sub_minimums: self.per_sixteen(bytes(self.sub_minimums, &packed)),
        }
    }

    /// The inverse of [`Self::unpack`]: writes the scales into the bytes of a block, whose packed
    /// words must be zero where codes have no bits.
    pub fn pack(&self, scales: &SuperScales, block: &mut [u8]) {
        let sub_scales = scales.sub_scales.map(|scale| (scale as u8).wrapping_add(self.offset));
        let mut packed = [0; MAX_WORDS];
        for (parts, values) in
            [(self.sub_scales, &sub_scales), (self.sub_minimums, &scales.sub_minimums)]
        {
            for (four, parts) in parts.iter().enumerate() {
                let value = |i: usize| values[(4 * four + i) * 16 / self.n_subs()];
                let word = u32::from_le_bytes([value(0), value(1), value(2), value(3)]);
                for part in *parts {
                    packed[part.word] |= (word & part.mask).rotate_left(part.rotation);
                }
            }
        }
        for (i, byte) in packed.iter().flat_map(|word| word.to_le_bytes()).enumerate() {
            if i < 4 * self.n_words {
                block[self.place(i)] = byte;
            }
        }
        if self.is_split {
            let scale = scales.scale.to_bits();
            (0..4).for_each(|i| block[self.scale + 2 * i + 1] |= ((scale >> (4 * i)) as u8) << 4);
        } else {
            block[self.scale..][..2].copy_from_slice(&scales.scale.to_le_bytes());
        }
        if let Some(minimum) = self.minimum {
            block[minimum..][..2].copy_from_slice(&scales.minimum.to_le_bytes());
        }
    }

    /// Whether sub-scales are odd numbers.
    pub const fn is_odd(&self) -> bool {
        self.offset == ODD
    }

    /// Sub-blocks of a block.
    #[inline(always)]
    const fn n_subs(&self) -> usize {
        4 * self.sub_scales.len()
    }

    /// A byte per sub-block as one per 16 weights.
    #[inline(always)]
    fn per_sixteen(&self, bytes: [u8; 16]) -> [u8; 16] {
        std::array::from_fn(|i| bytes[i * self.n_subs() / 16])
    }
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
