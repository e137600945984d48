//! Calls of functions in the text of an answer.

use super::tools::Tools;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// A call of a function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Call {
    /// Which of the answer's, in a stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    /// Nine letters and digits, as Mistral's formats want them.
    pub(super) id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    pub(super) function: Function,
}

/// What is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Function {
    pub name: String,
    /// JSON.
    pub arguments: String,
}

impl Call {
    /// The same as a piece of a stream.
    pub(super) fn numbered(self, index: usize) -> Call {
        Call { index: Some(index), ..self }
    }
}

/// Where an answer stands.
#[derive(Clone, Copy)]
pub(super) struct Stand<'t> {
    /// The tokens that it follows.
    pub prompt: &'t [u32],
    /// Which it is of the answers to its request.
    pub index: usize,
    /// Its own tokens.
    pub tokens: &'t [u32],
}

/// A call as models write it; Llama's call the arguments parameters.
#[derive(Deserialize)]
struct Written {
    name: String,
    #[serde(alias = "parameters")]
    arguments: Box<RawValue>,
}

/// What Mistral's vocabularies that have no token for it spell.
const MISTRAL_MARK: &str = "[TOOL_CALLS]";

/// Around each call, by models that were taught with ChatML.
const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";

/// How texts begin that are calls, but for blanks.
const BEGINNINGS: [&str; 4] = ["[{", "{\"", MISTRAL_MARK, OPEN];

/// Whether a text that begins so may turn out to be calls.
pub(super) fn may_be_calls(text: &str) -> bool {
    let begun: String = text.chars().filter(|c| !c.is_whitespace()).take(16).collect();
    BEGINNINGS.iter().any(|known| known.starts_with(&begun) || begun.starts_with(known))
}

/// The calls that an answer consists of; none if it is anything else, or calls what there is none of.
/// Their names are made of where it stands, so that the same answer at the same place has the same, and
/// another has others.
pub(super) fn calls(text: &str, stand: &Stand, tools: &Tools) -> Option<Vec<Call>> {
    let text = text.trim();
    let text = text.strip_prefix(MISTRAL_MARK).unwrap_or(text).trim();
    let mut written = match text.strip_prefix(OPEN) {
        Some(rest) => in_marks(rest)?,
        None => serde_json::from_str(text)
            .or_else(|_| serde_json::from_str(text).map(|one: Written| vec![one]))
            .ok()?,
    };
    if !tools.is_parallel {
        written.truncate(1);
    }
    let calls = written.into_iter().enumerate().map(|(idx, Written { name, arguments })| {
        let arguments = object(&arguments)?;
        let function = Function { name, arguments };
        let is_known = tools.has(&function.name);
        is_known.then(|| Call { index: None, id: stand.id(idx), kind: "function", function })
    });
    let calls: Vec<Call> = calls.collect::<Option<_>>()?;
    Some(calls).filter(|calls| !calls.is_empty())
}

/// Calls, each between marks, behind the first mark.
fn in_marks(rest: &str) -> Option<Vec<Written>> {
    let calls = rest.split(OPEN).map(|call| {
        let call = call.trim();
        serde_json::from_str(call.strip_suffix(CLOSE).unwrap_or(call)).ok()
    });
    calls.collect()
}

/// Arguments as the text of an object, which some models write into a text once more.
fn object(arguments: &RawValue) -> Option<String> {
    let is_object = |text: &str| text.starts_with('{');
    match arguments.get() {
        text if is_object(text) => Some(text.to_owned()),
        text => {
            let text: String = serde_json::from_str(text).ok()?;
            let inner: Box<RawValue> = serde_json::from_str(&text).ok()?;
            Some(inner.get().to_owned()).filter(|text| is_object(text))
        }
    }
}

impl Stand<'_> {
    fn id(&self, idx: usize) -> String {
        const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let numbers =
            [idx, self.index, self.prompt.len()].map(|number| (number as u64).to_le_bytes());
        let mut digest = Sha256::new_with_prefix(numbers.concat());
        self.prompt.iter().chain(self.tokens).for_each(|token| digest.update(token.to_le_bytes()));
        let letter = |&byte: &u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        digest.finalize()[..9].iter().map(letter).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai::{Endpoint, Fields};
    use serde_json::{Value, json};
    use std::collections::HashSet;

    fn at<'t>(prompt: &'t [u32], index: usize, tokens: &'t [u32]) -> Stand<'t> {
        Stand { prompt, index, tokens }
    }

    fn offered(extra: Value) -> Tools {
        let tool = |name: &str| json!({"type": "function", "function": {"name": name}});
        let mut body = json!({"tools": [tool("f"), tool("g")]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let mut body = Fields::of_root(body, "body").unwrap();
        Tools::of(&mut body, Endpoint::Chat).unwrap().unwrap()
    }

    #[test]
    fn calls_are_read_in_every_way_that_models_write_them() {
        let tools = offered(json!({}));
        let one = [("f", "{\"a\": 1.50}")];
        let two = [("f", "{}"), ("g", "{\"b\":[]}")];
        let cases: [(&str, &[(&str, &str)]); 8] = [
            (r#" [{"name": "f", "arguments": {"a": 1.50}}]"#, &one),
            (r#"[TOOL_CALLS] [{"name":"f","arguments":{"a": 1.50},"id":"x"}]"#, &one),
            (r#"{"name": "f", "parameters": {"a": 1.50}}"#, &one),
            (r#"[{"name": "f", "arguments": "{\"a\": 1.50}"}]"#, &one),
            (r#"[{"name":"f","arguments":{}},{"name":"g","arguments":{"b":[]}}]"#, &two),
            (
                "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"name\":\"g\",\"arguments\":{\"b\":[]}}\n</tool_call>",
                &two,
            ),
            (r#"[{"name": "h", "arguments": {}}]"#, &[]),
            (r#"Call: [{"name": "f", "arguments": {}}]"#, &[]),
        ];
        for (text, expected) in cases {
            let found = calls(text, &at(&[3], 0, &[1, 2]), &tools).unwrap_or_default();
            let pairs = found.iter().map(|it| (&*it.function.name, &*it.function.arguments));
            assert_eq!(pairs.collect::<Vec<_>>(), expected, "{text}");
            assert!(expected.is_empty() || may_be_calls(text), "{text}");
            for call in &found {
                assert!(call.id.len() == 9 && call.id.bytes().all(|b| b.is_ascii_alphanumeric()));
            }
        }
        let text = cases[4].0;
        let ids = |stand: Stand| {
            let calls = calls(text, &stand, &tools).unwrap();
            calls.into_iter().map(|call| call.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(at(&[3], 0, &[1])), ids(at(&[3], 0, &[1])));
        let others = [at(&[3], 0, &[2]), at(&[3], 1, &[1]), at(&[4], 0, &[1]), at(&[3, 1], 0, &[])];
        let all: HashSet<String> =
            others.into_iter().chain([at(&[3], 0, &[1])]).flat_map(ids).collect();
        assert_eq!(all.len(), 10);
        let single = offered(json!({"parallel_tool_calls": false}));
        assert_eq!(calls(text, &at(&[], 0, &[1]), &single).unwrap().len(), 1);
        for other in ["No", "[1]", "[", "{", "<b>", "[]", "{}", "<tool_call>"] {
            assert_eq!(calls(other, &at(&[], 0, &[]), &tools), None, "{other}");
        }
        assert!(!may_be_calls("[1") && !may_be_calls("Hello") && may_be_calls(" [ "));
    }
}
