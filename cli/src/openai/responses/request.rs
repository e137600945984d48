//! What is asked of `/v1/responses`.

use super::super::fault::{Fault, quoted};
use super::super::fields::Fields;
use super::super::params::params;
use super::super::request::{IGNORED, Prompt, Request, Wants};
use super::items::conversation;
use gatefold::tokenizer::Message;
use serde_json::{Value, json};

/// What of a request is told again in its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Echo {
    pub(super) instructions: Option<String>,
    pub(super) metadata: Value,
    pub(super) max_output_tokens: Option<usize>,
    pub(super) temperature: f32,
    pub(super) top_p: f32,
    pub(super) top_logprobs: usize,
}

/// What log probabilities are called among the things that an answer may include.
const LOGPROBS: &str = "message.output_text.logprobs";

/// What thoughts are called there; a model that has none includes none.
const REASONING: &str = "reasoning.encrypted_content";

/// Understands a body. Nothing is stored, whatever `store` says.
///
/// # Errors
/// If there is anything wrong with it.
pub fn parse_responses(mut body: Fields) -> Result<(Request, Echo), Fault> {
    let path = body.path().to_owned();
    let model = body.string("model")?;
    let instructions = body.string("instructions")?;
    let system = instructions.clone().map(|text| Message::new("system", text));
    let messages = system.into_iter().chain(conversation(&mut body)?).collect();
    refuse_unsupported(&mut body)?;
    let stream = body.bool("stream")?.unwrap_or(false);
    if let Some(options) = body.take("stream_options") {
        let options = Fields::of(options, format!("{path}stream_options."))?;
        options.finish(&["include_obfuscation"])?;
    }
    let metadata = Value::Object(body.metadata()?.unwrap_or_default());
    let max_output_tokens = body.count("max_output_tokens", 1..=usize::MAX)?;
    let n_logprobs = logprobs(&mut body)?;
    let params = params(&mut body, max_output_tokens, n_logprobs)?;
    body.finish(
        &[&IGNORED[..], &["max_tool_calls", "parallel_tool_calls", "prompt_cache_options"]]
            .concat(),
    )?;
    let echo = Echo {
        instructions,
        metadata,
        max_output_tokens,
        temperature: params.sampling.temperature,
        top_p: params.sampling.top_p,
        top_logprobs: n_logprobs.unwrap_or(0),
    };
    let wants = Wants { stream, ..Wants::default() };
    let (prompt, name, prompt_field) = (Prompt::Chat(messages), None, "input");
    Ok((Request { prompt, params, wants, tools: None, model, name, path, prompt_field }, echo))
}

/// That nothing is asked for which is not done.
fn refuse_unsupported(body: &mut Fields) -> Result<(), Fault> {
    if let Some(id) = body.take("previous_response_id") {
        let param = format!("{}previous_response_id", body.path());
        let message = format!(
            "{param} is {}, and this server keeps no responses; send the whole conversation as input",
            quoted(&id)
        );
        return Err(Fault::at("unsupported_parameter", param, message));
    }
    for (name, neutral) in [
        ("background", json!(false)),
        ("context_management", json!([])),
        ("conversation", json!("")),
        ("n", json!(1)),
        ("prompt", json!({})),
        ("tools", json!([])),
        ("truncation", json!("disabled")),
    ] {
        body.unsupported(name, &neutral)?;
    }
    // Where there are no tools, these are the same.
    match body.take("tool_choice") {
        Some(choice) if choice != "auto" && choice != "none" => {
            return Err(body.wrong("tool_choice", quoted(&choice), "\"auto\" or \"none\""));
        }
        _ => {}
    }
    for (name, parts) in [
        ("text", [("format", json!({"type": "text"})), ("verbosity", json!("medium"))]),
        ("reasoning", [("effort", json!("none")), ("summary", json!("auto"))]),
    ] {
        let Some(value) = body.take(name) else { continue };
        let mut fields = Fields::of(value, format!("{}{name}.", body.path()))?;
        for (name, neutral) in parts {
            fields.unsupported(name, &neutral)?;
        }
        fields.finish(&[])?;
    }
    Ok(())
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
