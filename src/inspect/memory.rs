//! What running a model takes, against what the machine has.

use super::Machine;
use crate::architecture::Config;
use crate::gguf::Gguf;
use crate::model::weights::Weights;
use gatefold_quant::DynFormat;
use serde::Serialize;

/// What running takes, in bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// Weights, mapped from the file.
    pub weights_bytes: u64,
    /// Weights read for each token when one sequence is generated, where the file is a model.
    pub weights_bytes_per_token: Option<u64>,
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
    pub(super) fn of(gguf: &Gguf, config: Option<&Config>, weights: Option<&Weights>) -> Memory {
        let per_token = |config: &Config| Some(weights?.bytes_per_token(config.top_k));
        let kv = |format| config.and_then(|config| KvBytes::of(config, format));
        Memory {
            weights_bytes: weights_bytes(gguf),
            weights_bytes_per_token: config.and_then(per_token),
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
        let fit = machine.zip(memory.kv_f16).map(|(machine, kv)| fit(memory, kv, machine));
        Verdict { runs: true, notes: fit.into_iter().chain(notes).collect() }
    }
}

fn weights_bytes(gguf: &Gguf) -> u64 {
    gguf.tensors().map(|tensor| tensor.bytes.len() as u64).sum()
}

/// What keys and values may take where the operating system does not tell the memory.
const MODEST_CACHE_BYTES: u64 = 2_000_000_000;

/// Bytes that the keys and values of many sequences may take, where the user does not say: what is
/// available, less the weights, less a tenth for the activations of a step and for other programs.
///
/// The weights count whole, whether they are in the page cache already or not. What is there is
/// available to the operating system, which would drop it for the asking, but it has to stay. Where
/// the weights leave less than an eighth of what is available, it is an eighth: a model that is larger
/// than the memory reads weights from disk in any case.
pub fn cache_bytes(gguf: &Gguf) -> u64 {
    let machine = Machine::this();
    machine.map_or(MODEST_CACHE_BYTES, |machine| cache_bytes_in(machine, weights_bytes(gguf)))
}

fn cache_bytes_in(machine: Machine, weights_bytes: u64) -> u64 {
    let left = machine.available_bytes.saturating_sub(weights_bytes);
    (left - left / 10).max(machine.available_bytes / 8)
}

/// Bytes of a model's files that may be read ahead of their use: what is available, less a tenth for
/// keys, values and activations. What the page cache has already counts as available.
pub fn read_ahead_bytes() -> u64 {
    let machine = Machine::this();
    machine.map_or(u64::MAX, |machine| machine.available_bytes - machine.available_bytes / 10)
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
            kv_f16: Some(kv),
            kv_q8_0: Some(KvBytes { per_token: 53, per_context: 53 << 15 }),
        };
        let machine = Machine { memory_bytes: available_bytes + 1000, available_bytes };
        let verdict = Verdict::runs(memory, Some(machine), Vec::new());
        assert!(verdict.runs);
        verdict.notes.join("")
    }

    #[test]
    fn the_cache_gets_what_the_weights_leave() {
        let machine = Machine { memory_bytes: 24_000, available_bytes: 20_000 };
        assert_eq!(cache_bytes_in(machine, 8_000), 10_800);
        assert_eq!(cache_bytes_in(machine, 19_000), 2_500);
        assert_eq!(cache_bytes_in(machine, 26_000), 2_500);
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
