//! What is asked.

use super::fault::{Fault, quoted};
use super::fields::Fields;
use super::form::Form;
use super::messages::{conversation, texts};
use super::prompts::Encoded;
use super::tools::Tools;
use gatefold::engine::{self, GenerateError, PromptLogprobs, Refusal};
use gatefold::sampler::{SamplerError, Sampling};
use gatefold::tokenizer::Message;
use serde_json::{Value, json};

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
}

/// An endpoint of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Texts,
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
    /// How tokens are chosen, but for the seed.
    pub sampling: Sampling,
    /// Seed of the first answer, where one is wanted; those that follow have the numbers after it.
    pub seed: Option<u64>,
    /// Texts that end an answer.
    pub stops: Vec<String>,
    /// The form that answers are to have.
    pub form: Option<Form>,
    /// How many answers.
    pub n: usize,
    /// Of how many most probable tokens the log probabilities are wanted; none for none at all.
    pub n_logprobs: Option<usize>,
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
const MOST_ANSWERS: usize = 128;

/// Texts that end an answer. At OpenAI 4 may, and some clients send what ends turns in many templates.
const MOST_STOPS: usize = 64;

/// Tokens of an answer in `/v1/completions` that does not say how many.
const DEFAULT_TEXT_TOKENS: usize = 16;

/// How many last tokens a repeat penalty is for, where the request does not say; as in llama.cpp.
const DEFAULT_REPEAT_LAST_N: usize = 64;

/// Fields of a body that change no answer.
pub(super) const IGNORED: [&str; 11] = [
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

impl Endpoint {
    /// The endpoint with this path.
    pub fn by_path(path: &str) -> Option<Endpoint> {
        [Endpoint::Chat, Endpoint::Texts].into_iter().find(|endpoint| endpoint.path() == path)
    }

    /// Its path.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Texts => "/v1/completions",
        }
    }
}

impl Request {
    /// Understands a body. Fields that change nothing are passed over; what would change the answer and
    /// is not done here is a fault.
    ///
    /// # Errors
    /// If there is anything wrong with it.
    pub fn parse(endpoint: Endpoint, mut body: Fields) -> Result<Request, Fault> {
        let path = body.path().to_owned();
        let model = body.string("model")?;
        let (prompt, name, max_tokens, n_logprobs, echo) = match endpoint {
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
        refuse_unsupported(&mut body, endpoint)?;
        let tools = match endpoint {
            Endpoint::Chat => Tools::of(&mut body)?,
            Endpoint::Texts => None,
        };
        let stream = body.bool("stream")?.unwrap_or(false);
        let usage = usage_in_stream(&mut body, stream)?;
        let progress = body.bool("return_progress")?.unwrap_or(false);
        let mut params = params(&mut body, max_tokens, n_logprobs)?;
        if let (Some(_), Some(form)) = (&tools, &params.form) {
            let param = &form.param;
            let message = format!(
                "{param} asks for a form, and there are tools; expected one of them, or \"none\" as {path}tool_choice"
            );
            return Err(Fault::at("invalid_value", param, message));
        }
        params.form = params.form.or_else(|| tools.as_ref()?.form(&path));
        body.finish(&IGNORED)?;
        let wants = Wants { stream, usage, progress, echo };
        let prompt_field = if endpoint == Endpoint::Chat { "messages" } else { "prompt" };
        let request = Request { prompt, params, wants, tools, model, name, path, prompt_field };
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
            Prompt::Chat(_) => Endpoint::Chat,
            Prompt::Texts(_) => Endpoint::Texts,
        }
    }

