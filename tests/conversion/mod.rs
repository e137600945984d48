//! Conversions of the small random Mixtral.

#![allow(dead_code, reason = "each test uses its part")]

use crate::random_mixtral::{self, ExpertLayout};
use gatefold::checkpoint::Checkpoint;
use gatefold::compute::Compute;
use gatefold::quantize::{
    Output, Plan, PlannedTensor, Progress, QuantizeError, Reason, Start, quantize,
};
use gatefold_quant::{DynFormat, Isa};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Tokens of the models: enough for an embedding of some slices.
pub const N_VOCAB: usize = 2000;

/// The model in `format` as bytes of a file.
pub fn model(format: &str) -> Vec<u8> {
    let format = DynFormat::by_name(format).unwrap();
    random_mixtral::file(&random_mixtral::metadata(), N_VOCAB, format, ExpertLayout::Merged)
}

/// A folder with a model in it, and room for what it becomes.
pub struct Conversion {
    pub folder: TempDir,
    pub checkpoint: Checkpoint,
}

impl Conversion {
    /// Of the file with these bytes.
    pub fn of(model: &[u8]) -> Conversion {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.gguf"), model).unwrap();
        let checkpoint = Checkpoint::open(&folder.path().join("in.gguf")).unwrap();
        Conversion { folder, checkpoint }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Matrices to `format`; the rest stays as it is.
    pub fn plan(&self, format: &str) -> Plan {
        let format = DynFormat::by_name(format).unwrap();
        let planned = self.checkpoint.tensors.iter().map(|tensor| {
            let is_matrix = tensor.shape.len() > 1 && !tensor.name.contains("ffn_gate_inp");
            let format = if is_matrix { format } else { tensor.format };
            let row_bytes = format.row_bytes(tensor.n_cols()).unwrap();
            let n_bytes = (tensor.n_rows() * row_bytes) as u64;
            PlannedTensor { format, n_bytes, reason: Reason::Recipe }
        });
        let tensors: Vec<_> = planned.collect();
        let parts = std::iter::once(0..tensors.len()).collect();
        Plan { metadata: self.checkpoint.metadata.clone(), parts, tensors }
    }

    /// Runs `plan` into the file `name`, and says where it started and what it made.
    pub fn run(&self, plan: &Plan, name: &str) -> Result<(Start, Vec<PathBuf>), QuantizeError> {
        self.finish(plan, Output::open(&self.checkpoint, plan, &self.path(name), false)?)
    }

    /// The same over a file that is there.
    pub fn run_over(
        &self,
        plan: &Plan,
        name: &str,
    ) -> Result<(Start, Vec<PathBuf>), QuantizeError> {
        self.finish(plan, Output::open(&self.checkpoint, plan, &self.path(name), true)?)
    }

    fn finish(&self, plan: &Plan, output: Output) -> Result<(Start, Vec<PathBuf>), QuantizeError> {
        let start = output.start();
        let compute = Compute::new(Isa::detect(), Some(2)).unwrap();
        let files = quantize(&self.checkpoint, plan, output, &compute, |_| ())?;
        Ok((start, files))
    }

    /// Runs with this instruction set and so many threads.
    pub fn run_on(
        &self,
        plan: &Plan,
        name: &str,
        isa: Isa,
        n_threads: usize,
        progress: impl FnMut(Progress),
    ) -> Result<Vec<PathBuf>, QuantizeError> {
        let output = Output::open(&self.checkpoint, plan, &self.path(name), false)?;
        let compute = Compute::new(isa, Some(n_threads)).unwrap();
        quantize(&self.checkpoint, plan, output, &compute, progress)
    }

    /// The names of all files in the folder but the input, sorted.
    pub fn files(&self) -> Vec<String> {
        files(self.folder.path()).into_iter().filter(|name| name != "in.gguf").collect()
    }
}

/// The names of the files in a folder, sorted.
pub fn files(folder: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| name(entry.unwrap())).collect();
    files.sort();
    files
}
