//! How far a run says it is, and what it came to.

use crate::batches::{Loaded, Workplace, chat};
use crate::program;
use gatefold::engine::{Engine, Event, RequestId};
use gatefold::tokenizer::ChatTemplate;
use gatefold_cli::batch::{Batch, Input};
use gatefold_cli::documents::{Documents, Fields, Wanted};
use gatefold_cli::jobs::{JobSource, Sink};
use gatefold_cli::summarize::{self, Form, Line, Output, Summarizer};
use regex::Regex;
use serde_json::Value as Json;
use std::fs;

/// Submits the only request of some work, and tells it of a prompt that is read to the fifth token,
/// given up, and read again, where another by now begins like it.
fn read_again<S: JobSource>(source: &mut S, engine: &mut Engine)
where
    S::Error: std::fmt::Debug,
{
    source.submit(engine).unwrap();
    let mut id: Option<RequestId> = None;
    engine.step(&mut |found, _| id = Some(found));
    for (n_computed, n_reused) in [(5, 0), (2, 0), (5, 3), (6, 3)] {
        source.on_event(id.unwrap(), Event::Prefill { n_computed, n_reused });
    }
}

#[test]
fn tokens_of_a_batch_that_are_read_again_count_once() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    place.write("in.jsonl", &[chat("a", "Why?")]);
    let input = Input::open(&place.path("in.jsonl")).unwrap();
    let template = ChatTemplate::mistral();
    let setup = loaded.batches(&template, 1);
    let plan = input.plan(&setup.terms).unwrap();
    let mut on_progress = |_| {};
    let mut batch = Batch::new(setup, input, &plan, Sink::Stdout, &mut on_progress);
    read_again(&mut batch, &mut loaded.engine());
    assert_eq!(batch.progress().tokens.n_read, 6);
}

#[test]
fn tokens_of_a_document_that_are_read_again_count_once() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    let path = place.path("a.txt");
    fs::write(&path, "A text of some words.").unwrap();
    let fields = Fields { text: "text".into(), ..Fields::default() };
    let documents = Documents::open(&[path], &Wanted::default(), fields).unwrap();
    let setup = loaded.summaries(1);
    let basis = setup.basis();
    let key = |id: &str, text: &str| setup.key(&basis, id, text);
    let plan = summarize::Plan::new(&documents, key).unwrap();
    let (_, form) = Form::ALL[0];
    let output = Output::open(&documents, &plan, None, form, false).unwrap();
    let mut on_progress = |_, _: &[Line]| {};
    let mut work = Summarizer::new(setup, &documents, &plan, output, &mut on_progress);
    read_again(&mut work, &mut loaded.engine());
    assert_eq!(work.progress().tokens.n_read, 6);
}

/// More than a page of tokens.
const BEGINNING: &str = "Once upon a time there was a beginning that all prompts had in common, and \
    nobody read it more than once";

/// Tokens that the last line of a run tells of: read, known already and written.
#[track_caller]
fn told(stderr: &str) -> [u64; 3] {
    let line =
        Regex::new(r"; (\d+) tokens read, (\d+) known already and (\d+) written in ").unwrap();
    let found = line.captures(stderr).unwrap_or_else(|| panic!("{stderr}"));
    [1, 2, 3].map(|idx| found[idx].parse().unwrap())
}

fn sum<'a>(values: impl IntoIterator<Item = &'a Json>) -> u64 {
    values.into_iter().map(|value| value.as_u64().unwrap()).sum()
}

/// What prompts begin with in common is read once, and counted once, by every command.
#[test]
fn tokens_that_were_read_are_told_and_no_others() {
    let place = Workplace::new();
    let requests = [1, 2, 3, 4].map(|idx| chat(&idx.to_string(), &format!("{BEGINNING}: {idx}?")));
    place.write("in.jsonl", &requests);
    let [n_read, n_reused, n_written] = told(&place.succeeds());
    let lines = place.lines("out.jsonl");
    let usage =
        |field: &str| sum(lines.iter().map(|line| &line["response"]["body"]["usage"][field]));
    assert_eq!([n_read + n_reused, n_written], ["prompt_tokens", "completion_tokens"].map(usage));
    let n_shared = BEGINNING.len() as u64;
    assert!((3 * n_shared..4 * n_shared).contains(&n_reused), "{n_reused} of {n_shared} each");

    for idx in [1, 2, 3, 4] {
        fs::write(place.path(&format!("{idx}.txt")), format!("Text {idx}.")).unwrap();
    }
    let mut command = program::command();
    command.current_dir(place.folder.path()).args(["summarize", "-m", "model.gguf", "-n", "6"]);
    command.args(["1.txt", "2.txt", "3.txt", "4.txt", "-o", "summaries.jsonl"]);
    let run = command.args(["--instruction", BEGINNING]).output().unwrap();
    let [n_read, n_reused, n_written] = told(&String::from_utf8(run.stderr).unwrap());
    let lines = place.lines("summaries.jsonl");
    let total = |field: &str| sum(lines.iter().map(|line| &line[field]));
    assert_eq!([n_read + n_reused, n_written], ["prompt_tokens", "summary_tokens"].map(total));
    assert!((3 * n_shared..4 * n_shared).contains(&n_reused), "{n_reused} of {n_shared} each");
}
