//! Functions and forms in `/v1/responses`, which are those of chats; and rows of batches that ask for
//! responses.

use crate::batches::{chat, request, with};
use crate::serve_batches::{all_rows, create_for, is_over, wait_for};
use crate::serve_responses::{asked, events, kinds, part, respond, settled};
use crate::serving::Serving;
use crate::tools::functions;
use serde_json::{Value as Json, json};

/// An object whose fields of the type's name have moved beside the type, as responses have them.
fn flat(described: &Json) -> Json {
    let kind = described["type"].as_str().unwrap();
    let mut flat = described[kind].clone();
    flat["type"] = kind.into();
    if let Some(tools) = flat.get_mut("tools").and_then(Json::as_array_mut) {
        tools.iter_mut().for_each(|tool| *tool = self::flat(tool));
    }
    flat
}

fn flat_functions() -> Json {
    functions().as_array().unwrap().iter().map(flat).collect()
}

fn named(name: &str) -> Json {
    json!({"type": "function", "function": {"name": name}})
}

/// What chats answer to the question of `asked`, with these fields.
fn of_chat(serving: &Serving, fields: &[(&str, Json)]) -> Json {
    let chat = with(with(chat("id", "Why?"), "max_tokens", 900), "seed", 3);
    let chat = fields.iter().fold(chat, |chat, (name, value)| with(chat, name, value.clone()));
    serving.ask(&chat)["choices"][0].clone()
}

/// That an answer has the calls of a chat's, or its text.
fn check(found: &Json, choice: &Json) {
    assert_eq!(found["receipt"], choice["receipt"]);
    let is_cut_off = choice["finish_reason"] == "length";
    assert_eq!(found["status"], if is_cut_off { "incomplete" } else { "completed" });
    let Some(calls) = choice["message"]["tool_calls"].as_array() else {
        assert_eq!(part(found)["text"], choice["message"]["content"]);
        return;
    };
    let output = found["output"].as_array().unwrap();
    assert_eq!(output.len(), calls.len());
    for (item, call) in output.iter().zip(calls) {
        assert!(item["id"].as_str().unwrap().starts_with("fc_"), "{item}");
        let mut item = item.clone();
        item.as_object_mut().unwrap().remove("id");
        assert_eq!(
            item,
            json!({
                "type": "function_call", "status": "completed", "call_id": call["id"],
                "name": call["function"]["name"], "arguments": call["function"]["arguments"],
            })
        );
    }
}

/// That a stream tells an answer in its order, and ends in the same.
fn check_stream(events: &[Json], whole: &Json) {
    let kinds = kinds(events);
    assert_eq!(kinds[..2], ["created", "in_progress"]);
    assert_eq!(*kinds.last().unwrap(), whole["status"].as_str().unwrap());
    let last = &events.last().unwrap()["response"];
    assert_eq!(settled(last.clone()), settled(whole.clone()));
    let told = &events[2..events.len() - 1];
    let output = last["output"].as_array().unwrap();
    if output[0]["type"] == "message" {
        assert_eq!(kinds[2..4], ["output_item.added", "content_part.added"]);
        let is_delta = |event: &&Json| event["type"] == "response.output_text.delta";
        let deltas = told.iter().filter(is_delta);
        let text: String = deltas.map(|event| event["delta"].as_str().unwrap()).collect();
        assert_eq!(text, part(last)["text"]);
        return;
    }
    let each = ["output_item.added", "function_call_arguments.delta"];
    let each = [each, ["function_call_arguments.done", "output_item.done"]].concat();
    assert_eq!(kinds[2..kinds.len() - 1], each.repeat(output.len()));
    for (idx, (events, item)) in told.chunks(4).zip(output).enumerate() {
        let [added, delta, done, item_done] = events else { panic!("{events:?}") };
        assert!(events.iter().all(|event| event["output_index"] == idx));
        assert_eq!((&delta["item_id"], &done["item_id"]), (&item["id"], &item["id"]));
        assert_eq!((&delta["delta"], &done["arguments"]), (&item["arguments"], &item["arguments"]));
        let mut begun = item.clone();
        (begun["status"], begun["arguments"]) = ("in_progress".into(), "".into());
        assert_eq!((&added["item"], &item_done["item"]), (&begun, item));
    }
}

