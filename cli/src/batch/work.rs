//! From requests to answers.

use super::answer::{Answer, short};
use super::error::BatchError;
use super::input::{Input, Item, Plan, Terms};
use super::line::Line;
use super::reasons::Reasons;
use super::results::{drop_replaced, seal};
use crate::jobs::{JobSource, Key, Sink, Tally, Tokens, Worker};
use crate::openai::{
    Choice, Completion, Encoded, Fault, Heading, Prompts, Receipt, Request, Usage,
};
use gatefold::engine::{Event, Generated, RequestId, common_prefix};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::mem;

/// Bytes of input that are read ahead: some times the longest line.
const WINDOW_BYTES: u64 = 16 << 20;

/// What answers a batch.
#[derive(Clone)]
pub struct Setup<'a> {
    /// The tokenizer and the chat template.
    pub prompts: Prompts<'a>,
    /// What the model is called in answers to requests that do not say.
    pub model_name: String,
    /// What holds for all requests.
    pub terms: Terms,
    /// Requests that are worked on together, at most.
    pub max_running: usize,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that are done for good: answered or refused.
    pub n_done: usize,
    /// Those among them that are refused.
    pub n_refused: usize,
    /// Requests that failed through no fault of their own, and are tried again by the next run.
    pub n_failed: usize,
    /// Conversations that the template does not take as they are.
    pub n_folded: usize,
    /// Answers without text.
    pub n_empty: usize,
    /// Tokens that were read and written.
    pub tokens: Tokens,
}

/// A batch at work.
pub struct Batch<'a> {
    setup: Setup<'a>,
    input: Input,
    plan: &'a Plan,
    todo: VecDeque<&'a Item>,
    sink: Sink,
    /// Lines that are read, but not submitted.
    prepared: Vec<Prepared>,
    submitted: HashMap<RequestId, Submitted>,
    /// Lines that are being answered, by number.
    open: HashMap<usize, OpenLine>,
    finished: Vec<Answer>,
    tally: Tally,
    progress: Progress,
    /// Why the first conversation that was folded had to be.
    folded: Option<String>,
    reasons: Reasons,
    on_progress: &'a mut dyn FnMut(Progress),
}

/// What a request to the engine is for.
#[derive(Clone, Copy)]
struct Submitted {
    /// The line.
    number: usize,
    /// Which of the answers to it.
    idx: usize,
}

/// A line that is being answered.
struct OpenLine {
    key: Key,
    custom_id: Option<String>,
    request: Request,
    encoded: Encoded,
    choices: Vec<Option<Choice>>,
    usage: Usage,
}

/// A line that is understood.
struct Prepared {
    number: usize,
    line: OpenLine,
}

impl<'a> Batch<'a> {
    /// Work on the plan of `input`, but for what `sink` has. `on_progress` hears after every step how
    /// far it is.
    pub fn new(
        setup: Setup<'a>,
        input: Input,
        plan: &'a Plan,
        sink: Sink,
        on_progress: &'a mut dyn FnMut(Progress),
    ) -> Batch<'a> {
        let todo = plan.items.iter().filter(|item| !sink.has(&item.key)).collect();
        Batch {
            setup,
            input,
            plan,
            todo,
            sink,
            prepared: Vec::new(),
            submitted: HashMap::new(),
            open: HashMap::new(),
            finished: Vec::new(),
            tally: Tally::default(),
            progress: Progress::default(),
            folded: None,
            reasons: Reasons::default(),
            on_progress,
        }
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Why a conversation was folded, the first that was.
    pub fn folded(&self) -> Option<&str> {
        self.folded.as_deref()
    }

