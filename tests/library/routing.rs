//! Routing against `transformers`' router logits, in float32, and statistics of it against numpy.
//! `fixtures/routing/make.py` made the expected ones.

use gatefold::engine::{Engine, Event, LogitsSession, Options, Request};
use gatefold::gguf::{Bytes, Gguf, Metadata};
use gatefold::model::{RandomRouters, Routes};
use gatefold::routing::{
    Counts, Information, Reader, Report, Shape, TokenKind, TokenKinds, Window, ablation, load,
    save, similarity, windows,
};
use gatefold::sampler::Sampling;
use gatefold::{Compute, DynFormat, Isa, LanguageModel};
use gatefold_fixtures::random_mixtral::{self, ExpertLayout, N_EXPERTS, N_LAYERS, N_VOCAB};
use gatefold_fixtures::vocabulary;
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use std::ops::ControlFlow;
use std::sync::Arc;

const EXPECTED: &str = include_str!("../fixtures/routing/expected.json");

/// The random Mixtral, with Mistral's vocabulary.
fn language() -> LanguageModel {
    let mut metadata: Metadata = random_mixtral::metadata();
    for (key, value) in vocabulary::mistral().iter() {
        metadata.set(key, value.clone());
    }
    let format = DynFormat::by_name("F32").unwrap();
    let bytes = random_mixtral::file(&metadata, N_VOCAB, format, ExpertLayout::Merged);
    let gguf = Gguf::from_bytes("random-mixtral.gguf", Bytes::from(bytes)).unwrap();
    LanguageModel::from_gguf(gguf).unwrap()
}

fn compute() -> Compute {
    Compute::new(Isa::detect(), Some(2)).unwrap()
}

fn f32_cache() -> &'static DynFormat {
    DynFormat::by_name("F32").unwrap()
}

fn numbers<T>(list: &Json, number: impl Fn(&Json) -> T) -> Vec<T> {
    list.as_array().unwrap().iter().map(number).collect()
}

fn ids(list: &Json) -> Vec<u32> {
    numbers(list, |id| id.as_u64().unwrap() as u32)
}

fn floats(list: &Json) -> Vec<f64> {
    numbers(list, |number| number.as_f64().unwrap())
}

/// The documents of the fixture, each in one window behind its BOS.
fn fixture_windows(expected: &Json) -> Vec<Window> {
    let mut n_documents = [0, 0];
    let documents = expected["documents"].as_array().unwrap().iter().map(|document| {
        let domain_idx = document["domain"].as_u64().unwrap() as usize;
        n_documents[domain_idx] += 1;
        let document_idx = n_documents[domain_idx] - 1;
        Window { tokens: ids(&document["tokens"]), n_context: 1, domain_idx, document_idx }
    });
    documents.collect()
}

/// What the routers choose for windows that are read in steps of `batch_len`.
fn routes(
    language: &LanguageModel,
    windows: &[Window],
    batch_len: usize,
    beside: Routes,
) -> Vec<Routes> {
    let compute = compute();
    let lens = (64, batch_len);
    let mut reader = Reader::new(&language.model, &compute, f32_cache(), lens, beside).unwrap();
    let mut found = Vec::new();
    let mut expected = windows.iter();
    windows.iter().for_each(|window| reader.push(window.clone()).unwrap());
    while !reader.is_idle() {
        let each = |window: &Window, routes: &Routes| {
            assert_eq!(Some(window), expected.next(), "windows come in their order");
            found.push(routes.clone());
        };
        reader.step(each).unwrap();
    }
    found
}

fn chosen(routes: &Routes, layer: usize) -> Vec<Vec<u64>> {
    let token = |token| routes.of(layer, token).iter().map(|choice| choice.expert_idx as u64);
    (0..routes.n_tokens()).map(|idx| token(idx).collect()).collect()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &Json, what: &str) {
    let expected = floats(expected);
    assert_eq!(found.len(), expected.len(), "{what}");
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-6, "{what}: {found:?} is not {expected:?}");
    }
}

fn counts(language: &LanguageModel, windows: &[Window], n_random: usize) -> Counts {
    let config = language.model.config();
    let random = Arc::new(RandomRouters::new(config, n_random, 1));
    let mut counts = Counts::new(Shape::new(config, N_VOCAB, 2, n_random));
    for (window, routes) in
        windows.iter().zip(routes(language, windows, 64, Routes::beside(random)))
    {
        counts.add(window, &routes, &language.tokenizer);
    }
    counts
}

