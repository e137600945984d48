//! What is asked.

use super::endpoint::Endpoint;
use super::fault::{Fault, quoted};
use super::fields::Fields;
use super::messages::{conversation, texts};
use super::params::{Params, params};
use super::prompts::Encoded;
use super::responses;
use super::tools::Tools;
use gatefold::engine::{self, GenerateError, PromptLogprobs, Refusal};
use gatefold::sampler::SamplerError;
use gatefold::tokenizer::Message;
use serde_json::{Map, Value, json};

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// What answers follow.
    pub prompt: Prompt,
    /// How they are made.
    pub params: Params,
    /// What is wanted beside the text.
    pub wants: Wants,
    /// The functions that answers may call.
    pub tools: Option<Tools>,
    /// The model that is to make them.
    pub model: Option<String>,
    /// The number of the first message whose writer has a name, and that name.
    pub name: Option<(usize, String)>,
    /// What stands before names of fields in messages: `body.` in a line of a batch.
    pub path: String,
    /// The field that has the prompt.
    pub prompt_field: &'static str,
    /// What an answer of `/v1/responses` tells again of it.
    pub told_again: Option<Map<String, Value>>,
}

/// What answers follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Prompt {
    /// A conversation.
    Chat(Vec<Message>),
    /// Texts, each with answers of its own.
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

/// What is wanted beside the text of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The answer in pieces, as they are made.
    pub stream: bool,
    /// Behind those pieces, how many tokens there were.
    pub usage: bool,
    /// Before them, how far the prompt is computed; as llama.cpp's server tells it.
    pub progress: bool,
    /// The prompt before the answer, with its log probabilities where those of the answer are wanted.
    pub echo: bool,
}

/// Bytes of a body: a long document in a conversation has a tenth of it.
pub const MOST_BODY_BYTES: usize = 4 << 20;

/// Answers to one request, each of which takes a copy of its prompt.
pub(super) const MOST_ANSWERS: usize = 128;

/// Tokens of an answer in `/v1/completions` that does not say how many.
const DEFAULT_TEXT_TOKENS: usize = 16;

/// Fields of a body that change no answer.
pub(crate) const IGNORED: [&str; 11] = [
    "cache_prompt",
    // Whose grammars enforce a form.
    "guided_decoding_backend",
    "keep_alive",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "timings_per_token",
    "user",
];

impl Request {
    /// Understands a body. Fields that change nothing are passed over; what would change the answer and
    /// is not done here is a fault.
    ///
    /// # Errors
    /// If there is anything wrong with it.
    pub fn parse(endpoint: Endpoint, mut body: Fields) -> Result<Request, Fault> {
        let (prompt, name, max_tokens, n_logprobs, echo) = match endpoint {
            Endpoint::Responses => return responses::parse(body),
            Endpoint::Chat => {
                let (prompt, name) = conversation(&mut body)?;
                let max_tokens = body.limit("max_tokens", 1)?;
                let max_tokens = body.limit("max_completion_tokens", 1)?.or(max_tokens);
                (prompt, name, max_tokens.flatten(), chat_logprobs(&mut body)?, false)
            }
            Endpoint::Texts => {
                let prompt = Prompt::Texts(texts(&mut body, MOST_ANSWERS)?);
                let max_tokens = body.limit("max_tokens", 0)?;
                let max_tokens = max_tokens.unwrap_or(Some(DEFAULT_TEXT_TOKENS));
                let n_logprobs = body.count("logprobs", 0..=5)?;
                let echo = body.bool("echo")?.unwrap_or(false);
                (prompt, None, max_tokens, n_logprobs, echo)
            }
        };
        let (path, model) = (body.path().to_owned(), body.string("model")?);
        refuse_unsupported(&mut body, endpoint)?;
        let stream = body.bool("stream")?.unwrap_or(false);
        let usage = usage_in_stream(&mut body, stream)?;
        let progress = body.bool("return_progress")?.unwrap_or(false);
        let (params, tools) = params(&mut body, endpoint, max_tokens, n_logprobs)?;
        body.finish(&IGNORED)?;
        let wants = Wants { stream, usage, progress, echo };
        let prompt_field = if endpoint == Endpoint::Chat { "messages" } else { "prompt" };
        let told_again = None;
        let request =
            Request { prompt, params, wants, tools, model, name, path, prompt_field, told_again };
        let n_prompts = request.n_prompts();
        if n_prompts * request.params.n > MOST_ANSWERS {
            let (param, n) = (request.param("n"), request.params.n);
            let message = format!(
                "{param} is {n} for {n_prompts} prompts; expected {MOST_ANSWERS} answers in all at most"
            );
            return Err(Fault::at("invalid_value", param, message));
        }
        Ok(request)
    }

    /// That it asks for this model, if it names one.
    ///
    /// # Errors
    /// If it asks for another.
    pub fn expect_model(&self, expected: &str) -> Result<(), Fault> {
        let Some(model) = self.model.as_ref().filter(|model| *model != expected) else {
            return Ok(());
        };
        let param = self.param("model");
        let [model, expected] = [model, expected].map(|name| quoted(&name.into()));
        let message = format!("{param} is {model}; expected {expected}, the model that runs");
        Err(Fault::at("model_not_found", param, message).with_status(404))
    }

