//! `gatefold serve` as its clients meet it.

use crate::batches::{Loaded, chat, choices, completion, with};
use crate::serving::{Reply, Serving, endless};
use gatefold::engine::{Event, Request};
use gatefold::sampler::Sampling;
use gatefold_fixtures::random_mixtral::{N_EXPERTS, N_LAYERS};
use serde_json::{Value as Json, json};
use std::sync::atomic::AtomicBool;
use std::thread;

/// Requests of all kinds, whose answers depend on nothing else.
fn requests() -> Vec<Json> {
    let long = |request: Json| with(with(request, "max_tokens", 40), "seed", 3);
    let logprobs = |request: Json| with(with(request, "logprobs", true), "top_logprobs", 3);
    let texts = json!(["Once upon", "a time", [1, 262, 263]]);
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]);
    let schema = json!({"type": "array", "items": {"enum": ["a", "\u{e9}", 1, null]}});
    let schema = json!({"type": "json_schema", "json_schema": {"name": "list", "schema": schema}});
    vec![
        long(chat("chat", "Why?")),
        with(long(chat("parts", "")), "messages", parts),
        with(long(chat("greedy", "Why?")), "temperature", 0),
        with(long(chat("three", "What?")), "n", 3),
        logprobs(long(chat("logprobs", "Who?"))),
        with(logprobs(long(chat("stop", "Who?"))), "stop", json!(["e", "t"])),
        with(with(long(chat("sampling", "How?")), "top_k", 20), "min_p", 0.01),
        with(
            with(long(chat("penalties", "How?")), "presence_penalty", 1.5),
            "frequency_penalty",
            0.5,
        ),
        with(
            with(long(chat("repeat", "How?")), "repeat_penalty", 1.3),
            "logit_bias",
            json!({"2": -100}),
        ),
        with(with(long(chat("schema", "Who?")), "n", 2), "response_format", schema),
        with(logprobs(long(chat("regex", "Who?"))), "guided_regex", "[a-c]{2,9}(é|€)!"),
        with(long(completion("grammar", "x")), "grammar", "root ::= \"a\" root | [xyz] . \"\""),
        with(long(completion("texts", texts)), "n", 2),
        with(long(completion("text logprobs", "Once upon")), "logprobs", 2),
        with(with(long(completion("echo", "Once upon")), "echo", true), "logprobs", 1),
        with(with(long(completion("scores", "Once upon")), "echo", true), "max_tokens", 0),
    ]
}

/// Without what another run has otherwise.
fn settled(mut answer: Json) -> Json {
    let object = answer.as_object_mut().unwrap();
    for name in ["id", "created"] {
        object.remove(name);
    }
    object["usage"].as_object_mut().unwrap().remove("prompt_tokens_details");
    for choice in object["choices"].as_array_mut().unwrap() {
        choice.as_object_mut().unwrap().remove("receipt");
    }
    answer
}

/// A stream's answer, put together.
fn whole(reply: &Reply) -> Json {
    let events = reply.events();
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(last["choices"], json!([]));
    let is_chat = last["object"] == "chat.completion.chunk";
    let mut choices: Vec<Json> = Vec::new();
    for chunk in chunks {
        assert_eq!(chunk["usage"], Json::Null);
        assert!(chunk.as_object().unwrap().contains_key("usage"));
        let [piece] = chunk["choices"].as_array().unwrap().as_slice() else { panic!("{chunk}") };
        let idx = piece["index"].as_u64().unwrap() as usize;
        while choices.len() <= idx {
            choices.push(json!({"index": choices.len(), "text": "", "logprobs": null}));
        }
        let choice = &mut choices[idx];
        assert!(choice["finish_reason"].is_null(), "it had ended: {chunk}");
        let text = if is_chat { &piece["delta"]["content"] } else { &piece["text"] };
        let text = choice["text"].as_str().unwrap().to_owned() + text.as_str().unwrap_or_default();
        choice["text"] = text.into();
        choice["finish_reason"] = piece["finish_reason"].clone();
        if choice["logprobs"].is_null() {
            choice["logprobs"] = piece["logprobs"].clone();
            continue;
        }
        let arrays = piece["logprobs"].as_object().into_iter().flatten();
        for (name, array) in arrays.filter(|(_, array)| array.is_array()) {
            let array = array.as_array().unwrap().clone();
            choice["logprobs"][name].as_array_mut().unwrap().extend(array);
        }
    }
    let object = if is_chat { "chat.completion" } else { "text_completion" };
    for choice in choices.iter_mut().filter(|_| is_chat) {
        let choice = choice.as_object_mut().unwrap();
        let content = choice.remove("text").unwrap();
        let message = json!({"role": "assistant", "content": content, "refusal": null});
        choice.insert("message".into(), message);
    }
    let mut answer = json!({"object": object, "choices": choices});
    for name in ["id", "created", "model", "usage", "system_fingerprint"] {
        answer[name] = last[name].clone();
    }
    settled(answer)
}

