//! A line of the input: what is asked, or what is wrong with it.

use super::fault::{Fault, quoted};
use super::fields::Fields;
use gatefold::sampler::Sampling;
use gatefold::tokenizer::Message;
use serde_json::{Value, json};

/// A line, understood as far as it can be.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// The name that the request was given.
    pub custom_id: Option<String>,
    /// What is asked.
    pub request: Result<Request, Fault>,
    /// The line in a form that spaces and the order of fields do not change.
    pub canonical: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What answers follow.
    pub prompt: Prompt,
    /// How they are made.
    pub params: Params,
    /// The model that is to make them.
    pub model: Option<String>,
    /// The number of the first message whose writer has a name, and that name.
    pub name: Option<(usize, String)>,
}

/// What answers follow, which also decides on the endpoint.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A conversation: `/v1/chat/completions`.
    Chat(Vec<Message>),
    /// Texts, each with answers of its own: `/v1/completions`.
    Texts(Vec<Text>),
}

/// A text, or the tokens of one.
#[derive(Clone, Debug, PartialEq)]
pub enum Text {
    /// As text.
    Text(String),
    /// As tokens, taken as they are.
    Tokens(Vec<u32>),
}

/// How answers are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Params {
    /// Most tokens; none is up to the end of the context.
    pub max_tokens: Option<usize>,
    /// As [`Sampling::temperature`].
    pub temperature: f32,
    /// As [`Sampling::top_p`].
    pub top_p: f32,
    /// Seed of the first answer, where one is wanted; those that follow have the numbers after it.
    pub seed: Option<u64>,
    /// Texts that end an answer.
    pub stops: Vec<String>,
    /// How many answers.
    pub n: usize,
    /// Of how many most probable tokens the log probabilities are wanted; none for none at all.
    pub n_logprobs: Option<usize>,
}

/// Answers to one line, each of which takes a copy of its prompt.
const MOST_ANSWERS: usize = 128;

/// Tokens of an answer in `/v1/completions` that does not say how many.
const DEFAULT_TEXT_TOKENS: usize = 16;

/// Fields of a body that change no answer.
const IGNORED: [&str; 6] =
    ["metadata", "prompt_cache_key", "safety_identifier", "service_tier", "store", "user"];

impl Line {
    /// Understands a line.
    pub fn parse(text: &[u8]) -> Line {
        // Editors on Windows put it before the first line.
        let text = text.strip_prefix("\u{FEFF}".as_bytes()).unwrap_or(text);
        match serde_json::from_slice::<Value>(text) {
            Ok(value) => {
                let canonical = value.to_string().into_bytes();
                let custom_id = value.get("custom_id").and_then(Value::as_str).map(str::to_owned);
                Line { custom_id, request: request(value), canonical }
            }
            Err(error) => {
                let fault = Fault::new("invalid_json", format!("the line is not JSON: {error}"));
                Line { custom_id: None, request: Err(fault), canonical: text.into() }
            }
        }
    }

    /// A line of more bytes than are read.
    pub fn too_long(n_bytes: u64, most: usize) -> Line {
        let message = format!("the line has {n_bytes} bytes; expected {most} at most");
        let fault = Fault::new("line_too_long", message);
        Line { custom_id: None, request: Err(fault), canonical: n_bytes.to_string().into() }
    }
}

fn request(line: Value) -> Result<Request, Fault> {
    let mut line = Fields::of(line, "")?;
    let custom_id = line.string("custom_id")?;
    line.required("custom_id", custom_id)?;
    let method = line.string("method")?;
    let method = line.required("method", method)?;
    if method != "POST" {
        return Err(line.wrong("method", quoted(&method.into()), "\"POST\""));
    }
    let url = line.string("url")?;
    let url = line.required("url", url)?;
    let body = line.take("body");
    let body = Fields::of(line.required("body", body)?, "body.")?;
    let request = match url.as_str() {
        "/v1/chat/completions" => chat(body)?,
        "/v1/completions" => completions(body)?,
        _ => {
            let endpoints = "\"/v1/chat/completions\" or \"/v1/completions\"";
            return Err(line.wrong("url", quoted(&url.into()), endpoints));
        }
    };
    line.finish(&[])?;
    Ok(request)
}

fn chat(mut body: Fields) -> Result<Request, Fault> {
    let messages = body.take("messages");
    let messages = match body.required("messages", messages)? {
        Value::Array(messages) if !messages.is_empty() => {
            messages.into_iter().enumerate().map(message).collect::<Result<Vec<_>, _>>()?
        }
        other => return Err(body.wrong("messages", quoted(&other), "an array of messages")),
    };
    let (messages, names): (_, Vec<Option<String>>) = messages.into_iter().unzip();
    let mut names = names.into_iter().enumerate();
    let name = names.find_map(|(idx, name)| Some((idx, name?)));
    let prompt = Prompt::Chat(messages);
    let model = body.string("model")?;
    let max_tokens = body.count("max_tokens", 1..=usize::MAX)?;
    let max_tokens = body.count("max_completion_tokens", 1..=usize::MAX)?.or(max_tokens);
    let wants_logprobs = body.bool("logprobs")?.unwrap_or(false);
    let n_logprobs = body.count("top_logprobs", 0..=20)?;
    if n_logprobs.is_some() && !wants_logprobs {
        return Err(body.wrong("logprobs", "not true", "true where there are top_logprobs"));
    }
    for name in ["audio", "function_call", "functions", "prediction", "tools", "web_search_options"]
    {
        body.unsupported(name, &json!([]))?;
    }
    body.unsupported("tool_choice", &json!("none"))?;
    body.unsupported("modalities", &json!(["text"]))?;
    body.unsupported("response_format", &json!({"type": "text"}))?;
    let n_logprobs = wants_logprobs.then_some(n_logprobs.unwrap_or(0));
    Ok(Request { prompt, params: params(body, max_tokens, n_logprobs)?, model, name })
}

