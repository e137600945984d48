//! Forms with files: `multipart/form-data`, RFC 7578.
//!
//! Bytes go in as they come, and parts come out as they are complete: no more is held than the head of a
//! part and as much of its content as may be the beginning of a delimiter.

use crate::openai::Fault;
use axum::http::{HeaderMap, header};

/// Bytes of the head of a part, and of what comes before the first one.
const MOST_HEAD_BYTES: usize = 8 << 10;

/// Parts of a form.
const MOST_PARTS: usize = 32;

/// Bytes of a boundary: RFC 2046.
const MOST_BOUNDARY_BYTES: usize = 70;

/// A form on its way.
pub(super) struct Multipart {
    /// What stands before each part and behind the last, with the line break before it.
    delimiter: Vec<u8>,
    /// What is not understood yet.
    bytes: Vec<u8>,
    place: Place,
    n_parts: usize,
}

/// Where in a form its next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first part.
    Preamble,
    /// Behind a delimiter.
    Delimiter,
    Head,
    Content,
    /// Behind the last part.
    End,
}

/// What a form has, in its order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// A part begins.
    Head(Head),
    /// More of its content.
    Content(&'a [u8]),
    /// It ends.
    End,
}

/// What is said of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The field.
    pub name: String,
    /// What the file is called, if it is one.
    pub filename: Option<String>,
}

impl Multipart {
    /// A form with these headers.
    ///
    /// # Errors
    /// If they are those of something else.
    pub fn new(headers: &HeaderMap) -> Result<Multipart, Fault> {
        let boundary = boundary(headers).ok_or_else(|| {
            let message =
                "the body is no form; expected `Content-Type: multipart/form-data` with a boundary";
            Fault::new("invalid_content_type", message)
        })?;
        // What comes first has no line break before it.
        let (delimiter, bytes) = (format!("\r\n--{boundary}").into_bytes(), b"\r\n".to_vec());
        Ok(Multipart { delimiter, bytes, place: Place::Preamble, n_parts: 0 })
    }

    /// Takes more bytes, and hands on what is complete with them.
    ///
    /// # Errors
    /// If this is no form, and those of `take`.
    pub fn push(
        &mut self,
        bytes: &[u8],
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.bytes.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(n_bytes) = self.advance(start, take)? {
            start += n_bytes;
        }
        self.bytes.drain(..start);
        Ok(())
    }

    /// That all of it has come.
    ///
    /// # Errors
    /// If it has not.
    pub fn finish(&self) -> Result<(), Fault> {
        match self.place {
            Place::End => Ok(()),
            _ => Err(wrong("it ends before its last delimiter")),
        }
    }

    /// Understands something of what begins at `start`, and returns how many bytes that was; none if
    /// there are too few.
    fn advance(
        &mut self,
        start: usize,
        take: &mut dyn FnMut(Piece<'_>) -> Result<(), Fault>,
    ) -> Result<Option<usize>, Fault> {
        let left = &self.bytes[start..];
        match self.place {
            Place::Preamble => {
                let Some(end) = find(left, &self.delimiter) else {
                    return within_head(left).map(|()| None);
                };
                self.place = Place::Delimiter;
                Ok(Some(end + self.delimiter.len()))
            }
            Place::Delimiter => {
                // Blanks may stand there.
                let n_blanks = left.iter().take_while(|byte| b" \t".contains(byte)).count();
                let Some(end) = left.get(n_blanks..n_blanks + 2) else {
                    return within_head(left).map(|()| None);
                };
                self.place = match end {
                    b"\r\n" => Place::Head,
                    b"--" if n_blanks == 0 => Place::End,
                    _ => return Err(wrong("something else stands behind its boundary")),
                };
                Ok(Some(n_blanks + 2))
            }
            Place::Head => {
                let Some(end) = find(left, b"\r\n\r\n") else {
                    return within_head(left).map(|()| None);
                };
                within_head(&left[..end])?;
                self.n_parts += 1;
                if self.n_parts > MOST_PARTS {
                    return Err(wrong(&format!("it has more than {MOST_PARTS} parts")));
                }
                take(Piece::Head(head(&left[..end])?))?;
                self.place = Place::Content;
                Ok(Some(end + 4))
            }
            Place::Content => {
                let found = find(left, &self.delimiter);
                // Where there is none, one may have begun.
                let n_undecided = self.delimiter.len() - 1;
                let n_certain = found.unwrap_or(left.len().saturating_sub(n_undecided));
                if n_certain > 0 {
                    take(Piece::Content(&left[..n_certain]))?;
                }
                if found.is_none() {
                    return Ok(Some(n_certain).filter(|&n_certain| n_certain > 0));
                }
                take(Piece::End)?;
                self.place = Place::Delimiter;
                Ok(Some(n_certain + self.delimiter.len()))
            }
            // What comes behind it is passed over.
            Place::End => Ok(Some(left.len()).filter(|&n_left| n_left > 0)),
        }
    }
}

fn wrong(why: &str) -> Fault {
    Fault::new("invalid_form", format!("the body is no form: {why}"))
}

/// That what has no end yet may be a head.
fn within_head(bytes: &[u8]) -> Result<(), Fault> {
    match bytes.len() <= MOST_HEAD_BYTES {
        true => Ok(()),
        false => Err(wrong(&format!("a part has no head within {MOST_HEAD_BYTES} bytes"))),
    }
}

/// Where a delimiter begins. Line breaks are few in what is sent, and it begins with one.
fn find(bytes: &[u8], delimiter: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        start += bytes[start..].iter().position(|&byte| byte == delimiter[0])?;
        if bytes[start..].starts_with(delimiter) {
            return Some(start);
        }
        start += 1;
    }
}

