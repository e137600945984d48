//! Where prompts come from, what variables set, completions and manual pages.

use crate::place::Place;
use crate::program::{Run, command, gatefold, gatefold_reading};
use serde_json::Value as Json;
use std::fs::{self, File};
use std::io::Write;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

impl Place {
    /// Runs a command on the model.
    fn gatefold(&self, args: &[&str], stdin: &str) -> Run {
        gatefold_reading(stdin, &[&[args[0], "-m", &self.model()], &args[1..]].concat())
    }

    /// The ids of the prompt that `run` makes of these arguments.
    fn prompt(&self, args: &[&str], stdin: &str) -> Json {
        let run = self.gatefold(&[&["run", "-n", "1", "--json"], args].concat(), stdin);
        run.succeeded().json()["prompt_ids"].clone()
    }
}

#[test]
fn piped_text_follows_the_prompt() {
    let place = Place::new();
    let asked = |text: &str| place.prompt(&["-p", text], "");
    assert_eq!(place.prompt(&["-p", "Sum up:"], "one\ntwo\n"), asked("Sum up:\n\none\ntwo"));
    assert_eq!(place.prompt(&["Sum", "up:"], "one"), asked("Sum up:\n\none"));
    assert_eq!(place.prompt(&["-p", "Sum up:\n"], "one"), asked("Sum up:\n\none"));
    let raw = |args: &[&str], stdin: &str| place.prompt(&[&["--raw"], args].concat(), stdin);
    assert_eq!(raw(&["-p", "a"], "b"), raw(&["-p", "a\n\nb"], ""));
    // Nothing is no text, and a blank prompt no prompt.
    assert_eq!(place.prompt(&["-p", "a"], " \n"), asked("a"));
    assert_eq!(place.prompt(&["-p", ""], "b"), asked("b"));
    fs::write(place.path("a.txt"), "a").unwrap();
    let file = place.path("a.txt").to_str().unwrap().to_owned();
    assert_eq!(place.prompt(&["-f", &file], "b"), asked("a\n\nb"));
    // A text that is measured is what it is.
    let ids = |stdin| place.gatefold(&["tokenize", "--json", "-p", "a"], stdin).stdout;
    assert_eq!(ids("b"), ids(""));

    place.gatefold(&["run", "-n", "1", "-p", "a"], "").succeeded();
    let mut latin1 = assert_cmd::Command::from_std(command());
    latin1.args(["run", "-m", &place.model(), "-p", "a"]).write_stdin(&b"na\xefve"[..]);
    let output = latin1.output().unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("stdin is not UTF-8 text: byte 2"));
}

#[test]
fn stdin_that_is_a_file_counts_and_a_device_or_a_closed_one_does_not() {
    let place = Place::new();
    fs::write(place.path("b.txt"), "b").unwrap();
    let prompt = |stdin: Stdio| {
        let mut run = command();
        run.args(["run", "-m", &place.model(), "-p", "a", "-n", "1", "--json"]).stdin(stdin);
        let output = run.output().unwrap();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap();
        json["prompt_ids"].clone()
    };
    let file = File::open(place.path("b.txt")).unwrap();
    assert_eq!(prompt(file.into()), place.prompt(&["-p", "a\n\nb"], ""));
    assert_eq!(prompt(Stdio::null()), place.prompt(&["-p", "a"], ""));
    #[cfg(unix)]
    {
        let binary = command().get_program().to_owned();
        let script = r#"exec "$0" run -m "$1" -p a -n 1 --json <&-"#;
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script]).arg(binary).arg(place.model());
        let output = shell.output().unwrap();
        let json: Json = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["prompt_ids"], place.prompt(&["-p", "a"], ""));
    }
}

