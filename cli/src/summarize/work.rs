//! From documents to summaries.

use super::error::{Failure, SummarizeError};
use super::facts::{Facts, Said};
use super::line::{FailedLine, Line, PartLine, Summary};
use super::output::{Earlier, Output};
use super::plan::{Entry, Plan};
use super::progress::{Progress, Truncations};
use super::reduction::{Answer, Next, Reduction};
use super::setup::Setup;
use crate::documents::Documents;
use crate::flags::name_flags;
use crate::jobs::{JobSource, Key, Tally, Worker};
use gatefold::engine::{Event, Generated, Request, RequestId};
use gatefold::text::one_line;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::Arc;

/// What the engine is asked about.
#[derive(Clone, Copy)]
struct Asked {
    /// The document's number.
    number: usize,
    /// The part.
    idx: usize,
}

/// Documents on their way to summaries.
pub struct Summarizer<'a> {
    setup: Setup<'a>,
    basis: Key,
    documents: &'a Documents,
    output: Output<'a>,
    /// Documents that wait for their turn.
    waiting: VecDeque<&'a Entry>,
    /// Answers to parts, from an earlier run.
    answers: HashMap<Key, Answer>,
    /// Documents on their way, by a number.
    open: HashMap<usize, Reduction<'a>>,
    n_opened: usize,
    /// Documents and parts of theirs that are to be asked about.
    ready: VecDeque<(usize, usize)>,
    asked: HashMap<RequestId, Asked>,
    /// Requests of documents that have failed.
    needless: Vec<RequestId>,
    finished: Vec<Line>,
    finished_parts: Vec<PartLine>,
    truncations: Truncations,
    tally: Tally,
    progress: Progress,
    on_progress: &'a mut dyn FnMut(Progress, &[Line]),
}

impl<'a> Summarizer<'a> {
    /// Work on those documents of the plan that the output does not have. `on_progress` hears after
    /// every step how far it is, and which lines are new.
    pub fn new(
        setup: Setup<'a>,
        documents: &'a Documents,
        plan: &'a Plan,
        (output, earlier): (Output<'a>, Earlier),
        on_progress: &'a mut dyn FnMut(Progress, &[Line]),
    ) -> Summarizer<'a> {
        let faults = plan.faults.iter().map(|(id, fault)| failed(id, fault));
        Summarizer {
            basis: setup.basis(),
            setup,
            documents,
            waiting: plan.in_working_order(|entry| !output.has(entry)).into(),
            output,
            answers: earlier.answers,
            open: HashMap::new(),
            n_opened: 0,
            ready: VecDeque::new(),
            asked: HashMap::new(),
            needless: Vec::new(),
            finished: faults.collect(),
            finished_parts: Vec::new(),
            truncations: Truncations::default(),
            tally: Tally::default(),
            progress: Progress::default(),
            on_progress,
        }
    }

