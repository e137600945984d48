//! `gatefold` as an attacker, or a user in a hurry, meets it: whatever the arguments, texts and
//! files, the answer is code 1 and a clear message, of one line but for arguments that do not parse.

use crate::program::{Run, gatefold};
use gatefold::gguf::{Array, Metadata, Value};
use gatefold_fixtures::tiny_model::Model;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A folder with a sound tiny model in it.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Folder {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("tiny.gguf"), Model::with_merged_experts().file()).unwrap();
        Folder { folder }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        fs::write(self.folder.path().join(name), bytes).unwrap();
        self.path(name)
    }

    /// Runs a command on the sound model.
    fn gatefold(&self, command: &str, args: &[&str]) -> Run {
        gatefold(&[&[command, "-m", &self.path("tiny.gguf")], args].concat())
    }
}

/// A run of a model with a prompt that would do.
fn run(model: &str) -> Run {
    gatefold(&["run", "-m", model, "--raw", "-p", "a", "-n", "2", "--temp", "0"])
}

#[test]
fn the_tiny_model_runs() {
    run(&Folder::new().path("tiny.gguf")).succeeded();
}

#[test]
fn models_that_are_none() {
    let folder = Folder::new();
    run(&folder.path("nowhere.gguf")).refused("nowhere.gguf: cannot be read");
    run(folder.folder.path().to_str().unwrap()).refused("is a folder");
    run(&folder.write("text.gguf", b"This is a text.")).refused("text.gguf: is not a GGUF file");
    run(&folder.write("empty.gguf", b"")).refused("empty.gguf");
    let whole = Model::with_merged_experts().file();
    for len in [10, 100, whole.len() / 2, whole.len() - 1] {
        run(&folder.write("part.gguf", &whole[..len])).refused("part.gguf");
    }
    if cfg!(unix) {
        run("/dev/zero").refused("/dev/zero: is a device");
    }
}

/// Whether they would run any or not; -1 is what no number is.
#[test]
fn numbers_of_threads_make_sense_in_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::write(path("a.txt"), "A storm.").unwrap();
    for command in [
        &["run", "-p", "a", "-n", "1"][..],
        &["summarize", &path("a.txt"), "--dry-run"],
        &["batch", &path("a.txt"), "--ok-exit"],
        &["inspect"],
        &["eval", "-p", "A storm hit the coast.", "-c", "8"],
        &["bench", "-p", "1", "-n", "1", "-r", "1"],
    ] {
        for (n_threads, why) in
            [("0", "-t is 0; use 1 to"), ("-7", "-t is -7; use"), ("4097", "is 4097;")]
        {
            let run = gatefold(&[command, &["-t", n_threads]].concat());
            assert!(run.code == 1 && run.stderr.contains(why), "{command:?}: {}", run.stderr);
        }
        gatefold(&[command, &["-t", "-1"]].concat()).succeeded();
    }
}

#[test]
fn pieces_of_a_file_are_told_how_to_be_joined() {
    let folder = Folder::new();
    let whole = Model::with_merged_experts().file();
    for (len, names) in [
        (whole.len() / 2, ["m.Q4_K.gguf-split-a", "m.Q4_K.gguf-split-b"]),
        (100, ["n.gguf.part1of2", "n.gguf.part2of2"]),
    ] {
        let (first, second) = whole.split_at(len);
        let paths = [folder.write(names[0], first), folder.write(names[1], second)];
        let target = names[0].split_inclusive(".gguf").next().unwrap();
        for path in paths {
            if cfg!(unix) {
                let command = format!("cat {} {} > {target}", names[0], names[1]);
                run(&path).refused(&command);
                gatefold(&["quantize", &path, "out.gguf", "--type", "COPY"]).refused(&command);
            }
            run(&path).refused("is a piece of a GGUF");
        }
    }
    run(&folder.write("alone.gguf.aa", &whole[..100])).refused("get the others");
    run(&folder.write("alone.gguf.part", &whole[..100])).refused("has not ended");
    // A name alone says nothing of a file that is whole.
    run(&folder.write("whole.gguf.001", &whole)).succeeded();
}

