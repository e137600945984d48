//! Conversions as the library does them: what comes out, and when nothing does.

use crate::small_checkpoint;
use gatefold::checkpoint::Checkpoint;
use gatefold::gguf::{Gguf, TensorPlan, Writer};
use gatefold::quantize::{Options, Output, Plan, QuantizeError};
use gatefold::{DynFormat, Isa};
use gatefold_fixtures::conversion;
use gatefold_fixtures::conversion::{Conversion, model};
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::ExpertLayout;
use std::fs;
use std::path::Path;

/// What the writer makes of weights quantized one tensor at a time.
#[test]
fn threads_and_instruction_sets_make_the_same_file() {
    let conversion = Conversion::of(&model("F32"));
    for format in ["Q4_K", "Q8_0", "F16"] {
        let (plan, expected) = (conversion.plan(format), model(format));
        let runs = Isa::available().map(|isa| (isa, 2));
        for (isa, n_threads) in runs.chain([1, 3, 40].map(|n_threads| (Isa::detect(), n_threads))) {
            let name = format!("{format}-{}-{n_threads}.gguf", isa.name());
            conversion.run_on(&plan, &name, isa, n_threads, |_| ()).unwrap();
            let made = fs::read(conversion.path(&name)).unwrap();
            assert!(made == expected, "{name}");
            fs::remove_file(conversion.path(&name)).unwrap();
        }
    }
    assert_eq!(conversion.files(), [""; 0], "nothing is left beside the output");
}

#[test]
fn tensors_that_stay_are_copied() {
    let model = model("Q4_0");
    let conversion = Conversion::of(&model);
    conversion.run(&conversion.plan("Q4_0"), "out.gguf").unwrap();
    assert!(fs::read(conversion.path("out.gguf")).unwrap() == model);
}

/// Files of December 2023 have experts in several formats, which today's layout does not.
#[test]
fn experts_that_have_the_format_already_are_copied() {
    let files =
        ["Q4_K", "Q6_K"].map(|format| random_mixtral::gguf(500, format, ExpertLayout::Separate));
    let is_better = |name: &str| name.contains(".2.weight") || name.contains(".5.weight");
    let tensors = files[0].tensors().zip(files[1].tensors());
    let tensors: Vec<_> = tensors.map(|(a, b)| if is_better(&a.name) { b } else { a }).collect();
    let plan = tensors.iter().map(|tensor| TensorPlan {
        name: tensor.name.clone(),
        format: tensor.format,
        shape: tensor.shape.clone(),
    });
    let mut writer = Writer::new(Vec::new(), files[0].metadata(), plan.collect()).unwrap();
    tensors.iter().for_each(|tensor| writer.tensor(&tensor.bytes).unwrap());

    let conversion = Conversion::of(&writer.finish().unwrap());
    let plan = Plan::new(&conversion.checkpoint, &Options::default()).unwrap();
    let (_, paths) = conversion.run(&plan, "out.gguf").unwrap();
    let made = Gguf::open(&paths[0]).unwrap();
    for matrix in ["gate", "up", "down"] {
        let merged = made.tensor(&format!("blk.1.ffn_{matrix}_exps.weight")).unwrap();
        assert_eq!(merged.format.name, "Q6_K");
        let expert_bytes = merged.bytes.len() / random_mixtral::N_EXPERTS;
        for (idx, expert) in merged.bytes.chunks_exact(expert_bytes).enumerate() {
            let name = format!("blk.1.ffn_{matrix}.{idx}.weight");
            let expected = if is_better(&name) {
                files[1].tensor(&name).unwrap().bytes.to_vec()
            } else {
                let mut weights = vec![0.0; random_mixtral::DIM * random_mixtral::HIDDEN_DIM];
                let q4_k = files[0].tensor(&name).unwrap();
                q4_k.format.dequantize(Isa::SCALAR, &q4_k.bytes, &mut weights);
                let mut bytes = vec![0; expert_bytes];
                merged.format.quantize(Isa::SCALAR, &weights, &mut bytes);
                bytes
            };
            assert!(expert == expected, "{name}");
        }
    }
}

