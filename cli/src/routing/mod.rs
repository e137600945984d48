//! Which expert does what: texts become counts, counts become tables, pictures and a page.
//!
//! [`Corpus`] has the texts and their domains, [`Reading`] counts what a model's routers make of them,
//! or of the model's [`Answers`] to them, and [`Analysis`] is what came out, for JSON. `findings` puts
//! it in sentences, `table` on a terminal; `pictures` draws it with `svg`, and `page` puts all of it in
//! one file of HTML. `colours` are the experts'.

mod answers;
mod charts;
mod colours;
mod corpus;
mod findings;
mod page;
mod pictures;
mod svg;
mod table;
mod work;

pub use answers::Answers;
pub use colours::paint;
pub use corpus::{Corpus, CorpusError};
pub use findings::{describe_unused, findings};
pub use page::page;
pub use pictures::{PICTURES, Picture, pictures};
pub use table::table;
pub use work::{Kept, Reading, Source, check_apart};

use gatefold::routing::{Ablation, Report, Similarity, Unused};
use serde::Serialize;

/// What figures depend on beside the texts, so that they can be had again.
#[derive(Serialize)]
pub struct Settings {
    /// The program's version.
    pub version: &'static str,
    /// What identifies the model, as hexadecimal digits.
    pub fingerprint: String,
    /// Most tokens of an answer, where it is those that were counted.
    pub generate: Option<u32>,
    /// Type of the KV cache.
    pub cache_type: &'static str,
    /// Seed of the random routers.
    pub seed: u64,
}

/// All that is known of a model's experts.
#[derive(Serialize)]
pub struct Analysis {
    /// What the model is called.
    pub model: String,
    /// What figures depend on.
    #[serde(flatten)]
    pub settings: Settings,
    /// Tokens of a window.
    pub window: usize,
    /// Whether it is the answers to the texts that were counted.
    pub answers: bool,
    /// What was counted.
    #[serde(flatten)]
    pub report: Report,
    /// Experts that are dead or starved.
    pub unused: Vec<Unused>,
    /// How alike experts are, where that was asked for.
    pub similarity: Option<Vec<Similarity>>,
    /// What is lost without each, where that was asked for.
    pub ablation: Option<Vec<Ablation>>,
}