#[test]
fn calls_are_those_of_chats() {
    let serving = Serving::new(&["-c", "2048"]);
    let allowed = json!({"type": "allowed_tools", "allowed_tools":
        {"mode": "required", "tools": [named("stop")]}});
    let cases = [
        ("required".into(), true, 900),
        ("required".into(), false, 900),
        (named("weather"), true, 900),
        (allowed, true, 900),
        ("auto".into(), true, 30),
        ("none".into(), true, 30),
        // A call that is cut off is none.
        ("required".into(), true, 5),
    ];
    for (choice, is_parallel, most) in cases {
        let expected = of_chat(
            &serving,
            &[
                ("tools", functions()),
                ("tool_choice", choice.clone()),
                ("parallel_tool_calls", is_parallel.into()),
                ("max_tokens", most.into()),
            ],
        );
        let choice = if choice.is_object() { flat(&choice) } else { choice };
        let fields = json!({
            "tools": flat_functions(), "tool_choice": choice, "parallel_tool_calls": is_parallel,
            "max_output_tokens": most,
        });
        let found = respond(&serving, fields.clone());
        check(&found, &expected);
        for name in ["tools", "tool_choice", "parallel_tool_calls"] {
            assert_eq!(found[name], fields[name]);
        }
        let told = events(&serving, fields);
        check_stream(&told, &found);
        // What begins as calls do is told when it is known to be none.
        let n_deltas = kinds(&told).iter().filter(|kind| **kind == "output_text.delta").count();
        match (choice.as_str(), most) {
            (Some("required"), 5) => assert_eq!(n_deltas, 1),
            (_, 30) => assert!(n_deltas > 1),
            _ => assert_eq!(n_deltas, 0),
        }
    }
}

#[test]
fn forms_are_those_of_chats() {
    let serving = Serving::new(&["-c", "1024"]);
    let schema = json!({
        "type": "object",
        "properties": {"b": {"enum": [1, 2]}, "a": {"type": "boolean"}},
        "required": ["b", "a"],
        "additionalProperties": false,
    });
    let described = json!({"type": "json_schema", "json_schema":
        {"name": "pair", "description": "A pair", "strict": true, "schema": schema}});
    for (format, in_responses) in [
        (json!({"type": "text"}), json!({"type": "text"})),
        (json!({"type": "json_object"}), json!({"type": "json_object"})),
        (described.clone(), flat(&described)),
    ] {
        let expected =
            of_chat(&serving, &[("response_format", format), ("max_tokens", 200.into())]);
        let fields = json!({"text": {"format": in_responses}, "max_output_tokens": 200});
        let found = respond(&serving, fields.clone());
        check(&found, &expected);
        assert_eq!(found["text"], fields["text"]);
        check_stream(&events(&serving, fields), &found);
        if in_responses["type"] == "json_schema" {
            let instance: Json =
                serde_json::from_str(part(&found)["text"].as_str().unwrap()).unwrap();
            assert!(instance["a"].is_boolean(), "{instance}");
        }
    }
    assert_eq!(respond(&serving, json!({}))["text"], json!({"format": {"type": "text"}}));
}