    /// Why requests of this run have no answer.
    pub fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    /// Drops from the output what is replaced, when all is done; that of a shard is sealed then, unless
    /// there are requests to be tried again.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn drop_replaced(self) -> Result<(), BatchError> {
        let Sink::File(mut results) = self.sink else { return Ok(()) };
        drop_replaced(&mut results, self.plan)?;
        if let Some(part) = self.plan.part.as_ref().filter(|_| self.progress.n_failed == 0) {
            seal(&mut results, self.plan, part)?;
        }
        Ok(())
    }

    /// The tokens with which the prompts of all requests begin that come first; none if only one
    /// prompt is left, which is no reason to keep all of it for other runs.
    ///
    /// # Errors
    /// If the input cannot be read, or has changed.
    pub fn common_prefix(&mut self) -> Result<Vec<u32>, BatchError> {
        self.prepare_window()?;
        let prompts = self.prepared.iter().flat_map(|prepared| &prepared.line.encoded.prompts);
        if prompts.clone().nth(1).is_none() {
            return Ok(Vec::new());
        }
        Ok(common_prefix(prompts.map(Vec::as_slice)).to_vec())
    }

    /// How many requests are read together.
    fn window(&self) -> usize {
        8 * self.setup.max_running
    }

    /// Reads the next lines.
    fn prepare_window(&mut self) -> Result<(), BatchError> {
        let mut n_bytes = 0;
        while self.prepared.len() < self.window() && n_bytes < WINDOW_BYTES {
            let Some(item) = self.todo.pop_front() else { break };
            n_bytes += item.n_bytes();
            let prepared = self.prepare(item)?;
            self.prepared.extend(prepared);
        }
        Ok(())
    }

    /// Reads a line; one with a fault is finished by that.
    fn prepare(&mut self, item: &Item) -> Result<Option<Prepared>, BatchError> {
        let Line { custom_id, request, .. } = self.input.line(item, &self.setup.terms)?;
        let prepared = request.and_then(|request| {
            let encoded = self.setup.prompts.encode(&request)?;
            Ok((request, encoded))
        });
        match prepared {
            Ok((request, encoded)) => {
                self.progress.n_folded += usize::from(encoded.folded.is_some());
                self.folded = self.folded.take().or_else(|| encoded.folded.clone());
                let choices = (0..request.n_answers()).map(|_| None).collect();
                let usage = Usage::of_prompts(&encoded.prompts);
                let key = item.key.clone();
                let line = OpenLine { key, custom_id, request, encoded, choices, usage };
                Ok(Some(Prepared { number: item.number, line }))
            }
            Err(fault) => {
                self.fail(item.number, &item.key, custom_id, fault);
                Ok(None)
            }
        }
    }

    /// Finishes a line with what is wrong with it.
    fn fail(&mut self, number: usize, key: &Key, custom_id: Option<String>, fault: Fault) {
        self.reasons.add(number, &fault);
        self.finished.push(Answer::new(key, custom_id, Err(fault)));
    }

    /// Hands all requests of a line to the engine, or none.
    fn submit_line(&mut self, worker: &mut dyn Worker, prepared: Prepared) {
        let Prepared { number, line } = prepared;
        let (max_tokens, seed) = (self.setup.terms.max_tokens, line.default_seed());
        let mut ids = Vec::new();
        for request in line.request.of_engine(&line.encoded, max_tokens, seed) {
            match worker.submit(request) {
                Ok(id) => ids.push(id),
                Err(refusal) => {
                    ids.into_iter().for_each(|id| worker.cancel(id));
                    let fault = line.request.refused(&refusal);
                    self.fail(number, &line.key, line.custom_id, fault);
                    return;
                }
            }
        }
        let submitted = |(idx, id)| (id, Submitted { number, idx });
        self.submitted.extend(ids.into_iter().enumerate().map(submitted));
        self.open.insert(number, line);
    }

    /// Takes one of the answers to a line, and finishes the line with its last.
    fn answered(&mut self, number: usize, idx: usize, generated: Generated) {
        // A line with a fault is finished before its last answer.
        let Some(line) = self.open.get_mut(&number) else { return };
        line.usage.add_answer(generated.tokens.len());
        self.progress.n_empty += usize::from(generated.text.trim().is_empty());
        let prompt = &line.encoded.prompts[idx / line.request.params.n];
        let tokenizer = self.setup.prompts.tokenizer;
        let seed = line.request.params.seed.unwrap_or_else(|| line.default_seed());
        let receipt = Receipt::new(seed.wrapping_add(idx as u64), &generated);
        let choice = Choice::new(tokenizer, &line.request, idx, prompt, generated, receipt);
        line.choices[idx] = Some(choice);
        if line.choices.iter().all(Option::is_some)
            && let Some(line) = self.open.remove(&number)
        {
            self.finish(line);
        }
    }

    fn finish(&mut self, line: OpenLine) {
        let OpenLine { key, custom_id, request, choices, usage, .. } = line;
        let (endpoint, basis) = (request.endpoint(), self.setup.terms.basis.as_str());
        let model = request.model.clone().unwrap_or_else(|| self.setup.model_name.clone());
        let heading = Heading::new(endpoint, short(&key), model, basis);
        let choices = choices.into_iter().flatten().collect();
        let completion = Completion::new(&request, heading, choices, usage);
        self.finished.push(Answer::new(&key, custom_id, Ok(completion)));
    }
}

impl OpenLine {
    /// The seed where the request names none: with it, too, a request has the same answers again.
    fn default_seed(&self) -> u64 {
        u64::from_str_radix(&self.key.as_str()[..16], 16).expect("keys are hexadecimal")
    }
}

impl JobSource for Batch<'_> {
    type Error = BatchError;

    /// Submits requests a window at a time, several times as many as are worked on together, the
    /// longest first: what comes last is short, and keeps few waiting for it.
    fn submit(&mut self, worker: &mut dyn Worker) -> Result<(), BatchError> {
        if self.submitted.len() > self.window() / 2 {
            return Ok(());
        }
        self.prepare_window()?;
        let mut prepared = mem::take(&mut self.prepared);
        prepared.sort_by_key(|prepared| Reverse(prepared.line.usage.prompt_tokens));
        for prepared in prepared {
            self.submit_line(worker, prepared);
        }
        Ok(())
    }

    fn on_event(&mut self, id: RequestId, event: Event) {
        self.tally.on_event(id, &event);
        self.progress.tokens = self.tally.tokens();
        // Those of a line that was refused are not known any more.
        let Some(&Submitted { number, idx }) = self.submitted.get(&id) else { return };
        match event {
            Event::Done(generated) => {
                self.submitted.remove(&id);
                self.answered(number, idx, generated);
            }
            Event::Failed(error) => {
                self.submitted.remove(&id);
                if let Some(line) = self.open.remove(&number) {
                    let fault = line.request.failed(&error);
                    self.fail(number, &line.key, line.custom_id, fault);
                }
            }
            _ => {}
        }
    }

    fn flush(&mut self) -> Result<(), BatchError> {
        if !self.finished.is_empty() {
            self.sink.append_all(&self.finished)?;
            for answer in self.finished.drain(..) {
                let is_for_good = answer.status() < 500;
                self.progress.n_done += usize::from(is_for_good);
                self.progress.n_refused += usize::from(is_for_good && answer.status() >= 400);
                self.progress.n_failed += usize::from(!is_for_good);
            }
        }
        (self.on_progress)(self.progress);
        Ok(())
    }

    fn is_submitted(&self) -> bool {
        self.todo.is_empty() && self.prepared.is_empty()
    }
}
