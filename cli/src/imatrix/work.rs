//! The reading of the text: sums grow window by window, and are kept in a file meanwhile.

use crate::jobs::Key;
use anyhow::{Context, Result};
use gatefold::engine::NUMERICS_REVISION;
use gatefold::eval::Windows;
use gatefold::files::Replacement;
use gatefold::imatrix::{Collector, Imatrix, load, save};
use gatefold::text::printable;
use gatefold::{Compute, DynFormat, LanguageModel};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How often sums are saved.
const SAVE_INTERVAL: Duration = Duration::from_secs(60);

/// A text that goes through a model.
pub struct Work<'a> {
    /// The model.
    pub language: &'a LanguageModel,
    /// What computes.
    pub compute: &'a Compute,
    /// Type of the KV cache.
    pub cache_format: &'static DynFormat,
    /// Tokens that go through the model together, or of a window if that is more.
    pub batch_len: usize,
    /// What is read.
    pub windows: Windows,
    /// What the text is called.
    pub dataset: String,
}

impl Work<'_> {
    /// Everything that the sums depend on.
    fn key(&self) -> String {
        let window_len = self.windows.window_len();
        let mut tokens = Sha256::new();
        self.windows.tokens().iter().for_each(|id| tokens.update(id.to_le_bytes()));
        let key = Key::of(&[
            ("model", &self.language.cache_fingerprint(window_len)),
            ("revision", &NUMERICS_REVISION.to_le_bytes()),
            ("window", &(window_len as u64).to_le_bytes()),
            ("cache", self.cache_format.name.as_bytes()),
            ("tokens", &tokens.finalize()),
        ]);
        key.as_str().to_owned()
    }

    /// Reads what is not in the file at `state` yet, where the sums are kept from time to time and in
    /// the end, and tells `progress` how many windows are done. Nothing comes of it if it was
    /// interrupted.
    ///
    /// # Errors
    /// If the model cannot take a step, or the file is of other work or cannot be written.
    pub fn run(
        &self,
        state: &Path,
        interrupted: &AtomicBool,
        mut progress: impl FnMut(usize),
    ) -> Result<Option<Imatrix>> {
        let (key, window_len) = (self.key(), self.windows.window_len());
        let known = known(state, &key).with_context(|| printable(state.display()))?;
        let n_known = known.n_chunks as usize;
        progress(n_known);
        let lens = (window_len, self.batch_len);
        let mut collector =
            Collector::new(&self.language.model, self.compute, self.cache_format, lens)?;
        let sums = |collector: &Collector<'_>| {
            let mut sums = collector.imatrix(&self.dataset)?;
            sums.merge(&known)?;
            anyhow::Ok(sums)
        };
        let windows: Vec<&[u32]> =
            self.windows.tokens().chunks_exact(window_len).skip(n_known).collect();
        let (mut saved_at, mut n_done) = (Instant::now(), n_known);
        for group in windows.chunks(collector.windows_per_step()) {
            collector.read(group)?;
            n_done += group.len();
            progress(n_done);
            let is_interrupted = interrupted.load(Ordering::Relaxed);
            if is_interrupted || saved_at.elapsed() >= SAVE_INTERVAL {
                keep(state, &sums(&collector)?, &key)?;
                saved_at = Instant::now();
            }
            if is_interrupted && n_done < self.windows.n_windows() {
                return Ok(None);
            }
        }
        let sums = sums(&collector)?;
        keep(state, &sums, &key)?;
        Ok(Some(sums))
    }
}

/// The sums that an earlier run has kept, if there was one.
fn known(state: &Path, key: &str) -> Result<Imatrix> {
    match File::open(state) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Imatrix::default()),
        file => Ok(load(Some(key), file?)?),
    }
}

/// Writes sums beside their file and puts them in its place.
fn keep(state: &Path, sums: &Imatrix, key: &str) -> Result<()> {
    let write = || {
        let mut file = BufWriter::new(Replacement::of(state)?);
        save(sums, key, &mut file)?;
        file.flush()?;
        file.into_inner().map_err(|error| error.into_error())?.put_in_place()
    };
    write().with_context(|| format!("cannot write {}", printable(state.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo;
    use crate::imatrix::Source;
    use gatefold::Isa;
    use gatefold::tokenizer::Specials;

    #[test]
    fn a_run_that_is_interrupted_again_and_again_has_the_same_sums() {
        let folder = tempfile::tempdir().unwrap();
        let language = LanguageModel::from_gguf(demo::open().unwrap()).unwrap();
        let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
        let path = Path::new("../tests/fixtures/imatrix/text.txt").into();
        let source = Source::File { path, specials: Specials::AsText };
        let tokens = source.tokens(&language).unwrap();
        let work = |batch_len| Work {
            language: &language,
            compute: &compute,
            cache_format: DynFormat::by_name("F32").unwrap(),
            batch_len,
            windows: Windows::new(&tokens, language.tokenizer.first_token(), 64).unwrap(),
            dataset: "text".into(),
        };
        let state = |name: &str| folder.path().join(name);
        let never = AtomicBool::new(false);
        let whole = work(512).run(&state("whole"), &never, |_| ()).unwrap().unwrap();
        let mut n_runs = 0;
        let found = loop {
            n_runs += 1;
            let always = AtomicBool::new(true);
            if let Some(found) = work(128).run(&state("pieces"), &always, |_| ()).unwrap() {
                break found;
            }
        };
        assert_eq!(n_runs, 7);
        assert!(found == whole && whole.n_chunks == 13);
    }
}