fn names() -> [String; 2] {
    ["a", "b"].map(String::from)
}

#[test]
fn every_token_goes_where_transformers_sends_it() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let windows = fixture_windows(&expected);
    for batch_len in [1, 37, 512] {
        let routes = routes(&language, &windows, batch_len, Routes::default());
        let mut n_tokens = 0;
        for (document, routes) in routes.iter().enumerate() {
            assert_eq!((routes.n_layers(), routes.n_ranks()), (N_LAYERS, 2));
            n_tokens += routes.n_tokens();
            for layer in 0..N_LAYERS {
                let choices = &expected["layers"][layer]["choices"][document];
                let choices = numbers(choices, |pair| numbers(pair, |it| it.as_u64().unwrap()));
                assert_eq!(chosen(routes, layer), choices, "layer {layer} of {document}");
            }
        }
        assert_eq!(n_tokens, 295);
    }
}

#[test]
fn kinds_are_those_of_the_definition() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let mut seen = Vec::new();
    for document in expected["documents"].as_array().unwrap() {
        let mut kinds = TokenKinds::new(&language.tokenizer);
        let found: Vec<Json> = ids(&document["tokens"])
            .into_iter()
            .map(|id| serde_json::to_value(kinds.next(id)).unwrap())
            .collect();
        assert_eq!(Json::from(found.clone()), document["kinds"]);
        seen.extend(found);
    }
    assert!(
        ["word_start", "word_part", "punctuation", "other"]
            .iter()
            .all(|kind| seen.contains(&Json::from(*kind)))
    );
}

#[test]
fn statistics_are_numpys() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let counts = counts(&language, &fixture_windows(&expected), 0);
    let report = Report::new(&counts, &names(), &language.tokenizer);
    let chance = report.repetition_by_chance;
    assert_close(&[chance.first, chance.either], &expected["chance"], "chance");
    assert_eq!(report.n_tokens, 295 - 8, "BOS is read and not counted");
    for (layer, expected) in report.layers.iter().zip(expected["layers"].as_array().unwrap()) {
        let all = &layer.all;
        for (rank, shares) in all.ranks.iter().enumerate() {
            assert_close(&shares.share, &expected["ranks"][rank], "rank");
        }
        assert_close(&all.either.share, &expected["either"], "either");
        assert!((all.either.share.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_close(all.ranks[0].low.as_ref().unwrap(), &expected["first_low"], "low");
        assert_close(all.ranks[0].high.as_ref().unwrap(), &expected["first_high"], "high");
        for (domain, of_domain) in layer.domains.iter().enumerate() {
            let shares = &of_domain.ranks[0].share;
            assert_close(shares, &expected["domain_first"][domain], "domain");
        }
        for (kind, of_kind) in layer.kinds.iter().enumerate() {
            assert_close(&of_kind.first, &expected["kind_first"][kind], "kind");
        }
        for (a, row) in layer.pairs.iter().enumerate() {
            assert_close(row, &expected["pairs"][a], "pairs");
        }
        let (first_by_load, either_by_load) = layer.repetition_by_load;
        let by_load = [first_by_load, either_by_load.unwrap()];
        assert_close(&by_load, &expected["by_load"], "by load");
        for (found, name) in [
            (all.repetition.first, "same_first"),
            (all.repetition.either, "shared"),
            (all.first_weight, "first_weight"),
            (all.design_effect.unwrap(), "design_effect"),
            (layer.balance.entropy_bits, "entropy_bits"),
        ] {
            assert_close(&[found], &Json::from(vec![expected[name].clone()]), name);
        }
        for (found, name) in [
            (layer.domain_information.unwrap(), "domain_information"),
            (layer.kind_information, "kind_information"),
            (layer.token_information, "token_information"),
        ] {
            let Information { bits, corrected_bits, share, .. } = found;
            for (found, figure) in
                [(bits, "bits"), (corrected_bits, "corrected_bits"), (share, "share")]
            {
                let expected = Json::from(vec![expected[name][figure].clone()]);
                assert_close(&[found], &expected, name);
            }
        }
    }
}

#[test]
fn leaving_out_an_expert_costs_what_it_costs_in_transformers() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let (language, compute) = (language(), compute());
    let window = fixture_windows(&expected).remove(0);
    let mut session = LogitsSession::new(&language.model, &compute, f32_cache(), 64, 64).unwrap();
    let windows = [window];
    let size = (N_LAYERS, N_EXPERTS);
    let mut n_passes = 0;
    let go_on = || {
        n_passes += 1;
        ControlFlow::Continue(())
    };
    let found = ablation(&mut session, &compute, &windows, size, go_on).unwrap().unwrap();
    assert_eq!(found[0].n_tokens, windows[0].tokens.len() - 1);
    assert_eq!(n_passes, N_LAYERS * N_EXPERTS);
    for (found, expected) in found.iter().zip(expected["ablation"].as_array().unwrap()) {
        for (kl, expected) in found.kl.iter().zip(floats(expected)) {
            let difference = (kl.value - expected).abs();
            assert!(difference < 1e-4 * (1.0 + expected), "{} {expected}", kl.value);
        }
    }
    let broken_off =
        ablation(&mut session, &compute, &windows, size, || ControlFlow::Break(())).unwrap();
    assert_eq!(broken_off, None);
}

