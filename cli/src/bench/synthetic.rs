//! Models of a real one's full shape and random weights: speed does not depend on their values.
//!
//! But for one thing: which experts tokens go to. Weights are bell-shaped, with deviations that
//! keep the residual streams of tokens apart, so that experts are chosen about evenly in every
//! layer (`deviation_of`). A tensor is made of a thousand or so pieces of 256 weights, quantized
//! like any others (of random bits where there is no quantizer) and put together in random order,
//! which is as fast as the disk.

use super::{BenchError, Random};
use gatefold::Compute;
use gatefold::DynFormat;
use gatefold::architecture::{Config, LLAMA, ModelSpec, Role, RopeConfig, TensorSlot};
use gatefold::files::{open_locked, part_of, sync_all};
use gatefold::gguf::{Array, FileLayout, Metadata, TensorPlan, Value, WriteError, Writer};
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};

/// The shape of a model that exists.
pub struct Shape {
    /// What it is called.
    pub name: &'static str,
    /// Its sizes.
    pub config: Config,
    /// Tokens in its vocabulary, at least [`MIN_VOCAB`].
    pub n_vocab: usize,
}

/// The shapes known by name.
pub static SHAPES: &[Shape] = &[Shape {
    name: "mixtral-8x7b",
    config: Config {
        architecture: &LLAMA,
        dim: 4096,
        n_layers: 32,
        n_heads: 32,
        n_kv_heads: 8,
        head_dim: 128,
        hidden_dim: 14336,
        n_experts: 8,
        top_k: 2,
        context_len: 32_768,
        window: None,
        norm_epsilon: 1e-5,
        rope: RopeConfig::plain(128, 1e6),
    },
    n_vocab: 32_000,
}];

/// Tokens that a vocabulary needs: three control tokens and one for every byte.
pub const MIN_VOCAB: usize = 3 + 256;

/// Counts the changes of what a file holds: one of another revision is not used.
const REVISION: u32 = 2;

/// A model of random weights.
pub struct Synthetic {
    name: String,
    metadata: Metadata,
    /// Each tensor, and the standard deviation of its weights.
    tensors: Vec<(TensorPlan, f32)>,
}

impl Synthetic {
    /// A model of this shape, with `n_layers` in place of its own. Matrices are of `format`, but for
    /// routers, which are F32, and the output, which is no coarser than Q6_K, as in most files.
    ///
    /// # Errors
    /// If the sizes contradict each other.
    pub fn new(
        shape: &Shape,
        n_layers: usize,
        format: &'static DynFormat,
    ) -> Result<Synthetic, BenchError> {
        let name = format!("{}-{n_layers}-layers-{}", shape.name, format.name.to_lowercase());
        let config = Config { n_layers, ..shape.config.clone() };
        let optional = vec![Role::Output];
        let model = ModelSpec { config, n_vocab: shape.n_vocab, optional };
        let mut metadata = model.metadata(Some(name.clone()), Path::new(&name))?;
        set_vocabulary(&mut metadata, shape.n_vocab);
        let plan = |slot: TensorSlot| {
            let (format, deviation) = (format_of(&slot, format), deviation_of(&slot));
            (TensorPlan { name: slot.name, format, shape: slot.shape }, deviation)
        };
        Ok(Synthetic { name, metadata, tensors: model.tensors().map(plan).collect() })
    }

    /// Makes the file in `folder`, unless it is there already, and returns its path. `progress`
    /// hears how many of how many bytes are written.
    ///
    /// # Errors
    /// If the disk is full, the folder cannot be written to, or another process is writing the file.
    pub fn make(
        &self,
        folder: &Path,
        compute: &Compute,
        progress: impl FnMut(u64, u64),
    ) -> Result<PathBuf, BenchError> {
        let path = folder.join(format!("{}.v{REVISION}.gguf", self.name));
        let tensors = self.tensors.iter().map(|(plan, _)| plan.clone()).collect();
        let layout = FileLayout::of_model(&self.metadata, tensors).map_err(failed(&path))?;
        let needed = layout.n_bytes();
        if fs::metadata(&path).is_ok_and(|there| there.len() == needed) {
            return Ok(path);
        }
        fs::create_dir_all(folder).map_err(failed(folder))?;
        let partial = part_of(&path);
        let file = open_locked(&partial).map_err(failed(&partial))?;
        let file = file.ok_or_else(|| BenchError::Busy(path.clone()))?;
        // A run that was stopped may have left some of it.
        file.set_len(0).map_err(failed(&partial))?;
        let write = |()| self.write(&file, layout, compute, progress).map_err(failed(&partial));
        let made = check_space(folder, needed).and_then(write);
        if made.is_err() {
            // Half of it is of no use, and may fill the disk.
            let _ = fs::remove_file(&partial);
        }
        made?;
        fs::rename(&partial, &path).map_err(failed(&path))?;
        Ok(path)
    }

    /// Writes the file, and has it on the disk: no writing goes on while something is measured.
    fn write(
        &self,
        file: &File,
        layout: FileLayout,
        compute: &Compute,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), WriteError> {
        let n_bytes = layout.n_bytes();
        let mut writer = Writer::begin(BufWriter::new(file), layout)?;
        let (mut buffer, mut written) = (Vec::new(), 0);
        for (tensor_idx, (tensor, deviation)) in self.tensors.iter().enumerate() {
            let first_stream = (tensor_idx as u64) << 32;
            let weights = match tensor.shape[..] {
                [_] => vec![1.0; PIECE_LEN],
                _ => Random::new(!first_stream).bell_shaped(N_PIECES * PIECE_LEN, *deviation),
            };
            let pieces = Pieces::new(tensor.format, &weights, compute);
            let n_pieces = tensor.shape.iter().product::<usize>() / PIECE_LEN;
            for first_piece in (0..n_pieces).step_by(BUFFER_PIECES) {
                let n_pieces = BUFFER_PIECES.min(n_pieces - first_piece);
                buffer.resize(n_pieces * pieces.piece_bytes, 0);
                pieces.fill(&mut buffer, first_stream + first_piece as u64, compute);
                writer.chunk(&buffer)?;
                written += buffer.len() as u64;
                progress(written, n_bytes);
            }
        }
        writer.finish()?;
        Ok(sync_all(file)?)
    }
}

