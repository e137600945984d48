//! `gatefold summarize` as a user meets it.

use crate::summaries::{Workplace, line, model, settled, silent_model, story};
use regex::Regex;
use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::process::Stdio;

#[test]
fn every_document_gets_a_line() {
    let place = Workplace::new();
    place.write("docs/b/long.md", story(600, 1));
    place.write("docs/a.txt", story(30, 2));
    place.write("docs/page.html", format!("<html><body><p>{}</p>", story(20, 3)));
    place.write("docs/code.rs", "fn main() {}");
    place.write("list.jsonl", "{\"id\":7,\"text\":\"the whale\"}\n\n{\"text\":\"a ship\"}\n");
    let run = place.summarize(&["docs", "list.jsonl", "-o", "out.jsonl"]).ended(0);
    assert!(run.stderr.contains("5 documents, 0 of them failed"), "{}", run.stderr);
    assert_eq!(run.stdout, "");
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 5);
    for id in ["docs/a.txt", "docs/b/long.md", "docs/page.html", "7", "list.jsonl:3"] {
        let line = line(&lines, id);
        let n_tokens = line["summary_tokens"].as_u64().unwrap();
        assert!((1..=64).contains(&n_tokens), "{line}");
        assert!(line["prompt_tokens"].as_u64().unwrap() > 10, "{line}");
        assert!(line["seconds"].as_f64().unwrap() >= 0.0, "{line}");
        assert!(line["summary"].is_string() && line["key"].as_str().unwrap().len() == 64);
        assert!(["end_of_text", "length"].contains(&line["finish_reason"].as_str().unwrap()));
        assert_eq!(line["model"], "tiny");
        let n_parts = line["n_parts"].as_u64().unwrap();
        assert_eq!(n_parts > 1, id == "docs/b/long.md", "{line}");
    }
}

#[test]
fn what_is_asked_is_what_was_wished() {
    let place = Workplace::new();
    place.write("a.txt", "the whale");
    place.write("template.txt", "{instruction} | {language} | {length}: {text}");
    let prompt_tokens = |args: &[&str]| {
        let run = place.summarize(&[&["a.txt", "-n", "1"], args].concat()).ended(0);
        let line: Json = serde_json::from_str(&run.stdout).unwrap();
        line["prompt_tokens"].as_u64().unwrap()
    };
    let plain = prompt_tokens(&[]);
    assert!(prompt_tokens(&["--length", "sentence"]) > plain);
    // The model has a token for each letter.
    assert_eq!(prompt_tokens(&["--instruction", "Summarize this text.xyz"]), plain + 3);
    assert!(
        prompt_tokens(&["--template", "template.txt", "--language", "Esperanto"])
            > prompt_tokens(&["--template", "template.txt"])
    );
}

/// What is summarized together, by how many threads and in how many runs leaves no trace.
#[test]
fn company_changes_nothing() {
    let place = Workplace::new();
    place.write_stories(100);
    let run = |name: &str, args: &[&str]| {
        place.summarize(&[&["docs", "-o", name, "-n", "8"], args].concat()).ended(0);
        settled(place.lines(name))
    };
    let expected = run("1.jsonl", &["--parallel", "1", "-t", "1"]);
    assert_eq!(expected.len(), 100);
    let is_split =
        |line: &&String| !line.contains("\"n_parts\":1}") && !line.contains("\"n_parts\":1,");
    assert!(expected.iter().filter(is_split).count() > 20, "{expected:?}");
    for (idx, args) in [
        &["--parallel", "4", "-t", "2"][..],
        &["--parallel", "32", "-t", "1"],
        &["--parallel", "32", "-t", "2", "-b", "64"],
        &["--parallel", "32", "--isa", "scalar"],
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(run(&format!("again{idx}.jsonl"), args), expected, "{args:?}");
    }
    let text = place.read("1.jsonl");
    let begun: String = text.split_inclusive('\n').take(40).collect();
    place.write("resumed.jsonl", &text[..begun.len() + 50]);
    assert_eq!(run("resumed.jsonl", &["--parallel", "4", "-t", "2"]), expected);
    assert!(place.read("resumed.jsonl").starts_with(&begun));
}

