//! The answers to a request, as a whole.

use super::choice::Choice;
use super::endpoint::Endpoint;
use super::request::Request;
use super::responses::ResponseHead;
use serde::Serialize;
use serde_json::Value;
use std::time::{SystemTime, UNIX_EPOCH};

/// The answers to a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Completion {
    /// Of chats and texts.
    Choices(Choices),
    /// The one of `/v1/responses`.
    Response(Value),
}

/// Answers below their heading.
#[derive(Debug, Serialize)]
pub struct Choices {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    choices: Vec<Choice>,
    usage: Usage,
    system_fingerprint: String,
}

/// What stands above answers, whole or in pieces.
#[derive(Clone, Debug)]
pub struct Heading {
    /// Tells them from others.
    pub name: String,
    /// Where they were asked for.
    pub endpoint: Endpoint,
    /// Seconds since 1970.
    pub created: u64,
    /// What made them.
    pub model: String,
    /// Stands for everything that they depend on besides the request.
    pub system_fingerprint: String,
}

/// How many tokens there were.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Usage {
    /// Of the prompts.
    pub prompt_tokens: usize,
    /// Of the answers.
    pub completion_tokens: usize,
    /// Of both.
    pub total_tokens: usize,
    /// Of the prompts, where it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt_tokens_details: Option<CachedTokens>,
}

/// How many tokens of prompts were computed before.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct CachedTokens {
    /// Tokens.
    pub cached_tokens: usize,
}

impl Heading {
    /// That of answers which are made now; `name` tells them from others.
    pub fn new(endpoint: Endpoint, name: &str, model: String, basis: &str) -> Heading {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Heading {
            name: name.to_owned(),
            endpoint,
            created: now.as_secs(),
            model,
            system_fingerprint: format!("fp_{}", &basis[..12]),
        }
    }

    /// What they are called.
    pub fn id(&self) -> String {
        let kind = match self.endpoint {
            Endpoint::Chat => "chatcmpl-",
            Endpoint::Texts => "cmpl-",
            Endpoint::Responses => "resp_",
        };
        format!("{kind}{}", self.name)
    }
}

impl Completion {
    /// Answers below their heading.
    pub fn new(
        request: &Request,
        heading: Heading,
        choices: Vec<Choice>,
        usage: Usage,
    ) -> Completion {
        let object = match (heading.endpoint, &choices[..]) {
            (Endpoint::Responses, [choice]) => {
                let whole = ResponseHead::new(heading, request).whole(choice, usage);
                return Completion::Response(whole);
            }
            (Endpoint::Texts, _) => "text_completion",
            _ => "chat.completion",
        };
        let id = heading.id();
        let Heading { created, model, system_fingerprint, .. } = heading;
        let choices = Choices { id, object, created, model, choices, usage, system_fingerprint };
        Completion::Choices(choices)
    }
}

impl Usage {
    /// That of prompts with so many tokens, before there is any answer.
    pub fn of_prompts(prompts: &[Vec<u32>]) -> Usage {
        let prompt_tokens = prompts.iter().map(Vec::len).sum();
        Usage { prompt_tokens, total_tokens: prompt_tokens, ..Usage::default() }
    }

    /// Counts the tokens of an answer.
    pub fn add_answer(&mut self, n_tokens: usize) {
        self.completion_tokens += n_tokens;
        self.total_tokens += n_tokens;
    }
}
