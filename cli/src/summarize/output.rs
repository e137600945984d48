//! Where summaries go: to a file that another run goes on with, beside the documents, to stdout.
//!
//! A file of results has JSON lines, whatever the form asked for: Markdown and text are made of it
//! at the end, since they say too little to go on from. An output that is called like JSON lines is
//! that file itself, and the form is that of files beside documents. While there are long documents, the answers
//! to their parts lie in a file beside it, which is removed when there are none left in it.
//!
//! Lines of earlier runs stay until a run has come to its end: then those go whose document has a
//! new summary. A document that has none now, since it is empty, say, keeps what it had; and so does
//! one whose file beside it could not be written: without the line, the file would be nobody's.

use super::beside::Beside;
use super::error::SummarizeError;
use super::form::Form;
use super::line::{FailedLine, LINE_START, Line, PART_START, PartLine, Summary};
use super::plan::{Entry, Plan};
use super::reduction::Answer;
use crate::documents::Documents;
use crate::jobs::{JobsError, Key, Lines, Results};
use gatefold::files::{part_of, replace, with_suffix};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

/// All files that a run with this output makes, but for those beside documents.
pub fn files(output: &Path, form: Form) -> [PathBuf; 4] {
    let results = results_path(output, form);
    [output.into(), parts_path(&results), part_of(&results), results]
}

/// The file of results for an output: itself, if it has JSON lines, else one beside it.
fn results_path(output: &Path, form: Form) -> PathBuf {
    match form.of_file(output) {
        Form::Jsonl => output.into(),
        Form::Markdown | Form::Text => with_suffix(output, ".jsonl"),
    }
}

/// The file with the answers to parts, for a file of results.
fn parts_path(results: &Path) -> PathBuf {
    with_suffix(results, ".parts")
}

/// Shows `see` the summaries in a file of results, each with its key. Returns how many lines say why there
/// is none.
///
/// # Errors
/// As [`Results::read`].
pub fn for_each_summary(path: &Path, mut see: impl FnMut(Key, &[u8])) -> Result<usize, JobsError> {
    let mut n_failed = 0;
    Results::read(path, LINE_START, |line: Line, text| match line {
        Line::Done(summary) => see(summary.key, text),
        Line::Failed(_) => n_failed += 1,
    })?;
    Ok(n_failed)
}

/// Where summaries go.
pub struct Output<'a> {
    plan: &'a Plan,
    form: Form,
    beside: Option<Beside<'a>>,
    file: Option<OutputFile>,
    /// Keys of the documents' summaries, of this run and of earlier ones that still hold, by id.
    summaries: HashMap<String, Key>,
    /// Documents whose files are not written.
    unwritten_ids: HashSet<String>,
}

struct OutputFile {
    path: PathBuf,
    results_path: PathBuf,
    results: Results,
    parts: Option<Results>,
}

/// What earlier runs left.
#[derive(Debug, Default)]
pub struct Earlier {
    /// Documents that are done.
    pub n_done: usize,
    /// Summaries of these that were cut off.
    pub n_cut_off: usize,
    /// Documents that failed, and are tried again.
    pub failed: BTreeSet<String>,
    /// Documents that were done, but are to be done again.
    pub changed: BTreeSet<String>,
    /// Summaries of documents that this run knows nothing of. They stay.
    pub n_others: usize,
    /// Answers to parts of documents.
    pub(super) answers: HashMap<Key, Answer>,
}

