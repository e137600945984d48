//! Requests in OpenAI's batch format, one on each line.

use crate::{accepted, scratch};
use gatefold_cli::batch::{Input, Line, Terms};
use gatefold_cli::jobs::Key;

/// Reads the bytes as a file of requests, and as a single line.
pub fn run(bytes: &[u8]) {
    let path = scratch::file("requests.jsonl", bytes);
    let terms = Terms { basis: Key::of(&[]), max_tokens: Some(16), model_name: None };
    let plan = Input::open(&path).and_then(|input| input.plan(&terms));
    if let Some(plan) = accepted(plan) {
        assert_eq!(plan.keys.len(), plan.items.len(), "two lines share a key");
    }
    let line = Line::parse(bytes);
    let again = Line::parse(&line.canonical);
    if let Ok(request) = &line.request {
        assert_eq!(again.request.as_ref(), Ok(request));
        assert_eq!(again.canonical, line.canonical);
        assert_eq!(again.custom_id, line.custom_id);
    }
}

/// A request to each endpoint, with all that is understood.
pub fn seeds() -> Vec<Vec<u8>> {
    let chat = r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"developer","content":"s","name":"n"},{"role":"user","content":[{"type":"text","text":"t"}]}],"max_tokens":5,"temperature":0.5,"top_p":1e0,"seed":-7,"stop":["x","y"],"n":2,"logprobs":true,"top_logprobs":3,"stream":false,"top_k":-1,"min_p":0.1,"presence_penalty":1,"logit_bias":{"5":-1.5}}}"#;
    let texts = r#"{"custom_id":"b","method":"POST","url":"/v1/completions","body":{"prompt":["a",[1,2]],"max_completion_tokens":1,"logprobs":2,"echo":true,"repetition_penalty":1.1,"best_of":1,"suffix":"","logit_bias":{},"user":"u"}}"#;
    vec![
        chat.into(),
        texts.into(),
        format!("{texts}\n{texts}\n\n{{\"custom_id\":1}}\n{chat}").into(),
    ]
}
