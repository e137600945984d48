//! `gatefold` as a user meets it: the commands on a small random Mixtral with Mistral's vocabulary.

use crate::program;
use crate::program::{Run, gatefold, gatefold_reading, read_npy};
use gatefold::{DynFormat, Isa};
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::{ExpertLayout, N_VOCAB};
use gatefold_fixtures::vocabulary;
use serde_json::Value as Json;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use tempfile::{NamedTempFile, TempDir};

const PROMPT: &str = "The capital of France is";

/// The model's file, made once.
fn model() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        let mut metadata = random_mixtral::metadata();
        let vocabulary = vocabulary::mistral();
        vocabulary.iter().for_each(|(key, value)| metadata.set(key, value.clone()));
        let format = DynFormat::by_name("Q8_0").unwrap();
        let bytes = random_mixtral::file(&metadata, N_VOCAB, format, ExpertLayout::Merged);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let path = folder.join("random-mixtral.gguf");
        let mut file = NamedTempFile::new_in(folder).unwrap();
        file.write_all(&bytes).unwrap();
        file.persist(&path).unwrap();
        path.into_os_string().into_string().unwrap()
    })
}

fn on_model(command: &str, args: &[&str]) -> Run {
    gatefold(&[&[command, "-m", model()], args].concat()).succeeded()
}

fn complete(args: &[&str]) -> Run {
    on_model("run", &[&["-p", PROMPT, "--raw"], args].concat())
}

fn complete_json(args: &[&str]) -> Json {
    complete(&[&["--json"], args].concat()).json()
}

/// A text of some thousand characters.
fn story() -> String {
    (1..30).map(|n| format!("On day {n} the sailor saw {} whales, and was glad. ", n * n)).collect()
}

#[test]
fn a_completion_goes_to_stdout_and_its_summary_to_stderr() {
    let run = complete(&["-n", "24", "--temp", "0"]);
    assert!(run.stdout.ends_with('\n') && !run.stdout.contains(PROMPT), "{}", run.stdout);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    for part in
        ["loaded in ", "prompt 6 tokens at ", "generation 24 tokens at ", " GB/s", "logits "]
    {
        assert!(run.stderr.contains(part), "{part:?}: {}", run.stderr);
    }
    let json = complete_json(&["-n", "24", "--temp", "0"]);
    assert_eq!(run.stdout, format!("{}\n", json["text"].as_str().unwrap()));
    assert_eq!(json["ids"].as_array().unwrap().len(), 24);
    assert_eq!(json["finish_reason"], "length");
    let hash = json["logits_hash"].as_str().unwrap();
    assert!(hash.len() == 16 && run.stderr.trim_end().ends_with(hash), "{hash}: {}", run.stderr);
    assert_eq!(
        (&json["prompt"]["n_tokens"], &json["generation"]["n_tokens"]),
        (&6.into(), &24.into())
    );
    for part in ["prompt", "generation"] {
        for figure in ["seconds", "tokens_per_second", "weight_bytes_per_second"] {
            assert!(json[part][figure].as_f64().unwrap() > 0.0, "{part}.{figure}: {json}");
        }
    }
}

#[test]
fn the_text_does_not_depend_on_how_it_is_computed() {
    let complete = |args: &[&str]| {
        let json = complete_json(&[&["-n", "12", "--temp", "0"], args].concat());
        (json["ids"].to_string(), json["logits_hash"].to_string())
    };
    let expected = complete(&[]);
    for isa in Isa::available() {
        assert_eq!(complete(&["--isa", isa.name()]), expected, "{}", isa.name());
    }
    for args in [["-t", "1"], ["-t", "2"], ["-b", "1"], ["-b", "64"]] {
        assert_eq!(complete(&args), expected, "{args:?}");
    }
}

#[test]
fn a_seed_gives_the_same_text_twice() {
    let ids =
        |seed: &str| complete_json(&["-n", "8", "--temp", "2", "--seed", seed])["ids"].clone();
    assert_eq!(ids("7"), ids("7"));
    assert_ne!(ids("7"), ids("8"));
}

#[test]
fn n_and_stop_strings_end_a_completion() {
    let greedy = complete_json(&["-n", "12", "--temp", "0"]);
    let text = greedy["text"].as_str().unwrap();
    let one = complete_json(&["-n", "1", "--temp", "0"]);
    assert_eq!(one["ids"].as_array().unwrap().as_slice(), &greedy["ids"].as_array().unwrap()[..1]);

    let characters: Vec<char> = text.chars().collect();
    let stop: String = characters[characters.len() / 2..].iter().take(4).collect();
    let before = &text[..text.find(&stop).unwrap()];
    let args = ["-n", "12", "--temp", "0", "--stop", "nowhere to be found", "--stop", &stop];
    assert_eq!(complete(&args).stdout, format!("{before}\n"));
    assert_eq!(complete_json(&args)["finish_reason"], "stop_string");

    let full = complete_json(&["-c", "10", "--temp", "0"]);
    assert_eq!(full["finish_reason"], "context");
    assert_eq!(full["prompt_ids"].as_array().unwrap().len(), 6);
}

