//! Grammars in Lark's notation: what of it changes how an answer is made, and not what it is, is
//! refused, as are tokens that are no text.

use super::GrammarError;
use std::iter::Peekable;
use std::str::CharIndices;

/// Signs outside of quoted texts that begin what is not enforced, and what that is.
const REFUSED: [(&str, &str); 6] = [
    ("<", "asks for a token by name or number, which is not for answers"),
    ("@", "speaks of another grammar, and there is only one"),
    ("%json", "has a JSON Schema in it, which is not looked at here; ask for a JSON Schema alone"),
    ("%llguidance", "has `%llguidance`, whose options are not for answers; leave it out"),
    ("%override", "has `%override`, which is not enforced; leave it out"),
    ("%declare", "has `%declare`, which is not enforced; leave it out"),
];

/// Signs that put terminals together, `&`, or turn them round, `~`.
const MOST_COMBINED: usize = 4;

/// Branches of all regular expressions of a grammar that has such signs: what they come to may be as large
/// as a power of two with this exponent.
const MOST_BRANCHES: u64 = 24;

/// That a grammar asks for nothing that is not enforced.
///
/// # Errors
/// If it does, and where.
pub(super) fn check(text: &str) -> Result<(), GrammarError> {
    let mut chars = text.char_indices().peekable();
    let mut bracket = 0;
    let (mut n_combined, mut n_branches) = (0, 0);
    while let Some((at, c)) = chars.next() {
        let wrong = |problem: String| {
            let line = 1 + text[..at].matches('\n').count();
            Err(GrammarError::Line { line, problem })
        };
        let rest = &text[at..];
        if let Some((_, problem)) = REFUSED.iter().find(|(sign, _)| rest.starts_with(sign)) {
            return wrong((*problem).to_owned());
        }
        match c {
            '"' => skip_quoted(&mut chars, '"'),
            '#' => skip_line(&mut chars),
            '/' if rest.starts_with("//") => skip_line(&mut chars),
            '/' => {
                skip_quoted(&mut chars, '/');
                let end = chars.peek().map_or(text.len(), |&(end, _)| end);
                n_branches += branches(&text[at..end]);
            }
            '&' | '~' => n_combined += 1,
            '[' => bracket = at + 1,
            // Only attributes stand before a colon: other brackets are within a rule.
            ']' if rest[1..].trim_start_matches([' ', '\t']).starts_with(':') => {
                let attributes = text[bracket..at].trim();
                if attributes != "lazy" {
                    return wrong(format!(
                        "gives a rule attributes, `{attributes}`, of which only \"lazy\" is enforced"
                    ));
                }
            }
            _ => {}
        }
    }
    if n_combined > MOST_COMBINED || n_combined > 0 && n_branches > MOST_BRANCHES {
        let problem = format!(
            "has `&` or `~` more than {MOST_COMBINED} times, or beside regular expressions with more than {MOST_BRANCHES} alternatives, classes and repetitions in all; use fewer, or quoted texts"
        );
        return Err(GrammarError::TooLarge { kind: "grammar", problem });
    }
    Ok(())
}

/// In how many ways a regular expression may go on, as its signs tell; counts say how often.
fn branches(regex: &str) -> u64 {
    let signs = regex.chars().filter(|&c| ".|*+?]\\".contains(c)).count() as u64;
    let counts = regex.split('{').skip(1).map(|behind| {
        let count = behind.split('}').next().unwrap_or_default();
        let most = count.rsplit(',').find_map(|bound| bound.trim().parse::<u64>().ok());
        most.unwrap_or(1).max(1)
    });
    signs.saturating_add(counts.fold(0, |all: u64, count| all.max(1).saturating_mul(count)))
}

/// How many rules and terminals there are: each has a line that begins with its name.
pub(super) fn n_rules(text: &str) -> usize {
    let defines = |line: &&str| line.split_once(':').is_some_and(|it| !it.0.contains(['"', '/']));
    text.lines().filter(defines).count()
}

/// Passes over what is quoted, up to and with the sign that ends it.
fn skip_quoted(chars: &mut Peekable<CharIndices>, end: char) {
    while let Some((_, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            c if c == end => return,
            _ => {}
        }
    }
}

fn skip_line(chars: &mut Peekable<CharIndices>) {
    while chars.next_if(|&(_, c)| c != '\n').is_some() {}
}
