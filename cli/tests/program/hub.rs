//! Models by name, from a hub of our own that cuts, lies, throttles, and says no.

use crate::hub_server::{Asked, COMMIT, Hub, REPO, Reply, ranged, sha256};
use crate::program::{Run, command, gatefold};
use gatefold::machine::Machine;
use gatefold_cli::hub::{Name, Pulled, Settings, list, pull, remove};
use gatefold_fixtures::tiny_model::Model;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// What becomes of an answer, by what was asked and how many answers of that server there were.
type Mood = fn(&Asked, usize, Reply) -> Reply;

/// Bytes that begin as a GGUF does.
fn bytes(n_bytes: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; n_bytes];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes[..4].copy_from_slice(b"GGUF");
    bytes
}

fn one_file() -> Vec<(&'static str, Vec<u8>)> {
    vec![("x.Q4_K_M.gguf", bytes(200_000, 1)), ("README.md", b"text".to_vec())]
}

/// Settings for a hub and a folder, without the environment.
fn settings(hub: &Hub, cache: &Path) -> Settings {
    Settings {
        cache: cache.into(),
        endpoint: hub.endpoint.clone(),
        token: Some("hf_secret".into()),
        token_file: None,
        is_offline: false,
        machine: Some(Machine { memory_bytes: 1 << 40, available_bytes: 1 << 40 }),
        free_space: |_| Ok(1 << 40),
        pause: Duration::from_millis(2),
    }
}

fn pulled(hub: &Hub, cache: &Path, which: &str) -> anyhow::Result<Pulled> {
    pull(&settings(hub, cache), &Name::of(Path::new(&format!("{REPO}{which}"))).unwrap())
}

#[track_caller]
fn refused(result: anyhow::Result<Pulled>, why: &str) {
    let error = format!("{:#}", result.map(|pulled| pulled.name).unwrap_err());
    assert!(error.contains(why), "{why:?}: {error}");
    assert!(!error.contains("secret"), "{error}");
}

fn folder_of_repo(cache: &Path) -> PathBuf {
    cache.join("models--some-user--Some_Model-GGUF")
}

/// Nothing has the name of a model.
#[track_caller]
fn is_empty(cache: &Path) {
    let blobs = fs::read_dir(folder_of_repo(cache).join("blobs")).into_iter().flatten().flatten();
    let whole: Vec<_> = blobs
        .map(|blob| blob.file_name())
        .filter(|name| !name.to_string_lossy().ends_with(".incomplete"))
        .collect();
    assert!(whole.is_empty() && !folder_of_repo(cache).join("snapshots").exists(), "{whole:?}");
}

/// The program, with this hub and this folder.
fn at(hub: &Hub, cache: &Path) -> Command {
    let mut command = command();
    for name in ["LLAMA_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"] {
        command.env_remove(name);
    }
    command
        .env("HF_HUB_CACHE", cache)
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", "hf_secret");
    command
}

