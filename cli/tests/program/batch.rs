//! `gatefold batch` as a user meets it.

use crate::batches::{
    Workplace, answer, chat, choices, completion, lines, model, request, settled, with,
};
use crate::program::gatefold;
use gatefold::gguf::Gguf;
use serde_json::{Value as Json, json};
use std::fs;

#[test]
fn answers_have_the_shape_that_clients_expect() {
    let place = Workplace::new();
    place.write("in.jsonl", &[chat("a", "Why?"), completion("b", "Once upon")]);
    let stderr = place.succeeds();
    let told: Vec<&str> = stderr.lines().collect();
    assert!(
        matches!(told[..], [note, end]
        if note.starts_with("note: the model has no chat template, and its vocabulary tells of none")
            && end.starts_with("2 requests, 0 of them refused; ")),
        "{stderr}"
    );
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 2);

    for (custom_id, object) in [("a", "chat.completion"), ("b", "text_completion")] {
        let line = answer(&lines, custom_id);
        assert!(line["id"].as_str().unwrap().starts_with("batch_req_"), "{line}");
        assert_eq!(line["error"], Json::Null);
        let response = &line["response"];
        assert_eq!(response["status_code"], 200);
        assert!(response["request_id"].is_string());
        let body = &response["body"];
        assert_eq!((&body["object"], &body["model"]), (&json!(object), &json!("small")));
        assert!(body["created"].as_u64().unwrap() > 1_700_000_000);
        let tokens = |name: &str| body["usage"][name].as_u64().unwrap();
        assert!(tokens("prompt_tokens") > 4 && (1..=6).contains(&tokens("completion_tokens")));
        assert_eq!(tokens("total_tokens"), tokens("prompt_tokens") + tokens("completion_tokens"));
        let [choice] = choices(&lines, custom_id) else { panic!("{body}") };
        assert_eq!((&choice["index"], &choice["logprobs"]), (&json!(0), &Json::Null));
        assert!(["stop", "length"].contains(&choice["finish_reason"].as_str().unwrap()));
    }
    let message = &choices(&lines, "a")[0]["message"];
    assert_eq!(message["role"], "assistant");
    assert!(message["content"].is_string() && message["refusal"].is_null());
    assert!(choices(&lines, "b")[0]["text"].is_string());
}

/// The same prompt, the same answer, whichever command is asked.
#[test]
fn answers_are_those_of_run() {
    let place = Workplace::new();
    let greedy = |request| with(request, "temperature", 0);
    let long = |request| with(request, "max_tokens", 12);
    place.write(
        "in.jsonl",
        &[greedy(long(chat("chat", "Why?"))), greedy(long(completion("text", "Once upon")))],
    );
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl", "--cache-type", "f32"]);
    assert_eq!(code, 0, "{stderr}");
    let lines = place.lines("out.jsonl");
    let model = place.path("model.gguf");
    let run = |prompt: &str| {
        let model = model.to_str().unwrap();
        let args = ["run", "-m", model, "-n", "12", "--temp", "0", "--cache-type", "f32", "--json"];
        gatefold(&[&args[..], &["-p", prompt, "--raw"]].concat()).succeeded().json()
    };
    assert_eq!(choices(&lines, "text")[0]["text"], run("Once upon")["text"]);
    // The model has no template: Mistral's.
    let text = run("[INST] Why? [/INST]")["text"].as_str().unwrap().to_owned();
    let content = choices(&lines, "chat")[0]["message"]["content"].as_str().unwrap();
    assert_eq!(content, text.strip_prefix(' ').unwrap_or(&text));
}

#[test]
fn answers_depend_on_the_request_alone() {
    let place = Workplace::new();
    let requests: Vec<Json> =
        (0..12).map(|idx| chat(&format!("{idx}"), &"Why? ".repeat(idx))).collect();
    place.write("in.jsonl", &requests);
    place.succeeds();
    let expected = settled(place.lines("out.jsonl"));
    let reversed: Vec<Json> = requests.into_iter().rev().collect();
    place.write("in.jsonl", &reversed);
    for args in [["--parallel", "1"], ["--parallel", "5"], ["--isa", "scalar"], ["-b", "7"]] {
        let (code, stderr) = place.batch(&[&["in.jsonl", "-o", "other.jsonl"][..], &args].concat());
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(settled(place.lines("other.jsonl")), expected, "{args:?}");
        fs::remove_file(place.path("other.jsonl")).unwrap();
    }
}

