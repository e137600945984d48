//! Lines from anyone: whatever they hold, they are understood or refused in one clear line.

use crate::batches::{chat, completion, with};
use gatefold::tokenizer::Message;
use gatefold_cli::batch::Line;
use gatefold_cli::openai::{Prompt, Request, Text};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn parse(line: &Json) -> Line {
    Line::parse(line.to_string().as_bytes())
}

#[track_caller]
fn request(line: &Json) -> Request {
    parse(line).request.unwrap()
}

#[track_caller]
fn fault(line: &Json) -> String {
    parse(line).request.unwrap_err().message
}

/// JSON of any kind, often with names and values that requests have.
fn json() -> impl Strategy<Value = Json> {
    let names = prop::sample::select(vec![
        "custom_id",
        "method",
        "url",
        "body",
        "messages",
        "role",
        "content",
        "prompt",
        "n",
        "stop",
        "temperature",
        "logprobs",
        "type",
        "text",
        "other\n\u{1b}[2J",
    ]);
    let texts = prop::sample::select(vec![
        "POST",
        "/v1/chat/completions",
        "/v1/completions",
        "user",
        "text",
        "",
        "\u{0}\u{1b}[2J\n",
    ]);
    let numbers = prop_oneof![
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        Just(serde_json::from_str("1e999").unwrap()),
        Just(serde_json::from_str("123456789012345678901234567890").unwrap()),
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        numbers,
        texts.prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        let fields = prop::collection::vec((names.clone(), inner.clone()), 0..6);
        let object = |fields: Vec<(&str, Json)>| {
            Json::Object(fields.into_iter().map(|(name, value)| (name.into(), value)).collect())
        };
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Json::from),
            fields.prop_map(object),
        ]
    })
}

fn check(line: &Line) -> Result<(), TestCaseError> {
    if let Err(fault) = &line.request {
        prop_assert_eq!(fault.status, 400);
        prop_assert!(fault.message.len() < 400, "{}", fault.message);
        prop_assert!(!fault.message.contains(char::is_control), "{:?}", fault.message);
    }
    Ok(())
}

proptest! {
    #[test]
    fn bytes_are_understood_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&Line::parse(&bytes))?;
    }

    #[test]
    fn json_is_understood_or_refused(value in json()) {
        check(&parse(&value))?;
    }

    /// A request in which one value is another.
    #[test]
    fn changed_requests_are_understood_or_refused(
        value in json(),
        in_body in any::<bool>(),
        is_chat in any::<bool>(),
        field in 0usize..8,
    ) {
        let mut line = if is_chat { chat("id", "?") } else { completion("id", "?") };
        let names = ["messages", "prompt", "n", "stop", "seed", "logprobs", "top_p", "tools"];
        let outer = ["custom_id", "method", "url", "body", "other", "id", "model", "n"];
        match in_body {
            true => line = with(line, names[field], value),
            false => line[outer[field]] = value,
        }
        check(&parse(&line))?;
    }

    /// What a key is made of does not depend on how a line is written.
    #[test]
    fn spaces_and_order_change_nothing(value in json()) {
        let line = parse(&value);
        let pretty = Line::parse(serde_json::to_string_pretty(&value).unwrap().as_bytes());
        prop_assert_eq!(&line.canonical, &pretty.canonical);
        let Ok(again) = str::from_utf8(&line.canonical) else { panic!() };
        prop_assert_eq!(&Line::parse(again.as_bytes()), &line);
    }
}

#[test]
fn integers_may_be_written_with_a_fraction_that_is_none() {
    let params = |field: &str, value: Json| request(&with(chat("id", "?"), field, value)).params;
    assert_eq!(params("max_tokens", json!(7.0)).max_tokens, Some(7));
    assert_eq!(params("seed", json!(-2.0)).seed, Some(u64::MAX - 1));
    assert_eq!(params("seed", json!(u64::MAX)).seed, Some(u64::MAX));
    for (field, value) in [
        ("max_tokens", json!(7.5)),
        ("max_tokens", json!(1e300)),
        ("max_tokens", json!(-2.0)),
        ("n", json!(129.0)),
        ("seed", json!(1e17)),
        ("top_k", json!(-2.0)),
    ] {
        let said = fault(&with(chat("id", "?"), field, value));
        assert!(said.contains("expected an integer"), "{said}");
    }
}