impl<'a> Output<'a> {
    /// Finds out whether there can be an output at `path`, before documents are read for it. Nothing
    /// is changed.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn check(path: &Path, form: Form) -> Result<(), SummarizeError> {
        Results::check(&results_path(path, form))?;
        if form.of_file(path) != Form::Jsonl {
            Results::check_place(path)?;
        }
        Ok(())
    }

    /// Opens a file, or takes stdout. With `is_beside`, each document that is a file gets a file
    /// with its summary too.
    ///
    /// # Errors
    /// If the file cannot be used, is one of the documents or has the name of a file beside one, or
    /// another run has it.
    pub fn open(
        documents: &'a Documents,
        plan: &'a Plan,
        path: Option<&Path>,
        form: Form,
        is_beside: bool,
    ) -> Result<(Output<'a>, Earlier), SummarizeError> {
        let mut output = Output::at(documents, plan, path, form, is_beside)?;
        let mut earlier = Earlier::default();
        let Some(path) = path else { return Ok((output, earlier)) };
        let results_path = results_path(path, form);
        let shard = plan.part.as_ref().map(|part| part.shard);
        let mut stray = None;
        let results = Results::open_shard(&results_path, LINE_START, shard, |line: Line| {
            if let Some(shard) = shard.filter(|shard| !shard.has(line.id())) {
                stray.get_or_insert(JobsError::stray(&results_path, line.id(), shard));
            }
            output.holds(&line, &mut earlier)
        })?;
        stray.map_or(Ok(()), Err)?;
        earlier.changed.retain(|id| !output.summaries.contains_key(id));
        earlier.failed.retain(|id| !output.summaries.contains_key(id));
        earlier.n_done = output.summaries.len();
        if let Some(beside) = &mut output.beside {
            beside.catch_up();
        }
        let parts = parts_path(&results_path);
        let parts = parts.exists().then(|| {
            Results::open(&parts, PART_START, |line: PartLine| {
                earlier.answers.insert(line.key.clone(), line.answer);
                Some(line.key)
            })
        });
        let (path, parts) = (path.to_path_buf(), parts.transpose()?);
        output.file = Some(OutputFile { path, results_path, results, parts });
        Ok((output, earlier))
    }

    /// Sees what earlier runs have left in an output, and changes nothing.
    ///
    /// # Errors
    /// As [`Self::open`], but that another run may have it.
    pub fn look(
        documents: &'a Documents,
        plan: &'a Plan,
        path: Option<&Path>,
        form: Form,
        is_beside: bool,
    ) -> Result<Output<'a>, SummarizeError> {
        let mut output = Output::at(documents, plan, path, form, is_beside)?;
        if let Some(path) = path {
            let mut earlier = Earlier::default();
            Results::read(&results_path(path, form), LINE_START, |line: Line, _| {
                output.holds(&line, &mut earlier);
            })?;
        }
        Ok(output)
    }

    /// An output at a place that it may have.
    fn at(
        documents: &'a Documents,
        plan: &'a Plan,
        path: Option<&Path>,
        form: Form,
        is_beside: bool,
    ) -> Result<Output<'a>, SummarizeError> {
        let beside = is_beside.then(|| Beside::new(documents, plan, form));
        let form = path.map_or(form, |path| form.of_file(path));
        if let Some(path) = path {
            let results_path = results_path(path, form);
            if form != Form::Jsonl && path.exists() && !results_path.exists() {
                return Err(SummarizeError::Foreign { path: path.into(), results_path });
            }
            for path in files(path, form) {
                if documents.are_in(&path) {
                    return Err(SummarizeError::IsInput { path });
                }
                if let Some(id) = beside.as_ref().and_then(|beside| beside.document_of(&path)) {
                    return Err(SummarizeError::IsBeside { path, id: id.into() });
                }
            }
        }
        let (summaries, unwritten_ids) = Default::default();
        Ok(Output { plan, form, beside, file: None, summaries, unwritten_ids })
    }

    /// What a line of an earlier run is the summary of, if it still is.
    fn holds(&mut self, line: &Line, earlier: &mut Earlier) -> Option<Key> {
        let summary = match line {
            Line::Done(summary) => summary,
            Line::Failed(FailedLine { id, .. }) => {
                if self.plan.has(id) {
                    earlier.failed.insert(id.clone());
                }
                return None;
            }
        };
        let Summary { id, key, .. } = summary;
        let Some(entry) = self.plan.entry(id) else {
            earlier.n_others += usize::from(!self.plan.has(id));
            return None;
        };
        let holds = entry.key == *key;
        if let Some(beside) = &mut self.beside {
            beside.learn(summary, holds);
        }
        if !holds {
            earlier.changed.insert(id.clone());
            return None;
        }
        let is_first = self.summaries.insert(id.clone(), key.clone()).is_none();
        earlier.n_cut_off += usize::from(is_first && summary.finish_reason.is_cut_off());
        Some(key.clone())
    }

    /// Whether a line of the file says what is known of its document now.
    fn is_current(&self, line: &Line) -> bool {
        let current = self.summaries.get(line.id());
        current.is_none_or(|current| matches!(line, Line::Done(it) if it.key == *current))
    }

    /// A name for a line of the file that is to stay: of several with one name, the last does.
    fn name(&self, line: &Line) -> Option<Key> {
        let is_current = self.is_current(line);
        match line {
            Line::Done(Summary { id, key, .. }) => {
                (is_current || self.unwritten_ids.contains(id)).then(|| key.clone())
            }
            Line::Failed(FailedLine { id, .. }) => {
                is_current.then(|| Key::of(&[("failed", id.as_bytes())]))
            }
        }
    }

    /// Whether the summary of a document is there.
    pub fn has(&self, entry: &Entry) -> bool {
        self.summaries.get(&entry.id) == Some(&entry.key)
    }

    /// Writes lines down; they are on the disk then, if they go there.
    ///
    /// # Errors
    /// If it is full, say.
    pub fn append(&mut self, lines: &[Line]) -> Result<(), SummarizeError> {
        match &mut self.file {
            Some(file) => file.results.append_all(lines)?,
            None => {
                let is_alone = self.plan.n_documents() == 1;
                let mut out = io::stdout().lock();
                for line in lines {
                    out.write_all(&self.form.write(line, is_alone))?;
                }
                out.flush()?;
            }
        }
        for line in lines {
            let Line::Done(summary) = line else { continue };
            self.summaries.insert(summary.id.clone(), summary.key.clone());
            // What lies beside documents can be made of the results, not the other way round.
            if let Some(beside) = &mut self.beside {
                beside.write(summary);
            }
        }
        Ok(())
    }

    /// Writes down answers to parts of documents, if there is a file.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn append_parts(&mut self, lines: &[PartLine]) -> Result<(), JobsError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let parts = match &mut file.parts {
            Some(parts) => parts,
            none => {
                let path = parts_path(&file.results_path);
                none.insert(Results::open(&path, PART_START, |line: PartLine| Some(line.key))?)
            }
        };
        parts.append_all(lines)
    }

    /// If all is done, drops what only an unfinished run needs, and seals what is a shard's if `is_final`;
    /// then puts what there is in the form asked for, in the order of the documents. Returns what could
    /// not be written beside documents.
    ///
    /// # Errors
    /// If a file cannot be written or removed.
    pub fn finish(
        mut self,
        is_done: bool,
        is_final: bool,
    ) -> Result<Vec<SummarizeError>, SummarizeError> {
        let unwritten;
        (unwritten, self.unwritten_ids) =
            self.beside.take().map(Beside::into_unwritten).unwrap_or_default();
        let Some(mut file) = self.file.take() else { return Ok(unwritten) };
        let not_written = |path: &Path| {
            let path = path.to_path_buf();
            move |error| SummarizeError::Write { path, error }
        };
        if is_done {
            file.results.retain(|line: Line| self.name(&line))?;
            if let Some(part) = self.plan.part.as_ref().filter(|_| is_final) {
                file.results.seal(part, |line: Line| self.plan.number(line.id()))?;
            }
            if let Some(parts) = &mut file.parts
                && parts.retain(|line: PartLine| self.part_name(&line))? == 0
            {
                let path = parts_path(&file.results_path);
                fs::remove_file(&path).map_err(not_written(&path))?;
            }
        }
        if self.form != Form::Jsonl {
            let text = self.rendered(&file.results_path);
            let text = text.map_err(not_written(&file.results_path))?;
            replace(&file.path, &text).map_err(not_written(&file.path))?;
        }
        Ok(unwritten)
    }

    /// A name for an answer to a part, if its document has no summary yet.
    fn part_name(&self, line: &PartLine) -> Option<Key> {
        let PartLine { key, document, .. } = line;
        let is_wanted = !self.summaries.contains_key(document);
        let parts = [("key", key.as_str().as_bytes()), ("document", document.as_bytes())];
        is_wanted.then(|| Key::of(&parts))
    }

    fn rendered(&self, results: &Path) -> io::Result<Vec<u8>> {
        let mut lines = HashMap::new();
        for line in Lines::new(BufReader::new(File::open(results)?), usize::MAX - 1) {
            let text = line?.text.unwrap_or_default();
            if text.trim_ascii().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(&text)?;
            if self.is_current(&line) {
                lines.insert(line.id().to_owned(), line);
            }
        }
        let entries = self.plan.entries.iter().map(|entry| &entry.id);
        let ids = entries.chain(self.plan.faults.iter().map(|(id, _)| id));
        let is_alone = self.plan.n_documents() == 1;
        let found = ids.filter_map(|id| lines.get(id));
        Ok(found.flat_map(|line| self.form.write(line, is_alone)).collect())
    }
}