#[test]
fn conversations_with_calls_are_those_of_chats() {
    let serving = Serving::new(&["-c", "2048"]);
    let call = |id: &str, city: &str| {
        let arguments = json!({"city": city}).to_string();
        let item = json!({"type": "function_call", "id": "fc_1", "status": "completed",
            "call_id": id, "name": "weather", "arguments": arguments});
        let function = json!({"name": "weather", "arguments": arguments});
        (item, json!({"id": id, "type": "function", "function": function}))
    };
    let (rome, rome_in_chats) = call("abcdefghi", "Rome");
    let (paris, paris_in_chats) = call("ihgfedcba", "Paris");
    let user = json!({"role": "user", "content": "How is it?"});
    let says = json!({"role": "assistant", "content": "Let me see."});
    let result = |id: &str, output: Json| json!({"type": "function_call_output", "call_id": id, "output": output});
    let told = |id: &str, text: &str| json!({"role": "tool", "tool_call_id": id, "content": text});
    let assistant = |content: Json, calls: &[&Json]| json!({"role": "assistant", "content": content, "tool_calls": calls});
    let parts = json!([{"type": "input_text", "text": "22"}, {"type": "input_text", "text": "C"}]);
    let cases = [
        (
            json!([user, rome, result("abcdefghi", "22".into())]),
            json!([user, assistant(Json::Null, &[&rome_in_chats]), told("abcdefghi", "22")]),
        ),
        (
            json!([
                user,
                says,
                rome,
                paris,
                result("abcdefghi", parts),
                result("ihgfedcba", "18".into()),
                user,
            ]),
            json!([
                user,
                assistant("Let me see.".into(), &[&rome_in_chats, &paris_in_chats]),
                told("abcdefghi", "22\nC"),
                told("ihgfedcba", "18"),
                user,
            ]),
        ),
        (
            json!([
                user,
                rome,
                result("abcdefghi", "22".into()),
                paris,
                result("ihgfedcba", "18".into())
            ]),
            json!([
                user,
                assistant(Json::Null, &[&rome_in_chats]),
                told("abcdefghi", "22"),
                assistant(Json::Null, &[&paris_in_chats]),
                told("ihgfedcba", "18"),
            ]),
        ),
    ];
    for (input, messages) in cases {
        let fields = [("messages", messages), ("tools", functions()), ("max_tokens", 20.into())];
        let expected = of_chat(&serving, &fields);
        let fields = json!({"input": input, "tools": flat_functions(), "max_output_tokens": 20});
        check(&respond(&serving, fields), &expected);
    }
}

#[test]
fn what_is_wrong_is_named_where_it_stands() {
    let serving = Serving::new(&[]);
    let tool = |fields: Json| {
        let mut tool = json!({"type": "function", "name": "a"});
        tool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"tools": [tool]})
    };
    let choice = |choice: Json| json!({"tools": flat_functions(), "tool_choice": choice});
    let format = |format: Json| json!({"text": {"format": format}});
    let item = |item: Json| json!({"input": [item]});
    let not = json!({"type": "object", "properties": {"a": {"not": {"type": "null"}}}});
    let mut never = tool(json!({"parameters": not}));
    never["tool_choice"] = "required".into();
    let mut both = format(json!({"type": "json_object"}));
    both["tools"] = flat_functions();
    let (wrong, missing) = ("invalid_value", "missing_required_parameter");
    let (unsupported, unknown) = ("unsupported_parameter", "unknown_parameter");
    for (fields, code, param) in [
        (json!({"tools": {}}), wrong, "tools"),
        (json!({"tools": [{"type": "mcp", "server_label": "x"}]}), unsupported, "tools[0].type"),
        (json!({"tools": functions()}), missing, "tools[0].name"),
        (tool(json!({"name": "a b"})), wrong, "tools[0].name"),
        (tool(json!({"parameters": []})), wrong, "tools[0].parameters"),
        (tool(json!({"defer_loading": true})), unsupported, "tools[0].defer_loading"),
        (tool(json!({"other": 1})), unknown, "tools[0].other"),
        (never, wrong, "tools[0].parameters"),
        (choice(json!("sometimes")), wrong, "tool_choice"),
        (choice(json!({"type": "function", "name": "other"})), wrong, "tool_choice"),
        (choice(json!({"type": "function"})), missing, "tool_choice.name"),
        (choice(named("stop")), missing, "tool_choice.name"),
        (choice(json!({"type": "web_search"})), unsupported, "tool_choice.type"),
        (choice(json!({"type": "allowed_tools", "tools": []})), missing, "tool_choice.mode"),
        (
            choice(json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}]})),
            unsupported,
            "tool_choice.tools[0].type",
        ),
        (both, wrong, "text.format"),
        (format(json!({})), missing, "text.format.type"),
        (format(json!({"type": "json_schema", "name": "x"})), missing, "text.format.schema"),
        (
            format(
                json!({"type": "json_schema", "name": "x", "schema": {"not": {"type": "null"}}}),
            ),
            wrong,
            "text.format.schema",
        ),
        (
            format(json!({"type": "json_schema", "json_schema": {"schema": {}}})),
            missing,
            "text.format.schema",
        ),
        (format(json!({"type": "json_object", "other": 1})), unknown, "text.format.other"),
        (
            item(json!({"type": "function_call", "name": "f", "arguments": "{}"})),
            missing,
            "input[0].call_id",
        ),
        (
            item(json!({"type": "function_call", "call_id": "1", "arguments": "{}"})),
            missing,
            "input[0].name",
        ),
        (
            item(json!({"type": "function_call", "call_id": "1", "name": "f", "arguments": "x"})),
            wrong,
            "input[0].arguments",
        ),
        (item(json!({"type": "function_call_output", "output": ""})), missing, "input[0].call_id"),
        (
            item(json!({"type": "function_call_output", "call_id": "1", "output": {"a": 1}})),
            wrong,
            "input[0].output",
        ),
        (item(json!({"type": "web_search_call", "id": "1"})), unsupported, "input[0].type"),
    ] {
        let reply = serving.post("/v1/responses", &asked(fields));
        assert_eq!(reply.status, 400, "{param}: {}", reply.text());
        assert_eq!((reply.code(), &reply.json()["error"]["param"]), (code.into(), &json!(param)));
    }
}

