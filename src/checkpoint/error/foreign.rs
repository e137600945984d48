//! What a folder holds that is no checkpoint for gatefold, and what to do about it.

use crate::text::printable;
use thiserror::Error;

/// Another kind of model than those that are read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Foreign {
    /// Weights that another program has quantized.
    #[error(
        "is quantized as {kind} (told from {told_from}), in blocks that gatefold cannot read; download the 16-bit model that it was made from{}, and quantize that, or download a GGUF of it",
        in_parentheses(base.as_deref())
    )]
    Quantized {
        /// How: `GPTQ`.
        kind: String,
        /// What tells it: `quantize_config.json`.
        told_from: &'static str,
        /// The model that it was made from, if the folder says so.
        base: Option<String>,
    },
    /// Changes to a model's weights.
    #[error(
        "holds a LoRA adapter, which is no model but a change to one{}; merge the two (PEFT: PeftModel.from_pretrained(...).merge_and_unload().save_pretrained(FOLDER)), and take that folder",
        in_parentheses(base.as_deref())
    )]
    Adapter {
        /// The model that it changes, if the folder says so.
        base: Option<String>,
    },
    /// Weights in the file of another program.
    #[error(
        "holds {file}, a model for {program}, and gatefold reads safetensors, PyTorch's files and GGUF; download the original checkpoint or a GGUF of the model"
    )]
    OtherProgram {
        /// A file that tells it.
        file: String,
        /// Whose it is.
        program: &'static str,
    },
    /// GGUF files, which are models each by itself.
    #[error(
        "is a folder of GGUF files, each of which is a model or part of one; name a file: {file}"
    )]
    Ggufs {
        /// The first of them.
        file: String,
    },
}

fn in_parentheses(base: Option<&str>) -> String {
    base.map(|base| format!(" ({})", printable(base))).unwrap_or_default()
}