fn completions(mut body: Fields) -> Result<Request, Fault> {
    let prompt = body.take("prompt");
    let prompt = body.required("prompt", prompt)?;
    let Some(texts) = texts(&prompt) else {
        let expected =
            format!("a string, an array of tokens, or an array of 1 to {MOST_ANSWERS} of them");
        return Err(body.wrong("prompt", quoted(&prompt), expected));
    };
    let max_tokens = body.count("max_tokens", 1..=usize::MAX)?.unwrap_or(DEFAULT_TEXT_TOKENS);
    let n_logprobs = body.count("logprobs", 0..=5)?;
    body.unsupported("best_of", &json!(1))?;
    body.unsupported("echo", &json!(false))?;
    body.unsupported("suffix", &json!(""))?;
    let n_texts = texts.len();
    let model = body.string("model")?;
    let params = params(body, Some(max_tokens), n_logprobs)?;
    if n_texts * params.n > MOST_ANSWERS {
        let message = format!(
            "body.n is {} for {n_texts} prompts; expected {MOST_ANSWERS} answers in all at most",
            params.n
        );
        return Err(Fault::at("invalid_value", "body.n", message));
    }
    Ok(Request { prompt: Prompt::Texts(texts), params, model, name: None })
}

/// What both endpoints have, and that there is nothing else.
fn params(
    mut body: Fields,
    max_tokens: Option<usize>,
    n_logprobs: Option<usize>,
) -> Result<Params, Fault> {
    let stops = match body.take("stop") {
        None => Vec::new(),
        Some(stop) => match stops(&stop) {
            Some(stops) => stops,
            None => return Err(body.wrong("stop", quoted(&stop), "a string, or up to 4 of them")),
        },
    };
    let params = Params {
        max_tokens,
        temperature: body.number("temperature", 0.0..=2.0)?.unwrap_or(1.0),
        top_p: body.number("top_p", 0.0..=1.0)?.unwrap_or(1.0),
        seed: body.bits("seed")?,
        stops,
        n: body.count("n", 1..=MOST_ANSWERS)?.unwrap_or(1),
        n_logprobs,
    };
    body.unsupported("frequency_penalty", &json!(0))?;
    body.unsupported("presence_penalty", &json!(0))?;
    body.unsupported("logit_bias", &json!({}))?;
    body.unsupported("stream", &json!(false))?;
    body.finish(&IGNORED)?;
    Ok(params)
}

impl Request {
    /// Whether it is a conversation.
    pub fn is_chat(&self) -> bool {
        matches!(self.prompt, Prompt::Chat(_))
    }
}

impl Params {
    /// How the tokens of an answer are chosen; `default_seed` is for where none is wanted.
    pub fn sampling(&self, answer_idx: usize, default_seed: u64) -> Sampling {
        Sampling {
            temperature: self.temperature,
            top_k: 0,
            top_p: self.top_p,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: 0,
            seed: self.seed.unwrap_or(default_seed).wrapping_add(answer_idx as u64),
        }
    }
}

/// A message, and the name of whoever wrote it.
fn message((idx, value): (usize, Value)) -> Result<(Message, Option<String>), Fault> {
    let mut message = Fields::of(value, format!("body.messages[{idx}]."))?;
    let role = message.string("role")?;
    let role = match message.required("role", role)?.as_str() {
        // What newer models call the system.
        "developer" => "system".to_owned(),
        // What becomes of a tool's is up to the template.
        role @ ("system" | "user" | "assistant" | "tool") => role.to_owned(),
        role => {
            let expected = "\"system\", \"developer\", \"user\", \"assistant\" or \"tool\"";
            return Err(message.wrong("role", quoted(&role.into()), expected));
        }
    };
    let content = message.take("content");
    let content = message.required("content", content)?;
    let Some(text) = text_of(&content) else {
        let expected = "a string, or an array of parts of type \"text\"";
        return Err(message.wrong("content", quoted(&content), expected));
    };
    for name in ["audio", "function_call", "refusal", "tool_calls"] {
        message.unsupported(name, &json!([]))?;
    }
    let name = message.string("name")?.filter(|name| !name.is_empty());
    message.finish(&[])?;
    Ok((Message::new(role, text), name))
}

/// The text of a content: itself, or its parts, a line each.
fn text_of(content: &Value) -> Option<String> {
    let text = |part: &Value| match part.get("type")?.as_str()? {
        "text" => part.get("text")?.as_str().map(str::to_owned),
        _ => None,
    };
    match content {
        Value::String(content) => Some(content.clone()),
        Value::Array(parts) => {
            parts.iter().map(text).collect::<Option<Vec<_>>>().map(|parts| parts.join("\n"))
        }
        _ => None,
    }
}

fn texts(prompt: &Value) -> Option<Vec<Text>> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(Text::Text(text.clone())),
        Value::Array(ids) => {
            let ids = ids.iter().map(|id| id.as_u64()?.try_into().ok());
            ids.collect::<Option<_>>().map(Text::Tokens)
        }
        _ => None,
    };
    match prompt {
        Value::Array(prompts)
            if matches!(prompts.first(), Some(Value::String(_) | Value::Array(_))) =>
        {
            let few = Some(prompts).filter(|prompts| prompts.len() <= MOST_ANSWERS);
            few?.iter().map(one).collect()
        }
        _ => one(prompt).map(|text| vec![text]),
    }
}

fn stops(stop: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match stop {
        Value::Array(stops) if stops.len() <= 4 => stops.iter().map(text).collect(),
        stop => text(stop).map(|stop| vec![stop]),
    }
}
