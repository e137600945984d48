//! Functions that the model may call, as clients of the server and batches have them.

use crate::batches::{chat, choices, with};
use crate::serving::Serving;
use serde_json::{Value as Json, json};

pub fn function(name: &str, parameters: Json) -> Json {
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

/// Two functions, of which the second has its schema by a reference.
pub fn functions() -> Json {
    let unit = json!({"enum": ["C", "F"]});
    let weather = json!({
        "type": "object",
        "properties": {"city": {"enum": ["Rome", "Paris"]}, "unit": {"$ref": "#/$defs/unit"}},
        "required": ["city", "unit"],
        "additionalProperties": false,
        "$defs": {"unit": unit},
    });
    let stop = json!({"type": "object", "properties": {}, "additionalProperties": false});
    json!([function("weather", weather), function("stop", stop)])
}

fn asked(name: &str, choice: impl Into<Json>) -> Json {
    let request = with(with(chat(name, "?"), "max_tokens", 900), "tools", functions());
    with(with(request, "tool_choice", choice), "seed", 5)
}

fn named(name: &str) -> Json {
    json!({"type": "function", "function": {"name": name}})
}

/// That some of these are called.
fn allowed(names: &[&str]) -> Json {
    let tools: Vec<Json> = names.iter().map(|name| named(name)).collect();
    json!({"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}})
}

/// The calls of an answer that has nothing else, each with its arguments.
#[track_caller]
fn calls(choice: &Json) -> Vec<(String, Json)> {
    let message = &choice["message"];
    assert_eq!(
        (&message["content"], &choice["finish_reason"]),
        (&Json::Null, &json!("tool_calls"))
    );
    let calls = message["tool_calls"].as_array().unwrap().iter().map(|call| {
        assert_eq!(call["type"], "function");
        let id = call["id"].as_str().unwrap();
        assert!(id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        let name = call["function"]["name"].as_str().unwrap().to_owned();
        let arguments = call["function"]["arguments"].as_str().unwrap();
        (name, serde_json::from_str(arguments).unwrap())
    });
    calls.collect()
}

#[track_caller]
fn check(calls: &[(String, Json)]) {
    assert!(!calls.is_empty());
    for (name, arguments) in calls {
        let n_arguments = arguments.as_object().unwrap().len();
        match name.as_str() {
            "weather" => {
                assert!(["Rome", "Paris"].contains(&arguments["city"].as_str().unwrap()));
                assert!(["C", "F"].contains(&arguments["unit"].as_str().unwrap()));
                assert_eq!(n_arguments, 2);
            }
            "stop" => assert_eq!(n_arguments, 0),
            other => panic!("{other}"),
        }
    }
}

#[test]
fn calls_that_must_be_made_are_made_by_the_schema() {
    let serving = Serving::new(&["-c", "2048"]);
    let single = with(asked("single", "required"), "parallel_tool_calls", false);
    let requests = [
        asked("required", "required"),
        single,
        asked("named", named("weather")),
        asked("stop", named("stop")),
        asked("allowed", allowed(&["stop"])),
    ];
    serving.place.write("in.jsonl", &requests);
    serving.place.succeeds();
    let lines = serving.place.lines("out.jsonl");
    for request in &requests {
        let answer = serving.ask(request);
        let choice = &answer["choices"][0];
        let found = calls(choice);
        check(&found);
        let name = request["custom_id"].as_str().unwrap();
        match name {
            "named" => assert_eq!((found.len(), &*found[0].0), (1, "weather")),
            "stop" => assert_eq!((found.len(), &*found[0].0), (1, "stop")),
            "allowed" => assert!(found.iter().all(|(name, _)| name == "stop")),
            "single" => assert_eq!(found.len(), 1),
            _ => {}
        }
        // The same in a batch, and again.
        assert_eq!(choices(&lines, name)[0]["message"], choice["message"]);
        assert_eq!(serving.ask(request)["choices"][0]["message"], choice["message"]);

        let streamed = serving.begin(&with(request.clone(), "stream", true)).reply().events();
        let deltas = streamed.iter().map(|event| &event["choices"][0]["delta"]);
        assert!(deltas.clone().all(|delta| delta["content"].as_str().is_none_or(str::is_empty)));
        let pieces: Vec<&Json> = deltas.filter_map(|delta| delta["tool_calls"].get(0)).collect();
        let whole = choice["message"]["tool_calls"].as_array().unwrap();
        assert_eq!(pieces.len(), whole.len());
        for (number, (piece, call)) in pieces.iter().zip(whole).enumerate() {
            assert_eq!(piece["index"], number);
            assert_eq!((&piece["id"], &piece["function"]), (&call["id"], &call["function"]));
        }
        assert_eq!(streamed.last().unwrap()["choices"][0]["finish_reason"], "tool_calls");
    }
}

#[test]
fn where_nothing_is_called_the_answer_is_text() {
    let serving = Serving::new(&["-c", "2048"]);
    for choice in [json!("auto"), json!("none"), Json::Null] {
        let request = with(asked("text", choice), "max_tokens", 30);
        let answer = serving.ask(&request);
        let message = &answer["choices"][0]["message"];
        assert!(message.get("tool_calls").is_none());
        let text = message["content"].as_str().unwrap();
        let streamed = serving.begin(&with(request, "stream", true)).reply().events();
        let deltas = streamed.iter().map(|event| &event["choices"][0]["delta"]["content"]);
        let whole: String = deltas.filter_map(Json::as_str).collect();
        assert_eq!(whole, text);
    }
    // A call that is cut off is none.
    let cut = serving.ask(&with(asked("cut", "required"), "max_tokens", 5));
    let choice = &cut["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    assert!(choice["message"]["content"].as_str().unwrap().starts_with('['));
}

#[test]
fn conversations_with_calls_go_on() {
    let serving = Serving::new(&["-c", "2048"]);
    let call = json!({"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": "{\"city\": \"Rome\"}",
            // As OpenAI's client reads it.
            "parsed_arguments": {"city": "Rome"}}});
    let messages = json!([
        {"role": "user", "content": "How is it in Rome?"},
        {"role": "assistant", "content": null, "parsed": null, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": "22"},
    ]);
    let told = |content: &str| {
        let mut messages = messages.clone();
        messages[2]["content"] = content.into();
        let request = with(with(chat("id", ""), "messages", messages), "temperature", 0);
        serving.ask(&with(request, "tools", functions()))
    };
    assert_ne!(told("22")["usage"], told("twenty-two degrees")["usage"]);
    let parsed = json!({"role": "assistant", "content": "{}", "parsed": {"a": 1}});
    serving.ask(&with(chat("id", ""), "messages", json!([parsed])));
}

/// Schemas as zod and others write them, with what only their roots say.
#[test]
fn schemas_of_functions_may_say_what_they_are() {
    let serving = Serving::new(&["-c", "2048"]);
    let parameters = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$id": "https://example.com/f",
        "type": "object",
        "properties": {
            "const": {"$ref": "#/$defs/same"},
            "at": {"const": {"$ref": "#/$defs/same"}, "examples": [{"$ref": "#/nowhere"}]},
        },
        "required": ["const", "at"],
        "additionalProperties": false,
        "$defs": {"same": {"enum": ["x"]}},
    });
    let tools = json!([function("other", json!({})), function("f", parameters)]);
    let request = with(with(chat("id", "?"), "max_tokens", 900), "tools", tools);
    let answer = serving.ask(&with(request.clone(), "tool_choice", named("f")));
    let expected = json!({"const": "x", "at": {"$ref": "#/$defs/same"}});
    assert_eq!(calls(&answer["choices"][0]), [("f".to_owned(), expected)]);
    let wrong = function("f", json!({"properties": {"a": {"contains": {}}}}));
    let wrong = with(request, "tools", json!([function("other", json!({})), wrong]));
    let reply = serving.begin(&with(wrong, "tool_choice", "required")).reply();
    let error = &reply.json()["error"];
    assert_eq!(error["param"], "tools[1].function.parameters");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(": #/properties/a/contains of the JSON Schema"), "{message}");
}

#[test]
fn what_is_no_function_is_named() {
    let serving = Serving::new(&[]);
    let tools = |tools: Json| with(chat("id", "?"), "tools", tools);
    let message = |message: Json| with(chat("id", "?"), "messages", json!([message]));
    let call = |arguments: Json| json!({"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": arguments}}]});
    let form = with(asked("id", "auto"), "guided_regex", "a");
    let not = json!({"type": "object", "properties": {"a": {"not": {"type": "null"}}}});
    let cases = [
        (tools(json!({})), "tools"),
        (tools(json!([{"type": "web_search"}])), "tools[0].type"),
        (asked("id", json!({"type": "function"})), "tool_choice.function"),
        (asked("id", allowed(&["other"])), "tool_choice"),
        (asked("id", json!({"type": "allowed_tools"})), "tool_choice.allowed_tools"),
        (asked("id", json!({"type": "web_search"})), "tool_choice.type"),
        (tools(json!([{"type": "function"}])), "tools[0].function"),
        (tools(json!([function("a b", json!({}))])), "tools[0].function.name"),
        (tools(json!([function("a", json!([]))])), "tools[0].function.parameters"),
        (tools(json!([function("a", json!({})), function("a", json!({}))])), "tools"),
        (with(chat("id", "?"), "tool_choice", "required"), "tool_choice"),
        (asked("id", "sometimes"), "tool_choice"),
        (asked("id", named("other")), "tool_choice"),
        (
            with(tools(json!([function("a", not)])), "tool_choice", "required"),
            "tools[0].function.parameters",
        ),
        (form, "guided_regex"),
        (message(call(json!("no object"))), "messages[0].tool_calls[0].function.arguments"),
        (message(call(json!(null))), "messages[0].tool_calls[0].function.arguments"),
        (message(json!({"role": "assistant", "tool_calls": {}})), "messages[0].tool_calls"),
        (
            message(json!({"role": "user", "content": "a", "tool_calls": [{}]})),
            "messages[0].tool_calls",
        ),
    ];
    for (request, param) in cases {
        let reply = serving.begin(&request).reply();
        assert_eq!(
            (reply.status, &reply.json()["error"]["param"]),
            (400, &json!(param)),
            "{}",
            reply.text()
        );
    }
}
