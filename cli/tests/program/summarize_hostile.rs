//! Documents that are none, and folders that lead nowhere: each is named, and the rest is done.

use crate::summaries::{Workplace, line};
use std::fs::{self, File};
use std::io::{BufWriter, Write};

#[test]
fn each_faulty_file_is_named() {
    let place = Workplace::new();
    place.write("docs/good.txt", "the whale");
    let faulty: [(&str, &[u8], &str); 8] = [
        ("empty.txt", b"", "has no text in it"),
        ("spaces.md", b" \n\t\n", "has no text in it"),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\0", "is a picture, not text"),
        ("binary.txt", b"abc\0def", "is binary data, not text"),
        ("noise.txt", b"caf\xe9 \x01 lait", "is binary data, not text"),
        ("utf32.txt", b"\xff\xfe\0\0a\0\0\0", "is text in UTF-32, which is not read"),
        ("blank.html", b"<html><p> </p>", "has no text in it"),
        ("report.txt", b"%PDF-1.4", "is a PDF, not text"),
    ];
    for (name, bytes, _) in faulty {
        place.write(&format!("docs/{name}"), bytes);
    }
    place.write("docs/bomb.html", "<div>".repeat(200_000));
    let args = ["docs", "absent.txt", "docs/good.txt", "-o", "out.jsonl", "-n", "4"];
    let run = place.summarize(&args).ended(2);
    assert!(run.stderr.contains("11 documents, 10 of them failed"), "{}", run.stderr);
    let lines = place.lines("out.jsonl");
    assert_eq!(lines.len(), 11);
    assert!(line(&lines, "docs/good.txt")["summary"].is_string());
    let mut expected: Vec<(String, &str)> =
        faulty.map(|(name, _, fault)| (format!("docs/{name}"), fault)).into();
    expected.push(("docs/bomb.html".into(), "has no text in it"));
    expected.push(("absent.txt".into(), "cannot be read: No such file"));
    for (id, fault) in expected {
        let error = line(&lines, &id)["error"].as_str().unwrap();
        assert!(error.contains(fault), "{id}: {error}");
        assert!(run.stderr.contains(&format!("{id}: {error}")), "{}", run.stderr);
    }
}

#[test]
fn each_faulty_line_is_named() {
    let place = Workplace::new();
    let mut file = BufWriter::new(File::create(place.path("in.jsonl")).unwrap());
    let lines: [(&[u8], &str); 8] = [
        (b"{\"id\":1,\"text\":\"the whale\"}", "1"),
        (b"{\"id\":1,\"text\":\"a ship\"}", "in.jsonl:2"),
        (b"{\"id\":\"no text\"}", "no text"),
        (b"{\"id\":\"number\",\"text\":3}", "number"),
        (b"{\"id\":[2],\"text\":\"a ship\"}", "in.jsonl:5"),
        (b"not json", "in.jsonl:6"),
        (b"{\"id\":\"\xff\",\"text\":\"a\"}", "in.jsonl:7"),
        (b"{\"id\":\"blank\",\"text\":\" \"}", "blank"),
    ];
    for (line, _) in lines {
        file.write_all(line).unwrap();
        file.write_all(b"\n").unwrap();
    }
    write!(file, "{{\"id\":\"long\",\"text\":\"").unwrap();
    for _ in 0..50 {
        file.write_all(&[b'a'; 1 << 20]).unwrap();
    }
    writeln!(file, "\"}}").unwrap();
    write!(file, "{{\"id\":\"last\",\"text\":\"the sea\"}}").unwrap();
    drop(file);
    let run = place.summarize(&["in.jsonl", "-o", "out.jsonl", "-n", "4"]).ended(2);
    assert!(run.stderr.contains("10 documents, 8 of them failed"), "{}", run.stderr);
    let found = place.lines("out.jsonl");
    for (id, fault) in [
        ("in.jsonl:2", "has the id \"1\", and so has in.jsonl:1"),
        ("no text", "has no field \"text\""),
        ("number", "has something else in its field \"text\""),
        ("in.jsonl:5", "has something else in its field \"id\""),
        ("in.jsonl:6", "is not a JSON object"),
        ("in.jsonl:7", "is not UTF-8"),
        ("blank", "has no text in it"),
        ("in.jsonl:9", "is longer than 32 MiB"),
    ] {
        let error = line(&found, id)["error"].as_str().unwrap();
        assert!(error.contains(fault), "{id}: {error}");
    }
    assert!(line(&found, "1")["summary"].is_string());
    assert!(line(&found, "last")["summary"].is_string());
}

