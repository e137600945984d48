//! Batches for a small random Mixtral with a vocabulary of bytes.

use crate::program;
use gatefold::Compute;
use gatefold::engine::{Engine, Options};
use gatefold::gguf::{Array, Value};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::ChatTemplate;
use gatefold::{DynFormat, Isa, LanguageModel};
use gatefold_cli::batch::{self, Terms};
use gatefold_cli::jobs::Key;
use gatefold_cli::openai::{Forms, Prompts};
use gatefold_cli::summarize::{Cutter, PromptOptions, Setup};
use gatefold_fixtures::random_mixtral::{self, ExpertLayout};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

/// The bytes of a model. It has a name, and with it a fingerprint, and no chat template.
pub fn model(name: &str) -> Vec<u8> {
    model_with(name, None)
}

/// The bytes of a model with a chat template.
pub fn model_with(name: &str, template: Option<&str>) -> Vec<u8> {
    let mut tokens = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
    tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(["▁", "e", "t", "a", "o", "▁t"].map(String::from));
    let n_vocab = tokens.len();
    let kinds = (0..n_vocab).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    });
    let mut metadata = random_mixtral::metadata();
    metadata.set("general.name", Value::String(name.into()));
    if let Some(template) = template {
        metadata.set("tokenizer.chat_template", Value::String(template.into()));
    }
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; n_vocab])));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds.collect())));
    let format = DynFormat::by_name("Q4_0").unwrap();
    random_mixtral::file(&metadata, n_vocab, format, ExpertLayout::Merged)
}

/// A folder with a model in it, in which batches are run.
pub struct Workplace {
    pub folder: TempDir,
}

impl Workplace {
    pub fn new() -> Workplace {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("model.gguf"), model("small")).unwrap();
        Workplace { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, lines: &[Json]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(self.path(name), text).unwrap();
    }

    /// `gatefold batch` with the model and these arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = program::command();
        command.current_dir(self.folder.path()).args(["batch", "-m", "model.gguf", "-t", "2"]);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs it, and returns its exit code and what it said on stderr.
    pub fn batch(&self, args: &[&str]) -> (i32, String) {
        let Output { status, stderr, .. } = self.command(args).output().unwrap();
        (status.code().unwrap(), String::from_utf8(stderr).unwrap())
    }

    /// Runs it on `in.jsonl`, with results in `out.jsonl`, and returns what it said on stderr.
    #[track_caller]
    pub fn succeeds(&self) -> String {
        let (code, stderr) = self.batch(&["in.jsonl", "-o", "out.jsonl"]);
        assert_eq!(code, 0, "{stderr}");
        stderr
    }

    /// The lines of an output, as they are.
    pub fn lines(&self, name: &str) -> Vec<Json> {
        lines(&self.path(name))
    }
}

/// What engines share.
pub struct Loaded {
    pub language: LanguageModel,
    pub forms: Forms,
    pub compute: Arc<Compute>,
}

impl Loaded {
    pub fn new(place: &Workplace) -> Loaded {
        let language = LanguageModel::open(place.path("model.gguf")).unwrap();
        Loaded {
            forms: Forms::new(Arc::clone(&language.tokenizer)),
            language,
            compute: Arc::new(Compute::new(Isa::detect(), Some(1)).unwrap()),
        }
    }

    /// How batches are worked on, `max_running` requests at a time.
    pub fn batches<'a>(
        &'a self,
        template: &'a ChatTemplate,
        max_running: usize,
    ) -> batch::Setup<'a> {
        batch::Setup {
            prompts: Prompts { tokenizer: &self.language.tokenizer, template, forms: &self.forms },
            model_name: String::new(),
            terms: Terms { basis: Key::of(&[]), max_tokens: None, model_name: None },
            max_running,
        }
    }

    pub fn engine(&self) -> Engine {
        let options = Options {
            cache_format: DynFormat::by_name("F16").unwrap(),
            context_len: 256,
            max_batched_tokens: 64,
            max_running: 2,
            memory_bytes: 1 << 30,
        };
        Engine::new(&self.language, Arc::clone(&self.compute), options).unwrap()
    }

    /// For short summaries of short texts, `max_running` at a time.
    pub fn summaries(&self, max_running: usize) -> Setup<'_> {
        let prompts = PromptOptions::default().prompts(ChatTemplate::mistral()).unwrap();
        Setup {
            cutter: Cutter::new(&self.language.tokenizer, prompts, 256, 8).unwrap(),
            sampling: Sampling::default(),
            facts: None,
            model_name: String::new(),
            model_key: Key::of(&[]),
            max_running,
        }
    }
}

/// The lines of a file, which must all be whole.
pub fn lines(path: &Path) -> Vec<Json> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The line of an output that answers a request.
#[track_caller]
pub fn answer<'a>(lines: &'a [Json], custom_id: &str) -> &'a Json {
    let mut answers = lines.iter().filter(|line| line["custom_id"] == custom_id);
    let answer = answers.next().unwrap();
    assert!(answers.next().is_none(), "{custom_id} is answered twice");
    answer
}

/// The answers in the line for a request.
#[track_caller]
pub fn choices<'a>(lines: &'a [Json], custom_id: &str) -> &'a [Json] {
    answer(lines, custom_id)["response"]["body"]["choices"].as_array().unwrap()
}

/// The lines in an order that depends on what they say alone, without the time.
pub fn settled(mut lines: Vec<Json>) -> Vec<String> {
    for line in &mut lines {
        if let Some(body) = line["response"]["body"].as_object_mut() {
            body.remove("created");
        }
    }
    let mut lines: Vec<String> = lines.iter().map(Json::to_string).collect();
    lines.sort_unstable();
    lines
}

/// A request for a chat completion of a few tokens.
pub fn chat(custom_id: &str, question: &str) -> Json {
    let messages = json!([{"role": "user", "content": question}]);
    request(custom_id, "/v1/chat/completions", json!({"messages": messages, "max_tokens": 6}))
}

/// A request for the completion of a text by a few tokens.
pub fn completion(custom_id: &str, prompt: impl Into<Json>) -> Json {
    let prompt: Json = prompt.into();
    request(custom_id, "/v1/completions", json!({"prompt": prompt, "max_tokens": 6}))
}

pub fn request(custom_id: &str, url: &str, body: Json) -> Json {
    json!({"custom_id": custom_id, "method": "POST", "url": url, "body": body})
}

/// The request with a field of its body set.
pub fn with(mut request: Json, field: &str, value: impl Into<Json>) -> Json {
    request["body"][field] = value.into();
    request
}
