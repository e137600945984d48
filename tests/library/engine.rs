//! Many requests at once: each gets the answer that it would get alone, within the memory.

use gatefold::engine::{Event, FinishReason, Generated, Options, Refusal, Request};
use gatefold::sampler::Sampling;
use gatefold_fixtures::small_engine;
use gatefold_fixtures::small_engine::{
    CONTEXT_LEN, Endings, Small, essence, greedy, run, step, tokens,
};
use std::time::{Duration, Instant};

/// Prompts of many lengths, some with a long beginning in common, some the same; greedy ones and
/// drawn ones.
fn requests(n_requests: usize) -> Vec<Request> {
    let request = |idx: usize| {
        let prompt = match idx % 3 {
            0 => [tokens(100, 1), tokens(1 + idx * 5 % 60, idx)].concat(),
            1 => tokens(70, 2),
            _ => tokens(1 + idx * 9 % 100, idx),
        };
        let temperature = if idx.is_multiple_of(4) { 0.0 } else { 1.5 };
        let sampling =
            Sampling { temperature, repeat_penalty: 1.1, seed: idx as u64, ..Sampling::default() };
        let n_logprobs = idx.is_multiple_of(2).then_some(idx);
        let max_tokens = Some(1 + idx % 12);
        Request { max_tokens, n_logprobs, ..Request::new(prompt, sampling) }
    };
    (0..n_requests).map(request).collect()
}

/// The first of these requests, by seed, whose answer is as long as it may be.
fn endless(small: &Small, max_tokens: usize, request: impl Fn(usize) -> Request) -> Request {
    let mut requests = (0..).map(|seed| Request { max_tokens: Some(max_tokens), ..request(seed) });
    let is_endless =
        |request: &Request| small.alone("Q8_0", request.clone()).tokens.len() == max_tokens;
    requests.find(is_endless).expect("one of so many")
}

/// Numbers without a pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % n
    }
}

fn alone(small: &Small, cache_format: &str, requests: &[Request]) -> Vec<Generated> {
    requests.iter().map(|request| small.alone(cache_format, request.clone())).collect()
}

#[test]
fn an_answer_does_not_depend_on_company_or_steps() {
    let small = Small::new();
    let requests = requests(32);
    for cache_format in ["F16", "Q8_0"] {
        let expected = alone(&small, cache_format, &requests);
        for (max_running, max_batched_tokens) in
            [(1, 512), (4, 1), (4, 7), (32, 7), (32, 64), (32, 512)]
        {
            let options =
                Options { max_running, max_batched_tokens, ..small.options(cache_format) };
            let mut engine = small.engine(options);
            let ids: Vec<_> =
                requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
            let endings = run(&mut engine);
            for (id, expected) in ids.iter().zip(&expected) {
                let found = endings[id].as_ref().unwrap();
                assert_eq!(
                    essence(found),
                    essence(expected),
                    "{max_running} running, {max_batched_tokens} a step"
                );
            }
        }
    }
}

/// Requests come and are cancelled at random, with little memory: nothing is lost, nothing differs,
/// and the memory holds.
#[test]
fn any_schedule_gives_the_same_answers() {
    let small = Small::new();
    let mut requests = requests(12);
    // Two that are longer than memory is set aside for.
    for (request, max_tokens) in requests.iter_mut().step_by(5).zip([340, 380]) {
        *request = endless(&small, max_tokens, |seed| {
            let sampling = Sampling { seed: seed as u64, ..request.sampling.clone() };
            Request { sampling, prompt: tokens(60, seed), ..request.clone() }
        });
    }
    let expected = alone(&small, "Q8_0", &requests);
    let page_bytes = small.page_bytes("Q8_0");
    for seed in 0..12 {
        let mut random = Random(seed);
        let options = Options {
            max_running: 1 + random.below(12),
            max_batched_tokens: [3, 20, 64, 512][random.below(4)],
            // The longest request takes 7 pages.
            memory_bytes: page_bytes * (7 + random.below(9) as u64),
            ..small.options("Q8_0")
        };
        let memory_bytes = options.memory_bytes;
        let mut engine = small.engine(options);
        let mut coming: Vec<_> = requests.iter().cloned().zip(&expected).collect();
        let (mut ids, mut endings) = (Vec::new(), Endings::new());
        while !(coming.is_empty() && engine.is_idle()) {
            if !coming.is_empty() && random.below(2) == 0 {
                let (request, expected) = coming.swap_remove(random.below(coming.len()));
                ids.push((engine.submit(request).unwrap(), expected));
            }
            if !ids.is_empty() && random.below(8) == 0 {
                engine.cancel(ids[random.below(ids.len())].0);
            }
            step(&mut engine, &mut endings);
            assert!(engine.memory_bytes() <= memory_bytes, "schedule {seed}");
        }
        assert_eq!((ids.len(), endings.len()), (expected.len(), expected.len()));
        for (id, expected) in ids {
            let found = endings[&id].as_ref().unwrap();
            if found.finish_reason == FinishReason::Cancelled {
                assert!(expected.tokens.starts_with(&found.tokens), "schedule {seed}");
                assert!(expected.text.starts_with(&found.text), "schedule {seed}");
            } else {
                assert_eq!(essence(found), essence(expected), "schedule {seed}");
            }
        }
        engine.clear_prefix_cache();
        assert_eq!(engine.memory_bytes(), 0, "all pages are given back");
    }
}

