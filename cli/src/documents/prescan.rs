//! The encoding that a page declares, found as browsers find it.
//!
//! <https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding>

use encoding_rs::{Encoding, WINDOWS_1252, X_USER_DEFINED};

/// How far into a page browsers look for it.
const N_BYTES: usize = 1024;

/// The encoding that a page names in a `meta` element, else in the declaration of XML it begins with.
pub(super) fn declared(page: &[u8]) -> Option<&'static Encoding> {
    let page = &page[..page.len().min(N_BYTES)];
    Scan(page).meta().or_else(|| xml(page))
}

/// The encoding of this name. A page that names UTF-16 is not in it: its name could not be read.
fn labelled(label: &[u8]) -> Option<&'static Encoding> {
    let encoding = Encoding::for_label(label)?;
    if encoding == X_USER_DEFINED {
        return Some(WINDOWS_1252);
    }
    // That of `replacement` is UTF-8 too, but whoever names it does not mean that.
    Some(if encoding.name().starts_with("UTF-16") { encoding.output_encoding() } else { encoding })
}

/// `<?xml version="1.0" encoding="..."?>`
fn xml(page: &[u8]) -> Option<&'static Encoding> {
    let declaration = page.strip_prefix(b"<?xml")?;
    let end = declaration.iter().position(|&byte| byte == b'>')?;
    let mut rest = &declaration[..end];
    rest = behind(rest, b"encoding")?.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
    let (&quote, value) = rest.split_first().filter(|(quote, _)| matches!(quote, b'"' | b'\''))?;
    labelled(&value[..value.iter().position(|&byte| byte == quote)?])
}

/// The encoding in the `content` of a `meta` element: `text/html; charset=...`
fn of_content(content: &[u8]) -> Option<&'static Encoding> {
    let mut rest = content;
    loop {
        rest = behind(rest, b"charset")?.trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b"=") {
            rest = value.trim_ascii_start();
            break;
        }
    }
    let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b';';
    let (value, end) = match rest.split_first()? {
        (&quote @ (b'"' | b'\''), value) => (value, value.iter().position(|&byte| byte == quote)?),
        _ => (rest, rest.iter().position(ends).unwrap_or(rest.len())),
    };
    labelled(&value[..end])
}

/// What follows the first of these words, in small letters, whatever the case there.
fn behind<'a>(bytes: &'a [u8], word: &[u8]) -> Option<&'a [u8]> {
    let at = bytes.windows(word.len()).position(|found| found.eq_ignore_ascii_case(word))?;
    Some(&bytes[at + word.len()..])
}

