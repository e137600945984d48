//! What llguidance says, for those who have written a form and know nothing of it.

use crate::text::one_line;
use std::fmt::Display;

/// Words of its messages, and what is said in the place of the whole.
const TOLD: [(&str, &str); 10] = [
    ("NoExtensionBias", NOTHING),
    ("Unsatisfiable schema", NOTHING),
    (
        "coerce_one_of",
        "alternatives of a \"oneOf\" may hold at once, which is not enforced; give each another type, or a required property with a \"const\" of its own, or ask for \"anyOf\"",
    ),
    ("too many states", TOO_COMPLEX),
    ("too many expressions", TOO_COMPLEX),
    ("fuel", TOO_COMPLEX),
    ("too big", TOO_COMPLEX),
    ("LexerTooComplex", TOO_COMPLEX),
    ("items; max is", TOO_COMPLEX),
    ("Unable to determine", TOO_COMPLEX),
];

/// Why nothing is allowed.
const NOTHING: &str = "no text, or none that comes to an end, is one of it";

/// Why it cannot be found out what is allowed.
pub(super) const TOO_COMPLEX: &str = "the form is too complex; make it simpler, with fewer or shorter parts, smaller counts, or repetitions to the left";

/// An error of llguidance in one line of reasonable length.
pub(super) fn reason(error: impl Display) -> String {
    const MOST_CHARS: usize = 300;
    let text = error.to_string();
    if let Some((_, told)) = TOLD.iter().find(|(words, _)| text.contains(words)) {
        return (*told).to_owned();
    }
    // Some come with a trace of where in the parser they arose.
    let text = one_line(text.split("\n<").next().unwrap_or_default().trim());
    match text.char_indices().nth(MOST_CHARS) {
        None => text,
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}
