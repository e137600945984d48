//! Files of the page without what only their writers need.
//!
//! Lines that are comments go, and so do indentation and the spaces and line ends beside signs that need
//! none. What may be a text stays as it is: all between quotes, and of a script each line with a sign in
//! it that other texts, patterns and comments begin with. Texts of several lines there are none.

use std::borrow::Cow;

/// A language that files are written in.
#[derive(Clone, Copy)]
pub(super) enum Language {
    Markup,
    Style,
    Script,
}

impl Language {
    /// The file for browsers.
    pub fn dense(self, file: &str) -> String {
        let lines = file.lines().map(str::trim).filter(|line| !self.is_comment(line));
        lines.fold(String::new(), |dense, line| dense + &self.line(line) + self.end(line))
    }

    fn is_comment(self, line: &str) -> bool {
        let is_whole = line.starts_with("/*") && line.ends_with("*/");
        line.is_empty() || line.starts_with("//") || is_whole
    }

    fn line(self, line: &str) -> Cow<'_, str> {
        match self {
            Language::Style => Cow::Owned(tight(line, "{};,>", ":")),
            Language::Script if !line.contains(['`', '\'', '/', '\\']) => {
                Cow::Owned(tight(line, "{};,>()[]=<:?&|!*", ""))
            }
            Language::Markup | Language::Script => Cow::Borrowed(line),
        }
    }

    /// What stands between a line and the next.
    fn end(self, line: &str) -> &'static str {
        let joined: &[char] = match self {
            Language::Markup => &[],
            Language::Style => &['{', '}', ';', ','],
            // Behind a brace that closes, a script may need the line's end.
            Language::Script => &['{', ';', ',', '('],
        };
        if line.ends_with(joined) { "" } else { "\n" }
    }
}

/// A line without the spaces on both sides of some signs, and those behind others, but for what is
/// between quotes.
fn tight(line: &str, both_sides: &str, behind: &str) -> String {
    let mut tight = String::with_capacity(line.len());
    for (idx, part) in line.split('"').enumerate() {
        if idx > 0 {
            tight.push('"');
        }
        if idx % 2 == 1 {
            tight.push_str(part);
            continue;
        }
        let mut before = None;
        let mut signs = part.chars().peekable();
        while let Some(sign) = signs.next() {
            let is_beside = |sign: Option<char>, of: &str| sign.is_some_and(|it| of.contains(it));
            let is_needless = is_beside(before, both_sides)
                || is_beside(before, behind)
                || is_beside(signs.peek().copied(), both_sides);
            if sign != ' ' || !is_needless {
                tight.push(sign);
                before = Some(sign);
            }
        }
    }
    tight
}

#[cfg(test)]
mod tests {
    use super::Language;

    #[test]
    fn texts_stay_and_spaces_that_nobody_needs_go() {
        let style = "/* Calm. */\na :is(b, c) > d {\n  margin: 0 calc(1px + 2px);\n  content: \"a: b, \";\n}\n@media (width > 1rem) { e { f: g; } }\n";
        let dense = "a :is(b,c)>d{margin:0 calc(1px + 2px);content:\"a: b, \";}@media (width>1rem){e{f:g;}}";
        assert_eq!(Language::Style.dense(style), dense);
        let script = "// What it does.\nconst f = ({ a, b }) => {\n  return a - -b;\n};\nif (a) {\n} else {\n}\ng(\n  \"a = b\", c);\nh('d = e', 1 / 2);\nconst i = `${a} = b`;\n";
        let dense = "const f=({a,b})=>{return a - -b;};if(a){}else{}\ng(\"a = b\",c);h('d = e', 1 / 2);const i = `${a} = b`;";
        assert_eq!(Language::Script.dense(script), dense);
        assert_eq!(Language::Markup.dense("<p>\n\n  a, b;\n</p>\n"), "<p>\na, b;\n</p>\n");
    }
}
