//! What a batch says of requests without an answer, and how it ends then.

use crate::batches::{Workplace, answer, chat, completion, with};
use crate::program::{gatefold, gatefold_reading};
use serde_json::json;

#[test]
fn reasons_are_told_beside_counts() {
    let place = Workplace::new();
    let bad = |id: &str| with(chat(id, "?"), "messages", json!(null));
    let hot = with(chat("c", "?"), "temperature", 9);
    place.write("in.jsonl", &[bad("a"), chat("b", "Why?"), hot, bad("d")]);
    let said = "3 requests failed: 2 × body.messages is missing (lines 1, 4), 1 × body.temperature is 9; expected a number from 0 to 2 (line 3)\n";
    // A run that goes on tells of those that an earlier one has refused.
    for _ in 0..2 {
        let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
        assert_eq!(code, 2);
        assert!(stderr.contains(said), "{stderr}");
        assert!(stderr.contains("\n4 requests, 3 of them refused; "), "{stderr}");
    }
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl", "--ok-exit"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains("4 of 4 requests are done, 3 of them refused\n"), "{stderr}");
    place.write("in.jsonl", &[chat("b", "Why?")]);
    assert!(!place.succeeds().contains("failed"));
}

#[test]
fn names_in_messages_are_not_lost_silently() {
    let place = Workplace::new();
    let message = |name: &str| json!([{"role": "user", "content": "Why?", "name": name}]);
    let named = with(chat("a", "?"), "messages", message("Ada"));
    place.write("in.jsonl", &[named, with(chat("b", "?"), "messages", message(""))]);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("1 × body.messages[0].name is \"Ada\", and the model"), "{stderr}");
    let lines = place.lines("out.jsonl");
    let error = &answer(&lines, "a")["response"]["body"]["error"];
    assert_eq!(error["param"], "body.messages[0].name");
    assert_eq!(answer(&lines, "b")["response"]["status_code"], 200);
}

#[test]
fn models_are_called_as_requests_call_them() {
    let place = Workplace::new();
    let of = |id: &str, model: &str| with(completion(id, "Once"), "model", model);
    place.write("in.jsonl", &[of("a", "gpt-4o"), of("b", "mixtral"), completion("c", "Once")]);
    let model = |id: &str| {
        let lines = place.lines("out.jsonl");
        answer(&lines, id)["response"]["body"]["model"].clone()
    };
    place.succeeds();
    assert_eq!(["a", "b", "c"].map(model), ["gpt-4o", "mixtral", "small"]);

    let run = |name: &str| place.batch(&["in.jsonl", "-o", "out.jsonl", "--model-name", name]);
    for (name, other, code) in [("mixtral", "a", 2), ("gpt-4o", "b", 2)] {
        let (found, stderr) = run(name);
        assert_eq!(found, code, "{stderr}");
        let lines = place.lines("out.jsonl");
        let response = &answer(&lines, other)["response"];
        assert_eq!(response["status_code"], 404);
        let error = &response["body"]["error"];
        assert_eq!(
            (&error["code"], &error["param"]),
            (&json!("model_not_found"), &json!("body.model"))
        );
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&format!("expected {name:?}, the model that runs")), "{message}");
        assert_eq!(lines.len(), 3);
    }
    // With another name, none of what was refused before stays refused for the old one.
    let (_, stderr) = run("other");
    assert!(stderr.contains("body.model is \"gpt-4o\"; expected \"other\""), "{stderr}");
    place.succeeds();
    assert_eq!(["a", "b", "c"].map(model), ["gpt-4o", "mixtral", "small"]);
}

#[test]
fn requests_may_be_piped_in() {
    let run = gatefold_reading(&completion("a", "Once").to_string(), &["batch"]).succeeded();
    assert_eq!(run.json()["custom_id"], "a");
    let run = gatefold(&["batch"]);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("there are no requests: stdin is empty"), "{}", run.stderr);
}