#[test]
fn deep_nesting_is_refused() {
    let deep = "[".repeat(100_000);
    assert!(Line::parse(deep.as_bytes()).request.is_err());
}

#[test]
fn conversations_are_understood() {
    let parts = json!([{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]);
    let line = with(
        chat("id", ""),
        "messages",
        json!([
            {"role": "developer", "content": "Be brief.", "name": null},
            {"role": "user", "content": parts, "name": "Ada"},
            {"role": "assistant", "content": "three", "tool_calls": [], "refusal": null},
        ]),
    );
    let expected = [("system", "Be brief."), ("user", "one\ntwo"), ("assistant", "three")];
    let expected = expected.map(|(role, content)| Message::new(role, content)).to_vec();
    assert_eq!(request(&line).prompt, Prompt::Chat(expected));
    // An older name and a newer one, of which the newer counts.
    let line = with(line, "max_completion_tokens", 7);
    assert_eq!(request(&line).params.max_tokens, Some(7));
}

#[test]
fn texts_and_tokens_are_understood() {
    let text = |text: &str| Text::Text(text.into());
    let cases = [
        (json!("a"), vec![text("a")]),
        (json!(["a", "b"]), vec![text("a"), text("b")]),
        (json!([1, 2]), vec![Text::Tokens(vec![1, 2])]),
        (json!([[1, 2], [3]]), vec![Text::Tokens(vec![1, 2]), Text::Tokens(vec![3])]),
    ];
    for (prompt, texts) in cases {
        assert_eq!(request(&completion("id", prompt)).prompt, Prompt::Texts(texts));
    }
    for prompt in
        [json!({}), json!(5), json!([1, "a"]), json!([-1]), json!([1.5]), json!([1u64 << 32])]
    {
        assert!(fault(&completion("id", prompt)).starts_with("body.prompt is "));
    }
    let several = |n: u64| with(completion("id", json!(["a", "b", "c"])), "n", n);
    assert_eq!(request(&several(42)).params.n, 42);
    assert!(fault(&several(43)).contains("128 answers in all"));
    let many = json!(vec!["a"; 129]);
    assert!(fault(&completion("id", many)).contains("an array of 129; expected"));
}

#[test]
fn defaults_are_openai_s() {
    let mut line = completion("id", "a");
    line["body"].as_object_mut().unwrap().remove("max_tokens");
    let params = request(&line).params;
    let sampling = &params.sampling;
    assert_eq!((sampling.temperature, sampling.top_p, params.n), (1.0, 1.0, 1));
    assert_eq!((sampling.top_k, sampling.min_p, sampling.repeat_penalty), (0, 0.0, 1.0));
    assert_eq!((params.max_tokens, params.seed, params.n_logprobs), (Some(16), None, None));
    let mut line = chat("id", "a");
    line["body"].as_object_mut().unwrap().remove("max_tokens");
    assert_eq!(request(&line).params.max_tokens, None);
}

#[test]
fn what_would_change_the_answer_is_not_ignored() {
    let neutral = [
        ("frequency_penalty", json!(0.0)),
        ("presence_penalty", json!(0)),
        ("logit_bias", json!({})),
        ("stream", json!(false)),
        ("response_format", json!({"type": "text"})),
        ("grammar", json!("")),
        ("guided_json", Json::Null),
        ("tools", json!([])),
        ("tools", Json::Null),
        ("user", json!("someone")),
        ("model", json!("mixtral")),
    ];
    for (field, value) in neutral {
        request(&with(chat("id", "?"), field, value));
    }
    let changing = [
        ("presence_penalty", json!(-2.5)),
        ("reasoning_effort", json!("high")),
        ("logit_bias", json!({"5": 101})),
        ("logit_bias", json!({"five": 1})),
        ("stream", json!(true)),
        ("response_format", json!({"type": "structural_tag"})),
        ("guided_whitespace_pattern", json!(" ")),
        ("tools", json!([{"type": "function"}])),
        ("tool_choice", json!("required")),
        ("functions", json!([{"name": "f"}])),
        ("n", json!(0)),
        ("n", json!(129)),
        ("top_p", json!(1.1)),
        ("top_logprobs", json!(3)),
        ("max_tokens", json!(0)),
        ("seed", json!(0.5)),
        ("echo", json!(true)),
    ];
    for (field, value) in changing {
        let fault = fault(&with(chat("id", "?"), field, value));
        assert!(fault.contains("body."), "{fault}");
    }
}
