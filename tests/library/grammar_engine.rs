//! Answers of the engine that are held to a form.

use gatefold::constraint::{Constrained, Constraint, ConstraintError, TokenSet};
use gatefold::engine::{Event, FinishReason, GenerateError, Options, Request};
use gatefold::grammar::{Grammars, Source};
use gatefold::sampler::{SamplerError, Sampling};
use gatefold_fixtures::small_engine::{Small, essence, greedy, run, tokens};
use std::sync::Arc;

fn held(small: &Small, source: &Source, request: Request) -> Request {
    let grammar = Grammars::new(&small.language.tokenizer).unwrap().compile(source).unwrap();
    Request { constraint: Some(Arc::new(grammar)), is_own_text: true, ..request }
}

/// Some hundred tokens of bytes.
fn list() -> Source {
    Source::Regex("((red|green|blue|7|_), ){60,90}end".into())
}

/// Requests with a form, sampled in every manner, and some without.
fn requests(small: &Small) -> Vec<Request> {
    let request = |seed: usize| {
        let sampling = Sampling {
            temperature: [0.0, 2.0, 1.0][seed % 3],
            seed: seed as u64,
            repeat_penalty: [1.0, 1.3][seed % 2],
            presence_penalty: [0.0, 1.5][seed % 2],
            logit_bias: vec![(94, 5.0)],
            ..Sampling::default()
        };
        let request = Request {
            max_tokens: Some(600),
            n_logprobs: Some(2),
            ..Request::new(tokens(60, seed), sampling)
        };
        if seed % 4 == 3 { request } else { held(small, &list(), request) }
    };
    (0..8).map(request).collect()
}

#[test]
fn company_and_preemption_change_no_bit() {
    let small = Small::new();
    let requests = requests(&small);
    let expected: Vec<_> =
        requests.iter().map(|request| small.alone("F16", request.clone())).collect();
    for (request, answer) in requests.iter().zip(&expected) {
        if request.constraint.is_some() {
            let n_words = answer.text.strip_suffix("end").unwrap().matches(", ").count();
            assert!((60..=90).contains(&n_words), "{}", answer.text);
            assert_eq!(answer.finish_reason, FinishReason::EndOfText);
            assert_eq!(answer.tokens.len(), answer.logprobs.len());
        }
    }
    // Room for all, then for less than two answers, so that some are computed again.
    for n_pages in [1000, 18] {
        let memory_bytes = n_pages * small.page_bytes("F16");
        let mut engine = small.engine(Options { memory_bytes, ..small.options("F16") });
        let ids: Vec<_> =
            requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
        let mut endings = run(&mut engine);
        for (id, expected) in ids.iter().zip(&expected) {
            let found = endings.remove(id).unwrap().unwrap();
            assert_eq!(essence(&found), essence(expected), "{n_pages} pages");
        }
    }
}

#[test]
fn an_answer_says_whether_it_is_whole() {
    let small = Small::new();
    let cases = [
        ("yes|no", 100, FinishReason::EndOfText),
        ("a{50}", 20, FinishReason::Length),
        // Complete with the last token that it may have.
        ("a{20}", 20, FinishReason::EndOfText),
    ];
    for (regex, max_tokens, expected) in cases {
        let request = held(&small, &Source::Regex(regex.into()), greedy(tokens(20, 1), max_tokens));
        let answer = small.alone("F16", request);
        assert_eq!(answer.finish_reason, expected, "{regex}: {:?}", answer.text);
    }
    let stopped = Request { stops: vec!["aaa".into()], ..greedy(tokens(20, 1), 100) };
    let stopped = held(&small, &Source::Regex("a{50}".into()), stopped);
    assert_eq!(small.alone("F16", stopped).finish_reason, FinishReason::StopString);
}

/// The log probabilities are the model's own: those of an answer with that prompt and no form.
#[test]
fn log_probabilities_know_of_no_form() {
    let small = Small::new();
    let request = Request { n_logprobs: Some(3), ..greedy(tokens(20, 1), 1) };
    let free = small.alone("F16", request.clone());
    let forced = small.alone("F16", held(&small, &Source::Regex("q".into()), request));
    assert_eq!(free.logprobs[0].top, forced.logprobs[0].top);
    assert!(forced.logprobs[0].chosen < free.logprobs[0].chosen);
}

/// A form that comes to an end of its own kind with the third token.
#[derive(Clone, Copy, Debug)]
enum Broken {
    Allows,
    Pushes,
    LeadsNowhere,
}

struct At(Broken, usize);

impl Constraint for Broken {
    fn begin(&self, _: bool) -> Box<dyn Constrained> {
        Box::new(At(*self, 0))
    }
}

impl Constrained for At {
    fn allowed(&mut self) -> Result<TokenSet, ConstraintError> {
        match (self.0, self.1) {
            (Broken::Allows, 2) => Err(ConstraintError { reason: "too much".into() }),
            (Broken::LeadsNowhere, 2) => Ok(TokenSet::default()),
            _ => Ok((100..200).collect()),
        }
    }

    fn push(&mut self, token: u32) -> Result<(), ConstraintError> {
        assert!((100..200).contains(&token));
        self.1 += 1;
        match (self.0, self.1) {
            (Broken::Pushes, 2) => Err(ConstraintError { reason: "not this".into() }),
            _ => Ok(()),
        }
    }

    fn is_complete(&self) -> bool {
        false
    }
}

#[test]
fn a_form_that_fails_ends_its_own_request_alone() {
    let small = Small::new();
    let neighbour = greedy(tokens(30, 2), 12);
    let expected = essence(&small.alone("F16", neighbour.clone()));
    for broken in [Broken::Allows, Broken::Pushes, Broken::LeadsNowhere] {
        let mut engine = small.engine(small.options("F16"));
        let request = Request { constraint: Some(Arc::new(broken)), ..greedy(tokens(20, 1), 50) };
        let bad = engine.submit(request).unwrap();
        let good = engine.submit(neighbour.clone()).unwrap();
        let (mut failed, mut answered) = (None, None);
        while !engine.is_idle() {
            engine.step(&mut |id, event| match event {
                Event::Failed(error) if id == bad => failed = Some(error),
                Event::Done(generated) if id == good => answered = Some(generated),
                Event::Failed(error) => panic!("{error}"),
                _ => {}
            });
        }
        let failed = failed.unwrap();
        match broken {
            Broken::LeadsNowhere => {
                assert!(matches!(failed, GenerateError::Sampler(SamplerError::NothingAllowed)));
            }
            _ => assert!(matches!(failed, GenerateError::Constraint(_))),
        }
        assert_eq!(essence(&answered.unwrap()), expected);
        engine.clear_prefix_cache();
        assert_eq!(engine.memory_bytes(), 0, "all pages are given back");
    }
}
