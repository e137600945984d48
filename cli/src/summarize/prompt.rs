//! What the model is asked.

use super::error::SummarizeError;
use gatefold::tokenizer::{ChatError, ChatTemplate, Message, Tokenizer};
use std::iter;

/// How long a summary is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// One sentence.
    Sentence,
    /// One paragraph.
    Paragraph,
    /// A list.
    Bullets,
}

impl Length {
    /// All of them, by name.
    pub const ALL: [(&str, Length); 3] = [
        ("sentence", Length::Sentence),
        ("paragraph", Length::Paragraph),
        ("bullets", Length::Bullets),
    ];

    fn phrase(self) -> &'static str {
        match self {
            Length::Sentence => "in one sentence",
            Length::Paragraph => "in one paragraph",
            Length::Bullets => "as a list of bullet points",
        }
    }

    /// Tokens that do for a summary of this length; of any, where none is asked for.
    pub fn default_tokens(length: Option<Length>) -> usize {
        match length {
            Some(Length::Sentence) => 96,
            Some(Length::Paragraph) | None => 256,
            Some(Length::Bullets) => 384,
        }
    }
}

/// What is asked of a model.
#[derive(Clone, Debug, Default)]
pub struct PromptOptions {
    /// What to do with a text, in place of "Summarize this text".
    pub instruction: Option<String>,
    /// In which language.
    pub language: Option<String>,
    /// At which length.
    pub length: Option<Length>,
    /// The JSON Schema of facts that are wanted in place of a summary.
    pub schema: Option<String>,
    /// The message with `{text}`, and `{instruction}`, `{language}` and `{length}` if it likes;
    /// `{{text}}` says `{text}`.
    pub template: Option<String>,
}

/// The instruction comes first, so that all prompts begin alike: what they share is read once.
const TEMPLATE: &str = "{instruction}\n\n{text}";

const INSTRUCTION: &str = "Summarize this text";

const FACTS_INSTRUCTION: &str = "Tell the facts that this text has";

impl PromptOptions {
    /// The instruction in full: `Summarize this text in one sentence, in German.`
    fn instruction(&self) -> String {
        let language = self.language.as_ref().map(|language| format!("in {language}"));
        let manner: Vec<String> =
            self.length.map(|it| it.phrase().into()).into_iter().chain(language).collect();
        let manner = manner.join(", ");
        let own = if self.schema.is_some() { FACTS_INSTRUCTION } else { INSTRUCTION };
        let instruction = match (&self.instruction, manner.as_str()) {
            (None, "") => format!("{own}."),
            (None, manner) => format!("{own} {manner}."),
            (Some(instruction), "") => instruction.clone(),
            (Some(instruction), manner) => format!("{instruction} Answer {manner}."),
        };
        match &self.schema {
            None => instruction,
            Some(schema) => {
                format!("{instruction} Answer with JSON alone, by this JSON Schema:\n{schema}")
            }
        }
    }

    /// Prompts with these wishes.
    ///
    /// # Errors
    /// If the template has no place for the text, or places for what nobody knows.
    pub fn prompts(&self, chat: ChatTemplate) -> Result<Prompts, SummarizeError> {
        let instruction = self.instruction();
        let (mut around, mut unknown) = (vec![String::new()], Vec::new());
        for piece in pieces(self.template()) {
            let value = match piece {
                Piece::Words(words) => words,
                Piece::Place("{instruction}") => instruction.as_str(),
                Piece::Place("{language}") => self.language.as_deref().unwrap_or(""),
                Piece::Place("{length}") => self.length.map_or("", Length::phrase),
                Piece::Place("{text}") => {
                    around.push(String::new());
                    continue;
                }
                Piece::Place(place) => {
                    unknown.push(place);
                    continue;
                }
            };
            around.last_mut().expect("there is always one").push_str(value);
        }
        if !unknown.is_empty() {
            unknown.dedup();
            return Err(SummarizeError::UnknownPlaces { places: unknown.join(" ") });
        }
        match around.len() {
            1 => Err(SummarizeError::NoText),
            _ => Ok(Prompts { around, chat }),
        }
    }

    /// The flags of wishes that the template has no place for.
    pub fn without_place(&self) -> Vec<&'static str> {
        let has_instruction = self.has("{instruction}");
        let flags = [
            ("--instruction", self.instruction.is_some(), has_instruction),
            ("--language", self.language.is_some(), has_instruction || self.has("{language}")),
            ("--length", self.length.is_some(), has_instruction || self.has("{length}")),
            ("--schema", self.schema.is_some(), has_instruction),
        ];
        let lost = flags.into_iter().filter(|&(_, is_given, has_place)| is_given && !has_place);
        lost.map(|(flag, ..)| flag).collect()
    }

    /// The flags of wishes that the template has a place for, and that were not given: nothing is said
    /// there.
    pub fn without_value(&self) -> Vec<&'static str> {
        let flags = [
            ("--language", self.language.is_none() && self.has("{language}")),
            ("--length", self.length.is_none() && self.has("{length}")),
        ];
        flags.into_iter().filter(|&(_, is_missing)| is_missing).map(|(flag, _)| flag).collect()
    }

    fn has(&self, place: &str) -> bool {
        pieces(self.template()).any(|piece| piece == Piece::Place(place))
    }

    fn template(&self) -> &str {
        self.template.as_deref().unwrap_or(TEMPLATE)
    }
}

