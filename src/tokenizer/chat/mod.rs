//! Conversations to prompts.
//!
//! A template writes a conversation as text, and the text is encoded with its special tokens
//! (`prompt`). The template is the file's own, one that was given, or that of a known format
//! (`known`): the one that the vocabulary has tokens for, else Mistral's first. What a template
//! refuses or leaves out is put into a form that it takes (`fold`), and where it knows no functions,
//! these are told in words (`tools`).

mod checked;
mod date;
mod fold;
mod jinja;
mod known;
mod limits;
mod prompt;
mod python;
mod rewrite;
mod tools;

use super::keys::CHAT_TEMPLATE;
use super::{Tokenizer, TokenizerError};
use crate::gguf::Metadata;
use crate::text::printable;
pub use date::Date;
use jinja::Conversation;
pub use prompt::Prompt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;
use thiserror::Error;
use tools::Plain;
pub use tools::{FunctionCall, ToolCall};

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whose it is: `system`, `user` or `assistant`; `developer`, which is the system where the
    /// template does not speak of one; `tool`.
    pub role: String,
    /// What it says.
    pub content: String,
    /// The functions that an assistant calls with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call whose result a tool tells with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        let (role, content) = (role.into(), content.into());
        Message { role, content, tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// Why a conversation could not be made a prompt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is not valid Jinja.
    #[error("{origin} cannot be used: {reason}")]
    Syntax {
        /// Where it is from.
        origin: Origin,
        /// What the engine says.
        reason: String,
    },
    /// The template ran into an error, or raised one.
    #[error("the chat template cannot write this conversation: {reason}")]
    Template {
        /// What the template says.
        reason: String,
    },
    /// The template writes a conversation without one of its messages.
    #[error("the chat template leaves out message {number}, which is from `{}`", printable(role))]
    LeftOut {
        /// Which, from 1 on.
        number: usize,
        /// Whose it is.
        role: String,
    },
    /// The machine did not bring the template to its end, for which another time may be better.
    #[error("the chat template cannot write this conversation now: {reason}")]
    Machine {
        /// What it lacked.
        reason: String,
    },
    /// The messages use every character that could guard the spelling of control tokens.
    #[error("the messages contain all private-use characters, of which one must be free")]
    NoGuard,
    /// The key has the wrong type, or the prompt could not be encoded.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}

/// Where a template is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The file carries it.
    File,
    /// Whoever runs the model has given it, or the name of its format.
    Given,
    /// The file has none, and the vocabulary has the tokens of its format.
    Vocabulary,
    /// The file has none, and nothing tells which would be right.
    Fallback,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File => write!(f, "the file's `{CHAT_TEMPLATE}`"),
            Origin::Given => f.write_str("the given chat template"),
            Origin::Vocabulary => f.write_str("the chat template that the vocabulary tells"),
            Origin::Fallback => f.write_str("the chat template for want of another"),
        }
    }
}

/// How a model wants its conversations written.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    name: Option<&'static str>,
    origin: Origin,
    date: Option<Date>,
    is_strict: bool,
}

impl ChatTemplate {
    /// The template that a file carries, if it does. An empty one is none.
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<ChatTemplate>, ChatError> {
        let source = metadata.str(CHAT_TEMPLATE).map_err(TokenizerError::from)?;
        let source = source.filter(|source| !source.trim().is_empty());
        source.map(|source| ChatTemplate::checked(source, Origin::File)).transpose()
    }

    /// A template in Jinja.
    ///
    /// # Errors
    /// If it is not valid.
    pub fn from_source(source: &str) -> Result<ChatTemplate, ChatError> {
        ChatTemplate::checked(source, Origin::Given)
    }

    /// That of a known format, by its [name](Self::names).
    pub fn by_name(name: &str) -> Option<ChatTemplate> {
        ChatTemplate::known(name, Origin::Given)
    }

    /// The names of all known formats: `chatml`, `llama3`.
    pub fn names() -> impl Iterator<Item = &'static str> {
        known::names()
    }

    /// That of the format which a vocabulary has tokens for, else Mistral's of 8x7B.
    pub fn for_vocabulary(tokenizer: &Tokenizer) -> ChatTemplate {
        let (name, origin) = match known::told_by(tokenizer) {
            Some(name) => (name, Origin::Vocabulary),
            None => (known::FALLBACK, Origin::Fallback),
        };
        ChatTemplate::known(name, origin).expect("what is told is known")
    }

    /// Mistral's instruct format of 8x7B: `<s>[INST] question [/INST] answer</s>[INST] next [/INST]`.
    pub fn mistral() -> ChatTemplate {
        ChatTemplate::known(known::FALLBACK, Origin::Given).expect("the fallback is known")
    }

    fn checked(source: &str, origin: Origin) -> Result<ChatTemplate, ChatError> {
        jinja::check(source).map_err(|reason| ChatError::Syntax { origin, reason })?;
        let source = source.to_owned();
        Ok(ChatTemplate { source, name: None, origin, date: None, is_strict: false })
    }

    fn known(name: &str, origin: Origin) -> Option<ChatTemplate> {
        let (name, source) = known::by_name(name)?;
        let source = source.to_owned();
        Some(ChatTemplate { source, name: Some(name), origin, date: None, is_strict: false })
    }

    /// The same template, which refuses what it does not take as it is.
    pub fn strict(self) -> ChatTemplate {
        ChatTemplate { is_strict: true, ..self }
    }

    /// Whether it refuses what it does not take as it is.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// The name of its format, where it is a known one.
    pub fn name(&self) -> Option<&'static str> {
        self.name
    }

    /// Where it is from.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The same template, which is told this date in place of the one on which the run began.
    pub fn with_date(self, date: Date) -> ChatTemplate {
        ChatTemplate { date: Some(date), ..self }
    }

    /// Whether the template asks for the date, so that prompts depend on it.
    pub fn asks_for_date(&self) -> bool {
        self.source.contains(jinja::NOW)
    }

    /// The date that it was given, where that makes a difference.
    pub fn given_date(&self) -> Option<Date> {
        self.date.filter(|_| self.asks_for_date())
    }

    /// The template itself, in Jinja.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The conversation as text, with the spelling of special tokens; `add_generation_prompt` asks
    /// for what an answer begins with.
    pub fn render(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        self.render_with(tokenizer, messages, &[], add_generation_prompt)
    }

    /// As [`Self::render`], for a model that may call functions.
    fn render_with(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: &[Value],
        add_generation_prompt: bool,
    ) -> Result<String, ChatError> {
        let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or("");
        let conversation = Conversation {
            messages,
            add_generation_prompt,
            bos_token: spelling(tokenizer.bos()),
            eos_token: spelling(tokenizer.eos()),
            tools: (!tools.is_empty()).then(|| tools.iter().map(Plain).collect()),
            documents: None,
        };
        let date = self.date.unwrap_or_else(Date::of_this_run);
        jinja::render(&self.source, &conversation, date)
    }
}
