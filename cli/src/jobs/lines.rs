//! Files of lines, read one at a time: neither a long file nor a long line costs memory.

use std::io::{self, BufRead, Read};
use std::ops::Range;

/// A line of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number, from 1.
    pub number: usize,
    /// Where in the file it lies, with the end of the line.
    pub range: Range<u64>,
    /// Its bytes, without the end of the line; none if they are more than are wanted.
    pub text: Option<Vec<u8>>,
    /// Whether it has an end: only the last line of a file may have none.
    pub is_ended: bool,
}

impl Line {
    /// Its bytes, as far as they are wanted.
    pub fn bytes(&self) -> &[u8] {
        self.text.as_deref().unwrap_or_default()
    }
}

/// The lines of a file, in order.
pub struct Lines<R> {
    reader: R,
    most_bytes: usize,
    n_lines: usize,
    n_bytes: u64,
}

impl<R: BufRead> Lines<R> {
    /// The lines that `reader` has. Of those longer than `most_bytes` only the extent is told.
    pub fn new(reader: R, most_bytes: usize) -> Lines<R> {
        Lines { reader, most_bytes, n_lines: 0, n_bytes: 0 }
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let start = self.n_bytes;
        let mut text = Vec::new();
        // One byte more than are wanted: the end of the line.
        let most_bytes = self.most_bytes as u64 + 1;
        self.n_bytes += (&mut self.reader).take(most_bytes).read_until(b'\n', &mut text)? as u64;
        if text.is_empty() {
            return Ok(None);
        }
        let is_long = text.len() > self.most_bytes && !text.ends_with(b"\n");
        if is_long {
            self.n_bytes += self.reader.skip_until(b'\n')? as u64;
        }
        self.n_lines += 1;
        let is_ended = is_long || text.ends_with(b"\n");
        if text.ends_with(b"\n") {
            text.pop();
        }
        Ok(Some(Line {
            number: self.n_lines,
            range: start..self.n_bytes,
            text: Some(text).filter(|_| !is_long),
            is_ended,
        }))
    }
}

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<io::Result<Line>> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::BufReader;

    proptest! {
        /// Whatever the bytes and the buffer, the lines are those of `split`.
        #[test]
        fn lines_are_the_file_cut_at_line_ends(
            bytes in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..60),
            most_bytes in 0usize..5,
            capacity in 1usize..8,
        ) {
            let reader = BufReader::with_capacity(capacity, &bytes[..]);
            let lines: Vec<Line> = Lines::new(reader, most_bytes).map(Result::unwrap).collect();
            let expected: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == b'\n').collect();
            prop_assert_eq!(lines.len(), expected.len());
            for (idx, (line, expected)) in lines.iter().zip(expected).enumerate() {
                let range = line.range.start as usize..line.range.end as usize;
                prop_assert_eq!(&bytes[range], expected);
                prop_assert_eq!(line.number, idx + 1);
                let text = expected.strip_suffix(b"\n").unwrap_or(expected);
                let wanted = (text.len() <= most_bytes).then_some(text);
                prop_assert_eq!(line.text.as_deref(), wanted);
                prop_assert!(line.is_ended || !expected.ends_with(b"\n"));
            }
        }
    }
}
