//! Cuts at work.
//!
//! The published patterns end in `\s+(?!\S)|\s+`: a run of whitespace leaves its last character to
//! the word that follows. The lookahead would need a backtracking engine, which gives up on long
//! runs; the patterns here end in `\s+`, [`Matcher`] shortens such a match instead, and the time
//! stays linear in the text.

use super::Cut;
use regex::Regex;

/// How a pattern ends that leaves the last blank of a run to what follows.
pub(super) const LEAVES_LAST_BLANK: &str = r"\s+(?!\S)|\s+";

/// Cuts with their patterns compiled.
pub(in crate::tokenizer) struct Splitter {
    cuts: Vec<Cutter>,
}

enum Cutter {
    Matches(Matcher),
    /// Cuts into groups of characters.
    Groups {
        /// Whether a piece is cut at all.
        applies: fn(&str) -> bool,
        /// The length of the first group, by that of the piece.
        n_first: fn(usize) -> usize,
    },
}

impl Cutter {
    fn new(cut: &Cut) -> Cutter {
        match cut {
            Cut::Matches(pattern) => Cutter::Matches(Matcher::new(pattern)),
            Cut::DigitsByThree => Cutter::Groups {
                applies: |piece| piece.chars().all(char::is_numeric),
                n_first: |n_chars| (n_chars - 1) % 3 + 1,
            },
            Cut::BlanksByPowersOfTwo => Cutter::Groups {
                applies: |piece| {
                    piece.chars().all(char::is_whitespace) && !piece.ends_with(['\r', '\n'])
                },
                n_first: |n_chars| 1 << n_chars.min(512).ilog2(),
            },
        }
    }
}

impl Splitter {
    pub(super) fn new(cuts: &[Cut]) -> Splitter {
        Splitter { cuts: cuts.iter().map(Cutter::new).collect() }
    }

    /// Hands out the pre-tokens of a text, in order; together they are the text.
    pub(in crate::tokenizer) fn split<E>(
        &self,
        text: &str,
        each: &mut impl FnMut(&str) -> Result<(), E>,
    ) -> Result<(), E> {
        split_by(&self.cuts, text, each)
    }
}

fn split_by<E>(
    cuts: &[Cutter],
    mut rest: &str,
    each: &mut impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let Some((cut, later)) = cuts.split_first() else { return each(rest) };
    let mut n_chars = match cut {
        Cutter::Groups { applies, .. } if applies(rest) => rest.chars().count(),
        Cutter::Groups { .. } => return split_by(later, rest, each),
        Cutter::Matches(_) => 0,
    };
    while !rest.is_empty() {
        let end = match cut {
            Cutter::Matches(matcher) => matcher.end_of_first(rest),
            Cutter::Groups { n_first, .. } => {
                let n_first = n_first(n_chars);
                n_chars -= n_first;
                rest.char_indices().nth(n_first).map_or(rest.len(), |(at, _)| at)
            }
        };
        let (first, behind) = rest.split_at(end);
        split_by(later, first, each)?;
        rest = behind;
    }
    Ok(())
}

/// A pattern whose matches are pieces.
struct Matcher {
    pattern: Regex,
    /// A run of blanks leaves its last one to what follows.
    leaves_last_blank: bool,
    /// The pattern takes whitespace up to a line break as a piece of its own.
    ends_at_line_breaks: bool,
}

impl Matcher {
    fn new(published: &str) -> Matcher {
        let leaves_last_blank = published.ends_with(LEAVES_LAST_BLANK);
        let pattern = match published.strip_suffix(LEAVES_LAST_BLANK) {
            Some(before) => format!(r"{before}\s+"),
            None => published.to_owned(),
        };
        Matcher {
            pattern: Regex::new(&pattern).expect("the patterns of the table are valid"),
            leaves_last_blank,
            ends_at_line_breaks: published.contains(r"\s*[\r\n]"),
        }
    }

    /// Where the first piece ends.
    fn end_of_first(&self, rest: &str) -> usize {
        let Some(found) = self.pattern.find(rest) else { return rest.len() };
        if found.start() > 0 {
            return found.start();
        }
        let Some(last) = found.as_str().chars().next_back() else { return rest.len() };
        let is_line = self.ends_at_line_breaks && matches!(last, '\r' | '\n');
        let leaves_last = self.leaves_last_blank
            && last.is_whitespace()
            && !is_line
            && found.end() < rest.len()
            && found.len() > last.len_utf8();
        if leaves_last { found.end() - last.len_utf8() } else { found.end() }
    }
}