#[test]
fn several_answers_have_seeds_that_follow_each_other() {
    let place = Workplace::new();
    let seeded = |id: &str, seed: i64, n: u64| {
        with(with(with(chat(id, "Why?"), "seed", seed), "n", n), "max_tokens", 12)
    };
    let texts = json!(["Once upon", "a time", [1, 262, 263]]);
    place.write(
        "in.jsonl",
        &[
            seeded("three", -1, 3),
            seeded("first", -1, 1),
            seeded("second", 0, 1),
            seeded("third", 1, 1),
            with(with(completion("texts", texts), "n", 2), "seed", 5),
            with(completion("text", json!([1, 262, 263])), "seed", 9),
        ],
    );
    place.succeeds();
    let lines = place.lines("out.jsonl");
    let three = choices(&lines, "three");
    let said = |choice: &Json| choice["message"]["content"].clone();
    assert_eq!(three.len(), 3);
    for (idx, id) in ["first", "second", "third"].into_iter().enumerate() {
        assert_eq!(three[idx]["index"], idx);
        assert_eq!(said(&three[idx]), said(&choices(&lines, id)[0]), "{id}");
    }
    assert!(said(&three[0]) != said(&three[1]) || said(&three[1]) != said(&three[2]));
    // All answers to the first text, then those to the second.
    let texts = choices(&lines, "texts");
    assert_eq!(texts.len(), 6);
    assert_eq!(texts[4]["text"], choices(&lines, "text")[0]["text"]);
    let usage = &answer(&lines, "texts")["response"]["body"]["usage"];
    assert_eq!(usage["prompt_tokens"], 1 + "▁Once▁upon".chars().count() + 1 + 6 + 3);
}

#[test]
fn a_bad_line_gets_its_own_error_and_the_rest_goes_on() {
    let place = Workplace::new();
    let long = "x".repeat(50_000_000);
    let cases: [(&str, String, &str); 18] = [
        ("", "no JSON".into(), "line 1: the line is not JSON: "),
        ("", "[1, 2]".into(), "line 2: the line is [1,2]; expected an object"),
        ("", format!("{{\"custom_id\": \"{long}\"}}"), "line 3: the line has 50000018 bytes"),
        ("", "\u{1}\u{0}\u{ff}".into(), "line 4: the line is not JSON: "),
        ("", json!({"custom_id": 5}).to_string(), "line 5: custom_id is 5; expected a string"),
        ("m", json!({"custom_id": "m"}).to_string(), "line 6: method is missing"),
        (
            "u",
            request("u", "/v1/embeddings", json!({})).to_string(),
            "url is \"/v1/embeddings\"; expected",
        ),
        (
            "b",
            request("b", "/v1/completions", json!("x")).to_string(),
            "body is \"x\"; expected an object",
        ),
        ("p", request("p", "/v1/completions", json!({})).to_string(), "body.prompt is missing"),
        ("g", chat("good", "Again?").to_string(), "the same custom_id"),
        (
            "t",
            with(chat("t", "?"), "temperature", "hot").to_string(),
            "body.temperature is \"hot\"; expected a number from 0 to 2",
        ),
        (
            "f",
            with(completion("f", "?"), "suffix", "!").to_string(),
            "body.suffix is \"!\", which gatefold does not do",
        ),
        ("x", with(chat("x", "?"), "top_hat", 1).to_string(), "body.top_hat is not known"),
        (
            "s",
            with(chat("s", "?"), "stop", vec!["a"; 65]).to_string(),
            "body.stop is an array of 65",
        ),
        (
            "i",
            with(
                chat("i", "?"),
                "messages",
                json!([{"role": "user", "content": [{"type": "image_url"}]}]),
            )
            .to_string(),
            "body.messages[0].content is",
        ),
        (
            "r",
            with(chat("r", "?"), "messages", json!([{"role": "critic", "content": "?"}]))
                .to_string(),
            "body.messages[0].role is",
        ),
        ("v", completion("v", json!([1, 999_999])).to_string(), "has token 999999"),
        ("c", completion("c", "a ".repeat(40_000)).to_string(), "32768"),
    ];
    let mut text: String = cases.iter().map(|(_, line, _)| format!("{line}\n")).collect();
    let good = chat("good", "Why?").to_string();
    // The good one comes before the line that has its name, and blank lines are no lines.
    let at = text.find(&cases[9].1).unwrap();
    text.insert_str(at, &format!("{good}\r\n \n"));
    fs::write(place.path("in.jsonl"), text).unwrap();

    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("19 requests, 18 of them refused"), "{stderr}");
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 19);
    for (_, line, message) in &cases {
        let shown = &line[..line.len().min(200)];
        let found = lines.iter().find(|answer| {
            answer["error"]["message"].as_str().is_some_and(|found| found.contains(message))
        });
        let found = found.unwrap_or_else(|| panic!("{shown}: {message}"));
        assert_eq!(found["response"]["status_code"], 400, "{shown}");
        let error = &found["response"]["body"]["error"];
        assert_eq!(error["message"], found["error"]["message"]);
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["code"], found["error"]["code"]);
    }
    assert_eq!(lines.iter().filter(|line| line["response"]["status_code"] == 200).count(), 1);

    // What was refused is refused for good.
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("19 of 19 requests are done"), "{stderr}");
    assert_eq!(place.lines("out.jsonl"), lines);
}

