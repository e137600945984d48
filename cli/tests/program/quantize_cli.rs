//! `gatefold quantize` as a user meets it.

use crate::program::{Run, gatefold};
use gatefold::DynFormat;
use gatefold::gguf::{Gguf, Metadata, TensorPlan, Value, Writer};
use gatefold::quantize::recipe;
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::ExpertLayout::{Merged, Separate};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A folder with a small random Mixtral in it.
struct Folder(TempDir);

impl Folder {
    fn with(name: &str, format: &str, layout: random_mixtral::ExpertLayout) -> Folder {
        let folder = Folder(TempDir::new().unwrap());
        let format = DynFormat::by_name(format).unwrap();
        let bytes = random_mixtral::file(&random_mixtral::metadata(), 512, format, layout);
        fs::write(folder.path(name), bytes).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Quantizes one file of the folder to another.
    fn quantize(&self, input: &str, output: &str, options: &[&str]) -> Run {
        let paths = [self.path(input), self.path(output)];
        let paths = paths.map(|path| path.to_str().unwrap().to_owned());
        let options = options.iter().map(|option| option.to_string());
        gatefold(
            &["quantize".to_string()].into_iter().chain(paths).chain(options).collect::<Vec<_>>(),
        )
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn formats(path: &Path) -> HashMap<String, &'static str> {
    let gguf = Gguf::open(path).unwrap();
    gguf.tensors().map(|tensor| (tensor.name.clone(), tensor.format.name)).collect()
}

/// An importance matrix in llama.cpp's older format, of every matrix of a file.
fn importance(path: &Path) -> Vec<u8> {
    let gguf = Gguf::open(path).unwrap();
    let matrices = gguf.tensors().filter(|tensor| tensor.shape.len() > 1).map(|tensor| {
        // Columns, of every expert.
        let n_experts = if tensor.shape.len() > 2 { tensor.shape[0] } else { 1 };
        let n_values = n_experts * tensor.shape[tensor.shape.len() - 1];
        let [len, n_calls, n_all] =
            [tensor.name.len(), 1, n_values].map(|number| (number as i32).to_le_bytes());
        let values: Vec<u8> =
            (0..n_values).flat_map(|idx| (1.0 + (idx % 7) as f32).to_le_bytes()).collect();
        [&len, tensor.name.as_bytes(), &n_calls, &n_all, &values].concat()
    });
    let matrices: Vec<Vec<u8>> = matrices.collect();
    [&(matrices.len() as i32).to_le_bytes()[..], &matrices.concat()].concat()
}

#[test]
fn every_type_gives_a_sound_file_as_planned() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    let matrix = folder.path("importance.dat");
    fs::write(&matrix, importance(&folder.path("f32.gguf"))).unwrap();
    for recipe in recipe::all() {
        let plan =
            folder.quantize("f32.gguf", "-", &["--type", recipe.name, "--dry-run", "--json"]);
        let plan = plan.succeeded().json();
        let output = format!("{}.gguf", recipe.name);
        let options = ["--type", recipe.name, "--json"];
        let is_coarse = |tensor: &serde_json::Value| {
            ["IQ1", "IQ2"].iter().any(|name| tensor["to"].as_str().unwrap().starts_with(name))
        };
        let made = match plan["tensors"].as_array().unwrap().iter().any(is_coarse) {
            true => {
                let refused = folder.quantize("f32.gguf", &output, &options);
                assert!(refused.code == 1 && refused.stderr.contains("--imatrix"), "{recipe:?}");
                let importance = ["--imatrix", matrix.to_str().unwrap()];
                folder.quantize("f32.gguf", &output, &[&options[..], &importance].concat())
            }
            false => folder.quantize("f32.gguf", &output, &options),
        };
        let made = made.succeeded();
        assert_eq!(made.json()["n_bytes"], plan["n_bytes"]);
        let path = folder.path(&output);
        let formats = formats(&path);
        for tensor in plan["tensors"].as_array().unwrap() {
            assert_eq!(formats[tensor["name"].as_str().unwrap()], tensor["to"], "{}", recipe.name);
        }
        let gguf = Gguf::open(&path).unwrap();
        let file_type = gguf.metadata().u64("general.file_type").unwrap();
        assert_eq!(file_type, Some(u64::from(recipe.file_type)));
        assert_eq!(formats["blk.1.ffn_gate_inp.weight"], "F32");
        fs::remove_file(path).unwrap();
    }
    assert_eq!(folder.names(), ["f32.gguf", "importance.dat"]);
}

#[test]
fn a_dry_run_shows_each_tensor_and_writes_nothing() {
    let folder = Folder::with("f16.gguf", "F16", Separate);
    let run = folder.quantize("f16.gguf", "q.gguf", &["--type", "q4_k_m", "--dry-run"]).succeeded();
    let line = |name: &str| {
        let line = run.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(line("blk.0.attn_k.weight"), "blk.0.attn_k.weight [128, 256] F16 -> Q8_0 34.82 kB");
    let experts = line("blk.2.ffn_gate_exps");
    assert_eq!(experts, "blk.2.ffn_gate_exps.weight [8, 512, 256] F16 -> Q4_K 589.82 kB");
    assert!(run.stdout.lines().last().unwrap().contains("bits per weight"));
    assert_eq!(folder.names(), ["f16.gguf"]);
}

#[test]
fn what_is_quantized_is_quantized_again_only_when_asked() {
    let folder = Folder::with("q4_0.gguf", "Q4_0", Merged);
    let to_q8 = ["--type", "Q8_0"];
    folder.quantize("q4_0.gguf", "q8_0.gguf", &to_q8).refused("--allow-requantize");
    folder
        .quantize("q4_0.gguf", "q8_0.gguf", &["--type", "Q8_0", "--allow-requantize"])
        .succeeded();
    assert_eq!(formats(&folder.path("q8_0.gguf"))["output.weight"], "Q8_0");
    // Reading it back in floats loses nothing.
    folder.quantize("q4_0.gguf", "f32.gguf", &["--type", "F32"]).succeeded();
}

#[test]
fn a_copy_of_an_old_file_is_the_new_file() {
    let folder = Folder::with("old.gguf", "Q4_K", Separate);
    folder.quantize("old.gguf", "new.gguf", &["--type", "COPY"]).succeeded();
    let new = Gguf::open(&folder.path("new.gguf")).unwrap();
    let expected = random_mixtral::gguf(512, "Q4_K", Merged);
    assert_eq!(new.tensors().count(), expected.tensors().count());
    for tensor in expected.tensors() {
        let copied = new.tensor(&tensor.name).unwrap();
        assert_eq!(copied.format, tensor.format, "{}", tensor.name);
        assert!(*copied.bytes == *tensor.bytes, "{}", tensor.name);
    }
}

#[test]
fn few_bits_need_to_know_what_counts() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    let needs = "before it is known how much errors of its columns count: give --imatrix a file that says so, or --calibrate to find out first";
    folder.quantize("f32.gguf", "none.gguf", &["--type", "iq2_xs"]).refused(needs);
    let wish = ["--type", "Q4_K_S", "--tensor-type", "attn_q=IQ1_S"];
    let run = folder.quantize("f32.gguf", "none.gguf", &wish);
    run.refused("attn_q.weight cannot become IQ1_S");
    assert!(!folder.path("none.gguf").exists());
    // Three bits do not.
    folder.quantize("f32.gguf", "iq3.gguf", &["--type", "IQ3_XXS"]).succeeded();
    assert_eq!(formats(&folder.path("iq3.gguf"))["blk.0.ffn_up_exps.weight"], "IQ3_XXS");
    folder.quantize("iq3.gguf", "copy.gguf", &["--type", "COPY"]).succeeded();
    folder.quantize("iq3.gguf", "f16.gguf", &["--type", "F16"]).succeeded();
}

#[test]
fn the_last_override_that_matches_counts() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    let options =
        ["--type", "Q4_0", "--tensor-type", "attn=Q5_1", "--tensor-type", r"attn_q\.=F16"];
    folder.quantize("f32.gguf", "q.gguf", &options).refused("attn_norm.weight is a vector");
    let options =
        ["--type", "Q4_0", "--tensor-type", "attn_[qkv]=Q5_1", "--tensor-type", r"attn_q\.=F16"];
    folder.quantize("f32.gguf", "q.gguf", &options).succeeded();
    let formats = formats(&folder.path("q.gguf"));
    assert_eq!(formats["blk.0.attn_q.weight"], "F16");
    assert_eq!(formats["blk.0.attn_k.weight"], "Q5_1");
    assert_eq!(formats["blk.0.ffn_up_exps.weight"], "Q4_0");
}

