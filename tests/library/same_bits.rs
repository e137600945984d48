//! The numeric contract: the same bits for every instruction set, number of threads, chunking and
//! company.

use gatefold::Compute;
use gatefold::model::{Chunk, KvCache, Model, Wanted};
use gatefold::{DynFormat, FORMATS, Isa};
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::ExpertLayout;

const N_VOCAB: usize = 256;

fn model(format: &str) -> Model {
    Model::load(&random_mixtral::gguf(N_VOCAB, format, ExpertLayout::Merged)).unwrap()
}

fn cache(model: &Model, format: &str) -> KvCache {
    KvCache::new(model.config(), DynFormat::by_name(format).unwrap(), 2048).unwrap()
}

/// Text-like ids: neither one token repeated nor a plain sequence.
fn tokens(n_tokens: usize, seed: usize) -> Vec<u32> {
    (0..n_tokens).map(|i| ((i * i * 31 + i * 7 + seed * 101) % N_VOCAB) as u32).collect()
}

/// The bits of the logits after each of the last two tokens, the last one fed by itself.
fn bits(
    model: &Model,
    compute: &Compute,
    cache_format: &str,
    tokens: &[u32],
    chunk_len: usize,
) -> Vec<u32> {
    let mut cache = cache(model, cache_format);
    let (prompt, last) = tokens.split_at(tokens.len() - 1);
    let mut logits = Vec::new();
    for tokens in prompt.chunks(chunk_len).chain([last]) {
        let chunk = Chunk { cache: &mut cache, tokens, wanted: Wanted::Last };
        let step = model.forward(compute, &mut [chunk]).unwrap();
        logits = [logits, step.values].concat();
        logits.drain(..logits.len().saturating_sub(2 * N_VOCAB));
    }
    logits.iter().map(|logit| logit.to_bits()).collect()
}

/// Everything that computes, with the chunk lengths to try on it. The reference itself is slow: one
/// length other than that of the expected bits is enough for it.
fn computes(chunk_lens: &[usize]) -> impl Iterator<Item = (String, Compute, &[usize])> {
    Isa::available().flat_map(move |isa| {
        let lens = if isa == Isa::SCALAR { &chunk_lens[..1] } else { chunk_lens };
        [1, 2].map(|n_threads| {
            let name = format!("{}, {n_threads} threads", isa.name());
            (name, Compute::new(isa, Some(n_threads)).unwrap(), lens)
        })
    })
}

fn scalar() -> Compute {
    Compute::new(Isa::SCALAR, Some(1)).unwrap()
}

#[test]
fn every_isa_thread_count_and_chunking() {
    for (format, cache_format) in [("Q4_K", "F16"), ("Q4_0", "Q8_0")] {
        let model = model(format);
        let tokens = tokens(530, 1);
        let expected = bits(&model, &scalar(), cache_format, &tokens, 512);
        for (name, compute, chunk_lens) in computes(&[64, 1, 7, 512]) {
            for &chunk_len in chunk_lens {
                let found = bits(&model, &compute, cache_format, &tokens, chunk_len);
                assert!(found == expected, "{format}, {name}, chunks of {chunk_len}");
            }
        }
    }
}

/// Attention cuts a context into spans of 1024 positions.
#[test]
fn beyond_the_first_span() {
    let model = model("Q4_0");
    let tokens = tokens(1100, 8);
    let detected = |n_threads| Compute::new(Isa::detect(), Some(n_threads)).unwrap();
    for cache_format in ["F16", "Q8_0"] {
        let expected = bits(&model, &scalar(), cache_format, &tokens, 512);
        for (n_threads, chunk_len) in [(1, 1099), (2, 512), (2, 65)] {
            let found = bits(&model, &detected(n_threads), cache_format, &tokens, chunk_len);
            assert!(found == expected, "{cache_format}, {n_threads} threads, {chunk_len}");
        }
    }
}

#[test]
fn every_format() {
    let tokens = tokens(20, 2);
    for format in FORMATS {
        let model = model(format.name);
        let expected = bits(&model, &scalar(), "F16", &tokens, 512);
        for (name, compute, chunk_lens) in computes(&[3, 1, 20]) {
            for &chunk_len in chunk_lens {
                let found = bits(&model, &compute, "F16", &tokens, chunk_len);
                assert!(found == expected, "{format}, {name}, chunks of {chunk_len}");
            }
        }
    }
}

#[test]
fn alone_and_in_company() {
    let model = model("Q5_K");
    for (name, compute, _) in computes(&[1]) {
        let prompts = [tokens(70, 3), tokens(1, 4), tokens(133, 5), tokens(9, 6)];
        let alone: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| {
                let mut cache = cache(&model, "F16");
                let chunk = Chunk { cache: &mut cache, tokens: prompt, wanted: Wanted::All };
                let step = model.forward(&compute, &mut [chunk]).unwrap();
                step.values.iter().map(|logit| logit.to_bits()).collect()
            })
            .collect();

        // Prompts' second parts travel with others' first parts, as in a batch that changes.
        let mut caches: Vec<KvCache> = prompts.iter().map(|_| cache(&model, "F16")).collect();
        let mut together = vec![Vec::new(); prompts.len()];
        for step_idx in 0..3 {
            let mut members = Vec::new();
            let mut chunks = Vec::new();
            for (idx, (cache, prompt)) in caches.iter_mut().zip(&prompts).enumerate() {
                let first_len = prompt.len().div_ceil(2);
                let (first, second) = prompt.split_at(first_len);
                let tokens = match (step_idx as usize).checked_sub(idx % 2) {
                    Some(0) => first,
                    Some(1) => second,
                    _ => &[],
                };
                members.push((idx, tokens.len()));
                chunks.push(Chunk { cache, tokens, wanted: Wanted::All });
            }
            let step = model.forward(&compute, &mut chunks).unwrap();
            let mut logits = &step.values[..];
            for (idx, n_tokens) in members {
                let own = logits.split_off(..n_tokens * N_VOCAB).unwrap();
                together[idx].extend(own.iter().map(|logit| logit.to_bits()));
            }
        }
        assert!(together == alone, "{name}");
    }
}

#[test]
fn separate_experts_and_merged_ones() {
    let tokens = tokens(40, 7);
    let expected = bits(&model("Q6_K"), &scalar(), "F16", &tokens, 512);
    let gguf = random_mixtral::gguf(N_VOCAB, "Q6_K", ExpertLayout::Separate);
    let model = Model::load(&gguf).unwrap();
    assert!(bits(&model, &scalar(), "F16", &tokens, 512) == expected);
}
