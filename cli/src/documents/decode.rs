//! Bytes of a file to text.

use super::error::Fault;
use super::html;
use std::path::Path;

/// How files of other kinds begin.
const MAGIC: [(&[u8], &str); 8] = [
    (b"%PDF-", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\xD0\xCF\x11\xE0", "an office document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF89a", "a picture"),
];

/// The text of a file with these bytes.
pub(super) fn text(bytes: Vec<u8>, path: &Path) -> Result<String, Fault> {
    let kind = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
    if let Some((_, kind)) = kind {
        return Err(Fault::Binary(kind));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Fault::Binary("text in UTF-16"));
    }
    if bytes.contains(&0) {
        return Err(Fault::Binary("binary data"));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Fault::NotUtf8 { at: error.utf8_error().valid_up_to() })?;
    let is_html = has_extension(path, &["html", "htm", "xhtml"]) || html::begins(&text);
    plain(if is_html { html::text(&text, has_extension(path, &["xhtml"])) } else { text })
}

/// Text with Unix line ends and without a byte order mark.
///
/// # Errors
/// If nothing is left.
pub(super) fn plain(mut text: String) -> Result<String, Fault> {
    if text.starts_with('\u{FEFF}') {
        text.drain(..'\u{FEFF}'.len_utf8());
    }
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    if text.trim().is_empty() { Err(Fault::Empty) } else { Ok(text) }
}

/// Whether a name ends in one of these extensions.
pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    extension.is_some_and(|it| extensions.iter().any(|known| known.eq_ignore_ascii_case(it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<String, Fault> {
        text(bytes.to_vec(), Path::new("a.txt"))
    }

    #[test]
    fn text_is_taken_as_it_is_but_for_marks_and_line_ends() {
        assert_eq!(read(b"a\n b").unwrap(), "a\n b");
        assert_eq!(read(b"\xEF\xBB\xBFa\r\n\r\nb\rc").unwrap(), "a\n\nb\nc");
        assert_eq!(read(b"<!DOCTYPE html><p>a<p>b").unwrap(), "a\n\nb");
        assert_eq!(read(b"a < b, <b>").unwrap(), "a < b, <b>");
        let page = |name: &str| text(b"<html><title/><p>a".to_vec(), Path::new(name));
        assert_eq!(page("a.XHTML").unwrap(), "a");
        assert_eq!(page("a.html"), Err(Fault::Empty));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(read(b" \r\n\t "), Err(Fault::Empty));
        assert_eq!(read(b"\xEF\xBB\xBF"), Err(Fault::Empty));
        assert_eq!(read(b"%PDF-1.7"), Err(Fault::Binary("a PDF")));
        assert_eq!(read(b"a\0b"), Err(Fault::Binary("binary data")));
        assert_eq!(read(b"\xff\xfea\0"), Err(Fault::Binary("text in UTF-16")));
        assert_eq!(read(b"abc\xe4 "), Err(Fault::NotUtf8 { at: 3 }));
        assert_eq!(text(b"<p> </p>".to_vec(), Path::new("a.HTM")), Err(Fault::Empty));
    }
}
