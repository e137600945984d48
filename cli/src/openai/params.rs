//! How answers are made.

use super::endpoint::Endpoint;
use super::fault::{Fault, quoted};
use super::fields::Fields;
use super::form::Form;
use super::request::MOST_ANSWERS;
use super::tools::Tools;
use gatefold::sampler::Sampling;
use serde_json::Value;

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

/// Texts that end an answer. At OpenAI 4 may, and some clients send what ends turns in many templates.
const MOST_STOPS: usize = 64;

/// How many last tokens a repeat penalty is for, where the request does not say; as in llama.cpp.
const DEFAULT_REPEAT_LAST_N: usize = 64;

impl Params {
    /// How the tokens of an answer are chosen; `seed` is for where none is wanted.
    pub fn seeded(&self, answer_idx: usize, seed: u64) -> Sampling {
        let seed = self.seed.unwrap_or(seed).wrapping_add(answer_idx as u64);
        Sampling { seed, ..self.sampling.clone() }
    }
}

/// How answers are made, and the functions that they may call, which all endpoints say alike.
pub(super) fn params(
    body: &mut Fields,
    endpoint: Endpoint,
    max_tokens: Option<usize>,
    n_logprobs: Option<usize>,
) -> Result<(Params, Option<Tools>), Fault> {
    let tools = Tools::of(body, endpoint)?;
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
    let params = Params {
        max_tokens,
        sampling: sampling(body)?,
        seed: body.bits("seed")?,
        stops,
        form: form(body, endpoint, tools.as_ref())?,
        n: body.count("n", 1..=MOST_ANSWERS)?.unwrap_or(1),
        n_logprobs,
    };
    Ok((params, tools))
}

/// The form of answers, which may be that of calls.
fn form(
    body: &mut Fields,
    endpoint: Endpoint,
    tools: Option<&Tools>,
) -> Result<Option<Form>, Fault> {
    let (form, path) = (Form::of(body, endpoint)?, body.path());
    let (Some(form), Some(_)) = (&form, tools) else {
        return Ok(form.or_else(|| tools?.form(path)));
    };
    let param = &form.param;
    let message = format!(
        "{param} asks for a form, and there are tools; expected one of them, or \"none\" as {path}tool_choice"
    );
    Err(Fault::at("invalid_value", param, message))
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