#[test]
fn similarity_is_the_cosine() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let mut n_matrices = 0;
    let go_on = || {
        n_matrices += 1;
        ControlFlow::Continue(())
    };
    let found = similarity(&language.model, &compute(), go_on).unwrap();
    assert_eq!((found.len(), n_matrices), (N_LAYERS, 3 * N_LAYERS));
    assert_eq!(similarity(&language.model, &compute(), || ControlFlow::Break(())), None);
    for (found, expected) in found.iter().zip(expected["similarity"].as_array().unwrap()) {
        for (matrix, part) in [(&found.gate, "gate"), (&found.up, "up"), (&found.down, "down")] {
            for (expert, row) in matrix.iter().enumerate() {
                assert_close(row, &expected[part][expert], part);
            }
        }
    }
}

/// Its own router is random, too: one among those beside it.
#[test]
fn a_random_router_is_one_among_random_routers() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let counts = counts(&language, &fixture_windows(&expected), 19);
    let report = Report::new(&counts, &names(), &language.tokenizer);
    let domain = report.overall.domain.unwrap();
    let (by_domain, by_kind) = (domain.random.unwrap(), report.overall.kind.random.unwrap());
    assert!(by_domain.p > 0.05 && by_kind.p > 0.05, "{by_domain:?} {by_kind:?}");
    assert!(domain.shuffled.is_some());
    // They differ from each other, and from layer to layer.
    let layers = report.layers.iter().map(|layer| layer.kind_information.random.unwrap());
    let means: Vec<f64> = layers.map(|random| random.mean).collect();
    assert!(means.iter().all(|&mean| mean > 0.0) && means[0] != means[1], "{means:?}");
    let watched = Report::new(&counts, &names(), &language.tokenizer);
    assert_eq!(watched, report, "chance is the same in every run");
}

#[test]
fn counts_are_saved_and_read_back() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let windows = fixture_windows(&expected);
    let whole = counts(&language, &windows, 3);
    let mut file = Vec::new();
    save(&whole, "key", &mut file).unwrap();
    assert_eq!(load(whole.shape(), "key", &file[..]).unwrap(), whole);
    let refused = |shape, key: &str, file: &[u8]| load(shape, key, file).unwrap_err().to_string();
    assert!(refused(whole.shape(), "other", &file).contains("another analysis"));
    let shape = Shape { n_domains: 3, ..whole.shape() };
    assert!(refused(shape, "key", &file).contains("another analysis"));
    for len in (0..file.len()).step_by(997) {
        refused(whole.shape(), "key", &file[..len]);
    }
    for at in (0..file.len()).step_by(1009) {
        let mut damaged = file.clone();
        damaged[at] ^= 0x40;
        refused(whole.shape(), "key", &damaged);
    }
    file.push(0);
    assert!(refused(whole.shape(), "key", &file).contains("not a whole file"));
}