/// An answer without log probabilities that are there, but empty.
fn without_empty_logprobs(mut answer: Json) -> Json {
    for choice in answer["choices"].as_array_mut().unwrap() {
        let logprobs = &mut choice["logprobs"];
        let is_empty = logprobs["content"] == json!([]) || logprobs["tokens"] == json!([]);
        if is_empty {
            *logprobs = Json::Null;
        }
    }
    answer
}

#[test]
fn answers_are_those_of_batch_whole_and_in_pieces_and_in_any_company() {
    let serving = Serving::new(&["--parallel", "5"]);
    let requests = requests();
    serving.place.write("in.jsonl", &requests);
    serving.place.succeeds();
    let lines = serving.place.lines("out.jsonl");
    thread::scope(|scope| {
        for request in &requests {
            let id = request["custom_id"].as_str().unwrap();
            let line = crate::batches::answer(&lines, id);
            let expected = settled(line["response"]["body"].clone());
            let serving = &serving;
            scope.spawn(move || {
                assert_eq!(settled(serving.ask(request)), expected, "{id}");
                let usage = json!({"include_usage": true});
                let stream = with(with(request.clone(), "stream", true), "stream_options", usage);
                let reply = serving.begin(&stream).reply();
                assert_eq!(whole(&reply), without_empty_logprobs(expected), "{id}");
            });
        }
    });
    assert_eq!(choices(&lines, "echo")[0]["text"].as_str().unwrap().find("Once upon"), Some(0));
    for name in ["requests_processing", "requests_deferred", "answers_open", "requests_open"] {
        serving.wait_for(name, |figure| figure == 0.0);
    }
}

