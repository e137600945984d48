//! The log probabilities in the answers of `gatefold batch`.

use crate::batches::{Workplace, chat, choices, completion, with};
use serde_json::{Value as Json, json};

#[test]
fn log_probabilities_are_those_of_the_tokens() {
    let place = Workplace::new();
    let logprobs = |request, n: u64| with(with(request, "logprobs", true), "top_logprobs", n);
    place.write(
        "in.jsonl",
        &[
            logprobs(chat("chat", "Why?"), 3),
            with(chat("alone", "Why?"), "logprobs", true),
            with(completion("text", "Once"), "logprobs", 2),
        ],
    );
    place.succeeds();
    let lines = place.lines("out.jsonl");
    let choice = &choices(&lines, "chat")[0];
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    let mut bytes = Vec::new();
    for token in tokens {
        let own = token["logprob"].as_f64().unwrap();
        let top = token["top_logprobs"].as_array().unwrap();
        let top: Vec<f64> = top.iter().map(|top| top["logprob"].as_f64().unwrap()).collect();
        assert_eq!(top.len(), 3);
        assert!(own <= top[0] && top[0] >= top[1] && top[1] >= top[2] && top[0] < 0.0, "{token}");
        bytes.extend(token["bytes"].as_array().unwrap().iter().map(|b| b.as_u64().unwrap() as u8));
    }
    assert_eq!(choice["message"]["content"], String::from_utf8_lossy(&bytes).into_owned());
    let alone = &choices(&lines, "alone")[0]["logprobs"]["content"][0];
    assert!(alone["logprob"].as_f64().unwrap() < 0.0);
    assert_eq!(alone["top_logprobs"], json!([]));

    let choice = &choices(&lines, "text")[0];
    let [tokens, own, top, offsets] = ["tokens", "token_logprobs", "top_logprobs", "text_offset"]
        .map(|name| choice["logprobs"][name].as_array().unwrap());
    let lens = [tokens.len(), own.len(), top.len(), offsets.len()];
    assert!(lens[0] > 0 && lens.iter().all(|len| *len == lens[0]), "{lens:?}");
    assert!(top.iter().all(|top| (1..=2).contains(&top.as_object().unwrap().len())));
    assert_eq!(offsets[0], 0);
}

/// What tokens of log probabilities say together is the answer, wherever it is cut.
#[test]
fn tokens_with_log_probabilities_are_the_text() {
    let place = Workplace::new();
    let long = |id: &str| with(with(chat(id, "Why?"), "max_tokens", 60), "logprobs", true);
    let request = |idx: usize| with(long(&idx.to_string()), "seed", idx);
    place.write("in.jsonl", &(0..20).map(request).collect::<Vec<_>>());
    place.succeeds();
    let lines = place.lines("out.jsonl");
    let content = |lines: &[Json], idx: usize| {
        let choice = &choices(lines, &idx.to_string())[0];
        let tokens = choice["logprobs"]["content"].as_array().unwrap();
        let bytes = tokens.iter().flat_map(|token| token["bytes"].as_array().unwrap());
        let bytes: Vec<u8> = bytes.map(|byte| byte.as_u64().unwrap() as u8).collect();
        let content = choice["message"]["content"].as_str().unwrap().to_owned();
        assert_eq!(content, String::from_utf8_lossy(&bytes));
        (content, tokens.len())
    };
    let contents: Vec<(String, usize)> = (0..20).map(|idx| content(&lines, idx)).collect();
    // Each is stopped by a part of what it said, which may be in the middle of a token.
    let stop = |idx: usize| {
        let chars: Vec<char> = contents[idx].0.chars().collect();
        chars.iter().skip(2 * idx % (chars.len().max(2) - 1)).take(2).collect::<String>()
    };
    let stopped = |idx: usize| with(request(idx), "stop", stop(idx));
    place.write("in.jsonl", &(0..20).map(stopped).collect::<Vec<_>>());
    place.succeeds();
    let lines = place.lines("out.jsonl");
    let n_cut = (0..20).filter(|&idx| {
        let (content, n_tokens) = content(&lines, idx);
        let (whole, n_before) = &contents[idx];
        assert_eq!(content, whole[..whole.find(&stop(idx)).unwrap()]);
        n_tokens < *n_before
    });
    assert!(n_cut.count() > 10);
}
