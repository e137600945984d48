//! `/v1/responses` of `gatefold serve`: another form of what chats answer.

use crate::batches::{chat, with};
use crate::serving::Serving;
use serde_json::{Value as Json, json};

/// What is asked, with some fields set.
pub fn asked(fields: Json) -> Json {
    let mut asked = json!({"input": "Why?", "max_output_tokens": 40, "seed": 3});
    asked.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    asked
}

#[track_caller]
pub fn respond(serving: &Serving, fields: Json) -> Json {
    let reply = serving.post("/v1/responses", &asked(fields));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// The one text of an answer.
pub fn part(response: &Json) -> &Json {
    let [message] = response["output"].as_array().unwrap().as_slice() else { panic!("{response}") };
    assert_eq!((&message["type"], &message["role"]), (&json!("message"), &json!("assistant")));
    assert!(message["id"].as_str().unwrap().starts_with("msg_"));
    let [part] = message["content"].as_array().unwrap().as_slice() else { panic!("{message}") };
    assert_eq!((&part["type"], &part["annotations"]), (&json!("output_text"), &json!([])));
    part
}

#[test]
fn answers_are_those_of_chats() {
    let serving = Serving::new(&[]);
    let message = |role: &str, text: &str| json!({"role": role, "content": text});
    let parts = |kind: &str, texts: &[&str]| {
        json!(texts.iter().map(|text| json!({"type": kind, "text": text})).collect::<Vec<_>>())
    };
    let cases = [
        (json!({}), vec![message("user", "Why?")]),
        (
            json!({"instructions": "Be brief."}),
            vec![message("system", "Be brief."), message("user", "Why?")],
        ),
        (
            json!({"input": [
                {"role": "developer", "content": "Be brief."},
                {"type": "message", "role": "user", "content": parts("input_text", &["Why", "so?"])},
                {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                 "content": [{"type": "output_text", "text": "So.", "annotations": [], "logprobs": []}]},
                {"role": "user", "content": "Why?"},
            ]}),
            vec![
                message("system", "Be brief."),
                message("user", "Why\nso?"),
                message("assistant", "So."),
                message("user", "Why?"),
            ],
        ),
        (json!({"temperature": 0, "top_p": 0.5}), vec![message("user", "Why?")]),
    ];
    for (fields, messages) in cases {
        let mut chat = with(chat("id", ""), "messages", messages);
        chat = with(with(chat, "max_tokens", 40), "seed", 3);
        for name in ["temperature", "top_p"] {
            chat = with(chat, name, fields[name].clone());
        }
        chat = with(with(chat, "logprobs", true), "top_logprobs", 2);
        let expected = serving.ask(&chat);
        let mut fields = fields;
        fields["top_logprobs"] = 2.into();
        fields["include"] = json!(["message.output_text.logprobs"]);
        let found = respond(&serving, fields.clone());
        let choice = &expected["choices"][0];
        assert_eq!(part(&found)["text"], choice["message"]["content"]);
        assert_eq!(part(&found)["logprobs"], choice["logprobs"]["content"]);
        assert_eq!(found["receipt"], choice["receipt"]);
        assert_eq!(found["system_fingerprint"], expected["system_fingerprint"]);
        let usage = |usage: &Json, names: [&str; 3]| names.map(|name| usage[name].clone());
        assert_eq!(
            usage(&found["usage"], ["input_tokens", "output_tokens", "total_tokens"]),
            usage(&expected["usage"], ["prompt_tokens", "completion_tokens", "total_tokens"])
        );
        let is_cut_off = choice["finish_reason"] == "length";
        assert_eq!(found["status"], if is_cut_off { "incomplete" } else { "completed" });
        let reason = json!({"reason": "max_output_tokens"});
        assert_eq!(found["incomplete_details"], if is_cut_off { reason } else { Json::Null });
        assert!(found["id"].as_str().unwrap().starts_with("resp_"));
        assert_eq!((&found["object"], &found["store"]), (&json!("response"), &json!(false)));
        streams(&serving, fields, found);
    }
}

/// The events of an answer as a stream.
pub fn events(serving: &Serving, mut fields: Json) -> Vec<Json> {
    fields["stream"] = true.into();
    let reply = serving.post("/v1/responses", &asked(fields));
    assert_eq!(reply.headers["content-type"], "text/event-stream");
    let text = reply.text();
    let events: Vec<Json> = text
        .split_terminator("\n\n")
        .map(|event| {
            let (kind, data) = event.split_once('\n').unwrap();
            let data: Json = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(kind.strip_prefix("event: ").unwrap(), data["type"]);
            data
        })
        .collect();
    for (idx, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], idx);
    }
    events
}

