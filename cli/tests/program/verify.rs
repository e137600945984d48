//! Results that are computed again.

use crate::batches::{Workplace, chat, completion, with};
use crate::program::{Run, gatefold};
use crate::summaries;
use serde_json::json;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Verifies a file by a model and what it was made of, all in a folder.
fn verify(folder: &Path, results: &str, inputs: &[&str], args: &[&str]) -> Run {
    let paths = [&[results], inputs].concat().into_iter().map(|name| folder.join(name).into());
    let model: OsString = folder.join("model.gguf").into();
    let mut all: Vec<OsString> = vec!["verify".into(), "-m".into(), model];
    all.extend(paths.chain(args.iter().map(OsString::from)));
    gatefold(&all)
}

fn answered(n_requests: usize) -> Workplace {
    let place = Workplace::new();
    let request = |idx: usize| {
        let id = format!("row {idx}");
        match idx % 4 {
            0 => with(chat(&id, "Why?"), "temperature", 7),
            1 => with(completion(&id, format!("Story {idx}")), "logprobs", 2),
            2 => with(chat(&id, "Which?"), "n", 2),
            _ => with(chat(&id, &format!("{idx}?")), "temperature", 1.5),
        }
    };
    place.write("in.jsonl", &(0..n_requests).map(request).collect::<Vec<_>>());
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl", "--ok-exit"]);
    assert_eq!(code, 0, "{stderr}");
    place
}

#[test]
fn honest_answers_pass_and_others_are_named() {
    let place = answered(24);
    let verify = |args: &[&str]| verify(place.folder.path(), "out.jsonl", &["in.jsonl"], args);
    let run = verify(&["--sample", "100%", "-t", "1", "--parallel", "3"]).succeeded();
    assert_eq!(run.stdout, "");
    assert!(run.stderr.ends_with("of 24 rows 24 were computed again: every bit is the same\n"));
    let said = verify(&[]).succeeded().stderr;
    assert!(said.ends_with("of 24 rows 1 were computed again: every bit is the same\n"), "{said}");

    let honest = fs::read_to_string(place.path("out.jsonl")).unwrap();
    let hash_at = honest.find("\"logits_hash\":\"").unwrap() + 15;
    let seed_at = honest.find("\"seed\":").unwrap() + 7;
    let mut texts = Vec::new();
    for (at, place) in [(hash_at, "receipt.logits_hash"), (seed_at, "receipt.seed")] {
        let mut bytes = honest.clone().into_bytes();
        bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
        texts.push((String::from_utf8(bytes).unwrap(), place));
    }
    let text = honest.replacen("\"content\":\"", "\"content\":\"No. ", 1);
    texts.push((text, ".response.body.choices[0].message.content"));
    texts.push((
        honest.replacen("\"completion_tokens\":", "\"completion_tokens\":1", 1),
        ".usage.completion_tokens",
    ));
    texts.push((
        honest.replacen("\"status_code\":400", "\"status_code\":401", 1),
        ".response.status_code",
    ));
    for (text, first) in texts {
        assert_ne!(text, honest);
        let pairs = text.lines().zip(honest.lines());
        let (edited, _) = pairs.into_iter().find(|(a, b)| a != b).unwrap();
        let edited: serde_json::Value = serde_json::from_str(edited).unwrap();
        fs::write(place.path("out.jsonl"), &text).unwrap();
        let Run { code, stdout, stderr } = verify(&["--sample", "24"]);
        assert_eq!(code, 1, "{stderr}");
        let name = edited["custom_id"].as_str().unwrap();
        assert!(stdout.starts_with(&format!("{name}: is another when it is")), "{stdout}");
        assert!(stdout.contains(first) && stdout.lines().count() == 1, "{first}: {stdout}");
        assert!(stderr.contains("24 were computed again, and 1 are not the same"), "{stderr}");
    }
    // Nobody knows what this is an answer to.
    let id_at = honest.find("batch_req_").unwrap() + 10;
    let mut text = honest.clone().into_bytes();
    text[id_at] = if text[id_at] == b'1' { b'2' } else { b'1' };
    fs::write(place.path("out.jsonl"), text).unwrap();
    let run = verify(&["--sample", "100%"]);
    assert_eq!(run.code, 1);
    assert!(run.stdout.contains("does not come of this input, this model"), "{}", run.stdout);
    fs::write(place.path("out.jsonl"), &honest).unwrap();
    // Another setting makes other answers.
    let run = verify(&["--sample", "3", "-c", "128"]);
    assert_eq!((run.code, run.stdout.lines().count()), (1, 3), "{}", run.stderr);
    assert!(run.stderr.contains("none was computed again"), "{}", run.stderr);
}

