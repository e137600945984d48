//! Models that are larger than memory: the same bits in any memory, read from the disk as often as need be
//! and not once more, and files that are cut short under a run.

use gatefold::Compute;
use gatefold::DynFormat;
use gatefold::LanguageModel;
use gatefold::engine::{Engine, Event, GenerateError, Options, Request};
use gatefold::gguf::{Bytes, Gguf, Tensor};
use gatefold::model::{Chunk, Gates, KvCache, Logits, Memory, Model, ModelError, Routes, Wanted};
use gatefold::sampler::Sampling;
use gatefold::tokenizer::Tokenizer;
use gatefold_fixtures::random_mixtral::{self, ExpertLayout, N_EXPERTS, N_LAYERS};
use gatefold_fixtures::vocabulary;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;

const N_VOCAB: usize = 256;

/// A model in a file, and how large what is read of it is.
struct OnDisk {
    _folder: TempDir,
    path: PathBuf,
    gguf: Gguf,
    content: Vec<u8>,
}

impl OnDisk {
    fn new(format: &str, layout: ExpertLayout) -> OnDisk {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("random.gguf");
        let format = DynFormat::by_name(format).unwrap();
        let content = random_mixtral::file(&random_mixtral::metadata(), N_VOCAB, format, layout);
        fs::write(&path, &content).unwrap();
        let gguf = Gguf::open(&path).unwrap();
        OnDisk { _folder: folder, path, gguf, content }
    }

    fn mapped(&self) -> Model {
        Model::load(&self.gguf).unwrap()
    }

    /// With this many experts in memory, beside those that pass.
    fn with_resident(&self, n_resident: usize) -> Model {
        let experts =
            (0..N_LAYERS * N_EXPERTS).map(|idx| self.read_bytes(idx / N_EXPERTS, idx % N_EXPERTS));
        // The least has those that pass; half an expert more is of no use.
        let n_more = n_resident as f64 + 0.5;
        let least = self.mapped().needs(None).least_weights.unwrap();
        let weights_bytes = least + (n_more * experts.max().unwrap() as f64) as u64;
        let weights_bytes = if n_resident == 0 { 0 } else { weights_bytes };
        let model = self.mapped().within(&self.gguf, weights_bytes, |_, _| ()).unwrap();
        let found: usize = model.residence().unwrap().n_resident.iter().sum();
        assert_eq!(found, n_resident);
        model
    }

    /// Bytes that are read of an expert: the pages around its matrices.
    fn read_bytes(&self, layer_idx: usize, expert_idx: usize) -> u64 {
        let parts = ["gate", "up", "down"].map(|part| {
            let tensor = |name: String| self.gguf.tensor(&name);
            let separate = tensor(format!("blk.{layer_idx}.ffn_{part}.{expert_idx}.weight"));
            let pages = |tensor: &Tensor, nth: u64, n: u64| {
                let len = tensor.bytes.len() as u64 / n;
                let (start, end) = (tensor.offset + nth * len, tensor.offset + (nth + 1) * len);
                end.next_multiple_of(4096) - start / 4096 * 4096
            };
            match separate {
                Some(tensor) => pages(tensor, 0, 1),
                None => {
                    let merged = tensor(format!("blk.{layer_idx}.ffn_{part}_exps.weight"));
                    pages(merged.unwrap(), expert_idx as u64, N_EXPERTS as u64)
                }
            }
        });
        parts.into_iter().sum()
    }

    /// Cuts the file short, as somebody might who copies another over it.
    fn cut(&self, len: u64) {
        File::options().write(true).open(&self.path).unwrap().set_len(len).unwrap();
    }

    fn mend(&self) {
        File::options().write(true).open(&self.path).unwrap().write_all(&self.content).unwrap();
    }
}

fn compute() -> Compute {
    Compute::detect().unwrap()
}

fn cache(model: &Model) -> KvCache {
    KvCache::new(model.config(), DynFormat::by_name("F16").unwrap(), 2048).unwrap()
}

fn tokens(n_tokens: usize, seed: usize) -> Vec<u32> {
    (0..n_tokens).map(|i| ((i * i * 31 + i * 7 + seed * 101) % N_VOCAB) as u32).collect()
}

