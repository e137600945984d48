//! Files that change while they are worked on: what was planned is not what would be done.

use crate::batches::{Loaded, Workplace, chat};
use gatefold::tokenizer::ChatTemplate;
use gatefold_cli::batch::{Batch, BatchError, Input};
use gatefold_cli::documents::{Documents, Fields, Wanted};
use gatefold_cli::jobs::{Sink, drive};
use gatefold_cli::summarize::{self, Form, Line, Output, Summarizer};
use std::fs;
use std::sync::atomic::AtomicBool;

#[test]
fn a_line_of_a_batch_that_changes_stops_the_run() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    let path = place.path("in.jsonl");
    place.write("in.jsonl", &[chat("a", "Why?"), chat("b", "Who?")]);
    let input = Input::open(&path).unwrap();
    let template = ChatTemplate::mistral();
    let setup = loaded.batches(&template, 2);
    let plan = input.plan(&setup.terms).unwrap();
    place.write("in.jsonl", &[chat("a", "Why?"), chat("b", "How?")]);
    let mut on_progress = |_| {};
    let mut batch = Batch::new(setup, input, &plan, Sink::Stdout, &mut on_progress);
    let stopped = drive(&mut batch, &mut loaded.engine(), &AtomicBool::new(false));
    assert!(matches!(stopped, Err(BatchError::Changed { line: 2, .. })), "{stopped:?}");
}

#[test]
fn a_document_that_changes_fails_and_the_rest_is_summarized() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    let paths = ["a.txt", "b.txt"].map(|name| place.path(name));
    paths.iter().for_each(|path| fs::write(path, "A text of some words.").unwrap());
    let fields = Fields { text: "text".into(), ..Fields::default() };
    let documents = Documents::open(&paths, &Wanted::default(), fields).unwrap();
    let setup = loaded.summaries(2);
    let basis = setup.basis();
    let key = |id: &str, text: &str| setup.key(&basis, id, text);
    let plan = summarize::Plan::new(&documents, key).unwrap();
    fs::write(&paths[1], "A text of other words.").unwrap();

    let (_, form) = Form::ALL[0];
    let output = place.path("out.jsonl");
    let output = Output::open(&documents, &plan, Some(&output), form, false).unwrap();
    let mut failed = Vec::new();
    let mut on_progress = |_, lines: &[Line]| {
        failed.extend(lines.iter().filter_map(|line| match line {
            Line::Failed(line) => Some((line.id.clone(), line.error.clone())),
            Line::Done(_) => None,
        }));
    };
    let mut work = Summarizer::new(setup, &documents, &plan, output, &mut on_progress);
    assert!(drive(&mut work, &mut loaded.engine(), &AtomicBool::new(false)).unwrap());
    assert_eq!((work.progress().n_done, work.progress().n_failed), (1, 1));
    drop(work);
    let [(id, error)] = &failed[..] else { panic!("{failed:?}") };
    assert!(id.ends_with("b.txt") && error.contains("changed"), "{id}: {error}");
}