#[test]
fn what_cannot_be_verified_is_refused() {
    let place = answered(4);
    let refused = |results: &str, inputs: &[&str], args: &[&str], why: &str| {
        verify(place.folder.path(), results, inputs, args).refused(why);
    };
    refused("none.jsonl", &["in.jsonl"], &[], "none.jsonl cannot be read");
    refused("out.jsonl", &[], &[], "name the file of requests behind");
    refused("out.jsonl", &["in.jsonl", "in.jsonl"], &[], "name the file of requests behind");
    refused(
        "out.jsonl",
        &["in.jsonl"],
        &["--instruction", "Sum up."],
        "--instruction is for summaries",
    );
    refused("out.jsonl", &["in.jsonl"], &["--temp", "1"], "is for summaries");
    refused("in.jsonl", &["in.jsonl"], &[], "has other things in it");
    fs::write(place.path("empty.jsonl"), "").unwrap();
    refused("empty.jsonl", &["in.jsonl"], &[], "has no results to compute again");
    for sample in ["0", "0%", "2x", "101%"] {
        let run = verify(place.folder.path(), "out.jsonl", &["in.jsonl"], &["--sample", sample]);
        assert_eq!(run.code, 1);
        assert!(run.stderr.contains("expected is a part of all rows"), "{}", run.stderr);
    }
}

#[test]
fn shards_and_what_is_merged_of_them_can_be_verified() {
    let place = answered(12);
    for shard in ["0/2", "1/2"] {
        let out = format!("part-{}.jsonl", &shard[..1]);
        let (code, stderr) = place.batch(&["in.jsonl", "-o", &out, "--shard", shard, "--ok-exit"]);
        assert_eq!(code, 0, "{stderr}");
        let verify = || verify(place.folder.path(), &out, &["in.jsonl"], &["--sample", "100%"]);
        let said = verify().succeeded().stderr;
        // Wherever the seal stands, and whatever an editor has left.
        let text = fs::read_to_string(place.path(&out)).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        let n_missing = 12 - (lines.len() - 1);
        let missing = format!("rows of the input that have no result there: {n_missing}\n");
        assert!(said.contains(&missing), "{said}");
        lines.rotate_right(1);
        fs::write(place.path(&out), format!("\n{}\n", lines.join("\n"))).unwrap();
        verify().succeeded();
    }
}

#[test]
fn honest_summaries_pass_and_others_are_named() {
    let place = summaries::Workplace::new();
    place.write_stories(8);
    place.write("docs/empty.txt", "");
    let asked = ["-n", "8", "--instruction", "What is it?"];
    place.summarize(&[&["docs", "-o", "out.jsonl"][..], &asked].concat()).ended(2);
    let verify = |args: &[&str]| {
        let mut command = assert_cmd::Command::from_std(crate::program::command());
        command.current_dir(place.folder.path()).args(["verify", "out.jsonl", "docs"]);
        let output = command.args(["-m", "model.gguf"]).args(args).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap();
        Run { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    };
    let all = [&asked[..], &["--sample", "100%"]].concat();
    let said = verify(&all).succeeded().stderr;
    assert!(said.contains("of 8 rows 8 were computed again: every bit is the same"), "{said}");
    let run = verify(&["--sample", "100%", "-n", "8"]);
    assert_eq!((run.code, run.stdout.lines().count()), (1, 8), "{}", run.stderr);
    let honest = place.read("out.jsonl");
    let edited = honest.replacen("\"summary\":\"", "\"summary\":\"Not: ", 1);
    place.write("out.jsonl", &edited);
    let run = verify(&all);
    assert_eq!((run.code, run.stdout.lines().count()), (1, 1), "{}", run.stderr);
    assert!(run.stdout.starts_with("docs/") && run.stdout.ends_with("first in .summary\n"));
    place.write("out.jsonl", &honest);
    let said = json!({"id": "x", "error": "y"}).to_string();
    place.write("out.jsonl", format!("{honest}{said}\n"));
    verify(&all).succeeded();
    let run = verify(&[&all[..], &["--model-name", "a"]].concat());
    run.refused("--model-name is for answers to a batch");
}