fn step(model: &Model, compute: &Compute, cache: &mut KvCache, tokens: &[u32]) -> Logits {
    let chunk = Chunk { cache, tokens, wanted: Wanted::All };
    model.forward(compute, &mut [chunk]).unwrap()
}

/// The bits of the logits after each token, read in chunks of these lengths in turn.
fn bits(model: &Model, compute: &Compute, tokens: &[u32], lens: &[usize]) -> Vec<u32> {
    let (mut cache, mut rest, mut bits) = (cache(model), tokens, Vec::new());
    for &len in lens.iter().cycle() {
        let Some(tokens) = rest.split_off(..len.min(rest.len())).filter(|some| !some.is_empty())
        else {
            break;
        };
        let logits = step(model, compute, &mut cache, tokens);
        bits.extend(logits.values.iter().map(|logit| logit.to_bits()));
        if let Some(residence) = model.residence() {
            let most = residence.most_bytes.max(model.needs(None).least_weights.unwrap());
            assert!(residence.held_bytes <= most, "{residence:?}");
        }
    }
    bits
}

#[test]
fn the_same_bits_in_any_memory() {
    let tokens = tokens(90, 1);
    for (format, layout) in [
        ("Q4_K", ExpertLayout::Merged),
        ("Q8_0", ExpertLayout::Separate),
        ("F32", ExpertLayout::Merged),
    ] {
        let disk = OnDisk::new(format, layout);
        let expected = bits(&disk.mapped(), &compute(), &tokens, &[90]);
        for n_resident in [0, 4, 9, N_LAYERS * N_EXPERTS] {
            let model = disk.with_resident(n_resident);
            for lens in [&[90][..], &[1], &[40, 1, 1, 3, 30, 2]] {
                for n_threads in [1, 2] {
                    let compute = Compute::new(compute().isa, Some(n_threads)).unwrap();
                    let found = bits(&model, &compute, &tokens, lens);
                    assert!(found == expected, "{format}, {n_resident}, {lens:?}");
                }
            }
        }
    }
}

#[test]
fn keys_and_values_take_the_memory_that_experts_had_until_then() {
    let disk = OnDisk::new("Q4_K", ExpertLayout::Merged);
    let format = DynFormat::by_name("F16").unwrap();
    let needs = disk.mapped().needs(Some(format));
    let whole = 2048 * needs.cache;
    let memory = Memory {
        memory_bytes: Some(needs.least(64).unwrap() + whole.max(8 * needs.largest_expert)),
        cache_format: Some(format),
        context_len: Some(2048),
        max_batched_tokens: Some(64),
        ..Memory::default()
    };
    let model = disk.mapped().in_memory(&disk.gguf, &memory, |_, _| ()).unwrap();
    let shares = model.shares().unwrap();
    let most = shares.weights_bytes.unwrap() + shares.cache_bytes.unwrap();
    let (compute, mut reference) = (compute(), cache(&model));
    let mut cache = cache(&model);
    let mapped = disk.mapped();
    let mut n_resident = vec![model.residence().unwrap().n_resident.iter().sum::<usize>()];
    for tokens in tokens(2000, 5).chunks(64) {
        let expected = step(&mapped, &compute, &mut reference, tokens);
        assert!(step(&model, &compute, &mut cache, tokens).values == expected.values);
        let residence = model.residence().unwrap();
        let cache_bytes = needs.cache * cache.len() as u64;
        assert!(residence.held_bytes + cache_bytes <= most, "{residence:?}");
        n_resident.push(residence.n_resident.iter().sum());
    }
    assert!(n_resident.is_sorted_by(|before, after| before >= after), "{n_resident:?}");
    assert!(n_resident[0] > n_resident[n_resident.len() - 1] + 2, "{n_resident:?}");
}

