//! Routers that have learnt nothing show nothing beyond chance, and one that has is found.
//!
//! The random Mixtral gets routers of random numbers, as often as there are [`SEEDS`], and reads two
//! domains of documents whose tokens differ. Beside 39 other random routers, drawn anew each time, its
//! own are one of forty that are alike: p is 1/40, 2/40 ... 1, each as probable as the others, whatever
//! the hidden states are.

use gatefold::gguf::{Bytes, Gguf};
use gatefold::model::{Model, RandomRouters, Routes};
use gatefold::routing::{Counts, Reader, Report, Shape, Window};
use gatefold::tokenizer::Tokenizer;
use gatefold::{Compute, DynFormat};
use gatefold_fixtures::random_mixtral::{self, DIM, ExpertLayout, N_LAYERS};
use gatefold_fixtures::vocabulary;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::sync::Arc;

const SEEDS: std::ops::Range<u64> = 0..20;
const N_RANDOM: usize = 39;
const N_VOCAB: usize = 256;
const N_DOCUMENTS: u64 = 10;
const DOCUMENT_LEN: usize = 40;

/// The tokens of each domain.
const DOMAINS: [std::ops::Range<u32>; 2] = [3..128, 128..253];

/// What is analysed: a model's file, which gets other routers again and again.
struct Subject {
    file: Vec<u8>,
    tokenizer: Tokenizer,
    compute: Compute,
}

impl Subject {
    fn new() -> Subject {
        let f32 = DynFormat::by_name("F32").unwrap();
        let metadata = random_mixtral::metadata();
        Subject {
            file: random_mixtral::file(&metadata, N_VOCAB, f32, ExpertLayout::Merged),
            tokenizer: Tokenizer::from_metadata(&vocabulary::mistral()).unwrap(),
            compute: Compute::detect().unwrap(),
        }
    }

    fn gguf(&self) -> Gguf {
        Gguf::from_bytes("random-mixtral.gguf", Bytes::from(self.file.clone())).unwrap()
    }

    /// The values of a tensor of F32.
    fn values(&mut self, name: &str) -> &mut [[u8; 4]] {
        let gguf = self.gguf();
        let tensor = gguf.tensor(name).unwrap();
        let n_values: usize = tensor.shape.iter().product();
        let bytes = &mut self.file[tensor.offset as usize..][..4 * n_values];
        bytes.as_chunks_mut::<4>().0
    }

    /// Gives every layer a router of random numbers. With a `specialist`, the first expert of each has
    /// so much of a direction added that leads to the first domain's embeddings.
    fn set_routers(&mut self, random: &mut ChaCha8Rng, specialist: f64) {
        let embeddings: Vec<f64> = self
            .values("token_embd.weight")
            .iter()
            .map(|it| f32::from_le_bytes(*it).into())
            .collect();
        let mut direction = vec![0.0; DIM];
        for (domain, sign) in DOMAINS.into_iter().zip([1.0, -1.0]) {
            for row in domain.map(|token| &embeddings[token as usize * DIM..][..DIM]) {
                direction.iter_mut().zip(row).for_each(|(sum, value)| *sum += sign * value);
            }
        }
        let length = direction.iter().map(|value| value * value).sum::<f64>().sqrt();
        for layer in 0..N_LAYERS {
            let router = self.values(&format!("blk.{layer}.ffn_gate_inp.weight"));
            router.iter_mut().for_each(|value| *value = (normal(random) as f32).to_le_bytes());
            for (value, towards) in router.iter_mut().zip(&direction) {
                let added = specialist * (DIM as f64).sqrt() * towards / length;
                *value = (f32::from_le_bytes(*value) + added as f32).to_le_bytes();
            }
        }
    }

    /// The analysis of documents, which have their domains by their numbers.
    fn report(&self, documents: &[Vec<u32>], domain: impl Fn(usize) -> usize, seed: u64) -> Report {
        let model = Model::load(&self.gguf()).unwrap();
        let config = model.config();
        let random = Arc::new(RandomRouters::new(config, N_RANDOM, 1000 + seed));
        let mut counts = Counts::new(Shape::new(config, N_VOCAB, 2, N_RANDOM));
        let f32 = DynFormat::by_name("F32").unwrap();
        let (lens, beside) = ((DOCUMENT_LEN, 512), Routes::beside(random));
        let mut reader = Reader::new(&model, &self.compute, f32, lens, beside).unwrap();
        let mut n_documents = [0; 2];
        for (idx, tokens) in documents.iter().enumerate() {
            let domain_idx = domain(idx);
            let (tokens, document_idx) = (tokens.clone(), n_documents[domain_idx]);
            n_documents[domain_idx] += 1;
            reader.push(Window { tokens, n_context: 0, domain_idx, document_idx }).unwrap();
        }
        while !reader.is_idle() {
            reader.step(|window, routes| counts.add(window, routes, &self.tokenizer)).unwrap();
        }
        Report::new(&counts, &["a", "b"].map(String::from), &self.tokenizer)
    }
}

fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (f64::from(random.next_u32()) + 0.5) / 2f64.powi(32)
}

/// The sum of twelve uniform numbers is near enough to a normal one.
fn normal(random: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

/// Documents of tokens that are drawn from a domain each, in turn.
fn documents(random: &mut ChaCha8Rng, domains: &[std::ops::Range<u32>]) -> Vec<Vec<u32>> {
    let domains = domains.iter().cycle().take(2 * N_DOCUMENTS as usize);
    let document = |domain: &std::ops::Range<u32>| {
        let token = |_| domain.start + random.next_u32() % domain.len() as u32;
        (0..DOCUMENT_LEN).map(token).collect()
    };
    domains.map(document).collect()
}

/// Asserts that numbers which chance makes uniform between 0 and 1 may be just that. Each of three
/// bounds would be passed once in 1,000 times or less: by the mean of twenty, whose deviation is
/// 1/sqrt(240) and which is 1/80 above a half for steps of 1/40; and by more than five of them at 0.05
/// or less, or above 0.95.
#[track_caller]
fn assert_chance(ps: &[f64], what: &str) {
    assert_eq!(ps.len(), 20);
    let mean = ps.iter().sum::<f64>() / 20.0;
    let count = |is_far: &dyn Fn(f64) -> bool| ps.iter().filter(|&&p| is_far(p)).count();
    let (n_small, n_large) = (count(&|p| p < 0.0501), count(&|p| p > 0.9501));
    let is_chance = (mean - 0.5125).abs() < 3.3 / 240f64.sqrt() && n_small <= 5 && n_large <= 5;
    assert!(is_chance, "{what}: {mean} {ps:?}");
}

#[test]
fn random_routers_are_nothing_special_beside_others() {
    let mut subject = Subject::new();
    let (mut by_domain, mut by_kind, mut by_layer) = (vec![], vec![], vec![vec![]; N_LAYERS]);
    let mut n_dependent = 0;
    for seed in SEEDS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        subject.set_routers(&mut random, 0.0);
        let documents = documents(&mut random, &DOMAINS);
        let report = subject.report(&documents, |idx| idx % 2, seed);
        let domain = report.overall.domain.unwrap();
        by_domain.push(domain.random.unwrap().p);
        by_kind.push(report.overall.kind.random.unwrap().p);
        for (ps, layer) in by_layer.iter_mut().zip(&report.layers) {
            ps.push(layer.domain_information.unwrap().random.unwrap().p);
        }
        n_dependent += usize::from(domain.shuffled.unwrap().p <= 0.05);
    }
    // It depends on the domain where they send tokens, as it does for any projection.
    assert!(n_dependent > 10, "{n_dependent}");
    assert_chance(&by_domain, "domain");
    assert_chance(&by_kind, "kind of token");
    by_layer.iter().for_each(|ps| assert_chance(ps, "a layer's domain"));
}

#[test]
fn a_specialist_that_was_planted_is_found() {
    let mut subject = Subject::new();
    let least = 1.0 / (N_RANDOM as f64 + 1.0);
    for seed in SEEDS.take(5) {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        subject.set_routers(&mut random, 1.0);
        let documents = documents(&mut random, &DOMAINS);
        let report = subject.report(&documents, |idx| idx % 2, seed);
        let domain = report.overall.domain.unwrap();
        assert_eq!(domain.random.unwrap().p, least, "{domain:?}");
        // It is the first expert that the first domain goes to.
        let first = |domain: usize| report.layers[0].domains[domain].ranks[0].share[0];
        assert!(first(0) > 2.0 * first(1), "{} {}", first(0), first(1));
    }
}

/// Documents of one kind under two names, given by lot.
#[test]
fn names_that_mean_nothing_are_not_found_where_documents_are_shuffled() {
    let subject = Subject::new();
    let ps = SEEDS.map(|seed| {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let documents = documents(&mut random, &[3..253, 3..253]);
        // Any half of them, as all are drawn alike.
        let report = subject.report(&documents, |idx| idx % 2, seed);
        report.overall.domain.unwrap().shuffled.unwrap().p
    });
    assert_chance(&ps.collect::<Vec<_>>(), "shuffled");
}
