//! `--prompt-cache`, as a user meets it.

mod batches;
mod program;
mod random_mixtral;

use batches::{Workplace, chat, lines, settled};
use program::{Run, gatefold};
use serde_json::Value as Json;
use std::fs;

const QUESTION: &str = "Once upon a time there was a cache that went from run to run";

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

#[test]
fn a_prompt_is_read_once_and_its_answer_is_the_same() {
    let place = Workplace::new();
    let (said, first) = run(&place, QUESTION, &[]);
    assert_eq!(said, "");
    assert!(n_read(&first) > 40);
    let (said, again) = run(&place, QUESTION, &[]);
    assert_eq!((said.as_str(), n_read(&again)), ("", 1));
    for field in ["ids", "logits_hash"] {
        assert_eq!(again[field], first[field]);
    }
    let longer = format!("{QUESTION}, and again");
    let (said, found) = run(&place, &longer, &[]);
    assert!(said.contains("it is made anew") && said.lines().count() == 1, "{said}");
    assert!((2..30).contains(&n_read(&found)), "{found}");

    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert!(said.contains("saved in F16, and the cache is in Q8_0"), "{said}");
    fs::write(place.path("model.gguf"), batches::model("another")).unwrap();
    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert!(said.contains("saved with another model; it is made anew"), "{said}");
    let (said, _) = run(&place, QUESTION, &["--cache-type", "q8_0"]);
    assert_eq!(said, "");
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
    let model = place.path("model.gguf");
    let args = ["run", "-m", model.to_str().unwrap(), "--chat", "--prompt-cache", "x"];
    gatefold(&args).refused("single prompts");
}

#[test]
fn batches_and_summaries_begin_with_what_is_kept() {
    let place = Workplace::new();
    let requests: Vec<Json> =
        (0..4).map(|idx| chat(&idx.to_string(), &format!("{QUESTION}: {idx}?"))).collect();
    place.write("in.jsonl", &requests);
    place.succeeds();
    let expected = settled(place.lines("out.jsonl"));
    let mut kept = Vec::new();
    for output in ["first.jsonl", "second.jsonl"] {
        let args = ["in.jsonl", "-o", output, "--prompt-cache", "prompt.cache"];
        let (code, stderr) = place.batch(&args);
        assert_eq!((code, stderr.lines().count()), (0, 1), "{stderr}");
        assert_eq!(settled(place.lines(output)), expected);
        kept.push(fs::read(place.path("prompt.cache")).unwrap());
    }
    assert!(kept[0] == kept[1] && kept[0].len() > 10_000);
    // All is done: nothing is read, and nothing replaced.
    let args = ["in.jsonl", "-o", "first.jsonl", "--prompt-cache", "prompt.cache"];
    assert_eq!(place.batch(&args).0, 0);
    assert!(fs::read(place.path("prompt.cache")).unwrap() == kept[0]);

    for (name, text) in [("a.txt", "One text."), ("b.txt", "Another one.")] {
        fs::write(place.path(name), text).unwrap();
    }
    let mut found = Vec::new();
    for (output, is_cached) in [("1.jsonl", false), ("2.jsonl", true), ("3.jsonl", true)] {
        let cache = if is_cached { &["--prompt-cache", "summaries.cache"][..] } else { &[] };
        let args = ["summarize", "-m", "model.gguf", "a.txt", "b.txt", "-n", "4", "-o", output];
        let mut command = program::command();
        let output = command.current_dir(place.folder.path()).args(args).args(cache).output();
        assert!(output.unwrap().status.success());
        let mut lines = lines(&place.path(args[8]));
        lines.sort_unstable_by_key(|line| line["id"].to_string());
        lines.iter_mut().for_each(|line| line["seconds"] = Json::Null);
        found.push(lines);
    }
    assert!(place.path("summaries.cache").is_file());
    assert!(found[0] == found[1] && found[1] == found[2], "{found:?}");
}