/// Whoever starts a long run sees soon whether the summaries are what was wanted, though long
/// documents come first; and these are finished before others are begun.
#[test]
fn the_first_summaries_come_early() {
    let place = Workplace::new();
    place.write("docs/00.txt", story(2_000, 1));
    for idx in 1..40 {
        place.write(&format!("docs/{idx:02}.txt"), story(20 + idx, idx));
    }
    place.summarize(&["docs", "-o", "out.jsonl", "-n", "4", "--parallel", "1"]).ended(0);
    let lines = place.lines("out.jsonl");
    let at = lines.iter().position(|line| line["id"] == "docs/00.txt").unwrap();
    assert!((1..5).contains(&at), "{at}");
}

#[test]
fn a_hundred_thousand_words_fit_through_a_small_context() {
    let place = Workplace::with_context(2048);
    place.write("book.txt", story(100_000, 5));
    let run = place.summarize(&["book.txt", "-o", "out.jsonl", "--memory", "1M"]).ended(0);
    let lines = place.lines("out.jsonl");
    let line = line(&lines, "book.txt");
    assert!(line["n_parts"].as_u64().unwrap() >= 50, "{line}");
    assert!(line["prompt_tokens"].as_u64().unwrap() >= 100_000, "{line}");
    assert!(!place.path("out.jsonl.parts").exists(), "{}", run.stderr);
}

/// Beside what a shorter document takes, a long one takes the memory that is promised for keys and
/// values, and some times its own length.
#[cfg(target_os = "linux")]
#[test]
fn a_long_document_takes_the_memory_that_was_promised() {
    let place = Workplace::with_context(2048);
    let book = story(100_000, 5);
    place.write("book.txt", &book);
    place.write("story.txt", story(20_000, 5));
    let peak_bytes = |name: &str, output: &str, memory: &str| {
        place.peak_bytes(&[name, "-o", output, "-n", "16", "-t", "1", "--memory", memory])
    };
    // A busy machine may not let the end of a run be seen, but hardly of all of them.
    let outputs = ["1.jsonl", "2.jsonl", "3.jsonl"];
    let story = outputs.map(|output| peak_bytes("story.txt", output, "1M")).into_iter().max();
    for (memory, promised) in [("1M", 1 << 20), ("8M", 8 << 20)] {
        let most = story.unwrap() + promised + 8 * book.len() as u64;
        let peak = peak_bytes("book.txt", &format!("{memory}.jsonl"), memory);
        assert!(peak <= most, "{memory}: {peak} bytes, not {most}; {story:?} for a story");
    }
}

#[test]
fn summaries_that_are_cut_off_are_counted() {
    let place = Workplace::new();
    place.write_stories(12);
    let said = |stderr: &str, start: &str| {
        stderr.lines().find(|line| line.starts_with(start)).map(str::to_owned)
    };
    let cut_off = |stderr: &str| said(stderr, "summaries cut off");
    let run = place.summarize(&["docs", "-o", "out.jsonl", "-n", "3"]).ended(0);
    let lines = place.lines("out.jsonl");
    let n_cut_off = lines.iter().filter(|line| line["finish_reason"] == "length").count();
    assert!(n_cut_off > 0, "{lines:?}");
    let expected = format!("summaries cut off at 3 tokens (-n): {n_cut_off} of 12");
    assert_eq!(cut_off(&run.stderr).as_ref(), Some(&expected), "{}", run.stderr);
    // Those of an earlier run count too, and once.
    place.write("more.txt", "");
    let again = place.summarize(&["docs", "more.txt", "-o", "out.jsonl", "-n", "3"]).ended(2);
    assert_eq!(cut_off(&again.stderr), Some(expected), "{}", again.stderr);

    // Answers to parts are told of with the document's summary, whichever run made them.
    let parts = |stderr: &str| said(stderr, "summaries of parts cut off at 3 tokens (-n, or ");
    let found = parts(&run.stderr).unwrap_or_default();
    let n_long = lines.iter().filter(|line| line["n_parts"] != 1).count();
    let figures =
        Regex::new(r"-c has room for\): (\d+), in (\d+) documents \(docs/\d+.txt first\)$")
            .unwrap();
    let figures = figures.captures(&found).unwrap_or_else(|| panic!("{}", run.stderr));
    let [n_parts, n_documents] = [1, 2].map(|idx| figures[idx].parse::<usize>().unwrap());
    assert!((2..=n_long).contains(&n_documents) && n_parts >= n_documents, "{found}");
    assert_eq!(parts(&again.stderr), None, "{}", again.stderr);

    place.write("model.gguf", silent_model(256));
    let run = place.summarize(&["docs", "-n", "3"]).ended(2);
    assert_eq!(cut_off(&run.stderr).or(parts(&run.stderr)), None, "{}", run.stderr);
}