/// A piece of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    /// What is said as it is.
    Words(&'a str),
    /// A name in braces, with them: what it stands for is said.
    Place(&'a str),
}

/// The pieces of a template. A name in braces is a place; in two pairs of them, as `{{text}}`, it is
/// the name in one pair, said as it is. All other braces are words like any.
fn pieces(template: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = template;
    iter::from_fn(move || {
        let (words, behind) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
        if !words.is_empty() {
            rest = behind;
            return Some(Piece::Words(words));
        }
        if rest.is_empty() {
            return None;
        }
        let escaped = rest[1..].strip_prefix('{').and_then(|_| place(&rest[1..]));
        let escaped = escaped.filter(|place| rest[1 + place.len()..].starts_with('}'));
        let (piece, n_bytes) = match (escaped, place(rest)) {
            (Some(words), _) => (Piece::Words(words), words.len() + 2),
            (None, Some(place)) => (Piece::Place(place), place.len()),
            (None, None) => (Piece::Words("{"), 1),
        };
        rest = &rest[n_bytes..];
        Some(piece)
    })
}

/// The name in braces that a text begins with. Spaces around it, as Jinja has them, are a slip that
/// should not go unseen.
fn place(text: &str) -> Option<&str> {
    let end = text.find('}')?;
    let name = text[..end].strip_prefix('{')?.trim_matches(' ');
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    is_name.then(|| &text[..=end])
}

/// Makes prompts of texts.
#[derive(Clone, Debug)]
pub struct Prompts {
    /// The message, cut at the places for the text.
    around: Vec<String>,
    /// How the model wants messages written.
    chat: ChatTemplate,
}

impl Prompts {
    /// The tokens that ask for a summary of `text`.
    ///
    /// # Errors
    /// If the chat template cannot write it.
    pub fn encode(&self, tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>, ChatError> {
        let message = self.around.join(text);
        self.chat.encode(tokenizer, &[Message::new("user", message)])
    }

    /// Everything that prompts depend on but the texts and the model.
    pub fn identity(&self) -> String {
        format!("{:?} {:?}", self.around, self.chat.source())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(wishes: &PromptOptions) -> String {
        wishes.prompts(ChatTemplate::mistral()).unwrap().around.join("TEXT {instruction}")
    }

    #[test]
    fn wishes_become_an_instruction() {
        let wishes = |length, language: Option<&str>, instruction: Option<&str>| {
            let (language, instruction) = (language.map(Into::into), instruction.map(Into::into));
            message(&PromptOptions { length, language, instruction, ..Default::default() })
        };
        let text = "\n\nTEXT {instruction}";
        assert_eq!(wishes(None, None, None), format!("Summarize this text.{text}"));
        assert_eq!(
            wishes(Some(Length::Sentence), Some("German"), None),
            format!("Summarize this text in one sentence, in German.{text}")
        );
        assert_eq!(wishes(None, None, Some("Who?")), format!("Who?{text}"));
        assert_eq!(
            wishes(Some(Length::Bullets), None, Some("Who?")),
            format!("Who? Answer as a list of bullet points.{text}")
        );
        let facts = |instruction: Option<&str>| {
            let (instruction, schema) = (instruction.map(Into::into), Some("{}".into()));
            message(&PromptOptions { instruction, schema, ..Default::default() })
        };
        let by_schema = "Answer with JSON alone, by this JSON Schema:\n{}";
        assert_eq!(facts(None), format!("Tell the facts that this text has. {by_schema}{text}"));
        assert_eq!(facts(Some("Who?")), format!("Who? {by_schema}{text}"));
    }

    #[test]
    fn templates_have_places_for_values() {
        let with = |template: &str| PromptOptions {
            template: Some(template.into()),
            language: Some("{text}".into()),
            ..PromptOptions::default()
        };
        let wishes = with("{ {language} {1} {{length}} {{{x}}}\n{text}|{text}{");
        let expected = "{ {text} {1} {length} {{x}}\nTEXT {instruction}|TEXT {instruction}{";
        assert_eq!(message(&wishes), expected);
        let as_is = r#"{"a": {"b": {}}} {a: b} {{"c": 1}} } { "#;
        assert_eq!(
            message(&with(&format!("{as_is}{{text}}"))),
            as_is.to_owned() + "TEXT {instruction}"
        );
        let error = |template: &str| match with(template).prompts(ChatTemplate::mistral()) {
            Err(error) => error.to_string(),
            Ok(prompts) => panic!("{prompts:?}"),
        };
        assert!(error("no place").contains("has no {text} in it"));
        assert!(error("{{text}}").contains("has no {text} in it"));
        let unknown = error("{text} {foo} {foo} { text } {Text} {{bar}}");
        assert!(unknown.contains("{foo} { text } {Text} in it"), "{unknown}");
    }

    #[test]
    fn what_a_template_has_no_place_for_is_known() {
        let with = |template: &str| PromptOptions {
            instruction: Some("Who?".into()),
            language: Some("French".into()),
            template: Some(template.into()),
            ..PromptOptions::default()
        };
        assert_eq!(with("{text}").without_place(), ["--instruction", "--language"]);
        let places = with("{language} {{instruction}} {length} {text}");
        assert_eq!(places.without_place(), ["--instruction"]);
        assert_eq!(places.without_value(), ["--length"]);
        let places = with("{instruction} {text}");
        assert!(places.without_place().is_empty() && places.without_value().is_empty());
    }
}