fn run(command: &mut Command, args: &[&str]) -> Run {
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_model_lies_where_other_programs_look_for_it() {
    let hub = Hub::new(&one_file());
    let cache = TempDir::new().unwrap();
    let pulled = pulled(&hub, cache.path(), ":q4_k_m").unwrap();
    let file = &hub.files["x.Q4_K_M.gguf"];
    assert_eq!(
        pulled.path,
        folder_of_repo(cache.path()).join("snapshots").join(COMMIT).join("x.Q4_K_M.gguf")
    );
    assert_eq!((pulled.name.as_str(), pulled.n_fetched), (&*format!("{REPO}:Q4_K_M"), 200_000));
    assert_eq!(fs::read(&pulled.path).unwrap(), *file);
    if cfg!(unix) {
        let target = fs::read_link(&pulled.path).unwrap();
        assert_eq!(target, Path::new("../../blobs").join(sha256(file)));
    }
    assert_eq!(fs::read_to_string(folder_of_repo(cache.path()).join("refs/main")).unwrap(), COMMIT);
    // The token is for the hub alone, and not for whom it sends us to.
    assert!(hub.asked().iter().all(|asked| {
        let token = asked.headers.get("authorization").map(String::as_str);
        token == if asked.is_store { None } else { Some("Bearer hf_secret") }
    }));
    assert_eq!(hub.fetched().len(), 1);
}

#[test]
fn a_model_is_right_whatever_happens_on_the_way() {
    let moods: [(&str, Mood); 9] = [
        ("cuts", |_, n, reply| Reply { cut: Some(30_000 + n), ..reply }),
        ("cuts lists", |asked, n, reply| Reply {
            cut: (!asked.is_store && n < 3).then_some(40),
            ..reply
        }),
        ("is asked too often", |_, n, reply| match n % 2 {
            0 => Reply {
                status: 429,
                headers: vec![("Retry-After".into(), "0".into())],
                ..Reply::default()
            },
            _ => Reply { cut: Some(90_000), ..reply },
        }),
        (
            "has hiccups",
            |_, n, reply| {
                if n % 3 == 0 { Reply { status: 503, ..Reply::default() } } else { reply }
            },
        ),
        ("has no ranges", |asked, n, reply| match asked.is_store {
            true => Reply {
                cut: (n < 3).then_some(60_000),
                ..ranged(&no_range(asked), &one_file()[0].1, "\"v1\"")
            },
            false => reply,
        }),
        ("knows no such range", |asked, n, reply| match asked.headers.get("range") {
            Some(_) if n == 1 => Reply { status: 416, ..Reply::default() },
            _ => Reply { cut: (n == 0).then_some(70_000), ..reply },
        }),
        ("changes its file", |asked, n, reply| match (asked.is_store, n) {
            (true, 0) => Reply { cut: Some(70_000), ..ranged(asked, &bytes(200_000, 2), "\"v0\"") },
            _ => reply,
        }),
        ("changes it and does not say so", |asked, n, reply| match (asked.is_store, n) {
            (true, 0) => Reply { cut: Some(70_000), ..ranged(asked, &bytes(200_000, 2), "\"v1\"") },
            _ => reply,
        }),
        ("sends another range", |asked, n, reply| match (asked.is_store, n) {
            (true, 0) => Reply { cut: Some(70_000), ..reply },
            (true, 1) => Reply {
                headers: vec![("Content-Range".into(), "bytes 5-199999/200000".into())],
                ..reply
            },
            _ => reply,
        }),
    ];
    for (name, mood) in moods {
        let hub = Hub::in_mood(&one_file(), mood);
        let cache = TempDir::new().unwrap();
        let pulled =
            pulled(&hub, cache.path(), "").unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert!(fs::read(&pulled.path).unwrap() == hub.files["x.Q4_K_M.gguf"], "{name}");
        if name == "cuts" {
            assert!(hub.fetched()[1..].iter().all(|asked| {
                asked.headers["if-range"] == "\"v1\""
                    && asked.headers["range"].starts_with("bytes=")
            }));
        }
    }
}

fn no_range(asked: &Asked) -> Asked {
    let mut asked = asked.clone();
    asked.headers.clear();
    asked
}

#[test]
fn nothing_wrong_gets_a_name() {
    let moods: [(&str, Mood); 14] = [
        ("is not what it should be", |asked, _, reply| match asked.is_store {
            true => ranged(asked, &bytes(200_000, 3), "\"v1\""),
            false => reply,
        }),
        ("is not what it should be", |asked, _, reply| match asked.is_store {
            true => Reply { cut: Some(150_000), ..ranged(asked, &bytes(200_000, 3), "\"v1\"") },
            false => reply,
        }),
        ("by the hub's list", |asked, _, reply| match asked.is_store {
            true => ranged(asked, &bytes(1000, 3), "\"v1\""),
            false => reply,
        }),
        ("times more when asked again", |asked, _, reply| Reply {
            cut: asked.is_store.then_some(0),
            ..reply
        }),
        ("(401)", |_, _, _| Reply { status: 401, ..Reply::default() }),
        ("accepted the model's terms", |_, _, _| Reply { status: 403, ..Reply::default() }),
        ("(404)", |_, _, _| Reply { status: 404, ..Reply::default() }),
        ("ask again in 20 minutes", |_, _, _| Reply {
            status: 429,
            headers: vec![("Retry-After".into(), "1200".into())],
            ..Reply::default()
        }),
        ("without an end", |asked, _, _| Reply {
            status: 302,
            headers: vec![("Location".into(), asked.path.clone())],
            ..Reply::default()
        }),
        ("no address to fetch from", |_, _, _| Reply {
            status: 302,
            headers: vec![("Location".into(), "file:///etc/passwd".into())],
            ..Reply::default()
        }),
        ("is not understood", |_, _, _| Reply {
            status: 200,
            body: b"<html>".to_vec(),
            ..Reply::default()
        }),
        ("can be none", |asked, _, reply| match asked.path.ends_with("main") {
            true => Reply { body: br#"{"sha": "../../../x"}"#.to_vec(), ..reply },
            false => reply,
        }),
        ("can be none", |asked, _, reply| match asked.path.contains("/tree/") {
            true => Reply {
                body: br#"[{"type": "file", "path": "x.gguf", "lfs": {"oid": "../x", "size": 5}}]"#
                    .to_vec(),
                ..reply
            },
            false => reply,
        }),
        ("no GGUF file", |asked, _, reply| match asked.path.contains("/tree/") {
            true => {
                let paths = [
                    "../x.gguf",
                    "/x.gguf",
                    "a/../../x.gguf",
                    r"a\\..\\x.gguf",
                    "C:x.gguf",
                    "a//x.gguf",
                    "x\\u0000.gguf",
                ];
                let entries: Vec<String> = paths
                    .map(|path| {
                        format!(
                            r#"{{"type": "file", "path": "{path}", "size": 9, "oid": "{}"}}"#,
                            "a".repeat(40)
                        )
                    })
                    .into();
                Reply { body: format!("[{}]", entries.join(",")).into(), ..reply }
            }
            false => reply,
        }),
    ];
    for (why, mood) in moods {
        let hub = Hub::in_mood(&one_file(), mood);
        let cache = TempDir::new().unwrap();
        refused(pulled(&hub, cache.path(), ""), why);
        is_empty(cache.path());
    }
    // What is listed on another server's pages is asked for without the token.
    let other = Hub::new(&one_file());
    let next = format!("<{}/api/models/{REPO}/tree/{COMMIT}>; rel=\"next\"", other.endpoint);
    let hub = Hub::in_mood(&one_file(), move |asked, _, mut reply| {
        if asked.path.contains("/tree/") {
            reply.headers.push(("Link".into(), next.clone()));
        }
        reply
    });
    let cache = TempDir::new().unwrap();
    pulled(&hub, cache.path(), "").unwrap();
    assert!(other.asked().iter().all(|asked| !asked.headers.contains_key("authorization")));
    assert_eq!(other.asked().len(), 1);
}

#[test]
fn types_parts_and_what_is_here() {
    let files = [
        ("Q2_K/m-Q2_K-00001-of-00002.gguf", bytes(5000, 1)),
        ("Q2_K/m-Q2_K-00002-of-00002.gguf", bytes(6000, 2)),
        ("m q.Q8_0.gguf", bytes(20_000, 3)),
        ("m-Q6_K-00001-of-00002.gguf", bytes(100, 4)),
        ("m-F16.gguf", bytes(40_000, 5)),
        ("mmproj-F16.gguf", bytes(100, 6)),
    ];
    let hub = Hub::new(&files);
    let folder = TempDir::new().unwrap();
    let cache = folder.path();
    refused(pulled(&hub, cache, ":Q5_K_M"), "has no Q5_K_M; it has F16, Q2_K, Q6_K, Q8_0");
    refused(pulled(&hub, cache, ":Q6_K"), "1 of 2 parts");
    let first = pulled(&hub, cache, ":q2_K").unwrap();
    assert!(first.path.ends_with("Q2_K/m-Q2_K-00001-of-00002.gguf"));
    assert_eq!(
        fs::read(first.path.with_file_name("m-Q2_K-00002-of-00002.gguf")).unwrap(),
        files[1].1
    );
    // The largest that fits; F16 gives nothing that Q8_0 does not.
    assert_eq!(pulled(&hub, cache, "").unwrap().name, format!("{REPO}:Q8_0"));
    assert_eq!(pulled(&hub, cache, ":m q.Q8_0.gguf").unwrap().n_fetched, 0);
    let names = |cache: &Path| -> Vec<String> {
        list(&settings(&hub, cache)).into_iter().map(|listed| listed.name).collect()
    };
    assert_eq!(names(cache), [format!("{REPO}:Q2_K"), format!("{REPO}:Q8_0")]);

    // What was there and is damaged is fetched again.
    let blob = fs::canonicalize(&first.path).unwrap();
    fs::write(&blob, bytes(5000, 9)).unwrap();
    assert_eq!(pulled(&hub, cache, ":Q2_K").unwrap().n_fetched, 5000);
    assert!(fs::read(&blob).unwrap() == files[0].1);

    fs::write(&blob, &files[0].1[..1000]).unwrap();
    assert_eq!(pulled(&hub, cache, ":Q2_K").unwrap().n_fetched, 5000);
    assert!(fs::read(&blob).unwrap() == files[0].1);

    // Nobody is asked for what is here, and nobody can be.
    let n_asked = hub.asked().len();
    let offline = Settings { is_offline: true, ..settings(&hub, cache) };
    let of = |which: &str| Name::of(Path::new(&format!("{REPO}{which}"))).unwrap();
    assert_eq!(pull(&offline, &of(":Q2_K")).unwrap().path, first.path);
    refused(pull(&offline, &of(":F16")), "HF_HUB_OFFLINE");
    assert_eq!(hub.asked().len(), n_asked);
    let gone = Settings { endpoint: "http://127.0.0.1:1".into(), ..settings(&hub, cache) };
    assert_eq!(pull(&gone, &of(":Q2_K")).unwrap().path, first.path);
    refused(pull(&gone, &of(":F16")), "cannot be reached");

    // Removing one leaves the other, and what other programs have.
    let snapshot = folder_of_repo(cache).join("snapshots").join(COMMIT);
    fs::write(snapshot.join("config.json"), "{}").unwrap();
    assert!(remove(&offline, &of(""), false).err().unwrap().to_string().contains("name one"));
    let removed = remove(&offline, &of(":q2_k"), false).unwrap();
    assert_eq!((removed.names.len(), removed.n_bytes), (1, 11_000));
    assert!(!blob.exists() && !snapshot.join("Q2_K").exists());
    assert_eq!(names(cache), [format!("{REPO}:Q8_0")]);
    remove(&offline, &of(""), true).unwrap();
    assert!(names(cache).is_empty() && snapshot.join("config.json").exists());
    assert!(remove(&offline, &of(""), true).is_err());
    fs::remove_file(snapshot.join("config.json")).unwrap();
    pulled(&hub, cache, ":Q8_0").unwrap();
    remove(&offline, &of(""), false).unwrap();
    assert!(!folder_of_repo(cache).exists());
}

#[test]
fn what_is_good_stays_until_there_is_better() {
    let hub = Hub::new(&one_file());
    let cache = TempDir::new().unwrap();
    let path = pulled(&hub, cache.path(), "").unwrap().path;
    // Another word on the same commit, and nothing that bears it out.
    let other = sha256(&bytes(200_000, 2));
    let liar = Hub::in_mood(&one_file(), move |asked, _, reply| {
        let is_list = asked.path.contains("/tree/");
        let text = || String::from_utf8(reply.body.clone()).unwrap();
        let other = || text().replace(&sha256(&one_file()[0].1), &other).into_bytes();
        Reply { body: if is_list { other() } else { reply.body.clone() }, ..reply }
    });
    refused(pulled(&liar, cache.path(), ""), "is not what it should be");
    assert!(fs::read(&path).unwrap() == hub.files["x.Q4_K_M.gguf"]);
    // A damaged one goes when the right one is here, and no sooner.
    let blob = fs::canonicalize(&path).unwrap();
    fs::write(&blob, bytes(200_000, 3)).unwrap();
    let down = Hub::in_mood(&one_file(), |asked, _, reply| match asked.is_store {
        true => Reply { status: 503, ..Reply::default() },
        false => reply,
    });
    refused(pulled(&down, cache.path(), ""), "cannot answer now");
    assert!(blob.exists());
    pulled(&hub, cache.path(), "").unwrap();
    assert!(fs::read(&path).unwrap() == hub.files["x.Q4_K_M.gguf"]);
}

#[test]
fn lists_may_have_what_nobody_understands_beside_models() {
    let hub = Hub::in_mood(&one_file(), |asked, _, mut reply| {
        if asked.path.contains("/tree/") {
            reply.body.pop();
            reply.body.extend(br#",{"type": "file", "path": "notes.txt", "size": 9}]"#);
        }
        // What is said of the redirect is not said of the file.
        if reply.status == 302 {
            reply.headers.push(("ETag".into(), format!("\"{}\"", "0".repeat(64))));
            reply.headers.push(("Content-Range".into(), "bytes 7-9/10".into()));
        }
        reply
    });
    pulled(&hub, TempDir::new().unwrap().path(), "").unwrap();
    let endless = Hub::in_mood(&one_file(), |asked, _, mut reply| {
        if asked.path.contains("/tree/") {
            reply.headers.push(("Link".into(), format!("<{}>; rel=\"next\"", asked.path)));
        }
        reply
    });
    refused(pulled(&endless, TempDir::new().unwrap().path(), ""), "pages");
}

#[cfg(unix)]
#[test]
fn folders_need_not_be_text() {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let hub = Hub::new(&one_file());
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join(std::ffi::OsStr::from_bytes(b"x\xff"));
    let plain = at(&hub, &cache).args(["pull", REPO]).output().unwrap().stdout;
    let path = std::ffi::OsString::from_vec(plain.trim_ascii_end().into());
    assert!(fs::read(path).unwrap() == hub.files["x.Q4_K_M.gguf"]);
    for args in [&["pull", REPO, "--json"][..], &["list", "--json"]] {
        let json = run(&mut at(&hub, &cache), args).succeeded().stdout;
        assert!(json.contains("x\u{fffd}"), "{json}");
    }
    // Without a network, hosts have no addresses: what is here is enough.
    let mut away = at(&hub, &cache);
    for name in ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"] {
        away.env_remove(name).env_remove(name.to_lowercase());
    }
    away.env("HF_ENDPOINT", "http://hub.invalid");
    let there = run(&mut away, &["pull", REPO, "--json"]).succeeded();
    assert!(there.stderr.contains("cannot be reached"), "{}", there.stderr);
}

#[test]
fn place_is_looked_for_before_anything_is_fetched() {
    let hub = Hub::new(&[("x-Q2_K.gguf", bytes(1000, 1)), ("x-Q8_0.gguf", bytes(3000, 2))]);
    let cache = TempDir::new().unwrap();
    let of = |which: &str| Name::of(Path::new(&format!("{REPO}{which}"))).unwrap();
    let full = Settings { free_space: |_| Ok(2000), ..settings(&hub, cache.path()) };
    refused(pull(&full, &of(":Q8_0")), "Q8_0 takes 3.0 kB more, and 2.0 kB are free");
    assert!(hub.fetched().is_empty());
    assert_eq!(pull(&full, &of("")).unwrap().name, format!("{REPO}:Q2_K"));
}

#[test]
fn addresses_of_other_servers() {
    let hub = Hub::in_mood(&one_file(), |asked, n, reply| match asked.path.as_str() {
        "/a/x.Q4_K_M.gguf?key=1" if n == 0 => {
            Reply { cut: Some(70_000), ..ranged(asked, &bytes(200_000, 2), "\"v0\"") }
        }
        "/a/x.Q4_K_M.gguf?key=1" => Reply { cut: (n == 1).then_some(50_000), ..reply },
        // A mark of 64 digits is a mark, and no hash.
        "/b/x%20(1).gguf" => ranged(asked, &bytes(500, 4), &format!("\"{}\"", "0".repeat(64))),
        "/page.gguf" => Reply { status: 200, body: b"<html>".to_vec(), ..Reply::default() },
        _ => Reply { status: 404, ..Reply::default() },
    });
    let cache = TempDir::new().unwrap();
    let store = hub.store.clone();
    let settings = settings(&hub, cache.path());
    let of = |path: &str| Name::of(Path::new(&format!("{store}{path}"))).unwrap();
    let there = pull(&settings, &of("/a/x.Q4_K_M.gguf?key=1")).unwrap();
    assert!(fs::read(&there.path).unwrap() == hub.files["x.Q4_K_M.gguf"]);
    assert_eq!(hub.fetched()[1].headers["if-range"], "\"v0\"");
    assert_eq!(hub.fetched()[2].headers["if-range"], "\"v1\"");
    assert!(hub.fetched().iter().all(|asked| !asked.headers.contains_key("authorization")));
    refused(pull(&settings, &of("/page.gguf")), "does not begin as GGUF files do");
    refused(pull(&settings, &of("/none.gguf")), "(404)");
    let odd = pull(&settings, &of("/b/x%20(1).gguf")).unwrap();
    let n_asked = hub.asked().len();
    let offline = Settings { is_offline: true, ..settings };
    assert_eq!(pull(&offline, &of("/b/x%20(1).gguf")).unwrap().path, odd.path);
    remove(&offline, &of("/b/x%20(1).gguf"), false).unwrap();
    assert_eq!(pull(&offline, &of("/a/x.Q4_K_M.gguf")).unwrap().path, there.path);
    assert_eq!(hub.asked().len(), n_asked);
    let listed = list(&offline);
    assert_eq!((listed.len(), listed[0].name.as_str()), (1, &*format!("{store}/a/x.Q4_K_M.gguf")));
    remove(&offline, &of("/a/x.Q4_K_M.gguf"), false).unwrap();
    assert!(list(&offline).is_empty());
}

#[test]
fn what_is_unfinished_is_known_and_goes() {
    let files = [
        ("m-Q2_K-00001-of-00002.gguf", bytes(5000, 1)),
        ("m-Q2_K-00002-of-00002.gguf", bytes(6000, 2)),
    ];
    let second = sha256(&files[1].1);
    let cut = second.clone();
    let hub = Hub::in_mood(&files, move |asked, _, reply| match asked.path.contains(&cut) {
        true if asked.headers.contains_key("range") => Reply { status: 503, ..Reply::default() },
        true => Reply { cut: Some(1000), ..reply },
        false => reply,
    });
    let folder = TempDir::new().unwrap();
    let cache = folder.path();
    let settings = settings(&hub, cache);
    let listed = || -> Vec<(String, bool, u64)> {
        let listed = list(&settings).into_iter();
        listed.map(|listed| (listed.name, listed.path.is_some(), listed.n_bytes)).collect()
    };
    refused(pulled(&hub, cache, ""), "cannot answer now");
    assert_eq!(listed(), [(format!("{REPO}:Q2_K"), false, 5000), (REPO.into(), false, 1000)]);
    // What another program has begun, and a blob that has no name.
    let blobs = folder_of_repo(cache).join("blobs");
    let foreign = blobs.join(format!("{}.0a1b.incomplete", "a".repeat(64)));
    fs::write(&foreign, "GG").unwrap();
    fs::write(blobs.join("b".repeat(64)), "GGUF").unwrap();
    let of = |name: &str| Name::of(Path::new(name)).unwrap();
    assert_eq!(remove(&settings, &of(REPO), false).unwrap().n_bytes, 6004);
    assert!(foreign.exists() && fs::read_dir(&blobs).unwrap().count() == 1);
    let error = remove(&settings, &of(REPO), false).err().unwrap().to_string();
    assert!(error.contains("--all"), "{error}");
    remove(&settings, &of(REPO), true).unwrap();
    assert!(!folder_of_repo(cache).exists());

    let url = format!("{}/m-Q2_K-00001-of-00002.gguf", hub.store);
    let cut = Hub::in_mood(&files, |asked, _, reply| match asked.path.contains("00002-of") {
        true if asked.headers.contains_key("range") => Reply { status: 503, ..Reply::default() },
        true => Reply { cut: Some(1000), ..reply },
        false => reply,
    });
    let url = url.replace(&hub.store, &cut.store);
    refused(pull(&settings, &of(&url)), "cannot answer now");
    assert_eq!(listed(), [(url.clone(), false, 6000)]);
    assert_eq!(remove(&settings, &of(&url), false).unwrap().n_bytes, 6000);
    assert!(listed().is_empty());
}

#[test]
fn a_name_is_a_model_everywhere() {
    let model = Model::with_merged_experts().file();
    let hub = Hub::new(&[("tiny-F32.gguf", model)]);
    let cache = TempDir::new().unwrap();
    let name = format!("hf.co/{REPO}");
    // What is not here is fetched, once.
    let first = run(&mut at(&hub, cache.path()), &["tokenize", "-m", &name, "a a"]).succeeded();
    assert!(first.stderr.contains("is not here yet"), "{}", first.stderr);
    let n_asked = hub.asked().len();
    for args in [
        &["run", "--raw", "-n", "1", "-m", &name, "a a"][..],
        &["inspect", &format!("{REPO}:f32")],
        &["eval", "-m", &name, "-p", "a a a a a a a a a a a a a a a a", "-c", "8", "--base", &name],
    ] {
        run(&mut at(&hub, cache.path()), args).succeeded();
    }
    run(at(&hub, cache.path()).env("GATEFOLD_MODEL", &name), &["tokenize", "a a"]).succeeded();
    assert_eq!(hub.asked().len(), n_asked);

    let listed = run(&mut at(&hub, cache.path()), &["list", "--json"]).succeeded().json();
    assert_eq!(listed[0]["name"], format!("{REPO}:F32"));
    let path = run(&mut at(&hub, cache.path()), &["pull", &name]).succeeded().stdout;
    assert_eq!(path.trim_end(), listed[0]["path"].as_str().unwrap());
    run(&mut at(&hub, cache.path()), &["rm", &name]).succeeded();
    let offline = run(at(&hub, cache.path()).env("HF_HUB_OFFLINE", "1"), &["inspect", "-m", &name]);
    offline.refused("HF_HUB_OFFLINE");

    for (wrong, why) in [
        ("mixtrall", "no model of this name"),
        ("a/b:", "is no type"),
        ("hf.co/a", "expected is USER/REPO"),
    ] {
        gatefold(&["inspect", "-m", wrong]).refused(why);
    }
    gatefold(&["pull", "nowhere.gguf"]).refused("that of a file");
    let names = gatefold(&["pull"]).succeeded().stdout;
    assert!(names.contains("mixtral-8x22b") && names.contains("Q4_K_M 26.4"), "{names}");
}

fn start(hub: &Hub, cache: &Path) -> Child {
    let mut command = at(hub, cache);
    command.args(["pull", REPO]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn killed_runs_go_on_and_two_fetch_once() {
    let slow = |_: &Asked, _, reply| Reply { pause: Duration::from_micros(500), ..reply };
    let n_bytes = 2_000_000;
    let hub = Hub::in_mood(&[("x-Q8_0.gguf", bytes(n_bytes, 7))], slow);
    let cache = TempDir::new().unwrap();
    let part = folder_of_repo(cache.path())
        .join("blobs")
        .join(format!("{}.incomplete", sha256(&hub.files["x-Q8_0.gguf"])));
    let mut random = ChaCha8Rng::seed_from_u64(3);
    for kill in 1..=20 {
        let mut run = start(&hub, cache.path());
        let until = (kill * n_bytes / 21) as u64;
        while run.try_wait().unwrap().is_none()
            && fs::metadata(&part).map_or(0, |there| there.len()) < until
        {
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 3000)));
        let _ = run.kill();
        run.wait().unwrap();
    }
    let mut runs = [start(&hub, cache.path()), start(&hub, cache.path())];
    assert!(runs.iter_mut().all(|run| run.wait().unwrap().success()));
    let path = folder_of_repo(cache.path()).join("snapshots").join(COMMIT).join("x-Q8_0.gguf");
    assert!(fs::read(path).unwrap() == hub.files["x-Q8_0.gguf"]);
    // Each run went on where the one before was killed; of the last two one waited.
    let starts: Vec<usize> =
        hub.fetched()
            .iter()
            .map(|asked| {
                asked.headers.get("range").map_or(0, |range| {
                    range["bytes=".len()..].trim_end_matches('-').parse().unwrap()
                })
            })
            .collect();
    assert!(starts.is_sorted() && starts.len() <= 21, "{starts:?}");

    let fresh = TempDir::new().unwrap();
    let n_before = hub.fetched().len();
    let mut runs =
        [start(&hub, fresh.path()), start(&hub, fresh.path()), start(&hub, fresh.path())];
    assert!(runs.iter_mut().all(|run| run.wait().unwrap().success()));
    assert_eq!(hub.fetched().len(), n_before + 1);
}
