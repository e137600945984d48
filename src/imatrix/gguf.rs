//! Importance matrices in GGUF, as llama-imatrix has written them since July 2025: for each tensor
//! `NAME.in_sum2`, `[n_matrices, cols]`, and `NAME.counts`, `[n_matrices, 1]`, in F32.
//!
//! The format: llama.cpp's `tools/imatrix/imatrix.cpp` and pull request 9400.

use super::{Entry, Imatrix, ImatrixError, Problem};
use crate::gguf::{Array, Gguf, Metadata, Tensor, TensorPlan, Value, WriteError, Writer};
use crate::model::{of_units, to_units};
use crate::text::printable;
use gatefold_quant::DynFormat;
use std::collections::BTreeMap;
use std::io::Write;

/// How such a file begins.
pub(super) const MAGIC: &[u8] = b"GGUF";

const TYPE: &str = "general.type";
/// Its value.
const IMATRIX: &str = "imatrix";
const DATASETS: &str = "imatrix.datasets";
const CHUNK_COUNT: &str = "imatrix.chunk_count";
const CHUNK_SIZE: &str = "imatrix.chunk_size";

const SUMS: &str = "in_sum2";
const COUNTS: &str = "counts";

/// Counts beyond are no counts: f32 has them in steps of more than 2^29.
const MOST_TOKENS: f64 = (1u64 << 53) as f64;

/// Reads the sums of a file.
pub(super) fn read(gguf: &Gguf) -> Result<Imatrix, ImatrixError> {
    let (path, metadata) = (gguf.path(), gguf.metadata());
    let found = metadata.str(TYPE)?;
    if found != Some(IMATRIX) {
        let what = match found {
            Some(found) => format!("its {TYPE} is {}", printable(found)),
            None => format!("it is a GGUF without {TYPE}"),
        };
        return Err(Problem::foreign(what).at(path));
    }
    let mut halves: BTreeMap<&str, [Option<&Tensor>; 2]> = BTreeMap::new();
    for tensor in gguf.tensors() {
        // Newer files have plain sums, too, under a third ending.
        let half = [SUMS, COUNTS].into_iter().enumerate().find_map(|(idx, ending)| {
            let name = tensor.name.strip_suffix(ending)?.strip_suffix('.')?;
            Some((idx, name))
        });
        if let Some((idx, name)) = half {
            halves.entry(name).or_default()[idx] = Some(tensor);
        }
    }
    let mut imatrix = Imatrix {
        datasets: metadata.strings(DATASETS)?.unwrap_or_default().to_vec(),
        n_chunks: metadata.u64(CHUNK_COUNT)?.unwrap_or(0),
        chunk_len: metadata.u64(CHUNK_SIZE)?.unwrap_or(0),
        ..Imatrix::default()
    };
    for (name, halves) in halves {
        let half = |found, missing| Problem::Half { entry: name.into(), found, missing };
        let entry = match halves {
            [Some(sums), Some(counts)] => entry(name, sums, counts),
            [Some(_), None] => Err(half(SUMS, COUNTS)),
            _ => Err(half(COUNTS, SUMS)),
        };
        let inserted = entry.and_then(|entry| imatrix.insert(name.into(), entry));
        inserted.map_err(|problem| problem.at(path))?;
    }
    Ok(imatrix)
}

fn entry(name: &str, sums: &Tensor, counts: &Tensor) -> Result<Entry, Problem> {
    let (Some(sums), Some(counts)) = (floats(sums), floats(counts)) else {
        return Err(Problem::foreign(format!("entry {} is not F32", printable(name))));
    };
    let is_sum = |value: &f64| *value >= 0.0 && value.is_finite();
    if !sums.iter().all(is_sum) || !counts.iter().all(|n| is_sum(n) && *n <= MOST_TOKENS) {
        return Err(Problem::Value { entry: name.into() });
    }
    Ok(Entry {
        counts: counts.into_iter().map(|count| count.round() as u64).collect(),
        units: sums.into_iter().map(to_units).collect(),
    })
}

/// The values of a tensor in F32.
fn floats(tensor: &Tensor) -> Option<Vec<f64>> {
    let values = tensor.bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes).into());
    (tensor.format.name == "F32").then(|| values.collect())
}

impl Imatrix {
    /// Writes it as llama-imatrix does.
    ///
    /// # Errors
    /// If it cannot be written, or a name is too long for a GGUF.
    pub fn write_gguf(&self, out: impl Write) -> Result<(), WriteError> {
        let small = |number: u64| Value::U32(number.try_into().unwrap_or(u32::MAX));
        let mut metadata = Metadata::new();
        metadata.set(TYPE, Value::String(IMATRIX.into()));
        metadata.set(DATASETS, Value::Array(Array::String(self.datasets.clone())));
        metadata.set(CHUNK_COUNT, small(self.n_chunks));
        metadata.set(CHUNK_SIZE, small(self.chunk_len));
        let format = DynFormat::by_name("F32").expect("F32 is registered");
        let plan = |name: &str, ending, n_matrices, len| {
            // GGUF leaves out axes of one matrix.
            let shape = if n_matrices > 1 { vec![n_matrices, len] } else { vec![len] };
            TensorPlan { name: format!("{name}.{ending}"), format, shape }
        };
        let tensors = self.entries.iter().flat_map(|(name, Entry { counts, units })| {
            let n_matrices = counts.len();
            let cols = units.len() / n_matrices;
            [plan(name, SUMS, n_matrices, cols), plan(name, COUNTS, n_matrices, 1)]
        });
        let mut writer = Writer::new(out, &metadata, tensors.collect())?;
        for Entry { counts, units } in self.entries.values() {
            let sums = units.iter().map(|&sum| of_units(sum) as f32);
            writer.tensor(&bytes(sums))?;
            writer.tensor(&bytes(counts.iter().map(|&count| count as f32)))?;
        }
        writer.finish()?.flush()?;
        Ok(())
    }
}

fn bytes(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}
