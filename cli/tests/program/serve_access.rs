//! Who may ask a server.

use crate::batches::Workplace;
use crate::program::{self, gatefold};
use crate::serving::{Serving, command};
use std::fs;

/// What a server that does not start says.
fn refused(args: &[&str]) -> String {
    let output = command(&Workplace::new(), args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn other_machines_need_a_key_unless_that_is_waived() {
    let said = refused(&["--host", "0.0.0.0"]);
    assert!(said.contains("--api-key-file") && said.contains("--no-api-key"), "{said}");
    assert!(refused(&["--host", "::"]).contains("--no-api-key"));
    assert!(refused(&["--api-key-file", "nowhere.txt"]).contains("nowhere.txt"));
    assert!(refused(&["--cors-origin", "chat.example"]).contains("--cors-origin"));
    let open = Serving::new(&["--host", "0.0.0.0", "--no-api-key"]);
    let port = open.address.port();
    assert_eq!(
        open.send("GET", "/v1/models", &[("Host", &format!("127.0.0.1:{port}"))], b"").status,
        200
    );
}

#[test]
fn health_tells_whether_a_server_is_ready() {
    let place = Workplace::new();
    fs::write(place.path("keys.txt"), "key").unwrap();
    let mut serving = Serving::at(place, &["--host", "0.0.0.0", "--api-key-file", "keys.txt"]);
    let port = serving.address.port().to_string();
    assert_eq!(gatefold(&["health", "--port", &port]).succeeded().stdout, "ready\n");
    let mut by_variables = program::command();
    by_variables.arg("health").envs([("GATEFOLD_HOST", "0.0.0.0"), ("GATEFOLD_PORT", &port)]);
    assert!(by_variables.output().unwrap().status.success());
    serving.stop();
    gatefold(&["health", "--port", &port]).refused("does not answer");
}

#[test]
fn keys_hosts_and_origins_are_checked() {
    let place = Workplace::new();
    fs::write(place.path("keys.txt"), "first key\n\n second \n").unwrap();
    fs::write(place.path("empty.txt"), "\n").unwrap();
    let args = ["--api-key-file", "keys.txt", "--allowed-host", "box.example"];
    let serving =
        Serving::at(place, &[&args[..], &["--cors-origin", "https://chat.example"]].concat());
    let get = |headers: &[(&str, &str)]| serving.send("GET", "/v1/models", headers, b"");
    assert_eq!(serving.get("/health").status, 200);
    let without = get(&[]);
    assert_eq!((without.status, without.code()), (401, "invalid_api_key".into()));
    assert_eq!(without.headers["www-authenticate"], "Bearer");
    // Whoever has much to say hears it too.
    let large = vec![b' '; 4_000_000];
    for path in ["/v1/completions", "/nowhere", "/v1/models"] {
        assert_eq!(serving.send("POST", path, &[], &large).status, 401, "{path}");
    }
    let key = ("Authorization", "Bearer second");
    assert_eq!(serving.send("POST", "/nowhere", &[key], &large).status, 404);
    assert_eq!(serving.send("POST", "/v1/models", &[key], &large).status, 405);
    assert_eq!(get(&[("Authorization", "Bearer third")]).status, 401);
    assert_eq!(get(&[key]).status, 200);
    assert_eq!(get(&[key, ("Host", "box.example")]).status, 200);
    assert_eq!(get(&[key, ("Host", "evil.example")]).code(), "invalid_host");

    let page = ("Origin", "https://chat.example");
    let seen = get(&[key, page]);
    assert_eq!(seen.headers["access-control-allow-origin"], "https://chat.example");
    assert_eq!(get(&[key, ("Origin", "https://evil.example")]).code(), "invalid_origin");
    assert!(!get(&[key]).headers.contains_key("access-control-allow-origin"));
    let ask = |origin| {
        let headers = [origin, ("Access-Control-Request-Headers", "authorization, x-stainless-os")];
        serving.send("OPTIONS", "/v1/chat/completions", &headers, b"")
    };
    let asked = ask(page);
    assert_eq!((asked.status, &*asked.headers["access-control-allow-origin"]), (204, page.1));
    assert_eq!(asked.headers["access-control-allow-headers"], "authorization, x-stainless-os");
    assert_eq!(ask(("Origin", "https://evil.example")).status, 403);
}
