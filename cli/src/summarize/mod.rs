//! Documents in, summaries out: splitting, prompts, and summaries of summaries.
//!
//! `setup` says how; `plan` sees all documents once and knows what there is to do; [`Summarizer`] is
//! the work, which keeps an engine busy, and `progress` knows how far it is. Each document on its way
//! is a `reduction`: `cut` makes its text one prompt if it fits into the context, else one for each
//! part, where `split` knows good places to cut; the answers to the parts are the next text. `prompt`
//! has the words, `facts` the form of answers that are none, `line` and `form` what is written,
//! `output` and `beside` where.

mod beside;
mod cut;
mod error;
mod facts;
mod form;
mod line;
mod output;
mod plan;
mod progress;
mod prompt;
mod reduction;
mod setup;
mod split;
mod work;

pub use cut::{Cutter, Extent};
pub use error::{Failure, Obstacle, SummarizeError};
pub use facts::{Facts, Said};
pub use form::Form;
pub use line::{FailedLine, Line, Summary};
pub use output::{Earlier, Output, files, for_each_summary};
pub use plan::{Entry, Plan};
pub use progress::{Progress, Truncations};
pub use prompt::{Length, PromptOptions, Prompts};
pub use setup::Setup;
pub use work::Summarizer;
