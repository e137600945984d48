//! Pages to text.
//!
//! html5gum cuts a page into tags and texts as browsers do, and no tree is made of them: how texts
//! are parted depends on the tags between them alone. A tree of tags that are not closed, or closed
//! in the wrong order, can take time and memory that grow with the square of a page's length and
//! faster, and there are pages made for that; here nothing grows faster than the page.

use html5gum::emitters::callback::{CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, Tokenizer};
use std::convert::Infallible;
use std::mem;

/// Whether a text is a page, by how it begins.
pub(super) fn begins(text: &str) -> bool {
    let start = text.trim_start_matches('\u{FEFF}').trim_start();
    ["<!doctype html", "<html"].iter().any(|beginning| {
        start.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning))
    })
}

/// What a page says.
pub(super) fn text(page: &str) -> String {
    let mut said = Said::default();
    let mut emitter = CallbackEmitter::new(|event: CallbackEvent<'_>, _: Span<()>| {
        said.hear(event);
        None::<Infallible>
    });
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(page, Lenient(emitter)).finish();
    said.text
}

/// Does not tell of errors: all pages have them.
struct Lenient<E>(E);

impl<E: Emitter> ForwardingEmitter for Lenient<E> {
    type Token = E::Token;

    fn inner(&mut self) -> &mut impl Emitter<Token = E::Token> {
        &mut self.0
    }

    fn should_emit_errors(&mut self) -> bool {
        false
    }
}

/// What parts two words; of several gaps in a row the widest does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    #[default]
    None,
    Space,
    Cell,
    Line,
    Paragraph,
}

impl Gap {
    /// What an element is parted by from what is before and behind it.
    fn around(tag: &[u8]) -> Gap {
        match tag {
            b"address" | b"article" | b"aside" | b"blockquote" | b"dl" | b"fieldset"
            | b"figure" | b"footer" | b"form" | b"h1" | b"h2" | b"h3" | b"h4" | b"h5" | b"h6"
            | b"header" | b"hr" | b"main" | b"nav" | b"ol" | b"p" | b"pre" | b"section"
            | b"table" | b"ul" => Gap::Paragraph,
            b"br" | b"caption" | b"dd" | b"details" | b"div" | b"dt" | b"figcaption"
            | b"legend" | b"li" | b"option" | b"summary" | b"tr" => Gap::Line,
            b"td" | b"th" => Gap::Cell,
            _ => Gap::None,
        }
    }

    fn written(self) -> &'static str {
        match self {
            Gap::None => "",
            Gap::Space => " ",
            Gap::Cell => " | ",
            Gap::Line => "\n",
            Gap::Paragraph => "\n\n",
        }
    }
}

/// Whether what is in an element is not shown. The tokenizer sees no tags in these, so that the next
/// one is the end of the element.
fn is_hidden(tag: &[u8]) -> bool {
    matches!(tag, b"iframe" | b"noembed" | b"noscript" | b"script" | b"style" | b"title")
}

/// The text so far.
#[derive(Default)]
struct Said {
    text: String,
    /// What comes before the next word.
    gap: Gap,
    is_hidden: bool,
    /// How many elements are open in which lines end as written.
    n_verbatim: usize,
    /// Whether such an element has just begun: a line that ends right there is none.
    is_verbatim_start: bool,
}