#[test]
fn what_never_fits_is_refused_and_all_else_waits() {
    let small = Small::new();
    let memory_bytes = 3 * small.page_bytes("F16") + 1;
    let mut engine = small.engine(Options { memory_bytes, ..small.options("F16") });
    let refused = engine.submit(greedy(tokens(100, 1), 94)).unwrap_err();
    assert!(matches!(refused, Refusal::Memory { n_tokens: 193, .. }), "{refused}");
    assert!(refused.to_string().contains("raise `memory_bytes`"), "{refused}");
    let refused = engine.submit(greedy(tokens(CONTEXT_LEN + 1, 1), 1)).unwrap_err();
    assert!(refused.to_string().contains("1025 tokens do not fit into the context"), "{refused}");
    let refused = engine.submit(greedy(vec![5, 256], 1)).unwrap_err();
    assert!(refused.to_string().contains("token id 256 is out of range"), "{refused}");
    assert!(matches!(engine.submit(greedy(vec![], 1)), Err(Refusal::EmptyPrompt)));
    assert!(engine.is_idle());

    // Each of these takes all of the memory, or two thirds.
    let requests = [(100, 93), (10, 100), (100, 3), (150, 43)];
    let requests = requests.map(|(len, max_tokens)| greedy(tokens(len, len), max_tokens));
    let ids = requests.clone().map(|request| engine.submit(request).unwrap());
    let endings = run(&mut engine);
    for (id, request) in ids.iter().zip(requests) {
        let found = essence(endings[id].as_ref().unwrap());
        assert_eq!(found, essence(&small.alone("F16", request)));
    }
}

#[test]
fn by_default_the_context_is_what_the_memory_holds() {
    let small = Small::new();
    let n_bytes = 3 * small.page_bytes("Q8_0");
    let options = Options::in_memory(&small.language, n_bytes + 1);
    assert_eq!((options.context_len, options.memory_bytes), (192, n_bytes + 1));
    let mut engine = small.engine(options);
    let endless = Request { max_tokens: None, ..greedy(tokens(190, 1), 1) };
    let id = engine.submit(endless).expect("it fits when it is alone");
    let ended = run(&mut engine).remove(&id).unwrap().unwrap();
    assert_eq!((ended.finish_reason, ended.tokens.len()), (FinishReason::Context, 3));
}

#[test]
fn the_context_ends_an_answer() {
    let small = Small::new();
    let options = Options { context_len: 80, ..small.options("F16") };
    let mut engine = small.engine(options);
    let endless = Request { max_tokens: None, ..greedy(tokens(78, 1), 1) };
    let id = engine.submit(endless).unwrap();
    let whole = engine.submit(greedy(tokens(80, 2), 9)).unwrap();
    let endings = run(&mut engine);
    for (id, n_tokens) in [(id, 3), (whole, 1)] {
        let found = endings[&id].as_ref().unwrap();
        assert_eq!((found.finish_reason, found.tokens.len()), (FinishReason::Context, n_tokens));
    }
}

