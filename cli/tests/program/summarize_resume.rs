//! Summaries that were begun are gone on with, in whatever state they were left.

use crate::summaries::{Workplace, line, model, settled, story};
use serde_json::Value as Json;
use std::fs::{self, File, OpenOptions};
use std::io::Write;

const ARGS: [&str; 5] = ["docs", "-o", "out.jsonl", "-n", "8"];

/// A folder with a finished run, and what it wrote.
fn finished(n_stories: usize) -> (Workplace, Vec<String>) {
    let place = Workplace::new();
    place.write_stories(n_stories);
    place.summarize(&ARGS).ended(0);
    let expected = settled(place.lines("out.jsonl"));
    assert_eq!(expected.len(), n_stories);
    (place, expected)
}

#[test]
fn a_finished_run_has_nothing_left_to_do() {
    let (place, _) = finished(6);
    let before = fs::read(place.path("out.jsonl")).unwrap();
    let run = place.summarize(&ARGS).ended(0);
    assert!(run.stderr.contains("6 of 6 documents are done"), "{}", run.stderr);
    assert!(run.stderr.contains("6 documents, 0 of them failed; 0 tokens"), "{}", run.stderr);
    assert_eq!(fs::read(place.path("out.jsonl")).unwrap(), before);
}

#[test]
fn a_run_goes_on_behind_a_torn_line() {
    let (place, expected) = finished(6);
    let whole = fs::read(place.path("out.jsonl")).unwrap();
    for len in [0, 1, 5, whole.len() / 3, whole.len() / 2, whole.len() - 1] {
        fs::write(place.path("out.jsonl"), &whole[..len]).unwrap();
        place.summarize(&ARGS).ended(0);
        assert_eq!(settled(place.lines("out.jsonl")), expected, "cut to {len}");
    }
}

/// What an editor does to a file costs the line that it did it to.
#[test]
fn a_damaged_line_can_be_deleted() {
    let (place, expected) = finished(6);
    let text = place.read("out.jsonl");
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(1, "");
    let damaged = &lines[3][..60];
    lines[3] = damaged;
    place.write("out.jsonl", lines.join("\n") + "\n\n");
    let run = place.summarize(&ARGS).ended(1);
    assert!(run.stderr.contains("out.jsonl has other things in it"), "{}", run.stderr);
    assert!(run.stderr.contains("(line 4)"), "{}", run.stderr);
    lines.remove(3);
    place.write("out.jsonl", lines.join("\n") + "\n\n");
    let run = place.summarize(&ARGS).ended(0);
    assert!(run.stderr.contains("5 of 6 documents are done"), "{}", run.stderr);
    let text = place.read("out.jsonl");
    let lines = text.lines().filter(|line| !line.is_empty());
    assert_eq!(settled(lines.map(|line| serde_json::from_str(line).unwrap()).collect()), expected);
}

#[test]
fn what_has_changed_is_done_again() {
    let (place, expected) = finished(4);
    place.write("docs/001.txt", "a ship");
    let run = place.summarize(&ARGS).ended(0);
    assert!(
        run.stderr.contains("a setting have changed: 1 (docs/001.txt first)"),
        "{}",
        run.stderr
    );
    let lines = settled(place.lines("out.jsonl"));
    assert_eq!(lines.len(), 4);
    assert_eq!(lines.iter().zip(&expected).filter(|(a, b)| a != b).count(), 1);

    for args in [&["--instruction", "Who?"][..], &["--temp", "1"], &["-n", "9"], &["-c", "200"]] {
        let run = place.summarize(&[&ARGS[..3], args].concat()).ended(0);
        assert!(run.stderr.contains("a setting have changed: 4 ("), "{args:?}: {}", run.stderr);
        assert_eq!(place.lines("out.jsonl").len(), 4);
    }
    let run = place.summarize(&["docs/002.txt", "-o", "out.jsonl", "-c", "200"]).ended(0);
    assert!(run.stderr.contains("of other documents than these: 3"), "{}", run.stderr);
    place.write("model.gguf", model(255));
    let run = place.summarize(&["docs", "-o", "out.jsonl", "-c", "200"]).ended(0);
    assert!(run.stderr.contains("a setting have changed: 4 ("), "{}", run.stderr);
}

