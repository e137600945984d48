//! The lines of the output.

use super::facts::Said;
use super::reduction::Answer;
use crate::jobs::Key;
use gatefold::engine::FinishReason;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a line says of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Fields", untagged)]
pub enum Line {
    /// It has a summary.
    Done(Summary),
    /// It has none.
    Failed(FailedLine),
}

/// How every line begins.
pub const LINE_START: &str = "{\"id\":";

/// The summary of a document.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub struct Summary {
    /// The document: its path as given, or its id field.
    pub id: String,
    /// Everything that the summary depends on.
    pub key: Key,
    /// The summary, or the facts.
    #[serde(flatten)]
    pub said: Said,
    /// The model's file.
    pub model: String,
    /// Tokens of all prompts that it took.
    pub prompt_tokens: usize,
    /// Tokens of the summary.
    pub summary_tokens: usize,
    /// From the first prompt to the last word; in company, the time is that of all.
    pub seconds: f64,
    /// Why the summary ended.
    pub finish_reason: FinishReason,
    /// Parts that the document had to be cut into; 1 for the whole.
    pub n_parts: usize,
}

/// Why a document has no summary.
#[derive(Clone, Debug, Serialize)]
pub struct FailedLine {
    /// The document.
    pub id: String,
    /// What is wrong with it.
    pub error: String,
}

impl Line {
    /// The document.
    pub fn id(&self) -> &str {
        match self {
            Line::Done(Summary { id, .. }) | Line::Failed(FailedLine { id, .. }) => id,
        }
    }
}

/// All fields of all kinds of lines.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    id: String,
    error: Option<String>,
    key: Option<Key>,
    summary: Option<String>,
    facts: Option<Box<RawValue>>,
    model: Option<String>,
    prompt_tokens: Option<usize>,
    summary_tokens: Option<usize>,
    seconds: Option<f64>,
    finish_reason: Option<FinishReason>,
    n_parts: Option<usize>,
}

impl TryFrom<Fields> for Line {
    type Error = &'static str;

    fn try_from(fields: Fields) -> Result<Line, &'static str> {
        let id = fields.id;
        if let Some(error) = fields.error {
            return Ok(Line::Failed(FailedLine { id, error }));
        }
        let said = match (fields.summary, fields.facts) {
            (Some(summary), None) => Some(Said::Summary(summary)),
            (None, facts) => facts.map(Said::Facts),
            _ => None,
        };
        let summary = || {
            Some(Summary {
                id,
                key: fields.key?,
                said: said?,
                model: fields.model?,
                prompt_tokens: fields.prompt_tokens?,
                summary_tokens: fields.summary_tokens?,
                seconds: fields.seconds?,
                finish_reason: fields.finish_reason?,
                n_parts: fields.n_parts?,
            })
        };
        summary().map(Line::Done).ok_or("there is neither a summary nor an error")
    }
}

/// The answer to a part of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PartLine {
    /// Everything that the answer depends on.
    pub key: Key,
    /// The document's id.
    pub document: String,
    /// The answer.
    pub answer: Answer,
}

/// How every line begins that has a part.
pub(super) const PART_START: &str = "{\"key\":";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_were_written() {
        let summary = Summary {
            id: "a \"b\"\n".into(),
            key: Key::of(&[]),
            said: Said::Summary("Ä.".into()),
            model: "tiny.gguf".into(),
            prompt_tokens: 3,
            summary_tokens: 2,
            seconds: 0.1,
            finish_reason: FinishReason::EndOfText,
            n_parts: 1,
        };
        let text = serde_json::to_string(&Line::Done(summary.clone())).unwrap();
        assert!(text.starts_with(LINE_START));
        assert!(matches!(serde_json::from_str(&text), Ok(Line::Done(read)) if read == summary));
        let facts = Summary { said: Said::facts("{\"b\": 1.50, \"a\": {}}").unwrap(), ..summary };
        let text = serde_json::to_string(&Line::Done(facts.clone())).unwrap();
        assert!(text.contains(r#","facts":{"b":1.50,"a":{}},"model":"#), "{text}");
        assert!(matches!(serde_json::from_str(&text), Ok(Line::Done(read)) if read == facts));
        let failed = Line::Failed(FailedLine { id: "a".into(), error: "e".into() });
        let text = serde_json::to_string(&failed).unwrap();
        assert_eq!(text, r#"{"id":"a","error":"e"}"#);
        assert!(matches!(serde_json::from_str(&text), Ok(Line::Failed(_))));
        for foreign in
            [r#"{"id":"a"}"#, r#"{"id":"a","text":"t"}"#, r#"{"id":"a","error":"e","t":0}"#]
        {
            assert!(serde_json::from_str::<Line>(foreign).is_err(), "{foreign}");
        }
    }
}