fn boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, params) = content_type.split_once(';')?;
    let is_form = kind.trim().eq_ignore_ascii_case("multipart/form-data");
    let boundary = params_of(params).into_iter().find(|(name, _)| name == "boundary")?.1;
    let is_boundary = (1..=MOST_BOUNDARY_BYTES).contains(&boundary.len())
        && boundary.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    (is_form && is_boundary).then_some(boundary)
}

/// What the head of a part says.
fn head(bytes: &[u8]) -> Result<Head, Fault> {
    let text = String::from_utf8_lossy(bytes);
    let mut params = None;
    for line in text.split("\r\n") {
        let (name, value) = line.split_once(':').ok_or_else(|| wrong("a header has no value"))?;
        let (value, rest) = value.split_once(';').unwrap_or((value, ""));
        match (name.to_ascii_lowercase().as_str(), value.trim().to_ascii_lowercase().as_str()) {
            ("content-disposition", "form-data") => params = Some(params_of(rest)),
            ("content-transfer-encoding", encoding)
                if !matches!(encoding, "binary" | "7bit" | "8bit") =>
            {
                return Err(wrong("a part is encoded; expected the bytes themselves"));
            }
            _ => {}
        }
    }
    let params = params.ok_or_else(|| wrong("a part does not say which field it is"))?;
    let param = |wanted: &str| {
        params.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
    };
    let name = param("name").ok_or_else(|| wrong("a part has no name"))?;
    let filename = param("filename*").and_then(|value| extended(&value));
    Ok(Head { name, filename: filename.or_else(|| param("filename")) })
}

/// `UTF-8''%c3%a9`: a text as RFC 8187 writes it.
fn extended(value: &str) -> Option<String> {
    let mut parts = value.splitn(3, '\'');
    let charset = parts.next()?;
    let mut bytes = parts.nth(1)?.bytes();
    let mut text = Vec::new();
    while let Some(byte) = bytes.next() {
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        text.push(match byte {
            b'%' => (16 * digit()? + digit()?) as u8,
            byte => byte,
        });
    }
    charset.eq_ignore_ascii_case("utf-8").then(|| String::from_utf8(text).ok())?
}