#[test]
fn prompts_come_from_the_command_line_a_file_or_stdin() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("prompt.txt");
    fs::write(&file, PROMPT).unwrap();
    let options = ["--raw", "-n", "4", "--temp", "0"];
    let expected = complete(&options[1..]).stdout;
    let from_file = on_model("run", &[&["-f", file.to_str().unwrap()], &options[..]].concat());
    assert_eq!(from_file.stdout, expected);
    for source in [&[][..], &["-f", "-"]] {
        let args = [&["run", "-m", model()], source, &options[..]].concat();
        assert_eq!(gatefold_reading(PROMPT, &args).succeeded().stdout, expected);
    }
}

#[test]
fn tokenize_agrees_with_the_prompt_of_run() {
    let folder = TempDir::new().unwrap();
    let (file, empty) = (folder.path().join("prompt.txt"), folder.path().join("empty.txt"));
    fs::write(&file, PROMPT).unwrap();
    fs::write(&empty, "").unwrap();
    let (file, empty) = (file.to_str().unwrap(), empty.to_str().unwrap());
    let ids = on_model("tokenize", &["--json", "-f", file]).json();
    assert_eq!(ids, serde_json::json!([415, 5565, 302, 4843, 349]));
    let with_bos = on_model("tokenize", &["--json", "--bos", "-f", file]).json();
    assert_eq!(with_bos, complete_json(&["-n", "1"])["prompt_ids"]);
    assert_eq!(on_model("tokenize", &["--json", "-f", empty]).stdout, "[]\n");
    assert_eq!(on_model("tokenize", &["--json", "--bos", "-f", empty]).stdout, "[1]\n");
}

#[test]
fn logits_are_written_and_the_same_on_every_isa() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("logits.npy");
    let args = ["--ids", "1,2,3", "--logits", path.to_str().unwrap()];
    let run = on_model("eval", &[&args[..], &["--json"]].concat());
    assert_eq!(
        run.json(),
        serde_json::json!({ "logits": path.to_str(), "n_tokens": 3, "n_vocab": N_VOCAB })
    );
    let expected = read_npy(&path, N_VOCAB);
    assert_eq!(expected.len(), 3);
    for isa in Isa::available() {
        on_model("eval", &[&args[..], &["--isa", isa.name()]].concat());
        let logits = read_npy(&path, N_VOCAB);
        assert!(logits == expected, "{} differs", isa.name());
    }
}

#[test]
fn perplexity_is_that_of_the_logits() {
    const WINDOW: usize = 24;
    let folder = TempDir::new().unwrap();
    let (text, logits) = (folder.path().join("story.txt"), folder.path().join("logits.npy"));
    fs::write(&text, &story()[..90]).unwrap();
    let text = text.to_str().unwrap();
    let run = on_model("eval", &["-f", text, "-c", "24", "--json"]).json();
    assert_eq!(run["window"], WINDOW);
    assert!(run["n_tokens"].as_u64().unwrap() < 2 * WINDOW as u64, "one window: {run}");

    on_model("eval", &["-f", text, "--logits", logits.to_str().unwrap()]);
    let rows = read_npy(&logits, N_VOCAB);
    let ids = on_model("tokenize", &["--json", "--bos", "-f", text]).json();
    let ids: Vec<usize> = serde_json::from_value(ids).unwrap();
    assert_eq!(rows.len(), ids.len());
    let nll = |position: usize| {
        let logits = rows[position].iter().map(|&logit| f64::from(logit));
        let sum: f64 = logits.map(f64::exp).sum();
        sum.ln() - f64::from(rows[position][ids[position + 1]])
    };
    let scored = WINDOW / 2..WINDOW - 1;
    assert_eq!(run["n_scored"], scored.len());
    let expected = (scored.clone().map(nll).sum::<f64>() / scored.len() as f64).exp();
    let perplexity = run["perplexity"].as_f64().unwrap();
    assert!((perplexity / expected - 1.0).abs() < 1e-5, "{perplexity}, expected {expected}");
}

