//! Many clients at once, of whom not all mean well.

use crate::batches::{chat, completion, with};
use crate::serving::{Client, Serving, lasting};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::{Value as Json, json};
use std::thread;
use std::time::Duration;

const N_CLIENTS: u64 = 64;
const N_ACTIONS: usize = 4;

/// Requests with their answers when nothing else is asked.
fn alone(serving: &Serving) -> Vec<(Json, Json)> {
    let long = |request| with(with(request, "max_tokens", 60), "logit_bias", json!({"2": -100}));
    let logprobs = |request| with(with(request, "logprobs", true), "top_logprobs", 2);
    let beginning = "Once upon a time ".repeat(30);
    let requests = [
        long(chat("short", "Why?")),
        logprobs(long(chat("logprobs", "Who?"))),
        long(chat("long", &(beginning.clone() + "who?"))),
        with(long(chat("other end", &(beginning + "why?"))), "n", 2),
        with(completion("scores", "Once upon a time"), "echo", true),
        with(lasting(300, false), "presence_penalty", 1),
    ];
    requests
        .into_iter()
        .enumerate()
        .map(|(seed, request)| {
            let request = with(request, "seed", seed);
            let answer = serving.ask(&request)["choices"].clone();
            (request, answer)
        })
        .collect()
}

/// What a client does; asserts that answers which come are those that requests have alone.
fn act(serving: &Serving, expected: &[(Json, Json)], random: &mut ChaCha8Rng) {
    let mut below = |n: usize| random.next_u32() as usize % n;
    let (request, answer) = &expected[below(expected.len())];
    let stream = with(request.clone(), "stream", true);
    match below(8) {
        0..3 => assert_eq!(&serving.ask(request)["choices"], answer, "{request}"),
        // Reads all of it, slowly at first.
        3 => {
            let client = serving.begin(&stream);
            thread::sleep(Duration::from_millis(below(200) as u64));
            let events = client.reply().events();
            let content = |event: &Json| {
                let piece = &event["choices"][0];
                let text = piece["text"].as_str().or(piece["delta"]["content"].as_str());
                (piece["index"] == 0).then(|| text.unwrap_or_default().to_owned())
            };
            let text: String = events.iter().filter_map(content).collect();
            let whole = answer[0]["text"].as_str().or(answer[0]["message"]["content"].as_str());
            assert_eq!(Some(text.as_str()), whole, "{request}");
        }
        // Goes away, sooner or later.
        4 => {
            let mut client = serving.begin(&stream);
            client.head();
            (0..below(40)).for_each(|_| drop(client.line()));
        }
        5 => {
            let _gone = serving.begin(request);
            thread::sleep(Duration::from_millis(below(100) as u64));
        }
        6 => {
            let large = vec![b' '; (4 << 20) + 1 + below(1000)];
            assert_eq!(serving.send("POST", "/v1/completions", &[], &large).status, 413);
        }
        _ => {
            let body = request["body"].to_string();
            let torn = &body.as_bytes()[..below(body.len())];
            assert_eq!(serving.send("POST", "/v1/completions", &[], torn).status, 400);
            let head =
                b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n";
            let _gone = Client::raw(serving.address, &head[..below(head.len())]);
        }
    }
}

#[test]
fn answers_are_those_that_requests_have_alone_whatever_a_crowd_does() {
    let serving = Serving::new(&["--parallel", "8", "-b", "64"]);
    let n_idle = n_descriptors(&serving);
    let expected = alone(&serving);
    thread::scope(|scope| {
        for client in 0..N_CLIENTS {
            let (serving, expected) = (&serving, &expected);
            scope.spawn(move || {
                let mut random = ChaCha8Rng::seed_from_u64(client);
                (0..N_ACTIONS).for_each(|_| act(serving, expected, &mut random));
            });
        }
    });
    for name in ["requests_processing", "requests_deferred", "answers_open", "requests_open"] {
        serving.wait_for(name, |figure| figure == 0.0);
    }
    for (request, answer) in &expected {
        assert_eq!(&serving.ask(request)["choices"], answer);
    }
    descriptors_are_given_back(&serving, n_idle);
}

/// The descriptors that the server has open.
#[cfg(target_os = "linux")]
fn n_descriptors(serving: &Serving) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", serving.id())).unwrap().count()
}

#[cfg(not(target_os = "linux"))]
fn n_descriptors(_: &Serving) -> usize {
    0
}

/// No socket of those who are gone is left: of all clients before, and of some who say nothing. Those
/// from before may still be closing, so that the server's own `n_idle` descriptors are what is compared.
#[cfg(target_os = "linux")]
fn descriptors_are_given_back(serving: &Serving, n_idle: usize) {
    use std::{net::TcpStream, time::Instant};
    let n_open = || n_descriptors(serving);
    let crowd: Vec<_> = (0..50).map(|_| TcpStream::connect(serving.address).unwrap()).collect();
    let start = Instant::now();
    while n_open() < n_idle + crowd.len() {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    drop(crowd);
    while n_open() > n_idle {
        assert!(start.elapsed() < Duration::from_secs(60), "{} of {n_idle}", n_open());
        thread::sleep(Duration::from_millis(10));
    }
    assert!(n_idle < 30, "{n_idle} descriptors");
}

#[cfg(not(target_os = "linux"))]
fn descriptors_are_given_back(_: &Serving, _: usize) {}
