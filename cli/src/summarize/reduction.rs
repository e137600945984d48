//! A document on its way to a summary.

use super::cut::Cutter;
use super::error::Failure;
use super::plan::Entry;
use crate::jobs::Key;
use gatefold::engine::{FinishReason, Generated};
use serde::{Deserialize, Serialize};
use std::mem;
use std::time::Instant;

/// What the model made of a text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Answer {
    pub text: String,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens of the answer.
    pub n_tokens: usize,
    pub finish_reason: FinishReason,
}

impl Answer {
    pub fn new(prompt_tokens: usize, generated: &Generated) -> Answer {
        Answer {
            text: generated.text.trim().to_owned(),
            prompt_tokens,
            n_tokens: generated.tokens.len(),
            finish_reason: generated.finish_reason,
        }
    }
}

/// A document on its way: its text is asked about in one part or several, then the answers to these
/// are, until one answer is left.
pub(super) struct Reduction<'a> {
    pub entry: &'a Entry,
    /// As the entry's, of the text as it is now.
    pub key: Key,
    pub started: Instant,
    /// Parts of the document itself.
    pub n_parts: usize,
    /// Whether the model said nothing of some part.
    pub is_partly_silent: bool,
    /// Parts, and parts of their summaries, of which the summary was cut off.
    pub n_cut_off_parts: usize,
    /// Tokens of all prompts that are answered.
    pub prompt_tokens: usize,
    /// Bytes of the document that count as done.
    pub n_bytes_done: usize,
    /// The parts of the present text, or of the answers to an earlier one.
    parts: Vec<Part>,
    /// Tokens that were read and written so far.
    n_tokens: usize,
    /// Tokens that are to be read and written for the document's own parts, at most.
    most_tokens: usize,
}

struct Part {
    prompt: Vec<u32>,
    answer: Option<Answer>,
}

/// What comes next.
pub(super) enum Next {
    /// More answers are awaited.
    Wait,
    /// There are new parts to ask about.
    Ask,
    /// The last answer is there.
    Done(Answer),
}

impl<'a> Reduction<'a> {
    /// The beginning: the document's text is to be asked about.
    ///
    /// # Errors
    /// If it cannot be made prompts.
    pub fn new(
        entry: &'a Entry,
        key: Key,
        text: &str,
        cutter: &Cutter<'_>,
    ) -> Result<Reduction<'a>, Failure> {
        let started = Instant::now();
        let parts = parts(text, cutter)?;
        let n_parts = parts.len();
        let prompt_tokens: usize = parts.iter().map(|part| part.prompt.len()).sum();
        let answer_tokens =
            if n_parts == 1 { cutter.max_tokens() } else { n_parts * cutter.max_part_tokens() };
        Ok(Reduction {
            entry,
            key,
            started,
            n_parts,
            is_partly_silent: false,
            n_cut_off_parts: 0,
            prompt_tokens: 0,
            n_bytes_done: 0,
            parts,
            n_tokens: 0,
            most_tokens: prompt_tokens + answer_tokens,
        })
    }

    /// Takes note of so many tokens that were read or written, and returns how many more bytes of
    /// the document count as done by that.
    pub fn advance(&mut self, n_tokens: usize) -> usize {
        self.n_tokens += n_tokens;
        let part = self.n_tokens as f64 / self.most_tokens as f64;
        let n_bytes_done = (part.min(1.0) * self.entry.n_bytes as f64) as usize;
        let before = mem::replace(&mut self.n_bytes_done, n_bytes_done);
        n_bytes_done - before
    }

    /// How many parts are to be asked about.
    pub fn n_prompts(&self) -> usize {
        self.parts.len()
    }

    /// The prompt for a part.
    pub fn prompt(&self, idx: usize) -> &[u32] {
        &self.parts[idx].prompt
    }

    /// Whether the answer to the prompt will be the summary.
    pub fn is_last(&self) -> bool {
        self.parts.len() == 1
    }

    /// What the answer to a part depends on: everything that `basis` stands for, and the prompt.
    pub fn part_key(&self, idx: usize, basis: &Key) -> Key {
        let prompt: Vec<u8> = self.prompt(idx).iter().flat_map(|id| id.to_le_bytes()).collect();
        Key::of(&[("basis", basis.as_str().as_bytes()), ("prompt", &prompt)])
    }

    /// Takes the answer to a part.
    ///
    /// # Errors
    /// If the answers lead nowhere.
    pub fn answered(
        &mut self,
        idx: usize,
        answer: Answer,
        cutter: &Cutter<'_>,
    ) -> Result<Next, Failure> {
        self.prompt_tokens += answer.prompt_tokens;
        if self.is_last() {
            let is_silent = answer.text.is_empty();
            return if is_silent { Err(Failure::Silence) } else { Ok(Next::Done(answer)) };
        }
        self.n_cut_off_parts += usize::from(answer.finish_reason.is_cut_off());
        self.parts[idx].answer = Some(answer);
        if self.parts.iter().any(|part| part.answer.is_none()) {
            return Ok(Next::Wait);
        }
        let n_parts = self.parts.len();
        let answers = mem::take(&mut self.parts).into_iter().filter_map(|part| part.answer);
        let texts: Vec<String> =
            answers.map(|answer| answer.text).filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Err(Failure::Silence);
        }
        self.is_partly_silent |= texts.len() < n_parts;
        self.parts = parts(&texts.join("\n\n"), cutter)?;
        match self.parts.len() {
            n_next if n_next >= n_parts => Err(Failure::Endless { n_parts, n_next }),
            _ => Ok(Next::Ask),
        }
    }
}

fn parts(text: &str, cutter: &Cutter<'_>) -> Result<Vec<Part>, Failure> {
    let prompts = cutter.prompts(text)?;
    Ok(prompts.into_iter().map(|prompt| Part { prompt, answer: None }).collect())
}
