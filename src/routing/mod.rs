//! Which expert does what: the analysis of section 5 of the Mixtral paper (arXiv 2401.04088), for any
//! model with experts and any texts.
//!
//! A [`Reader`] takes [`Window`]s of texts through the model, many in a step, and hands out the
//! [`Routes`](crate::model::Routes) of each. [`Counts`] counts them, in memory that depends on the
//! model and the number of domains, not on the texts, and a [`Report`] makes figures of what was
//! counted: shares of tokens, repetition, balance, mutual information, the tokens that experts are
//! specific for. [`similarity()`] compares experts by their weights, [`ablation()`] by what is lost
//! without them, and [`unused`] tells which of them nobody needs.
//!
//! Two questions about specialization have two null hypotheses. *Does it depend on the domain where
//! tokens go?* Documents are shuffled over the domains ([`Comparison`]): not tokens, since those of one
//! document depend on each other. Even a router that has learnt nothing says yes, as hidden states
//! depend on the text, and any projection of them does. So: *does it depend more on the domain, or on
//! the kind of token, than chance would make it?* [`RandomRouters`](crate::model::RandomRouters) of the
//! same shape see the same hidden states, and the model's own router is one among them.

mod ablation;
mod counts;
mod information;
mod kinds;
mod loads;
mod reader;
mod report;
mod samples;
mod saved;
mod shares;
mod similarity;
mod soundness;
mod table;
mod tokens;

pub use ablation::{Ablation, Loss, ablation};
pub use counts::{Counts, Shape};
pub use information::{Comparison, Information};
pub use kinds::{TokenKind, TokenKinds};
pub use loads::{Unused, unused};
pub use reader::{Reader, Window, windows};
pub use report::{Domain, KindSize, LayerReport, OfDomain, OfKind, Overall, Report};
pub use samples::Sample;
pub use saved::{SavedCountsError, load, save};
pub use shares::{Balance, Repetition, Shares};
pub use similarity::{Similarity, similarity};
pub use tokens::{Example, SpecificToken};
