//! `--chat-template`, what is told of templates, and conversations that they do not take.

use crate::batches::{Workplace, answer, chat, model_with, with};
use crate::program::{gatefold, gatefold_reading};
use gatefold::DynFormat;
use gatefold_fixtures::random_mixtral::{self, ExpertLayout};
use gatefold_fixtures::vocabulary;
use serde_json::{Value as Json, json};
use std::fs;

/// Refuses the system.
const TURNS: &str = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}\
    {% endif %}[{{ m.role }}:{{ m.content }}]{% endfor %}";

fn place(template: Option<&str>) -> Workplace {
    let place = Workplace::new();
    fs::write(place.path("model.gguf"), model_with("model", template)).unwrap();
    place
}

fn prompt_tokens(lines: &[Json], id: &str) -> u64 {
    answer(lines, id)["response"]["body"]["usage"]["prompt_tokens"].as_u64().unwrap()
}

#[test]
fn a_template_is_given_by_name_or_file() {
    let place = place(Some("{{ messages[0].content }}"));
    place.write("in.jsonl", &[chat("a", "abc")]);
    // A byte is a token, but for `e`, `t`, `a` and `o`, which are pieces too, and BOS comes first.
    fs::write(place.path("my.jinja"), "{{ messages[0].content * 3 }}").unwrap();
    let file = place.path("my.jinja");
    let run = |args: &[&str]| {
        let (code, stderr) = place.batch(&[&["in.jsonl", "-o", "out.jsonl"], args].concat());
        assert_eq!(code, 0, "{stderr}");
        (prompt_tokens(&place.lines("out.jsonl"), "a"), stderr)
    };
    let (own, _) = run(&[]);
    let (of_file, stderr) = run(&["--chat-template", file.to_str().unwrap()]);
    assert_eq!(of_file, own + 6, "another template makes another request: {stderr}");
    let (named, _) = run(&["--chat-template", "chatml"]);
    let around = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n".len() as u64;
    assert_eq!(named, own + around);
    let (_, stderr) = run(&["--chat-template", "ChatML"]);
    assert!(stderr.contains("1 of 1 requests are done"), "{stderr}");
    assert_eq!(run(&[]).0, own);

    let model = place.path("model.gguf");
    let refused = |template: &str, why: &str| {
        let model = model.to_str().unwrap();
        for command in [&["run", "-p", "a"][..], &["batch", "-"], &["summarize", "-"]] {
            let args = [command, &["-m", model, "--chat-template", template]].concat();
            gatefold(&args).refused(why);
        }
    };
    refused(
        "nosuch",
        "--chat-template is nosuch, which is neither a file nor one of alpaca, chatml",
    );
    fs::write(place.path("bad.jinja"), "{{ x").unwrap();
    let bad = place.path("bad.jinja");
    refused(bad.to_str().unwrap(), "bad.jinja: the given chat template cannot be used");
}

#[test]
fn what_is_folded_is_told_once_and_refused_if_asked_for() {
    let place = place(Some(TURNS));
    let conversation = |id: &str, roles: &[&str]| {
        let message = |role| json!({"role": role, "content": "x"});
        with(chat(id, ""), "messages", roles.iter().map(message).collect::<Vec<_>>())
    };
    place.write(
        "in.jsonl",
        &[
            conversation("a", &["system", "user"]),
            conversation("b", &["developer", "user"]),
            conversation("c", &["user", "assistant", "tool"]),
        ],
    );
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 0, "{stderr}");
    let notes: Vec<_> = stderr.lines().filter(|line| line.contains("does not take")).collect();
    assert_eq!(notes.len(), 1, "{stderr}");
    assert!(notes[0].contains("2 conversations") && notes[0].contains("no system"), "{stderr}");
    assert!(notes[0].contains("--strict-template"), "{stderr}");
    let lines = place.lines("out.jsonl");
    assert_eq!(prompt_tokens(&lines, "a"), prompt_tokens(&lines, "b"));

    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl", "--strict-template"]);
    assert_eq!(code, 2, "{stderr}");
    let lines = place.lines("out.jsonl");
    for id in ["a", "b"] {
        let message = answer(&lines, id)["error"]["message"].as_str().unwrap();
        assert!(message.contains("no system"), "{message}");
    }
    let model = place.path("model.gguf");
    let run = ["run", "-m", model.to_str().unwrap(), "-p", "a", "--system", "b", "-n", "1"];
    let stderr = gatefold(&run).succeeded().stderr;
    assert!(stderr.contains("does not take this conversation as it stands"), "{stderr}");
    gatefold(&[&run[..], &["--strict-template"]].concat()).refused("no system");
}

