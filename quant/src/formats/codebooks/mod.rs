//! The codebooks of IQ1, IQ2 and IQ3: facts of these formats, in files that `make.py` beside them
//! writes. They came out of a clustering by the formats' author, and follow from no rule: which
//! vectors they have depends on the training data.
//!
//! | table | entries | levels | what is known |
//! | --- | --- | --- | --- |
//! | `iq2_xxs`, `iq2_xs`, `iq2_s` | 256, 512, 1024 of eight | 8, 25, 43 | the sum of level numbers is even |
//! | `iq3_xxs` | 256 of four | 4, 12, 20, 28, 36, 44, 52, 62 | the same |
//! | `iq3_s` | 512 of four | 1, 3, 5, 7, 9, 11, 13, 15 | |
//! | `iq1_s` | 2048 of eight | -1, 0, 1 | |
//!
//! All are in increasing order as numbers, the first weight in the lowest digit.
//!
//! Levels are magnitudes in units of 1/8 (IQ2), 1/4 (IQ3_XXS) or 1 (IQ3_S), so that weights are
//! integers. Those of `iq1_s` are numbers of either sign, to each of which a block adds an eighth
//! or takes it off; here they are in units of 1/8, and the eighth is added already.

use crate::codebook::{Entries, Table};

/// The entries of a file. Vectors load 32 at a time: those of a cache line.
#[repr(C, align(64))]
struct Words<const N: usize>([u16; N]);

impl<const N: usize> Words<N> {
    /// From the bytes of a file.
    const fn of(bytes: &[u8]) -> Words<N> {
        assert!(bytes.len() == 2 * N, "a table of another size");
        let (mut words, mut i) = ([0; N], 0);
        while i < N {
            words[i] = u16::from_le_bytes([bytes[2 * i], bytes[2 * i + 1]]);
            i += 1;
        }
        Words(words)
    }

    /// The bytes of eight weights with levels of two bits.
    const fn eights(&self, levels: &[u8; 16]) -> [u64; N] {
        let (mut entries, mut i) = ([0; N], 0);
        while i < 8 * N {
            let level = levels[(self.0[i / 8] >> (2 * (i % 8)) & 0b11) as usize];
            entries[i / 8] |= (level as u64) << (8 * (i % 8));
            i += 1;
        }
        entries
    }

    /// The halves of entries: of two weights with eight levels, of four with three.
    const fn halves(&self, n_levels: u16) -> [[u8; 2]; N] {
        let (len, bits) = if n_levels == 3 { (4, 2) } else { (2, 4) };
        let (mut halves, mut i) = ([[0; 2]; N], 0);
        while i < 2 * N {
            let byte = self.0[i / 2] >> (8 * (i % 2));
            let (mut half, mut weight) = (0, len);
            while weight > 0 {
                weight -= 1;
                half = n_levels * half + (byte >> (bits * weight) & ((1 << bits) - 1));
            }
            halves[i / 2][i % 2] = half as u8;
            i += 1;
        }
        halves
    }

    /// The bytes of four weights with levels of four bits.
    const fn fours(&self, levels: &[u8; 16]) -> [u32; N] {
        let (mut entries, mut i) = ([0; N], 0);
        while i < 4 * N {
            let level = levels[(self.0[i / 4] >> (4 * (i % 4)) & 0b1111) as usize];
            entries[i / 4] |= (level as u32) << (8 * (i % 4));
            i += 1;
        }
        entries
    }
}

/// Defines a table: its name and number of entries, their kind, the levels, the offset.
macro_rules! table {
    (
        $name:ident, $file:literal, $n:literal $kind:ident $expanded:ident $entry:ty,
        $levels:expr, $offset:expr
    ) => {
        #[doc = concat!("The table in `", $file, "`.")]
        pub const $name: Table = {
            const LEVELS: [u8; 16] = levels(&$levels, $offset);
            static WORDS: Words<$n> = Words::of(include_bytes!($file));
            static ENTRIES: [$entry; $n] = WORDS.$expanded(&LEVELS);
            static HALVES: [[u8; 2]; $n] = WORDS.halves($levels.len() as u16);
            let (words, entries) = (&WORDS.0, Entries::$kind(&ENTRIES));
            Table { words, entries, levels: LEVELS, halves: &HALVES, offset: $offset }
        };
    };
}

table!(IQ2_XXS, "iq2_xxs.bin", 256 Eights eights u64, [8, 25, 43], 64);
table!(IQ2_XS, "iq2_xs.bin", 512 Eights eights u64, [8, 25, 43], 64);
table!(IQ2_S, "iq2_s.bin", 1024 Eights eights u64, [8, 25, 43], 64);
table!(IQ3_XXS, "iq3_xxs.bin", 256 Fours fours u32, [4, 12, 20, 28, 36, 44, 52, 62], 64);
table!(IQ3_S, "iq3_s.bin", 512 Fours fours u32, [1, 3, 5, 7, 9, 11, 13, 15], 16);
table!(IQ1, "iq1_s.bin", 2048 Eights eights u64, [-8 + 1, 1, 8 + 1], 16);

/// Levels as unsigned bytes; zeros where there are no more.
const fn levels(levels: &[i8], offset: u8) -> [u8; 16] {
    let (mut all, mut i) = ([0; 16], 0);
    while i < levels.len() {
        all[i] = offset.wrapping_add_signed(levels[i]);
        i += 1;
    }
    all
}
