//! GGUF files: the header and, where it describes a model, the model's sizes, vocabulary and one
//! step.
//!
//! An input is the header. Zeros stand for the weights, which the parser does not look at.

use crate::accepted;
use gatefold::engine::LogitsSession;
use gatefold::gguf::{Bytes, Gguf};
use gatefold::inspect::Report;
use gatefold::{Compute, DynFormat, Isa, LanguageModel};
use gatefold_fixtures::tiny_model::Model;
use std::sync::OnceLock;

/// More than the weights of the seeds.
const DATA_BYTES: usize = 1 << 17;

/// Longest context that a step is taken with.
const CONTEXT_LEN: usize = 16;

/// Opens the file, with weights behind the header and as it is.
pub fn run(bytes: &[u8]) {
    open(bytes.to_vec());
    open([bytes, &[0; DATA_BYTES]].concat());
}

fn open(file: Vec<u8>) {
    let n_bytes = file.len();
    let Some(gguf) = accepted(Gguf::from_bytes("fuzz.gguf", Bytes::from(file))) else { return };
    for tensor in gguf.tensors() {
        let (cols, rows) = tensor.shape.split_last().expect("a tensor has a dimension");
        let row_bytes = tensor.format.row_bytes(*cols).expect("rows are whole blocks");
        assert_eq!(tensor.bytes.len(), row_bytes * rows.iter().product::<usize>());
        assert!(tensor.offset as usize + tensor.bytes.len() <= n_bytes);
    }
    if let Some(report) = accepted(Report::new(&gguf, None)) {
        let _ = report.with_tensors(&gguf).to_string();
    }
    let Some(language) = accepted(LanguageModel::from_gguf(gguf)) else { return };
    accepted(language.name());
    // What a template says may have several lines.
    let _ = language.chat_template();
    accepted(language.tokenizer.encode_text("a </s>é\n a"));
    static COMPUTE: OnceLock<Compute> = OnceLock::new();
    let compute = COMPUTE.get_or_init(|| Compute::new(Isa::detect(), Some(1)).expect("one thread"));
    let format = DynFormat::by_name("F32").expect("there is F32");
    let session = LogitsSession::new(&language.model, compute, format, CONTEXT_LEN, CONTEXT_LEN);
    if let Some(mut session) = accepted(session) {
        accepted(session.prefill(&[0, 1, 2]));
    }
}

/// The headers of the tiny model in both layouts of experts.
pub fn seeds() -> Vec<Vec<u8>> {
    let models = [Model::with_merged_experts(), Model::with_separate_experts()];
    let header = |model: &Model| {
        let file = model.file();
        let n_weight_bytes: usize =
            model.tensors.iter().map(|(_, bytes)| bytes.len().next_multiple_of(32)).sum();
        assert!(n_weight_bytes < DATA_BYTES);
        file[..file.len() - n_weight_bytes].to_vec()
    };
    models.iter().map(header).collect()
}