#[test]
fn wishes_that_cannot_be_granted_are_refused() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    let wish =
        |wish| folder.quantize("f32.gguf", "q.gguf", &["--type", "Q4_0", "--tensor-type", wish]);
    wish("attm_q=Q8_0").refused("matches no tensor");
    for (bad, why) in
        [("attn_q", "no ="), ("attn_q=Q9", "no tensor type"), ("(=Q8_0", "unclosed group")]
    {
        let run = wish(bad);
        assert!(run.code == 1 && run.stderr.contains(why), "{bad}: {}", run.stderr);
    }
    for size in ["0", "4T", "G", "-1M", "99999999999999999999G"] {
        let size = format!("--split-max-size={size}");
        let run = folder.quantize("f32.gguf", "q.gguf", &["--type", "Q4_0", &size]);
        assert!(run.code == 1 && run.stderr.contains("a size such as"), "{}", run.stderr);
    }
    assert_eq!(folder.names(), ["f32.gguf"]);
}

#[test]
fn a_split_model_is_the_same_model() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    folder.quantize("f32.gguf", "whole.gguf", &["--type", "Q4_0"]).succeeded();
    let run = folder.quantize("f32.gguf", "q.gguf", &["--type", "Q4_0", "--split-max-size", "1M"]);
    let files: Vec<PathBuf> = run.succeeded().stdout.lines().map(PathBuf::from).collect();
    let (files, summary) = files.split_at(files.len() - 1);
    assert!(files.len() > 3 && summary[0].to_str().unwrap().contains("files"), "{files:?}");
    assert!(files[0].ends_with(format!("q-00001-of-{:05}.gguf", files.len())));
    for file in files {
        assert!(fs::metadata(file).unwrap().len() < 1_010_000);
    }
    let (split, whole) =
        (Gguf::open(&files[1]).unwrap(), Gguf::open(&folder.path("whole.gguf")).unwrap());
    assert_eq!(split.tensors().count(), whole.tensors().count());
    for tensor in whole.tensors() {
        assert!(*split.tensor(&tensor.name).unwrap().bytes == *tensor.bytes, "{}", tensor.name);
    }
}

