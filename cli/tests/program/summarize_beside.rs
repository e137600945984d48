//! Summaries beside their documents: what lies there already is somebody's, unless the results say
//! otherwise.

use crate::summaries::{Workplace, line};
use serde_json::Value as Json;
use std::fs;

const ARGS: [&str; 6] = ["docs", "-o", "out.jsonl", "--beside", "-n", "5"];

fn workplace() -> Workplace {
    let place = Workplace::new();
    place.write("docs/a.txt", "the whale");
    place.write("docs/b.md", "a ship");
    place
}

fn beside(place: &Workplace, name: &str) -> Json {
    serde_json::from_str(&place.read(name)).unwrap()
}

#[test]
fn summaries_lie_beside_their_documents() {
    let place = workplace();
    place.summarize(&ARGS).ended(0);
    let summary = |id: &str| line(&place.lines("out.jsonl"), id)["summary"].clone();
    assert_eq!(beside(&place, "docs/a.txt.summary.json")["summary"], summary("docs/a.txt"));
    fs::remove_file(place.path("docs/b.md.summary.json")).unwrap();
    let run = place.summarize(&ARGS).ended(0);
    assert!(run.stderr.contains("2 of 2 documents are done"), "{}", run.stderr);
    assert_eq!(beside(&place, "docs/b.md.summary.json")["summary"], summary("docs/b.md"));
    // A summary is replaced when its document has changed.
    place.write("docs/a.txt", "the old sailor saw a whale");
    place.summarize(&ARGS).ended(0);
    assert_eq!(
        beside(&place, "docs/a.txt.summary.json")["key"],
        line(&place.lines("out.jsonl"), "docs/a.txt")["key"]
    );
}

/// A run that is killed between the results and the files leaves old files, or none.
#[test]
fn what_is_missing_beside_is_made_up_for() {
    for args in [&ARGS[..], &[&ARGS[..], &["--format", "text"]].concat()] {
        let place = workplace();
        let is_json = args.len() == ARGS.len();
        let ending = if is_json { "json" } else { "txt" };
        let (name, results) = (&*format!("docs/a.txt.summary.{ending}"), "out.jsonl");
        place.summarize(args).ended(0);
        let (old_file, old_results) = (place.read(name), place.read(results));
        place.write("docs/a.txt", "the old sailor saw a whale in the sea");
        place.summarize(args).ended(0);
        let (new_file, new_results) = (place.read(name), place.read(results));
        place.write(name, &old_file);
        place.write(results, old_results + &new_results);
        place.summarize(args).ended(0);
        assert_eq!(place.read(name), new_file);
        // A result that is gone and made again is the same, but for the time.
        fs::remove_file(place.path(results)).unwrap();
        place.summarize(args).ended(0);
    }
}

#[test]
fn what_is_somebodys_is_left_alone() {
    let place = workplace();
    place.write("docs/c.txt", "the sea");
    place.write("docs/a.txt.summary.json", "precious");
    place.write("docs/b.md.summary.json", "{\"id\":\"docs/b.md\",\"error\":\"\"}");
    fs::create_dir(place.path("docs/c.txt.summary.json")).unwrap();
    place.write("docs/d.txt", "a sailor");
    for _ in 0..2 {
        let run = place.summarize(&ARGS).ended(2);
        for id in ["docs/a.txt", "docs/b.md", "docs/c.txt"] {
            let named =
                format!("the summary of {id} is not written to {id}.summary.json: there is");
            assert!(run.stderr.contains(&named), "{}", run.stderr);
            assert!(line(&place.lines("out.jsonl"), id)["summary"].is_string());
        }
        assert_eq!(place.read("docs/a.txt.summary.json"), "precious");
        assert_eq!(place.read("docs/b.md.summary.json"), "{\"id\":\"docs/b.md\",\"error\":\"\"}");
        assert!(place.path("docs/d.txt.summary.json").exists());
    }
    for name in ["a.txt", "b.md"] {
        let path = place.path(&format!("docs/{name}.summary.json"));
        fs::rename(&path, path.with_extension("mine")).unwrap();
    }
    fs::remove_dir(place.path("docs/c.txt.summary.json")).unwrap();
    place.summarize(&ARGS).ended(0);
    assert_eq!(beside(&place, "docs/a.txt.summary.json")["id"], "docs/a.txt");

    // A summary that somebody has edited is theirs.
    let edited = place.read("docs/a.txt.summary.json").replace("docs/a.txt", "docs/A.txt");
    place.write("docs/a.txt.summary.json", &edited);
    place.write("docs/a.txt", "the whale saw a ship");
    place.summarize(&ARGS).ended(2);
    assert_eq!(place.read("docs/a.txt.summary.json"), edited);
}

