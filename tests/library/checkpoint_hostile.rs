//! Damaged checkpoints are refused with a message that says which file is wrong, and how.

use crate::small_checkpoint::{
    INDEX, SHARDS, change_json, fixture, hugging_face, hugging_face_merged, mistral,
};
use gatefold::checkpoint::{Checkpoint, CheckpointError, safetensors};
use gatefold_fixtures::tiny_model;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Fails unless opening is refused in one line that names `file` and says `why`.
#[track_caller]
fn assert_refused(path: &Path, file: &str, why: &str) {
    let error = Checkpoint::open(path).err().expect("opening should fail").to_string();
    assert!(error.contains(file) && error.contains(why), "{file}: {why}\n{error}");
    assert!(!error.contains(char::is_control), "{error:?}");
}

/// A safetensors file with this header and this many bytes of data.
fn safetensors_file(header: &str, n_bytes: usize) -> Vec<u8> {
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + n_bytes, 0);
    file
}

/// The merged checkpoint with the header of its file changed; its data stays.
fn with_header(change: impl FnOnce(&mut Value)) -> TempDir {
    let folder = hugging_face_merged();
    let path = folder.path().join("model.safetensors");
    let file = fs::read(&path).unwrap();
    let (length, rest) = file.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let mut header: Value = serde_json::from_slice(header).unwrap();
    change(&mut header);
    let mut file = safetensors_file(&header.to_string(), 0);
    file.extend(data);
    fs::write(path, file).unwrap();
    folder
}

#[test]
fn what_is_no_checkpoint_is_told_what_one_looks_like() {
    let folder = tempfile::tempdir().unwrap();
    let looks = "a checkpoint is a GGUF file, a folder with config.json";
    assert_refused(folder.path(), "", looks);
    assert_refused(&folder.path().join("absent"), "absent", "cannot be read");
    for (name, content) in [("empty", ""), ("text.txt", "to be or not to be"), ("short", "GG")] {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        assert_refused(&path, name, looks);
    }
    let path = folder.path().join("cut.gguf");
    fs::write(&path, "GGUF\u{3}\0\0\0").unwrap();
    assert_refused(&path, "cut.gguf", "cut short");
}

#[test]
fn pointers_of_git_lfs_are_told_apart() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4976698672\n";
    let folders = [
        (hugging_face_merged(), "model.safetensors"),
        (mistral("separate.pth"), "consolidated.00.pth"),
    ];
    for (folder, weights) in folders {
        // The weights last: they are read first.
        for name in ["tokenizer.model", weights] {
            fs::write(folder.path().join(name), pointer).unwrap();
            assert_refused(folder.path(), name, "`git lfs pull`");
        }
    }
}

#[test]
fn a_file_that_its_folder_is_not_read_from_is_refused() {
    let folder = hugging_face_merged();
    let path = folder.path().join("finetune.safetensors");
    fs::copy(folder.path().join("model.safetensors"), &path).unwrap();
    assert_refused(&path, "finetune.safetensors", "are model.safetensors; name the folder");
}

#[test]
fn folders_without_weights_are_refused() {
    let folder = hugging_face_merged();
    fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert_refused(folder.path(), "", "has no model*.safetensors");
    let folder = mistral("separate.pth");
    fs::remove_file(folder.path().join("consolidated.00.pth")).unwrap();
    assert_refused(folder.path(), "", "has no consolidated.safetensors, consolidated.*.pth");
    fs::create_dir(folder.path().join("consolidated.00.pth")).unwrap();
    assert_refused(folder.path(), "consolidated.00.pth", "is not a file");
}

#[test]
fn damaged_json_is_refused() {
    let folder = hugging_face();
    for (content, why) in [
        (&b""[..], "is not a JSON object"),
        (b"{\"model_type\": \"mix\xfftral\"}", "is not a JSON object"),
        (b"[1, 2]", "is not a JSON object"),
        (b"{\"model_type\": \"mixtral\"", "is not a JSON object"),
        (&[b'['; 100_000], "is not a JSON object"),
    ] {
        for name in ["config.json", INDEX] {
            let path = folder.path().join(name);
            let whole = fs::read(&path).unwrap();
            fs::write(&path, content).unwrap();
            assert_refused(folder.path(), name, why);
            fs::write(&path, whole).unwrap();
        }
    }
}

