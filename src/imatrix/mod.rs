//! Importance matrices: how much an error of a column's weights counts.
//!
//! A product is off by the error of the weights times the inputs, so that what counts of a column is
//! the mean of its squared inputs. A [`Collector`] takes windows of text through a model and adds up
//! these squares ([`InputSums`]), for each expert over the tokens that it took. An [`Imatrix`] has the
//! sums under the names of tensors. It is read from llama.cpp's files of either kind (`gguf`,
//! `legacy`) and written to both, merged with others, and kept with all its digits while the work is
//! under way (`saved`). [`Importance`] is what the quantizers want: weights for the errors of a
//! tensor's columns, with little data made the most of.
//!
//! Sums are whole numbers of 2^-64: texts may be read in any pieces, by any machines, and merged, and
//! the result is the same bits as that of one run. Files have them in 32 bits.

mod collector;
mod error;
mod gguf;
mod importance;
mod legacy;
mod saved;

pub use collector::Collector;
pub use error::{ImatrixError, Problem};
pub use importance::{ENOUGH_TOKENS, Importance, PRIOR_TOKENS, Thin};
pub use saved::{load, save};

use crate::architecture::{Config, Role};
use crate::gguf::{Bytes, Gguf};
use crate::model::{InputSums, LayerInputs, Squares};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of the largest file that is read whole: some times as many as any model needs.
const MOST_BYTES: u64 = 4 << 30;

/// Sums of squared inputs, by the names of the tensors that were multiplied with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imatrix {
    /// What the texts are called.
    pub datasets: Vec<String>,
    /// Windows of text that were read.
    pub n_chunks: u64,
    /// Tokens of a window.
    pub chunk_len: u64,
    entries: BTreeMap<String, Entry>,
}

/// The sums of a tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Tokens that each matrix of the tensor saw; a single number where a file does not tell them
    /// apart.
    pub counts: Vec<u64>,
    /// Sums of squares, `[n_matrices, cols]`, in units of 2^-64.
    pub units: Vec<u128>,
}

impl Entry {
    /// The sums of one matrix after the other.
    fn of<'a>(matrices: impl Iterator<Item = &'a Squares>) -> Entry {
        let mut entry = Entry { counts: Vec::new(), units: Vec::new() };
        for Squares { n_rows, units } in matrices {
            entry.counts.push(*n_rows);
            entry.units.extend(units);
        }
        entry
    }

    /// Adds another's sums; a single count of one of them counts for every matrix.
    fn add(&mut self, other: &Entry) -> Result<(), Problem> {
        let n_counts = self.counts.len().max(other.counts.len());
        let fits = |entry: &Entry| entry.counts.len() == n_counts || entry.counts.len() == 1;
        if self.units.len() != other.units.len() || !fits(self) || !fits(other) {
            let sizes = [&*self, other].map(|entry| (entry.counts.len(), entry.units.len()));
            return Err(Problem::Sizes { a: sizes[0], b: sizes[1] });
        }
        let first = self.counts[0];
        self.counts.resize(n_counts, first);
        for (idx, count) in self.counts.iter_mut().enumerate() {
            *count = count.saturating_add(*other.counts.get(idx).unwrap_or(&other.counts[0]));
        }
        for (sum, more) in self.units.iter_mut().zip(&other.units) {
            *sum = sum.saturating_add(*more);
        }
        Ok(())
    }
}

