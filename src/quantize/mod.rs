//! From a checkpoint to a GGUF: which format each tensor gets, and the work itself.
//!
//! 1. [`recipe`]: a table from a tensor's [`role`] to a format, per type;
//! 2. [`plan`]: what becomes of each tensor of a checkpoint, and in which file it goes;
//! 3. [`pipeline`]: read, quantize and write, at once and in bounded memory;
//! 4. [`output`]: the files being written, what of them is finished, and how a run resumes.

pub mod output;
pub mod pipeline;
pub mod plan;
pub mod recipe;
pub mod role;

pub use pipeline::{QuantizeError, quantize};
pub use plan::{Override, Plan, PlanError, PlannedTensor, Reason, Wishes};
pub use recipe::Recipe;
