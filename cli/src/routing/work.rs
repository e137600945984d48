//! The reading of the texts: counts grow window by window, and are kept in a file meanwhile.

use super::answers::Answers;
use super::corpus::{Corpus, Entry};
use crate::documents::Fault;
use anyhow::{Context, Result, bail};
use gatefold::LanguageModel;
use gatefold::files::Replacement;
use gatefold::routing::{Counts, Reader, Shape, Window, load, save, windows};
use gatefold::text::printable;
use gatefold::tokenizer::Specials;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often counts are saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// Counts of an analysis, in a file where one is named.
pub struct Kept {
    /// What was counted.
    pub counts: Counts,
    path: Option<PathBuf>,
    key: String,
    saved_at: Instant,
}

impl Kept {
    /// The counts in the file, if it is there and of the analysis `key`; else none yet.
    ///
    /// # Errors
    /// If the file is of another analysis, or of another kind.
    pub fn open(path: Option<&Path>, shape: Shape, key: String) -> Result<Kept> {
        let counts = match path.map(File::open) {
            None => Counts::new(shape),
            Some(Err(error)) if error.kind() == ErrorKind::NotFound => Counts::new(shape),
            Some(file) => {
                let name = path.map(|path| printable(path.display())).unwrap_or_default();
                let counts = file.map_err(Into::into).and_then(|file| load(shape, &key, file));
                counts.context(name)?
            }
        };
        Ok(Kept { counts, path: path.map(Into::into), key, saved_at: Instant::now() })
    }

    /// Writes the counts beside their file and puts them in its place.
    fn save(&mut self) -> Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let write = || {
            let mut file = BufWriter::new(Replacement::of(path)?);
            save(&self.counts, &self.key, &mut file)?;
            file.flush()?;
            file.into_inner().map_err(|error| error.into_error())?.put_in_place()
        };
        write().with_context(|| format!("cannot write {}", printable(path.display())))?;
        self.saved_at = Instant::now();
        Ok(())
    }

    fn save_when_due(&mut self) -> Result<()> {
        if self.saved_at.elapsed() < SAVE_INTERVAL { Ok(()) } else { self.save() }
    }
}

/// Where the windows of texts come from.
pub enum Source<'a> {
    /// The texts themselves, cut to windows of so many tokens.
    Texts(usize),
    /// What the model answers to them.
    Answers(Box<Answers<'a>>),
}

/// The reading of a corpus.
pub struct Reading<'a> {
    /// The model.
    pub language: &'a LanguageModel,
    /// What is read.
    pub corpus: &'a Corpus,
    /// Where windows come from.
    pub source: Source<'a>,
    /// What reads them.
    pub reader: Reader<'a>,
    /// What was counted.
    pub kept: Kept,
    /// Texts that are not counted, with the reason.
    pub failed: Vec<(usize, String)>,
    /// Bytes of text of each window that is being read.
    bytes: VecDeque<u64>,
}

impl<'a> Reading<'a> {
    /// With nothing read yet but what was kept.
    pub fn new(
        language: &'a LanguageModel,
        corpus: &'a Corpus,
        source: Source<'a>,
        reader: Reader<'a>,
        kept: Kept,
    ) -> Reading<'a> {
        let (failed, bytes) = Default::default();
        Reading { language, corpus, source, reader, kept, failed, bytes }
    }

    /// Reads what is not counted yet, and tells `progress` how many bytes of text more that are.
    /// Returns whether all of it is done; else it was interrupted.
    ///
    /// # Errors
    /// If the model cannot take a step, or counts cannot be saved.
    pub fn run(&mut self, interrupted: &AtomicBool, mut progress: impl FnMut(u64)) -> Result<bool> {
        let is_interrupted = || interrupted.load(Ordering::Relaxed);
        let mut n_known = self.kept.counts.n_windows();
        let corpus = self.corpus;
        let n_together = match &self.source {
            Source::Texts(_) => 1,
            Source::Answers(answers) => answers.max_running(),
        };
        for (group_idx, group) in corpus.entries.chunks(n_together).enumerate() {
            let first_idx = group_idx * n_together;
            let mut pieces = self.windows(first_idx, group, n_known, interrupted);
            // Windows are counted in the order of the texts, so that their number says which are.
            let n_skipped = n_known.min(pieces.len() as u64);
            n_known -= n_skipped;
            pieces.drain(..n_skipped as usize).for_each(|(_, n_bytes)| progress(n_bytes));
            for (window, n_bytes) in pieces {
                self.reader.push(window)?;
                self.bytes.push_back(n_bytes);
                while self.reader.is_full() && !is_interrupted() {
                    self.step(&mut progress)?;
                }
            }
            if is_interrupted() {
                self.kept.save()?;
                return Ok(false);
            }
        }
        while !self.reader.is_idle() {
            self.step(&mut progress)?;
        }
        self.kept.save()?;
        Ok(true)
    }

    /// The windows of some texts, each with its bytes of text.
    fn windows(
        &mut self,
        first_idx: usize,
        group: &[Entry],
        n_known: u64,
        interrupted: &AtomicBool,
    ) -> Vec<(Window, u64)> {
        let tokenizer = &self.language.tokenizer;
        let mut texts = Vec::new();
        for (idx, entry) in (first_idx..).zip(group) {
            match self.corpus.documents.read(&entry.place) {
                Ok(text) => texts.push((idx, entry, text)),
                Err(fault) => self.failed.push((idx, changed(fault))),
            }
        }
        let mut found = Vec::new();
        match &mut self.source {
            Source::Texts(window_len) => {
                for (idx, entry, text) in texts {
                    let tokens = match tokenizer.encode(&text, Specials::AsText) {
                        Ok(tokens) => tokens,
                        Err(error) => {
                            self.failed.push((idx, error.to_string()));
                            continue;
                        }
                    };
                    let Entry { domain_idx, document_idx, .. } = *entry;
                    let place = (domain_idx, document_idx);
                    let n_tokens = tokens.len().max(1) as u64;
                    let pieces = windows(tokenizer, &tokens, *window_len, place);
                    found.extend(pieces.map(|window| {
                        let n_counted = (window.tokens.len() - window.n_context) as u64;
                        (window, entry.n_bytes * n_counted / n_tokens)
                    }));
                }
            }
            Source::Answers(answers) => {
                let windows = answers.windows(texts, n_known as usize, interrupted);
                self.failed.extend(windows.failed);
                found.extend(windows.found);
            }
        }
        found
    }

    fn step(&mut self, progress: &mut impl FnMut(u64)) -> Result<()> {
        let Reading { language, reader, kept, bytes, .. } = self;
        reader.step(|window, routes| {
            kept.counts.add(window, routes, &language.tokenizer);
            progress(bytes.pop_front().unwrap_or(0));
        })?;
        kept.save_when_due()
    }
}