/// A file whose hash is right, and a number in it is not: it is refused, or its figures are figures.
#[test]
fn hostile_counts_are_refused_or_come_to_something() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let whole = counts(&language, &fixture_windows(&expected), 1);
    let mut file = Vec::new();
    save(&whole, "key", &mut file).unwrap();
    let len = file.len() - 32;
    let lines = file.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
    let start = lines.take(2).last().unwrap() + 1;
    let mut n_refused = 0;
    for value in [u64::MAX, 1 << 63, 1 << 41, u64::from(u32::MAX) << 32, 7] {
        for at in (start..len - 8).step_by(8 * 199) {
            let mut hostile = file[..len].to_vec();
            hostile[at..at + 8].copy_from_slice(&value.to_le_bytes());
            hostile.extend(Sha256::digest(&hostile));
            match load(whole.shape(), "key", &hostile[..]) {
                Ok(counts) => {
                    let report = Report::new(&counts, &names(), &language.tokenizer);
                    assert_eq!(report.n_tokens, whole.n_tokens());
                }
                Err(error) => {
                    assert!(error.to_string().contains("not a whole file"));
                    n_refused += 1;
                }
            }
        }
    }
    assert!(n_refused > 20, "{n_refused}");
    file.truncate(len / 2);
    let cut = load(whole.shape(), "key", &file[..]).unwrap_err().to_string();
    assert!(cut.contains("not a whole file"), "{cut}");
}

#[test]
fn domains_without_a_counted_text_are_left_out_and_two_texts_have_no_interval() {
    let expected: Json = serde_json::from_str(EXPECTED).unwrap();
    let language = language();
    let mut windows = fixture_windows(&expected);
    windows.retain(|window| window.domain_idx == 1 && window.document_idx > 1);
    let counts = counts(&language, &windows, 2);
    let report = Report::new(&counts, &names(), &language.tokenizer);
    assert_eq!(report.domains.len(), 1);
    assert_eq!((report.domains[0].name.as_str(), report.domains[0].n_documents), ("b", 2));
    assert_eq!((report.samples.len(), report.layers[0].domains.len()), (1, 1));
    assert_eq!(report.layers[0].domain_information, None);
    assert_eq!(report.layers[0].all.ranks[0].low, None);
}

#[test]
fn windows_have_every_token_of_a_text_once() {
    let language = language();
    let tokens: Vec<u32> = (3..103).collect();
    let pieces: Vec<Window> = windows(&language.tokenizer, &tokens, 33, (1, 7)).collect();
    let counted: Vec<u32> =
        pieces.iter().flat_map(|piece| &piece.tokens[piece.n_context..]).copied().collect();
    assert_eq!(counted, tokens);
    assert!(pieces.iter().all(|piece| piece.tokens.len() <= 33 && piece.tokens[0] == 1));
    assert_eq!((pieces[0].domain_idx, pieces[0].document_idx, pieces.len()), (1, 7, 4));
    assert_eq!(windows(&language.tokenizer, &[], 33, (0, 0)).count(), 0);
}

/// The engine tells of the tokens of an answer what a reader finds.
#[test]
fn an_answer_is_routed_as_it_is_when_it_is_read() {
    let language = language();
    let options = Options { cache_format: f32_cache(), ..Options::for_model(&language) };
    let mut engine = Engine::new(&language, compute(), options).unwrap();
    let prompt = vec![1, 500, 600, 700];
    let sampling = Sampling { temperature: 0.0, ..Sampling::default() };
    let silent = Request { max_tokens: Some(3), ..Request::new(vec![1, 9], sampling.clone()) };
    let silent = engine.submit(silent).unwrap();
    let request = Request {
        max_tokens: Some(6),
        wants_routes: true,
        ..Request::new(prompt.clone(), sampling)
    };
    engine.submit(request).unwrap();
    let (mut told, mut answer) = (Vec::new(), Vec::new());
    while !engine.is_idle() {
        engine.step(&mut |id, event| match event {
            Event::Routes { first, routes } => {
                assert_ne!(id, silent);
                assert_eq!(first, told.len());
                told.extend(chosen(&routes, 1));
            }
            Event::Done(generated) if id != silent => answer = generated.tokens,
            _ => {}
        });
    }
    let tokens = [prompt, answer].concat();
    let window = Window { tokens, n_context: 0, domain_idx: 0, document_idx: 0 };
    let read = routes(&language, &[window], 512, Routes::default()).remove(0);
    assert_eq!(told.len(), read.n_tokens() - 1, "the last token is never read");
    assert_eq!(told, chosen(&read, 1)[..told.len()]);
    assert_eq!(TokenKind::ALL.len(), 8);
}
