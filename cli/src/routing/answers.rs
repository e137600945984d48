//! What a model answers to texts, to be read once more: the bits are the same whether a token is made
//! or read, so that what its routers chose is, too.

use super::corpus::Entry;
use anyhow::Result;
use gatefold::LanguageModel;
use gatefold::engine::{Engine, Event, Request};
use gatefold::routing::Window;
use gatefold::sampler::Sampling;
use gatefold::tokenizer::{ChatTemplate, Message};
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

/// A model that answers texts.
pub struct Answers<'a> {
    /// The model.
    pub language: &'a LanguageModel,
    /// What runs it.
    pub engine: Engine,
    /// How texts become questions; none continues them.
    pub template: Option<ChatTemplate>,
    /// Most tokens of an answer.
    pub n_predict: usize,
    /// How many are worked on together.
    pub max_running: usize,
    /// Most tokens of question and answer that can be read.
    pub context_len: usize,
}

/// Answers to some texts.
#[derive(Default)]
pub struct Answered {
    /// Their windows, with the bytes of text of the questions.
    pub found: Vec<(Window, u64)>,
    /// Texts without an answer, by their index, and the reason.
    pub failed: Vec<(usize, String)>,
}

impl Answers<'_> {
    /// How many texts are worked on together.
    pub fn max_running(&self) -> usize {
        self.max_running
    }

    /// The answers to texts, but for the first `n_known`, whose windows nobody looks at.
    pub fn windows(
        &mut self,
        texts: Vec<(usize, &Entry, String)>,
        n_known: usize,
        interrupted: &AtomicBool,
    ) -> Answered {
        let mut answered = Answered::default();
        let mut open = HashMap::new();
        for (idx, entry, text) in texts {
            let prompt = match self.prompt(text) {
                Ok(prompt) => prompt,
                Err(error) => {
                    answered.failed.push((idx, format!("{error:#}")));
                    continue;
                }
            };
            let Entry { domain_idx, document_idx, n_bytes, .. } = *entry;
            let place = answered.found.len();
            let n_context = prompt.len();
            let request = Request {
                max_tokens: Some(if place < n_known { 1 } else { self.n_predict }),
                ..Request::new(prompt.clone(), Sampling { temperature: 0.0, ..Sampling::default() })
            };
            // Whether there is a window depends on the text alone, so that windows can be counted.
            match self.engine.submit(request) {
                Ok(id) => open.insert(id, place),
                Err(refusal) => {
                    answered.failed.push((idx, refusal.to_string()));
                    continue;
                }
            };
            let window = Window { tokens: prompt, n_context, domain_idx, document_idx };
            answered.found.push((window, n_bytes));
        }
        let Answered { found, .. } = &mut answered;
        let context_len = self.context_len;
        self.engine.run(interrupted, &mut |id, event| {
            if let (Event::Done(generated), Some(&place)) = (event, open.get(&id)) {
                let tokens = &mut found[place].0.tokens;
                tokens.extend(generated.tokens);
                tokens.truncate(context_len);
            }
        });
        answered
    }

    fn prompt(&self, text: String) -> Result<Vec<u32>> {
        let tokenizer = &self.language.tokenizer;
        Ok(match &self.template {
            Some(template) => template.prompt(tokenizer, &[Message::new("user", text)])?.ids,
            None => tokenizer.encode_text(&text)?,
        })
    }
}