#[test]
fn a_slow_pipe_is_waited_for_with_a_word() {
    let place = Place::new();
    let model = place.model();
    let request = r#"{"custom_id":"1","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"b"}],"max_tokens":1}}"#;
    let runs = [
        (&["run", "-p", "a", "-n", "1", "--json"][..], "b"),
        (&["summarize", "--format", "text", "-n", "1"], "b"),
        (&["summarize", "--format", "text", "-n", "1", "-"], "b"),
        (&["batch"], request),
        (&["batch", "-"], request),
    ];
    let start = |(args, text): (&'static [&'static str], &'static str)| {
        let mut run = command();
        run.args(args);
        // The prompt of a summary is long where a byte is a token: the demo model reads it sooner.
        if args[0] != "summarize" {
            run.args(["-m", &model]);
        }
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        (args, text, run.spawn().unwrap())
    };
    let mut runs = runs.map(start);
    sleep(Duration::from_secs(8));
    for (args, text, child) in &mut runs {
        let written = child.stdin.take().unwrap().write_all(text.as_bytes());
        written.unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    let word = "waiting for text on stdin; with `< /dev/null` there is none\n";
    for (args, _, child) in runs {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}: {stderr}");
        assert_eq!(stderr.matches(word).count(), 1, "{args:?}: {stderr}");
        if args[0] == "run" {
            let json: Json = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(json["prompt_ids"], place.prompt(&["-p", "a\n\nb"], ""));
            assert_eq!(stderr, word);
        }
    }
}

#[test]
fn an_empty_prompt_is_an_error() {
    let place = Place::new();
    fs::write(place.path("blank.txt"), " \n\n").unwrap();
    let file = place.path("blank.txt").to_str().unwrap().to_owned();
    for (args, why) in [
        (&["-p", ""][..], "the prompt is empty; give one with -p"),
        (&["-p", " \n", "--raw"], "the prompt is empty; give one"),
        (&[""], "the prompt is empty; give one"),
        (&["-f", &file], "blank.txt has no text; give one with -p"),
        (&["-f", "-"], "stdin has no text"),
        (&[], "stdin has no text"),
        (&["--json"], "stdin has no text"),
        (&["--chat", "-p", ""], "the prompt is empty"),
    ] {
        place.gatefold(&[&["run"], args].concat(), "").refused(why);
    }
}

#[test]
fn a_text_needs_no_flag() {
    let place = Place::new();
    assert_eq!(place.prompt(&["why", "is", "it"], ""), place.prompt(&["-p", "why is it"], ""));
    assert_eq!(place.prompt(&["--", "-cnv"], ""), place.prompt(&["-p", "-cnv"], ""));
    assert_eq!(place.prompt(&["-p", r"a\nb"], ""), place.prompt(&[r"a\nb"], ""));
    assert_eq!(place.prompt(&["-e", r"a\nb\\"], ""), place.prompt(&["-p", "a\nb\\"], ""));
    let tokens =
        |args: &[&str]| place.gatefold(&[&["tokenize", "--json"], args].concat(), "").stdout;
    assert_eq!(tokens(&["a b"]), tokens(&["-p", "a b"]));
    let run = place.gatefold(&["tokenize", &place.model().replace("model.gguf", "")], "");
    assert_eq!(run.stderr, "");
    fs::write(place.path("story.txt"), "once").unwrap();
    let story = place.path("story.txt").to_str().unwrap().to_owned();
    let run = place.gatefold(&["tokenize", &story], "").succeeded();
    assert!(
        run.stderr.contains("story.txt is taken as the text itself; -f reads"),
        "{}",
        run.stderr
    );
    let Run { code, stderr, .. } = place.gatefold(&["run", "a", "-p", "b"], "");
    assert!(code == 1 && stderr.contains("--prompt"), "{stderr}");
}

#[test]
fn a_context_of_0_is_the_models_own_and_minus_1_is_no_limit() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let args = [&["run", "-p", "a", "--raw", "--temp", "0", "--json"], args].concat();
        let json = place.gatefold(&args, "").succeeded().json();
        (json["ids"].clone(), json["finish_reason"].clone())
    };
    let expected = run(&[]);
    for args in [&["-c", "0"][..], &["-n", "-2"], &["--repeat-last-n", "-1"], &["--top-k", "-1"]] {
        assert_eq!(run(args), expected, "{args:?}");
    }
}

