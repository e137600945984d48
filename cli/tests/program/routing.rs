//! Which expert does what, from the outside, on the demo model.

use crate::program::{Run, gatefold, gatefold_reading};
use gatefold_fixtures::tiny_model::Model;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// Texts of two kinds, each in a folder of its own.
fn texts() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["incident", "letter"] {
        fs::create_dir(folder.path().join(kind)).unwrap();
        for n in 1..=2 {
            let name = format!("{kind}-{n}.txt");
            let text = Path::new("../demo/documents").join(&name);
            fs::copy(text, folder.path().join(kind).join(name)).unwrap();
        }
    }
    folder
}

fn at(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).to_str().unwrap().to_owned()
}

#[track_caller]
fn analysis(args: &[&str]) -> Json {
    gatefold(&[&["routing", "--random", "3", "--json"], args].concat()).succeeded().json()
}

fn sum(list: &Json) -> f64 {
    list.as_array().unwrap().iter().map(|share| share.as_f64().unwrap()).sum()
}

#[test]
fn shares_are_lists_over_the_experts_that_sum_to_1() {
    let texts = texts();
    let found = analysis(&[&at(&texts, "")]);
    let names: Vec<&Json> =
        found["domains"].as_array().unwrap().iter().map(|domain| &domain["name"]).collect();
    assert_eq!(names, [&json!("incident"), &json!("letter")]);
    assert_eq!((&found["n_layers"], &found["n_experts"]), (&json!(5), &json!(8)));
    for layer in found["layers"].as_array().unwrap() {
        let all = layer["domains"].as_array().unwrap().iter().chain([&layer["all"]]);
        for of in all {
            let lists = of["ranks"].as_array().unwrap().iter().chain([&of["either"]]);
            for shares in lists {
                assert_eq!(shares["share"].as_array().unwrap().len(), 8);
                assert!((sum(&shares["share"]) - 1.0).abs() < 1e-9);
            }
        }
        let pairs: f64 = layer["pairs"].as_array().unwrap().iter().map(sum).sum();
        assert!((pairs - 2.0).abs() < 1e-9, "each token is in one pair, told from both sides");
        assert!(layer["domain_information"]["random"]["p"].is_number());
    }
    let other = &found["kinds"][7];
    assert_eq!(*other, json!({ "kind": "other", "n_tokens": 0 }), "BOS is read and not counted");
    let tokens = found["samples"][0]["tokens"].as_array().unwrap();
    let text: String = tokens.iter().map(|token| token.as_str().unwrap()).collect();
    let file = fs::read_to_string(texts.path().join("incident/incident-1.txt")).unwrap();
    assert!(text.starts_with(&file[..40]), "{text}");
    // The next text of the domain is told from it.
    let starts = found["samples"][0]["starts"].as_array().unwrap();
    let [0, second] = starts.iter().map(|it| it.as_u64().unwrap() as usize).collect::<Vec<_>>()[..]
    else {
        panic!("{starts:?}");
    };
    let text: String = tokens[second..].iter().map(|token| token.as_str().unwrap()).collect();
    let file = fs::read_to_string(texts.path().join("incident/incident-2.txt")).unwrap();
    assert!(text.starts_with(&file[..40]), "{text}");
}

/// Documents that go through in other steps, with labels or from folders, are counted alike.
#[test]
fn neither_steps_nor_where_texts_lie_change_a_count() {
    let texts = texts();
    let expected = analysis(&[&at(&texts, "")]);
    assert_eq!(analysis(&[&at(&texts, ""), "-b", "7"]), expected);
    assert_eq!(analysis(&[&at(&texts, ""), "-t", "1", "--isa", "scalar"]), expected);
    let both = [at(&texts, "incident"), at(&texts, "letter")];
    assert_eq!(analysis(&[&both[0], &both[1]]), expected);
    let mut lines = String::new();
    for kind in ["incident", "letter"] {
        for n in 1..=2 {
            let text = fs::read_to_string(at(&texts, &format!("{kind}/{kind}-{n}.txt"))).unwrap();
            lines += &format!("{}\n", json!({ "set": kind, "body": text }));
        }
    }
    let flags = ["--jsonl", "--label-field", "set", "--text-field", "body"];
    let args = [&["routing", "--random", "3", "--json"], &flags[..]].concat();
    assert_eq!(gatefold_reading(&lines, &args).succeeded().json(), expected);
    // Windows cut what a token sees of its text, and lose the pairs of neighbours between them.
    let cut = analysis(&[&at(&texts, ""), "-c", "20"]);
    assert_eq!(cut["n_tokens"], expected["n_tokens"]);
    assert_ne!(cut["layers"], expected["layers"]);
}

