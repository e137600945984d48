//! The entries of a codebook with the least errors.
//!
//! An entry stands for eight weights, or four, so that no weight has a nearest number by itself. But an
//! entry's error is the sum of those of its two halves, of which there are 81 at most: these are
//! computed first. Tables are in the order of high halves. Of the entries that share one, the low
//! half with the least error is the best, and so each entry costs no more than a comparison. All of
//! them are looked at: the search is exact.
//!
//! Beside the entries there is something else to choose: which sign is turned around where a block
//! cannot have the weights' own, since their product would be negative ([`Signs::Parity`]), or
//! whether eighths are added or taken off ([`Signs::Delta`]). Every error is therefore a [`Pair`].

use super::batch::MAX_LEN;
use crate::codebook::{Codebook, MAX_HALVES, Signs};
use crate::format::SUPER_LEN;
use crate::vector::{Lanes, N_LANES};
use std::ops::Range;

/// Least errors of some weights: where all have their own signs, and where one has not (an odd
/// number); or where eighths are added, and where they are taken off.
type Pair<L> = [L; 2];

/// The errors of all halves of an entry.
type Halves<L> = [Pair<L>; MAX_HALVES];

/// Sub-blocks of `len` weights, one in each lane, that are to be made of a codebook's entries.
#[derive(Clone, Copy)]
pub struct Weights<'a, L> {
    pub book: &'static Codebook,
    /// Weight `i` of every sub-block.
    pub x: &'a [L],
    /// How much each one's squared error counts.
    pub importance: &'a [L],
}

/// A choice of entries for each lane's weights.
pub struct Choice {
    /// The index of each entry.
    pub indices: [[u16; N_LANES]; MAX_LEN / 4],
    /// What a block has as signs of each eight weights.
    pub signs: [[u8; N_LANES]; MAX_LEN / 8],
    /// The number that stands for each weight.
    pub numbers: [[f32; N_LANES]; MAX_LEN],
}

impl Choice {
    /// Writes indices and signs of a super-block into its bytes, whose `n_subs` sub-blocks are in
    /// the lanes from `first` on.
    pub fn encode(&self, book: &Codebook, first: usize, n_subs: usize, block: &mut [u8]) {
        let sub_len = SUPER_LEN / n_subs;
        let (mut indices, mut signs) = ([0; SUPER_LEN / 4], [0; SUPER_LEN / 8]);
        let n_entries = SUPER_LEN / book.entries.entry_len();
        for (i, index) in indices[..n_entries].iter_mut().enumerate() {
            let per_sub = n_entries / n_subs;
            *index = self.indices[i % per_sub][first + i / per_sub];
        }
        for (i, signs) in signs.iter_mut().enumerate() {
            *signs = self.signs[i % (sub_len / 8)][first + i / (sub_len / 8)];
        }
        book.encode(&indices[..n_entries], &signs, block);
    }
}

/// Errors of an entry, and where the runs of high halves begin in which the best ones are.
#[derive(Clone, Copy)]
struct Nearest<L> {
    errors: Pair<L>,
    runs: [L; 2],
}

/// The errors of two stretches of weights, from those of each.
#[inline(always)]
fn join<L: Lanes>(signs: &Signs, a: Pair<L>, b: Pair<L>) -> Pair<L> {
    let other = match signs {
        Signs::Each(_) => a[1],
        Signs::Parity(_) => a[0].add(b[1]).min(a[1].add(b[0])),
        Signs::Delta(_) => a[1].add(b[1]),
    };
    [a[0].add(b[0]), other]
}

