//! Bytes of a file to text.

use super::encoding::{Reading, decode};
use super::error::Fault;
use super::html;
use super::mail;
use std::path::Path;

/// How files of other kinds begin.
const MAGIC: [(&[u8], &str); 17] = [
    (b"%PDF-", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"PK\x03\x04", "a ZIP archive or an office document"),
    (b"\xD0\xCF\x11\xE0", "an office document"),
    (b"{\\rtf", "an RTF document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\x89PNG", "a picture"),
    (b"\xff\xd8\xff", "a picture"),
    (b"GIF87a", "a picture"),
    (b"GIF89a", "a picture"),
    (b"II*\0", "a picture"),
    (b"MM\0*", "a picture"),
];

/// Bytes in which a page shows that it is one, before its encoding is known.
const N_BEGINNING: usize = 1024;

/// The text of a file with these bytes, and how it was read.
pub(super) fn text(bytes: Vec<u8>, path: &Path) -> Result<(String, Reading), Fault> {
    let kind = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
    if let Some((_, kind)) = kind {
        return Err(Fault::Binary(kind));
    }
    let is_named_page = has_extension(path, &["html", "htm", "xhtml"]);
    let beginning = String::from_utf8_lossy(&bytes[..bytes.len().min(N_BEGINNING)]);
    let is_page = is_named_page || html::begins(&beginning);
    let (text, reading) = decode(bytes, is_page)?;
    if has_extension(path, &mail::EXTENSIONS) || mail::begins(&text) {
        return Err(Fault::Mail);
    }
    let text = if is_page || html::begins(&text) {
        html::text(&text, has_extension(path, &["xhtml"]))
    } else {
        text
    };
    Ok((plain(text)?, reading))
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

    fn named(name: &str, bytes: &[u8]) -> Result<String, Fault> {
        text(bytes.to_vec(), Path::new(name)).map(|(text, _)| text)
    }

    fn read(bytes: &[u8]) -> Result<String, Fault> {
        named("a.txt", bytes)
    }

    #[test]
    fn text_is_taken_as_it_is_but_for_marks_and_line_ends() {
        assert_eq!(read(b"a\n b").unwrap(), "a\n b");
        assert_eq!(read(b"\xEF\xBB\xBFa\r\n\r\nb\rc").unwrap(), "a\n\nb\nc");
        assert_eq!(read(b"<!DOCTYPE html><p>a<p>b").unwrap(), "a\n\nb");
        assert_eq!(read(b"a < b, <b>").unwrap(), "a < b, <b>");
        let page = |name: &str| named(name, b"<html><title/><p>a");
        assert_eq!(page("a.XHTML").unwrap(), "a");
        assert_eq!(page("a.html"), Err(Fault::Empty));
    }

    #[test]
    fn what_is_no_text_is_named() {
        assert_eq!(read(b" \r\n\t "), Err(Fault::Empty));
        assert_eq!(read(b"\xEF\xBB\xBF"), Err(Fault::Empty));
        assert_eq!(read(b"%PDF-1.7"), Err(Fault::Binary("a PDF")));
        assert_eq!(read(b"a\0b"), Err(Fault::Binary("binary data")));
        assert_eq!(read(b"GIF87a"), Err(Fault::Binary("a picture")));
        assert_eq!(named("a.HTM", b"<p> </p>"), Err(Fault::Empty));
    }

    #[test]
    fn what_pages_declare_counts_for_pages_alone() {
        let page = b"<html><meta charset=iso-8859-7><p>\xe4";
        for (name, expected) in [("a.html", "δ"), ("a", "δ"), ("a.txt", "δ")] {
            assert_eq!(named(name, page).unwrap(), expected, "{name}");
        }
        let text = b"The page has <meta charset=iso-8859-7>.\n\xdcbung.";
        assert!(named("a.txt", text).unwrap().ends_with("Übung."));
    }

    #[test]
    fn mails_are_told_by_name_or_headers() {
        assert_eq!(named("a.EML", b"a"), Err(Fault::Mail));
        assert_eq!(read(b"From: a@b.c\r\nMIME-Version: 1.0\r\n\r\na"), Err(Fault::Mail));
    }
}