    /// The output, when all is done or no more shall be.
    pub fn into_output(self) -> Output<'a> {
        self.output
    }

    /// What the summaries leave out that there are now and were not before.
    pub fn truncations(&self) -> &Truncations {
        &self.truncations
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    fn begin(&mut self, entry: &'a Entry) {
        let text = self.documents.read(&entry.place).map_err(Failure::from);
        let begun = text.and_then(|text| {
            let key = self.setup.key(&self.basis, &entry.id, &text);
            match key == entry.key {
                true => Reduction::new(entry, key, &text, &self.setup.cutter),
                false => Err(Failure::Changed),
            }
        });
        match begun {
            Ok(reduction) => {
                let number = self.n_opened;
                self.n_opened += 1;
                self.open.insert(number, reduction);
                self.ask(number);
            }
            Err(failure) => {
                self.progress.n_bytes += entry.n_bytes;
                self.note_failed(&entry.id, &failure);
            }
        }
    }

    /// Asks about the parts of a document, but for those that an earlier run had answers to. They
    /// come before all others, so that what is begun is finished.
    fn ask(&mut self, number: usize) {
        let Some(reduction) = self.open.get_mut(&number) else { return };
        let mut known = Vec::new();
        for idx in (0..reduction.n_prompts()).rev() {
            let key = || reduction.part_key(idx, &self.basis);
            let is_kept = !self.answers.is_empty() && !reduction.is_last();
            match is_kept.then(|| self.answers.get(&key())).flatten() {
                Some(answer) => {
                    let n_bytes = reduction.advance(answer.prompt_tokens + answer.n_tokens);
                    self.progress.n_bytes += n_bytes;
                    self.progress.n_kept_bytes += n_bytes;
                    known.push((idx, answer.clone()));
                }
                None => self.ready.push_front((number, idx)),
            }
        }
        known.into_iter().for_each(|(idx, answer)| self.answered(number, idx, answer));
    }

    /// Takes an answer, and does what follows from it.
    fn answered(&mut self, number: usize, idx: usize, answer: Answer) {
        let Some(reduction) = self.open.get_mut(&number) else { return };
        match reduction.answered(idx, answer, &self.setup.cutter) {
            Ok(Next::Wait) => {}
            Ok(Next::Ask) => self.ask(number),
            Ok(Next::Done(answer)) => self.finish(number, answer),
            Err(failure) => self.fail(number, failure),
        }
    }

    fn finish(&mut self, number: usize, answer: Answer) {
        let said = match self.setup.facts {
            None => Some(Said::Summary(answer.text)),
            Some(_) => Said::facts(&answer.text),
        };
        let Some(said) = said else {
            return self.fail(number, Failure::CutOff { n_tokens: answer.n_tokens });
        };
        let Some(reduction) = self.open.remove(&number) else { return };
        self.truncations.note(&reduction);
        let Reduction { entry, key, started, n_parts, prompt_tokens, n_bytes_done, .. } = reduction;
        self.progress.n_bytes += entry.n_bytes - n_bytes_done;
        self.finished.push(Line::Done(Summary {
            id: entry.id.clone(),
            key,
            said,
            model: self.setup.model_name.clone(),
            prompt_tokens,
            summary_tokens: answer.n_tokens,
            seconds: started.elapsed().as_millis() as f64 / 1000.0,
            finish_reason: answer.finish_reason,
            n_parts,
        }));
    }

    fn fail(&mut self, number: usize, failure: Failure) {
        let Some(reduction) = self.open.remove(&number) else { return };
        self.progress.n_bytes += reduction.entry.n_bytes - reduction.n_bytes_done;
        self.note_failed(&reduction.entry.id, &failure);
        self.ready.retain(|&(other, _)| other != number);
        let needless = self.asked.extract_if(|_, asked| asked.number == number);
        self.needless.extend(needless.map(|(id, _)| id));
    }

    fn note_failed(&mut self, id: &str, failure: &Failure) {
        self.progress.n_unlucky += usize::from(failure.may_pass());
        self.finished.push(failed(id, failure));
    }

    fn submit_part(&mut self, worker: &mut dyn Worker, number: usize, idx: usize) {
        let Some(reduction) = self.open.get(&number) else { return };
        let cutter = &self.setup.cutter;
        let (max_tokens, facts) = match reduction.is_last() {
            true => (cutter.max_tokens(), self.setup.facts.as_ref()),
            false => (cutter.max_part_tokens(), None),
        };
        let held = |Facts { constraint, .. }: &Facts| Arc::clone(constraint);
        let request = Request {
            is_own_text: true,
            max_tokens: Some(max_tokens),
            constraint: facts.map(held),
            ..Request::new(reduction.prompt(idx).to_vec(), self.setup.sampling.clone())
        };
        match worker.submit(request) {
            Ok(id) => {
                self.asked.insert(id, Asked { number, idx });
            }
            Err(refusal) => self.fail(number, refusal.into()),
        }
    }

    /// Takes the engine's answer to a part.
    fn generated(&mut self, Asked { number, idx }: Asked, generated: &Generated) {
        let Some(reduction) = self.open.get(&number) else { return };
        let answer = Answer::new(reduction.prompt(idx).len(), generated);
        if !reduction.is_last() {
            self.finished_parts.push(PartLine {
                key: reduction.part_key(idx, &self.basis),
                document: reduction.entry.id.clone(),
                answer: answer.clone(),
            });
        }
        self.answered(number, idx, answer);
    }
}

fn failed(id: &str, error: impl ToString) -> Line {
    Line::Failed(FailedLine { id: id.into(), error: one_line(name_flags(error)) })
}

