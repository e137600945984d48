//! One answer after the other, as they are made: what a single prompt and a chat have in common.

use super::colouring::Colouring;
use crate::args::model::LoadedModel;
use crate::terminal::progress::{self, progress_bar};
use anyhow::Result;
use gatefold::constraint::Constraint;
use gatefold::engine::{Engine, Event, FinishReason, Generated, Request, Speed};
use gatefold::sampler::Sampling;
use serde_json::{Value, json};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A model that gives one answer after the other.
pub struct Session<'a> {
    /// What it runs.
    pub loaded: &'a LoadedModel,
    /// What runs it.
    pub engine: Engine,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form of answers.
    pub form: Option<Arc<dyn Constraint>>,
    /// Most tokens of an answer, if there is a limit.
    pub max_tokens: Option<usize>,
    /// Texts that end an answer.
    pub stops: &'a [String],
    /// Whether answers are texts of their own, as a template makes them.
    pub has_template: bool,
    /// The layer whose experts colour the answer, if any do.
    pub shown_layer: Option<usize>,
    /// Set to end the answer that is being made.
    pub interrupted: Arc<AtomicBool>,
}

impl Session<'_> {
    /// Generates what follows `prompt`, and hands every piece of it to `show`.
    pub fn generate(
        &mut self,
        prompt: &[u32],
        mut show: impl FnMut(&str) -> io::Result<()>,
    ) -> Result<Generated> {
        let request = Request {
            is_own_text: self.has_template,
            max_tokens: self.max_tokens,
            stops: self.stops.to_vec(),
            constraint: self.form.clone(),
            wants_routes: self.shown_layer.is_some(),
            ..Request::new(prompt.to_vec(), self.sampling.clone())
        };
        self.engine.submit(request)?;
        progress::show();
        let bar = progress_bar(prompt.len(), "prompt tokens");
        let mut shown = Ok(());
        let mut result = None;
        let mut colouring = Colouring::new(self.shown_layer, prompt.len());
        let interrupted = &self.interrupted;
        self.engine.run(interrupted, &mut |_, event| match event {
            Event::Prefill { n_computed, .. } => bar.set_position(n_computed as u64),
            Event::Routes { first, routes } => colouring.routed(first, &routes),
            Event::Delta(delta) => {
                let text = colouring.colour(delta);
                if !text.is_empty() && shown.is_ok() {
                    progress::hide();
                    shown = show(&text);
                }
                if shown.is_err() {
                    // Nobody reads the rest.
                    interrupted.store(true, Ordering::Relaxed);
                }
            }
            Event::Done(generated) => result = Some(Ok(generated)),
            Event::Failed(error) => result = Some(Err(error)),
            _ => {}
        });
        progress::hide();
        shown.and_then(|()| show(&colouring.rest()))?;
        Ok(result.expect("an idle engine has told the end of every request")?)
    }

    /// Whether the answer is to end.
    pub fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Lets the next answer be drawn with other random numbers.
    pub fn next_seed(&mut self) {
        self.sampling.seed = self.sampling.seed.wrapping_add(1);
    }

    /// One line on how fast it went, with what it takes to see that another run did the same: the
    /// seed, and a fingerprint of the last logits.
    pub fn summary(&self, generated: &Generated) -> String {
        let Generated { prompt_speed, speed, .. } = generated;
        format!(
            "loaded in {:.2} s; prompt {} tokens{}; generation {} tokens{}{}; seed {}; logits {:016x}",
            self.loaded.load_time.as_secs_f64(),
            prompt_speed.n_tokens,
            rates(prompt_speed),
            generated.tokens.len(),
            rates(speed),
            self.disk_use(speed),
            self.sampling.seed,
            generated.logits_hash(),
        )
    }

    /// What was read from the disk for each token, where anything was.
    fn disk_use(&self, speed: &Speed) -> String {
        let told = self.loaded.disk_use(speed.disk_bytes, speed.n_tokens);
        told.map_or(String::new(), |told| format!(", {told}"))
    }

    /// What is to be said of an answer that is not one, or not all of one.
    pub fn remark(&self, generated: &Generated) -> Option<String> {
        let is_empty = generated.text.trim().is_empty();
        match generated.finish_reason {
            FinishReason::Context => Some(format!(
                "note: the answer is cut off: the context of {} tokens is full (`context_len` sets how many)",
                self.loaded.context_len
            )),
            FinishReason::Length if self.form.is_some() => Some(
                "note: the answer is cut off before its form is complete (`max_tokens` sets how many tokens it may have)".to_owned(),
            ),
            FinishReason::EndOfText if is_empty && self.has_template => Some(
                "note: the answer is empty: the model ended it at once (is the chat template right? `chat_template` gives another)".to_owned(),
            ),
            FinishReason::EndOfText | FinishReason::StopString if is_empty => {
                Some("note: the answer is empty: it was ended at once".to_owned())
            }
            _ => None,
        }
    }

    /// Everything there is to know of an answer.
    pub fn json(&self, prompt: &[u32], generated: &Generated) -> Value {
        // Of a prompt, those count that are not in the prefix cache. The first token of an answer comes
        // with the prompt, so that the time is that of the others.
        let speed = |n_tokens: usize, speed: &Speed| {
            json!({
                "n_tokens": n_tokens,
                "seconds": speed.duration.as_secs_f64(),
                "tokens_per_second": speed.tokens_per_second(),
                "weight_bytes_per_second": speed.bytes_per_second(),
                "disk_bytes_per_token": speed.disk_bytes_per_token(),
            })
        };
        json!({
            "text": generated.text,
            "ids": generated.tokens,
            "prompt_ids": prompt,
            "finish_reason": generated.finish_reason,
            "load_seconds": self.loaded.load_time.as_secs_f64(),
            "prompt": speed(generated.prompt_speed.n_tokens, &generated.prompt_speed),
            "generation": speed(generated.tokens.len(), &generated.speed),
            "seed": self.sampling.seed,
            "logits_hash": format!("{:016x}", generated.logits_hash()),
        })
    }
}

/// How fast, where there was something to time.
fn rates(speed: &Speed) -> String {
    if speed.n_tokens == 0 {
        return String::new();
    }
    let (tokens, bytes) = (speed.tokens_per_second(), speed.bytes_per_second() / 1e9);
    format!(" at {tokens:.1}/s and {bytes:.1} GB/s of weights")
}
