//! `gatefold batch` with chat templates that depend on the date or on the machine.

use crate::batches::{Workplace, answer, chat, model_with};
use std::fs;

/// A run that goes on another day keeps its answers, unless it is told another date.
#[test]
fn dates_of_templates_are_those_that_are_given() {
    let place = Workplace::new();
    let template = "{{ strftime_now('%d %B %Y') }}: {{ messages[0].content }}";
    fs::write(place.path("model.gguf"), model_with("dated", Some(template))).unwrap();
    place.write("in.jsonl", &[chat("a", "Why?"), chat("b", "How?")]);
    let run = |args: &[&str]| {
        let (code, stderr) = place.batch(&[&["in.jsonl", "-o", "out.jsonl"], args].concat());
        assert_eq!(code, 0, "{stderr}");
        stderr
    };
    assert!(run(&[]).contains("the chat template tells the model the date, today 2"));
    assert!(run(&[]).contains("2 of 2 requests are done"));
    for date in ["2026-11-21", "2026-11-22"] {
        let stderr = run(&["--date", date]);
        assert!(stderr.contains("the model have changed: 2") && !stderr.contains("today"));
        assert!(run(&["--date", date]).contains("2 of 2 requests are done"));
    }
    // May has the shortest name, and September one of the longest.
    let n_tokens = |date| {
        run(&["--date", date]);
        let lines = place.lines("out.jsonl");
        answer(&lines, "a")["response"]["body"]["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert_eq!(n_tokens("2026-05-01") + 6, n_tokens("2026-09-01"));
}

/// What cannot be told of a request for good is tried again.
#[test]
fn templates_that_take_too_long_may_have_more_time_another_day() {
    let place = Workplace::new();
    let slow = "{% set l = range(90000)|list %}{% set m = l + l + l + l %}{% set n = m[0:] %}\
        {% for i in range(9000) %}{% if m is eq(n) %}{% endif %}{% endfor %}";
    fs::write(place.path("model.gguf"), model_with("slow", Some(slow))).unwrap();
    place.write("in.jsonl", &[chat("a", "Why?")]);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    let lines = place.lines("out.jsonl");
    assert_eq!(answer(&lines, "a")["response"]["status_code"], 500, "{lines:?}");
    assert_eq!(answer(&lines, "a")["error"]["code"], "template_stopped");
}