#[test]
fn a_receipt_makes_the_same_answer_again() {
    let serving = Serving::new(&[]);
    let mut request = chat("id", "Why?");
    let first = serving.ask(&request);
    let receipt = &first["choices"][0]["receipt"];
    assert!(receipt["seed"].as_u64().unwrap() < 1 << 53);
    request = with(request, "seed", receipt["seed"].clone());
    let again = serving.ask(&request);
    assert_eq!(again["choices"], first["choices"]);
    let events = serving.begin(&with(request, "stream", true)).reply().events();
    assert_eq!(&events.last().unwrap()["choices"][0]["receipt"], receipt);
    assert_eq!(events[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert!(events.iter().all(|event| event.get("usage").is_none()));
    // The prompt was there already.
    let cached =
        |answer: &Json| answer["usage"]["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap();
    assert!(cached(&first) == 0 && cached(&again) > 0, "{again}");
}

/// In llama.cpp's words, and for whoever asks.
#[test]
fn streams_tell_how_far_prompts_are_read() {
    let serving = Serving::new(&["-b", "16"]);
    let long = "Once upon a time ".repeat(20);
    let requests = [
        with(chat("chat", &long), "max_tokens", 4),
        with(with(chat("two", &("So o".to_owned() + &long)), "max_tokens", 4), "n", 2),
        with(completion("text", "A".to_owned() + &long), "max_tokens", 4),
    ];
    for request in requests {
        let usage = json!({"include_usage": true});
        let stream = with(with(request.clone(), "stream", true), "stream_options", usage);
        let asked = with(with(stream.clone(), "return_progress", true), "seed", 1);
        let reply = serving.begin(&asked).reply();
        let n_answers = request["body"]["n"].as_u64().unwrap_or(1);
        let total = reply.events().last().unwrap()["usage"]["prompt_tokens"].as_u64().unwrap();
        for idx in 0..n_answers {
            let mut told = Vec::new();
            for event in reply.events() {
                let Some(progress) = event.get("prompt_progress") else { continue };
                let piece = &event["choices"][0];
                if piece["index"] != idx {
                    continue;
                }
                assert!(piece["delta"] == json!({}) || piece["text"] == "", "{event}");
                let [all, cache, processed, time] = ["total", "cache", "processed", "time_ms"]
                    .map(|name| progress[name].as_u64().unwrap());
                assert!(all == total && cache <= processed, "{progress}");
                told.push((processed, time));
            }
            assert!(told.is_sorted() && told.last().unwrap().0 == total, "{told:?}");
            // Answers to one prompt read it together.
            assert!(told.len() as u64 >= total / 16 || idx > 0, "{told:?}");
        }
        // The rest is what it is without.
        let plain = serving.begin(&with(stream, "seed", 1)).reply();
        assert!(plain.events().iter().all(|event| event.get("prompt_progress").is_none()));
        assert_eq!(whole(&reply), whole(&plain));
    }
    let again = with(with(chat("chat", &long), "stream", true), "return_progress", true);
    let events = serving.begin(&with(again, "max_tokens", 1)).reply().events();
    assert!(events.iter().any(|event| event["prompt_progress"]["cache"].as_u64() > Some(0)));
    let wrong = with(chat("id", "?"), "return_progress", 1);
    assert_eq!(serving.begin(&wrong).reply().code(), "invalid_value");
    serving.ask(&with(chat("id", "?"), "return_progress", true));
}

/// The log probabilities of a prompt are those that its tokens had when they were made.
#[test]
fn prompts_are_scored() {
    let serving = Serving::new(&["--cache-type", "f16"]);
    let loaded = Loaded::new(&serving.place);
    let mut engine = loaded.engine();
    let prompt = vec![1, 262, 263, 75];
    let greedy = Sampling { temperature: 0.0, ..Sampling::default() };
    let request = Request {
        max_tokens: Some(20),
        n_logprobs: Some(1),
        ..Request::new(prompt.clone(), greedy)
    };
    engine.submit(request).unwrap();
    let mut generated = None;
    engine.run(&AtomicBool::new(false), &mut |_, event| {
        if let Event::Done(done) = event {
            generated = Some(done);
        }
    });
    let generated = generated.unwrap();
    let scored = [prompt.clone(), generated.tokens.clone()].concat();
    // As lm-eval asks: twice, since what is remembered has no logits.
    for max_tokens in [1, 1, 0] {
        let body = json!({
            "model": "small", "prompt": [scored, prompt], "temperature": 0, "seed": 1234,
            "max_tokens": max_tokens, "logprobs": 1, "echo": true,
        });
        let answer = serving.post("/v1/completions", &body).json();
        let logprobs = &answer["choices"][0]["logprobs"];
        let [own, top, tokens, offsets] =
            ["token_logprobs", "top_logprobs", "tokens", "text_offset"]
                .map(|name| logprobs[name].as_array().unwrap());
        let n_tokens = scored.len() + max_tokens;
        assert!([own, top, tokens, offsets].iter().all(|array| array.len() == n_tokens));
        assert_eq!((&own[0], &top[0]), (&Json::Null, &Json::Null));
        let of_answer = &own[prompt.len()..scored.len()];
        for (idx, (own, expected)) in of_answer.iter().zip(&generated.logprobs).enumerate() {
            assert_eq!(own.as_f64().unwrap() as f32, expected.chosen);
            let top = top[prompt.len() + idx].as_object().unwrap();
            assert_eq!(top.values().next().unwrap(), own, "greedy means the same float");
        }
        let text: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
        assert_eq!(answer["choices"][0]["text"], text);
        assert_eq!(answer["choices"].as_array().unwrap().len(), 2);
        assert_eq!(answer["usage"]["completion_tokens"], 2 * max_tokens);
    }
}

#[test]
fn the_model_and_its_tokens_are_told() {
    let serving = Serving::new(&["-c", "512"]);
    assert_eq!(serving.get("/health").json()["status"], "ok");
    let models = serving.get("/v1/models").json();
    let model = &models["data"][0];
    assert_eq!((&models["object"], &model["id"]), (&json!("list"), &json!("small")));
    assert_eq!(model["max_model_len"], 512);
    assert_eq!(&serving.get("/v1/models/small").json(), model);
    assert_eq!(serving.get("/v1/models/a%2Fb").status, 404);
    assert_eq!(serving.get("/v1/models/a/b").code(), "model_not_found");

    let info = serving.get("/tokenizer_info").json();
    assert_eq!((&info["bos_token"], &info["eos_token"]), (&json!("<s>"), &json!("</s>")));
    assert!(info["chat_template"].as_str().unwrap().contains("[INST]"));
    let tokens = |body: Json| serving.post("/tokenize", &body).json()["tokens"].clone();
    let plain = tokens(json!({"prompt": "to a </s>", "add_special_tokens": false, "model": "m"}));
    assert_eq!(plain.as_array().unwrap().last(), Some(&json!(2)));
    let first = tokens(json!({"prompt": "to a </s>"}));
    assert_eq!(first[0], 1);
    assert_eq!(first.as_array().unwrap()[1..], *plain.as_array().unwrap());
    assert_eq!(tokens(json!({"content": "to a </s>"})), plain);
    let spelled = tokens(json!({"content": "to a </s>", "parse_special": false}));
    let text = serving.post("/detokenize", &json!({"tokens": spelled})).json();
    assert_eq!((&text["prompt"], &text["content"]), (&json!("to a </s>"), &json!("to a </s>")));
    for tokens in [json!(null), json!("a"), json!([265]), json!([-1]), json!([1.5])] {
        assert_eq!(serving.post("/detokenize", &json!({"tokens": tokens})).status, 400);
    }
}

#[test]
fn what_is_wrong_is_said_before_the_first_header() {
    let serving = Serving::new(&["-c", "256", "--model-name", "mine"]);
    let stream = |request| with(request, "stream", true);
    let cases = [
        (stream(chat("id", &"Why? ".repeat(400))), "context_length_exceeded", "messages"),
        (completion("id", "Why? ".repeat(400)), "context_length_exceeded", "prompt"),
        (stream(with(chat("id", "?"), "temperature", 3)), "invalid_value", "temperature"),
        (
            with(chat("id", "?"), "tools", json!([{}])),
            "missing_required_parameter",
            "tools[0].type",
        ),
        (with(chat("id", "?"), "best_of", 2), "unknown_parameter", "best_of"),
        (
            with(chat("id", "?"), "messages", json!([{"role": "user"}])),
            "missing_required_parameter",
            "messages[0].content",
        ),
        (
            with(
                chat("id", "?"),
                "messages",
                json!([{"role": "user", "content": "?", "name": "Ada"}]),
            ),
            "unsupported_parameter",
            "messages[0].name",
        ),
        (
            with(chat("id", "?"), "stream_options", json!({"include_usage": true})),
            "invalid_value",
            "stream",
        ),
        (
            stream(with(chat("id", "?"), "stream_options", json!({"other": 1}))),
            "unknown_parameter",
            "stream_options.other",
        ),
        (with(completion("id", json!([1, 9999])), "max_tokens", 1), "invalid_value", "prompt"),
        (with(chat("id", "?"), "logit_bias", json!({"9999": 1})), "invalid_value", "logit_bias"),
        (completion("id", json!([])), "invalid_value", "prompt"),
        (with(chat("id", "?"), "model", "other"), "model_not_found", "model"),
    ];
    for (request, code, param) in cases {
        let reply = serving.begin(&request).reply();
        assert_eq!(reply.status, if code == "model_not_found" { 404 } else { 400 }, "{request}");
        assert_eq!(reply.code(), code, "{}", reply.text());
        let error = &reply.json()["error"];
        assert_eq!(
            (&error["type"], &error["param"]),
            (&json!("invalid_request_error"), &json!(param))
        );
        let message = error["message"].as_str().unwrap();
        assert!(!message.contains("body."), "{message}");
        if code == "context_length_exceeded" {
            assert!(message.contains("256") && message.contains("tokens do not fit"), "{message}");
        }
    }
    assert_eq!(serving.ask(&with(chat("id", "?"), "model", "mine"))["model"], "mine");
    assert_eq!(serving.ask(&chat("id", "?"))["model"], "mine");
    assert_eq!(serving.get("/v1/models").json()["data"][0]["id"], "mine");

    assert_eq!(serving.get("/v1/chat/completion").code(), "unknown_url");
    assert_eq!(serving.get("/v1/chat/completions").status, 405);
    assert_eq!(serving.post("/v1/models", &json!({})).code(), "method_not_allowed");
    let bad = |body: &[u8]| serving.send("POST", "/v1/completions", &[], body).code();
    assert_eq!(
        (bad(b"{"), bad(b"\xff"), bad(b"[]")),
        ("invalid_json".into(), "invalid_json".into(), "invalid_type".into())
    );
    assert_eq!(bad("[".repeat(100_000).as_bytes()), "invalid_json");
    for field in ["metadata", "user", "store", "parallel_tool_calls"] {
        serving.ask(&with(chat("id", "?"), field, true));
    }
    assert_eq!(serving.metric("requests_open"), 0.0);
}

/// In every layer each token that was computed takes as many experts.
#[test]
fn metrics_tell_the_tokens_of_each_expert_by_layer() {
    let serving = Serving::new(&[]);
    let loads = || -> Vec<Vec<f64>> {
        let load = |layer: usize, expert: usize| {
            let labels = format!("layer=\"{layer}\",expert=\"{expert}\"");
            serving.metric(&format!("expert_tokens_total{{{labels}}}"))
        };
        let experts = |layer| (0..N_EXPERTS).map(|expert| load(layer, expert)).collect();
        (0..N_LAYERS).map(experts).collect()
    };
    assert_eq!(loads(), vec![vec![0.0; N_EXPERTS]; N_LAYERS], "all are there from the start");
    let answer = serving.ask(&with(chat("id", "?"), "max_tokens", 5));
    serving.wait_for("requests_processing", |n| n == 0.0);
    let tokens = |name: &str| answer["usage"][name].as_f64().unwrap();
    // Nobody asks what comes behind the last token.
    let n_tokens = tokens("prompt_tokens") + tokens("completion_tokens") - 1.0;
    assert_eq!(serving.metric("experts_per_token"), 2.0);
    for layer in loads() {
        assert_eq!(layer.iter().sum::<f64>(), 2.0 * n_tokens, "{layer:?}");
    }
}

#[test]
fn a_deadline_ends_answers_that_take_too_long() {
    let serving = Serving::new(&["--deadline", "1"]);
    let reply = serving.begin(&endless(false)).reply();
    assert_eq!((reply.status, reply.code()), (504, "deadline_exceeded".into()));
    assert_eq!(reply.headers["x-should-retry"], "false");
    let streamed = serving.begin(&endless(true)).reply();
    assert_eq!(streamed.status, 200);
    let text = streamed.text();
    let last = text.lines().rfind(|line| line.starts_with("data: ")).unwrap();
    assert!(last.contains("\"deadline_exceeded\"") && !text.contains("[DONE]"), "{last}");
    serving.ask(&chat("id", "Why?"));
}
