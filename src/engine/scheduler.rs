//! Which tokens of which requests make up the next step of the model.

use super::generate::Generation;
use super::request::{Event, Generated, Refusal, Request, RequestId};
use super::sequence::Sequence;
use crate::compute::Compute;
use crate::model::{Model, ModelError};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;
use gatefold_quant::DynFormat;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// How an engine works; none of it changes an answer.
#[derive(Clone, Debug)]
pub struct Options {
    /// Format of the remembered keys and values. (This one does change answers, a little.)
    pub cache_format: &'static DynFormat,
    /// Most tokens of one sequence, prompt and answer.
    pub context_len: usize,
    /// Most tokens of a step, prompts and answers together.
    pub step_len: usize,
    /// Most requests that are worked on at the same time.
    pub max_live: usize,
    /// Bytes that all keys and values may take.
    pub memory_bytes: u64,
}

/// Takes requests and works on many of them at once.
pub struct Engine<'m> {
    model: &'m Model,
    tokenizer: &'m Tokenizer,
    compute: &'m Compute,
    options: Options,
    waiting: VecDeque<(RequestId, Request)>,
    next_id: u64,
}

impl<'m> Engine<'m> {
    /// An engine with nothing to do.
    ///
    /// # Errors
    /// If the model's heads do not fit the cache's format.
    pub fn new(
        model: &'m Model,
        tokenizer: &'m Tokenizer,
        compute: &'m Compute,
        options: Options,
    ) -> Result<Engine<'m>, ModelError> {
        Ok(Engine { model, tokenizer, compute, options, waiting: VecDeque::new(), next_id: 0 })
    }

    /// Puts a request behind those that wait.
    ///
    /// # Errors
    /// If it could never be answered.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, Refusal> {
        if request.prompt.is_empty() {
            return Err(Refusal::EmptyPrompt);
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back((id, request));
        Ok(id)
    }

    /// Ends a request; the next step tells so with what was made until then.
    pub fn cancel(&mut self, id: RequestId) {
        self.waiting.retain(|(waiting, _)| *waiting != id);
    }

    /// Whether all requests are answered.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Takes one step: some tokens of many requests go through the model. `listener` hears what
    /// came of it.
    pub fn step(&mut self, listener: &mut dyn FnMut(RequestId, Event<'_>)) {
        let Some((id, request)) = self.waiting.pop_front() else { return };
        match self.answer(request, &mut |text| listener(id, Event::Text(text))) {
            Ok(generated) => listener(id, Event::Done(generated)),
            Err(error) => listener(id, Event::Failed(error)),
        }
    }

    fn answer(
        &self,
        request: Request,
        on_text: &mut dyn FnMut(&str),
    ) -> Result<Generated, super::GenerateError> {
        let Options { cache_format, context_len, step_len, .. } = self.options;
        let mut sequence =
            Sequence::new(self.model, self.compute, cache_format, context_len, step_len)?;
        let generation = Generation {
            prompt: &request.prompt,
            is_own_text: request.is_own_text,
            max_tokens: request.max_tokens,
            stops: &request.stops,
            prompt_progress: &mut |_| ControlFlow::Continue(()),
            on_text: &mut |text| {
                if !text.is_empty() {
                    on_text(text);
                }
                ControlFlow::Continue(())
            },
        };
        let mut sampler = Sampler::new(self.compute.isa, request.sampling);
        generation.run(&mut sequence, self.tokenizer, &mut sampler)
    }
}
