//! Clients that go away, dawdle, come in crowds or send nonsense, and servers that are to stop.

use crate::batches::{Workplace, chat, with};
use crate::serving::{Client, Serving, endless, lasting};
use gatefold_cli::server::{Access, Config, Server};
use serde_json::json;
use std::io::Write;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

/// A request whose prompt takes many steps of sixteen tokens.
fn lengthy() -> serde_json::Value {
    with(chat("lengthy", &"Why? ".repeat(4000)), "seed", 1)
}

#[test]
fn gone_clients_free_their_places_wherever_their_requests_are() {
    let serving = Serving::new(&["--parallel", "2", "-b", "16"]);
    let asked = with(with(chat("id", "Who?"), "seed", 5), "max_tokens", 300);
    let asked = with(asked, "logit_bias", json!({"2": -100}));
    let alone = serving.ask(&asked);
    let idle = |serving: &Serving| {
        for name in ["requests_processing", "requests_deferred", "answers_open", "requests_open"] {
            serving.wait_for(name, |figure| figure == 0.0);
        }
    };
    for is_stream in [true, false] {
        let neighbour = serving.begin(&asked);
        // One that answers, one that waits behind it and goes first.
        let answering = serving.begin(&endless(is_stream));
        serving.wait_for("requests_processing", |n| n == 2.0);
        let waiting = serving.begin(&endless(is_stream));
        serving.wait_for("requests_deferred", |n| n == 1.0);
        drop(waiting);
        serving.wait_for("requests_deferred", |n| n == 0.0);
        drop(answering);
        // One whose prompt is being read: it is let go of long before its end.
        let before = serving.metric("prompt_tokens_total");
        let reading = serving.begin(&with(lengthy(), "stream", is_stream));
        serving.wait_for("prompt_tokens_total", |n| n > before + 64.0);
        drop(reading);
        let neighbour = neighbour.reply().json();
        assert_eq!(neighbour["choices"], alone["choices"]);
        idle(&serving);
        assert!(serving.metric("prompt_tokens_total") < before + 15_000.0);
    }
    assert!(serving.metric("answers_cancelled_total") >= 6.0);
}

#[test]
fn more_than_the_queue_takes_are_told_to_come_again() {
    let serving = Serving::new(&["--parallel", "1", "--max-queue", "1"]);
    let running = serving.begin(&endless(true));
    serving.wait_for("requests_processing", |n| n == 1.0);
    let waiting = serving.begin(&lasting(3, false));
    serving.wait_for("requests_deferred", |n| n == 1.0);
    let refused = serving.begin(&with(lasting(3, false), "user", "x".repeat(4_000_000))).reply();
    assert_eq!((refused.status, refused.code()), (503, "queue_full".into()));
    let seconds: u64 = refused.headers["retry-after"].parse().unwrap();
    assert!((1..=120).contains(&seconds) && !refused.headers.contains_key("x-should-retry"));
    // What needs no place is answered all the time.
    assert_eq!(serving.get("/health").status, 200);
    drop(running);
    assert_eq!(waiting.reply().status, 200);
    serving.wait_for("answers_open", |n| n == 0.0);
    // One that wants more than all places gets them where it is alone.
    let many = serving.ask(&with(lasting(3, false), "n", 7));
    assert_eq!(many["choices"].as_array().unwrap().len(), 7);
}

#[test]
fn slow_readers_hold_nobody_up() {
    let serving = Serving::new(&["--parallel", "4", "--max-queue", "0"]);
    // More than sockets hold, and nobody reads it.
    let logprobs = |request| with(with(request, "logprobs", true), "top_logprobs", 20);
    let slow = [(); 2].map(|()| serving.begin(&logprobs(lasting(3000, true))));
    let whole = serving.begin(&lasting(3000, false));
    serving.wait_for("tokens_predicted_total", |n| n > 100.0);
    assert_eq!(serving.ask(&chat("id", "Who?"))["object"], "chat.completion");
    // Their places are free when the engine is done with them, though they have read nothing.
    serving.wait_for("answers_open", |n| n == 0.0);
    let whole = whole.reply().json();
    for client in slow {
        let events = client.reply().events();
        let contents = events.iter().map(|event| &event["choices"][0]["delta"]["content"]);
        let content: String = contents.filter_map(|content| content.as_str()).collect();
        assert_eq!(whole["choices"][0]["message"]["content"], content);
    }
}

#[test]
fn nonsense_is_refused_and_leaves_nothing_behind() {
    let serving = Serving::new(&[]);
    let large = vec![b' '; (4 << 20) + 1];
    let reply = serving.send("POST", "/v1/completions", &[], &large);
    assert_eq!((reply.status, reply.code()), (413, "request_too_large".into()));
    let just = [json!({"prompt": "a", "max_tokens": 1}).to_string().into_bytes(), large].concat();
    let reply = serving.send("POST", "/v1/completions", &[], &just[..4 << 20]);
    assert_eq!(reply.status, 200, "{}", reply.text());
    // One that is announced is not waited for.
    let huge = [("Content-Length", "99999999999999")];
    assert_eq!(serving.send("POST", "/v1/completions", &huge, b"{").status, 413);
    for raw in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let mut client = Client::raw(serving.address, raw);
        client.line();
    }
    // Some go in the middle of what they say.
    for _ in 0..50 {
        let mut socket = TcpStream::connect(serving.address).unwrap();
        socket.write_all(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n{\"pro").unwrap();
        socket.shutdown(Shutdown::Both).unwrap();
    }
    serving.wait_for("requests_open", |n| n == 0.0);
    assert_eq!(serving.ask(&chat("id", "Why?"))["object"], "chat.completion");
}

