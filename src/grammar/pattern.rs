//! Patterns of JSON Schema, which are JavaScript's regular expressions, in the syntax of the package
//! regex: what both spell alike and mean otherwise is spelled out, and what only one of them has is an
//! error.

use std::iter::Peekable;
use std::str::Chars;

/// What `.` stands for.
const ANY_OF_A_LINE: &str = r"[^\n\r\x{2028}\x{2029}]";

/// What `\s` stands for, to be put between brackets.
const BLANKS: &str = r"\t\n\x0B\f\r \x{A0}\x{FEFF}\p{Zs}\x{2028}\x{2029}";

/// What negated classes leave out in any case: a character that no string can have here, since escapes
/// by number are not allowed in it. With it, llguidance takes care of quotes and backslashes in them.
const NEVER: &str = r"\x00";

/// What neither side of a pattern can say here.
const NOT_ENFORCED: &str = "is not enforced here; leave it out";

/// Patterns of programs that write schemas, and what says the same without lookarounds: pydantic's for
/// decimal numbers, and zod's for addresses of mail.
const KNOWN: [(&str, &str); 2] = [
    (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", r"^[+-]?(?:\d+\.?\d*|\.\d+)$"),
    (
        r"^(?!\.)(?!.*\.\.)([A-Za-z0-9_'+\-\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$",
        r"^(?:[A-Za-z0-9_'+-]+\.)*[A-Za-z0-9_'+-]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}$",
    ),
];

/// Whether a character cannot be in a string of an answer: JSON has no escape for it but its number,
/// by which any character could be spelled.
pub(super) fn is_unspeakable(c: char) -> bool {
    c.is_ascii_control() && !matches!(c, '\t' | '\n' | '\r' | '\x08' | '\x0c')
}

/// The pattern in the syntax of the package regex, or what is wrong with it.
pub(super) fn from_ecma(pattern: &str) -> Result<String, String> {
    let known = KNOWN.iter().find(|(known, _)| *known == pattern);
    let pattern = known.map_or(pattern, |(_, same)| same);
    let mut reader = Reader { chars: pattern.chars().peekable(), out: String::new() };
    reader.pattern()?;
    Ok(reader.out)
}

struct Reader<'p> {
    chars: Peekable<Chars<'p>>,
    out: String,
}