/// Runs the program with these variables.
fn with(variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = assert_cmd::Command::from_std(command());
    let output =
        command.envs(variables.iter().copied()).args(args).write_stdin("").output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn variables_set_flags_and_flags_win() {
    let place = Place::new();
    let model = place.model();
    let set = ("GATEFOLD_MODEL", model.as_str());
    let ask = ["run", "-p", "a", "-n", "1"];
    let prompt_ids = |run: Run| run.succeeded().json()["prompt_ids"].clone();
    let json = [&ask[..], &["--json"]].concat();
    assert_eq!(prompt_ids(with(&[set], &json)), place.prompt(&["-p", "a"], ""));
    for empty in ["GATEFOLD_THREADS", "GATEFOLD_ISA", "GATEFOLD_CHAT_TEMPLATE", "GATEFOLD_CTX_SIZE"]
    {
        assert_eq!(prompt_ids(with(&[set, (empty, "")], &json)), place.prompt(&["-p", "a"], ""));
    }
    let chatml = [set, ("GATEFOLD_CHAT_TEMPLATE", "chatml")];
    let expected = place.prompt(&["-p", "a", "--chat-template", "chatml"], "");
    assert_eq!(prompt_ids(with(&chatml, &json)), expected);
    let raw = [&json[..], &["--raw"]].concat();
    assert_eq!(prompt_ids(with(&chatml, &raw)), place.prompt(&["-p", "a", "--raw"], ""));

    let nowhere = [("GATEFOLD_MODEL", "nowhere.gguf")];
    with(&nowhere, &ask).refused("(GATEFOLD_MODEL is nowhere.gguf)");
    with(&nowhere, &[&ask[..], &["-m", &model]].concat()).succeeded();
    with(&nowhere, &["inspect", &model]).succeeded();
    with(&nowhere, &["inspect"]).refused("(GATEFOLD_MODEL is nowhere.gguf)");
    with(&[set, ("GATEFOLD_THREADS", "0")], &ask).refused("(GATEFOLD_THREADS is 0)");
    with(&[set, ("GATEFOLD_THREADS", "two")], &ask)
        .refused("GATEFOLD_THREADS: invalid value 'two'");
    with(&[set, ("GATEFOLD_THREADS", "two")], &[&ask[..], &["-t", "1"]].concat()).succeeded();
    with(&[set, ("GATEFOLD_ISA", "sse9")], &ask).refused("(GATEFOLD_ISA is sse9)");
    with(&[set, ("GATEFOLD_CTX_SIZE", "999999")], &ask).refused("(GATEFOLD_CTX_SIZE is 999999)");
    // Figures do not depend on them.
    let windows = |variables: &[(&str, &str)]| {
        with(variables, &["eval", "-p", &"a b ".repeat(600), "--json"]).succeeded().stdout
    };
    assert_eq!(windows(&[set, ("GATEFOLD_CTX_SIZE", "64")]), windows(&[set]));
}

#[test]
fn help_names_the_variables_and_has_no_colour_in_a_pipe() {
    let help = gatefold(&["run", "--help"]).succeeded().stdout;
    for name in ["MODEL", "THREADS", "ISA", "CTX_SIZE", "BATCH_SIZE", "CACHE_TYPE", "CHAT_TEMPLATE"]
    {
        assert!(help.contains(&format!("[env: GATEFOLD_{name}]")), "{name}: {help}");
    }
    assert!(!help.contains('\u{1b}'));
    let help = gatefold(&["eval", "--help"]).succeeded().stdout;
    assert!(help.contains("GATEFOLD_MODEL") && !help.contains("GATEFOLD_CTX_SIZE"), "{help}");
}

#[test]
fn shells_get_completions_and_readers_manual_pages() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = gatefold(&["completions", shell]).succeeded().stdout;
        for word in ["summarize", "chat-template"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    assert_eq!(gatefold(&["completions", "cmd"]).code, 1);

    let page = gatefold(&["man"]).succeeded().stdout;
    assert!(page.contains(".TH gatefold 1") && page.contains("gatefold\\-run(1)"), "{page}");
    let page = gatefold(&["man", "run"]).succeeded().stdout;
    assert!(page.contains(".TH gatefold-run 1") && page.contains("GATEFOLD_MODEL"), "{page}");
    gatefold(&["man", "sing"]).refused("there is no command sing");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    gatefold(&["man", "-o", pages.to_str().unwrap()]).succeeded();
    for name in ["gatefold.1", "gatefold-run.1", "gatefold-summarize.1", "gatefold-man.1"] {
        assert!(fs::read_to_string(pages.join(name)).unwrap().starts_with(".ie"), "{name}");
    }
}