/// What is left of a page.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    /// The encoding that the first `meta` element with one names.
    fn meta(mut self) -> Option<&'static Encoding> {
        while !self.0.is_empty() {
            let rest = self.0;
            let is_name_at = |at: usize| rest.get(at).is_some_and(u8::is_ascii_alphabetic);
            if rest.starts_with(b"<!--") {
                // `<!-->` is one.
                self.0 = behind(&rest[2..], b"-->")?;
            } else if rest.len() > 5
                && rest[..5].eq_ignore_ascii_case(b"<meta")
                && (rest[5].is_ascii_whitespace() || rest[5] == b'/')
            {
                self.0 = &rest[6..];
                if let Some(encoding) = self.meta_attributes() {
                    return Some(encoding);
                }
            } else if rest[0] == b'<'
                && (is_name_at(1) || (rest.get(1) == Some(&b'/') && is_name_at(2)))
            {
                let ends = |byte: &u8| byte.is_ascii_whitespace() || *byte == b'>';
                self.0 = &rest[rest.iter().position(ends)?..];
                while self.attribute().is_some() {}
                self.0 = self.0.get(1..)?;
            } else if rest[0] == b'<' && matches!(rest.get(1), Some(b'!' | b'/' | b'?')) {
                self.0 = behind(rest, b">")?;
            } else {
                self.0 = &rest[1..];
            }
        }
        None
    }

    /// The encoding that the attributes name.
    fn meta_attributes(&mut self) -> Option<&'static Encoding> {
        let (mut has_pragma, mut needs_pragma, mut found) = (false, None, None);
        let mut names = Vec::new();
        while let Some((name, value)) = self.attribute() {
            if names.contains(&name) {
                continue;
            }
            match name.as_slice() {
                b"http-equiv" => has_pragma = value == b"content-type",
                b"content" if found.is_none() => {
                    if let Some(encoding) = of_content(&value) {
                        (found, needs_pragma) = (Some(encoding), Some(true));
                    }
                }
                b"charset" => (found, needs_pragma) = (labelled(&value), Some(false)),
                _ => {}
            }
            names.push(name);
        }
        found.filter(|_| needs_pragma.is_some_and(|needs| !needs || has_pragma))
    }

    /// The next attribute of a tag, in small letters; none at the tag's end.
    fn attribute(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.skip(|byte| byte.is_ascii_whitespace() || byte == b'/');
        if matches!(self.0.first(), None | Some(b'>')) {
            return None;
        }
        let first = self.0[0];
        // An equals sign at its beginning is of the name.
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>' | b'=');
        self.0 = &self.0[1..];
        let mut name = vec![first.to_ascii_lowercase()];
        name.extend(self.take(ends));
        self.skip(|byte| byte.is_ascii_whitespace());
        if self.0.first() != Some(&b'=') {
            return Some((name, Vec::new()));
        }
        self.0 = &self.0[1..];
        self.skip(|byte| byte.is_ascii_whitespace());
        let value = match self.0.first() {
            Some(&quote @ (b'"' | b'\'')) => {
                self.0 = &self.0[1..];
                let value = self.take(|byte| byte == quote);
                self.0 = self.0.get(1..)?;
                value
            }
            _ => self.take(|byte| byte.is_ascii_whitespace() || byte == b'>'),
        };
        Some((name, value))
    }

    fn skip(&mut self, skips: impl Fn(u8) -> bool) {
        let n_bytes = self.0.iter().take_while(|&&byte| skips(byte)).count();
        self.0 = &self.0[n_bytes..];
    }

    /// What comes before the byte that ends it, in small letters.
    fn take(&mut self, ends: impl Fn(u8) -> bool) -> Vec<u8> {
        let n_bytes = self.0.iter().take_while(|&&byte| !ends(byte)).count();
        let (taken, rest) = self.0.split_at(n_bytes);
        self.0 = rest;
        taken.to_ascii_lowercase()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(page: &str) -> Option<&'static str> {
        declared(page.as_bytes()).map(Encoding::name)
    }

    #[test]
    fn pages_name_their_encoding_as_browsers_read_it() {
        for (page, expected) in [
            ("<meta charset=shift_jis>", "Shift_JIS"),
            ("<!DOCTYPE html><html lang='a>b'><META CharSet = \"Latin1\" />", "windows-1252"),
            ("<meta http-equiv='Content-Type' content='text/html; charset=KOI8-R'>", "KOI8-R"),
            ("<meta content=\"x; charset = 'gb2312' \" http-equiv=content-type>", "GBK"),
            ("<!-- <meta charset=big5> --><meta charset=euc-kr>", "EUC-KR"),
            ("<meta name=a content=b><meta charset=unknown><meta charset=big5>", "Big5"),
            ("<meta charset=utf-16>", "UTF-8"),
            ("<meta charset=x-user-defined>", "windows-1252"),
            ("<meta charset=iso-2022-kr>", "replacement"),
            ("<?xml version='1.0' encoding='iso-8859-2'?><html>", "ISO-8859-2"),
            ("<?xml version='1.0' encoding=\"utf-8\"?><meta charset=iso-8859-5>", "ISO-8859-5"),
            ("<meta charset=utf-8 charset=big5>", "UTF-8"),
        ] {
            assert_eq!(name(page), Some(expected), "{page}");
        }
    }

    #[test]
    fn what_only_looks_so_names_none() {
        for page in [
            "",
            "<meta",
            "<meta charset=",
            "<meta charset='big5>",
            "<metadata charset=big5>",
            "<meta content='text/html; charset=big5'>",
            "<p title='<meta charset=big5>'>",
            "<!-- <meta charset=big5>",
            "<?xml version='1.0'?>",
            "meta charset=big5",
        ] {
            assert_eq!(name(page), None, "{page}");
        }
        assert_eq!(name(&format!("{}<meta charset=big5>", " ".repeat(1024))), None);
    }
}
