//! Seals: what stands at the end of a shard's results, by which they can be put together.

use super::key::Key;
use super::shard::Shard;
use gatefold::LanguageModel;
use gatefold::engine::Options;
use gatefold::text::hex;
use gatefold::tokenizer::ChatTemplate;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// How the line of a seal begins.
pub const SEAL_START: &str = "{\"gatefold_shard\":";

/// What results depend on besides what is asked, by name: each as a hash, which tells whether two are
/// the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conditions(BTreeMap<String, String>);

impl Conditions {
    /// Those of a kind of work by a model, as [`Key::of_model`] has them.
    pub fn new(
        work: &str,
        model: &LanguageModel,
        template: &ChatTemplate,
        options: &Options,
    ) -> Conditions {
        let parts = Key::parts_of_model(model, template, options);
        let conditions = Conditions::default().with("kind of work", work.as_bytes());
        parts.iter().fold(conditions, |conditions, (name, part)| conditions.with(name, part))
    }

    /// These, and one more.
    pub fn with(mut self, name: &str, part: &[u8]) -> Conditions {
        self.0.insert(name.into(), short_hash(part));
        self
    }

    /// The first that is not the same elsewhere.
    pub fn difference<'a>(&'a self, other: &'a Conditions) -> Option<&'a str> {
        let mut names = self.0.keys().chain(other.0.keys());
        names.find(|name| self.0.get(*name) != other.0.get(*name)).map(String::as_str)
    }
}

/// A shard of some work, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Which.
    #[serde(rename = "gatefold_shard")]
    pub shard: Shard,
    /// What its results depend on besides what is asked.
    pub conditions: Conditions,
    /// Pieces of work in all shards.
    pub n_all: u64,
    /// Stands for all of these, in their order: for their names, and for what is asked as far as every
    /// shard knows it.
    pub pieces: String,
    /// Pieces of work in this one.
    pub n_own: u64,
}

impl Part {
    /// Of work of which nothing is known yet.
    pub fn new(shard: Shard, conditions: Conditions) -> Part {
        Part { shard, conditions, n_all: 0, pieces: String::new(), n_own: 0 }
    }

    /// Takes note of the next piece of work, and tells whether it is this shard's. `key` stands for what
    /// is asked, where that is known of the pieces of all shards.
    pub fn take(&mut self, name: &str, key: Option<&Key>) -> bool {
        let mut parts = vec![("before", self.pieces.as_bytes()), ("name", name.as_bytes())];
        parts.extend(key.map(|key| ("key", key.as_str().as_bytes())));
        self.pieces = Key::of(&parts).as_str().into();
        let is_own = self.shard.has(name);
        self.n_all += 1;
        self.n_own += u64::from(is_own);
        is_own
    }
}

/// The end of the results of a shard that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    #[serde(flatten)]
    pub part: Part,
    /// The lines before it.
    pub lines: Vec<SealedLine>,
}

/// A line of results: the number of its piece of work among all, if it is one of these, and what
/// tells whether it is still the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SealedLine(pub Option<u64>, pub String);

/// Tells a line from others.
pub(super) fn line_hash(line: &[u8]) -> String {
    short_hash(line)
}

fn short_hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes)[..16])
}
