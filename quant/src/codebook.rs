//! Where the codes of a block with a codebook lie, as data.
//!
//! In bit planes every weight has bits of its own. In the formats IQ1, IQ2 and IQ3 eight weights,
//! or four, are an entry of a table, the *codebook*, and the block has the entry's index and the
//! signs of the weights. All of these are [`Field`]s: a few bits each, at equal distances.
//!
//! Kernels first decode a block, to a byte for each weight in order ([`Decoded`]), and then do with
//! these bytes as with any other codes. [`Codebook::decode`] is the definition, which each
//! instruction set's own decoding is tested against.

use crate::format::{SUPER_LEN, Super};

/// Weights after which the places of all fields repeat, some bytes further on.
pub const CHUNK_LEN: usize = 32;

/// Chunks of a block.
pub const N_CHUNKS: usize = SUPER_LEN / CHUNK_LEN;

/// Weights that share a byte of signs.
const EIGHT: usize = 8;

/// Eights of a chunk.
const EIGHTS: usize = CHUNK_LEN / EIGHT;

/// A few bits of every entry, or of every eight weights, of a block.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// The first bit of the first, counted from the start of the block.
    pub first: usize,
    /// Bits from one to the next, inside a chunk.
    pub step: usize,
    /// Bytes from a chunk to the next.
    pub stride: usize,
    /// Number of bits: at most eight, in one byte or two neighbouring ones.
    pub bits: usize,
}

impl Field {
    /// No bits.
    pub const NONE: Field = Field { first: 0, step: 0, stride: 0, bits: 0 };

    /// The first bit of number `n` of a chunk.
    pub const fn bit(&self, chunk: usize, n: usize) -> usize {
        self.first + 8 * self.stride * chunk + self.step * n
    }

    /// The inverse of [`Self::get`] for bits that are zero.
    #[inline(always)]
    fn set(&self, block: &mut [u8], chunk: usize, n: usize, bits: usize) {
        let (byte, shift) = (self.bit(chunk, n) / 8, self.bit(chunk, n) % 8);
        let bits = (bits & ((1 << self.bits) - 1)) << shift;
        if bits & 0xff > 0 {
            block[byte] |= bits as u8;
        }
        if bits >> 8 > 0 {
            block[byte + 1] |= (bits >> 8) as u8;
        }
    }

    /// The bits of number `n` of a chunk.
    #[inline(always)]
    fn get(&self, block: &[u8], chunk: usize, n: usize) -> usize {
        let (byte, shift) = (self.bit(chunk, n) / 8, self.bit(chunk, n) % 8);
        let mut bits = 0;
        if self.bits > 0 {
            bits = usize::from(block[byte]);
        }
        if shift + self.bits > 8 {
            bits |= usize::from(block[byte + 1]) << 8;
        }
        bits >> shift & ((1 << self.bits) - 1)
    }
}

/// How an entry's magnitudes become weights.
#[derive(Clone, Copy, Debug)]
pub enum Signs {
    /// A bit per weight: set where it is negative. The bytes of all eights follow each other.
    Each(Field),
    /// The same for seven of eight weights. The eighth bit is set where the seven are an odd
    /// number.
    Parity(Field),
    /// A bit per eight weights. The table's levels are one eighth too high, and two eighths are
    /// taken from all of them where the bit is set.
    Delta(Field),
}

