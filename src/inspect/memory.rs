//! What running a model takes, against what the machine has.

use super::{ExpertLayout, Machine};
use crate::gguf::{Gguf, Tensor};
use crate::model::Config;
use gatefold_quant::DynFormat;
use serde::Serialize;

/// What running takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Weights, mapped from the file.
    pub weights_bytes: u64,
    /// Weights read for each token when one sequence is generated.
    pub weights_bytes_per_token: u64,
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

impl Memory {
    pub(super) fn of(gguf: &Gguf, config: Option<&Config>) -> Memory {
        let is_tied = gguf.tensor("output.weight").is_none();
        let read = |tensor: &Tensor| {
            let n_bytes = tensor.bytes.len() as u64;
            match tensor.name.as_str() {
                "token_embd.weight" if !is_tied => n_bytes / tensor.shape[0] as u64,
                _ => share(n_bytes, tensor, config),
            }
        };
        let kv = |format| config.and_then(|config| KvBytes::of(config, format));
        Memory {
            weights_bytes: gguf.tensors().map(|tensor| tensor.bytes.len() as u64).sum(),
            weights_bytes_per_token: gguf.tensors().map(read).sum(),
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
    pub(super) fn of(faults: Vec<String>, memory: Memory, machine: Option<Machine>) -> Verdict {
        if !faults.is_empty() {
            return Verdict { runs: false, notes: faults };
        }
        let notes = match (machine, memory.kv_f16) {
            (Some(machine), Some(kv)) => vec![fit(memory, kv, machine)],
            _ => Vec::new(),
        };
        Verdict { runs: true, notes }
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
            true => ", or a whole one in Q8_0 (--cache-type q8_0)".into(),
            false => format!(", or {} in Q8_0 (--cache-type q8_0)", most_tokens(q8_0)),
        });
        let most = most_tokens(kv);
        format!("fits into the memory available with a context of up to {most} tokens (-c){longer}")
    } else if memory.weights_bytes < machine.memory_bytes {
        "the memory available is short now: free some, or expect reads from disk for each token"
            .into()
    } else {
        "the weights are larger than the memory: it runs, but slowly, reading from disk for each token; \
         a smaller quantization would fit"
            .into()
    }
}

/// The share of a tensor's `amount` that takes part in one token: of experts, as many as it is
/// routed to.
pub(super) fn share(amount: u64, tensor: &Tensor, config: Option<&Config>) -> u64 {
    match (config, ExpertLayout::of_tensor(&tensor.name)) {
        (Some(config), Some(_)) if config.n_experts > 0 => {
            (amount as u128 * config.top_k as u128 / config.n_experts as u128) as u64
        }
        _ => amount,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(available_bytes: u64) -> String {
        let kv = KvBytes { per_token: 100, per_context: 100 << 15 };
        let memory = Memory {
            weights_bytes: 1 << 30,
            weights_bytes_per_token: 1 << 28,
            kv_f16: Some(kv),
            kv_q8_0: Some(KvBytes { per_token: 53, per_context: 53 << 15 }),
        };
        let machine = Machine { memory_bytes: available_bytes + 1000, available_bytes };
        let verdict = Verdict::of(Vec::new(), memory, Some(machine));
        assert!(verdict.runs);
        verdict.notes.join("")
    }

    #[test]
    fn the_verdict_follows_the_memory() {
        let whole = (1 << 30) + (100 << 15);
        assert!(verdict(whole).contains("whole context fit"));
        assert!(verdict(whole - 1).contains("up to 32767 tokens (-c), or a whole one"));
        assert!(verdict((1 << 30) + 100 * 600).contains("600 tokens (-c), or 1132 in Q8_0"));
        assert!(verdict((1 << 30) + 100 * 511).contains("short now"));
        assert!(verdict(1 << 29).contains("larger than the memory"));
    }
}
