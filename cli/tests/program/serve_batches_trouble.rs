//! Batches that do not go on: others do, and they can be cancelled.

use crate::batches::{Workplace, chat, with};
use crate::serve_batches::{DATA, all_rows, create, is_over, look, requests, wait_for};
use crate::serving::{Serving, endless};
use serde_json::{Value as Json, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

fn results(serving: &Serving, batch: &Json) -> std::path::PathBuf {
    serving.place.path(&format!("data/batches/{}.jsonl", batch["id"].as_str().unwrap()))
}

#[test]
fn a_batch_that_cannot_go_on_stops_no_other_and_can_be_cancelled() {
    let mut serving = Serving::new(&DATA);
    let endless = with(endless(false), "stream", Json::Null);
    let first = create(&serving, &[requests(5), vec![endless]].concat());
    wait_for(&serving, &first, |batch| batch["request_counts"]["completed"] == 4);
    let second = create(&serving, &requests(20));
    // Somebody writes into its results while there is no server.
    serving.stop();
    let mut there = OpenOptions::new().append(true).open(results(&serving, &first)).unwrap();
    there.write_all(b"{\"mine\": 1}\n").unwrap();
    let serving = serving.again(&DATA);
    let done = wait_for(&serving, &second, is_over);
    assert_eq!(done["status"], "completed");
    assert_eq!(all_rows(&serving, &done).len(), 20);
    let stuck = wait_for(&serving, &first, |batch| !batch["errors"].is_null());
    assert_eq!(
        (&stuck["status"], stuck["errors"]["data"].as_array().unwrap().len()),
        (&json!("in_progress"), 1)
    );
    assert!(
        stuck["errors"]["data"][0]["message"].as_str().unwrap().starts_with("line 6 "),
        "{stuck}"
    );
    assert!(!stuck["errors"].to_string().contains('/'), "{stuck}");
    let path = format!("/v1/batches/{}/cancel", first["id"].as_str().unwrap());
    assert_eq!(serving.post(&path, &json!({})).status, 200);
    let start = Instant::now();
    let ended = wait_for(&serving, &first, is_over);
    assert!(start.elapsed() < Duration::from_secs(9), "it waits for its pause");
    assert_eq!((&ended["status"], &ended["output_file_id"]), (&json!("cancelled"), &Json::Null));
    assert_eq!(ended["errors"], stuck["errors"]);
}

/// What was answered is counted from the start of the next server on, whatever that does first.
#[test]
fn counts_outlive_the_server() {
    let mut serving = Serving::new(&DATA);
    let endless = with(endless(false), "stream", Json::Null);
    let lines = [requests(5), vec![endless]].concat();
    let batch = create(&serving, &lines);
    wait_for(&serving, &batch, |batch| batch["request_counts"]["completed"] == 4);
    serving.stop();
    let mut there = OpenOptions::new().append(true).open(results(&serving, &batch)).unwrap();
    // With this it does not go on, so that nothing else counts.
    there.write_all(b"{\"mine\": 1}\n").unwrap();
    let serving = serving.again(&DATA);
    let counts = json!({"total": 6, "completed": 4, "failed": 1});
    assert_eq!(look(&serving, &batch)["request_counts"], counts);
}

/// A row may take its time before the engine has it, as with a template that runs long.
#[cfg(unix)]
#[test]
fn a_server_ends_in_time_whatever_a_batch_is_at() {
    let place = Workplace::new();
    let slow = "{% for message in messages %}{% if message.content == 'slow' %}\
        {% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}{% endif %}\
        {{ message.content }}{% endfor %}";
    fs::write(place.path("slow.jinja"), slow).unwrap();
    let args = [&DATA[..], &["--grace", "1", "--chat-template", "slow.jinja"]].concat();
    let mut serving = Serving::at(place, &args);
    let rows: Vec<Json> = (0..100).map(|idx| chat(&format!("{idx}"), "slow")).collect();
    let batch = create(&serving, &rows);
    wait_for(&serving, &batch, |batch| batch["status"] == "in_progress");
    thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    serving.signal("TERM");
    assert_eq!(serving.ended().code(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