#[test]
fn who_has_no_template_is_told_what_is_used() {
    let place = place(None);
    place.write("in.jsonl", &[chat("a", "abc")]);
    let fallback = "note: the model has no chat template, and its vocabulary tells of none";
    let (_, stderr) = place.batch(&["in.jsonl"]);
    assert!(stderr.contains(fallback) && stderr.contains("mistral-v1"), "{stderr}");
    let model = place.path("model.gguf");
    let run = ["run", "-m", model.to_str().unwrap(), "-p", "a", "-n", "1"];
    let stderr = gatefold(&run).succeeded().stderr;
    assert!(stderr.contains(fallback) && stderr.contains("continued as it is"), "{stderr}");
    let named = gatefold(&[&run[..], &["--chat-template", "zephyr"]].concat()).succeeded();
    assert!(!named.stderr.contains("note:"), "{}", named.stderr);
    let report = gatefold(&["inspect", "-m", model.to_str().unwrap()]).succeeded().stdout;
    assert!(report.contains("chat template mistral-v1, for want of another"), "{report}");
}

#[test]
fn answers_without_text_are_counted() {
    let place = place(Some("{{ messages[0].content }}"));
    place.write("in.jsonl", &[with(chat("a", "abc"), "temperature", 0)]);
    place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    let content = |lines: &[Json]| {
        let choice = answer(lines, "a")["response"]["body"]["choices"][0].clone();
        choice["message"]["content"].as_str().unwrap().to_owned()
    };
    let first: String = content(&place.lines("out.jsonl")).chars().take(1).collect();
    let stopped = with(with(chat("a", "abc"), "temperature", 0), "stop", first.as_str());
    place.write("in.jsonl", &[stopped]);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!((code, content(&place.lines("out.jsonl"))), (0, String::new()), "{stderr}");
    assert!(stderr.contains("note: answers that are empty: 1"), "{stderr}");
    let model = place.path("model.gguf");
    let run = ["run", "-m", model.to_str().unwrap(), "-p", "abc", "--temp", "0", "--stop", &first];
    let run = gatefold(&run).succeeded();
    assert!(run.stderr.contains("note: the answer is empty"), "{}", run.stderr);
}

/// Files without a template whose vocabulary has the tokens of ChatML, as there are many.
#[test]
fn a_vocabulary_tells_its_format() {
    let place = Workplace::new();
    let mut metadata = random_mixtral::metadata();
    for (key, value) in vocabulary::smollm2_small("smollm").iter() {
        metadata.set(key, value.clone());
    }
    let n_vocab = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap().len();
    let format = DynFormat::by_name("Q4_0").unwrap();
    let file = random_mixtral::file(&metadata, n_vocab, format, ExpertLayout::Merged);
    fs::write(place.path("model.gguf"), file).unwrap();
    let model = place.path("model.gguf");
    let told =
        "note: the model has no chat template; its vocabulary tells that the format is chatml";
    let commands =
        [&["run", "-p", "Why?", "-n", "3", "--temp", "0", "--json"][..], &["summarize", "-"]];
    for args in commands {
        let args = [args, &["-m", model.to_str().unwrap()]].concat();
        let run = gatefold_reading("Why?", &args);
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    let run = |args: &[&str]| {
        let shared = ["run", "-p", "Why?", "-n", "3", "--temp", "0", "--json", "-m"];
        let run = gatefold(&[&shared[..], &[model.to_str().unwrap()], args].concat()).succeeded();
        (run.json()["prompt_ids"].clone(), run.stderr)
    };
    let (ids, _) = run(&[]);
    assert_eq!(ids.as_array().unwrap()[0], 1, "it begins with <|im_start|>");
    assert_eq!(run(&["--chat-template", "chatml"]), (ids, String::new()));
    place.write("in.jsonl", &[chat("a", "Why?")]);
    let (_, stderr) = place.batch(&["in.jsonl", "-n", "3"]);
    assert!(stderr.contains(told), "{stderr}");
    let report = gatefold(&["inspect", "-m", model.to_str().unwrap(), "--json"]).succeeded().json();
    let template = json!({"origin": "vocabulary", "name": "chatml"});
    assert_eq!(report["tokenizer"]["chat_template"], template);
}
