//! From a conversation to ids.
//!
//! Three things need care beyond what a template writes:
//!
//! - What a message says is text, and so is its role. The spelling of a control token in it, say
//!   `</s>` in a document to be summarized, must not become that token, so it is broken up by a
//!   guard character, which the tokenizer takes out again once it has cut the text at its special
//!   tokens.
//! - Mistral's reference tokenizer encodes each message as a text of its own, which a space
//!   precedes. Templates that were published with the models write answers right behind `[/INST]`,
//!   and lack that space; it is put there.
//! - Templates refuse messages, or leave them out without a word; [`fold`] has the forms to try.

use super::super::{Specials, Tokenizer};
use super::tools::{CALLS_MARK, for_each_text};
use super::{ChatError, ChatTemplate, Message, fold};
use serde_json::Value;
use std::collections::HashSet;

/// Where Mistral's instruct format goes over from the user's message to the answer.
const ANSWER_MARK: &str = "[/INST]";

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The ids. They begin with BOS exactly once where the template writes it or the tokenizer adds
    /// it.
    pub ids: Vec<u32>,
    /// Why the conversation is not written as it is, in the template's words: messages of the system
    /// are part of the user's next ones, say, and neighbours are joined.
    pub folded: Option<String>,
}

impl ChatTemplate {
    /// The ids of a prompt that asks for an answer to the last message: those of [`Self::prompt`].
    ///
    /// # Errors
    /// As [`Self::prompt`].
    pub fn encode(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
    ) -> Result<Vec<u32>, ChatError> {
        self.prompt(tokenizer, messages).map(|prompt| prompt.ids)
    }

