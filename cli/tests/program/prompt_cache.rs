//! `--prompt-cache`, as a user meets it.

use crate::batches;
use crate::batches::{Workplace, chat, lines, settled};
use crate::program;
use crate::program::{Run, gatefold};
use serde_json::Value as Json;
use std::fs;
use std::process::Stdio;
use std::time::SystemTime;

/// More than a page of tokens.
const QUESTION: &str = "Once upon a time there was a cache that went from run to run, and on its way \
    it met a prompt that went on and on";

/// `gatefold run` with a prompt cache and these arguments: what it said, and its answer.
fn run(place: &Workplace, prompt: &str, args: &[&str]) -> (String, Json) {
    let (model, cache) = (place.path("model.gguf"), place.path("prompt.cache"));
    let [model, cache] = [&model, &cache].map(|path| path.to_str().unwrap());
    let shared = ["run", "-m", model, "--prompt-cache", cache, "--raw", "--json", "-n", "3"];
    let Run { stderr, stdout, .. } =
        gatefold(&[&shared[..], &["--temp", "0", "-p", prompt], args].concat()).succeeded();
    (stderr, serde_json::from_str(&stdout).unwrap())
}

fn n_read(answer: &Json) -> u64 {
    answer["prompt"]["n_tokens"].as_u64().unwrap()
}

/// When a file was written.
fn written_at(place: &Workplace, name: &str) -> SystemTime {
    fs::metadata(place.path(name)).unwrap().modified().unwrap()
}

/// Changes the last byte of a file.
fn damage(place: &Workplace, name: &str) {
    let mut bytes = fs::read(place.path(name)).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(place.path(name), bytes).unwrap();
}