/// A run with other settings that is stopped costs nothing of what was there.
#[test]
fn a_mistyped_flag_destroys_nothing() {
    let (place, expected) = finished(6);
    let before = place.read("out.jsonl");
    let mistyped = ["docs", "-o", "out.jsonl", "-n", "9", "--parallel", "1"];
    let mut child = place.command(&mistyped).spawn().unwrap();
    while fs::metadata(place.path("out.jsonl")).unwrap().len() as usize == before.len() {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(place.read("out.jsonl").starts_with(&before));
    let run = place.summarize(&ARGS).ended(0);
    assert!(run.stderr.contains("6 of 6 documents are done"), "{}", run.stderr);
    assert!(run.stderr.contains("; 0 tokens"), "{}", run.stderr);
    assert_eq!(settled(place.lines("out.jsonl")), expected);
}

#[test]
fn a_summary_stays_while_its_document_fails() {
    let (place, expected) = finished(2);
    let text = place.read("docs/001.txt");
    for _ in 0..2 {
        place.write("docs/001.txt", "");
        let run = place.summarize(&ARGS).ended(2);
        assert!(run.stderr.contains("1 of 2 documents are done"), "{}", run.stderr);
        let lines = settled(place.lines("out.jsonl"));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(expected.iter().all(|line| lines.contains(line)));
    }
    place.write("docs/001.txt", text);
    let run = place.summarize(&ARGS).ended(0);
    assert!(run.stderr.contains("2 of 2 documents are done"), "{}", run.stderr);
    assert_eq!(settled(place.lines("out.jsonl")), expected);
}

#[test]
fn failures_are_tried_again() {
    let place = Workplace::new();
    place.write("docs/a.txt", "");
    place.write("docs/b.txt", "the whale");
    place.summarize(&ARGS).ended(2);
    place.summarize(&ARGS).ended(2);
    assert_eq!(place.lines("out.jsonl").len(), 2);
    place.write("docs/a.txt", "a ship");
    place.summarize(&ARGS).ended(0);
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 2);
    assert!(line(&lines, "docs/a.txt")["summary"].is_string());
}

/// Answers to parts are taken from where an earlier run left them: here with a mark in them.
#[test]
fn parts_of_a_long_document_are_kept() {
    let place = Workplace::new();
    place.write("docs/long.txt", story(2_000, 3));
    place.write("docs/short.txt", "the whale");
    place.summarize(&ARGS).ended(0);
    let expected = settled(place.lines("out.jsonl"));

    // A run is stopped once the first parts are there.
    fs::remove_file(place.path("out.jsonl")).unwrap();
    let mut child =
        place.command(&[&ARGS[..], &["--parallel", "1", "-t", "1"]].concat()).spawn().unwrap();
    let parts = place.path("out.jsonl.parts");
    while fs::metadata(&parts).map_or(0, |there| there.len()) < 600 {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let text = fs::read_to_string(&parts).unwrap();
    let kept = text.lines().filter(|line| serde_json::from_str::<Json>(line).is_ok()).count();
    assert!(kept > 0);

    // A run with another document leaves them.
    place.summarize(&["docs/short.txt", "-o", "out.jsonl", "-n", "8"]).ended(0);
    assert_eq!(fs::read_to_string(&parts).unwrap().lines().count(), kept);

    let run = place.summarize(&ARGS).ended(0);
    assert_eq!(settled(place.lines("out.jsonl")), expected);
    assert!(!parts.exists());
    let n_tokens = |stderr: &str| -> u64 {
        stderr.split("; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap()
    };
    fs::remove_file(place.path("out.jsonl")).unwrap();
    let anew = place.summarize(&ARGS).ended(0);
    assert!(n_tokens(&run.stderr) < n_tokens(&anew.stderr), "{} {}", run.stderr, anew.stderr);
}

#[test]
fn two_runs_do_not_share_an_output() {
    let (place, _) = finished(2);
    let file = File::open(place.path("out.jsonl")).unwrap();
    file.lock().unwrap();
    let run = place.summarize(&ARGS).ended(1);
    assert!(run.stderr.contains("is being written by another run"), "{}", run.stderr);
}

#[test]
fn a_file_with_other_things_is_left_alone() {
    let place = Workplace::new();
    place.write_stories(1);
    for text in ["{\"id\":1,\"text\":\"t\"}\n", "precious\n", "{\"id\":\"a\",\"text\":\"t\"}\n"] {
        place.write("out.jsonl", text);
        let run = place.summarize(&ARGS).ended(1);
        assert!(run.stderr.contains("has other things in it"), "{}", run.stderr);
        assert_eq!(place.read("out.jsonl"), text);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_keeps_what_is_done() {
    use std::process::Command;
    let place = Workplace::new();
    place.write_stories(400);
    place.write("docs/bad.txt", "a\0b");
    let args = [&ARGS[..], &["--parallel", "2", "-t", "1"]].concat();
    let mut child = place.command(&args).spawn().unwrap();
    while fs::metadata(place.path("out.jsonl")).map_or(0, |there| there.len()) < 1000 {
        assert!(child.try_wait().unwrap().is_none(), "it was too fast");
    }
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    let n_kept = place.lines("out.jsonl").len() - 1;
    assert!((1..400).contains(&n_kept));
    // What failed is not done, in this run as in the next.
    let n_left = 400 - n_kept;
    let said = format!(
        "stopped with {n_kept} of 401 documents done, 1 failed and {n_left} to do; the same command goes on"
    );
    assert!(stderr.contains(&said), "{stderr}");
    let next = place.summarize(&[&ARGS[..], &["--dry-run", "--json"]].concat()).ended(2);
    let said = format!("401 documents: {n_kept} done, {n_left} to do with ");
    assert!(next.stderr.contains(&said), "{}", next.stderr);
    // The rest would take long here; that some of it is done is enough.
    let mut file = OpenOptions::new().append(true).open(place.path("out.jsonl")).unwrap();
    write!(file, "{{\"id\":\"docs/").unwrap();
    place.summarize(&["docs/000.txt", "docs/001.txt", "-o", "out.jsonl", "-n", "8"]).ended(0);
    assert!(place.lines("out.jsonl").len() >= n_kept);
}