/// A model that says nothing has not summarized, neither the whole of a text nor its parts.
#[test]
fn silence_is_a_failure() {
    let place = Workplace::new();
    place.write("model.gguf", silent_model(256));
    place.write("docs/long.txt", story(600, 1));
    place.write("docs/short.txt", "the whale");
    for _ in 0..2 {
        let run = place.summarize(&["docs", "-o", "out.jsonl"]).ended(2);
        assert!(run.stderr.contains("2 documents, 2 of them failed"), "{}", run.stderr);
        place.summarize(&["docs", "-o", "out.jsonl", "--ok-exit"]).ended(0);
        for id in ["docs/long.txt", "docs/short.txt"] {
            let error = line(&place.lines("out.jsonl"), id)["error"].to_string();
            assert!(error.contains("the model's answer is empty"), "{error}");
        }
    }
    place.write("model.gguf", model(256));
    place.summarize(&["docs", "-o", "out.jsonl"]).ended(0);
}

#[test]
fn text_and_markdown_are_for_people() {
    let place = Workplace::new();
    place.write("a.txt", "the whale");
    place.write("b.txt", "");
    let alone = place.summarize(&["a.txt", "--format", "text", "-n", "5"]).ended(0).stdout;
    let json = place.summarize(&["a.txt", "-n", "5"]).ended(0).stdout;
    let json: Json = serde_json::from_str(&json).unwrap();
    let summary = json["summary"].as_str().unwrap();
    assert_eq!(alone, format!("{summary}\n"));
    let both = place.summarize(&["a.txt", "b.txt", "--format", "markdown", "-n", "5"]).ended(2);
    assert!(both.stdout.contains(&format!("## a.txt\n\n{summary}\n\n")), "{}", both.stdout);
    assert!(both.stdout.contains("## b.txt\n\n(no summary: has no text in it)"));
    assert!(both.stderr.contains("b.txt: has no text in it"), "{}", both.stderr);

    let args = ["a.txt", "b.txt", "--format", "text", "-o", "out.txt", "-n", "5"];
    place.summarize(&args).ended(2);
    let expected =
        format!("==> a.txt <==\n{summary}\n\n==> b.txt <==\n(no summary: has no text in it)\n\n");
    assert_eq!(place.read("out.txt"), expected);
    // Text cannot be gone on from, but its results can.
    fs::remove_file(place.path("out.txt")).unwrap();
    let run = place.summarize(&args).ended(2);
    assert!(run.stderr.contains("1 of 2 documents are done"), "{}", run.stderr);
    assert_eq!(place.read("out.txt"), expected);
    place.write("mine.txt", "precious");
    let run = place.summarize(&["a.txt", "--format", "text", "-o", "mine.txt"]).ended(1);
    assert!(run.stderr.contains("mine.txt exists"), "{}", run.stderr);
    assert_eq!(place.read("mine.txt"), "precious");
}

