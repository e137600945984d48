//! Beginnings that several requests have in common are read once, in a run and from run to run.

use gatefold::engine::{
    Change, Engine, Generated, Options, PrefixFile, PrefixProblem, PromptCache, Request,
    common_prefix,
};
use gatefold::sampler::Sampling;
use gatefold_fixtures::small_engine::{Small, essence, greedy, run, tokens};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const FINGERPRINT: [u8; 32] = *b"The fingerprint of a small model";

/// The answers to requests that come at once.
fn answers(engine: &mut Engine, requests: impl IntoIterator<Item = Request>) -> Vec<Generated> {
    let ids: Vec<_> = requests.into_iter().map(|request| engine.submit(request).unwrap()).collect();
    let mut endings = run(engine);
    ids.iter().map(|id| endings.remove(id).unwrap().unwrap()).collect()
}

fn n_reused(answers: &[Generated]) -> Vec<usize> {
    answers.iter().map(|answer| answer.n_reused).collect()
}

#[test]
fn several_answers_to_one_prompt_read_it_once() {
    let small = Small::new();
    for max_batched_tokens in [512, 64, 5] {
        let mut engine = small.engine(Options { max_batched_tokens, ..small.options("F16") });
        let request = |seed| Request {
            max_tokens: Some(8),
            ..Request::new(tokens(200, 1), Sampling { seed, ..Sampling::default() })
        };
        let found = answers(&mut engine, (0..4).map(request));
        assert_eq!(n_reused(&found), [0, 199, 199, 199]);
        assert_eq!(found[0].prompt_speed.n_tokens, 200);
        assert_eq!(found[1].prompt_speed.n_tokens, 1);
        for (seed, found) in (0..).zip(&found) {
            assert_eq!(essence(found), essence(&small.alone("F16", request(seed))));
        }
    }
}

#[test]
fn an_instruction_is_read_once_and_trifles_are_not_waited_for() {
    let small = Small::new();
    let mut engine = small.engine(small.options("F16"));
    let with_text = |seed| greedy([tokens(150, 1), tokens(20, seed)].concat(), 2);
    let found = answers(&mut engine, [with_text(2), with_text(3), greedy(tokens(9, 1), 2)]);
    assert_eq!(n_reused(&found), [0, 150, 0]);
    assert_eq!(n_reused(&answers(&mut engine, [with_text(4), with_text(2)])), [150, 169]);
}

#[test]
fn who_is_waited_for_may_leave() {
    let small = Small::new();
    let mut engine = small.engine(Options { max_batched_tokens: 40, ..small.options("F16") });
    let first = engine.submit(greedy(tokens(200, 1), 2)).unwrap();
    let second = engine.submit(greedy(tokens(200, 1), 2)).unwrap();
    engine.step(&mut |_, _| {});
    engine.cancel(first);
    let endings = run(&mut engine);
    assert_eq!(endings[&second].as_ref().unwrap().n_reused, 40, "what it had read stays");
}

#[test]
fn a_conversation_goes_on_where_it_was() {
    let small = Small::new();
    let mut options = small.options("F16");
    // As much as one conversation of 256 tokens takes.
    options.memory_bytes = 4 * small.page_bytes("F16");
    let mut engine = small.engine(options);
    let mut conversation = tokens(90, 1);
    let mut n_known = 0;
    for turn in 0..4 {
        let request = greedy(conversation.clone(), 10);
        let found = answers(&mut engine, [request.clone()]).remove(0);
        assert_eq!(found.n_reused, n_known, "turn {turn}");
        assert_eq!(essence(&found), essence(&small.alone("F16", request)));
        conversation.extend(found.tokens);
        // The last token of an answer is not read.
        n_known = conversation.len() - 1;
        conversation.extend(tokens(30, turn));
    }
    // Another conversation needs the memory.
    assert_eq!(n_reused(&answers(&mut engine, [greedy(tokens(240, 9), 2)])), [0]);
    let again = answers(&mut engine, [greedy(conversation, 2)]);
    assert_eq!(n_reused(&again), [0], "the first one was forgotten for it");
}

#[test]
fn what_is_finished_leaves_the_memory_to_what_is_not() {
    let small = Small::new();
    let page_bytes = small.page_bytes("F16");
    let mut engine =
        small.engine(Options { memory_bytes: 32 * page_bytes, ..small.options("F16") });
    for seed in 0..6 {
        answers(&mut engine, [greedy(tokens(100, seed), 2)]);
        assert!(engine.memory_bytes() <= 4 * page_bytes, "an eighth of it");
    }
    assert_eq!(n_reused(&answers(&mut engine, [greedy(tokens(100, 4), 2)])), [99]);
    assert_eq!(n_reused(&answers(&mut engine, [greedy(tokens(250, 9), 2)])), [0]);
    assert_eq!(n_reused(&answers(&mut engine, [greedy(tokens(250, 9), 2)])), [249]);
}

/// A file for prefixes of a model.
fn file(path: &Path, fingerprint: [u8; 32]) -> PrefixFile {
    PrefixFile { path: path.into(), fingerprint }
}

