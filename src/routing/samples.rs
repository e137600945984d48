//! Texts that are shown token by token, with the experts that they go to.

use super::counts::Counts;
use crate::tokenizer::{TextStream, Tokenizer};
use serde::Serialize;

/// The beginning of a domain's texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The text of each token; none where a character goes on.
    pub tokens: Vec<String>,
    /// The first choice of each layer, `[n_tokens][n_layers]`.
    pub experts: Vec<Vec<usize>>,
    /// Where its texts begin, of which the last may be cut: the indices of their first tokens.
    pub starts: Vec<usize>,
}

impl Sample {
    /// What was kept of a domain.
    pub(super) fn new(counts: &Counts, domain: usize, tokenizer: &Tokenizer) -> Sample {
        let ids = counts.sample(domain);
        let documents = counts.sample_documents.with([domain]);
        let mut sample = Sample::default();
        let mut stream = TextStream::from_start(tokenizer);
        for (at, id) in ids.into_iter().enumerate() {
            if at == 0 || documents[at] != documents[at - 1] {
                // A character that is not complete does not go on in another text.
                stream = TextStream::from_start(tokenizer);
                sample.starts.push(at);
            }
            let experts = counts.sample_experts.with([domain, at]);
            sample.experts.push(experts.iter().map(|&expert| expert as usize).collect());
            sample.tokens.push(stream.push(id));
        }
        sample
    }

    /// Its texts, one by one: the tokens of each, and their experts.
    pub fn texts(&self) -> impl Iterator<Item = (&[String], &[Vec<usize>])> {
        let ends = self.starts.iter().skip(1).copied().chain([self.tokens.len()]);
        let texts = self.starts.iter().zip(ends);
        texts.map(|(&start, end)| (&self.tokens[start..end], &self.experts[start..end]))
    }
}