#[test]
fn progress_counts_every_weight() {
    let conversion = Conversion::of(&model("F16"));
    let mut calls = Vec::new();
    conversion
        .run_on(&conversion.plan("Q8_0"), "out.gguf", Isa::detect(), 2, |progress| {
            calls.push(progress)
        })
        .unwrap();
    let n_tensors = conversion.checkpoint.tensors.len();
    assert!(calls.len() > n_tensors, "a call before the first slice, and one per slice");
    assert_eq!(calls[0].weights_done, 0);
    assert!(calls.is_sorted_by_key(|progress| (progress.weights_done, progress.tensor_idx)));
    let last = calls.last().unwrap();
    assert_eq!((last.weights_done, last.tensor_idx), (last.weights_total, n_tensors - 1));
}

#[test]
fn parts_are_a_model() {
    let conversion = Conversion::of(&model("F16"));
    let mut plan = conversion.plan("Q4_0");
    let n_tensors = plan.tensors.len();
    plan.parts = vec![0..0, 0..5, 5..6, 6..n_tensors];
    let (_, files) = conversion.run(&plan, "out.gguf").unwrap();
    let names = (1..=4).map(|part| conversion.path(&format!("out-0000{part}-of-00004.gguf")));
    assert_eq!(files, names.collect::<Vec<_>>());

    plan.parts = std::iter::once(0..n_tensors).collect();
    conversion.run(&plan, "whole.gguf").unwrap();
    let whole = Gguf::open(&conversion.path("whole.gguf")).unwrap();
    let parts = Gguf::open(&files[2]).unwrap();
    assert_eq!(parts.metadata().u64("split.tensors.count").unwrap(), Some(n_tensors as u64));
    for (key, value) in whole.metadata().iter() {
        assert_eq!(parts.metadata().get(key), Some(value), "{key}");
    }
    assert_eq!(parts.tensors().count(), n_tensors);
    for (part, whole) in parts.tensors().zip(whole.tensors()) {
        assert_eq!(part.name, whole.name);
        assert!(part.bytes[..] == whole.bytes[..], "{}", part.name);
    }
}

/// Overwrites weights of a tensor in the input.
fn patched(format: &str, tensor: &str, weight_idx: usize, bytes: &[u8]) -> Conversion {
    let mut model = model(format);
    let conversion = Conversion::of(&model);
    let tensor = conversion.checkpoint.tensors.iter().find(|other| other.name == tensor).unwrap();
    let at = tensor.parts[0].offset as usize + weight_idx * bytes.len();
    model[at..at + bytes.len()].copy_from_slice(bytes);
    Conversion::of(&model)
}

#[track_caller]
fn refused(result: Result<impl Sized, QuantizeError>, words: &[&str]) {
    let message = result.err().expect("an error").to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    assert!(!message.contains('\n'), "{message:?}");
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let infinity = f32::INFINITY.to_le_bytes();
    let experts = patched("F32", "blk.1.ffn_up_exps.weight", (3 * 512 + 7) * 256 + 9, &infinity);
    let words = ["in.gguf", "blk.1.ffn_up_exps.weight", "[3, 7, 9] is inf"];
    refused(experts.run(&experts.plan("Q4_K"), "out.gguf"), &words);
    refused(experts.run(&experts.plan("F32"), "copy.gguf"), &words);
    assert!(!experts.path("out.gguf").exists() && !experts.path("copy.gguf").exists());

    let norm = patched("Q8_0", "blk.2.attn_norm.weight", 200, &f32::NAN.to_le_bytes());
    refused(norm.run(&norm.plan("Q8_0"), "out.gguf"), &["blk.2.attn_norm.weight", "[200] is NaN"]);
}

/// Scales of blocks can be no numbers too, where blocks are only copied.
#[test]
fn blocks_that_hold_no_numbers_are_named() {
    let nan = 0x7e00u16.to_le_bytes();
    for (format, scale_at) in [("Q4_K", 0), ("Q6_K", 208), ("Q8_0", 0), ("Q4_0", 0)] {
        let block_bytes = DynFormat::by_name(format).unwrap().block_bytes;
        // A patch lies at a multiple of its own two bytes.
        let at = (5 * block_bytes + scale_at) / nan.len();
        let damaged = patched(format, "blk.1.attn_q.weight", at, &nan);
        let words = ["in.gguf", "blk.1.attn_q.weight", "is NaN", "damaged"];
        refused(damaged.run(&damaged.plan(format), "out.gguf"), &words);
    }
}