/// Hugging Face's config with one value changed (null: taken away) is refused.
#[track_caller]
fn assert_config_refused(key: &str, value: Value, why: &str) {
    let folder = hugging_face();
    change_json(&folder, "config.json", |config| config[key] = value);
    assert_refused(folder.path(), "config.json", why);
}

#[test]
fn configs_that_cannot_be_used_are_refused() {
    let cases = [
        ("model_type", json!(null), "has no model_type"),
        ("model_type", json!("qwen3_moe"), "model_type is \"qwen3_moe\"; expected mixtral"),
        ("model_type", json!("a\n\u{1b}[2J"), "expected mixtral"),
        ("model_type", json!("x".repeat(1000)), "xxx...; expected mixtral"),
        ("hidden_act", json!("gelu"), "hidden_act is \"gelu\"; expected silu"),
        ("hidden_size", json!(null), "has no hidden_size, which says how wide"),
        ("hidden_size", json!("32"), "hidden_size is \"32\"; expected a size"),
        ("hidden_size", json!(0), "hidden_size is 0; expected a size from 1"),
        ("hidden_size", json!(-32), "hidden_size is -32; expected a size from 1"),
        ("hidden_size", json!(32.5), "hidden_size is 32.5; expected a size"),
        ("num_hidden_layers", json!(1_000_000_000_000_000_000_u64), "expected a size"),
        ("num_attention_heads", json!(5), "expected a divisor of the hidden_size 32"),
        ("num_key_value_heads", json!(3), "expected a divisor of 4 heads"),
        ("num_experts_per_tok", json!(4), "expected 1 to 3, the number of experts"),
        ("rms_norm_eps", json!(0), "rms_norm_eps is 0; expected a positive number"),
        ("rms_norm_eps", json!(1e300), "expected a positive number"),
        ("head_dim", json!(7), "expected an even number"),
        ("rope_parameters", json!([]), "rope_parameters is []; expected an object"),
        ("rope_parameters", json!({"rope_type": "ntk"}), "rope_parameters.rope_type is \"ntk\""),
        ("rope_parameters", json!({"rope_type": "llama3"}), "has no rope_parameters.factor"),
        (
            "rope_scaling",
            json!({"rope_type": "longrope", "long_factor": [1.0], "short_factor": [1.0]}),
            "rope_scaling.long_factor is [1.0]; expected a list of 4 positive numbers",
        ),
        (
            "rope_scaling",
            json!({
                "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 4.0, "high_freq_factor": 1.0
            }),
            "rope_scaling.high_freq_factor is 1.0; expected more than 4",
        ),
        (
            "rope_parameters",
            json!({"factor": 4.0}),
            "rope_parameters.factor is 4.0; expected no such",
        ),
        (
            "rope_parameters",
            json!({"full_attention": {"rope_type": "yarn"}}),
            "rope_parameters.full_attention is {",
        ),
        ("partial_rotary_factor", json!(0.5), "partial_rotary_factor is 0.5; expected 1"),
        ("rope_parameters", json!({"rope_type": "linear"}), "has no rope_parameters.factor"),
        ("tie_word_embeddings", json!("no"), "expected true or false"),
    ];
    for (key, value, why) in cases {
        assert_config_refused(key, value, why);
    }
}

#[test]
fn sizes_that_the_weights_do_not_have_are_refused() {
    let cases = [
        ("num_hidden_layers", json!(1 << 30), "has no tensor model.layers.2.input_layernorm"),
        (
            "num_hidden_layers",
            json!(1),
            "model.layers.1.block_sparse_moe.experts.0.w1.weight, which",
        ),
        ("num_local_experts", json!(1 << 30), "model.layers.0.block_sparse_moe.gate.weight has"),
        ("vocab_size", json!(300), "tensor model.embed_tokens.weight has the shape [272, 32]"),
        ("intermediate_size", json!(1 << 30), "experts.0.w1.weight has the shape [40, 32]"),
        ("head_dim", json!(1 << 30), "self_attn.q_proj.weight has the shape [32, 32]"),
    ];
    for (key, value, why) in cases {
        let folder = hugging_face();
        change_json(&folder, "config.json", |config| config[key] = value);
        assert_refused(folder.path(), "", why);
    }
}

