//! `gatefold inspect`, run as a program on small models.

use assert_cmd::Command;
use gatefold::gguf::{Array, Metadata, TensorPlan, Value, Writer};
use gatefold_quant::DynFormat;
use serde_json::Value as Json;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// A model of one layer: 32 wide, 2 heads of 16 with a shared key and value head, 4 experts of
/// which a token takes 2, 64 wide, 5 tokens. All weights are 0 until they are made something else.
struct Model {
    metadata: Metadata,
    tensors: Vec<(TensorPlan, Vec<u8>)>,
}

const EXPERTS: [(&str, usize, usize); 3] =
    [("ffn_gate", 64, 32), ("ffn_up", 64, 32), ("ffn_down", 32, 64)];

impl Model {
    fn new() -> Model {
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

    fn with_merged_experts() -> Model {
        let mut model = Model::new();
        for (part, rows, cols) in EXPERTS {
            model.add(&format!("blk.0.{part}_exps"), "F32", &[4, rows, cols]);
        }
        model
    }

    fn with_separate_experts() -> Model {
        let mut model = Model::new();
        for (part, rows, cols) in EXPERTS {
            for expert_idx in 0..4 {
                model.add(&format!("blk.0.{part}.{expert_idx}"), "F32", &[rows, cols]);
            }
        }
        model
    }

    fn add(&mut self, name: &str, format: &str, shape: &[usize]) {
        let format = DynFormat::by_name(format).unwrap();
        let (cols, rows) = shape.split_last().unwrap();
        let n_bytes = format.row_bytes(*cols).unwrap() * rows.iter().product::<usize>();
        let plan = TensorPlan { name: format!("{name}.weight"), format, shape: shape.into() };
        self.tensors.push((plan, vec![0; n_bytes]));
    }

    fn bytes_of(&mut self, name: &str) -> &mut [u8] {
        let tensor = self.tensors.iter_mut().find(|(plan, _)| plan.name == name);
        &mut tensor.unwrap().1
    }

    fn write(&self) -> (TempDir, PathBuf) {
        let plan = self.tensors.iter().map(|(plan, _)| plan.clone()).collect();
        let mut writer = Writer::new(Vec::new(), &self.metadata, plan).unwrap();
        self.tensors.iter().for_each(|(_, bytes)| writer.tensor(bytes).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny.gguf");
        fs::write(&path, writer.finish().unwrap()).unwrap();
        (folder, path)
    }

    fn inspect(&self, args: &[&str]) -> Run {
        let (_folder, path) = self.write();
        Run::new(
            Command::cargo_bin("gatefold").unwrap().arg("inspect").arg("-m").arg(path).args(args),
        )
    }
}

/// What a run of the program gave.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    fn new(command: &mut Command) -> Run {
        let output = command.output().unwrap();
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

#[test]
fn the_report_has_the_sizes() {
    let run = Model::with_merged_experts().inspect(&["--json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let report = run.json();
    assert_eq!(report["architecture"], "llama");
    assert_eq!(report["name"], "tiny");
    assert_eq!(report["verdict"]["runs"], true, "{}", report["verdict"]);
    let model = &report["model"];
    let sizes =
        ["n_layers", "dim", "n_heads", "n_kv_heads", "head_dim", "n_experts", "n_experts_used"];
    assert_eq!(sizes.map(|size| model[size].as_u64().unwrap()), [1, 32, 2, 1, 16, 4, 2]);
    assert_eq!(report["tokenizer"]["n_vocab"], 5);
    assert_eq!(report["tokenizer"]["has_chat_template"], true);
    assert_eq!(report["metadata"]["llama.context_length"], 100);
    assert_eq!(report["metadata"]["tokenizer.ggml.tokens"][4], "a");

    let (experts, embeddings) = (3 * 4 * 64 * 32, 2 * 5 * 32);
    let attention = 32 * 32 + 2 * 16 * 32 + 32 * 32;
    let others = attention + 4 * 32 + 3 * 32;
    assert_eq!(report["n_parameters"], experts + embeddings + others);
    assert_eq!(report["n_active_parameters"], experts / 2 + embeddings + others);
    // Of the embedding one row; Q4_0 takes 18 bytes for 32 weights.
    let read = 4 * (experts / 2 + 6 * 32 + others - 32 * 32) + 32 * 18;
    assert_eq!(report["memory"]["weights_bytes_per_token"], read);
    assert_eq!(report["memory"]["kv_f16"]["per_token"], 2 * 16 * 2);
    assert_eq!(report["memory"]["kv_f16"]["per_context"], 2 * 16 * 2 * 100);
    assert_eq!(report["memory"]["kv_q8_0"], Json::Null, "heads of 16 are no whole blocks");
    assert_eq!(report["formats"][1]["format"], "Q4_0");
    assert_eq!(report["formats"][1]["n_tensors"], 1);
}

#[test]
fn both_layouts_of_experts_give_the_same_figures() {
    let merged = Model::with_merged_experts().inspect(&["--json"]).json();
    let separate = Model::with_separate_experts().inspect(&["--json"]).json();
    assert_eq!(merged["expert_layout"], "merged");
    assert_eq!(separate["expert_layout"], "separate");
    assert_eq!(separate["verdict"]["runs"], true, "{}", separate["verdict"]);
    assert_eq!(merged["n_active_parameters"], separate["n_active_parameters"]);
    assert_eq!(merged["memory"], separate["memory"]);
}

#[test]
fn the_text_says_the_same_and_lists_tensors() {
    let run = Model::with_separate_experts().inspect(&["--tensors"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for line in ["experts       4, 2 for each token, 64 wide; a tensor each", "runs here     yes"] {
        assert!(run.stdout.contains(line), "{line:?} is not in\n{}", run.stdout);
    }
    let tensor = run.stdout.lines().find(|line| line.starts_with("blk.0.ffn_down.3.weight "));
    let words: Vec<_> = tensor.unwrap().split_whitespace().collect();
    assert_eq!(words, ["blk.0.ffn_down.3.weight", "F32", "[32,", "64]", "8.2", "kB"]);
}

#[test]
fn check_finds_weights_that_are_no_numbers() {
    let sound = Model::with_merged_experts().inspect(&["--check"]);
    assert_eq!(sound.code, 0, "{}", sound.stderr);
    assert!(sound.stdout.contains("all weights of 13 tensors are finite"), "{}", sound.stdout);

    let mut model = Model::with_merged_experts();
    let weight = 4 * ((3 * 64 + 5) * 32 + 7);
    let gate = model.bytes_of("blk.0.ffn_gate_exps.weight");
    gate[weight..weight + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    // The scale of the second block.
    model.bytes_of("blk.0.attn_q.weight")[18..20].copy_from_slice(&[0, 0x7e]);
    let run = model.inspect(&["--check", "--json"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("2 tensors have NaN or infinite weights"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1);
    let faults = &run.json()["check"]["faults"];
    let expected = serde_json::json!([
        { "tensor": "blk.0.attn_q.weight", "format": "Q4_0", "n_weights": 32, "first": [1, 0] },
        { "tensor": "blk.0.ffn_gate_exps.weight", "format": "F32", "n_weights": 1, "first": [3, 5, 7] },
    ]);
    assert_eq!(faults, &expected);
}

#[test]
fn a_model_that_cannot_run_is_still_described() {
    let mut model = Model::with_merged_experts();
    model.tensors.retain(|(plan, _)| plan.name != "output_norm.weight");
    let run = model.inspect(&["--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["verdict"]["runs"], false);
    let note = run.json()["verdict"]["notes"][0].to_string();
    assert!(note.contains("output_norm.weight"), "{note}");
    assert_eq!(model.inspect(&["--check"]).code, 1);

    let mut model = Model::with_merged_experts();
    model.metadata.set("tokenizer.ggml.model", Value::String("bert".into()));
    assert!(model.inspect(&[]).stdout.contains("bert"));
    assert_eq!(model.inspect(&["--check"]).code, 1);

    let mut model = Model::with_merged_experts();
    model.metadata.set("general.architecture", Value::String("gemma".into()));
    let run = model.inspect(&[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("runs here     no: ") && run.stdout.contains("gemma"),
        "{}",
        run.stdout
    );
}

#[test]
fn what_cannot_be_read_is_one_line_and_code_1() {
    let mut inspect = Command::cargo_bin("gatefold").unwrap();
    let run = Run::new(inspect.args(["inspect", "Cargo.toml"]));
    assert_eq!((run.code, run.stdout.as_str()), (1, ""));
    assert!(run.stderr.contains("Cargo.toml: is not a GGUF file"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1);
}
