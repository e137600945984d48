//! Grammars in llama.cpp's notation, GBNF, in Lark's.
//!
//! The notation: <https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md>. Its terminals
//! are single characters, and an answer is any text that its rules can be read as. Lark's lexers take
//! the longest text that a terminal matches, even where a shorter one alone leads on. So each
//! character becomes a terminal of its own, and all else stays with the rules.

use super::GrammarError;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// Times that something is repeated, at most.
const MOST_REPEATED: u32 = 10_000;

/// Whether a grammar is in this notation: its rules have another sign than Lark's.
pub(super) fn is_gbnf(text: &str) -> bool {
    text.lines().any(|line| {
        let mut parts = line.splitn(2, "::=");
        let name = parts.next().unwrap_or_default().trim();
        parts.next().is_some() && !name.is_empty() && name.chars().all(is_of_name)
    })
}

/// The grammar in Lark's notation.
///
/// # Errors
/// If it is wrong, and where.
pub(super) fn to_lark(text: &str) -> Result<String, GrammarError> {
    let mut reader = Reader { chars: text.chars().peekable(), line: 1, names: BTreeMap::new() };
    reader.grammar()
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

struct Reader<'t> {
    chars: Peekable<Chars<'t>>,
    line: usize,
    /// The rules that are spoken of, with the line of the first time, and what Lark calls them.
    names: BTreeMap<String, (usize, String)>,
}