#[test]
fn weights_beyond_a_format_are_named() {
    let large = patched("F32", "blk.0.attn_q.weight", 256, &1e5f32.to_le_bytes());
    let words = ["blk.0.attn_q.weight", "[1, 0] is 1e5", "F16 ends at 6.5504e4", "`tensor_types`"];
    refused(large.run(&large.plan("F16"), "out.gguf"), &words);
    large.run(&large.plan("BF16"), "bf16.gguf").unwrap();
}

#[test]
fn what_is_there_is_not_overwritten_unasked() {
    let conversion = Conversion::of(&model("Q4_0"));
    let plan = conversion.plan("Q4_0");
    fs::write(conversion.path("out.gguf"), "precious").unwrap();
    refused(conversion.run(&plan, "out.gguf"), &["out.gguf exists", "`overwrite`"]);
    assert_eq!(conversion.files(), ["out.gguf"]);
    fs::write(conversion.path("other.gguf.part"), "a download").unwrap();
    refused(conversion.run(&plan, "other.gguf"), &["other.gguf.part is in the way"]);
    assert_eq!(conversion.files(), ["other.gguf.part", "out.gguf"]);

    let open = |name, overwrite| {
        Output::open(&conversion.checkpoint, &plan, &conversion.path(name), overwrite)
    };
    refused(open("in.gguf", true), &["in.gguf is a file of the input"]);
    fs::hard_link(conversion.path("in.gguf"), conversion.path("link.gguf")).unwrap();
    refused(open("link.gguf", true), &["link.gguf is a file of the input"]);
    fs::create_dir(conversion.path("folder")).unwrap();
    refused(open("folder", true), &["is a folder"]);
    refused(open("folder/", true), &["folder"]);
    refused(open("missing/out.gguf", true), &["there is no folder", "missing"]);
    assert_eq!(fs::read(conversion.path("out.gguf")).unwrap(), b"precious");
    open("out.gguf", true).unwrap();
}

/// A checkpoint is more than its weights.
#[test]
fn nothing_of_a_folder_is_replaced() {
    let folder = small_checkpoint::hugging_face();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let plan = Plan::new(&checkpoint, &Options::default()).unwrap();
    let open = |path: &Path| Output::open(&checkpoint, &plan, path, true);
    let before = conversion::files(folder.path());
    for name in &before {
        refused(open(&folder.path().join(name)), &[name, "is a file of the input"]);
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.gguf");
    fs::hard_link(folder.path().join("config.json"), &link).unwrap();
    refused(open(&link), &["link.gguf is a file of the input"]);
    assert_eq!(conversion::files(folder.path()), before);

    // What a conversion wrote there is no input.
    let made = folder.path().join("made.gguf");
    fs::write(&made, "old").unwrap();
    open(&made).unwrap();
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let conversion = Conversion::of(&model("Q4_0"));
    let plan = conversion.plan("Q4_0");
    let journal = conversion.path("out.gguf.part.journal");
    for foreign in ["dear diary\n", "dear diary", "{\"input\":\"a dream\"}\n", "\n", "{\n"] {
        fs::write(&journal, foreign).unwrap();
        refused(conversion.run(&plan, "out.gguf"), &["out.gguf.part.journal is in the way"]);
        assert_eq!(fs::read_to_string(&journal).unwrap(), foreign);
    }
}

#[test]
fn one_run_at_a_time() {
    let conversion = Conversion::of(&model("Q4_0"));
    let plan = conversion.plan("Q4_0");
    let path = conversion.path("out.gguf");
    let first = Output::open(&conversion.checkpoint, &plan, &path, false).unwrap();
    refused(conversion.run(&plan, "out.gguf"), &["out.gguf is being written by another run"]);
    drop(first);
    conversion.run(&plan, "out.gguf").unwrap();
}

#[test]
fn an_input_that_ends_too_early_is_named() {
    let conversion = Conversion::of(&model("F16"));
    let input = fs::File::options().write(true).open(conversion.path("in.gguf")).unwrap();
    input.set_len(10 << 20).unwrap();
    let plan = conversion.plan("Q4_0");
    refused(conversion.run(&plan, "out.gguf"), &["in.gguf"]);
    // What was read until then is kept.
    assert_eq!(conversion.files(), ["out.gguf.part", "out.gguf.part.journal"]);
    let journal = fs::read_to_string(conversion.path("out.gguf.part.journal")).unwrap();
    assert!(
        journal.contains("\"blk.0.attn_q.weight\"") && !journal.contains("blk.2."),
        "{journal}"
    );
}