/// The types of events, without what all begin with.
pub fn kinds(events: &[Json]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap())
        .collect()
}

/// An answer without what differs from one time to the next.
pub fn settled(mut response: Json) -> Json {
    for name in ["id", "created_at"] {
        response[name] = Json::Null;
    }
    for item in response["output"].as_array_mut().unwrap() {
        item["id"] = Json::Null;
    }
    response["usage"]["input_tokens_details"] = Json::Null;
    response
}

/// The same as a stream, whose events are what they should be, and end in the same answer.
fn streams(serving: &Serving, fields: Json, whole: Json) {
    let events = events(serving, fields);
    let kinds = kinds(&events);
    let first = ["created", "in_progress", "output_item.added", "content_part.added"];
    let end = ["output_text.done", "content_part.done", "output_item.done"];
    assert_eq!(kinds[..4], first);
    let last = whole["status"].as_str().unwrap();
    assert_eq!(kinds[kinds.len() - 4..], [&end[..], &[last]].concat());
    let deltas = &events[4..events.len() - 4];
    assert!(deltas.len() > 2, "it comes in pieces");
    assert!(deltas.iter().all(|event| event["type"] == "response.output_text.delta"));
    let told: String = deltas.iter().map(|event| event["delta"].as_str().unwrap()).collect();
    let logprobs: Vec<&Json> =
        deltas.iter().flat_map(|event| event["logprobs"].as_array().unwrap()).collect();
    assert_eq!(told, part(&whole)["text"]);
    assert_eq!(json!(logprobs), part(&whole)["logprobs"]);
    let done = &events[events.len() - 4];
    assert_eq!(
        (&done["text"], &done["logprobs"]),
        (&part(&whole)["text"], &part(&whole)["logprobs"])
    );
    assert_eq!(settled(events.last().unwrap()["response"].clone()), settled(whole));
    let items =
        [&events[2]["item"]["id"], &events[4]["item_id"], &events[events.len() - 2]["item"]["id"]];
    assert!(items.iter().all(|id| *id == items[0]));
}