#[test]
fn what_changed_is_done_again_and_the_rest_is_not() {
    let place = Workplace::new();
    let mut requests: Vec<Json> = (0..4).map(|idx| chat(&format!("{idx}"), "Why?")).collect();
    requests[2] = with(requests[2].clone(), "temperature", 9);
    place.write("in.jsonl", &requests);
    let (code, _) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2);
    let before = place.lines("out.jsonl");

    requests[1] = chat("1", "Why not?");
    requests[2] = chat("2", "Why?");
    requests.push(completion("4", "Once"));
    place.write("in.jsonl", &requests);
    let stderr = place.succeeds();
    assert!(stderr.contains("2 of 5 requests are done"), "{stderr}");
    assert!(stderr.contains("the model have changed: 2"), "{stderr}");
    let after = place.lines("out.jsonl");
    assert_eq!(after.len(), 5);
    for id in ["0", "3"] {
        assert_eq!(answer(&after, id), answer(&before, id));
    }
    assert_ne!(answer(&after, "1")["id"], answer(&before, "1")["id"]);
    fs::remove_file(place.path("out.jsonl")).unwrap();
    place.succeeds();
    assert_eq!(settled(place.lines("out.jsonl")), settled(after.clone()));

    // Requests that are gone keep their answers.
    place.write("in.jsonl", &requests[1..]);
    let stderr = place.succeeds();
    assert!(stderr.contains("not in the input: 1"), "{stderr}");
    assert_eq!(settled(place.lines("out.jsonl")), settled(after));

    // Another model does all again.
    fs::write(place.path("model.gguf"), model("another")).unwrap();
    place.write("in.jsonl", &requests);
    let stderr = place.succeeds();
    assert!(stderr.contains("the model have changed: 5"), "{stderr}");
    let lines = place.lines("out.jsonl");
    assert!(lines.iter().all(|line| line["response"]["body"]["model"] == "another"));
}

/// How long answers may be is the matter of those requests alone that do not say.
#[test]
fn the_default_length_is_part_of_requests_without_one() {
    let place = Workplace::new();
    let mut open = chat("open", "Why?");
    open["body"].as_object_mut().unwrap().remove("max_tokens");
    place.write("in.jsonl", &[chat("a", "Why?"), completion("b", "Once"), open]);
    let run = |n| place.batch(&["in.jsonl", "-o", "out.jsonl", "-n", n]);
    assert_eq!(run("3").0, 0);
    let (_, stderr) = run("4");
    assert!(stderr.contains("2 of 3 requests are done"), "{stderr}");
    assert_eq!(place.lines("out.jsonl").len(), 3);
    assert!(run("4").1.contains("3 of 3 requests are done"));
}

