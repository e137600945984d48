//! Summaries by a tiny random model, in a folder of their own.

use crate::program;
use gatefold::gguf::{Array, Value};
use gatefold_fixtures::tiny_model::Model;
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

/// The words that the model has tokens for; it spells all others in bytes.
const WORDS: [&str; 8] = ["the", "whale", "ship", "saw", "a", "sea", "sailor", "old"];

/// The bytes of a model with random weights and this context.
pub fn model(context_len: u32) -> Vec<u8> {
    random_model(context_len).file()
}

/// One that ends all answers before the first word: to it all tokens are equal, so that it takes the
/// first, and that is the end of a text.
pub fn silent_model(context_len: u32) -> Vec<u8> {
    let mut model = random_model(context_len);
    model.metadata.set("tokenizer.ggml.eos_token_id", Value::U32(0));
    for (plan, bytes) in &mut model.tensors {
        if plan.name == "output.weight" {
            bytes.fill(0);
        }
    }
    model.file()
}

fn random_model(context_len: u32) -> Model {
    let mut model = Model::with_merged_experts();
    let mut tokens = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.push("▁".into());
    let beginnings = WORDS.iter().flat_map(|word| (1..=word.len()).map(|end| &word[..end]));
    let beginnings: BTreeSet<&str> = beginnings.collect();
    tokens.extend(beginnings.iter().map(|beginning| format!("▁{beginning}")));
    tokens.extend(('a'..='z').map(String::from));
    let n_vocab = tokens.len();
    let kind = |id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    };
    let scores = tokens.iter().map(|token| token.chars().count() as f32).collect();
    let keys = &mut model.metadata;
    keys.set("llama.context_length", Value::U32(context_len));
    keys.set("tokenizer.ggml.scores", Value::Array(Array::F32(scores)));
    keys.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    let kinds = (0..n_vocab).map(kind).collect();
    keys.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    let template = "{{ bos_token }}[{{ messages[0].content }}]";
    keys.set("tokenizer.chat_template", Value::String(template.into()));

    for (name, shape) in
        [("token_embd", [n_vocab, 32]), ("output", [n_vocab, 32]), ("blk.0.attn_q", [32, 32])]
    {
        model.tensors.retain(|(plan, _)| plan.name != format!("{name}.weight"));
        model.add(name, "F32", &shape);
    }
    let mut state = 7u64;
    for (plan, bytes) in &mut model.tensors {
        let is_norm = plan.name.contains("norm");
        for value in bytes.chunks_exact_mut(4) {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let random = (state >> 40) as f32 / 2f32.powi(23) - 1.0;
            let weight = if is_norm { 1.0 } else { random * 0.6 };
            value.copy_from_slice(&f32::to_le_bytes(weight));
        }
    }
    model
}

/// A text of so many words in sentences and paragraphs.
pub fn story(n_words: usize, seed: usize) -> String {
    let mut text = String::new();
    for idx in 0..n_words {
        text.push_str(WORDS[(idx * idx + idx * seed + idx / 7) % WORDS.len()]);
        text.push_str(match idx {
            _ if idx % 60 == 59 => ".\n\n",
            _ if idx % 12 == 11 => ". ",
            _ => " ",
        });
    }
    text
}

/// A folder with a model in it, in which summaries are made.
pub struct Workplace {
    pub folder: TempDir,
}

/// What a run gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Workplace {
    pub fn new() -> Workplace {
        Workplace::with_context(256)
    }

    pub fn with_context(context_len: u32) -> Workplace {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.gguf"), model(context_len)).unwrap();
        Workplace { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A folder `docs` with so many stories of different lengths, from one prompt to several parts.
    pub fn write_stories(&self, n_stories: usize) {
        for idx in 0..n_stories {
            let n_words = 20 + idx * 37 % 400;
            self.write(&format!("docs/{idx:03}.txt"), story(n_words, idx));
        }
    }

    /// `gatefold summarize` with the model and these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program::command();
        command.current_dir(self.folder.path()).args(["summarize", "-m", "model.gguf"]);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it.
    pub fn summarize(&self, args: &[&str]) -> Run {
        let Output { status, stdout, stderr } = self.command(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Run { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
    }

    /// Runs it, which must succeed, and tells the most bytes of memory that it had at a time, as far
    /// as was seen until a moment before its end.
    #[cfg(target_os = "linux")]
    pub fn peak_bytes(&self, args: &[&str]) -> u64 {
        let mut child = self.command(args).stderr(Stdio::null()).spawn().unwrap();
        let status = PathBuf::from(format!("/proc/{}/status", child.id()));
        let mut peak = 0;
        loop {
            // Once it has ended there is no such line; until then the figure only grows.
            let text = fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
            peak = kib.map_or(peak, |kib| kib << 10);
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                return peak;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// The lines of an output, which must all be whole.
    pub fn lines(&self, name: &str) -> Vec<Json> {
        lines(&self.path(name))
    }
}

impl Run {
    /// The run, which must have ended so.
    #[track_caller]
    pub fn ended(self, code: i32) -> Run {
        assert_eq!(self.code, code, "{}", self.stderr);
        self
    }
}

pub fn lines(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines in the order of their ids, without the time.
pub fn settled(mut lines: Vec<Json>) -> Vec<String> {
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("seconds");
    }
    let mut lines: Vec<String> = lines.iter().map(Json::to_string).collect();
    lines.sort_unstable();
    lines
}

/// The line of a document.
#[track_caller]
pub fn line<'a>(lines: &'a [Json], id: &str) -> &'a Json {
    let mut found = lines.iter().filter(|line| line["id"] == id);
    let line = found.next().unwrap_or_else(|| panic!("no {id} in {lines:?}"));
    assert!(found.next().is_none(), "{id} is there twice");
    line
}