#[test]
fn saved_prefixes_are_taken_up_by_the_next_run() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instruction.prefix");
    for cache_format in ["F16", "Q8_0"] {
        let prefix = tokens(150, 1);
        let mut engine = small.engine(small.options(cache_format));
        assert_eq!(engine.save_prefix(&file(&path, FINGERPRINT), &prefix).unwrap(), 0);
        answers(&mut engine, [greedy([prefix.clone(), tokens(9, 5)].concat(), 2)]);
        assert_eq!(engine.save_prefix(&file(&path, FINGERPRINT), &prefix).unwrap(), 150);

        let mut next = small.engine(small.options(cache_format));
        assert_eq!(next.load_prefix(&file(&path, FINGERPRINT)).unwrap(), prefix);
        let request = greedy([prefix, tokens(70, 6)].concat(), 5);
        let found = answers(&mut next, [request.clone()]).remove(0);
        assert_eq!(found.n_reused, 150);
        assert_eq!(essence(&found), essence(&small.alone(cache_format, request)));
    }
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside the file");
}

#[test]
fn prefixes_of_others_and_damaged_ones_are_refused() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instruction.prefix");
    let mut engine = small.engine(small.options("Q8_0"));
    answers(&mut engine, [greedy(tokens(70, 1), 1)]);
    engine.save_prefix(&file(&path, FINGERPRINT), &tokens(70, 1)).unwrap();
    let problem = |options, fingerprint| {
        let mut engine = small.engine(options);
        let problem = engine.load_prefix(&file(&path, fingerprint)).unwrap_err().problem;
        assert_eq!(engine.memory_bytes(), 0);
        problem
    };
    let q8_0 = || small.options("Q8_0");
    assert!(matches!(problem(q8_0(), [0; 32]), PrefixProblem::Model));
    assert!(matches!(problem(small.options("F16"), FINGERPRINT), PrefixProblem::Format { .. }));
    let memory_bytes = small.page_bytes("Q8_0");
    let little = Options { memory_bytes, ..q8_0() };
    assert!(matches!(problem(little, FINGERPRINT), PrefixProblem::Memory { n_tokens: 70 }));

    let whole = fs::read(&path).unwrap();
    for len in [0, 7, 8, 30, 72, 80, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..len]).unwrap();
        let problem = problem(q8_0(), FINGERPRINT);
        let is_expected = match problem {
            PrefixProblem::NotSaved => len < 8,
            PrefixProblem::Length { .. } | PrefixProblem::Cut => len >= 8,
            _ => false,
        };
        assert!(is_expected, "{len} bytes: {problem}");
    }
    for at in (0..84).chain((80..whole.len()).step_by(9973)).chain([whole.len() - 1]) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        problem(q8_0(), FINGERPRINT);
    }
    let mut of_another_program = whole.clone();
    of_another_program[12] ^= 1;
    fs::write(&path, of_another_program).unwrap();
    assert!(matches!(problem(q8_0(), FINGERPRINT), PrefixProblem::Revision { .. }));
    fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
    assert!(matches!(problem(q8_0(), FINGERPRINT), PrefixProblem::Length { .. }));
    fs::write(&path, "Dear diary").unwrap();
    assert!(matches!(problem(q8_0(), FINGERPRINT), PrefixProblem::NotSaved));
    let refused =
        engine.save_prefix(&file(&path, FINGERPRINT), &tokens(70, 1)).unwrap_err().to_string();
    assert!(refused.contains("instruction.prefix: there is something else"), "{refused}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "Dear diary");
    fs::remove_file(&path).unwrap();
    assert!(matches!(problem(q8_0(), FINGERPRINT), PrefixProblem::Io(_)));
}

/// What a run with a prompt cache does: it reads a prefix once, and puts it into the file. Returns
/// what became of the file, how many tokens were read for it, and how many an answer needed no more.
fn keep(path: &Path, small: &Small, prefix: &[u32]) -> (Change, usize, usize) {
    let mut engine = small.engine(small.options("Q8_0"));
    let mut cache = PromptCache::open(&mut engine, path, FINGERPRINT).unwrap();
    let mut n_read = 0;
    let on_read = |so_far| n_read = so_far;
    let files = || fs::read_dir(path.parent().unwrap()).unwrap().count();
    let n_files = files();
    cache.check(prefix).unwrap();
    assert!(files() <= n_files, "what a killed run has left may go, and nothing comes");
    cache.prefill(&mut engine, prefix, &AtomicBool::new(false), on_read).unwrap();
    let change = cache.keep(&engine, prefix).unwrap().change;
    let request = greedy([prefix, &tokens(40, 7)].concat(), 5);
    let found = answers(&mut engine, [request.clone()]).remove(0);
    assert_eq!(essence(&found), essence(&small.alone("Q8_0", request)));
    (change, n_read, found.n_reused)
}

