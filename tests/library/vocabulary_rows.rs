//! Vocabularies with more or fewer tokens than their models have embeddings.

use crate::tokenizer_folder::{BYTE_LEVEL, MODEL, folder, id, pieces, read, refused};
use gatefold::checkpoint::{Folder, vocabulary};
use gatefold::engine::{Engine, Options, Request};
use gatefold::gguf::{Array, Metadata, Value};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::{Specials, Tokenizer};
use gatefold::{Compute, LanguageModel};
use gatefold_fixtures::tiny_model::Model;

const TOKENS: [&str; 8] = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "<|im_end|>"];

/// The tiny model, which has embeddings for 5 tokens, with this many.
fn tiny(n_tokens: usize) -> Model {
    let mut model = Model::with_merged_experts();
    let tokens = TOKENS[..n_tokens].iter().map(|&token| token.to_owned()).collect();
    let kinds = [2, 3, 3, 1, 1, 1, 1, 3][..n_tokens].to_vec();
    model.metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    model.metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; n_tokens])));
    model.metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    model
}

fn open(model: &Model) -> LanguageModel {
    let (_folder, path) = model.write();
    LanguageModel::open(path).unwrap()
}

#[test]
fn tokens_without_an_embedding_are_left_out_of_a_gguf() {
    let mut model = tiny(8);
    model.metadata.set("tokenizer.ggml.eos_token_id", Value::U32(7));
    let model = open(&model);
    let notes: Vec<&str> = model.notes().collect();
    let expected = "no embedding for `b` (id 5), `ab` (id 6), `<|im_end|>` (id 7): left out";
    assert!(notes.len() == 1 && notes[0].contains(expected), "{notes:?}");
    let tokenizer = &model.tokenizer;
    assert_eq!((tokenizer.n_vocab(), model.model.n_vocab()), (5, 5));
    assert_eq!(tokenizer.eos(), Some(2), "the token of that name, for want of the other");
    assert!(!tokenizer.ends_generation(7));
    let ids = tokenizer.encode("aba<|im_end|>", Specials::Parse).unwrap();
    assert!(ids.iter().all(|&id| id < 5), "{ids:?}");
}

#[test]
fn embeddings_without_a_token_are_never_chosen() {
    let ones = |bytes: &mut [u8]| {
        bytes.as_chunks_mut().0.iter_mut().for_each(|one| *one = 1f32.to_le_bytes());
    };
    for n_tokens in [5, 4] {
        let mut model = tiny(n_tokens);
        // The last token is by far the most probable one.
        for name in ["token_embd.weight", "output_norm.weight"] {
            ones(model.bytes_of(name));
        }
        ones(&mut model.bytes_of("output.weight")[4 * 32 * 4..]);
        let model = open(&model);
        let n_notes = usize::from(n_tokens == 4);
        assert_eq!(model.notes().filter(|note| note.contains("never produced")).count(), n_notes);
        assert_eq!((model.tokenizer.n_vocab(), model.model.n_vocab()), (5, 5));
        let engine = Engine::new(&model, Compute::detect().unwrap(), Options::for_model(&model));
        let engine = engine.unwrap().spawn().unwrap();
        for temperature in [0.0, 2.0] {
            let sampling = Sampling { temperature, top_k: 0, ..Sampling::default() };
            let mut request = Request::new(vec![1, 3], sampling);
            request.max_tokens = Some(20);
            let answer = engine.submit(request).unwrap().wait().unwrap();
            let has_last = answer.tokens.contains(&4);
            assert_eq!(has_last, n_tokens == 5, "{n_tokens} tokens, temperature {temperature}");
        }
    }
}

#[test]
fn vocabularies_of_other_models_are_refused() {
    let mut model = tiny(5);
    let tokens: Vec<String> = (0..2000).map(|id| format!("<{id}>")).collect();
    model.metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(tokens)));
    let (_folder, path) = model.write();
    let error = LanguageModel::open(path).unwrap_err().to_string();
    assert!(error.contains("has 5 rows") && error.contains("has 2000 tokens"), "{error}");
    for (n_vocab, files) in [
        (32_000, &[("tokenizer.model", MODEL)]),
        (128_256, &[("tokenizer.json", BYTE_LEVEL.as_bytes())]),
    ] {
        let embeddings = format!("embeddings for {n_vocab}");
        refused(n_vocab, files, &["42", &embeddings, "do not belong together"]);
    }
    let beyond = br#"{"added_tokens_decoder": {"18446744073709551615": {"content": "x"}}}"#;
    let beyond: &[(&str, &[u8])] = &[("tokenizer.model", MODEL), ("tokenizer_config.json", beyond)];
    refused(420, beyond, &["tokenizer_config.json", "embeddings for 420"]);
}

/// What a folder's metadata and notes are.
fn read_noted(n_vocab: usize, files: &[(&str, &[u8])]) -> (Metadata, Vec<String>) {
    let (folder, mut metadata) = (folder(files), Metadata::new());
    let there = Folder::open(folder.path()).unwrap();
    let notes = vocabulary::read(&there, n_vocab, &mut metadata).unwrap();
    (metadata, notes)
}

#[test]
fn added_tokens_without_an_embedding_are_left_out_of_a_checkpoint() {
    let config = br#"{"eos_token": "<|im_end|>", "pad_token": "<pad>"}"#;
    let ids = br#"{"eos_token_id": [421, 2], "pad_token_id": 420, "bos_token_id": 421}"#;
    let (metadata, notes) = read_noted(
        420,
        &[
            ("tokenizer.model", MODEL),
            ("added_tokens.json", br#"{"<pad>": 420, "<|im_end|>": 421}"#),
            ("tokenizer_config.json", config),
            ("generation_config.json", ids),
        ],
    );
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].contains("`<pad>` (id 420), `<|im_end|>` (id 421)"), "{notes:?}");
    assert_eq!(pieces(&metadata).0.len(), 420);
    let ids = ["bos", "eos", "padding", "eot"].map(|name| id(&metadata, name));
    assert_eq!(ids, [Some(1), Some(2), None, None]);
    Tokenizer::from_metadata(&metadata).unwrap();
}

#[test]
fn pieces_without_an_embedding_take_their_merges_along() {
    let (metadata, notes) = read_noted(400, &[("tokenizer.json", BYTE_LEVEL.as_bytes())]);
    assert!(notes.len() == 1 && notes[0].contains("and 17 more"), "{notes:?}");
    let merges =
        |metadata: &Metadata| metadata.strings("tokenizer.ggml.merges").unwrap().unwrap().to_vec();
    let all = merges(&read(421, &[("tokenizer.json", BYTE_LEVEL.as_bytes())]));
    assert_eq!(merges(&metadata)[..], all[..all.len() - 20]);
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    let ids = tokenizer.encode("The capital of France is Paris.", Specials::Parse).unwrap();
    assert!(ids.iter().all(|&id| id < 400));
}

#[test]
fn rows_beyond_the_vocabulary_of_a_checkpoint_are_padding() {
    let (metadata, notes) = read_noted(448, &[("tokenizer.model", MODEL)]);
    assert!(notes.len() == 1 && notes[0].contains("28 embeddings without a token"), "{notes:?}");
    assert_eq!(pieces(&metadata).0[447], "[PAD447]");
    let tokenizer = Tokenizer::from_metadata(&metadata).unwrap();
    assert_eq!(tokenizer.padding()[..], (420..448).collect::<Vec<u32>>()[..]);
}
