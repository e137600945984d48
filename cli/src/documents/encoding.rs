//! Which encoding a file is in, and its text.
//!
//! A mark at the beginning decides, then what a page says of itself, then the bytes: those that are
//! UTF-8 are, and of all others chardetng, Firefox's detector, is asked. Encodings are those of the
//! web (<https://encoding.spec.whatwg.org/>), under all their names: `latin1` is windows-1252.

use super::error::Fault;
use super::prescan::declared;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{DecoderResult, Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};
use std::char::decode_utf16;

/// How a document's bytes became its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Name of the encoding.
    pub encoding: &'static str,
    /// Whether nothing but the bytes says that it is this one, which is not UTF-8.
    pub is_judged: bool,
    /// Bytes that are none of its characters; U+FFFD stands for them.
    pub n_replaced: usize,
}

/// The text of a file, with its byte order mark gone. What a page declares counts where `is_page`.
///
/// # Errors
/// If it is no text, or in an encoding that is not of the web.
pub(super) fn decode(bytes: Vec<u8>, is_page: bool) -> Result<(String, Reading), Fault> {
    if is_utf_32(&bytes) {
        return Err(Fault::Encoding("UTF-32"));
    }
    if let Some((encoding, n_mark_bytes)) = Encoding::for_bom(&bytes) {
        return Ok(decode_as(encoding, &bytes[n_mark_bytes..], false));
    }
    if bytes.contains(&0) {
        let encoding = utf_16_order(&bytes).ok_or(Fault::Binary("binary data"))?;
        return Ok(decode_as(encoding, &bytes, true));
    }
    if is_page && let Some(encoding) = declared(&bytes) {
        return match encoding.name() {
            "replacement" => Err(Fault::Encoding("an encoding that browsers have given up")),
            _ => Ok(decode_as(encoding, &bytes, false)),
        };
    }
    let bytes = match String::from_utf8(bytes) {
        Ok(text) if !is_iso_2022_jp(text.as_bytes()) => {
            let reading = Reading { encoding: UTF_8.name(), is_judged: false, n_replaced: 0 };
            return Ok((text, reading));
        }
        Ok(text) => return Ok(decode_as(ISO_2022_JP, text.as_bytes(), true)),
        Err(error) => error.into_bytes(),
    };
    if bytes.iter().any(|&byte| is_binary(byte)) {
        return Err(Fault::Binary("binary data"));
    }
    let encoding = if is_nearly_utf_8(&bytes) { UTF_8 } else { judged(&bytes) };
    Ok(decode_as(encoding, &bytes, encoding != UTF_8))
}

/// What converters call the encoding of a file that is in UTF-16: with the order of its bytes where
/// no mark tells it.
pub fn utf_16_name(bytes: &[u8]) -> Option<&'static str> {
    match Encoding::for_bom(bytes) {
        _ if is_utf_32(bytes) => None,
        Some((encoding, _)) => (encoding != UTF_8).then_some("UTF-16"),
        None if bytes.contains(&0) => utf_16_order(bytes).map(Encoding::name),
        None => None,
    }
}

/// Whether a file has the mark of UTF-32, which begins as that of UTF-16 does.
fn is_utf_32(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff")
}

fn decode_as(encoding: &'static Encoding, bytes: &[u8], is_judged: bool) -> (String, Reading) {
    let (text, has_errors) = encoding.decode_without_bom_handling(bytes);
    let n_replaced = if has_errors { malformed_bytes(encoding, bytes) } else { 0 };
    (text.into_owned(), Reading { encoding: encoding.name(), is_judged, n_replaced })
}

/// How many bytes are no characters of an encoding.
fn malformed_bytes(encoding: &'static Encoding, mut bytes: &[u8]) -> usize {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let (mut decoded, mut n_malformed) = ([0; 4096], 0);
    loop {
        let (result, n_read, _) =
            decoder.decode_to_utf8_without_replacement(bytes, &mut decoded, true);
        bytes = &bytes[n_read..];
        match result {
            DecoderResult::InputEmpty => return n_malformed,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(n_bytes, _) => n_malformed += usize::from(n_bytes),
        }
    }
}

/// Whether a text has a byte that none has: <https://mimesniff.spec.whatwg.org/#binary-data-byte>,
/// but for 1A, with which files ended on DOS.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0B | 0x0E..=0x19 | 0x1C..=0x1F)
}

/// Whether bytes that are not UTF-8 are so by damage. Two bytes or more of another encoding hardly
/// ever make a character of UTF-8: in its texts the strays are several times as many.
fn is_nearly_utf_8(bytes: &[u8]) -> bool {
    let (mut n_characters, mut n_strays) = (0, 0);
    for chunk in bytes.utf8_chunks() {
        n_characters += chunk.valid().chars().filter(|character| !character.is_ascii()).count();
        n_strays += usize::from(!chunk.invalid().is_empty());
    }
    n_characters >= n_strays
}

fn judged(bytes: &[u8]) -> &'static Encoding {
    // One letter tells nothing but that the most usual encoding is the most likely.
    if bytes.iter().filter(|byte| !byte.is_ascii()).count() == 1 {
        return WINDOWS_1252;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(bytes, true);
    detector.guess(None, Utf8Detection::Deny)
}

