//! Pages to text.
//!
//! html5gum cuts a page into tags and texts as browsers do, and no tree is made of them: how texts
//! are parted depends on the tags between them alone. A tree of tags that are not closed, or closed
//! in the wrong order, can take time and memory that grow with the square of a page's length and
//! faster, and there are pages made for that; here nothing grows faster than the page.

use html5gum::emitters::callback::{Callback, CallbackEmitter, CallbackEvent};
use html5gum::{Emitter, ForwardingEmitter, Span, State, Tokenizer};
use std::convert::Infallible;
use std::mem;

/// Whether a text is a page, by how it begins after declarations of XML and comments.
pub(super) fn begins(text: &str) -> bool {
    let mut start = text.trim_start_matches('\u{FEFF}').trim_start();
    while let Some((_, rest)) = [("<?", "?>"), ("<!--", "-->")]
        .into_iter()
        .find_map(|(open, close)| start.strip_prefix(open)?.split_once(close))
    {
        start = rest.trim_start();
    }
    ["<!doctype html", "<html"].iter().any(|beginning| {
        start.get(..beginning.len()).is_some_and(|it| it.eq_ignore_ascii_case(beginning))
    })
}

/// What a page says. That it `is_xml` it may say itself too.
pub(super) fn text(page: &str, is_xml: bool) -> String {
    let is_xml = is_xml || page.trim_start_matches('\u{FEFF}').starts_with("<?xml");
    let mut said = Said { is_xml, ..Said::default() };
    let mut emitter = CallbackEmitter::new(&mut said);
    emitter.naively_switch_states(true);
    let Ok(()) = Tokenizer::new_with_emitter(page, Listening(emitter)).finish();
    said.text
}

/// Hands over to [`Said`] what is there, and lets it say where a page is XML.
struct Listening<'a>(CallbackEmitter<&'a mut Said>);

impl Listening<'_> {
    fn said(&mut self) -> &mut Said {
        self.0.callback_mut()
    }
}

impl ForwardingEmitter for Listening<'_> {
    type Token = Infallible;

    fn inner(&mut self) -> &mut impl Emitter<Token = Infallible> {
        &mut self.0
    }

    /// All pages have errors.
    fn should_emit_errors(&mut self) -> bool {
        false
    }

    /// After some tags, what follows is read in another way up to the end of the element; one that
    /// is at its end has nothing to be read.
    fn emit_current_tag(&mut self) -> Option<State> {
        let next_state = self.0.emit_current_tag();
        next_state.filter(|_| !self.said().has_just_ended)
    }

    /// Whether there may be `<![CDATA[text]]>`.
    fn adjusted_current_node_present_but_not_in_html_namespace(&mut self) -> bool {
        self.said().is_in_xml()
    }
}

/// What parts two words; of several truncations in a row the widest does.
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

/// Whether what is in an element is XML in any page.
fn is_foreign(tag: &[u8]) -> bool {
    matches!(tag, b"svg" | b"math")
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
    /// Whether all of the page is XML.
    is_xml: bool,
    /// How many elements are open that are XML in any page.
    n_foreign: usize,
    /// The tag that is being read.
    tag: Vec<u8>,
    /// Whether the last tag was that of an element which it has ended too: `<title/>`.
    has_just_ended: bool,
}

impl Callback<Infallible, ()> for &mut Said {
    fn handle_event(&mut self, event: CallbackEvent, _: Span<()>) -> Option<Infallible> {
        match event {
            CallbackEvent::OpenStartTag { name } => {
                self.tag.clear();
                self.tag.extend(name);
            }
            CallbackEvent::CloseStartTag { self_closing } => {
                let tag = mem::take(&mut self.tag);
                self.pass(&tag);
                self.begin(&tag);
                self.has_just_ended = self_closing && self.is_in_xml();
                if self.has_just_ended {
                    self.end(&tag);
                }
                self.tag = tag;
            }
            CallbackEvent::EndTag { name } => {
                self.pass(name);
                self.end(name);
            }
            // The tokenizer cuts at tags, so between characters.
            CallbackEvent::String { value } if !self.is_hidden => {
                self.say(&String::from_utf8_lossy(value));
            }
            _ => {}
        }
        None
    }
}

impl Said {
    /// Whether elements without anything in them may be written as one tag: elsewhere the slash at
    /// its end means nothing.
    fn is_in_xml(&self) -> bool {
        self.is_xml || self.n_foreign > 0
    }

    fn begin(&mut self, tag: &[u8]) {
        self.is_hidden = is_hidden(tag);
        self.is_verbatim_start = tag == b"pre";
        self.n_verbatim += usize::from(self.is_verbatim_start);
        self.n_foreign += usize::from(is_foreign(tag));
    }

