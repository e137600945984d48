//! The forms in which summaries are written.

use super::line::{FailedLine, Line, Summary};
use gatefold::text::printable;
use std::path::Path;

/// How summaries are written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A JSON object per line, with everything there is to know.
    Jsonl,
    /// A heading for each document, and its summary.
    Markdown,
    /// Plain text.
    Text,
}

impl Form {
    /// All of them, by name.
    pub const ALL: [(&str, Form); 3] =
        [("jsonl", Form::Jsonl), ("markdown", Form::Markdown), ("text", Form::Text)];

    /// The form of an output with this name, where this one is asked for: JSON lines, if that is how
    /// the name ends.
    pub fn of_file(self, path: &Path) -> Form {
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_lines = |ending: &str| {
            ["jsonl", "ndjson", "json"].iter().any(|lines| lines.eq_ignore_ascii_case(ending))
        };
        if ending.is_some_and(is_lines) { Form::Jsonl } else { self }
    }

    /// How the names of files end that hold a single summary.
    pub(super) fn extension(self) -> &'static str {
        match self {
            Form::Jsonl => "json",
            Form::Markdown => "md",
            Form::Text => "txt",
        }
    }

    /// A line in this form; one that stands alone needs no heading.
    pub(super) fn write(self, line: &Line, is_alone: bool) -> Vec<u8> {
        let said = match line {
            Line::Done(Summary { said, .. }) => said.text().to_owned(),
            Line::Failed(FailedLine { error, .. }) => format!("(no summary: {error})"),
        };
        let id = printable(line.id());
        let text = match self {
            Form::Jsonl => serde_json::to_string(line).expect("lines are JSON") + "\n",
            Form::Markdown => format!("## {id}\n\n{said}\n\n"),
            Form::Text if is_alone => format!("{said}\n"),
            Form::Text => format!("==> {id} <==\n{said}\n\n"),
        };
        text.into_bytes()
    }

    /// Whether these bytes are what [`Self::write`] makes of this summary alone, but for the time
    /// that it took.
    pub(super) fn has_written(self, bytes: &[u8], summary: &Summary) -> bool {
        match self {
            Form::Jsonl => {
                let Ok(Line::Done(there)) = serde_json::from_slice(bytes) else { return false };
                Summary { seconds: summary.seconds, ..there } == *summary
            }
            Form::Markdown | Form::Text => bytes == self.write(&Line::Done(summary.clone()), true),
        }
    }
}