#[test]
fn while_others_wait_their_streams_are_kept_alive() {
    let serving = Serving::new(&["--parallel", "1"]);
    let _running = serving.begin(&endless(true));
    serving.wait_for("requests_processing", |n| n == 1.0);
    let start = Instant::now();
    let mut waiting = serving.begin(&lasting(3, true));
    assert_eq!(waiting.head().0, 200);
    assert!(start.elapsed() < Duration::from_secs(9), "headers come at once");
    assert_eq!(waiting.line().unwrap(), ": ping");
}

/// While a long prompt is read in chunks, every step gives each answer its next token.
#[test]
fn long_prompts_hold_no_answer_up() {
    let serving = Serving::new(&["--parallel", "4", "-b", "16"]);
    let mut stream = serving.begin(&lasting(2000, true));
    stream.head();
    serving.wait_for("tokens_predicted_total", |n| n > 0.0);
    let (n_steps, n_tokens) =
        (serving.metric("steps_total"), serving.metric("tokens_predicted_total"));
    let lengthy = serving.ask(&with(
        with(lengthy(), "messages", json!([{"role": "user", "content": "Why? ".repeat(2000)}])),
        "max_tokens",
        1,
    ));
    let n_prompt = lengthy["usage"]["prompt_tokens"].as_f64().unwrap();
    let steps = serving.metric("steps_total") - n_steps;
    let tokens = serving.metric("tokens_predicted_total") - n_tokens;
    // Fifteen of its tokens go into a step beside one of the answer.
    assert!(n_prompt / 15.0 > 200.0 && steps >= n_prompt / 16.0, "{steps} for {n_prompt}");
    // The figures are looked at one after the other, between steps.
    assert!(tokens >= steps - 20.0, "{tokens} tokens in {steps} steps");
}

#[test]
fn a_server_that_is_to_stop_lets_answers_come_to_their_end() {
    let mut serving = Serving::new(&["--parallel", "2", "--grace", "100"]);
    let mut idle = Client::raw(serving.address, b"");
    let stream = serving.begin(&lasting(1500, true));
    serving.wait_for("requests_processing", |n| n == 1.0);
    serving.signal("TERM");
    let start = Instant::now();
    while serving.get("/health").status == 200 {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(5));
    }
    let refused = serving.begin(&lasting(3, false)).reply();
    assert_eq!((refused.status, refused.code()), (503, "server_stopping".into()));
    assert!(refused.headers.contains_key("retry-after"));
    let events = stream.reply().events();
    assert_eq!(events.last().unwrap()["choices"][0]["finish_reason"], "length");
    assert_eq!(serving.ended().code(), Some(0));
    assert_eq!(idle.line(), None);
}

#[test]
fn a_server_that_has_waited_long_enough_ends_answers() {
    let mut serving = Serving::new(&["--parallel", "1", "--grace", "0"]);
    let stream = serving.begin(&endless(true));
    serving.wait_for("requests_processing", |n| n == 1.0);
    let waiting = serving.begin(&endless(false));
    serving.wait_for("requests_deferred", |n| n == 1.0);
    serving.signal("INT");
    let text = stream.reply().text();
    let last = text.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    assert!(last.contains("\"server_stopping\"") && !text.contains("[DONE]"), "{last}");
    let reply = waiting.reply();
    assert_eq!((reply.status, reply.code()), (503, "server_stopping".into()));
    assert_eq!(serving.ended().code(), Some(0));
}

#[test]
fn a_server_without_a_model_says_that_it_is_being_loaded() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let access = Access::default();
    let config = Config { access, max_running: 1, max_queue: 1, deadline: None };
    let server = Server::start(listener, config).unwrap();
    for (method, path) in [("GET", "/health"), ("POST", "/v1/completions"), ("GET", "/v1/models")] {
        let reply = Client::new(address, method, path, &[], b"{}").reply();
        assert_eq!((reply.status, reply.code()), (503, "model_loading".into()), "{path}");
        assert!(reply.headers.contains_key("retry-after"));
    }
    assert!(server.stop(Duration::ZERO).is_empty());
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn common_beginnings_are_kept_for_the_next_run() {
    let args = ["--prompt-cache", "beginning.bin"];
    let mut serving = Serving::new(&args);
    let asked = |end: &str| chat("id", &("Once upon a time ".repeat(20) + end));
    let first = serving.ask(&with(asked("one"), "seed", 1));
    serving.ask(&asked("two"));
    serving.signal("TERM");
    assert_eq!(serving.ended().code(), Some(0));
    let folder = std::mem::replace(&mut serving.place.folder, tempfile::tempdir().unwrap());
    let serving = Serving::at(Workplace { folder }, &args);
    let again = serving.ask(&with(asked("one"), "seed", 1));
    assert_eq!(again["choices"], first["choices"]);
    assert!(
        again["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap() >= 64,
        "{again}"
    );
}
