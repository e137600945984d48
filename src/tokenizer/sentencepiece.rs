//! SentencePiece's byte-pair encoding: repeatedly merge the neighbours whose joined piece scores
//! best, the leftmost pair first among equals.
//!
//! A list of ranked merges cannot express this order: pieces share scores, and one piece has
//! several splits that must rank alike. So the candidates live in a heap ordered by score and
//! place, which takes O(n log n) for n characters.

use super::error::TokenizerError;
use super::spaces::{AddSpace, Spaces};
use super::vocabulary::{PieceKind, Vocabulary};
use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

/// SentencePiece writes spaces as this.
pub(crate) const SPACE: char = '\u{2581}';

/// The pieces and their scores, ready to merge.
pub(super) struct SentencePiece {
    ids: HashMap<Box<str>, u32>,
    scores: Vec<f32>,
    byte_ids: Box<[Option<u32>; 256]>,
    unknown: Option<u32>,
    spaces: Spaces,
    /// Length of the longest piece in bytes: anything longer need not be looked up.
    longest: usize,
    /// No piece holds a space behind another character, so words can be merged one by one.
    words_are_apart: bool,
}

impl SentencePiece {
    pub(super) fn new(
        vocabulary: &Vocabulary,
        scores: &[f32],
        spaces: Spaces,
    ) -> Result<SentencePiece, TokenizerError> {
        let mut byte_ids = Box::new([None; 256]);
        let mut ids: HashMap<Box<str>, u32> = HashMap::with_capacity(vocabulary.pieces.len());
        for (id, (piece, kind)) in (0..).zip(vocabulary.pieces.iter().zip(&vocabulary.kinds)) {
            match kind {
                PieceKind::Byte => {
                    if let Some(byte) = byte_of(piece) {
                        byte_ids[usize::from(byte)].get_or_insert(id);
                    }
                }
                PieceKind::Normal => {
                    ids.entry(piece.as_str().into()).or_insert(id);
                }
                _ => {}
            }
        }
        if let (Some(byte), None) = (byte_ids.iter().position(Option::is_none), vocabulary.unknown)
        {
            return Err(TokenizerError::NoFallback { byte: byte as u8 });
        }
        let words_are_apart =
            ids.keys().all(|piece| !piece.trim_start_matches(SPACE).contains(SPACE));
        Ok(SentencePiece {
            longest: ids.keys().map(|piece| piece.len()).max().unwrap_or(0),
            ids,
            // Makes -0 equal to 0 under the total order of floats.
            scores: scores.iter().map(|score| score + 0.0).collect(),
            byte_ids,
            unknown: vocabulary.unknown,
            spaces,
            words_are_apart,
        })
    }

    /// Whether a text is preceded by a space.
    pub(super) fn adds_space_prefix(&self) -> bool {
        self.spaces.adds_space_prefix()
    }

    /// A stretch of text with its spaces spelled as U+2581, one of which precedes it where the
    /// vocabulary wants that; `is_start` says that it is no stretch behind a token.
    pub(super) fn spell(&self, text: &str, is_start: bool) -> String {
        let adds = if is_start { self.spaces.before_text } else { self.spaces.behind_tokens };
        let adds_space = match adds {
            AddSpace::Never => false,
            AddSpace::UnlessThere => !text.starts_with([' ', SPACE]),
            AddSpace::Always => true,
        };
        let mut all = String::with_capacity(text.len() + text.len() / 2 + SPACE.len_utf8());
        all.extend(adds_space.then_some(SPACE));
        all.extend(text.chars().map(spelled_char));
        all
    }

    /// Appends the ids of a text whose spaces are spelled as U+2581.
    pub(super) fn encode(&self, spelled: &str, ids: &mut Vec<u32>) {
        let mut merger = Merger { model: self, text: "", symbols: vec![], queue: vec![].into() };
        let mut rest = spelled;
        while !rest.is_empty() {
            let (word, behind) = rest.split_at(self.end_of_word(rest));
            merger.merge(word);
            merger.append_ids(ids);
            rest = behind;
        }
    }

    /// Where the first word ends: before the first space that follows another character.
    fn end_of_word(&self, text: &str) -> usize {
        if !self.words_are_apart {
            return text.len();
        }
        let letters = text.len() - text.trim_start_matches(SPACE).len();
        text[letters..].find(SPACE).map_or(text.len(), |at| letters + at)
    }