#[test]
fn counts_are_kept_and_belong_to_one_analysis() {
    let texts = texts();
    let (input, counts) = (at(&texts, "letter"), at(&texts, "kept.counts"));
    let args = ["routing", &input, "--counts", &counts, "--json", "--random", "3"];
    let first = gatefold(&args).succeeded();
    let again = gatefold(&args).succeeded();
    assert!(again.stderr.contains("going on from"), "{}", again.stderr);
    assert_eq!(again.stdout, first.stdout);
    let other = gatefold(&[&args[..], &["-c", "64"]].concat());
    assert!(other.code == 1 && other.stderr.contains("another analysis"), "{}", other.stderr);
    fs::write(&counts, "a diary").unwrap();
    let diary = gatefold(&args);
    assert!(diary.code == 1 && diary.stderr.contains("not a whole file of counts"));
    assert_eq!(fs::read_to_string(&counts).unwrap(), "a diary");
}

#[test]
fn answers_are_counted_in_place_of_texts() {
    let texts = texts();
    let letters = at(&texts, "letter");
    let found = analysis(&[&letters, "--generate", "12"]);
    assert_eq!(found["answers"], json!(true));
    let n_tokens = found["n_tokens"].as_u64().unwrap();
    assert!((2..=24).contains(&n_tokens), "{n_tokens}");
    let counts = at(&texts, "answers.counts");
    let kept = analysis(&[&letters, "--generate", "12", "--counts", &counts]);
    assert_eq!(kept, found);
    assert_eq!(analysis(&[&letters, "--generate", "12", "--counts", &counts]), found);
}

/// There are eight colours.
#[test]
fn more_domains_than_colours_are_rows_with_names() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string("../demo/documents/letter-1.txt").unwrap();
    let picture = |n_domains: usize| {
        fs::create_dir(at(&folder, &n_domains.to_string())).unwrap();
        for domain in 1..=n_domains {
            let path = at(&folder, &format!("{n_domains}/domain {domain}.txt"));
            fs::write(path, &text[domain..]).unwrap();
        }
        let paths: Vec<String> = (1..=n_domains)
            .map(|it| at(&folder, &format!("{n_domains}/domain {it}.txt")))
            .collect();
        let svg = at(&folder, "pictures");
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        gatefold(&[&["routing", "--random", "3", "--svg", &svg], &paths[..]].concat()).succeeded();
        fs::read_to_string(Path::new(&svg).join("domains.svg")).unwrap()
    };
    let (bars, map) = (picture(8), picture(9));
    assert!(bars.contains("class=\"bar\"") && !bars.contains("class=\"heat\""));
    assert!(map.contains("class=\"heat\"") && !map.contains("class=\"bar\""));
    for domain in 1..=9 {
        assert!(map.contains(&format!(">domain {domain}</text>")), "{domain}");
    }
}