#[test]
fn a_finished_file_is_replaced_only_when_asked() {
    let folder = Folder::with("f32.gguf", "F32", Merged);
    folder.quantize("f32.gguf", "q.gguf", &["--type", "Q8_0"]).succeeded();
    folder.quantize("f32.gguf", "q.gguf", &["--type", "Q4_0"]).refused("--overwrite");
    assert_eq!(formats(&folder.path("q.gguf"))["blk.0.attn_q.weight"], "Q8_0");
    folder.quantize("f32.gguf", "q.gguf", &["--type", "Q4_0", "--overwrite"]).succeeded();
    assert_eq!(formats(&folder.path("q.gguf"))["blk.0.attn_q.weight"], "Q4_0");
    let onto_itself = folder.quantize("f32.gguf", "f32.gguf", &["--type", "Q4_0", "--overwrite"]);
    onto_itself.refused("f32.gguf");
    #[cfg(unix)]
    for name in ["link.gguf", "link.gguf.part", "link.gguf.part.journal"] {
        std::os::unix::fs::symlink("q.gguf", folder.path(name)).unwrap();
        let over_a_link =
            folder.quantize("f32.gguf", "link.gguf", &["--type", "Q4_0", "--overwrite"]);
        over_a_link.refused("is a link; name a file to write");
        fs::remove_file(folder.path(name)).unwrap();
    }
    assert_eq!(folder.names(), ["f32.gguf", "q.gguf"]);
}

#[test]
fn rows_that_are_no_whole_blocks_take_the_fallback() {
    let folder = TempDir::new().unwrap();
    let (input, output) = (folder.path().join("in.gguf"), folder.path().join("out.gguf"));
    let f32s = DynFormat::by_name("F32").unwrap();
    let plan =
        |name: &str, cols| TensorPlan { name: name.into(), format: f32s, shape: vec![4, cols] };
    let plans = [plan("blk.0.ffn_up.weight", 96), plan("blk.0.ffn_down.weight", 100)];
    let mut metadata = Metadata::new();
    metadata.set("general.architecture", Value::String("llama".into()));
    let mut writer = Writer::new(Vec::new(), &metadata, plans.to_vec()).unwrap();
    writer.tensor(&[0; 4 * 4 * 96]).unwrap();
    writer.tensor(&[0; 4 * 4 * 100]).unwrap();
    fs::write(&input, writer.finish().unwrap()).unwrap();
    let args = ["quantize", input.to_str().unwrap(), output.to_str().unwrap(), "--type", "Q4_K_S"];
    let plan = gatefold(&[&args[..], &["--dry-run"]].concat()).succeeded();
    assert!(plan.stdout.contains("instead of Q4_K, whose blocks of 256 do not divide its rows"));
    gatefold(&args).succeeded();
    let formats = formats(&output);
    assert_eq!(formats["blk.0.ffn_up.weight"], "Q5_0");
    assert_eq!(formats["blk.0.ffn_down.weight"], "F16");
}
