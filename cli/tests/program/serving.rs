//! A server with the small random Mixtral of the batches, and a plain client.

use crate::batches::{Workplace, request, with};
use crate::program;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything here takes.
pub const LONG: Duration = Duration::from_secs(120);

/// A server at work.
pub struct Serving {
    pub place: Workplace,
    pub address: SocketAddr,
    child: Child,
}

impl Serving {
    /// `gatefold serve` with these arguments, once it is ready.
    pub fn new(args: &[&str]) -> Serving {
        Serving::at(Workplace::new(), args)
    }

    /// Another with these arguments, in the place of this one, which is killed.
    pub fn again(mut self, args: &[&str]) -> Serving {
        self.stop();
        let folder = mem::replace(&mut self.place.folder, tempfile::tempdir().unwrap());
        Serving::at(Workplace { folder }, args)
    }

    /// Kills it.
    pub fn stop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same in this place.
    pub fn at(place: Workplace, args: &[&str]) -> Serving {
        let command = command(&place, args);
        Serving::of(place, command)
    }

    /// A server that is started so.
    pub fn of(place: Workplace, mut command: Command) -> Serving {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let address = ready_at(&mut stderr);
        // Notes are to find a reader.
        thread::spawn(move || stderr.lines().for_each(drop));
        Serving { place, address, child }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Json) -> Reply {
        self.send("POST", path, &[], body.to_string().as_bytes())
    }

    /// The answer to a request in the form of a batch's line.
    pub fn ask(&self, line: &Json) -> Json {
        let reply = self.post(line["url"].as_str().unwrap(), &line["body"]);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Sends a request on a connection of its own, and reads the whole reply.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        Client::new(self.address, method, path, headers, body).reply()
    }

    /// Sends a file, and returns what is known of it.
    pub fn upload(&self, bytes: &[u8]) -> Json {
        let reply = self.send_form(&[
            ("name=\"purpose\"", b"batch"),
            ("name=\"file\"; filename=\"in.jsonl\"", bytes),
        ]);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Sends a form to `/v1/files`: what the parts are called, and what they have.
    pub fn send_form(&self, parts: &[(&str, &[u8])]) -> Reply {
        let mut body = Vec::new();
        for (name, content) in parts {
            let head = format!("--form\r\nContent-Disposition: form-data; {name}\r\n\r\n");
            body.extend([head.as_bytes(), content, b"\r\n"].concat());
        }
        body.extend(b"--form--\r\n");
        let form = [("Content-Type", "multipart/form-data; boundary=form")];
        self.send("POST", "/v1/files", &form, &body)
    }

    /// Begins a request whose reply is read later, or never.
    pub fn begin(&self, line: &Json) -> Client {
        let body = line["body"].to_string();
        let url = line["url"].as_str().unwrap();
        Client::new(self.address, "POST", url, &[], body.as_bytes())
    }

    /// A figure of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let page = self.get("/metrics").text();
        let name = format!("gatefold_{name} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name} is not in {page}")).parse().unwrap()
    }

    /// Waits until a figure is what it is expected to be.
    #[track_caller]
    pub fn wait_for(&self, name: &str, expected: impl Fn(f64) -> bool) {
        let start = Instant::now();
        while !expected(self.metric(name)) {
            assert!(start.elapsed() < LONG, "{name} is {}", self.metric(name));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `gatefold serve` with the model of a place, at a port that is free.
pub fn command(place: &Workplace, args: &[&str]) -> Command {
    let mut command = program::command();
    command.current_dir(place.folder.path());
    command.args(["serve", "-m", "model.gguf", "-t", "1", "--port", "0"]).args(args);
    command
}

/// Reads notes until the server is ready, and returns its address.
fn ready_at(stderr: &mut BufReader<ChildStderr>) -> SocketAddr {
    let mut said = String::new();
    loop {
        let start = said.len();
        assert!(stderr.read_line(&mut said).unwrap() > 0, "it has ended: {said}");
        let line = said[start..].trim_end();
        if let Some(rest) = line.strip_prefix("ready: ") {
            let (_, url) = rest.split_once("http://").unwrap();
            return url.strip_suffix("/v1").unwrap().parse().unwrap();
        }
    }
}

/// A request that was sent.
pub struct Client {
    reader: BufReader<TcpStream>,
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Client {
    pub fn new(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Client {
        let mut head = format!("{method} {path} HTTP/1.1\r\n");
        let is_given = |name: &str| headers.iter().any(|(given, _)| *given == name);
        if !is_given("Host") {
            head += &format!("Host: {address}\r\n");
        }
        if !is_given("Content-Length") {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "Connection: close\r\n\r\n";
        Client::raw(address, &[head.as_bytes(), body].concat())
    }

    /// Sends these bytes, as far as they are taken.
    pub fn raw(address: SocketAddr, bytes: &[u8]) -> Client {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        let _ = stream.write_all(bytes);
        Client { reader: BufReader::new(stream) }
    }

    /// Reads status and headers.
    pub fn head(&mut self) -> (u16, BTreeMap<String, String>) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let status = lines.next().expect("there is a reply");
        let status = status.split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: String| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_lowercase(), value.to_owned())
        };
        (status, lines.map(header).collect())
    }

    /// Reads all of it.
    pub fn reply(mut self) -> Reply {
        let (status, headers) = self.head();
        let body = match headers.contains_key("transfer-encoding") {
            true => self.chunks(),
            false => {
                let mut body = Vec::new();
                self.reader.read_to_end(&mut body).unwrap();
                body
            }
        };
        Reply { status, headers, body }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            let len = usize::from_str_radix(line.trim_end(), 16).unwrap();
            let mut chunk = vec![0; len + 2];
            self.reader.read_exact(&mut chunk).unwrap();
            body.extend(&chunk[..len]);
            if len == 0 {
                return body;
            }
        }
    }

    /// The next line of a stream that is neither empty nor a length; none at its end.
    pub fn line(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            if line.starts_with("data: ") || line.starts_with(':') {
                return Some(line.trim_end().to_owned());
            }
        }
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}", self.text()))
    }

    /// The events of a stream, which must have come to its end.
    #[track_caller]
    pub fn events(&self) -> Vec<Json> {
        let text = self.text();
        assert_eq!(self.headers["content-type"], "text/event-stream", "{text}");
        let mut data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        assert_eq!(data.next_back(), Some("[DONE]"));
        data.map(|data| serde_json::from_str(data).unwrap()).collect()
    }

    /// The code of the error that it is.
    #[track_caller]
    pub fn code(&self) -> String {
        let error = &self.json()["error"];
        assert!(error["message"].is_string() && error["type"].is_string(), "{error}");
        error["code"].as_str().unwrap().to_owned()
    }
}

/// A request whose answer comes to no end of its own within a test: it may not say `</s>`.
pub fn endless(stream: bool) -> Json {
    let body = json!({
        "messages": [{"role": "user", "content": "Why?"}],
        "logit_bias": {"2": -100},
        "stream": stream,
        "seed": 1,
    });
    request("endless", "/v1/chat/completions", body)
}

/// The same with an end after so many tokens.
pub fn lasting(n_tokens: usize, stream: bool) -> Json {
    with(endless(stream), "max_tokens", n_tokens)
}