#[test]
fn sweeps_read_what_is_missing_once() {
    for layout in [ExpertLayout::Merged, ExpertLayout::Separate] {
        let disk = OnDisk::new("Q4_K", layout);
        let model = disk.with_resident(7);
        let (compute, mut cache) = (compute(), cache(&model));
        let experts = || (0..N_LAYERS * N_EXPERTS).map(|idx| (idx / N_EXPERTS, idx % N_EXPERTS));
        let all: u64 = experts().map(|(layer, expert)| disk.read_bytes(layer, expert)).sum();
        let n_resident = model.residence().unwrap().n_resident;
        assert_eq!(n_resident, [2, 2, 3]);
        for step_idx in 0..4 {
            let logits = step(&model, &compute, &mut cache, &tokens(64, step_idx));
            assert!(logits.expert_tokens.iter().flatten().all(|&n_tokens| n_tokens > 0));
            // What was read first stays.
            let missing = experts().filter(|&(layer, expert)| expert >= n_resident[layer]);
            let missing = missing.map(|(layer, expert)| disk.read_bytes(layer, expert)).sum();
            assert_eq!(logits.disk_bytes, if step_idx == 0 { all } else { missing });
        }
        let mapped = disk.mapped();
        assert_eq!(step(&mapped, &compute, &mut self::cache(&mapped), &[1; 64]).disk_bytes, 0);
    }
}

/// What the cache of a layer does with what routers choose: of those that are not chosen, the one goes that
/// was not used for longest, the first of several.
struct Lru {
    n_slots: usize,
    last_used: [Option<usize>; N_EXPERTS],
}

impl Lru {
    /// Which of the chosen must be read.
    fn visit(&mut self, chosen: &[usize], now: usize) -> Vec<usize> {
        let missing: Vec<usize> = (0..N_EXPERTS)
            .filter(|&expert| chosen.contains(&expert) && self.last_used[expert].is_none())
            .collect();
        for &expert in &missing {
            let n_taken = self.last_used.iter().flatten().count();
            let oldest = (0..N_EXPERTS)
                .filter(|expert| !chosen.contains(expert))
                .filter_map(|expert| Some((self.last_used[expert]?, expert)));
            if n_taken < self.n_slots {
                self.last_used[expert] = Some(now);
            } else if let Some((_, oldest)) = oldest.min() {
                self.last_used[oldest] = None;
                self.last_used[expert] = Some(now);
            }
        }
        for &expert in chosen {
            self.last_used[expert] = self.last_used[expert].map(|_| now);
        }
        missing
    }
}

#[test]
fn single_tokens_read_the_chosen_experts_that_are_missing() {
    let disk = OnDisk::new("Q4_0", ExpertLayout::Merged);
    for n_resident in [0, 3, 7, 15] {
        let model = disk.with_resident(n_resident);
        let (compute, mut cache) = (compute(), cache(&model));
        let n_slots = model.residence().unwrap().n_resident;
        let mut layers: Vec<Lru> =
            n_slots.iter().map(|&n_slots| Lru { n_slots, last_used: [None; N_EXPERTS] }).collect();
        let mut n_read = 0;
        for (now, tokens) in tokens(60, 3).chunks(1).chain(tokens(20, 4).chunks(4)).enumerate() {
            let mut routes = Routes::default();
            let gates = Gates { routes: Some(&mut routes), ..Gates::default() };
            let chunk = Chunk { cache: &mut cache, tokens, wanted: Wanted::Last };
            let logits = model.forward_gated(&compute, &mut [chunk], gates).unwrap();
            let missing = layers.iter_mut().enumerate().map(|(layer_idx, layer)| {
                let chosen =
                    (0..tokens.len()).flat_map(|token_idx| routes.of(layer_idx, token_idx));
                let chosen: Vec<usize> = chosen.map(|choice| choice.expert_idx).collect();
                let missing = layer.visit(&chosen, now);
                missing.iter().map(|&expert| disk.read_bytes(layer_idx, expert)).sum::<u64>()
            });
            assert_eq!(logits.disk_bytes, missing.sum::<u64>(), "{n_resident}, step {now}");
            n_read += u64::from(logits.disk_bytes > 0);
        }
        assert!(n_read > 10, "{n_read}");
    }
}