#[test]
fn a_stop_string_ends_an_answer_and_text_comes_as_it_is_made() {
    let small = Small::new();
    let request = greedy(tokens(30, 3), 40);
    let whole = small.alone("F16", request.clone());
    let characters: Vec<char> = whole.text.chars().collect();
    let stop: String = characters[characters.len() / 2..][..2].iter().collect();
    let mut engine = small.engine(small.options("F16"));
    engine.submit(Request { stops: vec![stop.clone(), String::new()], ..request }).unwrap();
    let (mut streamed, mut ids, mut ending) = (String::new(), Vec::new(), None);
    while !engine.is_idle() {
        engine.step(&mut |_, event| match event {
            Event::Delta(delta) => {
                streamed.push_str(&delta.text);
                ids.extend(delta.tokens.iter().map(|token| token.id));
            }
            Event::Done(generated) => ending = Some(generated),
            Event::Prefill { n_computed, n_reused } => assert_eq!((n_computed, n_reused), (30, 0)),
            other => panic!("{other:?}"),
        });
    }
    let ending = ending.unwrap();
    assert_eq!(ending.finish_reason, FinishReason::StopString);
    assert_eq!(ending.text, whole.text[..whole.text.find(&stop).unwrap()]);
    assert_eq!((streamed, ids), (ending.text, ending.tokens));
}