/// Even a file that an earlier run has written, if it is to be summarized now; once it is not any
/// more, it is replaced after all.
#[test]
fn a_document_is_not_overwritten() {
    for form in ["jsonl", "text"] {
        let name = format!("docs/a.txt.summary.{}", if form == "text" { "txt" } else { "json" });
        let own = format!("docs/../{name}");
        let place = workplace();
        let args = [&ARGS[..], &["--format", form]].concat();
        place.summarize(&args).ended(0);
        let summary = place.read(&name);
        place.write("docs/a.txt", "the old sailor saw a whale");
        let run = place.summarize(&[&[&own[..]], &args[..]].concat()).ended(2);
        assert!(run.stderr.contains("is one of the documents; leave it out"), "{}", run.stderr);
        assert_eq!(place.read(&name), summary);
        let run = place.summarize(&args).ended(0);
        assert!(run.stderr.contains("2 of 2 documents are done"), "{}", run.stderr);
        assert_ne!(place.read(&name), summary);
        // The line that vouched for the old file is gone.
        let lines = place.lines("out.jsonl");
        let new = line(&lines, "docs/a.txt")["summary"].as_str().unwrap();
        match form {
            "text" => assert_eq!(place.read(&name), format!("{new}\n")),
            _ => assert_eq!(beside(&place, &name)["summary"], new),
        }
    }
}

/// What is in the way for a while disowns no file: that comes back, and is known.
#[test]
fn a_file_that_was_not_written_is_not_disowned() {
    let place = workplace();
    place.summarize(&ARGS).ended(0);
    let path = place.path("docs/a.txt.summary.json");
    let aside = place.path("aside");
    fs::rename(&path, &aside).unwrap();
    fs::create_dir(&path).unwrap();
    for text in ["the old sailor saw a whale", "the old sailor saw a ship"] {
        place.write("docs/a.txt", text);
        place.summarize(&ARGS).ended(2);
    }
    fs::remove_dir(&path).unwrap();
    fs::rename(&aside, &path).unwrap();
    place.summarize(&ARGS).ended(0);
    let lines = place.lines("out.jsonl");
    assert_eq!(beside(&place, "docs/a.txt.summary.json")["key"], line(&lines, "docs/a.txt")["key"]);
    assert_eq!(lines.len(), 2);
}

/// An output that is called like JSON lines has them, and the form is for the files beside; of any
/// other the JSON lines lie beside it.
#[test]
fn an_output_is_in_the_form_of_its_name() {
    let place = workplace();
    let run = |output: &str, more: &[&str]| {
        place.summarize(&[&["docs", "-n", "5", "--format", "text", "-o", output], more].concat())
    };
    for output in ["log.jsonl", "LOG.JSONL", "log.ndjson", "log.json"] {
        run(output, &["--beside"]).ended(0);
        let lines = place.lines(output);
        assert_eq!(lines.len(), 2);
        let summary = line(&lines, "docs/a.txt")["summary"].as_str().unwrap();
        assert_eq!(place.read("docs/a.txt.summary.txt"), format!("{summary}\n"));
        assert!(!place.path(&format!("{output}.jsonl")).exists());
        let again = run(output, &["--beside"]).ended(0);
        assert!(again.stderr.contains("2 of 2 documents are done"), "{}", again.stderr);
        let refused = run(output, &[]).ended(1);
        assert!(refused.stderr.contains("is called like JSON lines"), "{}", refused.stderr);
    }
    run("all.txt", &["--beside"]).ended(0);
    let lines = place.lines("all.txt.jsonl");
    let summary = line(&lines, "docs/b.md")["summary"].as_str().unwrap();
    assert!(place.read("all.txt").contains(&format!("==> docs/b.md <==\n{summary}\n")));
    assert!(run("all.txt", &[]).ended(0).stderr.contains("2 of 2 documents are done"));
}

#[test]
fn an_output_does_not_lie_where_a_summary_goes() {
    let place = workplace();
    for (output, form) in [
        ("docs/a.txt.summary.txt", "text"),
        ("docs/../docs/b.md.summary.json", "jsonl"),
        ("docs/b.md.summary.md", "markdown"),
    ] {
        let args = ["docs", "-o", output, "--format", form, "--beside"];
        let run = place.summarize(&args).ended(1);
        assert!(run.stderr.contains("is where --beside puts the summary of"), "{}", run.stderr);
        assert!(!place.path(output).exists());
    }
    place.summarize(&["docs", "-o", "docs/c.txt.summary.json", "--beside", "-n", "5"]).ended(0);
}

#[test]
fn lines_have_no_files_beside_them() {
    let place = workplace();
    place.write("in.jsonl", "{\"text\":\"the whale\"}\n{\"text\":\"a ship\"}\n");
    let said = "--beside writes to no file, since they are of stdin or of lines: 2;";
    let run = place.summarize(&[&["in.jsonl"], &ARGS[..]].concat()).ended(0);
    assert_eq!(run.stderr.matches(said).count(), 1, "{}", run.stderr);
    assert!(place.path("docs/a.txt.summary.json").exists());
    assert!(!place.path("in.jsonl.summary.json").exists());
    let run = place.summarize(&ARGS).ended(0);
    assert!(!run.stderr.contains("to no file"), "{}", run.stderr);
}