#[test]
fn a_file_that_is_cut_short_fails_the_step_and_nothing_else() {
    let disk = OnDisk::new("Q8_0", ExpertLayout::Merged);
    let compute = compute();
    let (prompt, rest) = (tokens(30, 5), tokens(40, 6));
    let all = [&prompt[..], &rest].concat();
    let expected = bits(&disk.mapped(), &compute, &all, &[70]);
    let last = disk.gguf.tensor("blk.2.ffn_up_exps.weight").unwrap().offset;
    for (n_resident, len) in [(0, 40), (0, 1), (6, 40), (6, 1)] {
        let model = disk.with_resident(n_resident);
        let mut cache = cache(&model);
        step(&model, &compute, &mut cache, &prompt);
        disk.cut(last + 5000);
        let chunk = Chunk { cache: &mut cache, tokens: &rest[..len], wanted: Wanted::All };
        match model.forward(&compute, &mut [chunk]) {
            // A single token may find what it needs in memory.
            Ok(_) => assert_eq!((n_resident, len), (6, 1)),
            Err(error) => {
                assert!(matches!(error, ModelError::Read(_)), "{error}");
                let message = error.to_string();
                let is_told = message.contains("random.gguf: tensor blk.2.ffn_");
                assert!(is_told && message.contains("cut short"), "{message}");
                assert_eq!(cache.len(), prompt.len());
            }
        }
        disk.mend();
        let n_past = cache.len();
        let logits = step(&model, &compute, &mut cache, &all[n_past..]);
        let found: Vec<u32> = logits.values.iter().map(|logit| logit.to_bits()).collect();
        assert!(expected.ends_with(&found), "{n_resident}, {len}");
    }
}

#[test]
fn requests_fail_and_the_engine_goes_on() {
    let disk = OnDisk::new("Q8_0", ExpertLayout::Merged);
    let language = LanguageModel {
        model: Arc::new(disk.with_resident(3)),
        tokenizer: Arc::new(Tokenizer::from_metadata(&vocabulary::mistral()).unwrap()),
        gguf: Arc::new(Gguf::open(&disk.path).unwrap()),
    };
    let options = Options::in_memory(&language, 64 << 20);
    let mut engine = Engine::new(&language, compute(), options).unwrap();
    let mut answer = || {
        let request =
            Request { max_tokens: Some(4), ..Request::new(tokens(50, 7), Sampling::default()) };
        engine.submit(request).unwrap();
        let mut ends = Vec::new();
        while !engine.is_idle() {
            engine.step(&mut |_, event| match event {
                Event::Done(generated) => ends.push(Ok(generated)),
                Event::Failed(error) => ends.push(Err(error)),
                _ => {}
            });
        }
        ends.pop().unwrap()
    };
    let first = answer().unwrap();
    assert!(first.prompt_speed.disk_bytes > 0 && first.speed.disk_bytes_per_token() > 0.0);
    disk.cut(disk.gguf.tensor("blk.1.ffn_gate_exps.weight").unwrap().offset);
    engine_fails(answer());
    disk.mend();
    assert_eq!(answer().unwrap().logits_hash(), first.logits_hash());
}

fn engine_fails(end: Result<gatefold::engine::Generated, GenerateError>) {
    let error = end.unwrap_err();
    assert!(matches!(error, GenerateError::Model(ModelError::Read(_))), "{error}");
}

/// One of them has the store, the others compute with the mapped file.
#[test]
fn steps_at_the_same_time_have_the_same_bits() {
    let disk = OnDisk::new("Q4_K", ExpertLayout::Merged);
    let tokens = tokens(40, 8);
    let expected = bits(&disk.mapped(), &compute(), &tokens, &[40]);
    let model = disk.with_resident(3);
    let compute = compute();
    std::thread::scope(|scope| {
        let threads = [&[20][..], &[1], &[3, 17]].map(|lens| {
            let (model, compute, tokens) = (&model, &compute, &tokens);
            scope.spawn(move || bits(model, compute, tokens, lens))
        });
        for thread in threads {
            assert!(thread.join().unwrap() == expected);
        }
    });
}

#[test]
fn what_fits_is_mapped_and_what_is_in_memory_cannot_be_read_again() {
    let disk = OnDisk::new("Q8_0", ExpertLayout::Merged);
    assert!(disk.mapped().residence().is_none());
    let gguf = Gguf::from_bytes("memory.gguf", Bytes::from(disk.content.clone())).unwrap();
    let model = Model::load(&gguf).unwrap();
    assert_eq!(model.needs(None).least_weights, None);
    let error = model.within(&gguf, 0, |_, _| ()).err().unwrap().to_string();
    assert!(error.contains("memory.gguf: the model cannot be read: it is in memory"), "{error}");
}
