//! One module per target.

pub mod batch_line;
pub mod chat_template;
pub mod gguf;
pub mod grammar;
pub mod html;
pub mod imatrix;
pub mod jsonl;
pub mod prefix_file;
pub mod safetensors;
pub mod sentencepiece;
pub mod tokenizer_json;
pub mod torch_file;
pub mod torch_pickle;
pub mod vocabulary;

use crate::Target;

macro_rules! targets {
    ($($name:ident),*) => {
        [$(Target { name: stringify!($name), run: $name::run, seeds: $name::seeds }),*]
    };
}

/// All targets.
pub const ALL: [Target; 14] = targets![
    batch_line,
    chat_template,
    gguf,
    grammar,
    html,
    imatrix,
    jsonl,
    prefix_file,
    safetensors,
    sentencepiece,
    tokenizer_json,
    torch_file,
    torch_pickle,
    vocabulary
];
