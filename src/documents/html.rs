//! Pages to text.
//!
//! The reader is html2text. It and the parser below it take time that grows with the square of the
//! depth of a page and of the attributes of an element, so a page that is absurd in one of them is
//! refused by a scan of its tags first, and what remains gets a time and a stack of its own.

use super::error::Fault;
use html2text::config;
use html2text::render::TrivialDecorator;
use regex::Regex;
use std::sync::LazyLock;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// How deep elements may lie in each other, and how many attributes one may have. Real pages stay
/// below 50 of each.
const MOST_OPEN: usize = 500;
const MOST_ATTRIBUTES: usize = 500;

/// How long a page may take, and how much longer per byte; real ones take some milliseconds.
const TIME: Duration = Duration::from_secs(5);
const TIME_PER_BYTE: Duration = Duration::from_nanos(500);

const STACK_BYTES: usize = 64 << 20;

/// Wider than any line: where lines end is for the page to say.
const WIDTH: usize = 1 << 40;

/// Elements that have no end, or need none written: they do not lie in one another.
const WITHOUT_END: [&str; 33] = [
    "area", "base", "body", "br", "caption", "col", "colgroup", "dd", "dt", "embed", "head", "hr",
    "html", "img", "input", "li", "link", "meta", "optgroup", "option", "p", "param", "rb", "rp",
    "rt", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "wbr",
];

/// The beginning of a comment, or a tag with its attributes.
static TAGS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r#"(?i)<!--|<(/?)([a-z][a-z0-9]*)((?:"[^"]*"|'[^']*'|[^'">])*)>?"#;
    Regex::new(pattern).expect("a valid pattern")
});

/// What ends the content of a script or a style, which has no tags.
static RAW_ENDS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("(?i)</(?:script|style)").expect("a valid pattern"));

static RULES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)<hr\b").expect("a valid pattern"));

/// Whether a text is a page, by how it begins.
pub(super) fn begins(text: &str) -> bool {
    let start = text.trim_start_matches('\u{FEFF}').trim_start();
    ["<!doctype html", "<html"].iter().any(|beginning| {
        start.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning))
    })
}

