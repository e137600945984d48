//! The demo model does what its documents and `demo/README.md` say.

use crate::program::gatefold;
use regex::Regex;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Facts of a sample document that its summary has, as words of their own, and facts in all.
fn facts_right(facts: &[String], summary: &str) -> (usize, usize) {
    let is_right = |fact: &&String| {
        let fact = regex::escape(fact);
        Regex::new(&format!(r"(?i)(^|[^\w-]){fact}([^\w-]|$)")).unwrap().is_match(summary)
    };
    (facts.iter().filter(is_right).count(), facts.len())
}

#[test]
fn sample_documents_are_summarized_with_their_facts() {
    let facts = fs::read_to_string("../demo/documents/facts.json").unwrap();
    let facts: HashMap<String, Vec<String>> = serde_json::from_str(&facts).unwrap();
    let summaries =
        gatefold(&["summarize", "../demo/documents", "--glob", "*.txt"]).succeeded().stdout;
    let (mut right, mut total) = (0, 0);
    for line in summaries.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let name = Path::new(line["id"].as_str().unwrap()).file_name().unwrap().to_str().unwrap();
        let (n_right, n_facts) = facts_right(&facts[name], line["summary"].as_str().unwrap());
        right += n_right;
        total += n_facts;
    }
    assert_eq!(total, facts.values().map(Vec::len).sum::<usize>(), "every document once");
    assert!(right * 10 >= total * 9, "{right} of {total} facts");
}

#[test]
fn stories_go_on() {
    let run = gatefold(&["run", "--raw", "--temp", "0", "-n", "20", "-p", "The crew was led by"]);
    let run = run.succeeded();
    assert!(run.stderr.contains("demo model"), "{}", run.stderr);
    assert!(run.stdout.contains('.'), "{}", run.stdout);
}