#[test]
fn log_probabilities_are_those_of_the_logits() {
    let small = Small::new();
    let request = Request { n_logprobs: Some(300), ..greedy(tokens(20, 4), 3) };
    let found = small.alone("F16", request);
    assert_eq!(found.logprobs.len(), 3);
    for (logprobs, &token) in found.logprobs.iter().zip(&found.tokens) {
        assert_eq!(logprobs.top.len(), small_engine::N_VOCAB);
        assert_eq!(logprobs.top[0], (token, logprobs.chosen), "greedy takes the most probable");
        assert!(logprobs.top.is_sorted_by(|a, b| a.1 >= b.1));
        let sum: f64 = logprobs.top.iter().map(|&(_, log_prob)| f64::from(log_prob).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
    }
    let last = &found.logprobs[2];
    let by_hand = |token: u32| found.last_logits[token as usize] - found.last_logits[0];
    for &(token, log_prob) in &last.top {
        let zeroth = last.top.iter().find(|(token, _)| *token == 0).unwrap().1;
        assert!((log_prob - zeroth - by_hand(token)).abs() < 1e-4);
    }
}

#[test]
fn damage_fails_the_requests_that_meet_it_alone() {
    let small = Small::with_damaged(77);
    let healthy = greedy(vec![5, 6, 7], 4);
    let expected = small.alone("F16", healthy.clone());
    assert!(!expected.tokens.contains(&77));
    let mut engine = small.engine(small.options("F16"));
    let first = engine.submit(healthy.clone()).unwrap();
    let damaged = engine.submit(greedy(vec![5, 77, 7], 4)).unwrap();
    let last = engine.submit(healthy).unwrap();
    let endings = run(&mut engine);
    let error = endings[&damaged].as_ref().unwrap_err().to_string();
    assert!(error.contains("the model's weights are damaged"), "{error}");
    for id in [first, last] {
        assert_eq!(essence(endings[&id].as_ref().unwrap()), essence(&expected));
    }
}

#[test]
fn deadlines_and_cancels_end_requests_wherever_they_are() {
    let small = Small::new();
    let options = Options { max_running: 2, ..small.options("F16") };
    let mut engine = small.engine(options);
    let endless = Request { max_tokens: None, ..greedy(tokens(20, 1), 1) };
    let soon = Some(Instant::now() + Duration::from_millis(30));
    let late = engine.submit(Request { deadline: soon, ..endless.clone() }).unwrap();
    let cancelled = engine.submit(endless.clone()).unwrap();
    let waiting = engine.submit(endless.clone()).unwrap();
    let past = Some(Instant::now());
    let expired = engine.submit(Request { deadline: past, ..endless.clone() }).unwrap();
    let mut endings = Endings::new();
    while !endings.contains_key(&late) {
        step(&mut engine, &mut endings);
    }
    engine.cancel(cancelled);
    engine.cancel(waiting);
    engine.cancel(late);
    endings.extend(run(&mut engine));
    let ending = |id| endings[id].as_ref().unwrap();
    assert_eq!(ending(&late).finish_reason, FinishReason::Deadline);
    assert_eq!(ending(&expired).finish_reason, FinishReason::Deadline);
    assert!(ending(&expired).tokens.is_empty() && ending(&expired).last_logits.is_empty());
    for id in [&cancelled, &waiting] {
        assert_eq!(ending(id).finish_reason, FinishReason::Cancelled);
    }
    let expected = small.alone("F16", Request { max_tokens: Some(300), ..endless });
    for id in [&late, &cancelled] {
        let tokens = &ending(id).tokens;
        let n_same = tokens.len().min(300);
        assert_eq!(tokens[..n_same], expected.tokens[..n_same]);
    }
}

/// Memory is set aside for answers of usual length. Where longer ones fill it, some are given up and
/// read again, which nobody can tell from the answers.
#[test]
fn long_answers_share_a_memory_that_is_too_small_for_all() {
    const N_TOKENS: usize = 500;
    let small = Small::new();
    let prompt = |seed| [tokens(70, 1), tokens(1 + seed % 9, seed)].concat();
    let likely = |seed| greedy(prompt(seed), N_TOKENS);
    let drawn = |seed: usize| {
        let (temperature, repeat_penalty, draws) = (0.9, 1.2, seed as u64);
        let sampling = Sampling { temperature, repeat_penalty, seed: draws, ..Sampling::default() };
        Request { n_logprobs: Some(3), ..Request::new(prompt(seed), sampling) }
    };
    let mut requests = vec![
        endless(&small, N_TOKENS, likely),
        endless(&small, N_TOKENS, drawn),
        endless(&small, N_TOKENS, |seed| likely(100 + seed)),
        endless(&small, N_TOKENS, |seed| drawn(100 + seed)),
    ];
    for request in requests.iter_mut().skip(1).step_by(2) {
        request.stops = vec![late_part(&small.alone("Q8_0", request.clone()).text)];
    }
    let expected = alone(&small, "Q8_0", &requests);
    assert_eq!(expected[1].finish_reason, FinishReason::StopString);
    assert!(expected[1].tokens.len() > 400);
    // One needs 9 pages, and two are expected to do with 11, of which they share one.
    let memory_bytes = 12 * small.page_bytes("Q8_0");
    for (max_batched_tokens, is_cancelled) in [(512, false), (40, false), (512, true)] {
        let options = Options { memory_bytes, max_batched_tokens, ..small.options("Q8_0") };
        let mut engine = small.engine(options);
        let ids: Vec<_> =
            requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
        let mut endings = Endings::new();
        let mut n_given_up = 0;
        while !engine.is_idle() {
            let n_bytes = engine.memory_bytes();
            step(&mut engine, &mut endings);
            if endings.is_empty() && engine.memory_bytes() < n_bytes {
                n_given_up += 1;
                if is_cancelled {
                    engine.cancel(ids[1]);
                }
            }
        }
        assert_eq!(n_given_up, 1, "the second, until the first has ended");
        for (idx, (id, alone)) in ids.iter().zip(&expected).enumerate() {
            let found = endings[id].as_ref().unwrap();
            assert_eq!(found.speed.n_tokens, found.tokens.len() - 1);
            if is_cancelled && idx == 1 {
                assert_eq!(found.finish_reason, FinishReason::Cancelled);
                assert!((200..400).contains(&found.tokens.len()), "{}", found.tokens.len());
                assert!(alone.tokens.starts_with(&found.tokens));
                assert!(alone.logprobs.starts_with(&found.logprobs));
                assert!(alone.text.starts_with(&found.text));
                continue;
            }
            assert_eq!(essence(found), essence(alone));
            // What was read for it before its memory was given up counts too.
            assert!(found.speed.weight_bytes >= alone.speed.weight_bytes);
        }
    }
}

/// A part of a text, some characters long, that comes first when most of the text is over.
fn late_part(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let part = &characters[characters.len() * 9 / 10..][..12];
    let part = String::from_iter(part);
    assert!(text.find(&part).unwrap() > text.len() * 17 / 20);
    part
}