/// What is said of a text that was there when the run began.
fn changed(fault: Fault) -> String {
    format!("has changed since the run began: {fault}")
}

/// Refuses a file for `flag` that is one of the texts.
pub fn check_apart(corpus: &Corpus, flag: &str, path: &Path) -> Result<()> {
    if corpus.documents.are_in(path) {
        bail!("{flag} {} is one of the texts; name another file", printable(path.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo;
    use crate::documents::{Documents, Fields, Wanted};
    use gatefold::model::{RandomRouters, Routes};
    use gatefold::{Compute, DynFormat, Isa};
    use std::sync::Arc;

    /// Reads in runs of which each is interrupted when it has counted `n_more` windows; the last is
    /// not. Returns the counts, and how many runs it took.
    fn counts(corpus: &Corpus, path: Option<&Path>, n_more: u64) -> (Counts, usize) {
        let language = LanguageModel::from_gguf(demo::open().unwrap()).unwrap();
        let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
        let config = language.model.config();
        let shape = Shape::new(config, language.model.n_vocab(), corpus.domains.len(), 2);
        let mut n_runs = 0;
        loop {
            n_runs += 1;
            let routes = Routes::beside(Arc::new(RandomRouters::new(config, 2, 0)));
            let (format, lens) = (DynFormat::by_name("F32").unwrap(), (16, 20));
            let reader = Reader::new(&language.model, &compute, format, lens, routes).unwrap();
            let kept = Kept::open(path, shape, "key".into()).unwrap();
            let mut n_left = kept.counts.n_windows().saturating_add(n_more);
            let interrupted = AtomicBool::new(false);
            let source = Source::Texts(16);
            let mut reading = Reading::new(&language, corpus, source, reader, kept);
            // Windows that are known are told of, too.
            let progress = |_| {
                n_left = n_left.saturating_sub(1);
                interrupted.fetch_or(n_left == 0, Ordering::Relaxed);
            };
            if reading.run(&interrupted, progress).unwrap() {
                return (reading.kept.counts, n_runs);
            }
        }
    }

    #[test]
    fn a_run_that_is_interrupted_again_and_again_counts_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let texts = Path::new("../demo/documents");
        let names = ["letter-1.txt", "match-1.txt", "match-2.txt"];
        let paths: Vec<PathBuf> = names.map(|name| texts.join(name)).into();
        let documents = Documents::open(&paths, &Wanted::default(), Fields::default()).unwrap();
        let corpus = Corpus::new(documents, &paths, || ()).unwrap();
        let (whole, n_runs) = counts(&corpus, None, 1000);
        assert!(n_runs == 1 && whole.n_windows() > 12, "{}", whole.n_windows());
        for n_more in [2, 3] {
            let path = folder.path().join(n_more.to_string());
            let (found, n_runs) = counts(&corpus, Some(&path), n_more);
            assert!(n_runs > 3, "{n_runs}");
            assert_eq!(found, whole);
        }
    }
}
