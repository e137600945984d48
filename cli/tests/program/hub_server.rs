//! A hub of our own on loopback: one repository, and a second server that has what is in its files.

use gatefold::text::hex;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

pub const REPO: &str = "some-user/Some_Model-GGUF";
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Whether it was the second server.
    pub is_store: bool,
    pub path: String,
    pub headers: BTreeMap<String, String>,
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// After so many bytes of the body, the connection is closed.
    pub cut: Option<usize>,
    /// The pause after each 4 KiB.
    pub pause: Duration,
}

/// A hub that runs as long as the tests do.
pub struct Hub {
    pub endpoint: String,
    /// The address of the second server.
    pub store: String,
    pub files: BTreeMap<String, Vec<u8>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What changes an answer before it is sent; it is told how many answers of the same server there were.
type Mood = Box<dyn Fn(&Asked, usize, Reply) -> Reply + Send + Sync>;

impl Hub {
    /// A hub with these files.
    pub fn new(files: &[(&str, Vec<u8>)]) -> Hub {
        Hub::in_mood(files, |_, _, reply| reply)
    }

    pub fn in_mood(
        files: &[(&str, Vec<u8>)],
        mood: impl Fn(&Asked, usize, Reply) -> Reply + Send + Sync + 'static,
    ) -> Hub {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.clone())).collect();
        let listeners = [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let store = format!("http://{}", listeners[1].local_addr().unwrap());
        let endpoint = format!("http://{}", listeners[0].local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mood: Arc<Mood> = Arc::new(Box::new(mood));
        for (is_store, listener) in [false, true].into_iter().zip(listeners) {
            let (files, asked, store, mood) =
                (files.clone(), Arc::clone(&asked), store.clone(), Arc::clone(&mood));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (files, asked, store, mood) =
                        (files.clone(), Arc::clone(&asked), store.clone(), Arc::clone(&mood));
                    // Whoever asks may be killed.
                    thread::spawn(move || serve(&stream, is_store, &files, &asked, &store, &mood));
                }
            });
        }
        Hub { endpoint, store, files, asked }
    }

    /// All that was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was asked of the second server.
    pub fn fetched(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.is_store).collect()
    }
}

fn serve(
    stream: &TcpStream,
    is_store: bool,
    files: &BTreeMap<String, Vec<u8>>,
    asked: &Mutex<Vec<Asked>>,
    store: &str,
    mood: &Mood,
) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_owned();
    let header = |line: String| {
        line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
    };
    let headers = lines.map_while(Result::ok).map_while(header).collect();
    let question = Asked { is_store, path, headers };
    let n_before = {
        let mut asked = asked.lock().unwrap();
        let n_before = asked.iter().filter(|asked| asked.is_store == is_store).count();
        asked.push(question.clone());
        n_before
    };
    let reply =
        if is_store { from_store(&question, files) } else { from_hub(&question, files, store) };
    let Reply { status, headers, body, cut, pause } = mood(&question, n_before, reply);
    let mut stream = stream;
    let mut head = format!("HTTP/1.1 {status} So\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name == "Content-Length") {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
    for chunk in body[..cut.unwrap_or(body.len()).min(body.len())].chunks(4096) {
        stream.write_all(chunk).ok()?;
        thread::sleep(pause);
    }
    Some(())
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

fn from_hub(asked: &Asked, files: &BTreeMap<String, Vec<u8>>, store: &str) -> Reply {
    let json = |value: serde_json::Value| Reply {
        status: 200,
        body: value.to_string().into(),
        ..Reply::default()
    };
    let path = asked.path.split('?').next().unwrap();
    if path == format!("/api/models/{REPO}/revision/main") {
        return json(json!({ "id": REPO, "sha": COMMIT, "siblings": [] }));
    }
    if path == format!("/api/models/{REPO}/tree/{COMMIT}") {
        let entries = files.iter().map(|(path, bytes)| {
            let hash = sha256(bytes);
            json!({
                "type": "file", "path": path, "size": bytes.len(), "oid": &hash[..40],
                "lfs": { "oid": hash, "size": bytes.len(), "pointerSize": 134 },
            })
        });
        return json(entries.collect());
    }
    let start = format!("/{REPO}/resolve/{COMMIT}/");
    match path.strip_prefix(&start).and_then(|path| files.get(&path.replace("%20", " "))) {
        Some(bytes) => {
            let location = format!("{store}/signed/{}?key=secret", sha256(bytes));
            let headers = vec![
                ("Location".into(), location),
                ("X-Linked-Etag".into(), format!("\"{}\"", sha256(bytes))),
            ];
            Reply { status: 302, headers, ..Reply::default() }
        }
        None => Reply { status: 404, ..Reply::default() },
    }
}

/// What is in the file with this hash, or in the one of this name.
fn from_store(asked: &Asked, files: &BTreeMap<String, Vec<u8>>) -> Reply {
    let name = asked.path.split('?').next().unwrap().rsplit('/').next().unwrap();
    let is_meant = |(path, bytes): &(&String, &Vec<u8>)| *path == name || sha256(bytes) == name;
    match files.iter().find(is_meant) {
        Some((_, bytes)) => ranged(asked, bytes, "\"v1\""),
        None => Reply { status: 404, ..Reply::default() },
    }
}

/// A file of this version, or the range of it that was asked for.
pub fn ranged(asked: &Asked, bytes: &[u8], version: &str) -> Reply {
    let is_same = asked.headers.get("if-range").is_none_or(|wanted| wanted == version);
    let range = asked.headers.get("range").filter(|_| is_same);
    let start = range.map(|range| range["bytes=".len()..].trim_end_matches('-').parse().unwrap());
    let tag = ("ETag".to_owned(), version.to_owned());
    let range =
        |range: String| ("Content-Range".to_owned(), format!("bytes {range}/{}", bytes.len()));
    match start {
        None => Reply { status: 200, headers: vec![tag], body: bytes.into(), ..Reply::default() },
        Some(start) if start < bytes.len() => {
            let range = range(format!("{start}-{}", bytes.len() - 1));
            Reply {
                status: 206,
                headers: vec![tag, range],
                body: bytes[start..].into(),
                ..Reply::default()
            }
        }
        Some(_) => Reply { status: 416, headers: vec![range("*".into())], ..Reply::default() },
    }
}
