//! What is asked of `/v1/responses`.

use super::super::endpoint::Endpoint;
use super::super::fault::{Fault, quoted};
use super::super::fields::Fields;
use super::super::params::params;
use super::super::request::{IGNORED, Prompt, Request, Wants, refuse_unsupported};
use super::items::conversation;
use gatefold::tokenizer::Message;
use serde_json::{Map, Value, json};

/// What log probabilities are called among the things that an answer may include.
const LOGPROBS: &str = "message.output_text.logprobs";

/// What thoughts are called there; a model that has none includes none.
const REASONING: &str = "reasoning.encrypted_content";

/// Understands a body. Nothing is stored, whatever `store` says.
///
/// # Errors
/// If there is anything wrong with it.
pub(in super::super) fn parse(mut body: Fields) -> Result<Request, Fault> {
    let endpoint = Endpoint::Responses;
    let told_again = Some(told_again(&body));
    let (path, model) = (body.path().to_owned(), body.string("model")?);
    let system = body.string("instructions")?.map(|text| Message::new("system", text));
    let messages = system.into_iter().chain(conversation(&mut body)?).collect();
    refuse_memory(&mut body)?;
    refuse_unsupported(&mut body, endpoint)?;
    let stream = body.bool("stream")?.unwrap_or(false);
    if let Some(options) = body.object("stream_options")? {
        options.finish(&["include_obfuscation"])?;
    }
    if let Some(mut reasoning) = body.object("reasoning")? {
        reasoning.unsupported("effort", &json!("none"))?;
        reasoning.unsupported("summary", &json!("auto"))?;
        reasoning.finish(&[])?;
    }
    body.metadata()?;
    let max_output_tokens = body.count("max_output_tokens", 1..=usize::MAX)?;
    let n_logprobs = logprobs(&mut body)?;
    let (params, tools) = params(&mut body, endpoint, max_output_tokens, n_logprobs)?;
    body.finish(&[&IGNORED[..], &["max_tool_calls", "prompt_cache_options"]].concat())?;
    let wants = Wants { stream, ..Wants::default() };
    let (prompt, name, prompt_field) = (Prompt::Chat(messages), None, "input");
    Ok(Request { prompt, params, wants, tools, model, name, path, prompt_field, told_again })
}

/// What of a body its answer tells again, with what it says where nothing is asked.
fn told_again(body: &Fields) -> Map<String, Value> {
    let or = |name: &str, default| (name.to_owned(), body.get(name).cloned().unwrap_or(default));
    let format = body.get("text").and_then(|text| text.get("format")).filter(|it| !it.is_null());
    let format = format.cloned().unwrap_or_else(|| json!({"type": "text"}));
    Map::from_iter([
        or("instructions", Value::Null),
        or("metadata", json!({})),
        or("parallel_tool_calls", json!(true)),
        or("tool_choice", json!("auto")),
        or("tools", json!([])),
        ("text".to_owned(), json!({ "format": format })),
    ])
}

/// That it stands alone.
fn refuse_memory(body: &mut Fields) -> Result<(), Fault> {
    let Some(id) = body.take("previous_response_id") else { return Ok(()) };
    let param = format!("{}previous_response_id", body.path());
    let message = format!(
        "{param} is {}, and this server keeps no responses; send the whole conversation as input",
        quoted(&id)
    );
    Err(Fault::at("unsupported_parameter", param, message))
}

/// Of how many most probable tokens the log probabilities are wanted, if any are.
fn logprobs(body: &mut Fields) -> Result<Option<usize>, Fault> {
    let n_logprobs = body.count("top_logprobs", 0..=20)?;
    let included = match body.take("include") {
        None => Vec::new(),
        Some(Value::Array(included)) => included,
        Some(other) => return Err(body.wrong("include", quoted(&other), "an array of strings")),
    };
    if let Some(other) = included.iter().find(|name| *name != LOGPROBS && *name != REASONING) {
        let param = format!("{}include", body.path());
        let message = format!("{param} has {}, which there is not; leave it out", quoted(other));
        return Err(Fault::at("unsupported_parameter", param, message));
    }
    let is_wanted =
        included.iter().any(|name| name == LOGPROBS) || n_logprobs.is_some_and(|n| n > 0);
    Ok(is_wanted.then_some(n_logprobs.unwrap_or(0)))
}