/// What a page says.
///
/// # Errors
/// If it is made to be hard to read.
pub(super) fn text(page: String) -> Result<String, Fault> {
    check(&page)?;
    let time = TIME + TIME_PER_BYTE * u32::try_from(page.len()).unwrap_or(u32::MAX);
    let (sender, receiver) = channel();
    let convert = move || {
        // Nobody may be waiting any more.
        let _ = sender.send(convert(&page));
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(convert);
    thread.map_err(|error| Fault::Html(format!("no thread for it can be started: {error}")))?;
    match receiver.recv_timeout(time) {
        Ok(text) => text,
        Err(RecvTimeoutError::Timeout) => {
            Err(Fault::Html(format!("it takes longer than {} seconds", time.as_secs())))
        }
        Err(RecvTimeoutError::Disconnected) => Err(Fault::Html("the reader fails on it".into())),
    }
}

fn convert(page: &str) -> Result<String, Fault> {
    // A rule becomes a line as wide as can be, where the end of a paragraph says as much.
    let page = RULES.replace_all(page, "<p");
    let reader = config::with_decorator(TrivialDecorator::new());
    let reader = reader.raw_mode(true).allow_width_overflow();
    let text = reader.string_from_read(page.as_bytes(), WIDTH);
    text.map_err(|error| Fault::Html(error.to_string()))
}

/// Refuses pages that would take forever.
fn check(page: &str) -> Result<(), Fault> {
    let mut open: Vec<String> = Vec::new();
    let mut at = 0;
    while let Some(tag) = TAGS.captures_at(page, at) {
        at = tag.get_match().end();
        let Some(name) = tag.get(2) else {
            let Some(n_bytes) = page[at..].find("-->") else { break };
            at += n_bytes;
            continue;
        };
        let name = name.as_str().to_ascii_lowercase();
        if n_attributes(&tag[3]) > MOST_ATTRIBUTES {
            let problem = format!("an element has more than {MOST_ATTRIBUTES} attributes");
            return Err(Fault::Html(problem));
        }
        if !tag[1].is_empty() {
            if let Some(at) = open.iter().rposition(|it| *it == name) {
                open.truncate(at);
            }
        } else if matches!(name.as_str(), "script" | "style") {
            let Some(end) = RAW_ENDS.find_at(page, at) else { break };
            at = end.end();
        } else if !WITHOUT_END.contains(&name.as_str()) && !tag[3].ends_with('/') {
            open.push(name);
        }
        if open.len() > MOST_OPEN {
            let problem = format!("more than {MOST_OPEN} elements lie in each other");
            return Err(Fault::Html(problem));
        }
    }
    Ok(())
}

/// How many words there are outside of quotes.
fn n_attributes(text: &str) -> usize {
    let (mut n_words, mut in_word, mut quote) = (0, false, None);
    for c in text.chars() {
        match quote {
            Some(end) if c == end => quote = None,
            Some(_) => {}
            None => {
                quote = Some(c).filter(|c| matches!(c, '"' | '\''));
                n_words += usize::from(!in_word && !c.is_whitespace());
                in_word = !c.is_whitespace();
            }
        }
    }
    n_words
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!DOCTYPE html><html><head><title>Title</title><style>p{color:red}</style>
        <script>document.write('<p>no');</script></head><body><!-- <p>no -->
        <h1>Whales &amp; ships</h1><p>One <b>bold</b>\nword, a <a href='/x'>link</a>.<hr>
        <ul><li>first<li>second</ul><table><tr><td>cell</table><pre>a\n  b</pre></body></html>";

    #[test]
    fn a_page_becomes_what_it_says() {
        let expected = "Whales & ships\n\nOne bold word, a link.\n";
        let read = text(PAGE.into()).unwrap();
        assert!(read.starts_with(expected), "{read:?}");
        assert!(read.contains("\nfirst\nsecond\n") && read.contains("cell"), "{read:?}");
        assert!(read.contains("a\n  b") && !read.contains("no"), "{read:?}");
    }

    #[test]
    fn pages_are_known_by_their_beginning() {
        assert!(begins(" \n<!DocType HTML><p>") && begins("\u{FEFF}<html lang=en>"));
        assert!(!begins("<p>") && !begins("<!doctype") && !begins("é<html>"));
    }

    #[test]
    fn pages_that_would_take_forever_are_refused() {
        for part in ["<div>", "<b>", "<ul><li>", "<table><tr><td>", "<a><div>", "<DIV a='>'>"] {
            let fault = text(part.repeat(100_000)).unwrap_err().to_string();
            assert!(fault.contains("more than 500 elements lie in each other"), "{part}: {fault}");
        }
        for value in ["=1 ", " ", "='x y'\n"] {
            let attributes: String = (0..100_000).map(|n| format!("a{n}{value}")).collect();
            let fault = text(format!("<p {attributes}>")).unwrap_err().to_string();
            assert!(fault.contains("an element has more than 500 attributes"), "{fault}");
        }
        let absent: String = "<script><!--".repeat(100_000);
        assert_eq!(text(absent).unwrap(), "");
    }

    #[test]
    fn long_pages_of_any_sort_are_read() {
        for part in ["<p>word", "<br>", "<li>word", "<hr>", "<div>word</div>", "< ", "<", "'\"<x"] {
            assert!(text(part.repeat(400)).is_ok(), "{part}");
        }
        assert_eq!(text("word ".repeat(20_000)).unwrap().split_whitespace().count(), 20_000);
        let picture = format!("<p>before<img src='data:{}'>after", "A".repeat(1_000_000));
        assert_eq!(text(picture).unwrap(), "beforeafter\n");
    }
}