#[cfg(unix)]
#[test]
fn odd_files_do_not_stop_a_run() {
    use std::os::unix::fs::symlink;
    use std::process::Command;
    let place = Workplace::new();
    place.write("docs/good.txt", "the whale");
    place.write("docs/last.txt", "a ship");
    symlink(place.path("docs"), place.path("docs/circle")).unwrap();
    symlink(place.path("nowhere"), place.path("docs/broken.txt")).unwrap();
    symlink("itself.txt", place.path("docs/itself.txt")).unwrap();
    let pipe = place.path("docs/pipe.txt");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = place.summarize(&["docs", "-o", "docs/out.txt", "--format", "text"]).ended(2);
    assert!(run.stderr.contains("docs/broken.txt: cannot be read"), "{}", run.stderr);
    assert!(run.stderr.contains("docs/itself.txt: cannot be read"), "{}", run.stderr);
    assert!(run.stderr.contains("docs/pipe.txt: is neither a file nor a folder"), "{}", run.stderr);
    // The output is no document, though its name is one's.
    let run = place.summarize(&["docs", "-o", "docs/out.txt", "--format", "text"]).ended(2);
    assert!(run.stderr.contains("2 of 5 documents are done"), "{}", run.stderr);
}

/// Pages of which a tree would have many millions of nodes.
#[test]
fn pages_that_are_made_to_be_hard_are_summarized() {
    let place = Workplace::new();
    let formatting: String = (0..20_000).map(|n| format!("<b class={n}>")).collect();
    for idx in 0..4 {
        let page = format!("<html>{formatting}{}the whale", "<p>".repeat(20_000));
        place.write(&format!("docs/{idx}.html"), page);
    }
    place.write("docs/4.html", format!("<html>{}a ship", "<x/>".repeat(200_000)));
    let run = place.summarize(&["docs", "-n", "4"]).ended(0);
    assert_eq!(run.stdout.matches("\"n_parts\":1").count(), 5, "{}", run.stdout);
}

/// Files that no permission lets be written, and a folder that takes no new ones.
#[cfg(target_os = "linux")]
#[test]
fn an_output_that_cannot_be_written_is_named() {
    let place = Workplace::new();
    place.write("a.txt", "the whale");
    // Before anything is read for them, were it the model.
    fs::remove_file(place.path("model.gguf")).unwrap();
    // Not even root may write these.
    for (output, form, file) in [
        ("/proc/sys/kernel/ostype", "jsonl", "/proc/sys/kernel/ostype"),
        ("/proc/out.jsonl", "jsonl", "/proc/out.jsonl"),
        ("/proc/out.txt", "text", "/proc/out.txt.jsonl"),
    ] {
        let run = place.summarize(&["a.txt", "-o", output, "--format", form]).ended(1);
        let named = format!("{file} cannot be opened for writing");
        assert!(run.stderr.contains(&named), "{}", run.stderr);
        assert_eq!((run.stderr.lines().count(), run.stdout.as_str()), (1, ""), "{}", run.stderr);
    }
}

#[test]
fn words_without_end_are_summarized_too() {
    let place = Workplace::new();
    let texts =
        ["x".repeat(20_000), "🙂".repeat(2_000), "\u{301}".repeat(3_000), "</s> [".repeat(500)];
    for (idx, text) in texts.iter().enumerate() {
        place.write(&format!("docs/{idx}.txt"), text);
    }
    place.summarize(&["docs", "-o", "out.jsonl", "-n", "8"]).ended(0);
    let lines = place.lines("out.jsonl");
    for idx in 0..texts.len() {
        let line = line(&lines, &format!("docs/{idx}.txt"));
        assert!(line["n_parts"].as_u64().unwrap() > 1, "{line}");
    }
    assert!(fs::read_dir(place.path("docs")).unwrap().count() == texts.len());
}