    /// Whether it is a conversation.
    pub fn is_chat(&self) -> bool {
        self.endpoint() == Endpoint::Chat
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

impl Params {
    /// How the tokens of an answer are chosen; `seed` is for where none is wanted.
    pub fn seeded(&self, answer_idx: usize, seed: u64) -> Sampling {
        let seed = self.seed.unwrap_or(seed).wrapping_add(answer_idx as u64);
        Sampling { seed, ..self.sampling.clone() }
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
fn refuse_unsupported(body: &mut Fields, endpoint: Endpoint) -> Result<(), Fault> {
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
    };
    // vLLM's.
    let both = [("min_tokens", json!(0)), ("ignore_eos", json!(false))];
    neutral.iter().chain(&both).try_for_each(|(name, neutral)| body.unsupported(name, neutral))
}

fn usage_in_stream(body: &mut Fields, stream: bool) -> Result<bool, Fault> {
    let Some(options) = body.take("stream_options") else { return Ok(false) };
    if !stream {
        return Err(body.wrong("stream", "not true", "true where there are stream_options"));
    }
    let mut options = Fields::of(options, format!("{}stream_options.", body.path()))?;
    let usage = options.bool("include_usage")?.unwrap_or(false);
    options.finish(&["include_obfuscation"])?;
    Ok(usage)
}

/// How answers are made, which both endpoints say alike.
pub(super) fn params(
    body: &mut Fields,
    max_tokens: Option<usize>,
    n_logprobs: Option<usize>,
) -> Result<Params, Fault> {
    let stops = match body.take("stop") {
        None => Vec::new(),
        Some(stop) => match stops(&stop) {
            Some(stops) => stops,
            None => {
                let expected = format!("a string, or up to {MOST_STOPS} of them");
                return Err(body.wrong("stop", quoted(&stop), expected));
            }
        },
    };
    Ok(Params {
        max_tokens,
        sampling: sampling(body)?,
        seed: body.bits("seed")?,
        stops,
        form: Form::of(body)?,
        n: body.count("n", 1..=MOST_ANSWERS)?.unwrap_or(1),
        n_logprobs,
    })
}

fn sampling(body: &mut Fields) -> Result<Sampling, Fault> {
    let temperature = body.number("temperature", 0.0..=2.0)?.unwrap_or(1.0);
    let top_p = body.number("top_p", 0.0..=1.0)?.unwrap_or(1.0);
    // llama.cpp's name, and vLLM's.
    let penalty = 0.01..=100.0;
    let repeat_penalty = body.number("repetition_penalty", penalty.clone())?;
    let repeat_penalty = body.number("repeat_penalty", penalty)?.or(repeat_penalty);
    Ok(Sampling {
        temperature,
        top_k: body.count_or_all("top_k", 0)?.unwrap_or(0),
        top_p,
        min_p: body.number("min_p", 0.0..=1.0)?.unwrap_or(0.0),
        repeat_penalty: repeat_penalty.unwrap_or(1.0),
        repeat_last_n: body
            .count_or_all("repeat_last_n", usize::MAX)?
            .unwrap_or(DEFAULT_REPEAT_LAST_N),
        presence_penalty: body.number("presence_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        frequency_penalty: body.number("frequency_penalty", -2.0..=2.0)?.unwrap_or(0.0),
        logit_bias: logit_bias(body)?,
        seed: 0,
    })
}

fn logit_bias(body: &mut Fields) -> Result<Vec<(u32, f32)>, Fault> {
    let Some(bias) = body.take("logit_bias") else { return Ok(Vec::new()) };
    let one = |(id, bias): (&String, &Value)| {
        let bias = bias.as_f64().filter(|bias| (-100.0..=100.0).contains(bias))?;
        Some((id.parse::<u32>().ok()?, bias as f32))
    };
    let of = |bias: &Value| bias.as_object()?.iter().map(one).collect::<Option<Vec<_>>>();
    let mut biases = of(&bias).ok_or_else(|| {
        let expected = "an object of token ids, each with a number from -100 to 100";
        body.wrong("logit_bias", quoted(&bias), expected)
    })?;
    biases.sort_by(|(id, bias), (other_id, other)| id.cmp(other_id).then(bias.total_cmp(other)));
    Ok(biases)
}

fn stops(stop: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match stop {
        Value::Array(stops) if stops.len() <= MOST_STOPS => stops.iter().map(text).collect(),
        stop => text(stop).map(|stop| vec![stop]),
    }
}