    /// Appends what stands for a piece that is not in the vocabulary: its bytes, or the unknown
    /// token, of which a stretch gets one.
    fn append_fallback(&self, piece: &str, ids: &mut Vec<u32>) {
        let n_before = ids.len();
        ids.extend(piece.bytes().map_while(|byte| self.byte_ids[usize::from(byte)]));
        if ids.len() - n_before < piece.len() {
            ids.truncate(n_before);
            if ids.last().copied() != self.unknown {
                ids.extend(self.unknown);
            }
        }
    }
}

/// A text as SentencePiece spells it.
pub(super) fn spelled(text: &str) -> String {
    text.chars().map(spelled_char).collect()
}

fn spelled_char(c: char) -> char {
    if c == ' ' { SPACE } else { c }
}

/// The byte that a piece like `<0x0A>` stands for.
pub(crate) fn byte_of(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_byte { u8::from_str_radix(digits, 16).ok() } else { None }
}

/// A stretch of the word that is one piece by now; an empty one was merged into its left neighbour.
#[derive(Clone, Copy)]
struct Symbol {
    start: usize,
    end: usize,
    /// Index of the left neighbour; of no meaning for the first symbol.
    left: usize,
    /// Index of the right neighbour; the number of symbols for the last.
    right: usize,
    /// Its piece, known once something was merged.
    id: Option<u32>,
}

/// Two neighbours that could be merged, as they were when the pair was found.
struct Candidate {
    score: f32,
    left: usize,
    right: usize,
    end: usize,
    id: u32,
}

impl Ord for Candidate {
    fn cmp(&self, other: &Candidate) -> Ordering {
        self.score.total_cmp(&other.score).then_with(|| other.left.cmp(&self.left))
    }
}

impl PartialOrd for Candidate {
    fn partial_cmp(&self, other: &Candidate) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Candidate {
    fn eq(&self, other: &Candidate) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Candidate {}

/// Merges one word after the other in the same memory.
struct Merger<'a> {
    model: &'a SentencePiece,
    text: &'a str,
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
}

impl<'a> Merger<'a> {
    fn merge(&mut self, word: &'a str) {
        self.text = word;
        self.symbols.clear();
        self.symbols.extend(word.char_indices().enumerate().map(|(idx, (start, c))| Symbol {
            start,
            end: start + c.len_utf8(),
            left: idx.wrapping_sub(1),
            right: idx + 1,
            id: None,
        }));
        for left in 0..self.symbols.len() {
            self.propose(left);
        }
        while let Some(candidate) = self.queue.pop() {
            self.accept(&candidate);
        }
    }

    /// Queues the pair of a symbol and its right neighbour if they join to a piece.
    fn propose(&mut self, left: usize) {
        let first = self.symbols[left];
        let Some(second) = self.symbols.get(first.right) else { return };
        if second.end - first.start > self.model.longest {
            return;
        }
        let Some(&id) = self.model.ids.get(&self.text[first.start..second.end]) else { return };
        self.queue.push(Candidate {
            score: self.model.scores[id as usize],
            left,
            right: first.right,
            end: second.end,
            id,
        });
    }

    /// Merges a pair, unless one of the two was merged with another symbol in the meantime.
    fn accept(&mut self, pair: &Candidate) {
        let (first, second) = (self.symbols[pair.left], self.symbols[pair.right]);
        let is_current = first.start < first.end
            && second.start < second.end
            && first.right == pair.right
            && second.end == pair.end;
        if !is_current {
            return;
        }
        self.symbols[pair.left] =
            Symbol { end: second.end, right: second.right, id: Some(pair.id), ..first };
        self.symbols[pair.right].end = second.start;
        if let Some(next) = self.symbols.get_mut(second.right) {
            next.left = pair.left;
        }
        if pair.left > 0 {
            self.propose(first.left);
        }
        self.propose(pair.left);
    }

    fn append_ids(&self, ids: &mut Vec<u32>) {
        for symbol in self.symbols.iter().filter(|symbol| symbol.start < symbol.end) {
            let piece = &self.text[symbol.start..symbol.end];
            match symbol.id.or_else(|| self.model.ids.get(piece).copied()) {
                Some(id) => ids.push(id),
                None => self.model.append_fallback(piece, ids),
            }
        }
    }
}
