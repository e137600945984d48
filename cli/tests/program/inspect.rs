//! `gatefold inspect`, run as a program on small models.

use crate::program::{Run, gatefold};
use gatefold::gguf::{Array, Value};
use gatefold_fixtures::tiny_model::Model;
use serde_json::Value as Json;

fn inspect(model: &Model, args: &[&str]) -> Run {
    let (_folder, path) = model.write();
    gatefold(&[&["inspect", "-m", path.to_str().unwrap()], args].concat())
}

#[test]
fn the_report_has_the_sizes() {
    let run = inspect(&Model::with_merged_experts(), &["--json"]);
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
    // Matrices alone, and no embedding; Q4_0 takes 18 bytes for 32 weights.
    let read = 4 * (experts / 2 + 5 * 32 + others - 3 * 32 - 32 * 32) + 32 * 18;
    assert_eq!(report["memory"]["weights_bytes_per_token"], read);
    assert_eq!(report["memory"]["kv_f16"]["per_token"], 2 * 16 * 2);
    assert_eq!(report["memory"]["kv_f16"]["per_context"], 2 * 16 * 2 * 100);
    assert_eq!(report["memory"]["kv_q8_0"], Json::Null, "heads of 16 are no whole blocks");
    assert_eq!(report["formats"][1]["format"], "Q4_0");
    assert_eq!(report["formats"][1]["n_tensors"], 1);
}

#[test]
fn both_layouts_of_experts_give_the_same_figures() {
    let merged = inspect(&Model::with_merged_experts(), &["--json"]).json();
    let separate = inspect(&Model::with_separate_experts(), &["--json"]).json();
    assert_eq!(merged["expert_layout"], "merged");
    assert_eq!(separate["expert_layout"], "separate");
    assert_eq!(separate["verdict"]["runs"], true, "{}", separate["verdict"]);
    assert_eq!(merged["n_active_parameters"], separate["n_active_parameters"]);
    assert_eq!(merged["memory"], separate["memory"]);
}

#[test]
fn the_text_says_the_same_and_lists_tensors() {
    let run = inspect(&Model::with_separate_experts(), &["--tensors"]);
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
    let sound = inspect(&Model::with_merged_experts(), &["--check"]);
    assert_eq!(sound.code, 0, "{}", sound.stderr);
    assert!(sound.stdout.contains("all weights of 13 tensors are finite"), "{}", sound.stdout);

    let mut model = Model::with_merged_experts();
    let weight = 4 * ((3 * 64 + 5) * 32 + 7);
    let gate = model.bytes_of("blk.0.ffn_gate_exps.weight");
    gate[weight..weight + 4].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    // The scale of the second block.
    model.bytes_of("blk.0.attn_q.weight")[18..20].copy_from_slice(&[0, 0x7e]);
    let run = inspect(&model, &["--check", "--json"]);
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
    let run = inspect(&model, &["--json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(run.json()["verdict"]["runs"], false);
    assert_eq!(run.json()["n_active_parameters"], Json::Null);
    assert_eq!(run.json()["memory"]["weights_bytes_per_token"], Json::Null);
    assert!(inspect(&model, &[]).stdout.contains("experts       4, 2 for each token, 64 wide\n"));
    let note = run.json()["verdict"]["notes"][0].to_string();
    assert!(note.contains("output_norm.weight"), "{note}");
    assert_eq!(inspect(&model, &["--check"]).code, 1);

    let mut model = Model::with_merged_experts();
    model.metadata.set("tokenizer.ggml.model", Value::String("bert".into()));
    assert!(inspect(&model, &[]).stdout.contains("bert"));
    let run = inspect(&model, &["--check"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("tiny.gguf: ") && run.stderr.contains("bert"), "{}", run.stderr);

    let mut model = Model::with_merged_experts();
    model.metadata.set("general.architecture", Value::String("gemma".into()));
    let run = inspect(&model, &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("runs here     no: ") && run.stdout.contains("gemma"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_tied_output_is_read_for_each_token() {
    let untied = inspect(&Model::with_merged_experts(), &["--json"]).json();
    let mut model = Model::with_merged_experts();
    model.tensors.retain(|(plan, _)| plan.name != "output.weight");
    let tied = inspect(&model, &["--json"]).json();
    assert_eq!(
        tied["memory"]["weights_bytes_per_token"],
        untied["memory"]["weights_bytes_per_token"]
    );
    let n_parameters = |report: &Json| report["n_parameters"].as_u64().unwrap();
    assert_eq!(n_parameters(&tied) + 5 * 32, n_parameters(&untied));
}

#[test]
fn the_verdict_is_that_of_run() {
    // Merges of pieces that are not there: only the whole tokenizer notices.
    let mut model = Model::with_merged_experts();
    model.metadata.set("tokenizer.ggml.model", Value::String("gpt2".into()));
    let merges = vec!["x y".to_string()];
    model.metadata.set("tokenizer.ggml.merges", Value::Array(Array::String(merges)));
    let report = inspect(&model, &["--json"]).json();
    assert_eq!(report["verdict"]["runs"], false, "{}", report["verdict"]);
    let note = report["verdict"]["notes"][0].to_string();
    assert!(note.contains("tokenizer.ggml.merges[0]"), "{note}");
    let (_folder, path) = model.write();
    assert_eq!(gatefold(&["run", "-m", path.to_str().unwrap(), "-p", "a"]).code, 1);

    let mut model = Model::with_merged_experts();
    model.metadata.set("tokenizer.chat_template", Value::String("{% if %}".into()));
    let run = inspect(&model, &["--check"]).succeeded();
    let verdict = run.stdout.lines().find(|line| line.starts_with("runs here     yes")).unwrap();
    assert!(verdict.contains("`tokenizer.chat_template` cannot be used"), "{verdict}");
    assert!(verdict.ends_with("(run it with --raw)"), "{verdict}");
    let (_folder, path) = model.write();
    gatefold(&["run", "-m", path.to_str().unwrap(), "-p", "a", "-n", "1", "--raw"]).succeeded();
}

#[test]
fn check_runs_on_the_instruction_set_and_the_threads_asked_for() {
    let model = Model::with_merged_experts();
    let run = inspect(&model, &["--check", "--isa", "scalar", "-t", "2"]).succeeded();
    assert!(run.stdout.contains("all weights of 13 tensors are finite"), "{}", run.stdout);
    inspect(&model, &["--check", "--isa", "mmx"]).refused("unknown instruction set 'mmx'");
}

#[test]
fn what_cannot_be_read_is_one_line_and_code_1() {
    gatefold(&["inspect", "Cargo.toml"]).refused("Cargo.toml: is not a GGUF file");
}

#[test]
fn measuring_says_how_fast_it_will_be() {
    let model = Model::with_merged_experts();
    let report = inspect(&model, &["--measure", "--json"]).json();
    let forecast = &report["forecast"];
    for speed in ["alone", "together", "prompt"] {
        assert!(forecast[speed].as_f64().unwrap() > 1.0, "{forecast}");
    }
    assert!(forecast["disk_bytes_per_second"].is_null(), "it fits");
    let text = inspect(&model, &["--measure"]).stdout;
    assert!(text.contains("\nspeed ") && text.contains(" answers together\n"), "{text}");
    assert!(!inspect(&model, &[]).stdout.contains("\nspeed "));
}
