//! Why requests have no answer, in one line for all.

use crate::openai::Fault;
use gatefold::text::count;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::{self, Display};

/// Reasons that are told, those of the most requests.
const MOST_TOLD: usize = 5;

/// Reasons that are kept apart: a file of nothing but faults costs no more memory than that.
const MOST_KEPT: usize = 256;

/// Lines that are named for a reason, the first ones.
const MOST_LINES: usize = 5;

/// Characters of a message.
const MOST_CHARS: usize = 160;

/// Requests without an answer by what is wrong with them: `3 requests failed: 2 × body.messages is
/// missing (lines 4, 9), 1 × ...`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons {
    reasons: HashMap<Reason, Lines>,
    /// Requests of further reasons.
    n_others: usize,
}

/// What faults of one kind have in common: their code, and the field without the numbers in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Reason {
    code: String,
    param: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lines {
    n_lines: usize,
    /// The first of them.
    first: Vec<usize>,
    /// What is said of the first that came.
    message: String,
    /// Whether all messages are this one.
    is_same: bool,
}

impl Reasons {
    /// Takes note of what is wrong with the request on a line.
    pub(super) fn add(&mut self, line: usize, fault: &Fault) {
        self.insert(line, fault.code, fault.param.as_deref(), &fault.message);
    }

    /// The same, of a fault that was written down.
    pub(super) fn insert(&mut self, line: usize, code: &str, param: Option<&str>, message: &str) {
        let no_digits = |c: &char| !c.is_ascii_digit();
        let param = param.unwrap_or_default().chars().filter(no_digits).collect();
        let place = format!("line {line}: ");
        let message = message.strip_prefix(&place).unwrap_or(message);
        let message = match message.char_indices().nth(MOST_CHARS) {
            Some((end, _)) => format!("{}...", &message[..end]),
            None => message.into(),
        };
        let lines = Lines { n_lines: 1, first: vec![line], message, is_same: true };
        self.merge(Reason { code: code.into(), param }, lines);
    }

    /// Takes note of those of another run too.
    pub fn absorb(&mut self, others: &Reasons) {
        for (reason, lines) in &others.reasons {
            self.merge(reason.clone(), lines.clone());
        }
        self.n_others += others.n_others;
    }

    fn merge(&mut self, reason: Reason, new: Lines) {
        let n_kept = self.reasons.len();
        match self.reasons.entry(reason) {
            Entry::Occupied(mut lines) => {
                let lines = lines.get_mut();
                lines.is_same &= new.is_same && lines.message == new.message;
                lines.n_lines += new.n_lines;
                lines.first.extend(new.first);
                lines.first.sort_unstable();
                lines.first.truncate(MOST_LINES);
            }
            Entry::Vacant(place) if n_kept < MOST_KEPT => {
                place.insert(new);
            }
            Entry::Vacant(_) => self.n_others += new.n_lines,
        }
    }

    /// How many requests have no answer.
    pub fn n_requests(&self) -> usize {
        self.reasons.values().map(|lines| lines.n_lines).sum::<usize>() + self.n_others
    }
}

impl Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_requests = self.n_requests();
        write!(f, "{} failed", count(n_requests, "request"))?;
        let mut reasons: Vec<(&Reason, &Lines)> = self.reasons.iter().collect();
        reasons.sort_by_key(|&(reason, lines)| (Reverse(lines.n_lines), &lines.first, reason));
        let (told, others) = reasons.split_at(reasons.len().min(MOST_TOLD));
        for (idx, (_, lines)) in told.iter().enumerate() {
            write!(f, "{} {lines}", if idx == 0 { ":" } else { "," })?;
        }
        match others.iter().map(|(_, lines)| lines.n_lines).sum::<usize>() + self.n_others {
            0 => Ok(()),
            n_others => write!(f, ", {n_others} for other reasons"),
        }
    }
}

impl Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines { n_lines, ref first, ref message, is_same } = *self;
        write!(f, "{n_lines} × {message}{}", if is_same { "" } else { ", and the like" })?;
        let numbers: Vec<String> = first.iter().map(usize::to_string).collect();
        write!(f, " (line{} {}", if n_lines == 1 { "" } else { "s" }, numbers.join(", "))?;
        match n_lines - first.len() {
            0 => write!(f, ")"),
            n_more => write!(f, " and {n_more} more)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(param: &str) -> Fault {
        Fault::at("missing_required_parameter", param, format!("{param} is missing"))
    }

    #[test]
    fn requests_are_grouped_by_reason() {
        let mut reasons = Reasons::default();
        let fault = missing("body.messages");
        reasons.add(9, &Fault { message: format!("line 9: {}", fault.message), ..fault.clone() });
        reasons.add(4, &fault);
        assert_eq!(
            reasons.to_string(),
            "2 requests failed: 2 × body.messages is missing (lines 4, 9)"
        );
        reasons.add(5, &Fault::new("invalid_json", "the line is not JSON: EOF"));
        reasons.insert(6, "invalid_json", None, "the line is not JSON: no");
        reasons.insert(7, "invalid_json", None, "the line is not JSON: EOF");
        for line in 10..20 {
            reasons.add(line, &missing(&format!("body.messages[{line}].role")));
        }
        assert_eq!(
            reasons.to_string(),
            "15 requests failed: 10 × body.messages[10].role is missing, and the like (lines 10, 11, 12, 13, 14 and 5 more), 3 × the line is not JSON: EOF, and the like (lines 5, 6, 7), 2 × body.messages is missing (lines 4, 9)"
        );
    }

    #[test]
    fn many_reasons_and_long_ones_are_cut() {
        let mut reasons = Reasons::default();
        for line in 1..=1000 {
            let name = format!("{}{}", "a".repeat(300), "b".repeat(line));
            reasons.add(line, &missing(&name));
        }
        let said = reasons.to_string();
        assert!(said.starts_with("1000 requests failed: 1 × aaa"), "{said}");
        assert!(said.ends_with("... (line 5), 995 for other reasons"), "{said}");
        assert!(said.len() < 1200 && reasons.reasons.len() == MOST_KEPT);
    }
}