/// Checks that `needed` bytes fit into the folder's disk.
fn check_space(folder: &Path, needed: u64) -> Result<(), BenchError> {
    let available = fs4::available_space(folder).map_err(failed(folder))?;
    match needed <= available {
        true => Ok(()),
        false => Err(BenchError::Space { path: folder.into(), needed, available }),
    }
}

fn failed<E: Into<WriteError>>(path: &Path) -> impl FnOnce(E) -> BenchError {
    |error| BenchError::File { path: path.into(), error: error.into() }
}

/// The format of a tensor, where `format` is asked for.
fn format_of(slot: &TensorSlot, format: &'static DynFormat) -> &'static DynFormat {
    let bits = |format: &DynFormat| format.block_bytes as f64 / format.block_len as f64;
    match slot.spec.role {
        _ if slot.spec.is_vector() => named("F32"),
        Role::Router => named("F32"),
        Role::Output if bits(format) < bits(named("Q6_K")) => named("Q6_K"),
        _ => format,
    }
}

/// The standard deviation of a tensor's weights.
///
/// Products keep the size of their inputs, and embeddings are as large as what layers add to them:
/// if they were small, what a token is would soon be lost in its residual stream. Attention adds a
/// quarter as much, since it adds nearly the same to all tokens, the average of many values.
fn deviation_of(slot: &TensorSlot) -> f32 {
    let n_inputs = slot.shape.last().map_or(1.0, |&cols| cols as f32);
    match slot.spec.role {
        Role::Embedding => 1.0,
        Role::AttentionOutput => 0.25 / n_inputs.sqrt(),
        _ => 1.0 / n_inputs.sqrt(),
    }
}

fn named(name: &str) -> &'static DynFormat {
    DynFormat::by_name(name).expect("one of the formats")
}

/// Keys of a SentencePiece vocabulary: control tokens, bytes, and words that are numbers.
fn set_vocabulary(metadata: &mut Metadata, n_vocab: usize) {
    const CONTROL: [(&str, i32); 3] = [("<unk>", 2), ("<s>", 3), ("</s>", 3)];
    let control = CONTROL.map(|(token, kind)| (token.to_owned(), kind)).into_iter();
    let bytes = (0..256).map(|byte| (format!("<0x{byte:02X}>"), 6));
    let words = (MIN_VOCAB..n_vocab).map(|id| (format!("\u{2581}{id}"), 1));
    let (tokens, kinds): (Vec<_>, Vec<_>) = control.chain(bytes).chain(words).unzip();
    let scores = (0..n_vocab).map(|id| -(id as f32)).collect();
    let mut set = |key: &str, value| metadata.set(format!("tokenizer.ggml.{key}"), value);
    set("model", Value::String("llama".into()));
    set("tokens", Value::Array(Array::String(tokens)));
    set("scores", Value::Array(Array::F32(scores)));
    set("token_type", Value::Array(Array::I32(kinds)));
    set("unknown_token_id", Value::U32(0));
    set("bos_token_id", Value::U32(1));
    set("eos_token_id", Value::U32(2));
    set("add_bos_token", Value::Bool(true));
}

/// Weights that are put into a file together: whole blocks of every format.
const PIECE_LEN: usize = 256;

/// Pieces of a tensor to choose from.
const N_PIECES: usize = 1024;

/// Pieces that are written together.
const BUFFER_PIECES: usize = 64 << 10;

/// Pieces that a thread puts together at a time.
const TASK_PIECES: usize = 1 << 10;

/// Pieces of rows in a format, to be put together in any order.
struct Pieces {
    piece_bytes: usize,
    bytes: Vec<u8>,
}

impl Pieces {
    /// Pieces of these weights.
    fn new(format: &'static DynFormat, weights: &[f32], compute: &Compute) -> Pieces {
        let piece_bytes = format.row_bytes(PIECE_LEN).expect("whole blocks");
        let mut bytes = vec![0; weights.len() / PIECE_LEN * piece_bytes];
        compute.run(|| {
            let pieces = bytes.par_chunks_exact_mut(piece_bytes);
            let pieces = pieces.zip(weights.par_chunks_exact(PIECE_LEN));
            pieces.for_each(|(piece, weights)| format.quantize(compute.isa, weights, piece));
        });
        Pieces { piece_bytes, bytes }
    }

    /// Fills `out` with pieces in random order.
    fn fill(&self, out: &mut [u8], first_stream: u64, compute: &Compute) {
        let n_pieces = (self.bytes.len() / self.piece_bytes) as u32;
        let fill = |(task_idx, out): (usize, &mut [u8])| {
            let mut random = Random::new(first_stream + task_idx as u64);
            for out in out.chunks_exact_mut(self.piece_bytes) {
                let start = random.below(n_pieces) as usize * self.piece_bytes;
                out.copy_from_slice(&self.bytes[start..][..self.piece_bytes]);
            }
        };
        let tasks = out.par_chunks_mut(TASK_PIECES * self.piece_bytes);
        compute.run(|| tasks.enumerate().for_each(fill));
    }
}
