//! `gatefold summarize` as a user meets it.

mod program;
mod summaries;
mod tiny_model;

use serde_json::Value as Json;
use std::fs;
use std::io::Write;
use std::process::Stdio;
use summaries::{Workplace, line, settled, story};

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

/// What is summarized together, and by how many threads, leaves no trace.
#[test]
fn company_changes_nothing() {
    let place = Workplace::new();
    place.write_stories(24);
    let run = |name: &str, args: &[&str]| {
        place.summarize(&[&["docs", "-o", name, "-n", "12"], args].concat()).ended(0);
        settled(place.lines(name))
    };
    let expected = run("1.jsonl", &["--parallel", "1", "-t", "1"]);
    assert_eq!(expected.len(), 24);
    let is_split =
        |line: &&String| !line.contains("\"n_parts\":1}") && !line.contains("\"n_parts\":1,");
    assert!(expected.iter().filter(is_split).count() > 5, "{expected:?}");
    for (idx, args) in [
        &["--parallel", "4", "-t", "2"][..],
        &["--parallel", "32", "-t", "2", "-b", "64"],
        &["--parallel", "32", "--isa", "scalar"],
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(run(&format!("again{idx}.jsonl"), args), expected, "{args:?}");
    }
}

#[test]
fn a_hundred_thousand_words_fit_through_a_small_context() {
    let place = Workplace::with_context(2048);
    place.write("book.txt", story(100_000, 5));
    let run = place.summarize(&["book.txt", "-o", "out.jsonl", "--memory", "16M"]).ended(0);
    let lines = place.lines("out.jsonl");
    let line = line(&lines, "book.txt");
    assert!(line["n_parts"].as_u64().unwrap() >= 50, "{line}");
    assert!(line["prompt_tokens"].as_u64().unwrap() >= 100_000, "{line}");
    assert!(!place.path("out.jsonl.parts").exists(), "{}", run.stderr);
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
fn summaries_lie_beside_their_documents() {
    let place = Workplace::new();
    place.write("docs/a.txt", "the whale");
    place.write("docs/b.md", "a ship");
    let args = ["docs", "-o", "out.jsonl", "--beside", "-n", "5"];
    place.summarize(&args).ended(0);
    let beside: Json = serde_json::from_str(&place.read("docs/a.txt.summary.json")).unwrap();
    assert_eq!(beside["summary"], line(&place.lines("out.jsonl"), "docs/a.txt")["summary"]);
    fs::remove_file(place.path("docs/b.md.summary.json")).unwrap();
    let run = place.summarize(&args).ended(0);
    assert!(run.stderr.contains("2 of 2 documents are done"), "{}", run.stderr);
    assert!(place.path("docs/b.md.summary.json").exists());
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
    let mut ids =
        run(&["-", "-n", "2", "--jsonl"], "{\"text\":\"a\"}\n{\"text\":\"b\",\"id\":\"x\"}\n");
    ids.sort_by_key(Json::to_string);
    assert_eq!(ids, ["-:1", "x"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Workplace::new();
    place.write("a.txt", "the whale");
    place.write("bare.txt", "Summarize!");
    fs::create_dir(place.path("empty")).unwrap();
    for (args, why) in [
        (&["empty"][..], "there are no documents"),
        (&["a.txt", "-n", "0"], "-n is 0"),
        (&["a.txt", "-n", "300"], "has no room for a text"),
        (&["a.txt", "--template", "bare.txt"], "no {text} in it"),
        (&["a.txt", "--template", "absent.txt"], "cannot read absent.txt"),
        (&["empty", "--glob", "[a"], "is no pattern"),
        (&["a.txt", "-o", "a.txt"], "cannot take their summaries too"),
        (&["a.txt", "-o", "absent/out.jsonl"], "absent/out.jsonl cannot be opened"),
        (&["a.txt", "-o", "empty"], "is a folder"),
        (&["a.txt", "--temp", "-1"], "--temp is -1"),
    ] {
        let run = place.summarize(args).ended(1);
        assert!(run.stderr.starts_with("error: ") && run.stderr.contains(why), "{}", run.stderr);
        assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{}", run.stderr);
    }
    assert_eq!(place.read("a.txt"), "the whale");
}
