//! Logits against `transformers`, in float32, over a small random Mixtral with the real vocabulary's
//! size. `fixtures/mixtral/make.py` made the expected ones.

use gatefold::Compute;
use gatefold::model::{Chunk, KvCache, Model, Wanted};
use gatefold::{DynFormat, Isa};
use gatefold_fixtures::random_mixtral;
use gatefold_fixtures::random_mixtral::{ExpertLayout, N_VOCAB};

/// What transformers computed.
struct Expected {
    tokens: Vec<u32>,
    argmax: Vec<u32>,
    /// Every 32nd logit of each token.
    logits: Vec<Vec<f32>>,
}

const EVERY: usize = 32;

/// For matrices that were rounded to `format`.
fn expected(format: &str) -> Expected {
    let file: &[u8] = match format {
        "F32" => include_bytes!("../fixtures/mixtral/f32.bin"),
        "F16" => include_bytes!("../fixtures/mixtral/f16.bin"),
        _ => include_bytes!("../fixtures/mixtral/bf16.bin"),
    };
    let words: Vec<u32> = file.as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    let (n_tokens, n_kept) = (words[0] as usize, words[1] as usize);
    assert_eq!(n_kept, N_VOCAB / EVERY);
    let (ids, logits) = words[2..].split_at(2 * n_tokens);
    let row = |row: &[u32]| row.iter().map(|&bits| f32::from_bits(bits)).collect();
    Expected {
        tokens: ids[..n_tokens].to_vec(),
        argmax: ids[n_tokens..].to_vec(),
        logits: logits.chunks_exact(n_kept).map(row).collect(),
    }
}

fn logits(format: &str, layout: ExpertLayout, tokens: &[u32]) -> Vec<Vec<f32>> {
    let model = Model::load(&random_mixtral::gguf(N_VOCAB, format, layout)).unwrap();
    let compute = Compute::new(Isa::detect(), None).unwrap();
    let cache_format = DynFormat::by_name("F32").unwrap();
    let mut cache = KvCache::new(model.config(), cache_format, tokens.len()).unwrap();
    let chunk = Chunk { cache: &mut cache, tokens, wanted: Wanted::All };
    let logits = model.forward(&compute, &mut [chunk]).unwrap();
    logits.values.chunks_exact(N_VOCAB).map(<[f32]>::to_vec).collect()
}

fn standard_deviation(values: &[f32]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
    (values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / n).sqrt()
}

/// The largest difference at any position, in standard deviations of that position's logits.
fn worst_difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f64 {
    let positions = found.iter().zip(expected).map(|(found, expected)| {
        let kept = found.iter().step_by(EVERY).zip(expected);
        let largest = kept.map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
        largest / standard_deviation(expected)
    });
    positions.fold(0.0, f64::max)
}

fn argmax(logits: &[f32]) -> u32 {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap() as u32
}

fn assert_agrees(format: &str, layout: ExpertLayout, tolerance: f64) {
    let expected = expected(format);
    let found = logits(format, layout, &expected.tokens);
    let worst = worst_difference(&found, &expected.logits);
    assert!(worst < tolerance, "{format} differs by {worst} standard deviations");
    let found: Vec<_> = found.iter().map(|logits| argmax(logits)).collect();
    assert_eq!(found, expected.argmax);
}

#[test]
fn f32_agrees() {
    assert_agrees("F32", ExpertLayout::Merged, 1e-4);
}

#[test]
fn f32_agrees_with_a_tensor_per_expert() {
    assert_agrees("F32", ExpertLayout::Separate, 1e-4);
}

#[test]
fn f16_agrees() {
    assert_agrees("F16", ExpertLayout::Merged, 1e-4);
}

#[test]
fn bf16_agrees() {
    assert_agrees("BF16", ExpertLayout::Merged, 1e-4);
}

/// Against our own F32 logits, which the first test holds against transformers'.
#[test]
fn q8_0_diverges_by_less_than_a_thousandth() {
    let tokens = expected("F32").tokens;
    let exact = logits("F32", ExpertLayout::Merged, &tokens);
    let found = logits("Q8_0", ExpertLayout::Merged, &tokens);
    let sum: f64 = exact.iter().zip(&found).map(|(p, q)| divergence(p, q)).sum();
    let mean = sum / tokens.len() as f64;
    assert!(mean < 1e-3, "{mean}");
}

/// Kullback-Leibler divergence of the distribution `q` from `p`, both given by logits.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let log_sum =
        |logits: &[f32]| logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
    let (p_sum, q_sum) = (log_sum(p), log_sum(q));
    let terms = p.iter().zip(q).map(|(&p, &q)| {
        let (p, q) = (f64::from(p) - p_sum, f64::from(q) - q_sum);
        p.exp() * (p - q)
    });
    terms.sum()
}