impl<L: Lanes> Weights<'_, L> {
    /// The least errors, for these scales.
    #[inline(always)]
    pub fn errors(self, scale: L) -> L {
        let mut halves = [[[scale; 2]; MAX_HALVES]; 2];
        let mut sum = [L::splat(0.0); 2];
        for eight in 0..self.x.len() / 8 {
            let mut errors = self.nothing();
            for entry in self.entries(eight) {
                errors =
                    join(&self.book.signs, errors, self.entry(scale, entry, &mut halves).errors);
            }
            let [plain, other] = self.settled(errors, eight);
            sum = [sum[0].add(plain), sum[1].add(other)];
        }
        sum[1].min(sum[0])
    }

    /// The entries with the least errors, for these scales.
    #[inline(always)]
    pub fn choice(self, scale: L) -> Choice {
        let mut halves = [[[scale; 2]; MAX_HALVES]; 2];
        let mut sum = [L::splat(0.0); 2];
        let mut found = Found {
            indices: [[[0; N_LANES]; 2]; MAX_LEN / 4],
            errors: [[[0.0; N_LANES]; 2]; MAX_LEN / 4],
            is_other: [[false; N_LANES]; MAX_LEN / 8],
        };
        for eight in 0..self.x.len() / 8 {
            let mut errors = self.nothing();
            for entry in self.entries(eight) {
                let nearest = self.entry(scale, entry, &mut halves);
                found.indices[entry] = self.indices(&halves, nearest);
                found.errors[entry] = [nearest.errors[0].to_array(), nearest.errors[1].to_array()];
                errors = join(&self.book.signs, errors, nearest.errors);
            }
            let [plain, other] = self.settled(errors, eight);
            sum = [sum[0].add(plain), sum[1].add(other)];
            let (plain, other) = (errors[0].to_array(), errors[1].to_array());
            found.is_other[eight] = std::array::from_fn(|lane| other[lane] < plain[lane]);
        }
        if self.is_delta_shared() {
            let (plain, other) = (sum[0].to_array(), sum[1].to_array());
            found.is_other = [std::array::from_fn(|lane| other[lane] < plain[lane]); MAX_LEN / 8];
        }
        let (mut x, mut losses) = ([[0.0; N_LANES]; MAX_LEN], [[0.0; N_LANES]; MAX_LEN]);
        for i in 0..self.x.len() {
            x[i] = self.x[i].to_array();
            losses[i] = self.x[i].abs().mul(self.importance[i]).to_array();
        }
        let mut choice = Choice {
            indices: [[0; N_LANES]; MAX_LEN / 4],
            signs: [[0; N_LANES]; MAX_LEN / 8],
            numbers: [[0.0; N_LANES]; MAX_LEN],
        };
        for lane in 0..N_LANES {
            for eight in 0..self.x.len() / 8 {
                self.book.choose(eight, lane, &found, &x, &losses, &mut choice);
            }
        }
        choice
    }

    /// The numbers of entries of eight weights.
    #[inline(always)]
    fn entries(self, eight: usize) -> Range<usize> {
        entries(self.book, eight)
    }

    /// The errors of no weights.
    #[inline(always)]
    fn nothing(self) -> Pair<L> {
        let (zero, never) = (L::splat(0.0), L::splat(f32::INFINITY));
        [zero, if let Signs::Parity(_) = self.book.signs { never } else { zero }]
    }

    /// Makes a choice where eight weights have one of their own.
    #[inline(always)]
    fn settled(self, [plain, other]: Pair<L>, eight: usize) -> Pair<L> {
        let settled = match self.book.signs {
            Signs::Each(_) => plain,
            Signs::Delta(_) if self.is_delta_shared() => return [plain, other],
            Signs::Delta(_) => other.min(plain),
            Signs::Parity(_) => {
                let (zero, one) = (L::splat(0.0), L::splat(1.0));
                let mut product = one;
                for x in &self.x[8 * eight..][..8] {
                    product = product.mul(x.if_less(zero, zero.sub(one), one));
                }
                product.if_less(zero, other, plain)
            }
        };
        [settled; 2]
    }

    /// Whether all eights of a sub-block have one delta.
    #[inline(always)]
    fn is_delta_shared(self) -> bool {
        matches!(self.book.signs, Signs::Delta(field) if field.step == 0)
    }

    /// The least errors of an entry; fills the errors of its low and its high half.
    #[inline(always)]
    fn entry(self, scale: L, entry: usize, halves: &mut [Halves<L>; 2]) -> Nearest<L> {
        let len = self.book.entries.entry_len();
        self.half(scale, entry * len, &mut halves[0]);
        self.half(scale, entry * len + len / 2, &mut halves[1]);
        let never = L::splat(f32::INFINITY);
        let mut nearest = Nearest { errors: [never; 2], runs: [L::splat(0.0); 2] };
        let mut start = 0u16;
        for run in self.book.halves.chunk_by(|a, b| a[1] == b[1]) {
            let mut least = [never; 2];
            for &[half, _] in run {
                let [plain, other] = halves[0][usize::from(half)];
                least = [plain.min(least[0]), other.min(least[1])];
            }
            let errors = join(&self.book.signs, halves[1][usize::from(run[0][1])], least);
            let here = L::splat(f32::from(start));
            for i in 0..2 {
                nearest.runs[i] = errors[i].if_less(nearest.errors[i], here, nearest.runs[i]);
                nearest.errors[i] = errors[i].min(nearest.errors[i]);
            }
            start += run.len() as u16;
        }
        nearest
    }

    /// The errors of all halves of an entry, of which weight `first` is the first.
    #[inline(always)]
    fn half(self, scale: L, first: usize, errors: &mut Halves<L>) {
        errors[0] = self.nothing();
        let mut n_halves = 1;
        for i in first..first + self.book.entries.entry_len() / 2 {
            for level in (0..self.book.n_levels()).rev() {
                let own = self.weight(scale, i, level);
                for half in 0..n_halves {
                    errors[level * n_halves + half] = join(&self.book.signs, errors[half], own);
                }
            }
            n_halves *= self.book.n_levels();
        }
    }

    /// The errors of a weight.
    #[inline(always)]
    fn weight(self, scale: L, i: usize, level: usize) -> Pair<L> {
        let number = self.book.number(level);
        match self.book.signs {
            Signs::Delta(_) => {
                let x = self.x[i];
                [self.error(scale, i, x, number), self.error(scale, i, x, number - TAKEN_OFF)]
            }
            _ => {
                let x = self.x[i].abs();
                [self.error(scale, i, x, number), self.error(scale, i, x, -number)]
            }
        }
    }

    #[inline(always)]
    fn error(self, scale: L, i: usize, x: L, number: f32) -> L {
        let difference = x.sub(scale.mul(L::splat(number)));
        difference.mul(difference).mul(self.importance[i])
    }

    /// The indices of the nearest entries.
    #[inline(always)]
    fn indices(self, [low, high]: &[Halves<L>; 2], nearest: Nearest<L>) -> [[u16; N_LANES]; 2] {
        let mut indices = [[0; N_LANES]; 2];
        for i in 0..2 {
            let starts = nearest.runs[i].to_array();
            for lane in 0..N_LANES {
                let start = starts[lane] as usize;
                let mut least = f32::INFINITY;
                for (place, &[half, other]) in self.book.halves[start..].iter().enumerate() {
                    if other != self.book.halves[start][1] {
                        break;
                    }
                    let halves = (high[usize::from(other)], low[usize::from(half)]);
                    let error = join(&self.book.signs, halves.0, halves.1)[i].to_array()[lane];
                    if error < least {
                        (least, indices[i][lane]) = (error, (start + place) as u16);
                    }
                }
            }
        }
        indices
    }
}

