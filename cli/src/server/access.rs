//! Who may ask.
//!
//! A page from anywhere can send requests to this machine through its visitor's browser. What keeps it
//! out: the name that it has reached the server by (`Host`), which is its own where its address was made
//! to point here (DNS rebinding), and where it comes from (`Origin`). Beyond this machine there is a key.

use super::page;
use crate::openai::{Fault, quoted};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header, uri::Authority};
use gatefold::text::printable;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The one path of the API that is open to all: whoever restarts servers looks there.
const OPEN_PATH: &str = "/health";

/// Who may ask.
#[derive(Debug, Default)]
pub struct Access {
    /// Hashes of the keys; without any, none is asked for.
    keys: HashSet<[u8; 32]>,
    /// Names by which the server may be reached, beside those of this machine and addresses.
    hosts: Vec<String>,
    /// Where pages may come from; `*` is anywhere.
    origins: Vec<String>,
}

/// Why it is not clear who may ask.
#[derive(Debug, Error)]
pub enum AccessError {
    /// The keys cannot be read.
    #[error("{} cannot be read: {error}", printable(path.display()))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// There are none.
    #[error("{} has no key; expected one on each line", printable(path.display()))]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// An origin that no browser would send.
    #[error(
        "--cors-origin is {}; expected * or what browsers send, as https://chat.example.org",
        printable(origin)
    )]
    Origin {
        /// What was given.
        origin: String,
    },
}

