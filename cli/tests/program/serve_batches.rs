//! Batches of `gatefold serve`: the rows of `gatefold batch`, whatever happens to the server.

use crate::batches::{Workplace, chat, completion, lines, request, settled, with};
use crate::serving::{LONG, Serving, command, endless};
use serde_json::{Value as Json, json};
use std::fs;
use std::mem;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

pub const DATA: [&str; 4] = ["--data-dir", "data", "--parallel", "3"];

/// Requests to chats of all kinds, some of which are refused for what is in their bodies.
pub fn requests(n_requests: usize) -> Vec<Json> {
    let row = |idx: usize| {
        let id = format!("{idx}");
        match idx % 5 {
            0 => with(chat(&id, "Why?"), "temperature", 7),
            1 => with(chat(&id, &"Once upon a time ".repeat(idx % 7)), "logprobs", true),
            2 => with(chat(&id, "Which?"), "n", 2),
            _ => with(chat(&id, &format!("What is {idx} squared?")), "max_tokens", 1 + idx % 20),
        }
    };
    (0..n_requests).map(row).collect()
}

pub fn text(lines: &[Json]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes()
}

/// Asks for a batch of these lines.
pub fn create(serving: &Serving, lines: &[Json]) -> Json {
    create_for(serving, "/v1/chat/completions", lines)
}