#[test]
fn a_prompt_is_read_once_and_its_answer_is_the_same() {
    let place = Workplace::new();
    let model = place.path("model.gguf");
    let plain = ["run", "-m", model.to_str().unwrap(), "--raw", "--json", "-n", "3", "--temp", "0"];
    let expected = gatefold(&[&plain[..], &["-p", QUESTION]].concat()).succeeded().json();
    assert!(n_read(&expected) > 80);
    let mut written = None;
    for _ in 0..2 {
        let (said, found) = run(&place, QUESTION, &[]);
        assert_eq!((said.as_str(), n_read(&found)), ("", 1));
        for field in ["ids", "logits_hash"] {
            assert_eq!(found[field], expected[field]);
        }
        let now = written_at(&place, "prompt.cache");
        assert_eq!(*written.get_or_insert(now), now, "it is not written again");
    }
    let (said, found) = run(&place, &format!("{QUESTION}, and again"), &[]);
    assert_eq!(said, "");
    assert!((2..30).contains(&n_read(&found)), "{found}");
    let (said, found) = run(&place, &format!("{QUESTION}, and {QUESTION}"), &[]);
    assert!(said.contains(" are new; it is extended") && said.lines().count() == 1, "{said}");
    assert_eq!(n_read(&found), 1);
    let (said, _) = run(&place, &QUESTION.to_uppercase(), &[]);
    assert!(said.contains(" are new; it is replaced") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_prompt_cache_of_another_run_is_replaced() {
    let place = Workplace::new();
    run(&place, QUESTION, &[]);
    let (said, _) = run(&place, "Why?", &["--cache-type", "q8_0"]);
    assert!(said.contains("saved in F16, and the cache is in Q8_0"), "{said}");
    assert!(said.ends_with("; it is left as it is\n"), "{said}");
    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert!(said.contains("saved in F16") && said.ends_with("; it is replaced\n"), "{said}");
    fs::write(place.path("model.gguf"), batches::model("another")).unwrap();
    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert!(said.contains("saved with another model; it is replaced"), "{said}");
    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert_eq!(said, "");
}

/// What was read is kept before the answer: nobody need wait for its end.
#[test]
fn a_prompt_is_kept_though_nobody_hears_the_answer() {
    let place = Workplace::new();
    let mut command = program::command();
    command.current_dir(place.folder.path()).args(["run", "-m", "model.gguf", "--raw"]);
    command.args(["--prompt-cache", "prompt.cache", "-n", "50", "-p", QUESTION]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    child.wait().unwrap();
    let written = written_at(&place, "prompt.cache");
    let (said, found) = run(&place, QUESTION, &[]);
    assert_eq!((said.as_str(), n_read(&found)), ("", 1));
    assert_eq!(written_at(&place, "prompt.cache"), written);
}

/// That is noticed before a long prompt is read for it; the answer is there all the same.
#[test]
fn a_prompt_cache_that_cannot_be_written_is_told_of_and_not_read_for() {
    let place = Workplace::new();
    fs::create_dir(place.path("prompt.cache.part")).unwrap();
    let (said, found) = run(&place, QUESTION, &[]);
    assert!(
        said.contains("prompt.cache.part is in the way") && said.lines().count() == 1,
        "{said}"
    );
    assert!(n_read(&found) > 80, "{found}");
    fs::remove_dir(place.path("prompt.cache.part")).unwrap();
    run(&place, QUESTION, &[]);
    let written = written_at(&place, "prompt.cache");
    // Where the file would stay as it is, nobody minds.
    fs::create_dir(place.path("prompt.cache.part")).unwrap();
    let (said, found) = run(&place, QUESTION, &[]);
    assert_eq!((said.as_str(), n_read(&found)), ("", 1));
    assert_eq!(written_at(&place, "prompt.cache"), written);
}

#[test]
fn what_is_no_prompt_cache_is_left_alone() {
    let place = Workplace::new();
    place.write("in.jsonl", &[chat("a", "Why?")]);
    fs::write(place.path("prompt.cache"), "Dear diary").unwrap();
    let args = ["in.jsonl", "-o", "out.jsonl", "--prompt-cache", "prompt.cache"];
    let (code, stderr) = place.batch(&args);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("prompt.cache: there is something else"), "{stderr}");
    assert_eq!(fs::read_to_string(place.path("prompt.cache")).unwrap(), "Dear diary");
    // The output, which is empty at first, is not taken for one.
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "both", "--prompt-cache", "both"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("both: there is something else"), "{stderr}");
    let (code, stderr) = place.batch(&["in.jsonl", "--prompt-cache", "misspelled/prompt.cache"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("there is no such folder; make it"), "{stderr}");
    let model = place.path("model.gguf");
    let args = ["run", "-m", model.to_str().unwrap(), "--chat", "--prompt-cache", "x"];
    gatefold(&args).refused("single prompts");
}

#[test]
fn batches_begin_with_what_is_kept() {
    let place = Workplace::new();
    let requests: Vec<Json> =
        (0..4).map(|idx| chat(&idx.to_string(), &format!("{QUESTION}: {idx}?"))).collect();
    place.write("in.jsonl", &requests);
    place.succeeds();
    let expected = settled(place.lines("out.jsonl"));
    let mut written = None;
    for output in ["first.jsonl", "second.jsonl"] {
        let args = ["in.jsonl", "-o", output, "--prompt-cache", "prompt.cache"];
        let (code, stderr) = place.batch(&args);
        assert_eq!((code, stderr.lines().count()), (0, 2), "{stderr}");
        assert_eq!(settled(place.lines(output)), expected);
        let now = written_at(&place, "prompt.cache");
        assert_eq!(*written.get_or_insert(now), now, "it is not written again");
    }
    damage(&place, "prompt.cache");
    let args = ["in.jsonl", "-o", "third.jsonl", "--prompt-cache", "prompt.cache"];
    let (_, stderr) = place.batch(&args);
    assert!(stderr.contains("the file is damaged; it is replaced"), "{stderr}");
    assert_eq!(settled(place.lines("third.jsonl")), expected);
    // All is done: nothing is read, not even the file.
    fs::write(place.path("prompt.cache"), "Dear diary").unwrap();
    assert_eq!(place.batch(&args).0, 0);
}

#[test]
fn summaries_begin_with_what_is_kept() {
    let place = Workplace::new();
    for (name, text) in [("a.txt", "One text."), ("b.txt", "Another one.")] {
        fs::write(place.path(name), text).unwrap();
    }
    let summarize = |output: &str, cache: &[&str]| {
        let args = ["summarize", "-m", "model.gguf", "a.txt", "b.txt", "-n", "4", "-o", output];
        let mut command = program::command();
        command.current_dir(place.folder.path()).args(args).args(["--instruction", QUESTION]);
        let run = command.args(cache).output().unwrap();
        assert!(run.status.success());
        let mut lines = lines(&place.path(output));
        lines.sort_unstable_by_key(|line| line["id"].to_string());
        lines.iter_mut().for_each(|line| line["seconds"] = Json::Null);
        (String::from_utf8(run.stderr).unwrap(), lines)
    };
    let (_, expected) = summarize("plain.jsonl", &[]);
    let cache = ["--prompt-cache", "prompt.cache"];
    let mut written = None;
    for output in ["first.jsonl", "second.jsonl"] {
        assert_eq!(summarize(output, &cache).1, expected);
        let now = written_at(&place, "prompt.cache");
        assert_eq!(*written.get_or_insert(now), now, "it is not written again");
    }
    damage(&place, "prompt.cache");
    let (said, found) = summarize("third.jsonl", &cache);
    assert!(said.contains("the file is damaged; it is replaced"), "{said}");
    assert_eq!(found, expected);
    // All is done: nothing is read, not even the file.
    fs::write(place.path("prompt.cache"), "Dear diary").unwrap();
    summarize("third.jsonl", &cache);
}

#[test]
fn numbers_of_parallel_texts_beyond_all_machines_are_refused() {
    let place = Workplace::new();
    place.write("in.jsonl", &[chat("a", "Why?")]);
    for parallel in ["0", "4097", "2305843009213693952", "18446744073709551615"] {
        for args in [&["batch", "in.jsonl"][..], &["summarize", "in.jsonl"]] {
            let mut command = program::command();
            command.current_dir(place.folder.path()).args(args).args(["-m", "model.gguf"]);
            let run = command.args(["--parallel", parallel]).output().unwrap();
            let said = String::from_utf8(run.stderr).unwrap();
            assert_eq!(run.status.code(), Some(1), "{said}");
            assert!(said.contains("invalid value") && said.contains("--parallel"), "{said}");
        }
    }
}
