//! Long texts to parts.
//!
//! A text becomes pieces first: sentences, and stretches of a few words where those are long. Each
//! piece is counted by the tokenizer once, so the time grows with the text and no faster. Then
//! pieces become parts of about the same size, which end where a paragraph does if one ends near,
//! else where a sentence does, else behind a word.

/// Most bytes of a piece. Tokenizers take short texts in no time, whatever is in them.
const PIECE_BYTES: usize = 400;

/// What ends at the end of a piece, from the worst place to cut to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Boundary {
    Character,
    Word,
    Sentence,
    Paragraph,
}

/// A stretch of text that is not cut any more.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Its end in the text, in bytes.
    end: usize,
    n_tokens: usize,
    boundary: Boundary,
}

/// A text in pieces.
pub(super) struct Pieces<'t> {
    text: &'t str,
    pieces: Vec<Piece>,
    n_tokens: usize,
}

impl<'t> Pieces<'t> {
    /// Cuts a text into pieces of at most `most_tokens`, of which `count` tells how many a text has.
    /// A single character may have more.
    ///
    /// # Errors
    /// Those of `count`.
    pub fn new<E>(
        text: &'t str,
        most_tokens: usize,
        mut count: impl FnMut(&str) -> Result<usize, E>,
    ) -> Result<Pieces<'t>, E> {
        let mut pieces = Vec::new();
        let mut start = 0;
        for (end, boundary) in Stretches::new(text) {
            // What is left to be counted, the first at the end of the list.
            let mut ends = vec![(end, boundary)];
            while let Some((end, boundary)) = ends.pop() {
                let n_tokens = count(&text[start..end])?;
                match halves(&text[start..end]).filter(|_| n_tokens > most_tokens) {
                    Some((n_bytes, middle)) => {
                        ends.push((end, boundary));
                        ends.push((start + n_bytes, middle));
                    }
                    None => {
                        pieces.push(Piece { end, n_tokens, boundary });
                        start = end;
                    }
                }
            }
        }
        let n_tokens = pieces.iter().map(|piece| piece.n_tokens).sum();
        Ok(Pieces { text, pieces, n_tokens })
    }

    /// Tokens of all pieces, each counted as a text of its own.
    pub fn n_tokens(&self) -> usize {
        self.n_tokens
    }

    /// How many there are.
    pub fn n_pieces(&self) -> usize {
        self.pieces.len()
    }

    /// The text in as few parts of at most `most_tokens` as will do, of about the same size. One
    /// behind the other they are the text. A single piece may have more.
    pub fn parts(&self, most_tokens: usize) -> Vec<&'t str> {
        let most_tokens = most_tokens.max(1);
        let (mut parts, mut rest, mut start, mut left) =
            (Vec::new(), &self.pieces[..], 0, self.n_tokens);
        while left > most_tokens && rest.len() > 1 {
            let aim = left.div_ceil(left.div_ceil(most_tokens));
            let (n_pieces, n_tokens) = cut(rest, aim, most_tokens);
            let end = rest[n_pieces - 1].end;
            parts.push(&self.text[start..end]);
            (start, rest, left) = (end, &rest[n_pieces..], left - n_tokens);
        }
        if start < self.text.len() {
            parts.push(&self.text[start..]);
        }
        parts
    }
}

/// How many pieces make up the next part, and their tokens: at most `most_tokens`, near `aim`.
fn cut(pieces: &[Piece], aim: usize, most_tokens: usize) -> (usize, usize) {
    let mut n_tokens = 0;
    let candidates = pieces.iter().enumerate().map(|(idx, piece)| {
        n_tokens += piece.n_tokens;
        (idx + 1, n_tokens, piece.boundary)
    });
    let rank = |&(_, n_tokens, boundary): &(usize, usize, Boundary)| {
        let is_near = n_tokens >= aim - aim / 4;
        let boundary = Some(boundary).filter(|_| is_near);
        (boundary, std::cmp::Reverse(n_tokens.abs_diff(aim)))
    };
    let fitting = candidates.take_while(|&(n_pieces, n_tokens, _)| {
        // Something must be taken, or there is no end.
        n_pieces == 1 || n_tokens <= most_tokens
    });
    let best = fitting.max_by_key(rank);
    best.map_or((1, pieces[0].n_tokens), |(n_pieces, n_tokens, _)| (n_pieces, n_tokens))
}

