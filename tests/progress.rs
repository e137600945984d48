//! How far a run says it is.

mod batches;
mod program;
mod random_mixtral;

use batches::{Loaded, Workplace, chat};
use gatefold::batch::{self, Batch, Input, Prompts};
use gatefold::documents::{Documents, Fields, Wanted};
use gatefold::engine::{Engine, Event, RequestId};
use gatefold::jobs::{Key, Sink, Work};
use gatefold::summarize::{self, Form, Line, Output, Summarizer};
use gatefold::tokenizer::ChatTemplate;
use std::fs;

/// Submits the only request of some work, and tells it of a prompt that is read to the fifth token,
/// given up, and read again.
fn read_again<W: Work>(work: &mut W, engine: &mut Engine<'_>)
where
    W::Error: std::fmt::Debug,
{
    work.submit(engine).unwrap();
    let mut id: Option<RequestId> = None;
    engine.step(&mut |found, _| id = Some(found));
    for n_read in [5, 2, 5, 6] {
        work.hear(id.unwrap(), Event::Prompt { n_read });
    }
}

#[test]
fn tokens_of_a_batch_that_are_read_again_count_once() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    place.write("in.jsonl", &[chat("a", "Why?")]);
    let (input, basis) = (Input::open(&place.path("in.jsonl")).unwrap(), Key::of(&[]));
    let plan = input.plan(&basis, None).unwrap();
    let template = ChatTemplate::mistral();
    let setup = batch::Setup {
        prompts: Prompts { tokenizer: &loaded.tokenizer, template: &template },
        model_name: String::new(),
        basis,
        max_tokens: None,
        max_live: 1,
    };
    let mut on_progress = |_| {};
    let mut batch = Batch::new(setup, input, &plan, Sink::Stdout, &mut on_progress);
    read_again(&mut batch, &mut loaded.engine());
    assert_eq!(batch.progress().n_read, 6);
}

#[test]
fn tokens_of_a_document_that_are_read_again_count_once() {
    let place = Workplace::new();
    let loaded = Loaded::new(&place);
    let path = place.path("a.txt");
    fs::write(&path, "A text of some words.").unwrap();
    let fields = Fields { text: "text".into(), id: None };
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
    assert_eq!(work.progress().n_read, 6);
}
