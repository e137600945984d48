//! Facts in place of prose: what a JSON Schema asks of a text.

use gatefold::constraint::Constraint;
use gatefold::grammar::{GRAMMARS_REVISION, Source};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

/// What the answers to texts are to be. Only the last answer of a text is held to it: those to parts
/// are read once more.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What holds them to the schema.
    pub constraint: Arc<dyn Constraint>,
    /// The schema.
    pub source: Source,
}

impl Facts {
    /// Stands for the schema and for what enforces it.
    pub(super) fn identity(&self) -> String {
        format!("{GRAMMARS_REVISION} {}", self.source.text())
    }
}

/// What is said of a document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// In prose.
    Summary(String),
    /// As JSON, on one line.
    Facts(Box<RawValue>),
}

impl Said {
    /// The facts in an answer, unless that is not whole.
    pub(super) fn facts(answer: &str) -> Option<Said> {
        serde_json::from_str(&without_blanks(answer)).ok().map(Said::Facts)
    }

    /// The words, or the JSON.
    pub fn text(&self) -> &str {
        match self {
            Said::Summary(text) => text,
            Said::Facts(facts) => facts.get(),
        }
    }
}

impl PartialEq for Said {
    fn eq(&self, other: &Said) -> bool {
        self.text() == other.text()
    }
}

/// A JSON text without the blanks between its parts. Numbers stay as they are written.
fn without_blanks(json: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let is_part = |&c: &char| {
        let is_quote = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        is_in_text ^= is_quote;
        is_in_text || !c.is_ascii_whitespace()
    };
    json.chars().filter(is_part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_on_one_line_and_stay_what_they_are() {
        let text = "{ \"a b\" :\n1.50,\t\"c\\\" d\": [12345678901234567890123 , \"\\\\\"] }";
        let facts = Said::facts(text).unwrap();
        let expected = r#"{"a b":1.50,"c\" d":[12345678901234567890123,"\\"]}"#;
        assert_eq!(facts.text(), expected);
        assert!(Said::facts(&text[..text.len() - 1]).is_none());
    }
}