    /// Where it is asked.
    pub fn endpoint(&self) -> Endpoint {
        match self.prompt {
            Prompt::Chat(_) if self.told_again.is_some() => Endpoint::Responses,
            Prompt::Chat(_) => Endpoint::Chat,
            Prompt::Texts(_) => Endpoint::Texts,
        }
    }

    /// Whether it is a conversation.
    pub fn is_chat(&self) -> bool {
        matches!(self.prompt, Prompt::Chat(_))
    }

    /// How many prompts there are, each with its own answers.
    pub fn n_prompts(&self) -> usize {
        match &self.prompt {
            Prompt::Chat(_) => 1,
            Prompt::Texts(texts) => texts.len(),
        }
    }

    /// How many answers are wanted.
    pub fn n_answers(&self) -> usize {
        self.n_prompts() * self.params.n
    }

    /// What the engine is asked for: those answers, in their order, to the request as it is `encoded`.
    /// `max_tokens` and `seed` are for where the request does not say.
    pub fn of_engine(
        &self,
        encoded: &Encoded,
        max_tokens: Option<usize>,
        seed: u64,
    ) -> impl Iterator<Item = engine::Request> {
        let params = &self.params;
        let prompt_logprobs = params.n_logprobs.filter(|_| self.wants.echo);
        (0..self.n_answers()).map(move |idx| engine::Request {
            is_own_text: self.is_chat(),
            max_tokens: params.max_tokens.or(max_tokens),
            stops: params.stops.clone(),
            constraint: encoded.constraint.clone(),
            n_logprobs: params.n_logprobs,
            prompt_logprobs: prompt_logprobs.map(|n_top| PromptLogprobs { first: 1, n_top }),
            ..engine::Request::new(
                encoded.prompts[idx / params.n].clone(),
                params.seeded(idx, seed),
            )
        })
    }

    /// What it means for the request that the engine refuses it.
    pub fn refused(&self, refusal: &Refusal) -> Fault {
        let param = self.param(self.prompt_field);
        match refusal {
            Refusal::EmptyPrompt => Fault::at("invalid_value", param, refusal.to_string()),
            // Clients see by these words that they should shorten it.
            Refusal::Model(error) => {
                let message = format!("the prompt is too long: {error}");
                Fault::at("context_length_exceeded", param, message)
            }
            // Another run may have more memory.
            _ => Fault::ours("out_of_memory", refusal.to_string()),
        }
    }

    /// What it means for the request that the engine has failed at it. A form that leads nowhere does
    /// so again.
    pub fn failed(&self, error: &GenerateError) -> Fault {
        match (error, &self.params.form) {
            (
                GenerateError::Constraint(_) | GenerateError::Sampler(SamplerError::NothingAllowed),
                Some(form),
            ) => Fault::at("form_failed", &form.param, format!("{}: {error}", form.param)),
            _ => Fault::ours("model_failed", error.to_string()),
        }
    }

    /// What messages call a field.
    pub(super) fn param(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}

fn chat_logprobs(body: &mut Fields) -> Result<Option<usize>, Fault> {
    let wants_logprobs = body.bool("logprobs")?.unwrap_or(false);
    let n_logprobs = body.count("top_logprobs", 0..=20)?;
    if n_logprobs.is_some() && !wants_logprobs {
        return Err(body.wrong("logprobs", "not true", "true where there are top_logprobs"));
    }
    Ok(wants_logprobs.then_some(n_logprobs.unwrap_or(0)))
}

/// That nothing is asked for which is not done.
pub(super) fn refuse_unsupported(body: &mut Fields, endpoint: Endpoint) -> Result<(), Fault> {
    let neutral: &[(&str, Value)] = match endpoint {
        Endpoint::Chat => &[
            ("audio", json!([])),
            ("function_call", json!([])),
            ("functions", json!([])),
            ("prediction", json!([])),
            ("web_search_options", json!([])),
            ("modalities", json!(["text"])),
            ("verbosity", json!("medium")),
        ],
        Endpoint::Texts => &[("best_of", json!(1)), ("suffix", json!(""))],
        Endpoint::Responses => &[
            ("background", json!(false)),
            ("context_management", json!([])),
            ("conversation", json!("")),
            ("n", json!(1)),
            ("prompt", json!({})),
            ("truncation", json!("disabled")),
        ],
    };
    // vLLM's.
    let all = [("min_tokens", json!(0)), ("ignore_eos", json!(false))];
    neutral.iter().chain(&all).try_for_each(|(name, neutral)| body.unsupported(name, neutral))
}

fn usage_in_stream(body: &mut Fields, stream: bool) -> Result<bool, Fault> {
    let Some(mut options) = body.object("stream_options")? else { return Ok(false) };
    if !stream {
        return Err(body.wrong("stream", "not true", "true where there are stream_options"));
    }
    let usage = options.bool("include_usage")?.unwrap_or(false);
    options.finish(&["include_obfuscation"])?;
    Ok(usage)
}
