//! Drawings, as SVG that takes its colours from the page, or from its own style where it is a file.

use std::fmt::{Display, Write};

/// Colours in both schemes, and letters. `--hue` is what heat maps are made of: the more of it, the
/// larger the value, which all kinds of colour vision see as lighter and darker. `--mix` is how much of
/// an expert's colour lies behind letters. All text has a contrast of 4.5 or more.
pub(super) const STYLE: &str = "\
:root{--paper:#fff;--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--hue:#0a4f9c;--mix:.5;--low:#000;--high:#fff}\
@media(prefers-color-scheme:dark){:root{--paper:#0d1117;--ink:#e6edf3;--soft:#9da7b3;--line:#3d444d;--hue:#8cc4ff;--mix:.4;--low:#fff;--high:#000}}\
@media print{:root{--paper:#fff;--ink:#000;--soft:#444;--line:#bbb;--hue:#0a4f9c;--mix:.5;--low:#000;--high:#fff}}\
svg text{font:12px system-ui,sans-serif;fill:var(--ink)}svg .soft{fill:var(--soft)}\
svg .small{font-size:10.5px}svg .title{font-weight:600;font-size:13px}svg .code{font:12px ui-monospace,monospace;white-space:pre}\
svg .low{fill:var(--low)}svg .mid{fill:#000}svg .high{fill:var(--high)}svg .mix{fill-opacity:var(--mix)}svg .bar{stroke:var(--ink);stroke-width:.75}svg .heat{fill:var(--hue)}svg .axis{stroke:var(--line);fill:none}\
svg .curve{fill:none;stroke:var(--hue);stroke-width:2}svg .dot{fill:var(--hue)}\
svg .chance{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-dasharray:6 4}\
svg .load{fill:none;stroke:var(--soft);stroke-width:1.5;stroke-dasharray:1.5 3}\
svg .band{fill:var(--soft);fill-opacity:.25}svg .ends{stroke:var(--ink);fill:none}svg .halo{stroke:var(--paper);stroke-width:3;fill:none}";

/// Width of a drawing that a telephone shows as it is.
pub(super) const WIDTH: f64 = 348.0;

/// Which end of a text is where it is put.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// A drawing of some size, in pixels.
pub(super) struct Drawing {
    pub width: f64,
    pub height: f64,
    title: String,
    body: String,
}

impl Drawing {
    /// An empty one; the title is for those who cannot see it.
    pub fn new(title: &str, width: f64, height: f64) -> Drawing {
        Drawing { width, height, title: title.to_owned(), body: String::new() }
    }

    /// A filled rectangle, with what is told of it to whoever points at it.
    pub fn rect(&mut self, [x, y, width, height]: [f64; 4], fill: impl Display, tip: Option<&str>) {
        let (x, y, width, height) = (short(x), short(y), short(width), short(height));
        let shape =
            format!("<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {fill}");
        match tip {
            Some(tip) => self.push(format_args!("{shape}><title>{}</title></rect>", escape(tip))),
            None => self.push(format_args!("{shape}/>")),
        }
    }

    /// A text, whose base line is at `y`.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let (x, y) = (short(x), short(y));
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        self.push(format_args!("<text x=\"{x}\" y=\"{y}\"{anchor}{class}>{}</text>", escape(text)));
    }

    /// A text of letters that are equally wide, together `width`, whatever the font is.
    pub fn fixed_text(&mut self, (x, y): (f64, f64), width: f64, text: &str) {
        let (x, y, width) = (short(x), short(y), short(width));
        self.push(format_args!(
            "<text x=\"{x}\" y=\"{y}\" class=\"code\" textLength=\"{width}\" xml:space=\"preserve\">{}</text>",
            escape(text)
        ));
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], class: &str) {
        self.push(format_args!("<polyline class=\"{class}\" points=\"{}\"/>", path(points)));
    }

    /// The surface within points.
    pub fn surface(&mut self, points: &[(f64, f64)], class: &str) {
        self.push(format_args!("<polygon class=\"{class}\" points=\"{}\"/>", path(points)));
    }

    /// A point, with what is told of it.
    pub fn dot(&mut self, (x, y): (f64, f64), tip: &str) {
        let (x, y, tip) = (short(x), short(y), escape(tip));
        self.push(format_args!(
            "<circle class=\"dot\" cx=\"{x}\" cy=\"{y}\" r=\"3\"><title>{tip}</title></circle>"
        ));
    }

    fn push(&mut self, shape: impl Display) {
        writeln!(self.body, "{shape}").expect("a string takes all that is written");
    }

    /// As a part of a page, where a wide one is moved to and not made small.
    pub fn inline(&self) -> String {
        let Drawing { width, height, title, body } = self;
        let class = if *width > 1.25 * WIDTH { " class=\"wide\"" } else { "" };
        let (width, height) = (short(*width), short(*height));
        format!(
            "<div><svg{class} role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n{body}</svg></div>\n",
            escape(title)
        )
    }
}

/// Drawings side by side, as a file that looks the same on any background.
pub(super) fn file(title: &str, drawings: &[Drawing]) -> String {
    const MARGIN: f64 = 16.0;
    let width = drawings.iter().map(|it| it.width + MARGIN).sum::<f64>() + MARGIN;
    let height = drawings.iter().map(|it| it.height).fold(0.0, f64::max) + 2.0 * MARGIN;
    let mut file = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" aria-label=\"{}\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\">\n<style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" style=\"fill:var(--paper)\"/>\n",
        escape(title),
        w = short(width),
        h = short(height)
    );
    let mut x = MARGIN;
    for drawing in drawings {
        let body = &drawing.body;
        file += &format!("<g transform=\"translate({} {MARGIN})\">\n{body}</g>\n", short(x));
        x += drawing.width + MARGIN;
    }
    file + "</svg>\n"
}

fn path(points: &[(f64, f64)]) -> String {
    let points = points.iter().map(|&(x, y)| format!("{},{}", short(x), short(y)));
    points.collect::<Vec<_>>().join(" ")
}

/// A number with a decimal, if it has one.
pub(super) fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// Text as markup has it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Neither XML nor HTML has a way to write these.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{FFFD}'),
            '\u{FFFE}' | '\u{FFFF}' => escaped.push('\u{FFFD}'),
            c => escaped.push(c),
        }
    }
    escaped
}
