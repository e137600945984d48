//! What the model is asked.

use super::error::SummarizeError;
use gatefold::tokenizer::{ChatError, ChatTemplate, Message, Tokenizer};

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
    /// The message with `{text}`, and `{instruction}`, `{language}` and `{length}` if it likes.
    pub template: Option<String>,
}

/// The instruction comes first, so that all prompts begin alike: what they share is read once.
const TEMPLATE: &str = "{instruction}\n\n{text}";

const INSTRUCTION: &str = "Summarize this text";

impl PromptOptions {
    /// The instruction in full: `Summarize this text in one sentence, in German.`
    fn instruction(&self) -> String {
        let language = self.language.as_ref().map(|language| format!("in {language}"));
        let manner: Vec<String> =
            self.length.map(|it| it.phrase().into()).into_iter().chain(language).collect();
        let manner = manner.join(", ");
        match (&self.instruction, manner.as_str()) {
            (None, "") => format!("{INSTRUCTION}."),
            (None, manner) => format!("{INSTRUCTION} {manner}."),
            (Some(instruction), "") => instruction.clone(),
            (Some(instruction), manner) => format!("{instruction} Answer {manner}."),
        }
    }

    /// Prompts with these wishes.
    ///
    /// # Errors
    /// If the template has no place for the text.
    pub fn prompts(&self, chat: ChatTemplate) -> Result<Prompts, SummarizeError> {
        let instruction = self.instruction();
        let values = [
            ("{instruction}", instruction.as_str()),
            ("{language}", self.language.as_deref().unwrap_or("")),
            ("{length}", self.length.map_or("", Length::phrase)),
        ];
        let template = self.template.as_deref().unwrap_or(TEMPLATE);
        let around: Vec<String> = template
            .split("{text}")
            .map(|part| {
                // One pass, so that values are not searched for names.
                let (mut filled, mut rest) = (String::new(), part);
                while let Some(at) = rest.find('{') {
                    let (before, behind) = rest.split_at(at);
                    let value = values.iter().find(|(name, _)| behind.starts_with(name));
                    let (name, value) = value.unwrap_or(&("{", "{"));
                    filled.extend([before, value]);
                    rest = &behind[name.len()..];
                }
                filled + rest
            })
            .collect();
        match around.len() {
            1 => Err(SummarizeError::NoText),
            _ => Ok(Prompts { around, chat }),
        }
    }
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
            message(&PromptOptions { length, language, instruction, template: None })
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
    }

    #[test]
    fn templates_have_places_for_values() {
        let with = |template: &str| PromptOptions {
            template: Some(template.into()),
            language: Some("{text}".into()),
            ..PromptOptions::default()
        };
        let wishes = with("{ {language} {x} {{length}}\n{text}|{text}{");
        assert_eq!(message(&wishes), "{ {text} {x} {}\nTEXT {instruction}|TEXT {instruction}{");
        assert!(matches!(
            with("no place").prompts(ChatTemplate::mistral()),
            Err(SummarizeError::NoText)
        ));
    }
}
