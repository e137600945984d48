//! How summaries are made, and what they depend on.

use super::cut::Cutter;
use super::facts::Facts;
use crate::jobs::{Conditions, Key};
use gatefold::sampler::Sampling;

/// How summaries are made.
pub struct Setup<'m> {
    /// Makes prompts.
    pub cutter: Cutter<'m>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// The form of facts, if these are wanted in place of prose.
    pub facts: Option<Facts>,
    /// What the model is called in the results.
    pub model_name: String,
    /// Stands for everything that answers depend on besides prompts and what is set here: the
    /// model, the context, the format of the cache.
    pub model_key: Key,
    /// Requests that are worked on together, at most.
    pub max_running: usize,
}

impl Setup<'_> {
    /// Stands for everything that an answer depends on besides its prompt.
    pub fn basis(&self) -> Key {
        let [prompts, sampling] = [self.cutter.identity(), format!("{:?}", self.sampling)];
        let facts = self.facts.as_ref().map(Facts::identity);
        let mut parts = vec![
            ("model", self.model_key.as_str().as_bytes()),
            ("prompts", prompts.as_bytes()),
            ("sampling", sampling.as_bytes()),
        ];
        parts.extend(facts.as_ref().map(|facts| ("facts", facts.as_bytes())));
        Key::of(&parts)
    }

    /// What summaries depend on besides their documents, where `of_model` is what answers do besides
    /// prompts and what is set here.
    pub fn conditions(&self, of_model: Conditions) -> Conditions {
        let prompt = self.cutter.identity();
        let sampling = format!("{:?}", self.sampling);
        let schema = self.facts.as_ref().map(Facts::identity).unwrap_or_default();
        of_model
            .with("prompt", prompt.as_bytes())
            .with("sampling", sampling.as_bytes())
            .with("schema", schema.as_bytes())
    }

    /// What tells whether the summary of a document is there already.
    pub fn key(&self, basis: &Key, id: &str, text: &str) -> Key {
        let basis = basis.as_str().as_bytes();
        Key::of(&[("basis", basis), ("id", id.as_bytes()), ("text", text.as_bytes())])
    }
}