impl JobSource for Summarizer<'_> {
    type Error = SummarizeError;

    /// Keeps twice as many requests with the engine as it works on. Parts come before new
    /// documents, so that few are open at a time.
    fn submit(&mut self, worker: &mut dyn Worker) -> Result<(), SummarizeError> {
        mem::take(&mut self.needless).into_iter().for_each(|id| worker.cancel(id));
        while self.asked.len() < 2 * self.setup.max_running {
            if let Some((number, idx)) = self.ready.pop_front() {
                self.submit_part(worker, number, idx);
            } else if let Some(entry) = self.waiting.pop_front() {
                self.begin(entry);
            } else {
                break;
            }
        }
        Ok(())
    }

    fn on_event(&mut self, id: RequestId, event: Event) {
        let n_new = self.tally.on_event(id, &event);
        self.progress.tokens = self.tally.tokens();
        // Those of a document that has failed are needless.
        let Some(&asked) = self.asked.get(&id) else { return };
        if let Some(reduction) = self.open.get_mut(&asked.number) {
            self.progress.n_bytes += reduction.advance(n_new);
        }
        match event {
            Event::Done(generated) => {
                self.asked.remove(&id);
                self.generated(asked, &generated);
            }
            Event::Failed(error) => {
                self.asked.remove(&id);
                self.fail(asked.number, error.into());
            }
            _ => {}
        }
    }

    fn flush(&mut self) -> Result<(), SummarizeError> {
        if !self.finished_parts.is_empty() {
            self.output.append_parts(&self.finished_parts)?;
            self.finished_parts.clear();
        }
        if !self.finished.is_empty() {
            self.output.append(&self.finished)?;
            self.progress.finish(&self.finished);
        }
        (self.on_progress)(self.progress, &self.finished);
        self.finished.clear();
        Ok(())
    }

    fn is_submitted(&self) -> bool {
        self.waiting.is_empty() && self.ready.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo;
    use crate::documents::{Fields, Wanted};
    use crate::summarize::{Cutter, Form, PromptOptions};
    use gatefold::engine::FinishReason;
    use gatefold::sampler::Sampling;
    use gatefold::tokenizer::{ChatTemplate, Tokenizer};
    use std::fs;

    fn setup(tokenizer: &Tokenizer) -> Setup<'_> {
        let prompts = PromptOptions::default().prompts(ChatTemplate::mistral()).unwrap();
        Setup {
            cutter: Cutter::new(tokenizer, prompts, 256, 32).unwrap(),
            sampling: Sampling::default(),
            facts: None,
            model_name: "demo".into(),
            model_key: Key::of(&[]),
            max_running: 1,
        }
    }

    fn answer(text: &str, prompt_tokens: usize) -> Answer {
        let finish_reason = FinishReason::EndOfText;
        Answer { text: text.into(), prompt_tokens, n_tokens: 8, finish_reason }
    }

    /// What was done before says nothing of how long the rest takes; and of a summary that leaves
    /// something out it is known.
    #[test]
    fn answers_of_an_earlier_run_are_no_progress_of_this_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        // No part is like another, so that none has the answer to another.
        let text: String = (0..150).map(|n| format!("Match {n} was on Mill Lane. ")).collect();
        fs::write(&path, text).unwrap();
        let tokenizer = Tokenizer::from_metadata(demo::open().unwrap().metadata()).unwrap();
        let setup = setup(&tokenizer);
        let fields = Fields { text: "text".into(), ..Fields::default() };
        let documents = Documents::open(&[path], &Wanted::default(), fields).unwrap();
        let basis = setup.basis();
        let plan = Plan::new(&documents, |id, text| setup.key(&basis, id, text)).unwrap();
        let entry = &plan.entries[0];
        let text = documents.read(&entry.place).unwrap();
        let reduction = Reduction::new(entry, basis.clone(), &text, &setup.cutter).unwrap();
        let n_prompts = reduction.n_prompts();
        assert!(n_prompts >= 4, "{n_prompts}");

        let (output, mut earlier) =
            Output::open(&documents, &plan, None, Form::Jsonl, false).unwrap();
        for idx in 1..n_prompts {
            let n_tokens = reduction.prompt(idx).len();
            earlier.answers.insert(reduction.part_key(idx, &basis), answer("Won.", n_tokens));
        }
        let mut on_progress = |_: Progress, _: &[Line]| {};
        let output = (output, earlier);
        let mut work = Summarizer::new(setup, &documents, &plan, output, &mut on_progress);
        work.begin(entry);
        let n_bytes = entry.n_bytes;
        let progress = work.progress();
        assert!(progress.n_bytes > n_bytes / 2 && progress.n_bytes < n_bytes, "{progress:?}");
        assert_eq!((progress.n_bytes, progress.part(n_bytes)), (progress.n_kept_bytes, 0.0));

        // One part is left; then the summary of all.
        assert_eq!(work.ready, [(0, 0)]);
        work.answered(0, 0, Answer { finish_reason: FinishReason::Length, ..answer("", 100) });
        work.answered(0, 0, answer("Lost.", 100));
        assert!(matches!(work.finished[..], [Line::Done(_)]), "{:?}", work.finished);
        assert_eq!(work.progress().part(n_bytes), 1.0);
        let own = || vec![entry.id.clone()];
        assert_eq!(
            *work.truncations(),
            Truncations { silent: own(), cut_off: own(), n_cut_off_parts: 1 }
        );
    }
}