impl Imatrix {
    /// Of what was added up in a model of these sizes.
    ///
    /// # Errors
    /// If inputs are beyond all numbers.
    pub fn of_sums(config: &Config, sums: &InputSums) -> Result<Imatrix, Problem> {
        type Matrices = for<'a> fn(&'a LayerInputs) -> Box<dyn Iterator<Item = &'a Squares> + 'a>;
        let roles: [(Role, Matrices); 8] = [
            (Role::Query, |layer| Box::new([&layer.attention].into_iter())),
            (Role::Key, |layer| Box::new([&layer.attention].into_iter())),
            (Role::Value, |layer| Box::new([&layer.attention].into_iter())),
            (Role::AttentionOutput, |layer| Box::new([&layer.attention_output].into_iter())),
            (Role::Router, |layer| Box::new([&layer.router].into_iter())),
            (Role::Gate, |layer| Box::new(layer.experts.iter().map(|expert| &expert.gate_up))),
            (Role::Up, |layer| Box::new(layer.experts.iter().map(|expert| &expert.gate_up))),
            (Role::Down, |layer| Box::new(layer.experts.iter().map(|expert| &expert.down))),
        ];
        let mut imatrix = Imatrix::default();
        for (layer_idx, layer) in sums.layers.iter().enumerate() {
            for (role, matrices) in roles {
                let spec = config.architecture.tensor(role);
                let Some(spec) = spec.filter(|spec| spec.is_in(config)) else { continue };
                let is_merged = matches!(role, Role::Gate | Role::Up | Role::Down);
                let name = match is_merged && config.n_experts > 0 {
                    true => spec.merged_name(layer_idx),
                    false => spec.name(layer_idx),
                };
                imatrix.insert(name, Entry::of(matrices(layer)))?;
            }
        }
        Ok(imatrix)
    }

    /// Reads a file of either kind, or one of [`save`].
    ///
    /// # Errors
    /// If it cannot be read, is none of them, or has sums that are none.
    pub fn open(path: &Path) -> Result<Imatrix, ImatrixError> {
        let bytes = || {
            let mut file = File::open(path)?;
            let mut bytes = Vec::new();
            (&mut file).take(gguf::MAGIC.len() as u64).read_to_end(&mut bytes)?;
            // The others are read whole, unless they are so large that they are something else.
            if bytes != gguf::MAGIC && file.metadata()?.len() <= MOST_BYTES {
                file.take(MOST_BYTES).read_to_end(&mut bytes)?;
            }
            Ok::<_, io::Error>(bytes)
        };
        let bytes = bytes().map_err(|error| Problem::Read(error).at(path))?;
        match bytes == gguf::MAGIC {
            true => checked(path, gguf::read(&Gguf::open(path)?)?),
            false => Imatrix::from_bytes(path, bytes),
        }
    }

    /// Reads a file of any kind in memory; `path` stands for its path in messages.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Imatrix, ImatrixError> {
        let at = |problem: Problem| problem.at(path);
        checked(
            path,
            match () {
                () if bytes.starts_with(gguf::MAGIC) => {
                    let name = path.display().to_string();
                    gguf::read(&Gguf::from_bytes(&name, Bytes::from(bytes))?)?
                }
                () if bytes.starts_with(saved::MAGIC) => load(None, &*bytes).map_err(at)?,
                () => legacy::read(&bytes).map_err(at)?,
            },
        )
    }

    /// The sums of a tensor.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// Names and sums, by name.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(name, entry)| (name.as_str(), entry))
    }

    /// SHA-256 over names and sums.
    pub fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for (name, Entry { counts, units }) in self.entries() {
            digest.update(format!("{name:?} {} {}\n", counts.len(), units.len()));
            counts.iter().for_each(|count| digest.update(count.to_le_bytes()));
            units.iter().for_each(|sum| digest.update(sum.to_le_bytes()));
        }
        digest.finalize().into()
    }

    /// Takes the sums of a tensor that has none yet.
    fn insert(&mut self, name: String, entry: Entry) -> Result<(), Problem> {
        let (n_values, n_matrices) = (entry.units.len(), entry.counts.len());
        if n_values == 0 || n_matrices == 0 || !n_values.is_multiple_of(n_matrices) {
            return Err(Problem::Shape { entry: name, n_values, n_matrices, cols: 0 });
        }
        if entry.units.contains(&u128::MAX) {
            return Err(Problem::Value { entry: name });
        }
        match self.entries.insert(name.clone(), entry) {
            Some(_) => Err(Problem::Twice { entry: name }),
            None => Ok(()),
        }
    }

    /// Adds the sums of other texts with the same model.
    ///
    /// # Errors
    /// If a tensor has other sizes there.
    pub fn merge(&mut self, other: &Imatrix) -> Result<(), Problem> {
        for (name, entry) in &other.entries {
            match self.entries.get_mut(name) {
                Some(own) => own.add(entry).map_err(|problem| problem.of(name))?,
                None => {
                    self.entries.insert(name.clone(), entry.clone());
                }
            }
        }
        // A set of texts that was read in pieces is one.
        let new = other.datasets.iter().filter(|name| !self.datasets.contains(name));
        let new: Vec<_> = new.cloned().collect();
        self.datasets.extend(new);
        self.n_chunks = self.n_chunks.saturating_add(other.n_chunks);
        self.chunk_len = self.chunk_len.max(other.chunk_len);
        Ok(())
    }
}

/// What was read from `path`, if it is anything.
fn checked(path: &Path, imatrix: Imatrix) -> Result<Imatrix, ImatrixError> {
    match imatrix.entries.is_empty() {
        true => Err(Problem::Empty.at(path)),
        false => Ok(imatrix),
    }
}