#[test]
fn indexes_that_lead_astray_are_refused() {
    const NORM: &str = "model.norm.weight";
    let cases = [
        (json!("../x.safetensors"), "says that model.norm.weight is in \"../x.safetensors\""),
        (json!("/etc/passwd"), "is not the name of a file beside it"),
        (json!(".."), "is not the name of a file beside it"),
        (json!("C:x"), "is not the name of a file beside it"),
        (json!(""), "is not the name of a file beside it"),
        (json!(7), "weight_map.model.norm.weight is 7; expected a string"),
        (json!("model-3.safetensors"), "names the file model-3.safetensors"),
        (json!(SHARDS[0]), "says that model.norm.weight is in model-00001"),
    ];
    for (file, why) in cases {
        let folder = hugging_face();
        change_json(&folder, INDEX, |index| index["weight_map"][NORM] = file);
        assert_refused(folder.path(), INDEX, why);
    }
    let folder = hugging_face();
    change_json(&folder, INDEX, |index| index["weight_map"] = json!(null));
    assert_refused(folder.path(), INDEX, "has no weight_map");
    let folder = hugging_face();
    fs::remove_file(folder.path().join(SHARDS[1])).unwrap();
    assert_refused(folder.path(), INDEX, "names the file model-00002-of-00002.safetensors");
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    assert_refused(folder.path(), "", "has no tensor model.layers.");
}

#[test]
fn a_tensor_in_two_files_is_refused_unless_an_index_says_which_counts() {
    let folder = hugging_face();
    fs::copy(fixture("merged.safetensors"), folder.path().join("model-3.safetensors")).unwrap();
    Checkpoint::open(folder.path()).unwrap();
    fs::remove_file(folder.path().join(INDEX)).unwrap();
    assert_refused(
        folder.path(),
        "model-3.safetensors",
        "model-00001-of-00002.safetensors has one",
    );
}

#[test]
fn damaged_headers_are_refused() {
    const NORM: &str = "model.norm.weight";
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 8] = [
        (&|header| header[NORM]["data_offsets"] = json!([0, 64]), "is damaged: its header"),
        (&|header| header[NORM]["shape"] = json!([33]), "is damaged: its header"),
        (&|header| header[NORM]["shape"] = json!([u64::MAX, u64::MAX]), "is damaged: its header"),
        (&|header| header[NORM]["shape"] = json!([-1]), "is damaged: its header"),
        (&|header| header[NORM]["dtype"] = json!("F17"), "is damaged: its header"),
        (&|header| header[NORM]["dtype"] = json!("I16"), "tensor model.norm.weight is I16, and"),
        (
            &|header| {
                header["x.weight"] = json!({"dtype": "F16", "shape": [0], "data_offsets": [0, 0]})
            },
            "has a tensor x.weight, which is none",
        ),
        (&|header| *header = json!([]), "is damaged: its header"),
    ];
    for (change, why) in cases {
        assert_refused(with_header(change).path(), "model.safetensors", why);
    }
    let missing = with_header(|header| {
        let norm = header.as_object_mut().unwrap().remove(NORM).unwrap();
        header["y"] = norm;
    });
    assert_refused(missing.path(), "", "has no tensor model.norm.weight");
}

#[test]
fn buffers_that_say_nothing_new_are_passed_over() {
    let folder = with_header(|header| {
        header["model.layers.0.self_attn.rotary_emb.inv_freq"] =
            json!({"dtype": "I64", "shape": [0], "data_offsets": [0, 0]});
    });
    Checkpoint::open(folder.path()).unwrap();
}

#[test]
fn lengths_that_lie_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let two = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"#;
    let refused = [
        (vec![], "it has 0 bytes"),
        (vec![0; 7], "it has 7 bytes"),
        (vec![0xff; 64], "its header claims 18446744073709551615 bytes, and at most 56"),
        (safetensors_file("{}", 0)[..9].to_vec(), "its header claims 2 bytes, and at most 1"),
        (safetensors_file(&format!("{two}}}"), 7).to_vec(), "its header"),
        (
            safetensors_file(&format!("{}}}", two.trim_end_matches(',')), 7),
            "ends before its tensor a",
        ),
        // Two tensors of one name: without the first, the second leaves a gap.
        (
            safetensors_file(&format!("{two}{}}}", two[1..].replace("[0,8]},", "[8,16]}")), 16),
            "invalid offset for tensor `a`",
        ),
        (safetensors_file("{\"a\": \u{1}}", 0), "its header"),
    ];
    for (file, why) in refused {
        fs::write(&path, file).unwrap();
        let error = safetensors::read(&[&path]).unwrap_err().to_string();
        assert!(error.contains("x.safetensors") && error.contains(why), "{why}\n{error}");
    }
}