#[test]
fn a_prompt_cache_is_written_where_it_saves_reading() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.cache");
    let first = tokens(640, 1);
    assert_eq!(keep(&path, &small, &first[..150]), (Change::Made, 150, 150));
    let whole = fs::read(&path).unwrap();
    assert_eq!(keep(&path, &small, &first[..150]), (Change::None, 0, 150));
    // What the file has more of is no reason to lose it, and less than a page none to write it.
    assert_eq!(keep(&path, &small, &first[..100]), (Change::None, 0, 100));
    assert_eq!(keep(&path, &small, &first[..213]), (Change::None, 0, 150));
    let aside = [&first[..90], &tokens(63, 2)].concat();
    assert_eq!(keep(&path, &small, &aside), (Change::None, 0, 90));
    assert_eq!(keep(&path, &small, &tokens(63, 2)), (Change::None, 0, 0));
    assert!(fs::read(&path).unwrap() == whole);
    assert_eq!(keep(&path, &small, &first[..214]), (Change::Extended, 214, 214));
    assert_eq!(keep(&path, &small, &first[..563]), (Change::Extended, 563, 563));
    // Nor is less than an eighth.
    assert_eq!(keep(&path, &small, &first[..640]), (Change::None, 0, 563));
    let aside = [&first[..90], &tokens(64, 2)].concat();
    assert_eq!(keep(&path, &small, &aside), (Change::Replaced, 154, 154));
    assert_eq!(keep(&path, &small, &tokens(64, 2)), (Change::Replaced, 64, 64));
    assert_eq!(keep(&path, &small, &first[..150]), (Change::Replaced, 150, 150));
    assert!(fs::read(&path).unwrap() == whole);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn a_prompt_cache_of_no_use_is_replaced_unless_another_run_can_use_it() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.cache");
    let first = tokens(150, 1);
    keep(&path, &small, &first);
    let whole = fs::read(&path).unwrap();
    let damage = || {
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, damaged).unwrap();
    };
    damage();
    assert_eq!(keep(&path, &small, &tokens(63, 2)), (Change::None, 0, 0));
    // What a run has left that was killed while it wrote.
    fs::write(folder.path().join("prompt.cache.part"), &whole[..99]).unwrap();
    assert_eq!(keep(&path, &small, &first), (Change::Replaced, 150, 150));
    assert!(fs::read(&path).unwrap() == whole);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);

    let memory_bytes = 2 * small.page_bytes("Q8_0");
    let mut engine = small.engine(Options { memory_bytes, ..small.options("Q8_0") });
    let mut cache = PromptCache::open(&mut engine, &path, FINGERPRINT).unwrap();
    let problem = &cache.problem().unwrap().problem;
    assert!(matches!(problem, PrefixProblem::Memory { n_tokens: 150 }), "{problem}");
    let interrupted = AtomicBool::new(false);
    let prefix = tokens(100, 2);
    cache.prefill(&mut engine, &prefix, &interrupted, |_| panic!("it is not to be kept")).unwrap();
    answers(&mut engine, [greedy(prefix.clone(), 1)]);
    assert_eq!(cache.keep(&engine, &prefix).unwrap().change, Change::None);
    assert!(fs::read(&path).unwrap() == whole);

    fs::write(folder.path().join("prompt.cache.part"), "Dear diary").unwrap();
    damage();
    let mut engine = small.engine(small.options("Q8_0"));
    let mut cache = PromptCache::open(&mut engine, &path, FINGERPRINT).unwrap();
    answers(&mut engine, [greedy(first.clone(), 1)]);
    for error in [cache.check(&first).unwrap_err(), cache.keep(&engine, &first).unwrap_err()] {
        assert!(error.to_string().contains("prompt.cache.part is in the way"), "{error}");
    }
}

#[test]
fn a_prompt_cache_needs_its_folder() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misspelled/prompt.cache");
    let mut engine = small.engine(small.options("Q8_0"));
    let error = PromptCache::open(&mut engine, &path, FINGERPRINT).unwrap_err();
    assert!(matches!(error.problem, PrefixProblem::NoFolder), "{error}");
}

#[test]
fn reading_for_a_prompt_cache_can_be_interrupted() {
    let small = Small::new();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("prompt.cache");
    let mut engine = small.engine(Options { max_batched_tokens: 64, ..small.options("Q8_0") });
    let mut cache = PromptCache::open(&mut engine, &path, FINGERPRINT).unwrap();
    let (prefix, interrupted) = (tokens(300, 1), AtomicBool::new(false));
    let stop = |n_read| interrupted.store(n_read == 128, Ordering::Relaxed);
    cache.prefill(&mut engine, &prefix, &interrupted, stop).unwrap();
    assert_eq!(cache.keep(&engine, &prefix).unwrap().change, Change::Made);
    assert_eq!((cache.n_known(&prefix), engine.is_idle()), (128, true), "what was read is kept");
    fs::write(&path, "Dear diary").unwrap();
    assert!(PromptCache::open(&mut engine, &path, FINGERPRINT).is_err());
}

#[test]
fn prompts_have_a_common_prefix() {
    let prompts: [&[u32]; 3] = [&[1, 2, 3, 4], &[1, 2, 3], &[1, 2, 9]];
    assert_eq!(common_prefix(prompts), [1, 2]);
    assert_eq!(common_prefix(prompts[..1].iter().copied()), [1, 2, 3, 4]);
    assert!(common_prefix([prompts[0], &[]]).is_empty() && common_prefix([]).is_empty());
}