#[test]
fn the_page_has_no_script_and_nothing_from_elsewhere() {
    let texts = texts();
    let hostile = "<script>alert(1)</script> & \"quotes\" \u{1b}[2J </span>\n\tcode";
    fs::write(at(&texts, "letter/<b>.txt"), hostile.repeat(9)).unwrap();
    let (html, svg) = (at(&texts, "page.html"), at(&texts, "pictures"));
    let args = ["routing", &at(&texts, ""), "--html", &html, "--svg", &svg, "--random", "3"];
    let more = ["--ablate=16", "--similarity"];
    let run = gatefold(&[&args[..], &more].concat()).succeeded();
    let page = fs::read_to_string(&html).unwrap();
    for banned in ["<script", "http:", "https:", "url(", "@import", "<link", "\u{1b}"] {
        assert!(!page.contains(banned), "{banned}");
    }
    for wanted in
        ["prefers-color-scheme:dark", "@media print", "&lt;script&gt;", "id=\"L4\"", "<hr>"]
    {
        assert!(page.contains(wanted), "{wanted}");
    }
    let names = ["load", "domains", "repetition", "information", "text", "ablation", "similarity"];
    for name in names {
        let picture = fs::read_to_string(Path::new(&svg).join(format!("{name}.svg"))).unwrap();
        assert!(picture.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{name}");
        let count = |tag: &str| picture.matches(tag).count();
        assert_eq!(count("<text"), count("</text>"), "{name}");
        assert!(!picture.contains('\u{1b}') && !picture.contains("NaN"), "{name}");
    }
    assert_eq!(fs::read_dir(&svg).unwrap().count(), names.len());
    for line in run.stdout.lines() {
        assert!(line.chars().count() <= 80 && !line.contains('\u{1b}'), "{line:?}");
    }
}

#[test]
fn without_an_expert_something_is_lost_and_likeness_is_one_with_oneself() {
    let texts = texts();
    let found = analysis(&[&at(&texts, "letter"), "--ablate=24", "--similarity"]);
    let kl = found["ablation"][0]["kl"].as_array().unwrap();
    assert!(kl.iter().any(|kl| kl["value"].as_f64().unwrap() > 0.01));
    for layer in found["similarity"].as_array().unwrap() {
        for (expert, row) in layer["down"].as_array().unwrap().iter().enumerate() {
            assert_eq!(row[expert], json!(1.0));
            assert!(row.as_array().unwrap().iter().all(|it| it.as_f64().unwrap() <= 1.0));
        }
    }
}

#[test]
fn what_cannot_be_analysed_is_told() {
    let texts = texts();
    let refused = |args: &[&str], why: &str| {
        let Run { code, stderr, .. } = gatefold(&[&["routing"], args].concat());
        assert!(code == 1 && stderr.contains(why), "{why}: {stderr}");
    };
    refused(&[&at(&texts, ""), "--html", &at(&texts, "no/page.html")], "there is no folder");
    refused(&[&at(&texts, "none.txt")], "none of the texts can be read");
    refused(&[&at(&texts, ""), "-c", "4"], "use 8 or more");
    let letter = at(&texts, "letter/letter-1.txt");
    refused(&[&letter, "--counts", &letter], "is one of the texts");
    refused(&[&letter, "--ablate", "10"], "--ablate=10");
    let folder = [at(&texts, "letter"), at(&texts, "none.txt")];
    let some = gatefold(&["routing", &folder[0], &folder[1], "--random", "0"]);
    assert_eq!(some.code, 2, "{}", some.stderr);
    assert!(some.stderr.contains("none.txt cannot be read"), "{}", some.stderr);
}

/// What is there is replaced where it is a page or a picture, and this is found out at once.
#[test]
fn files_of_other_kinds_are_not_replaced() {
    let texts = texts();
    let (letter, kept) = (at(&texts, "letter/letter-1.txt"), at(&texts, "kept"));
    let refused = |args: &[&str], why: &str| {
        let Run { code, stderr, .. } = gatefold(&[&["routing", &letter], args].concat());
        assert!(code == 1 && stderr.contains(why), "{why}: {stderr}");
    };
    let before = fs::read_to_string(&letter).unwrap();
    refused(&["-m", "none.gguf", "--html", &letter], "another kind of file");
    assert_eq!(fs::read_to_string(&letter).unwrap(), before);
    let dotted = at(&texts, "letter/../kept");
    refused(&["--html", &kept, "--counts", &dotted], "would be written for two flags");
    let pictures = at(&texts, "pictures");
    fs::create_dir(&pictures).unwrap();
    fs::write(at(&texts, "pictures/load.svg"), "a diary").unwrap();
    refused(&["-m", "none.gguf", "--svg", &pictures], "another kind of file");
    fs::write(at(&texts, "pictures/load.svg"), "<svg/>").unwrap();
    fs::write(&kept, "<!DOCTYPE html>\n").unwrap();
    let all = at(&texts, "");
    let args = ["routing", &all, "--html", &kept, "--svg", &pictures, "--random", "2"];
    let run = gatefold(&args).succeeded();
    assert!(run.stdout.contains("a verdict takes 39"), "{}", run.stdout);
    assert!(fs::read_to_string(&kept).unwrap().contains("</html>"));
    let names = fs::read_dir(&pictures).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(names.into_iter().all(|name| name.to_str().unwrap().ends_with(".svg")));
    refused(&["--html", &kept, &kept], "is one of the texts");
}

#[test]
fn few_tokens_are_told_and_come_to_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [("a.txt", "one two"), ("b.txt", "three"), ("c.txt", "four")] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let found = gatefold(&["routing", &at(&folder, ""), "--ablate=2000"]).succeeded();
    assert!(found.stdout.contains("are too few to say anything"), "{}", found.stdout);
    assert!(found.stderr.contains("not 2000"), "{}", found.stderr);
    let one = analysis(&[&at(&folder, "b.txt"), "--ablate=1"]);
    assert_eq!(one["ablation"][0]["n_tokens"], json!(1));
    assert_eq!(one["ablation"][0]["kl"][0]["standard_error"], Json::Null);
    let shares = &one["layers"][0]["domains"][0]["ranks"][0];
    assert_eq!((&shares["low"], &shares["high"]), (&Json::Null, &Json::Null));
}