/// Rows of batches have the responses of the server, in full.
#[test]
fn rows_of_batches_ask_for_responses() {
    let url = "/v1/responses";
    let serving = Serving::new(&["-c", "2048", "--data-dir", "data"]);
    let schema = json!({"type": "json_schema", "name": "x", "schema": {"enum": ["yes", "no"]}});
    let bodies = [
        asked(json!({"metadata": {"a": "b"}})),
        asked(
            json!({"tools": flat_functions(), "tool_choice": "required", "max_output_tokens": 900}),
        ),
        asked(json!({"text": {"format": schema}})),
        asked(json!({"stream": true})),
        asked(json!({"max_tokens": 1})),
    ];
    let rows: Vec<Json> = bodies
        .iter()
        .enumerate()
        .map(|(idx, body)| request(&idx.to_string(), url, body.clone()))
        .collect();
    serving.place.write("in.jsonl", &rows);
    let (code, stderr) = serving.place.batch(&["in.jsonl", "-o", "out.jsonl", "-c", "2048"]);
    assert_eq!(code, 2, "{stderr}");
    let of_program = serving.place.lines("out.jsonl");
    let batch = create_for(&serving, url, &rows);
    let batch = wait_for(&serving, &batch, is_over);
    assert_eq!(batch["request_counts"], json!({"total": 5, "completed": 3, "failed": 2}));
    let of_server = all_rows(&serving, &batch);
    let params = [None, None, None, Some("body.stream"), Some("body.max_tokens")];
    for of_batch in [of_program, of_server] {
        for (asked, param) in rows.iter().zip(params) {
            let is_its = |row: &&Json| row["custom_id"] == asked["custom_id"];
            let found = of_batch.iter().find(is_its).unwrap()["response"]["body"].clone();
            if let Some(param) = param {
                assert_eq!(found["error"]["param"], param);
                continue;
            }
            assert!(found["id"].as_str().unwrap().starts_with("resp_"));
            let expected = serving.post(url, &asked["body"]).json();
            assert_eq!(settled(found), settled(expected));
        }
    }
}
