//! A small random Mixtral, in any format: the one whose logits `fixtures/mixtral/make.py` had
//! computed by transformers.

#![allow(dead_code, reason = "each test uses its part")]

use gatefold::gguf::{Bytes, Gguf, Metadata, TensorPlan, Value, Writer};
use gatefold_quant::{DynFormat, Isa};

/// Size of the real vocabulary.
pub const N_VOCAB: usize = 32_000;
pub const DIM: usize = 256;
pub const HIDDEN_DIM: usize = 512;
pub const N_LAYERS: usize = 3;
pub const N_HEADS: usize = 4;
pub const N_KV_HEADS: usize = 2;
pub const N_EXPERTS: usize = 8;

/// How a file stores the experts.
#[derive(Clone, Copy, PartialEq)]
pub enum ExpertLayout {
    /// One tensor per part.
    Merged,
    /// One tensor per part and expert.
    Separate,
}

/// Values in `[-scale, scale)`: splitmix64 of the name's hash plus the index.
fn uniform(name: &str, len: usize, scale: f32) -> Vec<f32> {
    let seed = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let value = |i: u64| {
        let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 40) as f32 * 2f32.powi(-23) - 1.0;
        unit * scale
    };
    (0..len as u64).map(value).collect()
}

struct Random {
    name: String,
    shape: Vec<usize>,
    scale: f32,
}

fn tensors(n_vocab: usize) -> Vec<Random> {
    let kv_dim = DIM / N_HEADS * N_KV_HEADS;
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize], scale| {
        tensors.push(Random { name: format!("{name}.weight"), shape: shape.to_vec(), scale });
    };
    add("token_embd".into(), &[n_vocab, DIM], 1.0);
    for layer in 0..N_LAYERS {
        let mut blk =
            |part: &str, shape: &[usize], scale| add(format!("blk.{layer}.{part}"), shape, scale);
        blk("attn_norm", &[DIM], 0.5);
        blk("attn_q", &[DIM, DIM], 0.1);
        blk("attn_k", &[kv_dim, DIM], 0.1);
        blk("attn_v", &[kv_dim, DIM], 0.1);
        blk("attn_output", &[DIM, DIM], 0.05);
        blk("ffn_norm", &[DIM], 0.5);
        blk("ffn_gate_inp", &[N_EXPERTS, DIM], 0.2);
        blk("ffn_gate_exps", &[N_EXPERTS, HIDDEN_DIM, DIM], 0.1);
        blk("ffn_up_exps", &[N_EXPERTS, HIDDEN_DIM, DIM], 0.1);
        blk("ffn_down_exps", &[N_EXPERTS, DIM, HIDDEN_DIM], 0.05);
    }
    add("output_norm".into(), &[DIM], 0.5);
    add("output".into(), &[n_vocab, DIM], 0.2);
    tensors
}

/// The keys that say what shape the model has.
pub fn metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", Value::String("llama".into()));
    let sizes = [
        ("llama.context_length", 32_768),
        ("llama.embedding_length", DIM),
        ("llama.block_count", N_LAYERS),
        ("llama.feed_forward_length", HIDDEN_DIM),
        ("llama.expert_count", N_EXPERTS),
        ("llama.expert_used_count", 2),
        ("llama.attention.head_count", N_HEADS),
        ("llama.attention.head_count_kv", N_KV_HEADS),
    ];
    for (key, size) in sizes {
        metadata.set(key, Value::U32(size as u32));
    }
    metadata.set("llama.rope.freq_base", Value::F32(1e6));
    metadata.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
    metadata
}

/// The bytes of a GGUF file: matrices in `format`, norms and routers in F32. Files with fewer
/// tokens have the same weights but for the rows of the others.
pub fn file(
    metadata: &Metadata,
    n_vocab: usize,
    format: &'static DynFormat,
    layout: ExpertLayout,
) -> Vec<u8> {
    let float = DynFormat::by_name("F32").unwrap();
    let mut plans = Vec::new();
    let mut contents = Vec::new();
    for Random { name, shape, scale } in tensors(n_vocab) {
        let mut values = uniform(&name, shape.iter().product(), scale);
        if name.contains("norm") {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
        let is_matrix = shape.len() > 1 && !name.contains("ffn_gate_inp");
        let format = if is_matrix { format } else { float };
        let parts: Vec<(String, Vec<usize>)> = match (layout, &shape[..]) {
            (ExpertLayout::Separate, &[n_experts, rows, cols]) => {
                let name = |expert| name.replace("_exps", &format!(".{expert}"));
                (0..n_experts).map(|expert| (name(expert), vec![rows, cols])).collect()
            }
            _ => vec![(name, shape)],
        };
        let part_len = values.len() / parts.len();
        for ((name, shape), values) in parts.into_iter().zip(values.chunks_exact(part_len)) {
            let mut bytes = vec![0; format.row_bytes(values.len()).unwrap()];
            format.quantize(Isa::detect(), values, &mut bytes);
            plans.push(TensorPlan { name, format, shape });
            contents.push(bytes);
        }
    }
    let mut writer = Writer::new(Vec::new(), metadata, plans).unwrap();
    for bytes in contents {
        writer.tensor(&bytes).unwrap();
    }
    writer.finish().unwrap()
}

/// The model in `format`, in memory.
pub fn gguf(n_vocab: usize, format: &str, layout: ExpertLayout) -> Gguf {
    let format = DynFormat::by_name(format).unwrap();
    let bytes = Bytes::from(file(&metadata(), n_vocab, format, layout));
    Gguf::from_bytes("random-mixtral.gguf", bytes).unwrap()
}