/// `a=1; b="2"`: names and values. A quotation mark in a value has a backslash before it; browsers write
/// `%22`, which stays.
fn params_of(text: &str) -> Vec<(String, String)> {
    let mut params = Vec::new();
    let mut chars = text.chars().peekable();
    while chars.peek().is_some() {
        let name: String = chars.by_ref().take_while(|&c| c != '=').collect();
        let (mut value, mut is_quoted) = (String::new(), false);
        while let Some(c) = chars.next() {
            match c {
                '\\' if is_quoted => value.push(chars.next_if_eq(&'"').unwrap_or('\\')),
                '"' => is_quoted = !is_quoted,
                ';' if !is_quoted => break,
                c => value.push(c),
            }
        }
        params.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn form(content_type: &str) -> Result<Multipart, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap());
        Multipart::new(&headers)
    }

    /// The parts of a form that comes in these pieces: heads and contents.
    fn parts<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<(Head, Vec<u8>)>, Fault> {
        let mut form = form("multipart/form-data; boundary=b").unwrap();
        let (mut parts, mut n_ended) = (Vec::new(), 0);
        for piece in pieces {
            form.push(piece, &mut |piece| {
                match piece {
                    Piece::Head(head) => parts.push((head, Vec::new())),
                    Piece::Content(bytes) => parts.last_mut().unwrap().1.extend(bytes),
                    Piece::End => n_ended += 1,
                }
                Ok(())
            })?;
            assert!(form.bytes.len() <= MOST_HEAD_BYTES, "{}", form.bytes.len());
        }
        form.finish()?;
        assert_eq!(parts.len(), n_ended);
        Ok(parts)
    }

    fn part(head: &str, content: &[u8]) -> Vec<u8> {
        let head = format!("--b\r\nContent-Disposition: form-data; {head}\r\n\r\n");
        [head.as_bytes(), content, b"\r\n"].concat()
    }

    proptest! {
        /// Whatever the contents and however they come, what was put in comes out.
        #[test]
        fn parts_are_what_was_sent(
            contents in prop::collection::vec(
                prop::collection::vec(prop::sample::select(b"\r\n-ab".to_vec()), 0..40), 0..5),
            n_bytes in 1usize..50,
        ) {
            let contents: Vec<_> = contents.into_iter()
                .filter(|content| find(content, b"\r\n--b").is_none() && !content.starts_with(b"--b"))
                .filter(|content| !content.ends_with(b"\r\n--")).collect();
            let mut body: Vec<u8> =
                contents.iter().flat_map(|content| part("name=\"x\"", content)).collect();
            body.extend(b"--b--\r\n");
            let found = parts(body.chunks(n_bytes)).unwrap();
            let found: Vec<_> = found.into_iter().map(|(_, content)| content).collect();
            prop_assert_eq!(found, contents);
        }

        #[test]
        fn nonsense_is_refused(
            bytes in prop::collection::vec(prop::sample::select(b"\r\n-b:;=\"a".to_vec()), 0..80),
            n_bytes in 1usize..50,
        ) {
            let _ = parts(bytes.chunks(n_bytes));
        }
    }

    #[test]
    fn heads_are_read_as_clients_write_them() {
        for (written, name, filename) in [
            ("name=\"file\"; filename=\"a.jsonl\"", "file", Some("a.jsonl")),
            ("name=purpose", "purpose", None),
            ("name=file; filename*=UTF-8''a%20%C3%A9.jsonl", "file", Some("a \u{e9}.jsonl")),
            ("name=file; filename=\"b\"; filename*=utf-8'de'%c3%a9", "file", Some("\u{e9}")),
            ("name=file; filename=\"b\"; filename*=UTF-8''%f", "file", Some("b")),
            ("filename=\"a; b\\\"c\\d.jsonl\"; name=\"file\"", "file", Some("a; b\"c\\d.jsonl")),
            ("NAME=\"file\"; filename=\"../../etc/\u{e9}\"", "file", Some("../../etc/\u{e9}")),
        ] {
            let body = [&part(written, b"x")[..], b"--b--"].concat();
            let expected = Head { name: name.into(), filename: filename.map(Into::into) };
            assert_eq!(parts([&body[..]]).unwrap(), [(expected, b"x".to_vec())]);
        }
    }

    #[test]
    fn blanks_may_stand_behind_boundaries() {
        let head = "Content-Disposition: form-data; name=x\r\n\r\n";
        let body = format!("--b \t\r\n{head}1\r\n--b  \r\n{head}2\r\n--b-- \r\n");
        for n_bytes in [1, 7, 1000] {
            let found = parts(body.as_bytes().chunks(n_bytes)).unwrap();
            let contents: Vec<_> = found.into_iter().map(|(_, content)| content).collect();
            assert_eq!(contents, [b"1", b"2"]);
        }
    }

    #[test]
    fn what_is_no_form_is_refused() {
        for content_type in [
            "application/json",
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/mixed; boundary=b",
            &format!("multipart/form-data; boundary={}", "b".repeat(71)),
        ] {
            assert!(form(content_type).is_err(), "{content_type}");
        }
        assert!(form("Multipart/Form-Data; charset=utf-8; boundary=\"a b\"").is_ok());
        let long = [&b"--b\r\nContent-Disposition: "[..], &[b'a'; 10_000]].concat();
        let many: Vec<u8> = (0..40).flat_map(|_| part("name=\"x\"", b"")).collect();
        for body in [
            &b""[..],
            b"{}",
            b"--b\r\n",
            b"--b--",
            b"--bb\r\n\r\n--b--",
            b"--b\r\n\r\nx\r\n--b--",
            b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--",
            b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--",
            b"--b\r\nContent-Disposition: form-data; name=x\r\n\r\nx",
            b"--b\r\nContent-Disposition: form-data; name=x\r\nContent-Transfer-Encoding: base64\r\n\r\nx\r\n--b--",
            &[b'a'; 10_000],
            &long,
            &many,
        ] {
            let found = parts(body.chunks(4096));
            let is_empty = body == b"--b--";
            assert_eq!(found.is_ok(), is_empty, "{:?}: {found:?}", String::from_utf8_lossy(body));
        }
    }
}
