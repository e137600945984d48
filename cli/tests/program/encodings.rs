//! Documents in the encodings that people have, against Python's codecs and html5lib.

use crate::summaries::Workplace;
use gatefold_cli::documents::{Documents, Fields, Found, Reading, Wanted};
use serde_json::Value as Json;
use std::fs;
use tempfile::tempdir;

const TEXTS: &str = include_str!("../../../tests/fixtures/encodings/texts.json");
const PAGES: &str = include_str!("../../../tests/fixtures/encodings/pages.json");

/// The only document of a file with these bytes.
fn read(name: &str, bytes: &[u8]) -> (String, Reading) {
    let folder = tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let fields = Fields { text: "text".into(), ..Fields::default() };
    let documents = Documents::open(&[path], &Wanted::default(), fields).unwrap();
    let mut all = Vec::new();
    documents.for_each(|found| all.push(found));
    let Ok([Found { text, reading, place, .. }]) = <[Found; 1]>::try_from(all) else { panic!() };
    let text = text.unwrap();
    assert_eq!(documents.read(&place).as_ref(), Ok(&text));
    (text, reading.unwrap())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn texts_are_what_they_were_before_they_were_encoded() {
    let rows: Vec<Json> = serde_json::from_str(TEXTS).unwrap();
    assert!(rows.len() > 45, "{}", rows.len());
    for row in &rows {
        let [codec, text, hex] = ["codec", "text", "hex"].map(|name| row[name].as_str().unwrap());
        let bytes = bytes(hex);
        let expected = text.trim_end();
        if row["is_told"] == true {
            let (found, reading) = read("a.txt", &bytes);
            assert_eq!(found.trim_end(), expected, "{codec}, judged as {}", reading.encoding);
            assert_eq!(reading.n_replaced, 0, "{codec}");
            assert_eq!(reading.is_judged, codec != "utf_8", "{codec}");
        }
        if let Some(label) = row["label"].as_str() {
            for head in [
                format!("<!DOCTYPE html><meta charset='{label}'><p>"),
                format!("<html><meta http-equiv=content-type content='text/html;charset={label}'>"),
                format!("<?xml version='1.0' encoding=\"{label}\"?>\n<html><p>"),
            ] {
                let (found, reading) = read("a.html", &[head.as_bytes(), &bytes].concat());
                // Pages have one space for many.
                let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
                assert_eq!(words(&found), words(text), "{codec} as {label}");
                assert_eq!((reading.n_replaced, reading.is_judged), (0, false), "{codec}");
            }
        }
    }
}

#[test]
fn pages_declare_what_html5lib_finds() {
    let rows: Vec<Json> = serde_json::from_str(PAGES).unwrap();
    for row in &rows {
        let page = row["page"].as_str().unwrap();
        // As windows-1252, a space that does not break and a currency sign: a text in any of them.
        let (_, reading) = read("a.html", &[page.as_bytes(), b"--><p>text \xa4\xa4"].concat());
        match row["encoding"].as_str() {
            Some(expected) => {
                assert!(reading.encoding.eq_ignore_ascii_case(expected), "{page}: {reading:?}");
                assert!(!reading.is_judged, "{page}");
            }
            None => assert!(reading.is_judged, "{page}: {reading:?}"),
        }
    }
}

#[test]
fn what_was_replaced_or_judged_is_told() {
    let place = Workplace::new();
    place.write("page.html", b"<p>a sh\xc3\xafp \xff the s\xc3\xaba \xfe".as_slice());
    place.write("latin.txt", b"the wh\xe4le".as_slice());
    place.write("mark.txt", b"\xff\xfea\0 \0s\0h\0i\0p\0".as_slice());
    let run = place.summarize(&["page.html", "latin.txt", "mark.txt", "-n", "2"]).ended(0);
    for note in [
        "2 bytes of page.html are no UTF-8, and were replaced",
        "documents that do not say their encoding, read as windows-1252: 1 (latin.txt first)",
    ] {
        assert!(run.stderr.contains(note), "{note}: {}", run.stderr);
    }
    assert!(!run.stderr.contains("mark.txt"), "{}", run.stderr);
}

#[test]
fn what_is_no_text_is_refused_by_its_kind() {
    let place = Workplace::new();
    place.write("mail.eml", "From: a@b.c\n\nthe whale");
    place.write("mime", "MIME-Version: 1.0\nContent-Type: text/html\n\n<p>the whale");
    place.write("picture.txt", b"\x89PNG\r\n\x1a\n".as_slice());
    place.write("noise.txt", b"\xe4\x01\x02 the whale".as_slice());
    place.write("page.html", "<meta charset=iso-2022-kr>the whale");
    for (name, why) in [
        ("mail.eml", "is a mail, and mails are not read"),
        ("mime", "is a mail, and mails are not read"),
        ("picture.txt", "is a picture, not text"),
        ("noise.txt", "is binary data, not text"),
        ("page.html", "is text in an encoding that browsers have given up, which is not read"),
    ] {
        let run = place.summarize(&[name, "-n", "2"]).ended(2);
        assert!(run.stderr.contains(&format!("{name}: {why}")), "{}", run.stderr);
    }
}