/// A template that refuses one of the texts.
#[test]
fn a_text_that_makes_no_prompt_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let template = "{% for m in messages %}{% if 'forbidden' in m['content'] %}{{ raise_exception('no') }}{% endif %}{{ m['content'] }}{% endfor %}";
    fs::write(folder.path().join("template"), template).unwrap();
    for (kind, text) in [("good", "The crew was led by"), ("bad", "It is forbidden.")] {
        fs::create_dir_all(folder.path().join("texts").join(kind)).unwrap();
        fs::write(folder.path().join("texts").join(kind).join("a.txt"), text).unwrap();
    }
    let template = at(&folder, "template");
    let args = ["routing", &at(&folder, "texts"), "--generate", "4", "--random", "0", "--json"];
    let run = gatefold(&[&args[..], &["--chat-template", &template]].concat());
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(run.stderr.contains("bad/a.txt"), "{}", run.stderr);
    let found: Json = serde_json::from_str(&run.stdout).unwrap();
    let domains = found["domains"].as_array().unwrap();
    assert_eq!((domains.len(), &domains[0]["name"]), (1, &json!("good")));
    assert_eq!(domains[0]["n_documents"], json!(1));
}

/// A model of one expert that takes every token.
fn dense() -> (TempDir, String) {
    let mut model = Model::new();
    model.metadata.retain(|key| !key.contains("expert"));
    model.tensors.retain(|(plan, _)| !plan.name.contains("ffn_gate_inp"));
    for (part, rows, cols) in [("ffn_gate", 64, 32), ("ffn_up", 64, 32), ("ffn_down", 32, 64)] {
        model.add(&format!("blk.0.{part}"), "F32", &[rows, cols]);
    }
    let (folder, path) = model.write();
    (folder, path.to_str().unwrap().to_owned())
}

#[test]
fn a_dense_model_has_nothing_to_route() {
    let (_folder, model) = dense();
    let why = "there is nothing to route";
    gatefold_reading("a a", &["routing", "-m", &model]).refused(why);
    gatefold_reading("", &["run", "-m", &model, "-p", "a", "--raw", "--show-experts"]).refused(why);
    let inspected = gatefold(&["inspect", &model]).succeeded().stdout;
    assert!(!inspected.contains("gatefold routing"));
    assert!(gatefold(&["inspect"]).succeeded().stdout.contains("gatefold routing"));
}

#[test]
fn run_colours_the_answer_by_expert() {
    let ask = ["run", "--raw", "--temp", "0", "-n", "8", "-p", "The crew was led by"];
    let plain = gatefold(&ask).succeeded().stdout;
    let coloured = |flag: &str| gatefold(&[&ask[..], &[flag]].concat()).succeeded().stdout;
    let middle = coloured("--show-experts");
    assert_eq!(middle.matches("\u{1b}[30;48;2;").count(), 7, "{middle:?}");
    let uncoloured = regex::Regex::new("\u{1b}\\[[0-9;]*m").unwrap();
    assert_eq!(uncoloured.replace_all(&middle, ""), plain);
    assert_eq!(coloured("--show-experts=2"), middle);
    assert_ne!(coloured("--show-experts=0"), middle);
    let Run { code, stderr, .. } = gatefold(&[&ask[..], &["--show-experts=5"]].concat());
    assert!(code == 1 && stderr.contains("there is no such layer"), "{stderr}");
}

#[test]
fn eval_tells_of_experts_that_nobody_needs() {
    let text: String = (1..=2)
        .flat_map(|n| ["incident", "letter", "match", "meeting", "weather"].map(|kind| (kind, n)))
        .map(|(kind, n)| format!("../demo/documents/{kind}-{n}.txt"))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let run = gatefold_reading(&text, &["eval", "--json"]).succeeded();
    let unused = run.json()["unused_experts"].clone();
    let starved = &unused.as_array().unwrap()[0];
    assert!(starved["share"].as_f64().unwrap() < 0.25 / 8.0, "{unused}");
    let (layer, expert) = (&starved["layer"], &starved["expert"]);
    let named = format!("expert {expert} of layer {layer}");
    assert!(run.stderr.contains(&named), "{named}: {}", run.stderr);
}
