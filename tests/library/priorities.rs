//! Requests of the background fill what others leave, and change nothing for them.

use gatefold::engine::{Engine, Event, Options, Priority, Request, RequestId};
use gatefold_fixtures::small_engine::{Endings, Small, essence, greedy, run, step, tokens};

fn background(request: Request) -> Request {
    Request { priority: Priority::Background, ..request }
}

/// Rows of a batch, whose prompts take a step and more, and whose answers take many.
fn rows(n_rows: usize) -> Vec<Request> {
    let row = |idx: usize| greedy(tokens(40 + idx % 50, 100 + idx), 60 + idx % 20);
    (0..n_rows).map(|idx| background(row(idx))).collect()
}

/// The steps in which each token of a request comes, counted from now.
fn steps_of(engine: &mut Engine, id: RequestId, endings: &mut Endings) -> Vec<usize> {
    let mut steps = Vec::new();
    for n_steps in 1.. {
        engine.step(&mut |of, event| match event {
            Event::Delta(delta) if of == id && !delta.tokens.is_empty() => steps.push(n_steps),
            Event::Done(generated) => assert!(endings.insert(of, Ok(generated)).is_none()),
            _ => {}
        });
        if endings.contains_key(&id) {
            break;
        }
    }
    steps
}

/// Whatever the background has in work, a request has each token in the step in which it would have it
/// alone: it waits for the end of the step that is being taken, and for nothing else.
#[test]
fn a_request_waits_for_no_step_of_the_background() {
    let small = Small::new();
    let page_bytes = small.page_bytes("Q8_0");
    let asked = greedy(tokens(150, 1), 90);
    let rows = rows(24);
    let expected_of = |request: &Request| essence(&small.alone("Q8_0", request.clone()));
    let (own, of_rows) = (expected_of(&asked), rows.iter().map(expected_of).collect::<Vec<_>>());
    for (max_running, max_batched_tokens, n_pages) in
        [(1, 512, 1000), (8, 32, 1000), (8, 8, 1000), (8, 64, 5), (32, 64, 9)]
    {
        let memory_bytes = n_pages * page_bytes;
        let options =
            Options { max_running, max_batched_tokens, memory_bytes, ..small.options("Q8_0") };
        let mut alone = small.engine(options.clone());
        let id = alone.submit(asked.clone()).unwrap();
        let expected = steps_of(&mut alone, id, &mut Endings::new());
        for n_before in [1, 20, 75] {
            let mut engine = small.engine(options.clone());
            let ids: Vec<_> = rows.iter().map(|row| engine.submit(row.clone()).unwrap()).collect();
            let mut endings = Endings::new();
            (0..n_before).for_each(|_| step(&mut engine, &mut endings));
            let id = engine.submit(asked.clone()).unwrap();
            let steps = steps_of(&mut engine, id, &mut endings);
            assert_eq!(steps, expected, "{max_running} {max_batched_tokens} {n_pages} {n_before}");
            assert!(engine.memory_bytes() <= memory_bytes);
            endings.extend(run(&mut engine));
            let ending = |id| essence(endings[id].as_ref().unwrap());
            assert_eq!(ending(&id), own);
            assert!(ids.iter().zip(&of_rows).all(|(id, row)| ending(id) == *row));
            engine.clear_prefix_cache();
            assert_eq!(engine.memory_bytes(), 0);
        }
    }
}

/// Tokens that requests have made and prompts that were read, in each of some steps.
fn tokens_of(engine: &mut Engine, n_steps: usize, of: impl Fn(RequestId) -> bool) -> Vec<usize> {
    let mut tokens = vec![0; n_steps];
    for n_tokens in &mut tokens {
        engine.step(&mut |id, event| match event {
            Event::Delta(delta) if of(id) => *n_tokens += delta.tokens.len(),
            Event::Prefill { .. } if of(id) => *n_tokens += 1,
            _ => {}
        });
    }
    tokens
}

/// Where there is always somebody, the background has a small part of a step now and then; where
/// somebody waits, it has none at all.
#[test]
fn the_background_goes_on_slowly_beside_others() {
    let small = Small::new();
    let options = Options { max_running: 2, max_batched_tokens: 16, ..small.options("F16") };
    let mut engine = small.engine(options);
    let rows: Vec<_> = rows(6).into_iter().map(|row| engine.submit(row).unwrap()).collect();
    assert!(tokens_of(&mut engine, 10, |id| rows.contains(&id)).iter().all(|&n| n > 0));
    let endless = |seed| Request { max_tokens: None, ..greedy(tokens(3, seed), 1) };
    let first = engine.submit(endless(1)).unwrap();
    let told = tokens_of(&mut engine, 200, |id| rows.contains(&id));
    let turns: Vec<usize> = (0..told.len()).filter(|&idx| told[idx] > 0).collect();
    assert_eq!(turns.len(), 3, "{turns:?}");
    assert!(turns.windows(2).all(|turns| turns[1] - turns[0] == 65) && turns[0] >= 64, "{turns:?}");
    assert!(turns.iter().all(|&turn| told[turn] <= 2), "an eighth of a step");
    // One that answers, and one that waits for a place.
    let others = [2, 3].map(|seed| engine.submit(endless(seed)).unwrap());
    assert_eq!(tokens_of(&mut engine, 200, |id| rows.contains(&id)), [0; 200]);
    assert_eq!((engine.status().n_background_running, engine.n_running()), (2, 4));
    assert_eq!((engine.status().n_background_waiting, engine.n_waiting()), (4, 5));
    for id in others.into_iter().chain([first]) {
        engine.cancel(id);
    }
    assert!(tokens_of(&mut engine, 10, |id| rows.contains(&id)).iter().all(|&n| n > 0));
}