#[test]
fn files_of_other_kinds_are_told_what_they_are() {
    let folder = Folder::new();
    let safetensors = b"\x10\0\0\0\0\0\0\0{\"a\":0}";
    for (bytes, expected) in [
        (&b"\n <!DOCTYPE html>"[..], "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"PK\x03\x04", "zip archive"),
        (b"\x1F\x8B\x08", "compressed"),
        (safetensors, "safetensors"),
        (b"\x80\x02}", "PyTorch"),
        (b"\0\0\0\0\0", "zeros"),
    ] {
        let path = folder.write("m.gguf", bytes);
        run(&path).refused(expected);
        let quantize = gatefold(&["quantize", &path, "out.gguf", "--type", "COPY"]);
        quantize.refused(if expected == "git lfs pull" { "Git LFS" } else { expected });
    }
}

#[test]
fn arguments_of_run() {
    let folder = Folder::new();
    let cases = [
        ("-n 0", "-n is 0"),
        ("-n -5", "-n is -5"),
        ("-t 0", "-t is 0"),
        ("-t 100000", "-t is 100000"),
        ("-t -2", "-t is -2"),
        ("-b 0", "-b is 0"),
        ("-c 101", "-c is 101, but the model was made for contexts of up to 100"),
        ("-c 2", "5 tokens do not fit into the context of 2"),
        ("--isa sse9", "unknown instruction set 'sse9'"),
        ("--temp nan", "--temp is NaN"),
        ("--temp inf", "--temp is inf"),
        ("--temp -1", "--temp is -1"),
        ("--top-p 2", "--top-p is 2"),
        ("--top-p -0.1", "--top-p is -0.1"),
        ("--min-p 1.5", "--min-p is 1.5"),
        ("--repeat-penalty 0", "--repeat-penalty is 0"),
        ("--repeat-penalty -1", "--repeat-penalty is -1"),
        ("--cache-type q8_0", "a Q8_0 cache needs heads of whole blocks of 32"),
    ];
    for (args, why) in cases {
        let args: Vec<&str> = args.split(' ').collect();
        folder.gatefold("run", &[&["-p", "aaa", "--raw"], &args[..]].concat()).refused(why);
    }
    let other_isa = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    let args = ["-p", "a", "--isa", other_isa];
    folder.gatefold("run", &args).refused(&format!("does not have '{other_isa}'"));
}

#[test]
fn arguments_that_do_not_parse() {
    let folder = Folder::new();
    let cases = [
        ("run", "--cache-type q9", "q9"),
        ("run", "-n many", "many"),
        ("run", "-n 99999999999999999999", "99999999999999999999"),
        ("run", "--seed -2", "-2"),
        ("run", "--raw --chat", "--chat"),
        ("run", "-f text -p text", "--prompt"),
        ("eval", "--ids -1", "-1"),
        ("eval", "--ids 1 -p text", "--prompt"),
        ("tokenize", "--decode --bos", "--bos"),
    ];
    for (command, args, named) in cases {
        let args: Vec<&str> = args.split(' ').collect();
        let Run { code, stdout, stderr } = folder.gatefold(command, &args);
        assert_eq!((code, stdout.as_str()), (1, ""), "{args:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(named), "{args:?}: {stderr}");
    }
}

#[test]
fn texts() {
    let folder = Folder::new();
    let not_utf8 = folder.write("latin1.txt", b"na\xefve");
    let utf_16 = folder.write("utf16.txt", b"\xff\xfeh\0i\0");
    for command in ["run", "eval", "tokenize"] {
        folder
            .gatefold(command, &["-f", &not_utf8])
            .refused("latin1.txt is not UTF-8 text: byte 2");
        folder.gatefold(command, &["-f", &utf_16]).refused("utf16.txt is UTF-16 text");
        folder.gatefold(command, &["-f", &folder.path("none.txt")]).refused("none.txt");
        let folder_itself = folder.folder.path().to_str().unwrap();
        folder.gatefold(command, &["-f", folder_itself]).refused("cannot read");
    }
    let mut model = Model::with_merged_experts();
    model.metadata.set("tokenizer.ggml.add_bos_token", Value::Bool(false));
    let no_bos = folder.write("no_bos.gguf", &model.file());
    gatefold(&["run", "-m", &no_bos, "--raw", "-p", ""]).refused("the prompt is empty");
    gatefold(&["eval", "-m", &no_bos, "-p", "", "--logits", &folder.path("l.npy")])
        .refused("there are no tokens");
}

#[test]
fn arguments_of_eval() {
    let folder = Folder::new();
    let long = "a".repeat(200);
    folder.gatefold("eval", &["-p", "aaa"]).refused("and one window takes 100");
    folder.gatefold("eval", &["-p", &long, "-c", "4"]).refused("windows of 4 tokens are too short");
    folder.gatefold("eval", &["--ids", "1,2,3"]).refused("the text has 3 tokens");
    folder.gatefold("eval", &["--ids", "1,x"]).refused("`x` is not a token id");
    folder.gatefold("eval", &["--ids", ""]).refused("the text has 0 tokens");
    let huge = "99999999999999999999";
    folder.gatefold("eval", &["--ids", huge]).refused("token id 99999999999999999999 is out of");
    // The last token of a window is compared with, not read.
    for position in [0, 3, 6, 7] {
        let mut ids = ["4"; 8];
        ids[position] = "99999999";
        let ids = ids.join(",");
        folder.gatefold("eval", &["-c", "8", "--ids", &ids]).refused("token id 99999999 is out of");
    }

    let npy = folder.path("logits.npy");
    let logits = |ids: &str, path: &str| folder.gatefold("eval", &["--ids", ids, "--logits", path]);
    logits("1,5", &npy).refused("token id 5 is out of range");
    logits("1,99999999", &npy).refused("token id 99999999 is out of range");
    assert!(!Path::new(&npy).exists(), "nothing is left of a file that could not be completed");
    logits(&["4"; 101].join(","), &npy).refused("101 tokens do not fit into the context of 100");
    logits("1", &folder.path("none/logits.npy")).refused("none/logits.npy");
    logits("1", folder.folder.path().to_str().unwrap()).refused("is not a file");
    if cfg!(unix) {
        logits("1", "/dev/null").refused("/dev/null: it exists and is not a file");
    }
}

#[test]
fn missing_and_misshapen_tensors() {
    let folder = Folder::new();
    let refused =
        |model: &Model, why: &str| run(&folder.write("bad.gguf", &model.file())).refused(why);
    let names: Vec<String> =
        Model::with_merged_experts().tensors.iter().map(|(plan, _)| plan.name.clone()).collect();
    for name in names.iter().filter(|name| *name != "output.weight") {
        let mut model = Model::with_merged_experts();
        model.tensors.retain(|(plan, _)| plan.name != *name);
        refused(&model, &format!("tensor {name} is missing"));
    }
    for (name, shape) in [
        ("token_embd", &[5, 64][..]),
        ("blk.0.attn_norm", &[1, 32]),
        ("blk.0.attn_q", &[32, 64]),
        ("blk.0.attn_k", &[32, 32]),
        ("blk.0.ffn_gate_inp", &[3, 32]),
        ("blk.0.ffn_down_exps", &[4, 64, 32]),
        ("output", &[6, 32]),
    ] {
        let mut model = Model::with_merged_experts();
        model.tensors.retain(|(plan, _)| plan.name != format!("{name}.weight"));
        model.add(name, "F32", shape);
        refused(&model, &format!("tensor {name}.weight has shape {shape:?}"));
    }
    let mut model = Model::with_merged_experts();
    model.add("blk.0.attn_q_extra", "F32", &[32]);
    refused(&model, "tensor blk.0.attn_q_extra.weight is none that this architecture has");
}

fn without(metadata: &Metadata, missing: &str) -> Metadata {
    let mut rest = Metadata::new();
    for (key, value) in metadata.iter().filter(|(key, _)| *key != missing) {
        rest.set(key, value.clone());
    }
    rest
}

#[test]
fn missing_mistyped_and_impossible_keys() {
    let folder = Folder::new();
    let refused =
        |model: &Model, why: &str| run(&folder.write("bad.gguf", &model.file())).refused(why);
    for key in [
        "general.architecture",
        "llama.block_count",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.context_length",
        "llama.expert_used_count",
        "llama.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.model",
        "tokenizer.ggml.tokens",
    ] {
        let mut model = Model::with_merged_experts();
        model.metadata = without(&model.metadata, key);
        refused(&model, key);
        model.metadata.set(key, Value::Array(Array::Bool(vec![true])));
        refused(&model, key);
    }
    let cases = [
        ("general.architecture", Value::String("gemma".into())),
        ("general.architecture", Value::String("\u{1b}[2J\nerror: forged".into())),
        ("llama.block_count", Value::U32(1 << 31)),
        ("llama.block_count", Value::U64(u64::MAX)),
        ("llama.block_count", Value::I32(-1)),
        ("llama.context_length", Value::U32(0)),
        ("llama.context_length", Value::F32(4096.0)),
        ("llama.attention.head_count", Value::U32(0)),
        ("llama.attention.head_count", Value::U32(3)),
        ("llama.attention.head_count", Value::U32(64)),
        ("llama.attention.head_count_kv", Value::U32(0)),
        ("llama.attention.head_count_kv", Value::U32(3)),
        ("llama.attention.value_length", Value::U32(8)),
        ("llama.expert_used_count", Value::U32(0)),
        ("llama.expert_used_count", Value::U32(5)),
        ("llama.rope.dimension_count", Value::U32(7)),
        ("llama.rope.dimension_count", Value::U32(18)),
        ("llama.rope.freq_base", Value::F32(f32::NAN)),
        ("llama.rope.scaling.type", Value::String("ntk".into())),
        ("llama.attention.layer_norm_rms_epsilon", Value::F32(-1e-5)),
        ("tokenizer.ggml.bos_token_id", Value::U32(5)),
    ];
    for (key, value) in cases {
        let mut model = Model::with_merged_experts();
        model.metadata.set(key, value);
        refused(&model, key);
    }
    let mut model = Model::with_merged_experts();
    model.metadata.set("llama.block_count", Value::U32(1 << 30));
    refused(&model, "tensor blk.1.");
}

#[test]
fn the_vocabulary_of_another_model() {
    let folder = Folder::new();
    let mut model = Model::with_merged_experts();
    let tokens = (0..2000).map(|id| format!("<{id}>")).collect();
    model.metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    let path = folder.write("bad.gguf", &model.file());
    run(&path).refused("has 5 rows, but `tokenizer.ggml.tokens` has 2000 tokens");
    let report = gatefold(&["inspect", &path, "--json"]).succeeded().json();
    assert_eq!(report["verdict"]["runs"], false);
}

#[test]
fn weights_that_are_no_numbers() {
    let folder = Folder::new();
    for name in ["token_embd", "blk.0.attn_q", "blk.0.attn_norm", "blk.0.ffn_gate_inp", "output"] {
        let name = format!("{name}.weight");
        let mut model = Model::with_merged_experts();
        // Ones that let the damage through to the logits.
        for (_, bytes) in model.tensors.iter_mut().filter(|(plan, _)| plan.format.name == "F32") {
            bytes.chunks_exact_mut(4).for_each(|one| one.copy_from_slice(&1f32.to_le_bytes()));
        }
        model.bytes_of(&name).fill(0xff);
        let path = folder.write("bad.gguf", &model.file());
        run(&path).refused("`gatefold inspect --check` finds the tensor");
        let ids = ["4"; 8].join(",");
        gatefold(&["eval", "-m", &path, "-c", "8", "--ids", &ids])
            .refused("bad.gguf: the logits are not finite");
        let check = gatefold(&["inspect", "-m", &path, "--check"]);
        assert_eq!(check.code, 1);
        assert!(check.stdout.contains(&name), "{}", check.stdout);
    }
}

#[test]
fn chat_templates() {
    let folder = Folder::new();
    let mut model = Model::with_merged_experts();
    for (template, why) in [
        ("{{ messages", "tokenizer.chat_template"),
        ("line\nline {% for %}", "--raw does without a template"),
        ("{{ raise_exception('no\nsuch') }}", "chat template cannot write this conversation"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            "chat template",
        ),
        ("{% for a in [1] %}{{ loop.cycle() }}{% endfor %}", "the template engine cannot cope"),
    ] {
        model.metadata.set("tokenizer.chat_template", Value::String(template.into()));
        let path = folder.write("bad.gguf", &model.file());
        gatefold(&["run", "-m", &path, "-p", "a", "-n", "1"]).refused(why);
        run(&path).succeeded();
    }
    let no_template = without(&model.metadata, "tokenizer.chat_template");
    model.metadata = no_template;
    let path = folder.write("bad.gguf", &model.file());
    gatefold(&["run", "-m", &path, "-p", "a", "--system", "b"]).refused("--system needs a chat");
}