/// Asks for a batch of lines that go to this endpoint.
pub fn create_for(serving: &Serving, endpoint: &str, lines: &[Json]) -> Json {
    let input = serving.upload(&text(lines));
    let asked = json!({
        "input_file_id": input["id"], "endpoint": endpoint,
        "completion_window": "24h", "metadata": {"name": "a test"},
    });
    let reply = serving.post("/v1/batches", &asked);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// What is known of a batch.
pub fn look(serving: &Serving, batch: &Json) -> Json {
    serving.get(&format!("/v1/batches/{}", batch["id"].as_str().unwrap())).json()
}

/// Waits until a batch is what it is expected to be.
pub fn wait_for(serving: &Serving, batch: &Json, expected: impl Fn(&Json) -> bool) -> Json {
    let start = Instant::now();
    loop {
        let found = look(serving, batch);
        if expected(&found) {
            return found;
        }
        assert!(start.elapsed() < LONG, "{found}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn is_over(batch: &Json) -> bool {
    ["completed", "failed", "cancelled"].contains(&batch["status"].as_str().unwrap())
}

/// The rows of a file of results; none if there is no such file.
pub fn rows(serving: &Serving, id: &Json) -> Vec<Json> {
    let Some(id) = id.as_str() else { return Vec::new() };
    let reply = serving.get(&format!("/v1/files/{id}/content"));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// All rows of a batch that is over, which are where they belong.
pub fn all_rows(serving: &Serving, batch: &Json) -> Vec<Json> {
    let [answers, faults] = ["output_file_id", "error_file_id"].map(|id| rows(serving, &batch[id]));
    assert!(
        answers.iter().all(|row| row["response"]["status_code"] == 200 && row["error"].is_null())
    );
    assert!(
        faults.iter().all(|row| row["response"]["status_code"] != 200 && row["error"].is_object())
    );
    let counts = &batch["request_counts"];
    assert_eq!(
        (&counts["completed"], &counts["failed"]),
        (&json!(answers.len()), &json!(faults.len()))
    );
    [answers, faults].concat()
}

/// The rows of `gatefold batch`.
fn expected(serving: &Serving, requests: &[Json]) -> Vec<String> {
    serving.place.write("in.jsonl", requests);
    let (code, said) = serving.place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert!(code == 0 || code == 2, "{said}");
    settled(lines(&serving.place.path("out.jsonl")))
}

#[test]
fn a_batch_has_the_rows_of_gatefold_batch() {
    let serving = Serving::new(&DATA);
    let requests = requests(40);
    let created = create(&serving, &requests);
    assert_eq!((&created["object"], &created["status"]), (&json!("batch"), &json!("validating")));
    assert_eq!(created["request_counts"], json!({"total": 0, "completed": 0, "failed": 0}));
    let done = wait_for(&serving, &created, is_over);
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(done["request_counts"], json!({"total": 40, "completed": 32, "failed": 8}));
    assert_eq!(settled(all_rows(&serving, &done)), expected(&serving, &requests));
    for time in ["created_at", "in_progress_at", "finalizing_at", "completed_at"] {
        assert!(done[time].is_u64(), "{time}");
    }
    for time in ["expires_at", "expired_at", "failed_at", "cancelled_at", "errors"] {
        assert_eq!(done[time], Json::Null, "{time}");
    }
    assert_eq!(
        (&done["metadata"], &done["completion_window"]),
        (&json!({"name": "a test"}), &json!("24h"))
    );
    let output =
        serving.get(&format!("/v1/files/{}", done["output_file_id"].as_str().unwrap())).json();
    assert_eq!(output["purpose"], "batch_output");
    assert_eq!(output["filename"], format!("{}_output.jsonl", done["id"].as_str().unwrap()));
    assert_eq!((serving.metric("batch_rows_total"), serving.metric("batches_open")), (40.0, 0.0));
    assert_eq!(fs::read_dir(serving.place.path("data/batches")).unwrap().count(), 1);

    let second = wait_for(&serving, &create(&serving, &requests[1..3]), is_over);
    assert_eq!((&second["status"], &second["error_file_id"]), (&json!("completed"), &Json::Null));
    let page = serving.get("/v1/batches?limit=1").json();
    assert_eq!((&page["data"], &page["has_more"]), (&json!([second]), &json!(true)));
    let rest = serving.get(&format!("/v1/batches?after={}", page["last_id"].as_str().unwrap()));
    assert_eq!(rest.json()["data"], json!([done]));
    // Over is over.
    let path = format!("/v1/batches/{}/cancel", done["id"].as_str().unwrap());
    assert_eq!(serving.post(&path, &json!({})).code(), "batch_is_over");
    // It is all the same to the next server.
    let serving = serving.again(&DATA);
    assert_eq!(look(&serving, &done), done);
}

/// Killed in the middle again and again, a batch ends in the same rows, and those that it had stay as they
/// were.
#[cfg(unix)]
#[test]
fn a_killed_server_goes_on_with_its_batches() {
    let mut serving = Serving::new(&DATA);
    let requests = requests(120);
    let expected = expected(&serving, &requests);
    let n_bytes = fs::metadata(serving.place.path("out.jsonl")).unwrap().len();
    let batch = create(&serving, &requests);
    let behind = create(&serving, &requests[1..3]);
    let results = format!("data/batches/{}.jsonl", batch["id"].as_str().unwrap());
    let mut kept: Vec<String> = Vec::new();
    for kill in 1..=5 {
        let path = serving.place.path(&results);
        let start = Instant::now();
        while fs::metadata(&path).map_or(0, |there| there.len()) < n_bytes * kill / 6 {
            assert!(start.elapsed() < LONG);
            thread::sleep(Duration::from_micros(300));
        }
        serving = serving.again(&DATA);
        let now = crate::kills::whole_lines(&path);
        assert!(now.starts_with(&kept) && now.len() < requests.len(), "kill {kill}");
        kept = now;
    }
    assert_eq!(look(&serving, &batch)["status"], "in_progress");
    let done = wait_for(&serving, &batch, is_over);
    assert_eq!(done["status"], "completed", "{done}");
    let found = all_rows(&serving, &done);
    let told: Vec<String> = found.iter().map(Json::to_string).collect();
    for line in kept {
        let line: Json = serde_json::from_str(&line).unwrap();
        assert!(told.contains(&line.to_string()));
    }
    assert_eq!(settled(found), expected);
    assert_eq!(wait_for(&serving, &behind, is_over)["status"], "completed");
    assert_eq!(serving.get("/v1/files").json()["data"].as_array().unwrap().len(), 5);
}

/// A limit on the size of files stands for a disk that is full: the batch waits, and goes on where there is
/// room again.
#[cfg(unix)]
#[test]
fn a_batch_waits_where_the_disk_is_full() {
    let place = Workplace::new();
    let serve = command(&place, &DATA);
    let mut limited = Command::new("sh");
    limited.current_dir(place.folder.path()).args(["-c", "ulimit -f 120; exec \"$@\"", "sh"]);
    limited.arg(serve.get_program()).args(serve.get_args());
    let serving = Serving::of(place, limited);
    // Their answers are longer than they are.
    let requests: Vec<Json> =
        requests(200).into_iter().map(|request| with(request, "n", 4)).collect();
    let expected = expected(&serving, &requests);
    assert!(fs::metadata(serving.place.path("out.jsonl")).unwrap().len() > 150_000);
    let batch = create(&serving, &requests);
    wait_for(&serving, &batch, |batch| batch["request_counts"]["completed"] != 0);
    let mut n_bytes = 0;
    let results =
        serving.place.path(&format!("data/batches/{}.jsonl", batch["id"].as_str().unwrap()));
    // Until it grows no more.
    loop {
        thread::sleep(Duration::from_secs(1));
        let n_now = fs::metadata(&results).unwrap().len();
        if mem::replace(&mut n_bytes, n_now) == n_now {
            break;
        }
    }
    let full = look(&serving, &batch);
    assert_eq!(full["status"], "in_progress", "{full}");
    assert_eq!(full["errors"]["data"][0]["code"], "storage_full", "{full}");
    assert!(!full["errors"].to_string().contains('/'), "{full}");
    assert_eq!(serving.ask(&chat("id", "Why?"))["object"], "chat.completion");
    let serving = serving.again(&DATA);
    let done = wait_for(&serving, &batch, is_over);
    assert_eq!(done["status"], "completed", "{done}");
    assert_eq!(settled(all_rows(&serving, &done)), expected);
}

/// A line, and what is wrong with it.
type LineError = (Option<u64>, &'static str);

#[test]
fn an_input_that_is_no_batch_fails_as_a_whole() {
    let serving = Serving::new(&DATA);
    let good = chat("good", "Why?");
    let mut other = good.clone();
    other["method"] = "GET".into();
    let wrong_twice = with(completion("x", "x"), "temperature", 7);
    let cases: [(&[u8], &[LineError]); 5] = [
        (b"", &[(None, "empty_file")]),
        (b"\n \n", &[(None, "empty_file")]),
        (&text(&[good.clone(), wrong_twice]), &[(Some(2), "invalid_value")]),
        (b"{}\nnonsense\n", &[(Some(1), "missing_required_parameter"), (Some(2), "invalid_json")]),
        (
            &[
                text(&[good.clone(), completion("other", "x")]),
                b"\n".to_vec(),
                text(&[good, other, json!([]), request("z", "/v1/none", json!({}))]),
            ]
            .concat(),
            &[
                (Some(2), "invalid_value"),
                (Some(4), "duplicate_custom_id"),
                (Some(5), "duplicate_custom_id"),
                (Some(6), "invalid_type"),
                (Some(7), "invalid_value"),
            ],
        ),
    ];
    for (input, expected) in cases {
        let input = serving.upload(input);
        let asked = json!({
            "input_file_id": input["id"], "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
        });
        let failed = wait_for(&serving, &serving.post("/v1/batches", &asked).json(), is_over);
        assert_eq!(failed["status"], "failed");
        assert!(failed["failed_at"].is_u64() && failed["output_file_id"].is_null());
        let errors = failed["errors"]["data"].as_array().unwrap();
        let found: Vec<_> = errors
            .iter()
            .map(|error| (error["line"].as_u64(), error["code"].as_str().unwrap()))
            .collect();
        assert_eq!(found, expected, "{errors:?}");
        assert!(errors.iter().all(|error| error["message"].is_string()));
        let are_urls = errors.iter().filter(|error| error["code"] == "invalid_value");
        assert!(are_urls.into_iter().all(|error| error["param"] == "url"), "{errors:?}");
    }
}

#[test]
fn what_is_asked_of_batches_is_checked() {
    let serving = Serving::new(&DATA);
    let input = serving.upload(&text(&[chat("one", "Why?")]));
    let asked = json!({
        "input_file_id": input["id"], "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
    });
    let pairs: serde_json::Map<String, Json> =
        (0..17).map(|idx| (idx.to_string(), "x".into())).collect();
    for (name, value, status) in [
        ("input_file_id", Json::Null, 400),
        ("input_file_id", json!(5), 400),
        ("input_file_id", json!("file-0123456789abcdef01234567"), 404),
        ("input_file_id", json!("../lock"), 404),
        ("endpoint", json!("/v1/embeddings"), 400),
        ("endpoint", Json::Null, 400),
        ("completion_window", json!("1h"), 400),
        ("completion_window", Json::Null, 400),
        ("metadata", json!({"a": 1}), 400),
        ("metadata", json!({"a": "x".repeat(513)}), 400),
        ("metadata", Json::Object(pairs), 400),
        ("output_expires_after", json!({"anchor": "created_at", "seconds": 3600}), 400),
        ("other", json!(1), 400),
    ] {
        let mut asked = asked.clone();
        asked[name] = value;
        let reply = serving.post("/v1/batches", &asked);
        assert_eq!(reply.status, status, "{asked}: {}", reply.text());
        reply.code();
    }
    let done = wait_for(&serving, &serving.post("/v1/batches", &asked).json(), is_over);
    let mut output = asked.clone();
    output["input_file_id"] = done["output_file_id"].clone();
    assert_eq!(serving.post("/v1/batches", &output).code(), "invalid_value");
    assert_eq!(serving.get("/v1/batches?limit=101").status, 400);
    assert_eq!(serving.get("/v1/batches/batch_0123456789abcdef01234567").code(), "batch_not_found");
}

#[test]
fn a_cancelled_batch_keeps_what_it_has() {
    let serving = Serving::new(&DATA);
    let endless = with(endless(false), "stream", Json::Null);
    let requests = [requests(5), vec![endless]].concat();
    let batch = create(&serving, &requests);
    let waiting = create(&serving, &requests);
    let cancel = |batch: &Json| {
        serving.post(&format!("/v1/batches/{}/cancel", batch["id"].as_str().unwrap()), &json!({}))
    };
    wait_for(&serving, &batch, |batch| batch["request_counts"]["completed"] == 4);
    // Its input is needed, until it is over.
    let input = format!("/v1/files/{}", batch["input_file_id"].as_str().unwrap());
    let refused = serving.send("DELETE", &input, &[], b"");
    assert_eq!((refused.status, refused.code()), (400, "file_in_use".into()));
    for batch in [&waiting, &batch] {
        let reply = cancel(batch).json();
        assert_eq!(reply["status"], "cancelling", "{reply}");
    }
    let done = wait_for(&serving, &batch, is_over);
    assert_eq!(done["status"], "cancelled", "{done}");
    assert!(done["cancelling_at"].is_u64() && done["cancelled_at"].is_u64());
    assert_eq!(done["request_counts"], json!({"total": 6, "completed": 4, "failed": 1}));
    assert_eq!(all_rows(&serving, &done).len(), 5);
    let waiting = wait_for(&serving, &waiting, is_over);
    assert_eq!(
        (&waiting["status"], &waiting["output_file_id"]),
        (&json!("cancelled"), &Json::Null)
    );
    assert_eq!(cancel(&done).code(), "batch_is_over");
    assert_eq!(serving.send("DELETE", &input, &[], b"").status, 200);
    serving.wait_for("batches_open", |n| n == 0.0);
}

/// Somebody who asks while a batch runs has the answer of before, and the batch goes on behind. (In which
/// steps is a matter of the engine, and of its tests.)
#[test]
fn a_batch_waits_for_whoever_asks() {
    let serving = Serving::new(&["--data-dir", "data", "--parallel", "4", "-b", "16"]);
    let rows: Vec<Json> = (0..200)
        .map(|idx| with(chat(&format!("{idx}"), &"Why? ".repeat(10)), "max_tokens", 30))
        .collect();
    let alone = serving.ask(&crate::serving::lasting(100, false));
    let batch = create(&serving, &rows);
    wait_for(&serving, &batch, |batch| batch["request_counts"]["completed"] != 0);
    let beside = serving.ask(&crate::serving::lasting(100, false));
    assert_eq!(beside["choices"], alone["choices"]);
    assert!(!is_over(&look(&serving, &batch)), "the batch was over too soon");
    assert_eq!(serving.metric("requests_deferred"), 0.0);
    let done = wait_for(&serving, &batch, is_over);
    assert_eq!(done["request_counts"], json!({"total": 200, "completed": 200, "failed": 0}));
}
