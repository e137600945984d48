//! A tiny model, to be spoiled.

#![allow(dead_code, reason = "each test uses its part")]

use gatefold::gguf::{Array, Metadata, TensorPlan, Value, Writer};
use gatefold_quant::DynFormat;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A model of one layer: 32 wide, 2 heads of 16 with a shared key and value head, 4 experts of
/// which a token takes 2, 64 wide, 5 tokens. All weights are 0 until they are made something else.
pub struct Model {
    pub metadata: Metadata,
    pub tensors: Vec<(TensorPlan, Vec<u8>)>,
}

const EXPERTS: [(&str, usize, usize); 3] =
    [("ffn_gate", 64, 32), ("ffn_up", 64, 32), ("ffn_down", 32, 64)];

impl Model {
    pub fn new() -> Model {
        let mut metadata = Metadata::new();
        let texts = [
            ("general.architecture", "llama"),
            ("general.name", "tiny"),
            ("tokenizer.ggml.model", "llama"),
            ("tokenizer.chat_template", "{{ messages }}"),
        ];
        for (key, text) in texts {
            metadata.set(key, Value::String(text.into()));
        }
        let sizes = [
            ("block_count", 1),
            ("embedding_length", 32),
            ("feed_forward_length", 64),
            ("attention.head_count", 2),
            ("attention.head_count_kv", 1),
            ("context_length", 100),
            ("expert_count", 4),
            ("expert_used_count", 2),
        ];
        for (key, size) in sizes {
            metadata.set(format!("llama.{key}"), Value::U32(size));
        }
        metadata.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        let tokens = ["<unk>", "<s>", "</s>", "▁", "a"].map(String::from).to_vec();
        metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
        metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; 5])));
        let types = vec![2, 3, 3, 1, 1];
        metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(types)));

        let mut model = Model { metadata, tensors: Vec::new() };
        model.add("token_embd", "F32", &[5, 32]);
        model.add("blk.0.attn_norm", "F32", &[32]);
        model.add("blk.0.attn_q", "Q4_0", &[32, 32]);
        model.add("blk.0.attn_k", "F32", &[16, 32]);
        model.add("blk.0.attn_v", "F32", &[16, 32]);
        model.add("blk.0.attn_output", "F32", &[32, 32]);
        model.add("blk.0.ffn_norm", "F32", &[32]);
        model.add("blk.0.ffn_gate_inp", "F32", &[4, 32]);
        model.add("output_norm", "F32", &[32]);
        model.add("output", "F32", &[5, 32]);
        model
    }

    pub fn with_merged_experts() -> Model {
        let mut model = Model::new();
        for (part, rows, cols) in EXPERTS {
            model.add(&format!("blk.0.{part}_exps"), "F32", &[4, rows, cols]);
        }
        model
    }

    pub fn with_separate_experts() -> Model {
        let mut model = Model::new();
        for (part, rows, cols) in EXPERTS {
            for expert_idx in 0..4 {
                model.add(&format!("blk.0.{part}.{expert_idx}"), "F32", &[rows, cols]);
            }
        }
        model
    }

    pub fn add(&mut self, name: &str, format: &str, shape: &[usize]) {
        let format = DynFormat::by_name(format).unwrap();
        let (cols, rows) = shape.split_last().unwrap();
        let n_bytes = format.row_bytes(*cols).unwrap() * rows.iter().product::<usize>();
        let plan = TensorPlan { name: format!("{name}.weight"), format, shape: shape.into() };
        self.tensors.push((plan, vec![0; n_bytes]));
    }

    pub fn bytes_of(&mut self, name: &str) -> &mut [u8] {
        let tensor = self.tensors.iter_mut().find(|(plan, _)| plan.name == name);
        &mut tensor.unwrap().1
    }

    /// The bytes of the file.
    pub fn file(&self) -> Vec<u8> {
        let plan = self.tensors.iter().map(|(plan, _)| plan.clone()).collect();
        let mut writer = Writer::new(Vec::new(), &self.metadata, plan).unwrap();
        self.tensors.iter().for_each(|(_, bytes)| writer.tensor(bytes).unwrap());
        writer.finish().unwrap()
    }

    /// A file that lives as long as the folder.
    pub fn write(&self) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        fs::write(&path, self.file()).unwrap();
        (folder, path)
    }
}