impl Access {
    /// For pages of these origins, by these names beside this machine's.
    ///
    /// # Errors
    /// If an origin is none.
    pub fn new(hosts: Vec<String>, origins: Vec<String>) -> Result<Access, AccessError> {
        let is_origin = |origin: &&String| {
            let site = origin.split_once("://").map(|(_, site)| site);
            let is_site = site.is_some_and(|site| !site.is_empty() && !site.contains('/'));
            *origin == "*" || is_site && HeaderValue::from_str(origin).is_ok()
        };
        if let Some(origin) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(AccessError::Origin { origin: origin.clone() });
        }
        Ok(Access { keys: HashSet::new(), hosts, origins })
    }

    /// For those alone who have one of the keys in a file, a key on each line.
    ///
    /// # Errors
    /// If there is none.
    pub fn with_keys(self, path: &Path) -> Result<Access, AccessError> {
        let text = fs::read_to_string(path)
            .map_err(|error| AccessError::Unreadable { path: path.into(), error })?;
        let keys = text.lines().map(str::trim).filter(|key| !key.is_empty());
        let keys: HashSet<_> = keys.map(hash).collect();
        match keys.is_empty() {
            true => Err(AccessError::NoKey { path: path.into() }),
            false => Ok(Access { keys, ..self }),
        }
    }

    /// That a request may be answered.
    ///
    /// # Errors
    /// If it may not.
    pub(super) fn check(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<(), Fault> {
        let host = self.check_host(uri, headers)?;
        check_encoding(headers)?;
        self.check_origin(&host, headers)?;
        // A browser's question whether it may ask has no key, nor has who opens the page, which then
        // asks for one.
        let is_open =
            uri.path() == OPEN_PATH || page::is_part(uri.path()) || method == Method::OPTIONS;
        if is_open || self.keys.is_empty() || self.has_key(headers) {
            return Ok(());
        }
        let message = match headers.contains_key(header::AUTHORIZATION) {
            true => "the API key is wrong",
            false => "there is no API key; expected a header `Authorization: Bearer KEY`",
        };
        Err(Fault::new("invalid_api_key", message).with_status(401))
    }

    /// The headers by which a browser lets the page of a request see the answer, if it may: who may, and
    /// the rest where it asks beforehand.
    pub(super) fn cors(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(header::ORIGIN)?;
        if self.origins.iter().any(|known| known == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().any(|known| known == origin).then(|| origin.clone())
    }

    /// The name by which the server was reached.
    fn check_host(&self, uri: &Uri, headers: &HeaderMap) -> Result<Authority, Fault> {
        if headers.get_all(header::HOST).iter().nth(1).is_some() {
            return Err(Fault::new("invalid_host", "there is more than one header `Host`"));
        }
        let told = || headers.get(header::HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let Some(host) = uri.authority().cloned().or_else(told) else {
            return Err(Fault::new("invalid_host", "there is no header `Host` that names a host"));
        };
        let name = host.host().trim_end_matches('.').to_ascii_lowercase();
        let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let is_local = name == "localhost" || name.ends_with(".localhost");
        let is_known = self.hosts.iter().any(|known| known.eq_ignore_ascii_case(&name));
        if is_address || is_local || is_known {
            return Ok(host);
        }
        let name = quoted(&name.into());
        let message = format!(
            "the server is asked by the name {name}, which it does not know as its own (--allowed-host names another)"
        );
        Err(Fault::new("invalid_host", message).with_status(403))
    }

    /// That the request comes from no page, from one of ours, or from one that may ask.
    fn check_origin(&self, host: &Authority, headers: &HeaderMap) -> Result<(), Fault> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
        let site = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        let is_ours = site.is_some_and(|(_, site)| site.eq_ignore_ascii_case(host.as_str()));
        if is_ours || self.cors(headers).is_some() {
            return Ok(());
        }
        let origin = quoted(&String::from_utf8_lossy(origin.as_bytes()).into());
        let message =
            format!("the request comes from a page of {origin} (--cors-origin lets pages ask)");
        Err(Fault::new("invalid_origin", message).with_status(403))
    }

    fn has_key(&self, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = bearer.and_then(|value| value.split_once(' '));
        // Hashes are compared, so that the time tells nothing of the keys.
        key.is_some_and(|(scheme, key)| {
            scheme.eq_ignore_ascii_case("bearer") && self.keys.contains(&hash(key.trim()))
        })
    }
}

/// That a body is what it is, and not compressed.
fn check_encoding(headers: &HeaderMap) -> Result<(), Fault> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let Some(other) =
        encodings.find(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
    else {
        return Ok(());
    };
    let other = quoted(&String::from_utf8_lossy(other.as_bytes()).into());
    let message = format!("the body has the encoding {other}; expected none");
    Err(Fault::new("unsupported_encoding", message).with_status(415))
}

fn hash(key: &str) -> [u8; 32] {
    Sha256::digest(key).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(access: &Access, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: header::HeaderName = name.parse().unwrap();
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let uri = Uri::from_static("/v1/models");
        access.check(&Method::GET, &uri, &map).map_or_else(|fault| fault.status, |()| 200)
    }

    #[test]
    fn a_server_is_asked_by_its_own_names() {
        let access = Access::new(vec!["box.example".into()], Vec::new()).unwrap();
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "a.localhost:5"] {
            assert_eq!(check(&access, &[("host", host)]), 200, "{host}");
        }
        for host in ["Box.Example.", "box.example:8080", "192.168.3.4"] {
            assert_eq!(check(&access, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert_eq!(check(&access, &[("host", host)]), 403, "{host}");
        }
        assert_eq!(check(&access, &[]), 400);
        assert_eq!(check(&access, &[("host", "a b")]), 400);
        assert_eq!(check(&access, &[("host", "localhost"), ("host", "localhost")]), 400);
    }

    #[test]
    fn bodies_are_not_compressed() {
        let with = |encoding| {
            check(&Access::default(), &[("host", "localhost"), ("content-encoding", encoding)])
        };
        assert_eq!((with("Identity"), with("gzip"), with("zstd, identity")), (200, 415, 415));
    }

    #[test]
    fn pages_ask_where_they_may() {
        let host = ("host", "localhost:8080");
        let from = |access: &Access, origin| check(access, &[host, ("origin", origin)]);
        let access = Access::new(Vec::new(), vec!["https://chat.example".into()]).unwrap();
        assert_eq!(from(&access, "http://localhost:8080"), 200);
        assert_eq!(from(&access, "https://chat.example"), 200);
        for origin in ["http://localhost:9", "https://chat.example.evil", "null", "http://evil"] {
            assert_eq!(from(&access, origin), 403, "{origin}");
        }
        let any = Access::new(Vec::new(), vec!["*".into()]).unwrap();
        assert_eq!(from(&any, "null"), 200);
        for origin in ["chat.example", "https://chat.example/", "https://", "https://a\nb"] {
            assert!(Access::new(Vec::new(), vec![origin.into()]).is_err(), "{origin}");
        }
    }

    #[test]
    fn keys_are_asked_for_where_there_are_some() {
        let mut access = Access::default();
        access.keys.extend(["one", "two"].map(hash));
        let host = ("host", "localhost");
        let with = |authorization| check(&access, &[host, ("authorization", authorization)]);
        assert_eq!((with("Bearer one"), with("bearer  two")), (200, 200));
        for wrong in ["Bearer three", "Bearer ", "one", "Basic one", "Bearer one two"] {
            assert_eq!(with(wrong), 401, "{wrong}");
        }
        assert_eq!(check(&access, &[host]), 401);
    }
}