/// Whether these bytes, all of them ASCII, switch to kanji by escape sequences.
fn is_iso_2022_jp(bytes: &[u8]) -> bool {
    let switches = bytes.windows(2).any(|pair| pair == b"\x1b$");
    switches && bytes.is_ascii() && !ISO_2022_JP.decode_without_bom_handling(bytes).1
}

/// The order of bytes in UTF-16 without a mark: that in which all is characters of a text, and more
/// than half of them are of alphabets.
///
/// The high bytes of these are 00 to 08, which no text in another encoding has. Half is not enough:
/// so many seem to be, two bytes at a time, where a zero ends each word of three letters.
fn utf_16_order(bytes: &[u8]) -> Option<&'static Encoding> {
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    let is_in_order = |unit: fn([u8; 2]) -> u16| {
        let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let (mut n_of_alphabets, mut n_others) = (0_usize, 0_usize);
        for character in decode_utf16(units) {
            let Ok(character) = character else { return false };
            let is_text = !character.is_control() || character.is_ascii_whitespace();
            if !is_text || matches!(character, '\u{FFFE}' | '\u{FFFF}') {
                return false;
            }
            match character < '\u{900}' {
                true => n_of_alphabets += 1,
                false => n_others += 1,
            }
        }
        n_of_alphabets > n_others
    };
    match (is_in_order(u16::from_le_bytes), is_in_order(u16::from_be_bytes)) {
        (true, false) => Some(UTF_16LE),
        (false, true) => Some(UTF_16BE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> (String, Reading) {
        decode(bytes.to_vec(), false).unwrap()
    }

    fn reading(encoding: &'static str, is_judged: bool, n_replaced: usize) -> Reading {
        Reading { encoding, is_judged, n_replaced }
    }

    #[test]
    fn marks_decide() {
        assert_eq!(read(b"\xEF\xBB\xBFa"), ("a".into(), reading("UTF-8", false, 0)));
        assert_eq!(read(b"\xff\xfea\0\xe4\0"), ("aä".into(), reading("UTF-16LE", false, 0)));
        assert_eq!(read(b"\xfe\xff\0a\xd8\0"), ("a\u{FFFD}".into(), reading("UTF-16BE", false, 2)));
        assert_eq!(decode(b"\xff\xfe\0\0a\0\0\0".to_vec(), true), Err(Fault::Encoding("UTF-32")));
    }

    #[test]
    fn strays_in_utf_8_are_replaced_and_counted() {
        let (text, found) = read("Käse, Brötchen\n".as_bytes());
        assert_eq!((text.as_str(), found), ("Käse, Brötchen\n", reading("UTF-8", false, 0)));
        let (text, found) = read(b"K\xc3\xa4se, \xff Br\xc3\xb6tchen \xe2\x82");
        assert_eq!(text, "Käse, \u{FFFD} Brötchen \u{FFFD}");
        assert_eq!(found, reading("UTF-8", false, 3));
        assert_eq!(read(b"na\xefve").1, reading("windows-1252", true, 0));
    }

    #[test]
    fn utf_16_is_known_without_a_mark() {
        for text in ["A letter.\nYours", "Ä, ö.", "Ābols – 3 €", "Two: 一二 三\n", "Привет, мир"]
        {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            assert_eq!(read(&little), (text.into(), reading("UTF-16LE", true, 0)));
            assert_eq!(read(&big), (text.into(), reading("UTF-16BE", true, 0)));
            assert_eq!(utf_16_name(&little), Some("UTF-16LE"));
            assert_eq!(utf_16_name(&big), Some("UTF-16BE"));
        }
        for binary in [&b"a\0b"[..], b"a\0b\0\0\0", b"\x01\0a\0", b"\0\xd8a\0", b"\x7fELF\0\0\0\0"]
        {
            assert_eq!(decode(binary.to_vec(), false), Err(Fault::Binary("binary data")));
        }
    }

    #[test]
    fn zeros_in_a_text_do_not_make_it_utf_16() {
        let mut text = "The whale, the sea. ".repeat(100).into_bytes();
        for at in [0, 501, 1000, text.len() - 1] {
            let mut text = text.clone();
            text[at] = 0;
            assert_eq!(decode(text.clone(), false), Err(Fault::Binary("binary data")), "{at}");
            assert_eq!(utf_16_name(&text), None, "{at}");
        }
        for at in (1..text.len()).step_by(20) {
            text[at] = 0;
        }
        // Words of three letters, each with a zero behind it; and Chinese, which needs a mark.
        let chinese: Vec<u8> = "一二 三\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for bytes in [text, b"the\0sea\0".repeat(9), b"\0the\0sea".repeat(9), chinese] {
            assert_eq!(decode(bytes, false), Err(Fault::Binary("binary data")));
        }
        for (bytes, name) in [
            (&b"\xff\xfe\0N"[..], Some("UTF-16")),
            (b"\xfe\xffN\0", Some("UTF-16")),
            (b"\xff\xfe\0\0a\0\0\0", None),
            (b"\xEF\xBB\xBFa\0", None),
            (b"", None),
        ] {
            assert_eq!(utf_16_name(bytes), name, "{bytes:?}");
        }
    }

    #[test]
    fn what_has_bytes_of_no_text_is_none() {
        assert_eq!(decode(b"\xe9\x02\x90".to_vec(), false), Err(Fault::Binary("binary data")));
        // The end of a file on DOS.
        assert_eq!(read(b"d\xe9j\xe0 vu\x1a").1.encoding, "windows-1252");
    }
}