impl Said {
    fn hear(&mut self, event: CallbackEvent<'_>) {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.pass(name);
                self.is_hidden = is_hidden(name);
                self.is_verbatim_start = name == b"pre";
                self.n_verbatim += usize::from(self.is_verbatim_start);
            }
            CallbackEvent::EndTag { name } => {
                self.pass(name);
                self.is_hidden = false;
                self.is_verbatim_start = false;
                self.n_verbatim = self.n_verbatim.saturating_sub(usize::from(name == b"pre"));
            }
            // The tokenizer cuts at tags, so between characters.
            CallbackEvent::String { value } if !self.is_hidden => {
                self.say(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
    }

    /// A tag makes a gap; two breaks of a line make a paragraph.
    fn pass(&mut self, tag: &[u8]) {
        let is_second_break = tag == b"br" && self.gap == Gap::Line;
        let gap = if is_second_break { Gap::Paragraph } else { Gap::around(tag) };
        self.gap = self.gap.max(gap);
    }

    fn say(&mut self, text: &str) {
        let is_verbatim_start = mem::take(&mut self.is_verbatim_start);
        if self.n_verbatim > 0 {
            self.close_gap();
            let first_line_end = if is_verbatim_start { "\n" } else { "" };
            self.text.push_str(text.strip_prefix(first_line_end).unwrap_or(text));
            return;
        }
        let is_space = |c: char| c.is_ascii_whitespace();
        if text.starts_with(is_space) {
            self.gap = self.gap.max(Gap::Space);
        }
        for word in text.split_ascii_whitespace() {
            self.close_gap();
            self.text.push_str(word);
            self.gap = Gap::Space;
        }
        if !text.ends_with(is_space) {
            self.gap = Gap::None;
        }
    }

    fn close_gap(&mut self) {
        let gap = mem::take(&mut self.gap);
        if gap >= Gap::Line {
            // Verbatim text has line ends of its own.
            self.text.truncate(self.text.trim_end_matches('\n').len());
        }
        if !self.text.is_empty() {
            self.text.push_str(gap.written());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAGE: &str = "<!DOCTYPE html><html><head><title>Title</title><style>p{color:red}</style>
        <script>document.write('<p>no');</script></head><body><!-- <p>no -->
        <h1>Whales &amp; ships</h1><p>One <b>bold</b>\nword, a <a href='/x'>link</a>.<hr>
        <ul><li>first<li>second</ul><table><tr><td>a<td>b<tr><td>c</table><pre>\na\n  b\n</pre>
        1<br>2<br> <br/>3<noscript><p>no</noscript></body></html>";

    #[test]
    fn a_page_becomes_what_it_says() {
        let expected = "Whales & ships\n\nOne bold word, a link.\n\nfirst\nsecond\n\na | b\nc\n\n\
            a\n  b\n\n1\n2\n\n3";
        assert_eq!(text(PAGE), expected);
    }

    #[test]
    fn pages_are_known_by_their_beginning() {
        assert!(begins(" \n<!DocType HTML><p>") && begins("\u{FEFF}<html lang=en>"));
        assert!(!begins("<p>") && !begins("<!doctype") && !begins("é<html>"));
    }

    /// Of pages like these, trees would grow with the square of the length, or their depth would.
    #[test]
    fn pages_that_are_made_to_be_hard_are_read() {
        const N: usize = 100_000;
        let numbered =
            |part: &str| -> String { (0..N).map(|n| part.replace('N', &n.to_string())).collect() };
        let formatting = numbered("<b a=N>") + &"<p>word".repeat(N);
        assert_eq!(text(&formatting).split_whitespace().count(), N);
        let misnested = "<a><b><i><table>".repeat(N) + &"</a></b></i><p>word".repeat(N);
        assert_eq!(text(&misnested).split_whitespace().count(), N);
        for part in ["<div>", "<div/>", "<x/>", "<b>", "<ul><li>", "<pre>", "<svg><title>", "</p>"]
        {
            let read = text(&(part.repeat(N) + "word"));
            assert_eq!(read, if part.contains("title") { "" } else { "word" }, "{part}");
        }
        assert_eq!(text(&format!("<p {}>word", numbered("aN=1 "))), "word");
        assert_eq!(text(&"<script><!--".repeat(N)), "");
    }

    #[test]
    fn long_pages_of_any_sort_are_read() {
        for part in ["<p>word", "<br>", "<hr>", "<div>word</div>", "< ", "<", "'\"<x", "&", "&#9"] {
            text(&part.repeat(100_000));
        }
        assert_eq!(text(&"word ".repeat(20_000)).split_whitespace().count(), 20_000);
        let picture = format!("<p>before<img src='data:{}'>after", "A".repeat(1_000_000));
        assert_eq!(text(&picture), "beforeafter");
    }

    proptest! {
        /// What there is between tags is kept, whatever the tags.
        #[test]
        fn no_word_is_lost(parts in prop::collection::vec(
            prop::sample::select(vec![
                "word", " ", "\n", "<p>", "</p>", "<br>", "<td>", "<pre>", "</pre>", "<b x='>'>",
                "</b >", "<!-- no -->", "<!>", "</>", "é", "&eacute;", "<script>no</script>",
            ]),
            0..40,
        )) {
            let n_letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count();
            let shown = |part: &&str| ["word", "é", "&eacute;"].contains(part);
            let expected: String = parts.iter().copied().filter(shown).collect();
            let read = text(&parts.concat());
            prop_assert_eq!(n_letters(&read), n_letters(&expected.replace("&eacute;", "é")));
        }
    }
}
