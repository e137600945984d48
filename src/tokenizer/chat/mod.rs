//! Conversations to prompts.
//!
//! A template (the file's own, else Mistral's instruct format) writes a conversation as text, and
//! the text is encoded with its special tokens. Two things need care beyond that:
//!
//! - What a message says is text, and so is its role. The spelling of a control token in it, say
//!   `</s>` in a document to be summarized, must not become that token, so it is broken up by a
//!   guard character, which the tokenizer takes out again once it has cut the text at its special
//!   tokens.
//! - Mistral's reference tokenizer encodes each message as a text of its own, which a space
//!   precedes. Templates that were published with the models write answers right behind `[/INST]`,
//!   and lack that space; it is put there.

mod checked;
mod date;
mod jinja;
mod limits;

use super::keys::CHAT_TEMPLATE;
use super::{Specials, Tokenizer, TokenizerError};
use crate::gguf::Metadata;
pub use date::Date;
use jinja::Conversation;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use thiserror::Error;

/// Where Mistral's instruct format goes over from the user's message to the answer.
const ANSWER_MARK: &str = "[/INST]";

/// Mistral's instruct format of 8x7B. A system message goes before the first message of the user.
const MISTRAL: &str = "\
{{- bos_token }}
{%- set ns = namespace(system='', expected='user') %}
{%- for message in messages %}
    {%- if message.role == 'system' and loop.first %}
        {%- set ns.system = message.content + '\\n\\n' if message.content else '' %}
    {%- elif message.role != ns.expected %}
        {{- raise_exception('the messages must be from user and assistant in turns, beginning with a user, after at most one from the system; this one is from ' ~ message.role) }}
    {%- elif message.role == 'user' %}
        {{- '[INST] ' + ns.system + message.content + ' [/INST]' }}
        {%- set ns.system = '' %}
        {%- set ns.expected = 'assistant' %}
    {%- else %}
        {{- ' ' + message.content + eos_token }}
        {%- set ns.expected = 'user' %}
    {%- endif %}
{%- endfor %}";

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Whose it is: `system`, `user` or `assistant`.
    pub role: String,
    /// What it says.
    pub content: String,
}

impl Message {
    /// A message.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message { role: role.into(), content: content.into() }
    }
}

/// Why a conversation could not be made a prompt.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is not valid Jinja.
    #[error("the file's `{CHAT_TEMPLATE}` cannot be used: {reason}")]
    Syntax {
        /// What the engine says.
        reason: String,
    },
    /// The template ran into an error, or raised one.
    #[error("the chat template cannot write this conversation: {reason}")]
    Template {
        /// What the template says.
        reason: String,
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

/// How a model wants its conversations written.
#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    date: Option<Date>,
}

impl ChatTemplate {
    /// The template that a file carries, if it does.
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn from_metadata(metadata: &Metadata) -> Result<Option<ChatTemplate>, ChatError> {
        let source = metadata.str(CHAT_TEMPLATE).map_err(TokenizerError::from)?;
        let Some(source) = source else { return Ok(None) };
        jinja::check(source)?;
        Ok(Some(ChatTemplate { source: source.to_owned(), date: None }))
    }

    /// Mistral's instruct format of 8x7B: `<s>[INST] question [/INST] answer</s>[INST] next [/INST]`.
    pub fn mistral() -> ChatTemplate {
        ChatTemplate { source: MISTRAL.to_owned(), date: None }
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
        let spelling = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id)).unwrap_or("");
        let conversation = Conversation {
            messages,
            add_generation_prompt,
            bos_token: spelling(tokenizer.bos()),
            eos_token: spelling(tokenizer.eos()),
            tools: None,
            documents: None,
        };
        let date = self.date.unwrap_or_else(Date::of_this_run);
        jinja::render(&self.source, &conversation, date)
    }

    /// The ids of a prompt that asks for an answer to the last message. They begin with BOS exactly
    /// once where the template writes it or the tokenizer adds it.
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
    ) -> Result<Vec<u32>, ChatError> {
        let spaces_answers = tokenizer.adds_space_prefix() && self.lacks_answer_space(tokenizer);
        let is_guarded = |text: &str| {
            tokenizer.spells_control_token(text) || (spaces_answers && text.contains(ANSWER_MARK))
        };
        let mut texts = messages.iter().flat_map(|message| [&message.role, &message.content]);
        let guard = match texts.any(|text| is_guarded(text)) {
            true => Some(free_character(messages)?),
            false => None,
        };
        let mut messages = messages.to_vec();
        if let Some(guard) = guard {
            for text in messages.iter_mut().flat_map(|Message { role, content }| [role, content]) {
                *text = tokenizer.guard_control_tokens(text, guard);
                if spaces_answers {
                    *text = text.replace(ANSWER_MARK, &broken_mark(guard));
                }
            }
        }
        let mut prompt = self.render(tokenizer, &messages, true)?;
        if spaces_answers {
            prompt = with_answer_spaces(&prompt);
        }
        let mut ids = tokenizer.encode_guarded(&prompt, Specials::Parse, guard)?;
        let first = tokenizer.first_token();
        if let Some(first) = first.filter(|first| ids.first() != Some(first)) {
            ids.insert(0, first);
        }
        Ok(ids)
    }

    /// Whether answers follow `[/INST]` without a space, which a small conversation shows.
    fn lacks_answer_space(&self, tokenizer: &Tokenizer) -> bool {
        let probe = [Message::new("user", "question"), Message::new("assistant", "answer")];
        self.source.contains(ANSWER_MARK)
            && self
                .render(tokenizer, &probe, false)
                .is_ok_and(|text| text.contains(&format!("{ANSWER_MARK}answer")))
    }
}

/// A character that no message contains.
fn free_character(messages: &[Message]) -> Result<char, ChatError> {
    let texts = messages.iter().flat_map(|message| [&message.role, &message.content]);
    let used: HashSet<char> = texts.flat_map(|text| text.chars()).collect();
    ('\u{F0000}'..='\u{10FFFD}').find(|c| !used.contains(c)).ok_or(ChatError::NoGuard)
}

fn broken_mark(guard: char) -> String {
    ANSWER_MARK.chars().flat_map(|c| [c, guard]).collect()
}

/// The prompt with a space behind each mark that an answer follows.
fn with_answer_spaces(prompt: &str) -> String {
    match prompt.strip_suffix(ANSWER_MARK) {
        Some(answered) => answered.replace(ANSWER_MARK, "[/INST] ") + ANSWER_MARK,
        None => prompt.replace(ANSWER_MARK, "[/INST] "),
    }
}
