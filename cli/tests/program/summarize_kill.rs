//! Two hundred documents, the demo model, and a run that is killed again and again.

use crate::kills;
use crate::program;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const N_DOCUMENTS: usize = 200;

/// The sample documents, each with another sentence at its end twenty times.
fn documents() -> String {
    let mut samples: Vec<_> =
        fs::read_dir("../demo/documents").unwrap().map(|entry| entry.unwrap().path()).collect();
    samples.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    samples.sort();
    let texts: Vec<_> = samples.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let document = |idx: usize| {
        let text = format!("{} Number {idx}, Mill Lane, is for sale.", texts[idx % texts.len()]);
        json!({"id": idx, "text": text}).to_string() + "\n"
    };
    (0..N_DOCUMENTS).map(document).collect()
}

fn summarize(folder: &Path, args: &[&str]) -> Command {
    let mut command = program::command();
    command.current_dir(folder).arg("summarize").args(args);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The lines by document, without their times.
fn settled(lines: &[String]) -> BTreeMap<String, Json> {
    let line = |line: &String| {
        let mut json: Json = serde_json::from_str(line).unwrap();
        json.as_object_mut().unwrap().remove("seconds").unwrap();
        (json["id"].as_str().unwrap().to_owned(), json)
    };
    lines.iter().map(line).collect()
}

#[test]
fn killed_twenty_times_the_summaries_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.jsonl"), documents()).unwrap();
    let (whole, output) = (folder.path().join("whole.jsonl"), folder.path().join("out.jsonl"));
    let completes = |path: &Path, parallel: &str, threads: &str| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let args = ["in.jsonl", "-o", name, "--parallel", parallel, "-t", threads];
        assert!(summarize(folder.path(), &args).status().unwrap().success());
        let lines = kills::whole_lines(path);
        assert_eq!(lines.len(), N_DOCUMENTS);
        settled(&lines)
    };
    let expected = completes(&whole, "32", "2");
    assert_eq!(expected.len(), N_DOCUMENTS);
    let n_bytes = fs::metadata(&whole).unwrap().len();
    let kept = kills::twenty(&output, n_bytes, || {
        let args = ["in.jsonl", "-o", "out.jsonl", "--parallel", "3"];
        summarize(folder.path(), &args).spawn().unwrap()
    });
    assert!((10..N_DOCUMENTS).contains(&kept.len()), "{}", kept.len());
    assert_eq!(completes(&output, "4", "1"), expected);
    assert!(kills::whole_lines(&output).starts_with(&kept));
}
