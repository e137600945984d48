//! From a checkpoint to a GGUF: which format each tensor gets, and the work itself.
//!
//! 1. [`recipe`]: a table from a tensor's [role](crate::architecture::Role) to a format, per type;
//! 2. `plan`: what becomes of each tensor of a checkpoint, and in which file it goes;
//! 3. `output`: the files being written, what of them is finished (`journal`), where they go
//!    (`paths`), and how a run resumes;
//! 4. `pipeline`: read, quantize (`slice`) and write (`sink`), at once and in bounded memory;
//!    `weighing` makes of an importance matrix how much each weight's error counts.

mod error;
mod journal;
mod output;
mod paths;
mod pipeline;
mod plan;
pub mod recipe;
mod sink;
mod slice;
mod weighing;

pub use error::QuantizeError;
pub use output::{Change, Output, Start};
pub use pipeline::{Progress, quantize};
pub use plan::{NamedImatrix, Options, Override, Plan, PlanError, PlannedTensor, Reason};
