//! Answers that are held to a form, as clients of servers ask for them.

use crate::batches::{Workplace, chat, choices, completion, with};
use crate::program::gatefold;
use crate::serving::Serving;
use serde_json::{Value as Json, json};

fn schema() -> Json {
    json!({
        "type": "object",
        "properties": {"b": {"enum": [1, 2]}, "a": {"type": "boolean"}},
        "required": ["b", "a"],
        "additionalProperties": false,
    })
}

/// Room for blanks, of which a model without sense makes many.
fn asked(name: &str, field: &str, form: impl Into<Json>) -> Json {
    with(with(chat(name, "?"), "max_tokens", 700), field, form)
}

/// An answer to a request with the schema: its properties come in the schema's order.
#[track_caller]
fn check_instance(text: &str) {
    let instance: Json = serde_json::from_str(text).unwrap();
    let names: Vec<&String> = instance.as_object().unwrap().keys().collect();
    assert_eq!(names, ["b", "a"], "{text}");
    assert!([json!(1), json!(2)].contains(&instance["b"]) && instance["a"].is_boolean(), "{text}");
}

#[test]
fn every_way_to_ask_for_a_form_is_understood() {
    let serving = Serving::new(&["-c", "1024"]);
    let openai = json!({"type": "json_schema", "json_schema":
        {"name": "pair", "description": "A pair", "strict": true, "schema": schema()}});
    let schemas = [
        ("response_format", openai),
        ("response_format", json!({"type": "json_object", "schema": schema()})),
        ("json_schema", schema()),
        ("guided_json", schema()),
        ("guided_json", schema().to_string().into()),
        ("structured_outputs", json!({"json": schema()})),
    ];
    for (field, form) in schemas {
        let answer = serving.ask(&asked("schema", field, form));
        let choice = &answer["choices"][0];
        check_instance(choice["message"]["content"].as_str().unwrap());
        assert_eq!(choice["finish_reason"], "stop");
    }
    let words = [
        ("guided_regex", json!("yes|no")),
        ("regex", json!("yes|no")),
        ("guided_choice", json!(["yes", "no"])),
        ("structured_outputs", json!({"choice": ["yes", "no"]})),
        ("structured_outputs", json!({"regex": "yes|no"})),
        ("grammar", json!("root ::= \"yes\" | \"no\"")),
        ("grammar", json!("start: \"yes\" | \"no\"")),
        ("guided_grammar", json!("start: \"yes\" | \"no\"")),
        ("ebnf", json!("root ::= \"yes\" | \"no\"")),
    ];
    for (field, form) in words {
        let answer = serving.ask(&asked("word", field, form));
        let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
        assert!(["yes", "no"].contains(&text), "{field}: {text:?}");
    }
    let greedy = with(completion("raw", "Once"), "temperature", 0);
    let answer = serving.ask(&with(greedy, "guided_choice", json!(["a.b", "(c"])));
    let text = answer["choices"][0]["text"].as_str().unwrap();
    assert!(["a.b", "(c"].contains(&text), "{text:?}");
}

#[test]
fn an_answer_that_is_cut_says_so() {
    let serving = Serving::new(&[]);
    let request = with(asked("id", "guided_regex", "a{50}"), "max_tokens", 20);
    let answer = serving.ask(&request);
    let choice = &answer["choices"][0];
    assert_eq!(choice["message"]["content"], "a".repeat(20));
    assert_eq!(choice["finish_reason"], "length");
    let stopped = serving.ask(&with(asked("id", "guided_regex", "a{50}"), "stop", "aaa"));
    assert_eq!(stopped["choices"][0]["message"]["content"], "");
}

#[test]
fn what_is_not_enforced_is_named_before_the_first_header() {
    let serving = Serving::new(&[]);
    let schema = |schema: Json| json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    let within = "response_format.json_schema.schema";
    let cases = [
        ("response_format", schema(json!({"not": {"type": "null"}})), within, "#/not"),
        (
            "response_format",
            schema(json!({"properties": {"a": {"items": {"contains": {}}}}})),
            within,
            "#/properties/a/items/contains",
        ),
        ("response_format", json!({"type": "xml"}), "response_format.type", "xml"),
        (
            "response_format",
            json!({"type": "json_schema", "json_schema": {"name": "x"}}),
            within,
            "missing",
        ),
        (
            "response_format",
            json!({"type": "json_object", "other": 1}),
            "response_format.other",
            "known",
        ),
        ("json_schema", json!({"if": {}}), "json_schema", "#/if"),
        ("guided_json", json!("{"), "guided_json", "JSON Schema"),
        ("guided_regex", json!("(a"), "guided_regex", "regular expression"),
        ("guided_regex", json!(3), "guided_regex", "3"),
        ("guided_choice", json!([]), "guided_choice", "array"),
        ("guided_choice", json!(["a", 1]), "guided_choice", "array"),
        ("grammar", json!("root ::= other"), "grammar", "`other`"),
        ("grammar", json!("start: other"), "grammar", "grammar"),
        (
            "structured_outputs",
            json!({"json": {"not": {"type": "null"}}}),
            "structured_outputs.json",
            "#/not",
        ),
        ("structured_outputs", json!({"tag": {}}), "structured_outputs.tag", "known"),
        ("grammar_lazy", json!(true), "grammar_lazy", "true"),
    ];
    for (field, form, param, words) in cases {
        let reply = serving.begin(&with(asked("id", field, form), "stream", true)).reply();
        assert_eq!(reply.status, 400, "{}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!(error["param"], param, "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(words) && message.starts_with(param), "{message}");
    }
    let both = with(asked("id", "guided_regex", "a"), "grammar", "root ::= \"a\"");
    let reply = serving.begin(&both).reply();
    assert_eq!((reply.status, reply.code().as_str()), (400, "invalid_value"), "{}", reply.text());
}