#[test]
fn what_is_not_done_is_named() {
    let serving = Serving::new(&["-c", "256", "--model-name", "mine"]);
    let item = |item: Json| json!({"input": [item]});
    for (fields, code, param) in [
        (
            json!({"previous_response_id": "resp_1"}),
            "unsupported_parameter",
            "previous_response_id",
        ),
        (json!({"background": true}), "unsupported_parameter", "background"),
        (json!({"conversation": "conv_1"}), "unsupported_parameter", "conversation"),
        (json!({"truncation": "auto"}), "unsupported_parameter", "truncation"),
        (json!({"tools": [{"type": "web_search"}]}), "unsupported_parameter", "tools[0].type"),
        (json!({"tool_choice": "required"}), "invalid_value", "tool_choice"),
        (json!({"text": {"format": {"type": "xml"}}}), "invalid_value", "text.format.type"),
        (json!({"text": {"verbosity": "low"}}), "unsupported_parameter", "text.verbosity"),
        (json!({"reasoning": {"effort": "high"}}), "unsupported_parameter", "reasoning.effort"),
        (json!({"include": ["file_search_call.results"]}), "unsupported_parameter", "include"),
        (json!({"n": 2}), "unsupported_parameter", "n"),
        (json!({"messages": []}), "unknown_parameter", "messages"),
        (json!({"max_tokens": 5}), "unknown_parameter", "max_tokens"),
        (json!({"input": []}), "invalid_value", "input"),
        (json!({"input": null}), "missing_required_parameter", "input"),
        (json!({"input": "Why? ".repeat(400)}), "context_length_exceeded", "input"),
        (item(json!({"role": "tool", "content": ""})), "invalid_value", "input[0].role"),
        (item(json!({"role": "user"})), "missing_required_parameter", "input[0].content"),
        (
            item(json!({"type": "item_reference", "id": "msg_1"})),
            "unsupported_parameter",
            "input[0].type",
        ),
        (
            item(json!({"role": "user", "content": [{"type": "input_image", "image_url": "x"}]})),
            "invalid_value",
            "input[0].content",
        ),
        (json!({"temperature": 3}), "invalid_value", "temperature"),
        (json!({"metadata": "x"}), "invalid_value", "metadata"),
        (json!({"model": "other"}), "model_not_found", "model"),
    ] {
        let reply = serving.post("/v1/responses", &asked(fields));
        assert!([400, 404].contains(&reply.status), "{}", reply.text());
        assert_eq!((reply.code(), &reply.json()["error"]["param"]), (code.into(), &json!(param)));
    }
    let reference = json!({"type": "item_reference", "id": "msg_1"});
    let reply = serving.post("/v1/responses", &asked(json!({"input": [reference]})));
    assert!(reply.text().contains("keeps no responses"), "{}", reply.text());
    let empty = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let user = json!({"role": "user", "content": "Why?"});
    let alone = serving.post("/v1/responses", &asked(json!({"input": [empty]})));
    assert_eq!((alone.status, alone.code()), (400, "invalid_value".into()));
    let passed_over = respond(&serving, json!({"input": [empty, user]}));
    let alone = respond(&serving, json!({"input": [user]}));
    assert_eq!(passed_over["usage"]["input_tokens"], alone["usage"]["input_tokens"]);
    let told = respond(
        &serving,
        json!({
            "store": true, "metadata": {"a": "b"}, "user": "me", "tools": [], "tool_choice": "auto",
            "text": {"format": {"type": "text"}}, "truncation": "disabled", "background": false,
            "reasoning": {}, "include": ["reasoning.encrypted_content"], "parallel_tool_calls": true, "service_tier": "auto",
        }),
    );
    assert_eq!((&told["metadata"], &told["store"]), (&json!({"a": "b"}), &json!(false)));
    assert_eq!(told["max_output_tokens"], 40);
}

#[test]
fn a_stream_that_fails_says_so() {
    let serving = Serving::new(&["--deadline", "1"]);
    let endless = json!({"stream": true, "max_output_tokens": null, "logit_bias": {"2": -100}});
    let text = serving.post("/v1/responses", &asked(endless)).text();
    let last = text.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    let last: Json = serde_json::from_str(&last["data: ".len()..]).unwrap();
    assert_eq!(
        (&last["type"], &last["response"]["status"]),
        (&json!("response.failed"), &json!("failed"))
    );
    assert!(
        last["response"]["error"]["message"].as_str().unwrap().contains("--deadline"),
        "{last}"
    );
    serving.wait_for("requests_open", |n| n == 0.0);
}

/// Every answer has the name of its request: the client's own, or one of ours.
#[test]
fn requests_have_names() {
    let serving = Serving::new(&["--cors-origin", "https://chat.example"]);
    let named = |path: &str, headers: &[(&str, &str)]| {
        serving.send("GET", path, headers, b"").headers["x-request-id"].clone()
    };
    assert_eq!(named("/health", &[("X-Request-Id", "a-1.b:c/d_e")]), "a-1.b:c/d_e");
    assert_eq!(named("/none", &[("X-Client-Request-Id", "mine")]), "mine");
    assert_eq!(
        named("/v1/completions", &[("X-Request-Id", "1"), ("X-Client-Request-Id", "2")]),
        "1"
    );
    let long = "x".repeat(129);
    for harmful in ["", "a b", "<script>", "é", "a\"", &long] {
        let ours = named("/health", &[("X-Request-Id", harmful)]);
        assert!(ours.starts_with("req_") && ours.len() == 28, "{ours}");
    }
    assert_ne!(named("/health", &[]), named("/health", &[]));
    let from = [("Origin", "https://chat.example")];
    let reply = serving.send("GET", "/health", &from, b"");
    assert_eq!(reply.headers["access-control-expose-headers"], "x-request-id");
    let stops: Vec<String> = (0..64).map(|idx| format!("stop {idx}")).collect();
    serving.ask(&with(chat("id", "Why?"), "stop", stops.clone()));
    let more = with(chat("id", "Why?"), "stop", [stops, vec!["x".into()]].concat());
    assert_eq!(serving.begin(&more).reply().code(), "invalid_value");
}
