//! The loop that extends a sequence token by token.

use super::request::{FinishReason, GenerateError, Generated};
use super::sequence::Sequence;
use super::stop::StopScanner;
use crate::sampler::Sampler;
use crate::tokenizer::{TextStream, Tokenizer};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// What to generate.
pub struct Generation<'a> {
    /// Everything that the answer follows. What the sequence already remembers of it is not read
    /// again.
    pub prompt: &'a [u32],
    /// Whether the answer is a text of its own, not the rest of one: it does not begin with the
    /// space that separates it from the prompt.
    pub is_own_text: bool,
    /// Most tokens to make, 1 or more; none is up to the end of the context.
    pub max_tokens: Option<usize>,
    /// Strings that end the answer, and are not part of it.
    pub stops: &'a [String],
    /// Hears after every chunk of the prompt how much of it is remembered, and may end it all.
    pub prompt_progress: &'a mut dyn FnMut(usize) -> ControlFlow<()>,
    /// Hears the text of every token, and may end the answer. Empty text is of a token that has
    /// none, or only a part of a character or of what may become a stop string.
    pub on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
}

impl Generated {
    /// FNV-1a over the bits of the last logits: equal on all machines if and (all but) only if every
    /// bit of them is.
    pub fn logits_hash(&self) -> u64 {
        let bytes = self.last_logits.iter().flat_map(|logit| logit.to_le_bytes());
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }
}

/// Tokens in a time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Speed {
    /// Tokens.
    pub n_tokens: usize,
    /// The time they took.
    pub duration: Duration,
    /// Bytes of weights read meanwhile.
    pub weight_bytes: u64,
}

impl Speed {
    /// Tokens per second; 0 for none.
    pub fn tokens_per_second(&self) -> f64 {
        self.per_second(self.n_tokens as f64)
    }

    /// Bytes of weights per second; 0 for none.
    pub fn bytes_per_second(&self) -> f64 {
        self.per_second(self.weight_bytes as f64)
    }

    fn per_second(&self, amount: f64) -> f64 {
        let seconds = self.duration.as_secs_f64();
        if seconds > 0.0 { amount / seconds } else { 0.0 }
    }
}

impl Generation<'_> {
    /// Reads the prompt and generates.
    ///
    /// # Errors
    /// If the prompt is empty or does not fit into the context, or the model's weights are damaged.
    pub fn run(
        self,
        sequence: &mut Sequence<'_>,
        tokenizer: &Tokenizer,
        sampler: &mut Sampler,
    ) -> Result<Generated, GenerateError> {
        if self.prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt);
        }
        let remembered = sequence.rewind_to(self.prompt);
        let clock = Clock::start(sequence);
        let mut logits = sequence.read(&self.prompt[remembered..], |n_read| {
            (self.prompt_progress)(remembered + n_read)
        })?;
        let prompt_speed = clock.stop(sequence, sequence.tokens().len() - remembered);
        if logits.is_empty() {
            return Ok(Generated {
                text: String::new(),
                tokens: Vec::new(),
                logprobs: Vec::new(),
                n_reused: remembered,
                finish_reason: FinishReason::Cancelled,
                prompt_speed,
                speed: Speed::default(),
                last_logits: logits,
            });
        }

        let clock = Clock::start(sequence);
        let stream = match self.is_own_text {
            true => TextStream::from_start(tokenizer),
            false => TextStream::new(tokenizer),
        };
        let mut answer = Answer::new(stream, self.stops, self.on_text);
        let mut tokens = Vec::new();
        let finish_reason = loop {
            let token = sampler.choose(&logits, sequence.tokens())?;
            tokens.push(token);
            if tokenizer.ends_generation(token) {
                break FinishReason::EndOfText;
            }
            if let ControlFlow::Break(reason) = answer.push(token) {
                break reason;
            }
            if self.max_tokens == Some(tokens.len()) {
                break FinishReason::Length;
            }
            if sequence.room() == 0 {
                break FinishReason::Context;
            }
            logits = sequence.read(&[token], |_| ControlFlow::Continue(()))?;
        };
        let n_steps = sequence.tokens().len() - self.prompt.len();
        let speed = clock.stop(sequence, n_steps);
        let text = answer.finish(finish_reason);
        Ok(Generated {
            text,
            tokens,
            logprobs: Vec::new(),
            n_reused: remembered,
            finish_reason,
            prompt_speed,
            speed,
            last_logits: logits,
        })
    }
}

struct Clock {
    start: Instant,
    weight_bytes: u64,
}

impl Clock {
    fn start(sequence: &Sequence<'_>) -> Clock {
        Clock { start: Instant::now(), weight_bytes: sequence.weight_bytes() }
    }

    fn stop(self, sequence: &Sequence<'_>, n_tokens: usize) -> Speed {
        let weight_bytes = sequence.weight_bytes() - self.weight_bytes;
        Speed { n_tokens, duration: self.start.elapsed(), weight_bytes }
    }
}

/// The text of an answer on its way to whoever listens.
struct Answer<'a> {
    stream: TextStream<'a>,
    stops: StopScanner<'a>,
    on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
    text: String,
}

impl<'a> Answer<'a> {
    fn new(
        stream: TextStream<'a>,
        stops: &'a [String],
        on_text: &'a mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Answer<'a> {
        Answer { stream, stops: StopScanner::new(stops), on_text, text: String::new() }
    }

    fn push(&mut self, token: u32) -> ControlFlow<FinishReason> {
        let (shown, stopped) = self.stops.push(&self.stream.push(token));
        let said = self.show(&shown);
        if stopped {
            return ControlFlow::Break(FinishReason::StopString);
        }
        said.map_break(|()| FinishReason::Cancelled)
    }

    fn show(&mut self, text: &str) -> ControlFlow<()> {
        self.text.push_str(text);
        (self.on_text)(text)
    }

    fn finish(mut self, reason: FinishReason) -> String {
        if !matches!(reason, FinishReason::StopString | FinishReason::Cancelled) {
            let (shown, stopped) = self.stops.push(&self.stream.finish());
            let rest = if stopped { String::new() } else { self.stops.finish() };
            // The answer has ended: whether the listener wants more no longer matters.
            let _ = self.show(&(shown + &rest));
        }
        self.text
    }
}