/// What a delta of the other kind takes off.
const TAKEN_OFF: f32 = 2.0;

/// The best entries of either alternative, before it is chosen.
struct Found {
    indices: [[[u16; N_LANES]; 2]; MAX_LEN / 4],
    errors: [[[f32; N_LANES]; 2]; MAX_LEN / 4],
    /// For each eight weights, whether deltas are taken off.
    is_other: [[bool; N_LANES]; MAX_LEN / 8],
}

/// The numbers of entries of eight weights.
fn entries(book: &Codebook, eight: usize) -> Range<usize> {
    let per_eight = 8 / book.entries.entry_len();
    eight * per_eight..(eight + 1) * per_eight
}

impl Codebook {
    /// A level, as a number.
    #[inline(always)]
    fn number(&self, level: usize) -> f32 {
        f32::from(self.levels[level]) - f32::from(self.offset)
    }

    /// Chooses what stands for eight weights `x` of a lane, of which each, with another sign, would
    /// lose in proportion to its number and to `losses`.
    fn choose(
        &self,
        eight: usize,
        lane: usize,
        found: &Found,
        x: &[[f32; N_LANES]; MAX_LEN],
        losses: &[[f32; N_LANES]; MAX_LEN],
        choice: &mut Choice,
    ) {
        let len = self.entries.entry_len();
        let own = (0..8).fold(0u8, |own, i| own | u8::from(x[8 * eight + i][lane] < 0.0) << i);
        // Which entry has a sign that is not its own: the one that loses less by it.
        let loss = |entry: usize| found.errors[entry][1][lane] - found.errors[entry][0][lane];
        let turned = match self.signs {
            Signs::Parity(_) if own.count_ones() % 2 == 1 => {
                entries(self, eight).reduce(|a, b| if loss(b) < loss(a) { b } else { a })
            }
            _ => None,
        };
        let is_delta = matches!(self.signs, Signs::Delta(_));
        let is_taken_off = is_delta && found.is_other[eight][lane];
        let mut signs = own;
        for entry in entries(self, eight) {
            let is_other = is_taken_off || turned == Some(entry);
            let index = found.indices[entry][usize::from(is_other)][lane];
            choice.indices[entry][lane] = index;
            let (word, bits) = (usize::from(self.words[usize::from(index)]), 16 / len);
            let number = |i: usize| self.number(word >> (bits * (i % len)) & ((1 << bits) - 1));
            if turned == Some(entry) {
                let loss = |i: usize| losses[i][lane] * number(i);
                let weights = entry * len..(entry + 1) * len;
                let turned = weights.reduce(|a, b| if loss(b) < loss(a) { b } else { a });
                signs ^= turned.map_or(0, |i| 1 << (i % 8));
            }
            for i in entry * len..(entry + 1) * len {
                choice.numbers[i][lane] = match signs >> (i % 8) & 1 == 1 {
                    _ if is_taken_off => number(i) - TAKEN_OFF,
                    true if !is_delta => -number(i),
                    _ => number(i),
                };
            }
        }
        choice.signs[eight][lane] = if is_delta { u8::from(is_taken_off) } else { signs };
    }
}