/// A form that leads nowhere does so whenever it is tried: a batch does not try it again.
#[test]
fn a_form_that_leads_nowhere_ends_its_own_request() {
    let place = Workplace::new();
    let nowhere = json!({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]});
    let nowhere = with(asked("nowhere", "guided_json", nowhere), "max_tokens", 200);
    place.write("in.jsonl", &[nowhere, chat("other", "?"), asked("word", "regex", "yes|no")]);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    let lines = place.lines("out.jsonl");
    assert_eq!((code, lines.len()), (0, 3), "{stderr}");
    assert_eq!(choices(&lines, "nowhere")[0]["finish_reason"], "length");
    let word = choices(&lines, "word")[0]["message"]["content"].clone();
    assert!(["yes", "no"].contains(&word.as_str().unwrap()), "{word}");
}

/// The order of a schema's properties is the answer's, so that it makes another request; that of a
/// request's own fields is nothing.
#[test]
fn batches_do_again_what_has_another_form() {
    let place = Workplace::new();
    let request = |schema: &str, fields: &str| {
        format!(
            "{{\"custom_id\":\"a\",\"method\":\"POST\",\"url\":\"/v1/completions\",\"body\":{{{fields},\"guided_json\":{schema}}}}}\n"
        )
    };
    let (one, two) = (r#""prompt":"x","max_tokens":30"#, r#""max_tokens":30,"prompt":"x""#);
    let ab = r#"{"properties":{"a":{"const":1},"b":{"const":2}},"required":["a","b"]}"#;
    let ba = r#"{"properties":{"b":{"const":2},"a":{"const":1}},"required":["a","b"]}"#;
    let run = |line: String| {
        std::fs::write(place.path("in.jsonl"), line).unwrap();
        place.succeeds()
    };
    run(request(ab, one));
    assert!(run(request(ab, two)).contains("1 of 1 requests are done"));
    assert!(run(request(ba, two)).contains("requests done again"));
}

/// `gatefold run` holds its answer to each kind of form.
#[test]
fn run_answers_in_a_form() {
    let place = Workplace::new();
    std::fs::write(place.path("schema.json"), schema().to_string()).unwrap();
    std::fs::write(place.path("words.gbnf"), "root ::= \"yes\" | \"no\"").unwrap();
    let path = |name: &str| place.path(name).display().to_string();
    let (model, by_file) = (path("model.gguf"), path("schema.json"));
    let run = |args: &[&str]| {
        let fixed = ["run", "-m", &model, "-p", "?", "--temp", "0", "-c", "1024"];
        gatefold(&[&fixed[..], args].concat())
    };
    for args in [["-j", &by_file], ["-jf", &by_file], ["--json-schema", &schema().to_string()]] {
        check_instance(run(&args).succeeded().stdout.trim());
    }
    let grammar = path("words.gbnf");
    let words = [
        ["--regex", "yes|no"],
        ["--grammar-file", &grammar],
        ["--grammar", "start: \"yes\" | \"no\""],
    ];
    for args in words {
        let text = run(&args).succeeded().stdout;
        assert!(["yes", "no"].contains(&text.trim()), "{args:?}: {text:?}");
    }
    let json = run(&["--regex", "yes|no", "--json"]).succeeded().json();
    assert_eq!(json["finish_reason"], "end_of_text");
    let cut = run(&["--regex", "a{50}", "-n", "9"]).succeeded();
    assert!(cut.stderr.contains("cut off before its form is complete (-n "), "{}", cut.stderr);
    run(&["--regex", "(a"]).refused("the regular expression cannot be enforced");
    run(&["-j", "{\"not\": {\"type\": \"null\"}}"])
        .refused("#/not of the JSON Schema is not enforced here");
    run(&["-j", "nowhere.json"]).refused("nowhere.json");
    run(&["-j", "{\"not\""]).refused("is no JSON");
    run(&["--grammar", "root ::= b"]).refused("line 1 of the grammar");
}