/// Where to cut a stretch in two, behind a word near the middle if there is one: bytes of the first
/// half. None for a single character.
pub(super) fn halves(text: &str) -> Option<(usize, Boundary)> {
    let middle = middle(text);
    let words = text[..middle].rfind(char::is_whitespace).map(|at| {
        let space = text[at..].chars().next().map_or(0, char::len_utf8);
        (at + space, Boundary::Word)
    });
    let first = text.chars().next()?.len_utf8();
    let characters = (middle.max(first), Boundary::Character);
    Some(words.unwrap_or(characters)).filter(|&(n_bytes, _)| n_bytes < text.len())
}

/// The last place between two characters in the first half of a text.
fn middle(text: &str) -> usize {
    (0..=text.len() / 2).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// Sentences of a text, the long ones cut: the end of each and what ends there.
struct Stretches<'t> {
    text: &'t str,
    start: usize,
}

impl<'t> Stretches<'t> {
    fn new(text: &'t str) -> Stretches<'t> {
        Stretches { text, start: 0 }
    }
}

impl Iterator for Stretches<'_> {
    type Item = (usize, Boundary);

    fn next(&mut self) -> Option<(usize, Boundary)> {
        let rest = &self.text[self.start..];
        if rest.is_empty() {
            return None;
        }
        let mut last_word = None;
        let mut ender = Ender::default();
        let mut found = None;
        let mut characters = rest.char_indices().peekable();
        while let Some((at, c)) = characters.next() {
            let end = at + c.len_utf8();
            if end > PIECE_BYTES && at > 0 {
                found = Some(last_word.unwrap_or((at, Boundary::Character)));
                break;
            }
            let next = characters.peek().map(|&(_, next)| next);
            match ender.boundary_after(c, next) {
                Some(Boundary::Word) => last_word = Some((end, Boundary::Word)),
                Some(boundary) => {
                    found = Some((end, boundary));
                    break;
                }
                None => {}
            }
        }
        let (n_bytes, boundary) = found.unwrap_or((rest.len(), Boundary::Paragraph));
        self.start += n_bytes;
        Some((self.start, boundary))
    }
}

/// Finds out what ends where, character by character.
#[derive(Default)]
struct Ender {
    /// The last characters but spaces end a sentence.
    is_sentence_end: bool,
    /// Line ends among the spaces behind them.
    n_line_ends: usize,
}

