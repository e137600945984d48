//! Facts in place of summaries.

use crate::summaries::{Workplace, line, settled, story};
use serde_json::{Value as Json, json};

const ARGS: [&str; 7] = ["docs", "-o", "out.jsonl", "-n", "450", "--schema", "schema.json"];

fn schema(numbers: Json) -> Json {
    json!({
        "type": "object",
        "properties": {"who": {"enum": ["whale", "ship"]}, "n": {"enum": numbers}},
        "required": ["who", "n"],
        "additionalProperties": false,
    })
}

/// A document of one prompt and one of several, and a run over them.
fn place() -> Workplace {
    let place = Workplace::with_context(1024);
    place.write("docs/short.txt", story(20, 1));
    place.write("docs/long.txt", story(1500, 2));
    place.write("schema.json", schema(json!([1, 2])).to_string());
    place
}

#[test]
fn rows_have_facts_by_the_schema() {
    let place = place();
    place.summarize(&ARGS).ended(0);
    let lines = place.lines("out.jsonl");
    for id in ["docs/short.txt", "docs/long.txt"] {
        let line = line(&lines, id);
        let facts = &line["facts"];
        assert!([json!("whale"), json!("ship")].contains(&facts["who"]), "{line}");
        assert!([json!(1), json!(2)].contains(&facts["n"]), "{line}");
        assert_eq!(facts.as_object().unwrap().keys().collect::<Vec<_>>(), ["who", "n"]);
        assert!(line.get("summary").is_none(), "{line}");
        assert_eq!(line["finish_reason"], "end_of_text");
    }
    assert!(line(&lines, "docs/long.txt")["n_parts"].as_u64() > Some(1));
    let before = settled(lines);

    // Alone or in company, the same bits; and what is there is not done again.
    assert!(place.summarize(&ARGS).ended(0).stderr.contains("2 of 2 documents are done"));
    std::fs::remove_file(place.path("out.jsonl")).unwrap();
    place.summarize(&[&ARGS[..], &["--parallel", "1"]].concat()).ended(0);
    assert_eq!(settled(place.lines("out.jsonl")), before);

    // Another schema is another question.
    place.write("schema.json", schema(json!([3])).to_string());
    let run = place.summarize(&ARGS).ended(0);
    assert!(!run.stderr.contains("are done"), "{}", run.stderr);
    let lines = place.lines("out.jsonl");
    assert_eq!((lines.len(), &line(&lines, "docs/short.txt")["facts"]["n"]), (2, &json!(3)));
}

#[test]
fn facts_that_are_cut_off_are_none() {
    let place = place();
    place.write("schema.json", json!({"const": "x".repeat(100)}).to_string());
    let run = place.summarize(&["docs/short.txt", "-n", "20", "--schema", "schema.json"]).ended(2);
    assert!(run.stdout.contains("its facts are not complete within 20 tokens"), "{}", run.stdout);
}

#[test]
fn a_schema_is_checked_before_the_work() {
    let place = place();
    for (content, why) in [("{\"not\": {\"type\": \"null\"}}", "#/not"), ("{", "is no JSON")] {
        place.write("schema.json", content);
        let run = place.summarize(&ARGS).ended(1);
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert!(!place.path("out.jsonl").exists());
    }
}

/// A form that is one text has it as a line of text, too.
#[test]
fn facts_are_written_in_every_form() {
    let place = place();
    place.write("schema.json", json!({"const": [1, {"a": "b c"}]}).to_string());
    let args = ["docs/short.txt", "--schema", "schema.json", "-n", "250", "--format", "text"];
    assert_eq!(place.summarize(&args).ended(0).stdout, "[1,{\"a\":\"b c\"}]\n");
}