/// The entries of a table: unsigned bytes, the first in the lowest bits, of weights that are not
/// negative and of deltas that are not taken off.
#[derive(Clone, Copy, Debug)]
pub enum Entries {
    /// Eight weights each.
    Eights(&'static [u64]),
    /// Four weights each.
    Fours(&'static [u32]),
}

impl Entries {
    /// Weights of an entry.
    pub const fn entry_len(&self) -> usize {
        match self {
            Entries::Eights(_) => 8,
            Entries::Fours(_) => 4,
        }
    }

    /// Entries of a chunk.
    pub const fn per_chunk(&self) -> usize {
        CHUNK_LEN / self.entry_len()
    }

    /// Entries of the table.
    const fn len(&self) -> usize {
        match self {
            Entries::Eights(entries) => entries.len(),
            Entries::Fours(entries) => entries.len(),
        }
    }
}

/// How the bytes of a block become an integer per weight, by a table.
#[derive(Clone, Copy, Debug)]
pub struct Codebook {
    /// The table, as bytes.
    pub entries: Entries,
    /// The table, as numbers of levels: eight of two bits or four of four, the first in the lowest.
    pub words: &'static [u16],
    /// What the numbers of levels are in [`Self::entries`].
    pub levels: [u8; 16],
    /// The table, as halves of entries ([`MAX_HALVES`]), the low one and the high one.
    pub halves: &'static [[u8; 2]],
    /// The low and the high bits of each entry's index.
    pub index: [Field; 2],
    /// The signs.
    pub signs: Signs,
    /// What to subtract from an unsigned byte to get the integer weight; a power of two.
    pub offset: u8,
    /// Bytes of a block.
    pub block_bytes: usize,
    /// [`Self::index`] for vectors.
    pub index_lanes: [FieldLanes; 2],
    /// The field of [`Self::signs`] for vectors; not for signs that are bytes already.
    pub sign_lanes: FieldLanes,
}

/// An unsigned byte for each weight of a block, in order.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Decoded(pub [u8; SUPER_LEN]);

impl Decoded {
    /// Zeros, to be overwritten.
    pub const ZERO: Decoded = Decoded([0; SUPER_LEN]);
}

/// Blocks as kernels unpack them: decoded into the scratch memory, where the format has a codebook.
#[inline(always)]
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub fn decoded<'a, F: Super, const N: usize>(
    blocks: [&'a F::Block; N],
    scratch: &'a mut [Decoded; N],
    decode: impl Fn(&F::Block, &mut Decoded),
) -> [&'a [u8]; N] {
    if F::LAYOUT.codebook().is_none() {
        return blocks.map(bytemuck::bytes_of);
    }
    for (block, decoded) in blocks.into_iter().zip(scratch.iter_mut()) {
        decode(block, decoded);
    }
    scratch.each_ref().map(|decoded| &decoded.0[..])
}

/// Halves of entries, as numbers with a digit for each weight, the first the lowest: that of its
/// level. There are this many at most, of four weights with three levels.
pub const MAX_HALVES: usize = 81;

/// A table in all forms: a [`Codebook`] without places.
pub struct Table {
    /// See [`Codebook::entries`].
    pub entries: Entries,
    /// See [`Codebook::words`].
    pub words: &'static [u16],
    /// See [`Codebook::levels`].
    pub levels: [u8; 16],
    /// See [`Codebook::halves`].
    pub halves: &'static [[u8; 2]],
    /// See [`Codebook::offset`].
    pub offset: u8,
}

impl Table {
    /// The codebook of blocks of `block_bytes` that have indices and signs in these places.
    pub const fn book(self, block_bytes: usize, index: [Field; 2], signs: Signs) -> Codebook {
        let Table { entries, words, levels, halves, offset } = self;
        let [low, high] = &index;
        let per_chunk = entries.per_chunk();
        let index_lanes = [
            FieldLanes::of(low, per_chunk, block_bytes),
            FieldLanes::of(high, per_chunk, block_bytes),
        ];
        let sign_lanes = match &signs {
            Signs::Each(_) => FieldLanes::of(&Field::NONE, EIGHTS, block_bytes),
            Signs::Parity(field) | Signs::Delta(field) => {
                FieldLanes::of(field, EIGHTS, block_bytes)
            }
        };
        Codebook {
            entries,
            words,
            levels,
            halves,
            index,
            signs,
            offset,
            block_bytes,
            index_lanes,
            sign_lanes,
        }
    }
}

impl Codebook {
    /// Levels of the table.
    pub const fn n_levels(&self) -> usize {
        match self.entries {
            Entries::Eights(_) => 3,
            Entries::Fours(_) => 8,
        }
    }

    /// The largest unsigned byte.
    pub const fn max_unsigned(&self) -> i32 {
        let (mut max, mut i) = (0, 0);
        while i < self.levels.len() {
            max = if self.levels[i] > max { self.levels[i] } else { max };
            i += 1;
        }
        max as i32
    }

    /// Fails to compile unless every index has an entry, all fields lie in a block of `n_bytes`,
    /// and unsigned bytes are those of small integers of either sign.
    pub const fn check(&self, n_bytes: usize) {
        assert!(self.block_bytes == n_bytes, "fields of another block");
        let [low, high] = self.index;
        let index_bits = low.bits + high.bits;
        assert!(low.bits == 8 && low.first % 8 == 0 && low.step % 8 == 0, "low bits are a byte");
        assert!(1 << index_bits == self.words.len(), "an index without entry");
        assert!(self.words.len() == self.entries.len() && index_bits <= 11, "two sizes of a table");
        assert!(self.max_unsigned() < 2 * self.offset as i32, "a weight has no negative");
        assert!(
            self.offset.is_power_of_two() && self.offset <= 64,
            "bytes of more than seven bits"
        );
        match self.signs {
            Signs::Each(Field { first, step, stride, bits }) => {
                assert!(first % 8 == 0 && step == 8 && stride == EIGHTS && bits == 8);
                assert!(first / 8 + SUPER_LEN / EIGHT <= n_bytes, "signs leave the block");
            }
            Signs::Parity(field) => assert!(field.bits == 7),
            Signs::Delta(field) => assert!(field.bits == 1),
        }
    }

    /// Writes the unsigned byte of every weight of a block.
    #[inline(always)]
    pub fn decode(&self, block: &[u8], unsigned: &mut [u8]) {
        let eights = unsigned.as_chunks_mut::<EIGHT>().0;
        for (i, eight) in eights.iter_mut().enumerate() {
            let (chunk, i) = (i / EIGHTS, i % EIGHTS);
            let entry = |n: usize| {
                let [low, high] = self.index.map(|field| field.get(block, chunk, n));
                low | high << 8
            };
            *eight = match self.entries {
                Entries::Eights(table) => table[entry(i)].to_le_bytes(),
                Entries::Fours(table) => {
                    let [low, high] = [2 * i, 2 * i + 1].map(|n| u64::from(table[entry(n)]));
                    (low | high << 32).to_le_bytes()
                }
            };
            let (signs, is_delta) = self.sign_byte(block, chunk, i);
            for (k, u) in eight.iter_mut().enumerate() {
                if signs >> k & 1 == 1 {
                    *u = if is_delta { *u - 2 } else { 2 * self.offset - *u };
                }
            }
        }
    }

    /// The inverse of [`Self::decode`], for a block that is zero where it has indices and signs:
    /// `indices` are those of all entries, `signs` a byte for each eight weights. Of that a delta
    /// takes one bit.
    pub fn encode(&self, indices: &[u16], signs: &[u8], block: &mut [u8]) {
        let per_chunk = self.entries.per_chunk();
        for (i, &index) in indices.iter().enumerate() {
            let index = usize::from(index);
            for (field, bits) in self.index.iter().zip([index, index >> 8]) {
                field.set(block, i / per_chunk, i % per_chunk, bits);
            }
        }
        let (Signs::Each(field) | Signs::Parity(field) | Signs::Delta(field)) = self.signs;
        for (i, &signs) in signs.iter().enumerate() {
            field.set(block, i / EIGHTS, i % EIGHTS, usize::from(signs));
        }
    }

    /// The sign of each of eight weights, and whether it is that of a delta.
    #[inline(always)]
    fn sign_byte(&self, block: &[u8], chunk: usize, i: usize) -> (u8, bool) {
        match self.signs {
            Signs::Each(field) => (field.get(block, chunk, i) as u8, false),
            Signs::Parity(field) => {
                let seven = field.get(block, chunk, i) as u8;
                (seven | (seven.count_ones() as u8 & 1) << 7, false)
            }
            Signs::Delta(field) => (0u8.wrapping_sub(field.get(block, chunk, i) as u8), true),
        }
    }
}

/// How vectors take a field out of a block: eight neighbouring ones at a time, a *lane*, each in a
/// 16-bit element, from sixteen bytes of the block.
#[derive(Clone, Copy, Debug)]
// Scalar code has no use for it.
#[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
pub struct FieldLanes {
    /// First of the bytes of lane 0.
    start: usize,
    /// Bytes from a lane to the next.
    stride: usize,
    /// Which of the bytes become the elements; 0x80 where there is none.
    pub bytes: [u8; 16],
    /// What elements are multiplied with to have their lowest bit at bit 8.
    pub factors: [u16; 8],
}

impl FieldLanes {
    /// The lanes of a field in blocks of `n_bytes`, with `per_chunk` in a chunk: four or eight.
    /// Fails to compile where one would be read from outside of the block.
    const fn of(field: &Field, per_chunk: usize, n_bytes: usize) -> FieldLanes {
        let stride = field.stride * 8 / per_chunk;
        let mut lanes = FieldLanes { start: 0, stride, bytes: [0x80; 16], factors: [1; 8] };
        if field.bits == 0 {
            return lanes;
        }
        // Sixteen bytes of the last lane end with the block or before.
        let first = field.first / 8;
        let end = first + (N_CHUNKS * per_chunk / 8 - 1) * stride + 16;
        lanes.start = first - end.saturating_sub(n_bytes);
        let mut n = 0;
        while n < 8 {
            let bit = field.bit(n / per_chunk, n % per_chunk);
            let (byte, shift) = (bit / 8 - lanes.start, bit % 8);
            let straddles = shift + field.bits > 8;
            assert!(byte + (straddles as usize) < 16, "a lane has more than sixteen bytes");
            lanes.bytes[2 * n] = byte as u8;
            if straddles {
                lanes.bytes[2 * n + 1] = byte as u8 + 1;
            }
            lanes.factors[n] = 1 << (8 - shift);
            n += 1;
        }
        lanes
    }

    /// The sixteen bytes of a lane.
    #[inline(always)]
    #[cfg_attr(not(any(target_arch = "x86_64", target_arch = "aarch64")), allow(dead_code))]
    pub fn window<'a>(&self, block: &'a [u8], lane: usize) -> &'a [u8; 16] {
        let start = self.start + lane * self.stride;
        block[start..start + 16].try_into().expect("sixteen bytes")
    }
}
