//! Text from the command line, a file or stdin.

use super::stdin::{is_piped, read_stdin};
use crate::documents::utf_16_name;
use crate::terminal::print_note;
use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use gatefold::text::printable;
use std::fs;
use std::path::{Path, PathBuf};

/// The byte order mark of UTF-8.
const MARK: &[u8] = "\u{FEFF}".as_bytes();

/// Where text comes from.
#[derive(Args)]
pub struct TextArgs {
    /// The text itself
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file", allow_hyphen_values = true)]
    pub prompt: Option<String>,

    /// A file with the text; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Take \n, \t, \", \', \\ and \xHH on the command line for the characters they stand for
    #[arg(short, long)]
    escape: bool,
}

/// Where text comes from, if it can be given without a flag too.
#[derive(Args)]
pub struct WordsArgs {
    #[command(flatten)]
    text: TextArgs,

    /// The text itself, without -p
    #[arg(value_name = "TEXT", conflicts_with_all = ["prompt", "file"])]
    words: Vec<String>,
}

impl WordsArgs {
    /// The text's arguments, with the words as if they had been given with -p.
    ///
    /// # Errors
    /// If they are the name of a model.
    pub fn resolve(self) -> Result<TextArgs> {
        let WordsArgs { mut text, words } = self;
        let Some(first) = words.first() else { return Ok(text) };
        ensure!(
            !is_model(first),
            "{first} stands where the text must; name the model with -m: -m {first} (or give the text with -p, if this is one)",
            first = printable(first)
        );
        if words.len() == 1 && Path::new(first).is_file() {
            print_note(format_args!(
                "note: {} is taken as the text itself; -f reads the file",
                printable(first)
            ));
        }
        text.prompt = Some(words.join(" "));
        Ok(text)
    }
}

impl TextArgs {
    /// Whether neither was given.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_none() && self.file.is_none()
    }

    /// The text; from stdin where neither was given.
    ///
    /// # Errors
    /// If it cannot be read or is not UTF-8.
    pub fn read(&self) -> Result<String> {
        if let Some(prompt) = &self.prompt {
            return if self.escape { unescaped(prompt) } else { Ok(prompt.clone()) };
        }
        read_file(self.file.as_deref().unwrap_or(Path::new("-")))
    }

    /// The text as what is asked of a model first, in a chat whose other messages come from stdin.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8 or is blank.
    pub fn read_first(&self) -> Result<String> {
        self.checked(self.read()?)
    }

    /// The text as what is asked of a model: behind a text on the command line or in a file, a blank
    /// line and what is piped in.
    ///
    /// # Errors
    /// If it cannot be read, is not UTF-8 or is blank.
    pub fn read_prompt(&self) -> Result<String> {
        let text = self.read()?;
        let is_stdin = self.prompt.is_none() && self.file.as_deref().is_none_or(is_dash);
        if is_stdin || !is_piped() {
            return self.checked(text);
        }
        let piped = text_in("stdin", read_stdin()?)?;
        self.checked(match (is_blank(&text), is_blank(&piped)) {
            (_, true) => text,
            (true, false) => piped,
            (false, false) => [text.trim_end_matches('\n'), &piped].join("\n\n"),
        })
    }

    /// The text, unless it is blank: a model would answer to nothing.
    fn checked(&self, text: String) -> Result<String> {
        let whose = match (&self.prompt, &self.file) {
            (Some(_), _) => String::new(),
            (None, Some(path)) if !is_dash(path) => {
                format!(", {} has no text", path.display())
            }
            (None, _) => ", stdin has no text".to_owned(),
        };
        ensure!(
            !is_blank(&text),
            "the prompt is empty{whose}; give one with -p, in a file with -f, or through a pipe"
        );
        Ok(text)
    }
}

/// Whether a text is the name of a model, and no sentence.
pub fn is_model(text: &str) -> bool {
    text.to_ascii_lowercase().ends_with(".gguf") && !text.contains(char::is_whitespace)
}