impl Reader<'_> {
    fn pattern(&mut self) -> Result<(), String> {
        while let Some(c) = self.chars.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group()?,
                '.' => self.out.push_str(ANY_OF_A_LINE),
                '{' if !self.is_count() => self.out.push_str(r"\{"),
                '{' => self.count(),
                ']' | '}' => self.out.extend(['\\', c]),
                c => self.literal(c)?,
            }
        }
        Ok(())
    }

    /// A character that stands for itself outside of a class.
    fn literal(&mut self, c: char) -> Result<(), String> {
        if is_unspeakable(c) {
            return Err(format!("has a control character, which {NOT_ENFORCED}"));
        }
        self.out.push(c);
        Ok(())
    }

    /// Behind the parenthesis that opens a group.
    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.chars.next_if_eq(&'?').is_none() {
            return Ok(());
        }
        match self.chars.next() {
            Some(':') => {}
            Some('<') if !matches!(self.chars.peek(), Some('=' | '!')) => {
                // A name says nothing of what matches.
                self.chars.by_ref().find(|&c| c == '>');
            }
            _ => return Err(format!("has a lookaround or a flag, which {NOT_ENFORCED}")),
        }
        self.out.push_str("?:");
        Ok(())
    }

    /// Whether a brace begins a count: `{2}`, `{2,}`, `{2,3}`.
    fn is_count(&self) -> bool {
        let rest: String = self.chars.clone().take_while(|&c| c != '}').take(22).collect();
        let mut bounds = rest.splitn(2, ',');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        bounds.next().is_some_and(is_number)
            && bounds.next().is_none_or(|most| most.is_empty() || is_number(most))
            && self.chars.clone().any(|c| c == '}')
    }

    fn count(&mut self) {
        self.out.push('{');
        for c in self.chars.by_ref() {
            self.out.push(c);
            if c == '}' {
                break;
            }
        }
    }

    /// Behind the bracket that opens a class.
    fn class(&mut self) -> Result<(), String> {
        let is_negated = self.chars.next_if_eq(&'^').is_some();
        if self.chars.next_if_eq(&']').is_some() {
            // Every character, or none.
            self.out.push_str(if is_negated { "(?s:.)" } else { r"[^\x00-\x{10FFFF}]" });
            return Ok(());
        }
        self.out.push_str(if is_negated { "[^" } else { "[" });
        self.out.push_str(if is_negated { NEVER } else { "" });
        let mut is_after_set = false;
        loop {
            let c = self.chars.next().ok_or("has a class without an end")?;
            let is_set = c == '\\'
                && matches!(self.chars.peek(), Some('d' | 'D' | 'w' | 'W' | 's' | 'S' | 'p' | 'P'));
            match c {
                ']' => break,
                '\\' => self.escape(true)?,
                // No range, as a set is no end of one.
                '-' if is_after_set => self.out.push_str(r"\-"),
                // Sets within sets, which JavaScript does not have.
                '[' | '&' | '~' | '^' => self.out.extend(['\\', c]),
                '-' if self.chars.peek() == Some(&'-') => self.out.push_str(r"\-"),
                c => self.out.push(c),
            }
            is_after_set = is_set;
        }
        self.out.push(']');
        Ok(())
    }

    /// Behind a backslash.
    fn escape(&mut self, in_class: bool) -> Result<(), String> {
        let c = self.chars.next().ok_or("ends with a backslash")?;
        match c {
            'd' => self.out.push_str("[0-9]"),
            'D' => self.out.push_str(&format!("[^{NEVER}0-9]")),
            'w' => self.out.push_str("[0-9A-Za-z_]"),
            'W' => self.out.push_str(&format!("[^{NEVER}0-9A-Za-z_]")),
            's' => self.out.push_str(&format!("[{BLANKS}]")),
            'S' => self.out.push_str(&format!("[^{NEVER}{BLANKS}]")),
            'p' | 'P' => self.property(c),
            't' | 'n' | 'r' | 'f' => self.out.extend(['\\', c]),
            'v' => self.push_code(0x0b, in_class)?,
            'b' if in_class => self.out.push_str(r"\x08"),
            '0' if !self.chars.peek().is_some_and(char::is_ascii_digit) => {
                self.push_code(0, in_class)?;
            }
            'x' => {
                let code = self.hex(2)?;
                self.push_code(code, in_class)?;
            }
            'u' => {
                let code = self.unicode()?;
                self.push_code(code, in_class)?;
            }
            'c' => {
                let letter = self.chars.next().filter(char::is_ascii_alphabetic);
                let letter = letter.ok_or("has `\\c` without a letter")?;
                self.push_code(u32::from(letter) % 32, in_class)?;
            }
            c if c.is_ascii_alphanumeric() => {
                return Err(format!("has `\\{c}`, which {NOT_ENFORCED}"));
            }
            c if c.is_ascii_punctuation() => self.out.extend(['\\', c]),
            c => self.out.push(c),
        }
        Ok(())
    }

    /// Behind `\p`: a class by its name in braces.
    fn property(&mut self, c: char) {
        self.out.extend(['\\', c]);
        if self.chars.next_if_eq(&'{').is_some() {
            self.count();
        }
    }

    /// Behind `\u`: four digits, eight of a pair, or some in braces.
    fn unicode(&mut self) -> Result<u32, String> {
        if self.chars.next_if_eq(&'{').is_some() {
            let digits: String = self.chars.by_ref().take_while(|&c| c != '}').take(7).collect();
            return u32::from_str_radix(&digits, 16).map_err(|_| "has a wrong `\\u{}`".into());
        }
        let high = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&high) {
            return Ok(high);
        }
        let has_low = self.chars.next_if_eq(&'\\').is_some() && self.chars.next() == Some('u');
        let low = if has_low { self.hex(4)? } else { 0 };
        if !(0xdc00..0xe000).contains(&low) {
            return Err(format!("has half of a character, which {NOT_ENFORCED}"));
        }
        Ok(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    }

    fn hex(&mut self, n_digits: usize) -> Result<u32, String> {
        let digits: String = self.chars.by_ref().take(n_digits).collect();
        let is_whole = digits.len() == n_digits && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let code = u32::from_str_radix(&digits, 16).ok().filter(|_| is_whole);
        code.ok_or_else(|| "has an escape with too few digits".into())
    }

    fn push_code(&mut self, code: u32, in_class: bool) -> Result<(), String> {
        let c = char::from_u32(code).ok_or("has an escape that is no character")?;
        if !in_class && is_unspeakable(c) {
            return Err(format!("has a control character, which {NOT_ENFORCED}"));
        }
        // The first of a class of characters; see `NEVER`.
        let code = code.max(1);
        self.out.push_str(&format!("\\x{{{code:X}}}"));
        Ok(())
    }
}