    /// A prompt that asks for an answer to the last message. What the template refuses, or leaves
    /// out, is folded as Mistral's reference tokenizer does it: neighbours of the same role become
    /// one message, with a blank line between their texts; the user has an empty message before an
    /// assistant that comes first; and where that is not enough, what the system or a tool says is
    /// part of the user's next message. A [strict](Self::strict) template does none of that.
    ///
    /// # Errors
    /// If the template does not take the conversation in any form.
    pub fn prompt(&self, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Prompt, ChatError> {
        self.prompt_with(tokenizer, messages, &[])
    }

    /// As [`Self::prompt`], where the model may call functions: `tools`, as OpenAI's API describes them.
    /// A template that knows none has the system say what there is.
    ///
    /// # Errors
    /// If the template does not take the conversation in any form.
    pub fn prompt_with(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: &[Value],
    ) -> Result<Prompt, ChatError> {
        let (mut messages, tools) = self.with_tools(messages, tools);
        let mut tools = tools.to_vec();
        let spaces_answers = tokenizer.adds_space_prefix() && self.lacks_answer_space(tokenizer);
        let is_guarded = |text: &str| {
            tokenizer.spells_control_token(text) || (spaces_answers && text.contains(ANSWER_MARK))
        };
        let mut needs_guard = false;
        for_each(&mut messages, &mut tools, &mut |text| needs_guard |= is_guarded(text));
        let guard = match needs_guard {
            true => Some(free_character(&mut messages, &mut tools)?),
            false => None,
        };
        self.name_system(&mut messages);
        if let Some(guard) = guard {
            for_each(&mut messages, &mut tools, &mut |text| {
                *text = tokenizer.guard_control_tokens(text, guard);
                if spaces_answers {
                    *text = text.replace(ANSWER_MARK, &broken_mark(guard));
                }
            });
        }
        let (mut text, folded) = self.write(tokenizer, &messages, &tools)?;
        if spaces_answers {
            text = with_answer_spaces(&text);
        }
        let mut ids = tokenizer.encode_guarded(&text, Specials::Parse, guard)?;
        let first = tokenizer.first_token();
        if let Some(first) = first.filter(|first| ids.first() != Some(first)) {
            ids.insert(0, first);
        }
        Ok(Prompt { ids, folded })
    }

    /// Has `developer`, which newer models call the system, be the system where the template does
    /// not speak of one.
    fn name_system(&self, messages: &mut [Message]) {
        const DEVELOPER: &str = "developer";
        if !self.source.contains(DEVELOPER) {
            let developers = messages.iter_mut().filter(|message| message.role == DEVELOPER);
            developers.for_each(|message| "system".clone_into(&mut message.role));
        }
    }

    /// The text of a conversation in the first form that the template takes, and why that is not
    /// the conversation's own.
    fn write(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: &[Value],
    ) -> Result<(String, Option<String>), ChatError> {
        let refusal = match self.write_whole(tokenizer, messages, tools) {
            Ok(text) => return Ok((text, None)),
            Err(refusal) if self.is_strict => return Err(refusal),
            Err(refusal) => refusal,
        };
        let why = match &refusal {
            ChatError::Template { reason } => reason.clone(),
            ChatError::LeftOut { .. } => refusal.to_string(),
            _ => return Err(refusal),
        };
        for form in fold::forms(messages) {
            if let Ok(text) = self.write_whole(tokenizer, &form, tools) {
                return Ok((text, Some(why)));
            }
        }
        match refusal {
            // It leaves out what no form gets into it: it is for single questions, say.
            ChatError::LeftOut { .. } => {
                Ok((self.render_with(tokenizer, messages, tools, true)?, Some(why)))
            }
            _ => Err(refusal),
        }
    }

    /// The text of a conversation, of which nothing is left out.
    fn write_whole(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: &[Value],
    ) -> Result<String, ChatError> {
        let text = self.render_with(tokenizer, messages, tools, true)?;
        match self.first_left_out(tokenizer, messages, tools) {
            None => Ok(text),
            Some(idx) => {
                Err(ChatError::LeftOut { number: idx + 1, role: messages[idx].role.clone() })
            }
        }
    }

    /// The first message that the template does not write, which is seen by marks in the place of
    /// texts: templates may cut and trim what they write. A lone message of the user is a question,
    /// and for that templates are made.
    fn first_left_out(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: &[Value],
    ) -> Option<usize> {
        if matches!(messages, [message] if message.role == "user") {
            return None;
        }
        let marked = messages.iter().enumerate().map(|(idx, message)| match message {
            Message { content, .. } if content.trim().is_empty() => message.clone(),
            // Beside calls, words may be left out.
            Message { tool_calls, .. } if !tool_calls.is_empty() => {
                Message { content: String::new(), ..message.clone() }
            }
            message => Message { content: mark(idx), ..message.clone() },
        });
        let marked: Vec<Message> = marked.collect();
        // What becomes of texts that are not the conversation's tells nothing of those that are.
        let text = self.render_with(tokenizer, &marked, tools, true).ok()?;
        marked.iter().position(|message| !text.contains(message.content.trim()))
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

/// A text that no other part of a prompt has in it.
fn mark(idx: usize) -> String {
    format!("mark{idx}of messages")
}

/// All texts that come from whoever asks.
fn for_each(messages: &mut [Message], tools: &mut [Value], op: &mut impl FnMut(&mut String)) {
    for Message { role, content, tool_calls, tool_call_id } in messages {
        [role, content].into_iter().chain(tool_call_id).for_each(&mut *op);
        for call in tool_calls {
            [&mut call.id, &mut call.function.name].into_iter().for_each(&mut *op);
            for_each_text(&mut call.function.arguments, op);
        }
    }
    tools.iter_mut().for_each(|tool| for_each_text(tool, op));
}

/// A character that is in none of these texts.
fn free_character(messages: &mut [Message], tools: &mut [Value]) -> Result<char, ChatError> {
    let mut used: HashSet<char> = HashSet::new();
    for_each(messages, tools, &mut |text| used.extend(text.chars()));
    ('\u{F0000}'..='\u{10FFFD}').find(|c| !used.contains(c)).ok_or(ChatError::NoGuard)
}

fn broken_mark(guard: char) -> String {
    ANSWER_MARK.chars().flat_map(|c| [c, guard]).collect()
}

/// The prompt with a space behind each mark that an answer follows, other than a call of functions.
fn with_answer_spaces(prompt: &str) -> String {
    let (answered, end) = match prompt.strip_suffix(ANSWER_MARK) {
        Some(answered) => (answered, ANSWER_MARK),
        None => (prompt, ""),
    };
    let spaced = answered.replace(ANSWER_MARK, "[/INST] ");
    spaced.replace(&format!("[/INST] {CALLS_MARK}"), &format!("[/INST]{CALLS_MARK}")) + end
}