#[test]
fn perplexity_of_the_usual_windows() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("story.txt");
    fs::write(&path, story()).unwrap();
    let json = on_model("eval", &["-f", path.to_str().unwrap(), "-c", "512", "--json"]).json();
    assert_eq!((&json["window"], json["n_scored"].as_u64().unwrap() % 255), (&512.into(), 0));
    assert!(json["perplexity"].as_f64().unwrap() > 1.0, "{json}");
    assert!(json["standard_error"].as_f64().unwrap() > 0.0, "{json}");
}

#[test]
fn inspect_describes_the_model() {
    let report = on_model("inspect", &["--json"]).json();
    assert_eq!(report["verdict"]["runs"], true, "{}", report["verdict"]);
    assert_eq!(report["model"]["n_experts"], random_mixtral::N_EXPERTS);
    assert_eq!(report["tokenizer"]["n_vocab"], N_VOCAB);
    assert_eq!(report["formats"][0]["format"], "Q8_0");
}

#[test]
fn a_closed_stdout_ends_quietly() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("story.txt");
    fs::write(&text, story().repeat(10)).unwrap();
    let text = text.to_str().unwrap();
    let commands: [&[&str]; 5] = [
        &["run", "-p", PROMPT, "--raw", "-n", "24"],
        &["run", "-p", PROMPT, "--raw", "-n", "4", "--json"],
        &["run", "-p", PROMPT, "--chat", "-n", "4"],
        &["tokenize", "-f", text],
        &["inspect", "--tensors"],
    ];
    for args in commands {
        let mut command = program::command();
        command.args(args).args(["-m", model()]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let is_quiet = stderr.lines().all(|line| line.starts_with("note: "));
        assert_eq!((output.status.code(), is_quiet), (Some(0), true), "{args:?}: {stderr}");
    }
}

#[test]
fn a_closed_stderr_changes_nothing() {
    for (model, code) in [(model(), 0), ("nowhere.gguf", 1)] {
        let mut command = program::command();
        command.args(["run", "-m", model, "-p", PROMPT, "--raw", "-n", "2"]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stderr.take());
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_answer_and_not_the_chat() {
    let mut command = program::command();
    command.args(["run", "-m", model(), "--chat", "-p", PROMPT]).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let interrupt = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    child.stdin.take().unwrap().write_all(b"/nonsense\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("there is no command /nonsense"), "{stderr}");
}

#[test]
fn a_chat_over_a_pipe_answers_every_line() {
    let chat = |lines: &str| {
        let args = ["run", "-m", model(), "--chat", "-n", "4", "--temp", "0"];
        gatefold_reading(lines, &args).succeeded()
    };
    let first = chat("Hello\n").stdout;
    let two = chat("Hello\nAnd then?\n").stdout;
    assert!(two.starts_with(&first) && two.len() > first.len() + 1, "{first:?}, {two:?}");
    let cleared = chat("Hello\n/clear\nHello").stdout;
    assert_eq!(cleared, first.repeat(2), "a new conversation begins like the first");
    assert_ne!(chat("Hello\nHello\n").stdout, cleared, "without /clear, the first is remembered");
    assert_eq!(chat("He\\\nllo\n/exit\nHello\n").stdout, chat("He\\\nllo\n").stdout);

    let commands = chat("\n/help\n/nonsense\n/exit\nHello\n");
    assert_eq!(commands.stdout, "");
    for part in ["/clear ", "/exit ", "there is no command /nonsense"] {
        assert!(commands.stderr.contains(part), "{part:?}: {}", commands.stderr);
    }
    let stats = chat("Hello\n/stats\n").stderr;
    assert!(stats.contains("tokens at"), "{stats}");
}

#[test]
fn help_has_the_flags_and_examples() {
    let run = "-m, -t, -c, -b, -p, -f, -n, --isa --raw --chat --system --stop --temp --top-k --top-p \
               --min-p --repeat-penalty --seed --cache-type --json";
    let flags = [
        ("run", run),
        ("inspect", "-m, --tensors --check --json"),
        ("tokenize", "-m, -p, -f, --bos --special --decode --json"),
        (
            "eval",
            "-m, -t, -c, -b, -p, -f, --isa --ids --base --save-base --logits --cache-type --json",
        ),
    ];
    for (command, flags) in flags {
        let help = gatefold(&[command, "--help"]).succeeded().stdout;
        let (options, examples) = help.split_once("Examples:\n").expect(command);
        assert!(examples.contains(&format!("gatefold {command} ")), "{examples}");
        for flag in flags.split_whitespace() {
            assert!(options.contains(flag), "{command} {flag}: {options}");
        }
        assert_eq!(
            gatefold(&[command, "-h"]).succeeded().stdout.lines().next(),
            help.lines().next()
        );
    }
}
