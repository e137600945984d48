//! Templates in the engine's spelling: what Jinja2 reads otherwise is put into other words.
//!
//! - The engine computes what is constant while it compiles, repeats texts and lists without a limit
//!   there, and knows nothing of Python's remainders, texts and truths. A factor of [`ONE`] before each
//!   `*`, `/`, `//` and `%`, an [`EMPTY`] text before each `~`, or one more `and`, which it cannot know,
//!   leave all that to the run.
//! - `(a, b)` is a list to it. As a call of [`TUPLE`] it is Python's tuple, whose items `%` formats.
//! - `{% generation %}`, by which transformers finds what an assistant said, is a block with variables
//!   of its own, as `{% with %}` is.

use super::checked::WHITESPACE;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{Error, ErrorKind};

/// The variable that is 1.
pub(super) const ONE: &str = "_one";

/// The variable that is a text without characters.
pub(super) const EMPTY: &str = "_empty";

/// The function that makes a tuple of its arguments.
pub(super) const TUPLE: &str = "_tuple";

/// Most names, literals and operators in one tag: the compiler looks for what is constant in each
/// part of a long expression again.
const MAX_TAG_LEN: usize = 2000;

/// Words behind which an expression begins, so that a parenthesis is no call.
const OPERATORS: [&str; 8] = ["and", "else", "elif", "if", "in", "not", "or", "recursive"];

/// A token, and where it begins and ends in the source.
type Place<'a> = (Token<'a>, usize, usize);

/// The template in the engine's spelling. Lines stay what they are.
pub(super) fn rewritten(source: &str) -> Result<String, Error> {
    let mut rewritten = String::new();
    let mut end = 0;
    for tag in tags(source)? {
        for (at, until, text) in edits(&tag) {
            rewritten.extend([&source[end..at], &text]);
            end = until;
        }
    }
    rewritten.push_str(&source[end..]);
    Ok(rewritten)
}

/// The tokens of each tag.
fn tags(source: &str) -> Result<Vec<Vec<Place<'_>>>, Error> {
    let mut tags: Vec<Vec<Place>> = Vec::new();
    for token in tokenize(source, false, SyntaxConfig, WHITESPACE) {
        let (token, span) = token?;
        match (&token, tags.last_mut()) {
            (Token::VariableStart | Token::BlockStart, _) => tags.push(Vec::new()),
            (Token::TemplateData(_) | Token::VariableEnd | Token::BlockEnd, _) => continue,
            (_, Some(tag)) if tag.len() == MAX_TAG_LEN => {
                let detail = format!("it has a tag of more than {MAX_TAG_LEN} words");
                return Err(Error::new(ErrorKind::SyntaxError, detail));
            }
            _ => {}
        }
        if let Some(tag) = tags.last_mut() {
            tag.push((token, span.start_offset as usize, span.end_offset as usize));
        }
    }
    Ok(tags)
}

/// What is put in the place of which bytes of the source, in order.
fn edits<'a>(tag: &[Place<'a>]) -> Vec<(usize, usize, String)> {
    let mut edits = Vec::new();
    let tuples = tuples(tag);
    for (idx, (token, at, until)) in tag.iter().enumerate() {
        let before = idx.checked_sub(1).map(|idx| &tag[idx].0);
        match token {
            Token::Ident(word @ ("generation" | "endgeneration"))
                if matches!(before, Some(Token::BlockStart)) =>
            {
                edits.push((*at, *until, word.replace("generation", "with")));
            }
            // What a call unpacks, `f(*list)`, is no product.
            Token::Mul if matches!(before, Some(Token::ParenOpen | Token::Comma)) => {}
            Token::Mul | Token::Div | Token::FloorDiv | Token::Mod => {
                edits.push((*at, *at, format!("*{ONE}")));
            }
            Token::Ident("and") if !matches!(before, Some(Token::Dot)) => {
                edits.push((*at, *at, format!("and {ONE} ")));
            }
            Token::Tilde => edits.push((*at, *at, format!("~{EMPTY}"))),
            Token::ParenOpen if tuples.contains(&idx) => {
                edits.push((*at, *at, format!(" {TUPLE}")));
            }
            _ => {}
        }
    }
    edits
}

/// Which tokens open tuples: parentheses that are no call's, with a comma or nothing inside.
fn tuples(tag: &[Place<'_>]) -> Vec<usize> {
    let mut tuples = Vec::new();
    // Brackets that are open, and whether a parenthesis may be a tuple's.
    let mut open: Vec<(usize, bool)> = Vec::new();
    for (idx, (token, ..)) in tag.iter().enumerate() {
        match token {
            Token::ParenOpen => {
                let is_value = begins_expression(&tag[..idx]);
                if is_value && matches!(tag.get(idx + 1), Some((Token::ParenClose, ..))) {
                    tuples.push(idx);
                }
                open.push((idx, is_value));
            }
            Token::BracketOpen | Token::BraceOpen => open.push((idx, false)),
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                open.pop();
            }
            Token::Comma => {
                if let Some((idx, true)) = open.last().copied() {
                    tuples.push(idx);
                    open.last_mut().expect("it is open").1 = false;
                }
            }
            _ => {}
        }
    }
    tuples
}

/// Whether a parenthesis behind these tokens holds a value, and no arguments or names.
fn begins_expression(before: &[Place<'_>]) -> bool {
    match before {
        [.., (Token::Ident("is"), ..), (Token::Ident(_), ..)] => false,
        [.., (Token::Ident(word), ..)] => OPERATORS.contains(word),
        [.., (Token::ParenClose | Token::BracketClose | Token::BraceClose, ..)] => false,
        [.., (Token::Str(_) | Token::String(_), ..)] => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::rewritten;

    #[test]
    fn what_the_engine_reads_otherwise_has_other_words() {
        for (source, expected) in [
            ("a * b {{ a * 'b' }}", "a * b {{ a *_one* 'b' }}"),
            ("{{ a and b }}", "{{ a and _one and b }}"),
            ("{{ a ~ 'b' }}", "{{ a ~_empty~ 'b' }}"),
            ("{{ f(*a, *b) * 2 }}", "{{ f(*a, *b) *_one* 2 }}"),
            ("{{ '%s' % (a, b) }}", "{{ '%s' *_one%  _tuple(a, b) }}"),
            (
                "{{ (a) }}{{ f(a, b) }}{{ ((a, b), [c, d]) }}",
                "{{ (a) }}{{ f(a, b) }}{{  _tuple( _tuple(a, b), [c, d]) }}",
            ),
            ("{% for (a, b) in (c, d) %}", "{% for (a, b) in  _tuple(c, d) %}"),
            (
                "{{ a is in (b, c) }}{{ a in (b, c) }}",
                "{{ a is in (b, c) }}{{ a in  _tuple(b, c) }}",
            ),
            ("{%- generation -%}x{% endgeneration %}", "{%- with -%}x{% endwith %}"),
            ("{{ generation }}", "{{ generation }}"),
            (
                "{% raw %}{{ a * b }}{% endraw %}{# a * b #}",
                "{% raw %}{{ a * b }}{% endraw %}{# a * b #}",
            ),
        ] {
            assert_eq!(rewritten(source).unwrap(), expected);
        }
    }
}
