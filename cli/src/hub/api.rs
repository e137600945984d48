//! What the hub says of a repository: its last commit, and the files of that.

use super::client::{Client, Trouble};
use super::name::{Repo, has_ending, is_inside};
use super::patience::Patience;
use super::sets::RepoFile;
use super::settings::Settings;
use super::url::joined;
use anyhow::{Context, Result, anyhow, ensure};
use gatefold::text::{printable, shortened};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::Read;

/// The end of the road for one answer: the longest lists are far shorter.
const MOST_BYTES: u64 = 32 << 20;

/// Pages of a list that are read at most.
const MOST_PAGES: usize = 200;

/// What a repository has.
pub struct Listing {
    /// Its last commit.
    pub commit: String,
    /// The GGUF files of that.
    pub files: Vec<RepoFile>,
}

#[derive(Deserialize)]
struct Revision {
    sha: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    oid: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// Asks the hub what a repository has.
///
/// # Errors
/// If it does not say, or says what cannot be understood.
pub fn listing(client: &Client, settings: &Settings, repo: &Repo) -> Result<Listing, Trouble> {
    let api = format!("{}/api/models/{repo}", settings.endpoint);
    let (revision, _) = json::<Revision>(client, settings, &format!("{api}/revision/main"))?;
    let commit = revision.sha;
    let is_hash =
        (1..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !is_hash {
        return Err(Trouble::Final(anyhow!(
            "the hub says that the last commit of {repo} is {}, which can be none",
            quoted(&commit)
        )));
    }
    let mut next = Some(format!("{api}/tree/{commit}?recursive=true"));
    let mut files = Vec::new();
    for _ in 0..MOST_PAGES {
        let Some(url) = next else { break };
        let (entries, after) = json::<Vec<Entry>>(client, settings, &url)?;
        for entry in entries {
            files.extend(entry.file(repo).map_err(Trouble::Final)?);
        }
        next = after;
    }
    if next.is_some() {
        return Err(Trouble::Final(anyhow!(
            "the hub's list of what is in {repo} has more than {MOST_PAGES} pages, too many to read; name another repository"
        )));
    }
    Ok(Listing { commit, files })
}

impl Entry {
    /// The file; none if it is no model's, or would not stay in its folder.
    fn file(self, repo: &Repo) -> Result<Option<RepoFile>> {
        if self.kind != "file" || !has_ending(&self.path) || !is_inside(&self.path) {
            return Ok(None);
        }
        let (hash, n_bytes, len) = match &self.lfs {
            Some(lfs) => (lfs.oid.trim_start_matches("sha256:"), lfs.size, 64),
            None => (self.oid.as_deref().unwrap_or_default(), self.size, 40),
        };
        let is_hash =
            hash.len() == len && hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        ensure!(
            is_hash,
            "the hub says that {} of {repo} has the hash {}, which can be none",
            quoted(&self.path),
            quoted(hash)
        );
        let sha256 = self.lfs.is_some().then(|| hash.to_owned());
        Ok(Some(RepoFile { blob: hash.into(), path: self.path, n_bytes, sha256 }))
    }
}

/// What the hub answers, and the address of the next page.
fn json<T: DeserializeOwned>(
    client: &Client,
    settings: &Settings,
    url: &str,
) -> Result<(T, Option<String>), Trouble> {
    let mut patience = Patience::new(settings.pause);
    loop {
        match try_json(client, url) {
            Err(Trouble::Passing(what, wait)) => {
                patience.wait(&what, wait).map_err(Trouble::Final)?
            }
            other => return other,
        }
    }
}

fn try_json<T: DeserializeOwned>(
    client: &Client,
    url: &str,
) -> Result<(T, Option<String>), Trouble> {
    let answer = client.get(url, &[])?;
    let next = answer.header("link").and_then(next_page).map(|next| joined(url, next));
    let mut text = Vec::new();
    let read = answer.body.take(MOST_BYTES).read_to_end(&mut text);
    read.map_err(|error| Trouble::Passing(format!("the answer was cut: {error}"), None))?;
    let value = serde_json::from_slice(&text).with_context(|| {
        let start = String::from_utf8_lossy(&text[..text.len().min(200)]);
        format!("the hub's answer is not understood: {}", quoted(&start))
    });
    Ok((value.map_err(Trouble::Final)?, next))
}

/// The address of the next page in the header `Link`: `<https://...>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let of_next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    Some(of_next.split_once('<')?.1.split_once('>')?.0)
}

fn quoted(text: &str) -> String {
    format!("`{}`", printable(shortened(text)))
}
