//! What `summarize` is going to do: which documents there are, which files are none, and how long
//! they are.

use crate::program::{gatefold, gatefold_reading};
use crate::summaries::{Workplace, line, story};
use serde_json::Value as Json;
use std::fs;

#[test]
fn a_folder_tells_what_it_passes_over() {
    let place = Workplace::new();
    for name in ["a.md", "b.pdf", "c.csv", "d/e.csv", ".hidden/f.pdf"] {
        place.write(&format!("docs/{name}"), "the whale");
    }
    let passed_over = "\n3 files passed over: 1 .pdf, 2 .csv\n";
    for args in [&["docs", "-n", "5"][..], &["docs", "--dry-run"]] {
        let run = place.summarize(args).ended(0);
        assert!(format!("\n{}", run.stderr).contains(passed_over), "{}", run.stderr);
    }
    let run = place.summarize(&["docs", "--glob", "*.csv", "--dry-run"]).ended(0);
    assert!(run.stderr.contains("2 files passed over: 1 .md, 1 .pdf\n"), "{}", run.stderr);
    let run = place.summarize(&["docs/a.md", "--dry-run"]).ended(0);
    assert!(!run.stderr.contains("passed over"), "{}", run.stderr);
    let run = place.summarize(&["docs", "--glob", "*.eml"]).ended(1);
    assert!(run.stderr.contains("; 4 files passed over: 1 .md, 1 .pdf, 2 .csv"), "{}", run.stderr);
}

/// The tokens are those that `tokenize` counts, the parts those of the run.
#[test]
fn a_dry_run_tells_lengths_and_what_is_done() {
    let place = Workplace::new();
    place.write_stories(4);
    place.write("docs/long.md", story(900, 3));
    let args = ["docs", "-o", "out.jsonl", "-n", "5"];
    let dry = |more: &[&str]| place.summarize(&[&args[..], &["--dry-run"], more].concat());
    let before = dry(&["--json"]).ended(0);
    assert!(!place.path("out.jsonl").exists());
    assert!(before.stderr.contains("5 documents: 0 done, 5 to do with "), "{}", before.stderr);
    place.summarize(&[&args[..], &["docs/000.txt", "docs/long.md"]].concat()[1..]).ended(0);
    let kept = place.read("out.jsonl");
    let rows: Vec<Json> = dry(&["--json"])
        .ended(0)
        .stdout
        .lines()
        .map(|row| serde_json::from_str(row).unwrap())
        .collect();
    assert_eq!(place.read("out.jsonl"), kept);
    assert_eq!(rows.len(), 5);
    let lines = place.lines("out.jsonl");
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        let (model, path) = (place.path("model.gguf"), place.path(id));
        let tokenize = ["tokenize", "--json", "-m", model.to_str().unwrap(), "-f"];
        let ids = gatefold(&[&tokenize[..], &[path.to_str().unwrap()]].concat()).succeeded();
        assert_eq!(row["n_tokens"], ids.json().as_array().unwrap().len(), "{id}");
        let is_done = ["docs/000.txt", "docs/long.md"].contains(&id);
        assert_eq!(row["is_done"], is_done, "{id}");
        if is_done {
            assert_eq!(row["n_parts"], line(&lines, id)["n_parts"], "{id}");
        }
    }
    assert!(line(&rows, "docs/long.md")["n_parts"].as_u64() > Some(2), "{rows:?}");

    fs::write(place.path("docs/bad.txt"), "a\0b").unwrap();
    let table = dry(&[]).ended(2).stdout;
    let rows: Vec<&str> = table.lines().collect();
    assert_eq!(rows.len(), 8, "{table}");
    assert_eq!(rows[1].split_whitespace().last(), Some("docs/000.txt"));
    assert!(rows[1].contains("  done  ") && rows[2].contains("  to do  "), "{table}");
    assert!(
        rows[6].contains("fails") && rows[6].contains("docs/bad.txt: is binary data"),
        "{table}"
    );
    assert!(rows[7].contains("6 documents: 2 done, 3 to do with "), "{table}");
}

#[test]
fn placeholders_that_stand_for_nothing_are_refused() {
    let place = Workplace::new();
    place.write("docs/a.txt", "the whale");
    let with = |template: &str, args: &[&str]| {
        place.write("t.txt", template);
        place.summarize(&[&["docs", "--template", "t.txt", "-n", "5"], args].concat())
    };
    for (template, why) in [
        ("{foo} {text}", "the template has {foo} in it, which stands for nothing"),
        ("{instruction}", "the template has no {text} in it"),
    ] {
        let run = with(template, &[]).ended(1);
        assert!(run.stderr.contains(&format!("--template: {why}")), "{}", run.stderr);
    }
    let in_language = |args: &[&str]| with("In {language}: {text}", args).ended(0).stderr;
    assert!(in_language(&[]).contains("has {language} in it, and no --language says what"));
    assert!(!in_language(&["--language", "French"]).contains("{language}"));
    // Braces that are not those of a place; and a byte order mark is no part of it.
    let key = |template: &str| {
        let line: Json = serde_json::from_str(&with(template, &[]).ended(0).stdout).unwrap();
        line["key"].clone()
    };
    assert_eq!(key("\u{FEFF}{\"a\": {{foo}}} {text}"), key("{\"a\": {{foo}}} {text}"));
    let run = with("{text}", &["--language", "French"]).ended(0);
    assert!(run.stderr.contains("note: --language changes no prompt"), "{}", run.stderr);
    let run = with("{text}", &["--instruction", " "]).ended(1);
    assert!(run.stderr.contains("--instruction is blank"), "{}", run.stderr);
}

#[test]
fn what_is_piped_in_is_summarized_where_no_path_is_named() {
    let args = ["summarize", "--format", "text", "-n", "5"];
    let named = gatefold_reading("A storm hit the coast.", &[&args[..], &["-"]].concat());
    let piped = gatefold_reading("A storm hit the coast.", &args).succeeded();
    assert_eq!(piped.stdout, named.succeeded().stdout);
    let lines = "{\"text\":\"A storm.\"}\n{\"text\":\"A match.\"}\n";
    let run = gatefold_reading(lines, &[&args[..], &["--jsonl"]].concat()).succeeded();
    assert!(run.stderr.contains("2 documents, 0 of them failed"), "{}", run.stderr);
    for nothing in ["", " \n"] {
        let run = gatefold_reading(nothing, &args);
        assert_eq!((run.code, &*run.stdout), (1, ""));
        let said = "error: there are no documents: stdin is empty; name files or folders, or";
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}