impl Reader<'_> {
    fn grammar(&mut self) -> Result<String, GrammarError> {
        let mut lark = String::from("start: ");
        lark.push_str(&self.name("root"));
        lark.push('\n');
        let mut defined = BTreeSet::new();
        self.skip(true);
        while self.chars.peek().is_some() {
            let name = self.word();
            if name.is_empty() {
                return Err(self.wrong("does not begin with the name of a rule"));
            }
            self.skip(false);
            for expected in "::=".chars() {
                if self.next() != Some(expected) {
                    return Err(self.wrong(format!("has no `::=` behind `{name}`")));
                }
            }
            self.skip(true);
            let alternatives = self.alternatives(false)?;
            let _ = writeln!(lark, "{}: {alternatives}", self.name(&name));
            if !defined.insert(name.clone()) {
                return Err(self.wrong(format!("defines `{name}` once more")));
            }
            self.skip(true);
        }
        let missing = self.names.iter().find(|(name, _)| !defined.contains(*name));
        match missing {
            None => Ok(lark),
            Some((name, &(line, _))) => {
                let problem = format!("speaks of the rule `{name}`, which there is none of");
                Err(GrammarError::Line { line, problem })
            }
        }
    }

    /// What Lark calls a rule: its own names have other characters.
    fn name(&mut self, name: &str) -> String {
        let (n_names, line) = (self.names.len(), self.line);
        let new = || {
            let of_lark = |c: char| if c == '-' { '_' } else { c.to_ascii_lowercase() };
            (line, format!("r{n_names}_{}", name.chars().map(of_lark).collect::<String>()))
        };
        self.names.entry(name.to_owned()).or_insert_with(new).1.clone()
    }

    /// Alternatives up to the end of the rule, or of the parentheses.
    fn alternatives(&mut self, is_nested: bool) -> Result<String, GrammarError> {
        let mut alternatives = vec![self.sequence(is_nested)?];
        while self.chars.next_if_eq(&'|').is_some() {
            self.skip(true);
            alternatives.push(self.sequence(is_nested)?);
        }
        Ok(alternatives.join(" | "))
    }

    fn sequence(&mut self, is_nested: bool) -> Result<String, GrammarError> {
        let mut items = Vec::new();
        while let Some(&c) = self.chars.peek() {
            let item = match c {
                '"' => self.literal()?,
                '[' => self.class()?,
                '.' => {
                    self.next();
                    "/(?s:.)/".into()
                }
                '(' => {
                    self.next();
                    self.skip(true);
                    let inner = self.alternatives(true)?;
                    if self.next() != Some(')') {
                        return Err(self.wrong("has a parenthesis without its end"));
                    }
                    format!("({inner})")
                }
                '<' | '!' => {
                    return Err(
                        self.wrong("asks for tokens by name or number, which are not for answers")
                    );
                }
                c if is_of_name(c) => {
                    let name = self.word();
                    self.name(&name)
                }
                '|' | ')' | '\n' | '\r' => break,
                c => return Err(self.wrong(format!("has {c:?}, which begins nothing"))),
            };
            self.skip(is_nested);
            let times = self.times()?;
            self.skip(is_nested);
            // Lark has no number of times that is none.
            items.push(times.map_or("\"\"".into(), |times| item + &times));
        }
        Ok(if items.is_empty() { "\"\"".into() } else { items.join(" ") })
    }

    /// How often the item before it comes; none if it never does.
    fn times(&mut self) -> Result<Option<String>, GrammarError> {
        if let Some(c) = self.chars.next_if(|c| "*+?".contains(*c)) {
            return Ok(Some(c.to_string()));
        }
        if self.chars.next_if_eq(&'{').is_none() {
            return Ok(Some(String::new()));
        }
        let mut inner = String::new();
        loop {
            match self.next() {
                Some('}') => break,
                Some(' ') => {}
                Some(c) if c.is_ascii_digit() || c == ',' => inner.push(c),
                _ => return Err(self.wrong("has a wrong number of times")),
            }
        }
        let (least, most) = inner.split_once(',').unwrap_or((&inner, &inner));
        let count = |text: &str| text.parse::<u32>().ok().filter(|&count| count <= MOST_REPEATED);
        let bounds =
            (count(least), if most.is_empty() { Some(None) } else { count(most).map(Some) });
        match bounds {
            (Some(0), Some(Some(0))) => Ok(None),
            (Some(least), Some(None)) => Ok(Some(format!("{{{least},}}"))),
            (Some(least), Some(Some(most))) if least <= most => {
                Ok(Some(format!("{{{least},{most}}}")))
            }
            _ => Err(self.wrong(format!(
                "repeats something {{{inner}}} times; expected a number, or two of them, up to {MOST_REPEATED}"
            ))),
        }
    }

    /// A text in quotes: its characters, one behind the other.
    fn literal(&mut self) -> Result<String, GrammarError> {
        self.next();
        let mut chars = Vec::new();
        loop {
            match self.chars.peek() {
                Some('"') => break,
                Some('\n') | None => return Err(self.wrong("has a text without its closing quote")),
                Some(_) => {
                    let code = self.character()?;
                    chars.push(format!("/{}/", escaped(code)));
                }
            }
        }
        self.next();
        Ok(match chars.len() {
            0 => "\"\"".into(),
            _ => format!("({})", chars.join(" ")),
        })
    }

    /// Characters between brackets.
    fn class(&mut self) -> Result<String, GrammarError> {
        self.next();
        let mut class = String::from("/[");
        if self.chars.next_if_eq(&'^').is_some() {
            class.push('^');
        }
        let mut is_empty = true;
        loop {
            match self.chars.peek() {
                Some(']') => break,
                Some('\n') | None => return Err(self.wrong("has a `[` without its `]`")),
                Some(_) => {}
            }
            is_empty = false;
            let first = self.character()?;
            class.push_str(&escaped(first));
            let mut ahead = self.chars.clone();
            let is_range = ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']');
            if is_range {
                self.next();
                let last = self.character()?;
                if last < first {
                    return Err(self.wrong("has a range that ends before it begins"));
                }
                class.push('-');
                class.push_str(&escaped(last));
            }
        }
        self.next();
        if is_empty {
            return Err(self.wrong("has an empty `[]`"));
        }
        class.push_str("]/");
        Ok(class)
    }

    /// A character, or an escape that stands for one.
    fn character(&mut self) -> Result<char, GrammarError> {
        let c = self.next().ok_or_else(|| self.wrong("ends too early"))?;
        if c != '\\' {
            return Ok(c);
        }
        let n_digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('\\' | '"' | '[' | ']' | '-' | '^' | '/')) => return Ok(c),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(self.wrong("has an escape that there is none of")),
        };
        let digits: String = (0..n_digits).map_while(|_| self.next()).collect();
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == n_digits);
        let found = code.and_then(char::from_u32);
        found.ok_or_else(|| {
            self.wrong(format!("has `{digits}`, which is the number of no character"))
        })
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.chars.next_if(|&c| is_of_name(c)) {
            word.push(c);
        }
        word
    }

    /// Passes over blanks and comments, and over ends of lines where the rule goes on behind them.
    fn skip(&mut self, over_lines: bool) {
        while let Some(&c) = self.chars.peek() {
            match c {
                '#' => while self.chars.next_if(|&c| c != '\n' && c != '\r').is_some() {},
                ' ' | '\t' => {
                    self.next();
                }
                '\n' | '\r' if over_lines => {
                    self.next();
                }
                _ => break,
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let c = self.chars.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn wrong(&self, problem: impl Into<String>) -> GrammarError {
        GrammarError::Line { line: self.line, problem: problem.into() }
    }
}

/// A character in a regular expression.
fn escaped(c: char) -> String {
    match c {
        c if c.is_ascii_alphanumeric() => c.to_string(),
        c => format!("\\x{{{:X}}}", u32::from(c)),
    }
}