impl Ender {
    /// What ends behind `c`, if something does, where `next` follows.
    fn boundary_after(&mut self, c: char, next: Option<char>) -> Option<Boundary> {
        match c {
            '\n' => self.n_line_ends += 1,
            _ if c.is_whitespace() => {}
            // These need no space behind them.
            '。' | '！' | '？' => return Some(Boundary::Sentence),
            '.' | '!' | '?' | '…' | '।' | '؟' => self.is_sentence_end = true,
            '"' | '\'' | '”' | '’' | '»' | ')' | ']' | '*' | '_' => {}
            _ => self.is_sentence_end = false,
        }
        if !c.is_whitespace() {
            self.n_line_ends = 0;
            return None;
        }
        // Spaces belong to what is before them.
        if next.is_some_and(char::is_whitespace) {
            return None;
        }
        Some(match self.n_line_ends {
            0 if self.is_sentence_end && !next.is_some_and(char::is_lowercase) => {
                Boundary::Sentence
            }
            0 => Boundary::Word,
            1 => Boundary::Sentence,
            _ => Boundary::Paragraph,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::convert::Infallible;

    /// A token per word and one per space: something like a tokenizer.
    fn count(text: &str) -> Result<usize, Infallible> {
        let words = text.split(' ').map(|word| word.chars().count().div_ceil(4)).sum::<usize>();
        Ok(words + text.matches(' ').count())
    }

    fn pieces(text: &str, most_tokens: usize) -> Pieces<'_> {
        Pieces::new(text, most_tokens, count).unwrap()
    }

    fn parts(text: &str, most_tokens: usize) -> Vec<&str> {
        pieces(text, most_tokens).parts(most_tokens)
    }

    #[test]
    fn sentences_end_where_they_seem_to() {
        let text = "One (\"two.\") Three, e.g. four! Five\nsix.\n\n \nSeven。Eight";
        let stretches: Vec<_> = Stretches::new(text).collect();
        let mut start = 0;
        let texts: Vec<_> = stretches
            .into_iter()
            .map(|(end, boundary)| (&text[std::mem::replace(&mut start, end)..end], boundary))
            .collect();
        use Boundary::{Paragraph, Sentence};
        let expected = [
            ("One (\"two.\") ", Sentence),
            ("Three, e.g. four! ", Sentence),
            ("Five\n", Sentence),
            ("six.\n\n \n", Paragraph),
            ("Seven。", Sentence),
            ("Eight", Paragraph),
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn parts_end_with_paragraphs_then_sentences_then_words() {
        let sentence = "Aaaa bbbb cccc dddd. ";
        let paragraph = sentence.repeat(4) + "\n\n";
        let text = paragraph.repeat(6);
        for part in parts(&text, 100) {
            assert!(part.ends_with(".\x20\n\n"), "{part:?}");
        }
        for part in parts(&sentence.repeat(24), 100) {
            assert!(part.ends_with(". "), "{part:?}");
        }
        for part in parts(&"aaaa ".repeat(1000), 100) {
            assert!(part.ends_with(' '), "{part:?}");
        }
        assert_eq!(parts(&"a".repeat(1000), 50).len(), 5);
    }

    #[test]
    fn parts_are_of_about_the_same_size() {
        let text = "Aaaa bbbb cccc dddd. ".repeat(100);
        let all = pieces(&text, 100);
        let parts = all.parts(100);
        // A hundred sentences of nine tokens, of which eleven fit.
        assert_eq!((all.n_tokens(), parts.len()), (900, 10));
        let lens: Vec<usize> = parts.iter().map(|part| part.len()).collect();
        let (least, most) = (lens.iter().min().unwrap(), lens.iter().max().unwrap());
        assert!(least * 3 > most * 2, "{lens:?}");
    }

    #[test]
    fn short_texts_stay_whole() {
        assert_eq!(parts("One. Two.\n\nThree.", 100), ["One. Two.\n\nThree."]);
        assert!(parts("", 100).is_empty());
    }

    #[test]
    fn the_time_does_not_grow_faster_than_the_text() {
        let (mut n_calls, mut n_bytes) = (0, 0);
        for text in ["word. ".repeat(200_000), "a".repeat(1_000_000), "\n".repeat(1_000_000)] {
            let all = Pieces::new(&text, 100, |piece| {
                (n_calls, n_bytes) = (n_calls + 1, n_bytes + piece.len());
                count(piece)
            });
            all.unwrap().parts(100);
        }
        assert!(n_bytes < 6_000_000 && n_calls < 300_000, "{n_bytes} bytes, {n_calls} calls");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_budget_is_kept(
            text in "([a-zäß]{0,12}[ .!\n\"。🙂]{0,3}){0,200}",
            most_tokens in 4usize..60,
        ) {
            let all = pieces(&text, most_tokens);
            let parts = all.parts(most_tokens);
            prop_assert_eq!(parts.concat(), text.as_str());
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            let mut at = 0;
            for part in &parts {
                let end = at + part.len();
                let within = all.pieces.iter().filter(|piece| (at + 1..=end).contains(&piece.end));
                prop_assert!(within.map(|piece| piece.n_tokens).sum::<usize>() <= most_tokens);
                at = end;
            }
            prop_assert!(parts.len() <= 1 + all.n_tokens() * 3 / most_tokens);
        }

        #[test]
        fn any_text_can_be_split(text in any::<String>(), most_tokens in 1usize..20) {
            prop_assert_eq!(parts(&text, most_tokens).concat(), text);
        }
    }
}