/// What failed through no fault of the request is tried again, by a run that may have more luck.
#[test]
fn faults_of_the_machine_are_not_for_good() {
    let place = Workplace::new();
    let mut whole = chat("whole", "Why?");
    whole["body"].as_object_mut().unwrap().remove("max_tokens");
    place.write("in.jsonl", &[chat("short", "Why?"), with(whole, "stop", " ")]);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl", "--memory", "2M"]);
    assert_eq!(code, 2, "{stderr}");
    let before = place.lines("out.jsonl");
    let refused = answer(&before, "whole");
    assert_eq!(refused["response"]["status_code"], 500);
    assert_eq!(refused["error"]["code"], "out_of_memory");
    let stderr = place.succeeds();
    assert!(stderr.contains("1 of 2 requests are done"), "{stderr}");
    assert!(stderr.contains("no fault of their own: 1"), "{stderr}");
    let after = place.lines("out.jsonl");
    assert_eq!(answer(&after, "short"), answer(&before, "short"));
    assert_eq!(choices(&after, "whole").len(), 1);

    // A damaged model is no reason to give up in the middle.
    let model = place.path("model.gguf");
    let norm = Gguf::open(&model).unwrap().tensor("output_norm.weight").unwrap().offset as usize;
    let mut bytes = fs::read(&model).unwrap();
    bytes[norm..norm + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&model, bytes).unwrap();
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    for line in place.lines("out.jsonl") {
        assert_eq!(line["response"]["status_code"], 500, "{line}");
        assert_eq!(line["response"]["body"]["error"]["type"], "server_error");
    }
}

#[test]
fn stdin_to_stdout() {
    let place = Workplace::new();
    let requests = [chat("a", "Why?"), chat("b", "How?")];
    place.write("in.jsonl", &requests);
    let mut command = place.command(&["-"]);
    command.stdin(fs::File::open(place.path("in.jsonl")).unwrap());
    command.stdout(fs::File::create(place.path("stdout")).unwrap());
    assert!(command.status().unwrap().success());
    place.succeeds();
    assert_eq!(settled(lines(&place.path("stdout"))), settled(place.lines("out.jsonl")));
}

#[test]
fn stop_strings_end_answers() {
    let place = Workplace::new();
    let long = with(with(completion("long", "Once upon"), "max_tokens", 40), "seed", 1);
    place.write("in.jsonl", std::slice::from_ref(&long));
    place.succeeds();
    let text = choices(&place.lines("out.jsonl"), "long")[0]["text"].as_str().unwrap().to_owned();
    let stop = text.chars().nth(3).unwrap().to_string();
    place.write("in.jsonl", &[with(long, "stop", stop.clone())]);
    place.succeeds();
    let lines = place.lines("out.jsonl");
    let choice = &choices(&lines, "long")[0];
    assert_eq!(choice["text"], text[..text.find(&stop).unwrap()]);
    assert_eq!(choice["finish_reason"], "stop");
}

#[test]
fn what_cannot_be_used_is_refused_before_any_work() {
    let place = Workplace::new();
    place.write("in.jsonl", &[chat("a", "Why?")]);
    let content = fs::read(place.path("in.jsonl")).unwrap();
    let mut refused = vec![
        (["none.jsonl", "-o", "out.jsonl"], "none.jsonl cannot be read"),
        (["in.jsonl", "-o", "none/out.jsonl"], "out.jsonl cannot be opened for writing"),
        (["in.jsonl", "-o", "."], ". is a folder"),
        (["in.jsonl", "-o", "in.jsonl"], "in.jsonl has other things in it"),
        (["in.jsonl", "-o", "model.gguf"], "model.gguf has other things in it"),
    ];
    let read_only = place.path("read-only.jsonl");
    fs::write(&read_only, "").unwrap();
    let mut permissions = fs::metadata(&read_only).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&read_only, permissions).unwrap();
    // To some users, such as root, nothing is read-only.
    if fs::File::options().append(true).open(&read_only).is_err() {
        refused.push((
            ["in.jsonl", "-o", "read-only.jsonl"],
            "read-only.jsonl cannot be opened for writing",
        ));
    }
    for (args, why) in refused {
        let (code, stderr) = place.batch(&args);
        assert_eq!(code, 1, "{args:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(why), "{args:?}: {stderr}");
    }
    assert_eq!(fs::read(place.path("in.jsonl")).unwrap(), content);
    // Not even the model is read for an output that cannot be.
    fs::remove_file(place.path("model.gguf")).unwrap();
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "none/out.jsonl"]);
    assert!(code == 1 && stderr.contains("out.jsonl cannot be opened for writing"), "{stderr}");
}