    fn end(&mut self, tag: &[u8]) {
        self.is_hidden = false;
        self.is_verbatim_start = false;
        self.n_verbatim = self.n_verbatim.saturating_sub(usize::from(tag == b"pre"));
        self.n_foreign = self.n_foreign.saturating_sub(usize::from(is_foreign(tag)));
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

    fn text(page: &str) -> String {
        super::text(page, false)
    }

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
        assert!(begins("<?xml version='1.0'?>\n<!-- a --><!-- b -->\n<html>"));
        assert!(!begins("<?xml version='1.0'?><rss>") && !begins("<!-- <html>"));
        assert!(!begins("<p>") && !begins("<!doctype") && !begins("é<html>"));
    }

    #[test]
    fn elements_may_be_one_tag_where_a_page_is_xml() {
        let page = "<p>a<title/>b<style/>c<script src='x' />d<textarea/>e<pre/>\nf<br/>g\
            <script>no</script><![CDATA[h <i>]]>";
        let read = "abcde\n\nf\ngh <i>";
        assert_eq!(super::text(page, true), read);
        assert_eq!(text(&format!("<?xml version='1.0'?>\n{page}")), read);
        assert_eq!(text(page), "a");
        for name in ["svg", "math"] {
            let picture = format!("<p>a<{name}><title/><style/>b</{name}>c<{name}/>d<script/>e");
            assert_eq!(text(&picture), "abcd", "{name}");
        }
        assert_eq!(text("a</svg></math><title/>b"), "a");
        assert_eq!(text("a<svg><title>no</title><g/>b</svg>c"), "abc");
    }

    /// Pages of which trees would grow with the square of the length, or their depth would, and
    /// others that are long, each with what it says.
    fn hard_pages() -> Vec<(String, String)> {
        const N: usize = 100_000;
        let numbered =
            |part: &str| -> String { (0..N).map(|n| part.replace('N', &n.to_string())).collect() };
        let all = |word: &str, gap: &str| vec![word; N].join(gap);
        let mut pages = vec![
            (numbered("<b a=N>") + &"<p>word".repeat(N), all("word", "\n\n")),
            ("<a><b><i><table>".repeat(N) + &"</a></b></i><p>word".repeat(N), all("word", "\n\n")),
            (format!("<p {}>word", numbered("aN=1 ")), "word".into()),
            (format!("<p>a<img src='data:{}'>b", "A".repeat(10 * N)), "ab".into()),
        ];
        for (part, said) in [
            ("<div>", "word"),
            ("<div/>", "word"),
            ("<x/>", "word"),
            ("<b>", "word"),
            ("<ul><li>", "word"),
            ("<pre>", " word"),
            ("</p>", "word"),
            ("<svg>", "word"),
            ("<svg><title/>", "word"),
            ("<svg><title>", ""),
            ("<script><!--", ""),
            ("<br>", "word"),
            ("<hr>", "word"),
            ("&#9", "word"),
        ] {
            pages.push((part.repeat(N) + " word", said.into()));
        }
        for (part, said) in [
            ("<p>word", all("word", "\n\n")),
            ("<div>word</div>", all("word", "\n")),
            ("word ", all("word", " ")),
            ("< ", all("<", " ")),
            ("<", all("<", "")),
            ("&", all("&", "")),
            ("'\"<x", "'\"".into()),
        ] {
            pages.push((part.repeat(N), said));
        }
        pages
    }

    #[test]
    fn hard_pages_are_read() {
        for (page, said) in hard_pages() {
            assert!(text(&page) == said, "{}", page.get(..40).unwrap_or(&page));
        }
    }

    /// What the tokenizer tells of a page is no more than there is in it. [`Said`] takes a step for
    /// each of it.
    #[test]
    fn nothing_grows_faster_than_a_page() {
        for (page, _) in hard_pages() {
            let (mut n_events, mut n_bytes) = (0, 0);
            let emitter = CallbackEmitter::new(|event: CallbackEvent, _: Span<()>| {
                n_events += usize::from(!matches!(event, CallbackEvent::Error(_)));
                if let CallbackEvent::String { value } = event {
                    n_bytes += value.len();
                }
                None::<Infallible>
            });
            let Ok(()) = Tokenizer::new_with_emitter(page.as_str(), emitter).finish();
            let start = page.get(..40).unwrap_or(&page);
            assert!(n_events <= page.len() && n_bytes <= page.len(), "{start}");
        }
    }

    proptest! {
        /// What there is between tags is kept, whatever the tags.
        #[test]
        fn no_word_is_lost(parts in prop::collection::vec(
            prop::sample::select(vec![
                "word", " ", "\n", "<p>", "</p>", "<br>", "<td>", "<pre>", "</pre>", "<b x='>'>",
                "</b >", "<br/>", "<svg/>", "<math>", "<!-- no -->", "<!>", "</>", "é", "&eacute;", "<script>no</script>",
            ]),
            0..40,
        ), is_xml: bool) {
            let n_letters = |text: &str| text.chars().filter(|c| c.is_alphabetic()).count();
            let shown = |part: &&str| ["word", "é", "&eacute;"].contains(part);
            let expected: String = parts.iter().copied().filter(shown).collect();
            let read = super::text(&parts.concat(), is_xml);
            prop_assert_eq!(n_letters(&read), n_letters(&expected.replace("&eacute;", "é")));
        }
    }
}
