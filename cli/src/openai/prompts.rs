//! From what is asked to tokens.

use super::fault::{Fault, quoted};
use super::form::Forms;
use super::request::{Prompt, Request, Text};
use gatefold::constraint::Constraint;
use gatefold::text::one_line;
use gatefold::tokenizer::{ChatError, ChatTemplate, Specials, Tokenizer};
use std::sync::Arc;

/// Makes tokens of prompts.
#[derive(Clone, Copy)]
pub struct Prompts<'m> {
    /// By this tokenizer.
    pub tokenizer: &'m Tokenizer,
    /// Conversations by this template.
    pub template: &'m ChatTemplate,
    /// Constraints by these forms.
    pub forms: &'m Forms,
}

/// A request as the engine takes it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The tokens of each prompt, one for a conversation.
    pub prompts: Vec<Vec<u32>>,
    /// What answers are held to.
    pub constraint: Option<Arc<dyn Constraint>>,
    /// Why the conversation was folded, if it was.
    pub folded: Option<String>,
}

impl Prompts<'_> {
    /// The tokens of a request, and the form of its answers.
    ///
    /// # Errors
    /// If the conversation cannot be written, with the names that are in it, or the form is none.
    pub fn encode(&self, request: &Request) -> Result<Encoded, Fault> {
        let form = request.params.form.as_ref();
        let constraint = form.map(|form| self.forms.constraint(form)).transpose()?;
        let (prompts, folded) = self.prompts(request)?;
        Ok(Encoded { prompts, constraint, folded })
    }

    fn prompts(&self, request: &Request) -> Result<(Vec<Vec<u32>>, Option<String>), Fault> {
        if let Some((idx, name)) = &request.name {
            let param = request.param(&format!("messages[{idx}].name"));
            let name = quoted(&name.as_str().into());
            let message = format!(
                "{param} is {name}, and the model is told no names; leave it out, or make it a part of the content"
            );
            return Err(Fault::at("unsupported_parameter", param, message));
        }
        for &(id, _) in &request.params.sampling.logit_bias {
            self.check(id, &request.param("logit_bias"))?;
        }
        match &request.prompt {
            Prompt::Chat(messages) => {
                let described = request.tools.as_ref().map(|tools| &tools.described[..]);
                let prompt = self.template.prompt_with(
                    self.tokenizer,
                    messages,
                    described.unwrap_or_default(),
                );
                let must_call = request.tools.as_ref().is_some_and(|tools| tools.must_call);
                let mark = self.calls_mark().filter(|_| must_call);
                let with_mark = |mut ids: Vec<u32>| {
                    ids.extend(mark);
                    vec![ids]
                };
                prompt.map(|prompt| (with_mark(prompt.ids), prompt.folded)).map_err(|error| {
                    match error {
                        ChatError::Machine { .. } => {
                            Fault::ours("template_stopped", one_line(error))
                        }
                        error => Fault::at(
                            "invalid_value",
                            request.param(request.prompt_field),
                            one_line(error),
                        ),
                    }
                })
            }
            Prompt::Texts(texts) => {
                let param = &request.param(request.prompt_field);
                let encode = |text| self.encode_text(text, param);
                let ids: Result<_, _> = texts.iter().map(encode).collect();
                Ok((ids?, None))
            }
        }
    }

    /// The token that calls begin with, which an answer that must call has before it.
    fn calls_mark(&self) -> Option<u32> {
        let mark = self.template.calls_mark()?;
        match self.tokenizer.encode(mark, Specials::Parse).ok()?[..] {
            [id] if self.tokenizer.piece(id) == Some(mark) => Some(id),
            _ => None,
        }
    }

    fn encode_text(&self, text: &Text, param: &str) -> Result<Vec<u32>, Fault> {
        let fault = |message| Fault::at("invalid_value", param, message);
        match text {
            Text::Text(text) => {
                self.tokenizer.encode_text(text).map_err(|error| fault(one_line(error)))
            }
            Text::Tokens(ids) => {
                ids.iter().try_for_each(|&id| self.check(id, param))?;
                Ok(ids.clone())
            }
        }
    }

    /// That there is a token with this id.
    fn check(&self, id: u32, param: &str) -> Result<(), Fault> {
        let n_vocab = self.tokenizer.n_vocab();
        if (id as usize) < n_vocab {
            return Ok(());
        }
        let last = n_vocab - 1;
        let message = format!("{param} has token {id}, and the model's end at {last}");
        Err(Fault::at("invalid_value", param, message))
    }
}
