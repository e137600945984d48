//! Files of `gatefold serve`: kept in a folder, listed, read, deleted; and what is no file.

use crate::batches::Workplace;
use crate::serving::{Client, Serving, command};
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;
use std::process::Command;

const DATA: [&str; 2] = ["--data-dir", "data"];

/// The names in a folder of the store.
fn names(serving: &Serving, folder: &str) -> Vec<String> {
    let entries = fs::read_dir(serving.place.path("data").join(folder)).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

fn ids(list: &Json) -> Vec<&str> {
    list["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect()
}

#[test]
fn files_are_kept_listed_read_and_deleted() {
    let serving = Serving::new(&DATA);
    let contents = [b"".to_vec(), b"\r\n--for\r\n-".to_vec(), vec![b'x'; 3_000_000]];
    let contents = contents.map(|content| [content, (0..=255).collect()].concat());
    let files = contents.clone().map(|content| serving.upload(&content));
    for (file, content) in files.iter().zip(&contents) {
        let id = file["id"].as_str().unwrap();
        assert_eq!(serving.get(&format!("/v1/files/{id}")).json(), *file);
        let read = serving.get(&format!("/v1/files/{id}/content"));
        assert_eq!(read.headers["content-length"], content.len().to_string());
        assert!(read.body == *content);
        let expected = json!({
            "id": id, "object": "file", "bytes": content.len(), "created_at": file["created_at"],
            "filename": "in.jsonl", "purpose": "batch", "status": "processed",
        });
        assert_eq!(*file, expected);
    }
    let [first, second, third] = files.each_ref().map(|file| file["id"].as_str().unwrap());
    let list = |query: &str| serving.get(&format!("/v1/files{query}")).json();
    assert_eq!(ids(&list("")), [third, second, first]);
    assert_eq!(ids(&list("?order=asc&purpose=batch")), [first, second, third]);
    assert_eq!(ids(&list("?purpose=batch_output")), [""; 0]);
    let page = list("?limit=2");
    assert_eq!(ids(&page), [third, second]);
    assert_eq!((&page["has_more"], &page["last_id"]), (&json!(true), &json!(second)));
    let page = list(&format!("?limit=2&after={second}"));
    assert_eq!((ids(&page), &page["has_more"]), (vec![first], &json!(false)));

    // What is there outlives the server, and what it had no time to finish does not.
    fs::write(serving.place.path("data/files/.tmpXyz"), "x").unwrap();
    fs::write(serving.place.path("data/files/file-0123456789abcdef01234567.data"), "x").unwrap();
    fs::write(serving.place.path("data/files/notes.txt"), "mine").unwrap();
    let serving = serving.again(&DATA);
    let deleted = serving.send("DELETE", &format!("/v1/files/{second}"), &[], b"").json();
    assert_eq!(deleted, json!({"id": second, "object": "file", "deleted": true}));
    assert_eq!(ids(&serving.get("/v1/files").json()), [third, first]);
    assert_eq!(names(&serving, "files").len(), 5, "{:?}", names(&serving, "files"));
    for path in ["", "/content"] {
        let reply = serving.get(&format!("/v1/files/{second}{path}"));
        assert_eq!((reply.status, reply.code()), (404, "file_not_found".into()));
    }
}

#[test]
fn names_lead_nowhere_else() {
    let serving = Serving::new(&DATA);
    serving.upload(b"{}");
    for name in [
        "..",
        "../lock",
        "%2e%2e%2flock",
        "..%2f..%2fmodel.gguf",
        "file-",
        "file-..%2flock",
        "%00",
        "file-0123456789ABCDEF01234567",
        "batch_0123456789abcdef01234567",
        "%ff",
        "file-0123456789abcdef0123456%2f",
    ] {
        for (method, path) in [
            ("GET", format!("/v1/files/{name}")),
            ("GET", format!("/v1/files/{name}/content")),
            ("DELETE", format!("/v1/files/{name}")),
            ("GET", format!("/v1/batches/{name}")),
            ("POST", format!("/v1/batches/{name}/cancel")),
        ] {
            let reply = serving.send(method, &path, &[], b"");
            assert!((400..500).contains(&reply.status), "{method} {path}: {}", reply.status);
            reply.code();
        }
    }
    // Names of files are told, and nothing else.
    let reply = serving.send_form(&[
        ("name=\"file\"; filename=\"../../../tmp/evil\"", b"{}"),
        ("name=\"purpose\"", b"batch"),
    ]);
    assert_eq!(reply.json()["filename"], "evil");
    assert_eq!(names(&serving, "files").len(), 4);
    assert_eq!(names(&serving, ""), ["batches", "files", "lock"]);
}

/// What a part of a form is called, and what it has.
type Part<'a> = (&'a str, &'a [u8]);

#[test]
fn what_is_no_file_is_refused_and_leaves_nothing() {
    let serving = Serving::new(&["--data-dir", "data", "--max-upload", "100000"]);
    let file = ("name=\"file\"; filename=\"a\"", &b"{}"[..]);
    let purpose = ("name=\"purpose\"", &b"batch"[..]);
    let large = [b'x'; 100_001];
    let cases: [(&[Part<'_>], u16, &str); 10] = [
        (&[file], 400, "missing_required_parameter"),
        (&[purpose], 400, "missing_required_parameter"),
        (&[], 400, "missing_required_parameter"),
        (&[file, file, purpose], 400, "invalid_value"),
        (&[purpose, purpose, file], 400, "invalid_value"),
        (&[("name=\"purpose\"", b"fine-tune"), file], 400, "invalid_value"),
        (&[("name=\"purpose\"", &large[..2000]), file], 400, "invalid_form"),
        (&[purpose, ("name=\"expires_after[seconds]\"", b"5"), file], 400, "unsupported_parameter"),
        (&[purpose, ("name=\"other\"", b""), file], 400, "unknown_parameter"),
        (&[purpose, ("name=\"file\"; filename=\"a\"", &large)], 413, "file_too_large"),
    ];
    for (parts, status, code) in cases {
        let reply = serving.send_form(parts);
        assert_eq!((reply.status, reply.code()), (status, code.into()), "{}", reply.text());
    }
    let just = [purpose, ("name=\"file\"; filename=\"a\"", &large[1..])];
    assert_eq!(serving.send_form(&just).status, 200);
    let form = ("Content-Type", "multipart/form-data; boundary=form");
    for (headers, body, status) in [
        (vec![], &b"--form--"[..], 400),
        (vec![("Content-Type", "application/json")], b"{}", 400),
        (vec![form], b"", 400),
        (vec![form], b"--form\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx", 400),
        (vec![form, ("Content-Length", "99999999999")], b"--form\r\n", 413),
    ] {
        let reply = serving.send("POST", "/v1/files", &headers, body);
        assert_eq!(reply.status, status, "{headers:?}: {}", reply.text());
        reply.code();
    }
    // One without an end.
    let endless = [&b"--form--"[..], &vec![b'x'; 200_000]].concat();
    let chunks = format!("{:x}\r\n{}\r\n", endless.len(), String::from_utf8(endless).unwrap());
    let head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Type: multipart/form-data; boundary=form\r\nConnection: close\r\n\r\n";
    let client = Client::raw(serving.address, format!("{head}{chunks}0\r\n\r\n").as_bytes());
    assert_eq!(client.reply().code(), "file_too_large");
    // One that goes in the middle.
    let head = "POST /v1/files HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\nContent-Type: multipart/form-data; boundary=form\r\n\r\n--form\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n";
    drop(Client::raw(serving.address, head.as_bytes()));
    for query in ["limit=0", "limit=x", "limit=10001", "order=up", "after=file-1", "x=1"] {
        assert_eq!(serving.get(&format!("/v1/files?{query}")).status, 400, "{query}");
    }
    let serving = serving.again(&DATA);
    assert_eq!(names(&serving, "files").len(), 2);
}

#[test]
fn without_a_folder_files_and_batches_are_refused() {
    let serving = Serving::new(&[]);
    for (method, path) in [
        ("GET", "/v1/files"),
        ("POST", "/v1/files"),
        ("GET", "/v1/files/file-0123456789abcdef01234567"),
        ("GET", "/v1/batches"),
        ("POST", "/v1/batches"),
        ("POST", "/v1/batches/batch_0123456789abcdef01234567/cancel"),
    ] {
        let reply = serving.send(method, path, &[], b"{}");
        assert_eq!((reply.status, reply.code()), (400, "data_dir_required".into()), "{path}");
        assert!(reply.text().contains("--data-dir"));
    }
}

#[test]
fn a_folder_is_one_servers_alone_and_nobody_elses() {
    let serving = Serving::new(&DATA);
    let fails = |args: &[&str]| {
        let output = command(&serving.place, args).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = fails(&DATA);
    assert!(said.contains("data is the folder of another server"), "{said}");
    let said = fails(&["--data-dir", "."]);
    assert!(said.contains("has other things in it"), "{said}");
    let said = fails(&["--data-dir", "model.gguf"]);
    assert!(said.contains("model.gguf cannot be used as a folder"), "{said}");
    let said = fails(&["--data-dir", "new", "--max-upload", "0"]);
    assert!(!serving.place.path("new").exists() && said.contains("--max-upload"), "{said}");
    serving.upload(b"{}");
    let record = names(&serving, "files").into_iter().find(|name| name.ends_with(".json")).unwrap();
    let place = serving.again(&["--data-dir", "other"]);
    fs::write(place.place.path("data/files").join(&record), "{").unwrap();
    let output = command(&place.place, &DATA).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&record) && said.contains("is damaged"), "{said}");
    assert!(Path::new(&place.place.path("data/files")).join(record).exists());
}

/// What is small takes its block of the disk, and what is known of a file or a batch is a file, too.
#[test]
fn the_store_is_bounded_by_what_it_takes_on_the_disk() {
    let serving = Serving::new(&[&DATA[..], &["--max-store", "1M"]].concat());
    let input = serving.upload(b"");
    let metadata: Json = (0..16).map(|n| (format!("{n}"), "x".repeat(500))).collect();
    let batch = json!({"input_file_id": input["id"], "endpoint": "/v1/chat/completions",
        "completion_window": "24h", "metadata": metadata});
    let made = (0..100).map(|_| serving.post("/v1/batches", &batch).status);
    let made: Vec<u16> = made.collect();
    assert_eq!((made[0], made[99]), (200, 507), "{made:?}");
    let parts = [("name=\"purpose\"", &b"batch"[..]), ("name=\"file\"; filename=\"a\"", b"")];
    let files: Vec<u16> = (0..40).map(|_| serving.send_form(&parts).status).collect();
    assert_eq!(files[39], 507, "{files:?}");
    let size = |folder: &str| -> u64 {
        let entries = fs::read_dir(serving.place.path(&format!("data/{folder}"))).unwrap();
        entries.map(|entry| entry.unwrap().metadata().unwrap().len().next_multiple_of(4096)).sum()
    };
    let total = size("files") + size("batches");
    assert!(total <= 1 << 20, "{total}");
}

/// A limit on the size of files stands for a disk that is full.
#[cfg(unix)]
#[test]
fn a_full_disk_is_told() {
    let place = Workplace::new();
    let serve = command(&place, &DATA);
    let mut limited = Command::new("sh");
    limited.current_dir(place.folder.path()).args(["-c", "ulimit -f 100; exec \"$@\"", "sh"]);
    limited.arg(serve.get_program()).args(serve.get_args());
    let serving = Serving::of(place, limited);
    let purpose = ("name=\"purpose\"", &b"batch"[..]);
    let large = [b'x'; 200_000];
    let reply = serving.send_form(&[purpose, ("name=\"file\"; filename=\"a\"", &large)]);
    assert_eq!((reply.status, reply.code()), (507, "storage_full".into()), "{}", reply.text());
    assert_eq!(reply.headers["x-should-retry"], "false");
    // Where it is on this machine is nobody's business.
    assert!(!reply.text().contains(".data"), "{}", reply.text());
    assert_eq!(names(&serving, "files"), [""; 0]);
    serving.upload(&large[..40_000]);
}
