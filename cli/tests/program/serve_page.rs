//! The page of a server: what a browser is given, and what it is told about it.

use crate::batches::Workplace;
use crate::serving::{Reply, Serving};
use regex::Regex;
use std::fs;

/// Bytes of all files together.
const MOST_BYTES: usize = 60_000;

const FILES: [(&str, &str); 3] =
    [("/", "text/html"), ("/style.css", "text/css"), ("/app.js", "text/javascript")];

fn files(serving: &Serving) -> [Reply; 3] {
    FILES.map(|(path, _)| serving.get(path))
}

/// All that a pattern finds, up to the end of its first group.
fn found(pattern: &str, text: &str) -> Vec<String> {
    let found = Regex::new(pattern).unwrap();
    found.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

#[test]
fn the_page_is_small_and_complete() {
    let serving = Serving::new(&[]);
    let files = files(&serving);
    for (file, (path, kind)) in files.iter().zip(FILES) {
        assert_eq!(file.status, 200, "{path}");
        assert_eq!(file.headers["content-type"], format!("{kind}; charset=utf-8"));
    }
    let n_bytes: usize = files.iter().map(|file| file.body.len()).sum();
    assert!(n_bytes < MOST_BYTES, "{n_bytes} bytes");
    let [html, style, script] = files.map(|file| file.text());

    // It has nothing within its markup that a policy would have to allow.
    let names = found(r"<(\w+)", &html);
    assert!(!names.iter().any(|name| name == "style"), "{names:?}");
    assert_eq!(found(r"<script([^>]*)>", &html), [" type=\"module\" src=\"app.js\""]);
    assert_eq!(found(r#"\s((?:on\w+|style)=)"#, &html), Vec::<String>::new());
    // What it refers to is its own.
    let links = found(r#"(?:src|href|action)="([^"]*)""#, &html);
    let is_own = |link: &String| {
        link.starts_with('#')
            || link.starts_with("data:image/svg+xml,")
            || ["app.js", "style.css"].contains(&link.as_str())
    };
    assert!(links.iter().all(is_own), "{links:?}");
    assert_eq!(found(r"(url\(|@import)", &style), Vec::<String>::new());
    assert_eq!(found(r#"(["'`]\w+://)"#, &script), Vec::<String>::new());
    assert_eq!(
        found(r#"((?:import|fetch)\s*\(\s*["'`](?:https?:)?//)"#, &script),
        Vec::<String>::new()
    );
    // No text becomes markup, or a program.
    let makers = r"(innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|createContextualFragment)";
    assert_eq!(found(makers, &script), Vec::<String>::new());
    // What the script asks the page for is there.
    let ids = found(r#"\sid="(\w+)""#, &html);
    for id in found(r"\$\.(\w+)", &script) {
        assert!(ids.contains(&id), "{id}");
    }
}

#[test]
fn browsers_are_told_what_the_page_may_do() {
    let serving = Serving::new(&[]);
    for file in files(&serving) {
        let policy = &file.headers["content-security-policy"];
        let directives: Vec<&str> = policy.split(';').map(str::trim).collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(directives.contains(&directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert_eq!(file.headers["x-content-type-options"], "nosniff");
        assert_eq!(file.headers["referrer-policy"], "no-referrer");
        assert_eq!(file.headers["cross-origin-opener-policy"], "same-origin");
    }
    assert_eq!(serving.send("HEAD", "/", &[], b"").body, b"");
    assert_eq!(serving.send("POST", "/", &[], b"{}").code(), "method_not_allowed");
    assert_eq!(serving.send("GET", "/", &[("Host", "evil.example")], b"").code(), "invalid_host");
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let serving = Serving::new(&[]);
    for (path, _) in FILES {
        let first = serving.get(path);
        assert_eq!(first.headers["cache-control"], "no-cache");
        let tag = &first.headers["etag"];
        let asked = |known: &str| serving.send("GET", path, &[("If-None-Match", known)], b"");
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}"), "*".into()] {
            let again = asked(&known);
            assert_eq!((again.status, again.body.len()), (304, 0), "{known}");
            assert_eq!(&again.headers["etag"], tag);
            assert!(again.headers.contains_key("content-security-policy"));
        }
        for other in ["\"other\"", "", tag.trim_matches('"')] {
            assert_eq!(asked(other).body, first.body, "{other}");
        }
    }
    let tags: Vec<_> = files(&serving).map(|file| file.headers["etag"].clone()).into();
    assert!(tags[0] != tags[1] && tags[1] != tags[2]);
}

/// Whoever opens it has no way yet to show a key: the page itself asks for it.
#[test]
fn the_page_is_open_where_the_api_is_not() {
    let place = Workplace::new();
    fs::write(place.path("keys.txt"), "key\n").unwrap();
    let serving = Serving::at(place, &["--api-key-file", "keys.txt"]);
    assert!(files(&serving).iter().all(|file| file.status == 200));
    for path in ["/v1/models", "/metrics", "//", "/app.js/", "/index.html"] {
        assert_eq!(serving.get(path).status, 401, "{path}");
    }
}
