//! What running a model takes, against what the machine has.

use super::larger::Larger;
use crate::architecture::Config;
use crate::gguf::Gguf;
use crate::machine::Machine;
use crate::model::{Model, Weights};
use gatefold_quant::DynFormat;
use serde::Serialize;

/// What running takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Weights, mapped from the file.
    pub weights_bytes: u64,
    /// Weights read for each token when one sequence is generated, where the file is a model.
    pub weights_bytes_per_token: Option<u64>,
    /// The least memory in which weights that do not fit are read from the disk as they are needed; in less,
    /// they come in as mapped files do.
    pub least_bytes: Option<u64>,
    /// How it runs where it is larger than the memory available.
    pub larger: Option<Larger>,
    /// The KV cache in F16, the default.
    pub kv_f16: Option<KvBytes>,
    /// The KV cache in Q8_0, where heads are whole blocks.
    pub kv_q8_0: Option<KvBytes>,
}

/// The size of a KV cache.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct KvBytes {
    /// Of each token.
    pub per_token: u64,
    /// Of a sequence as long as the model's context.
    pub per_context: u64,
}

/// Whether a model runs here.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Whether it runs at all.
    pub runs: bool,
    /// How well, or why not; one line each.
    pub notes: Vec<String>,
}

/// Tokens of the shortest steps in which a model is worth running.
const SHORT_STEP: usize = 128;

impl Memory {
    pub(super) fn of(
        gguf: &Gguf,
        config: Option<&Config>,
        weights: Option<&Weights>,
        machine: Option<Machine>,
    ) -> Memory {
        let model = config.and(weights).and_then(|_| Model::load(gguf).ok());
        let n_parameters = gguf.tensors().map(|tensor| tensor.n_weights() as u64).sum();
        let per_token = |config: &Config| Some(weights?.bytes_per_token(config.top_k));
        let kv = |format| config.and_then(|config| KvBytes::of(config, format));
        Memory {
            weights_bytes: gguf.n_tensor_bytes(),
            weights_bytes_per_token: config.and_then(per_token),
            least_bytes: model.as_ref().and_then(|model| model.needs(None).least(SHORT_STEP)),
            larger: model
                .as_ref()
                .zip(machine)
                .and_then(|(model, machine)| Larger::of(model, n_parameters, machine.free_bytes())),
            kv_f16: kv("F16"),
            kv_q8_0: kv("Q8_0"),
        }
    }
}

impl KvBytes {
    fn of(config: &Config, format: &str) -> Option<KvBytes> {
        let row_bytes = DynFormat::by_name(format)?.row_bytes(config.head_dim)?;
        let rows = 2 * config.n_layers as u64 * config.n_kv_heads as u64;
        let per_token = rows.checked_mul(row_bytes as u64)?;
        Some(KvBytes { per_token, per_context: per_token.checked_mul(config.context_len as u64)? })
    }
}

impl Verdict {
    /// Of a model that runs, but for what `notes` say.
    pub(super) fn runs(memory: Memory, machine: Option<Machine>, notes: Vec<String>) -> Verdict {
        let fit = machine.zip(memory.kv_f16).map(|(machine, kv)| match memory.larger {
            Some(larger) => larger.told(),
            None => fit(memory, kv, machine),
        });
        Verdict { runs: true, notes: fit.into_iter().chain(notes).collect() }
    }
}

/// Contexts below this are of little use.
const SHORT_CONTEXT: u64 = 512;

/// How weights and a cache fit into memory.
fn fit(memory: Memory, kv: KvBytes, machine: Machine) -> String {
    let room = machine.available_bytes.saturating_sub(memory.weights_bytes);
    let most_tokens = |kv: KvBytes| room / kv.per_token.max(1);
    if room >= kv.per_context {
        "weights and the cache of a whole context fit into the memory available".into()
    } else if most_tokens(kv) >= SHORT_CONTEXT {
        let q8_0 = memory.kv_q8_0.filter(|&q8_0| most_tokens(q8_0) > most_tokens(kv));
        let longer = q8_0.map_or(String::new(), |q8_0| match room >= q8_0.per_context {
            true => ", or a whole one in Q8_0 (`cache_format` q8_0)".into(),
            false => format!(", or {} in Q8_0 (`cache_format` q8_0)", most_tokens(q8_0)),
        });
        let most = most_tokens(kv);
        format!(
            "fits into the memory available with a context of up to {most} tokens (`context_len`){longer}"
        )
    } else if memory.weights_bytes < machine.memory_bytes {
        "the memory available is short now: free some, or expect reads from disk for each token"
            .into()
    } else {
        "the weights are larger than the memory: it runs, but slowly, reading from disk for each token; \
         a smaller quantization would fit"
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(available_bytes: u64) -> String {
        let kv = KvBytes { per_token: 100, per_context: 100 << 15 };
        let memory = Memory {
            weights_bytes: 1 << 30,
            weights_bytes_per_token: Some(1 << 28),
            least_bytes: None,
            larger: None,
            kv_f16: Some(kv),
            kv_q8_0: Some(KvBytes { per_token: 53, per_context: 53 << 15 }),
        };
        let machine = Machine { memory_bytes: available_bytes + 1000, available_bytes };
        let verdict = Verdict::runs(memory, Some(machine), Vec::new());
        assert!(verdict.runs);
        verdict.notes.join("")
    }

    #[test]
    fn the_verdict_follows_the_memory() {
        let whole = (1 << 30) + (100 << 15);
        assert!(verdict(whole).contains("whole context fit"));
        assert!(verdict(whole - 1).contains("up to 32767 tokens (`context_len`), or a whole one"));
        assert!(
            verdict((1 << 30) + 100 * 600).contains("600 tokens (`context_len`), or 1132 in Q8_0")
        );
        assert!(verdict((1 << 30) + 100 * 511).contains("short now"));
        assert!(verdict(1 << 29).contains("larger than the memory"));
    }
}