#[test]
fn every_prefix_of_a_safetensors_file_is_refused() {
    let whole = fs::read(fixture("merged.safetensors")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    for len in (0..5000).step_by(37).chain((5000..whole.len()).step_by(9973)) {
        fs::write(&path, &whole[..len]).unwrap();
        let error = safetensors::read(&[&path]).unwrap_err();
        assert!(matches!(error, CheckpointError::File { .. }), "{len}: {error}");
    }
}

#[test]
fn params_that_cannot_be_used_are_refused() {
    let cases = [
        ("dim", json!(null), "has no dim, which says how wide"),
        ("n_layers", json!(1_000_000_000_000_000_000_u64), "n_layers is 1000000000000000000"),
        ("moe", json!({"num_experts": 3}), "has no moe.num_experts_per_tok"),
        ("moe", json!({"num_experts": 3, "num_experts_per_tok": 9}), "expected 1 to 3"),
        ("moe", json!(8), "moe is 8; expected an object"),
        ("vocab_size", json!("many"), "vocab_size is \"many\"; expected a size"),
        ("norm_eps", json!(null), "has no norm_eps"),
    ];
    for (key, value, why) in cases {
        let folder = mistral("separate.pth");
        change_json(&folder, "params.json", |params| params[key] = value);
        assert_refused(folder.path(), "params.json", why);
    }
    for (weights, tensor) in [
        ("separate.pth", "feed_forward.gate.weight"),
        ("stacked.pth", "block_sparse_moe.gate.weight"),
    ] {
        let folder = mistral(weights);
        change_json(&folder, "params.json", |params| params["moe"]["num_experts"] = json!(1 << 30));
        assert_refused(folder.path(), "consolidated.00.pth", tensor);
    }
}

#[test]
fn model_parallel_slices_are_refused() {
    let folder = mistral("separate.pth");
    fs::copy(fixture("separate.pth"), folder.path().join("consolidated.01.pth")).unwrap();
    assert_refused(folder.path(), "consolidated.01.pth", "consolidated.00.pth");
}

#[test]
fn old_ggufs_with_experts_amiss_are_refused() {
    type Change = fn(&mut tiny_model::Model);
    let last = "blk.0.ffn_up.3.weight";
    let missing = |model: &mut tiny_model::Model| {
        model.tensors.retain(|(plan, _)| plan.name != "blk.0.ffn_up.3.weight");
    };
    let cases: [(Change, String); 4] = [
        (missing, format!("has no tensor {last}")),
        (|model| model.add("blk.0.ffn_up.4", "F32", &[64, 32]), "ffn_up.4.weight, which".into()),
        (
            |model| model.add("blk.0.ffn_up_exps", "F32", &[4, 64, 32]),
            "has a tensor blk.0.ffn_up.0.weight, which is none".into(),
        ),
        (
            |model| {
                model.tensors.retain(|(plan, _)| plan.name != "blk.0.ffn_up.3.weight");
                model.add("blk.0.ffn_up.3", "F32", &[32, 32]);
            },
            format!("{last} has the shape [32, 32] (outermost first), and [64, 32]"),
        ),
    ];
    for (change, why) in cases {
        let mut model = tiny_model::Model::with_separate_experts();
        change(&mut model);
        let (_folder, path) = model.write();
        assert_refused(&path, "tiny.gguf", &why);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Neither a panic nor a large allocation, whatever bytes of the header change.
    #[test]
    fn changed_bytes_of_a_header_do_no_harm(
        changes in prop::collection::vec((0_usize..4000, any::<u8>()), 1..4),
    ) {
        let folder = hugging_face_merged();
        let path = folder.path().join("model.safetensors");
        let mut file = fs::read(&path).unwrap();
        for (at, byte) in changes {
            file[at] = byte;
        }
        fs::write(&path, file).unwrap();
        let _ = Checkpoint::open(folder.path());
    }
}
