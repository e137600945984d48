//! An engine in a thread of its own.

use gatefold::engine::{Event, FinishReason, Options, Refusal, Request};
use gatefold_fixtures::small_engine::{CONTEXT_LEN, Small, essence, greedy, tokens};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

#[test]
fn answers_are_those_of_an_engine_that_is_stepped_by_hand() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let request = |seed| Request { n_logprobs: Some(2), ..greedy(tokens(40, seed), 8) };
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |seed| {
            let handle = handle.clone();
            scope.spawn(move || handle.submit(request(seed)).unwrap().wait().unwrap())
        };
        let asked: Vec<_> = (0..4).map(ask).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (seed, found) in answers.iter().enumerate() {
        assert_eq!(essence(found), essence(&small.alone("F16", request(seed))));
    }
}

#[test]
fn a_stream_has_every_token_with_its_log_probability() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let request = Request { n_logprobs: Some(2), ..greedy(tokens(40, 1), 8) };
    let (mut streamed, mut text, mut done) = (Vec::new(), String::new(), None);
    for event in handle.submit(request).unwrap() {
        match event {
            Event::Delta(delta) => {
                text.push_str(&delta.text);
                streamed.extend(delta.tokens);
            }
            Event::Done(generated) => done = Some(generated),
            Event::Prefill { .. } => assert!(streamed.is_empty()),
            other => panic!("{other:?}"),
        }
    }
    let done = done.expect("a stream ends with the answer");
    let (ids, logprobs): (Vec<_>, Vec<_>) =
        streamed.into_iter().map(|token| (token.id, token.logprobs.unwrap())).unzip();
    assert_eq!((text, ids, logprobs), (done.text, done.tokens, done.logprobs));
}

#[test]
fn dropping_a_stream_cancels_its_request() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let endless = Request { max_tokens: None, ..greedy(tokens(9, 1), 1) };
    let mut stream = handle.submit(endless.clone()).unwrap();
    assert!(matches!(stream.next(), Some(Event::Prefill { .. })));
    drop(stream);
    let idle = || handle.call(|engine| engine.is_idle()).unwrap();
    let start = Instant::now();
    while !idle() {
        assert!(start.elapsed() < LONG, "the request goes on");
    }

    let (sender, heard) = mpsc::channel();
    let ticket = handle.submit_to(endless, move |event| sender.send(event).unwrap()).unwrap();
    assert!(matches!(heard.recv_timeout(LONG).unwrap(), Event::Prefill { .. }));
    drop(ticket);
    let last = heard.iter().last().unwrap();
    let Event::Done(generated) = last else { panic!("{last:?}") };
    assert_eq!(generated.finish_reason, FinishReason::Cancelled);
    assert!(generated.tokens.len() < CONTEXT_LEN);
}

#[test]
fn what_is_impossible_is_refused_at_once_and_the_thread_ends_with_its_last_user() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let long = handle.submit(Request { max_tokens: None, ..greedy(tokens(9, 1), 1) }).unwrap();
    let refused = |prompt| handle.submit(greedy(prompt, 1)).unwrap_err();
    assert!(matches!(refused(vec![]), Refusal::EmptyPrompt));
    assert!(matches!(refused(tokens(CONTEXT_LEN + 1, 1)), Refusal::Model(_)));
    drop(handle);
    assert_eq!(long.wait().unwrap().finish_reason, FinishReason::Context);

    let (sender, ended) = mpsc::channel::<()>();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    drop(handle.submit_to(greedy(tokens(9, 1), 1), move |_| drop(sender.clone())).unwrap());
    drop(handle);
    assert_eq!(ended.recv_timeout(LONG), Err(mpsc::RecvTimeoutError::Disconnected));
}

#[test]
fn a_handle_tells_how_much_there_is_to_do_and_ends_all_of_it() {
    let small = Small::new();
    let options = small.options("F16");
    let handle = small.engine(Options { max_running: 1, ..options }).spawn().unwrap();
    let endless = Request { max_tokens: None, ..greedy(tokens(9, 1), 1) };
    let mut running = handle.submit(endless.clone()).unwrap();
    let waiting = handle.submit(endless).unwrap();
    assert!(matches!(running.next(), Some(Event::Prefill { .. })));
    // What was asked behind them has been seen then.
    handle.call(|_| ()).unwrap();
    let status = handle.status().unwrap();
    assert_eq!((status.n_running, status.n_waiting), (1, 1));
    assert!(status.work.n_steps > 0 && status.memory_bytes > 0);
    let config = small.language.model.config();
    assert_eq!(status.work.expert_tokens.len(), config.n_layers);
    for layer in &status.work.expert_tokens {
        assert_eq!(layer.len(), config.n_experts);
        let n_routed: u64 = layer.iter().sum();
        assert!(n_routed >= 9 * config.top_k as u64, "{status:?}");
    }
    handle.cancel_all();
    assert_eq!(running.wait().unwrap().finish_reason, FinishReason::Cancelled);
    assert_eq!(waiting.wait().unwrap().finish_reason, FinishReason::Cancelled);
    let start = Instant::now();
    while handle.status().unwrap().n_running + handle.status().unwrap().n_waiting > 0 {
        assert!(start.elapsed() < LONG, "the status is an old one");
    }
}

#[test]
fn a_listener_that_panics_ends_its_own_request_alone() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let endless = Request { max_tokens: None, ..greedy(tokens(9, 1), 1) };
    let _ticket = handle.submit_to(endless, |_| panic!("on purpose")).unwrap();
    let request = greedy(tokens(20, 2), 9);
    let answer = handle.submit(request.clone()).unwrap().wait().unwrap();
    assert_eq!(essence(&answer), essence(&small.alone("F16", request)));
    assert_eq!(handle.call(|_| panic!("on purpose")), None::<()>);
    assert!(handle.call(|engine| engine.n_running()).is_some(), "the engine goes on");
}

#[test]
fn calls_come_between_steps_but_not_from_the_engines_own_thread() {
    let small = Small::new();
    let handle = small.engine(small.options("F16")).spawn().unwrap();
    let (sender, heard) = mpsc::channel();
    let own = handle.clone();
    let from_within = move |event| {
        if let Event::Prefill { .. } = event {
            sender.send(own.call(|_| ()).is_none()).unwrap();
        }
    };
    let _ticket = handle.submit_to(greedy(tokens(9, 1), 1), from_within).unwrap();
    assert_eq!(heard.recv_timeout(LONG), Ok(true));
    drop(handle.submit(greedy(tokens(30, 2), 1)).unwrap());
    let waiting = || handle.call(|engine| engine.n_running() + engine.n_waiting()).unwrap();
    let start = Instant::now();
    while waiting() > 0 {
        assert!(start.elapsed() < LONG, "a request that was cancelled goes on");
    }
    assert!(handle.call(|engine| engine.memory_bytes()).unwrap() > 0);
    handle.clear_prefix_cache().unwrap();
    assert_eq!(handle.call(|engine| engine.memory_bytes()), Some(0));
}