/// The text in a file; `-` is stdin.
///
/// # Errors
/// If it cannot be read or is not UTF-8.
pub fn read_file(path: &Path) -> Result<String> {
    if is_dash(path) {
        return text_in("stdin", read_stdin()?);
    }
    let name = path.display().to_string();
    text_in(&name, fs::read(path).with_context(|| format!("cannot read {name}"))?)
}

/// Whether a file's name stands for stdin.
fn is_dash(path: &Path) -> bool {
    path == Path::new("-")
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// The text with what escapes stand for, which for `\x41` is a byte; what is none stays.
fn unescaped(text: &str) -> Result<String> {
    let mut unescaped = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('\\') {
        unescaped.extend(before.bytes());
        let byte = |digits: &str| u8::from_str_radix(digits, 16).ok();
        let hex = behind.strip_prefix('x').and_then(|digits| byte(digits.get(..2)?));
        let (byte, len) = match (behind.chars().next(), hex) {
            (Some('n'), _) => (b'\n', 1),
            (Some('r'), _) => (b'\r', 1),
            (Some('t'), _) => (b'\t', 1),
            (Some(quoted @ ('\'' | '"' | '\\')), _) => (quoted as u8, 1),
            (_, Some(byte)) => (byte, 3),
            _ => (b'\\', 0),
        };
        unescaped.push(byte);
        rest = &behind[len..];
    }
    unescaped.extend(rest.bytes());
    utf8("the prompt, with its escapes", unescaped)
}

/// The text of a file, with its byte order mark gone: editors put it there, not the author.
///
/// # Errors
/// If it is not UTF-8. UTF-16 may look as if it were, with a zero between any two letters.
fn text_in(name: &str, mut bytes: Vec<u8>) -> Result<String> {
    if let Some(encoding) = utf_16_name(&bytes) {
        bail!(
            "{name} is UTF-16 text, and UTF-8 is read; convert it: iconv -f {encoding} -t UTF-8 FILE > FILE.utf8"
        );
    }
    if bytes.starts_with(MARK) {
        bytes.drain(..MARK.len());
    }
    utf8(name, bytes)
}

fn utf8(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{name} is not UTF-8 text: byte {at} does not belong to a character; convert it, with iconv for example")
    })
}

#[cfg(test)]
mod tests {
    use super::{text_in, unescaped};

    #[test]
    fn escapes_are_read_and_other_backslashes_stay() {
        for (text, expected) in [
            (r"a\nb\tc\rd", "a\nb\tc\rd"),
            (r#"\"it\'s\""#, "\"it's\""),
            (r"C:\\new \d \", "C:\\new \\d \\"),
            (r"\x41\xc3\xa9\x4g\x€", "Aé\\x4g\\x€"),
        ] {
            assert_eq!(unescaped(text).unwrap(), expected);
        }
        let error = unescaped(r"a\xe9").unwrap_err().to_string();
        assert!(error.contains("byte 1 does not belong to a character"), "{error}");
    }

    #[test]
    fn files_have_their_mark_taken_off_and_utf_16_is_named() {
        for (bytes, expected) in [
            (&b"\xEF\xBB\xBFa\r\n"[..], "a\r\n"),
            (b"\xEF\xBB\xBF\xEF\xBB\xBFa", "\u{FEFF}a"),
            (b"\xEF\xBB\xBF", ""),
            (b"a\0b\0c", "a\0b\0c"),
            (b"the\0sea\0", "the\0sea\0"),
            (b"\0", "\0"),
            (b"", ""),
        ] {
            assert_eq!(text_in("a.txt", bytes.to_vec()).unwrap(), expected);
        }
        for (bytes, from) in [
            (&b"\xff\xfea\0"[..], "-f UTF-16 -t UTF-8"),
            (b"\xfe\xff\0a", "-f UTF-16 -t UTF-8"),
            (b"a\0b\0", "-f UTF-16LE -t UTF-8"),
            (b"\0a\0b", "-f UTF-16BE -t UTF-8"),
        ] {
            let error = text_in("a.txt", bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains("a.txt is UTF-16 text") && error.contains(from), "{error}");
        }
        // Bytes that were asked for one by one are what was asked for.
        assert_eq!(unescaped(r"a\x00b\x00").unwrap(), "a\0b\0");
    }
}
