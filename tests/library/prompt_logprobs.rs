//! Log probabilities of prompts.

use gatefold::DynFormat;
use gatefold::engine::{LogitsSession, Options, PromptLogprobs, Request, TokenLogprobs};
use gatefold::model::ModelError;
use gatefold_fixtures::small_engine::{CONTEXT_LEN, Small, essence, greedy, run, tokens};

/// The log probabilities of all tokens but the first, worked out from the logits of each.
fn expected(small: &Small, prompt: &[u32]) -> Vec<f64> {
    let (model, format) = (&small.language.model, DynFormat::by_name("F16").unwrap());
    let session = LogitsSession::new(model, &small.compute, format, CONTEXT_LEN, 512);
    let mut log_probs = Vec::new();
    let mut next = prompt[1..].iter();
    let of_rows = session.unwrap().prefill_all(prompt, |rows| {
        for row in rows {
            let Some(&token) = next.next() else { break };
            let sum: f64 = row.iter().map(|&logit| f64::from(logit).exp()).sum();
            log_probs.push(f64::from(row[token as usize]) - sum.ln());
        }
        Ok::<(), ModelError>(())
    });
    of_rows.unwrap();
    log_probs
}

fn chosen(logprobs: &[TokenLogprobs]) -> Vec<f64> {
    logprobs.iter().map(|logprobs| f64::from(logprobs.chosen)).collect()
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
    }
}

fn scored(prompt: Vec<u32>, first: usize, max_tokens: usize) -> Request {
    let prompt_logprobs = Some(PromptLogprobs { first, n_top: 3 });
    Request { prompt_logprobs, ..greedy(prompt, max_tokens) }
}

#[test]
fn every_token_of_a_prompt_has_its_log_probability() {
    let small = Small::new();
    let prompt = tokens(150, 1);
    let all = expected(&small, &prompt);
    for max_batched_tokens in [512, 64, 7] {
        for (first, n_without) in
            [(0, 0), (1, 0), (2, 1), (100, 99), (149, 148), (150, 149), (999, 149)]
        {
            let options = Options { max_batched_tokens, ..small.options("F16") };
            let mut engine = small.engine(options);
            let id = engine.submit(scored(prompt.clone(), first, 0)).unwrap();
            let found = run(&mut engine).remove(&id).unwrap().unwrap();
            assert_close(&chosen(&found.prompt_logprobs), &all[n_without..]);
            assert!(found.prompt_logprobs.iter().all(|logprobs| logprobs.top.len() == 3));
            assert!(found.tokens.is_empty() && found.text.is_empty());
        }
    }
}

#[test]
fn a_reused_prefix_changes_no_log_probability() {
    let small = Small::new();
    let (context, ending) = (tokens(130, 1), tokens(20, 2));
    let prompt = [&context[..], &ending].concat();
    for first in [0, 64, context.len(), prompt.len()] {
        let request = scored(prompt.clone(), first, 4);
        let alone = small.alone("F16", request.clone());
        let mut engine = small.engine(small.options("F16"));
        engine.submit(greedy([&context[..], &tokens(5, 9)].concat(), 1)).unwrap();
        run(&mut engine);
        let id = engine.submit(request).unwrap();
        let found = run(&mut engine).remove(&id).unwrap().unwrap();
        assert_eq!(essence(&found), essence(&alone), "from {first} on");
        // The logits of the token before `first` are needed.
        assert_eq!(found.n_reused, first.saturating_sub(1).min(context.len()), "from {first} on");
    }
}

#[test]
fn company_and_preemption_change_no_log_probability() {
    let small = Small::new();
    let requests: Vec<_> = (0..6).map(|seed| scored(tokens(70, seed), 5 * seed, 400)).collect();
    let memory_bytes = 14 * small.page_bytes("F16");
    let options = Options { memory_bytes, max_batched_tokens: 40, ..small.options("F16") };
    let mut engine = small.engine(options);
    let ids: Vec<_> = requests.iter().map(|it| engine.submit(it.clone()).unwrap()).collect();
    let mut endings = run(&mut engine);
    for (id, request) in ids.into_iter().zip(requests) {
        let found = endings.remove(&id).unwrap().unwrap();
        assert_eq!(essence(&found), essence(&small.alone("F16", request)));
    }
}