#[test]
fn stdin_is_a_document_or_a_list_of_them() {
    let place = Workplace::new();
    let run = |args: &[&str], text: &str| {
        let mut child = place.command(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let line = |line| serde_json::from_str::<Json>(line).unwrap()["id"].clone();
        text.lines().map(line).collect::<Vec<Json>>()
    };
    assert_eq!(run(&["-", "-n", "2"], "the whale"), ["-"]);
    assert_eq!(run(&["-", "-n", "2", "-o", "-"], "the whale"), ["-"]);
    assert!(!place.path("-").exists());
    place.write("-", "a ship");
    let mut ids = run(&["-", "./-", "-", "-n", "2"], "the whale");
    ids.sort_by_key(Json::to_string);
    assert_eq!(ids, ["-", "./-"]);
    let mut ids =
        run(&["-", "-n", "2", "--jsonl"], "{\"text\":\"a\"}\n{\"text\":\"b\",\"id\":\"x\"}\n");
    ids.sort_by_key(Json::to_string);
    assert_eq!(ids, ["-:1", "x"]);
}

#[test]
fn files_are_lists_of_documents_if_it_is_said() {
    let place = Workplace::new();
    place.write("list.json", "{\"id\":\"a\",\"text\":\"the whale\"}\n{\"text\":\"a ship\"}\n");
    place.write("folder/list.ndjson", "{\"id\":\"b\",\"text\":\"the sea\"}\n");
    place.write("folder/notes.txt", "a sailor");
    let ids = |args: &[&str]| {
        let run = place.summarize(&[&["list.json", "folder", "-n", "2"], args].concat()).ended(0);
        let id =
            |line| serde_json::from_str::<Json>(line).unwrap()["id"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = run.stdout.lines().map(id).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids(&[]), ["folder/notes.txt", "list.json"]);
    assert_eq!(ids(&["--jsonl"]), ["a", "b", "list.json:2"]);
}

#[test]
fn a_file_is_summarized_once_however_it_is_spelled() {
    let place = Workplace::new();
    place.write("docs/a.txt", "the whale");
    let run = place.summarize(&["docs/a.txt", "./docs/a.txt", "docs", "-n", "2"]).ended(0);
    assert!(run.stderr.contains("1 document, 0 of them failed"), "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 1);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Workplace::new();
    place.write("a.txt", "the whale");
    place.write("bare.txt", "Summarize!");
    place.write("blank.jsonl", "\n \n");
    place.write("docs/a.txt", "the whale");
    place.write("docs/a.txt.summary.txt", "a whale");
    let beside = ["docs", "--glob", "*.summary.txt", "-o", "out", "--beside", "--format", "text"];
    fs::create_dir(place.path("empty")).unwrap();
    for (args, why) in [
        (&["empty"][..], "there are no documents: no file in the folders has a name that ends"),
        (&["empty", "--jsonl"], "ends in .jsonl or .ndjson"),
        (&["empty", "--glob", "*.c"], "matches --glob \"*.c\""),
        (&beside[..3], "all are left out (1; docs/a.txt.summary.txt first, which is called like"),
        (&beside, "all are left out (1; docs/a.txt.summary.txt first, which is called like"),
        (&["blank.jsonl"], "there are no documents: blank.jsonl is empty or has blank lines"),
        (&["a.txt", "-n", "0"], "-n is 0"),
        (&["a.txt", "-n", "300"], "has no room for a text"),
        (&["a.txt", "--template", "bare.txt"], "no {text} in it"),
        (&["a.txt", "--template", "absent.txt"], "cannot read absent.txt"),
        (&["empty", "--glob", "[a"], "is no pattern"),
        (&["a.txt", "-o", "a.txt"], "cannot take their summaries too"),
        (&["a.txt", "-o", "absent/out.jsonl"], "absent/out.jsonl cannot be opened"),
        (&["a.txt", "-o", "empty"], "is a folder"),
        (&["a.txt", "--temp", "-1"], "--temp is -1"),
        (&["a.txt", "-o", "-", "--beside"], "--beside needs a file"),
    ] {
        let run = place.summarize(args).ended(1);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(why), "{}", run.stderr);
        assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{}", run.stderr);
    }
    assert_eq!(place.read("a.txt"), "the whale");
}
