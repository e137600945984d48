//! One file, from wherever it is: resumed after every cut, and given its name once it is whole and right.

use super::cache::cannot_write;
use super::client::{Answer, Client, Trouble};
use super::meter::Meter;
use super::part::{Part, sha256_of};
use super::patience::Patience;
use super::settings::Settings;
use crate::terminal::print_note;
use anyhow::{Context, Result, anyhow, bail, ensure};
use gatefold::files::{folder_of, open_locked};
use gatefold::text::{bytes, printable, shortened};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// A file that is to be here.
pub struct Wanted {
    /// What it is called in messages.
    pub name: String,
    /// Where it comes from.
    pub url: String,
    /// Its length, where that is known beforehand.
    pub n_bytes: Option<u64>,
    /// Its hash, where that is known beforehand.
    pub sha256: Option<String>,
    /// Where it is to be.
    pub place: PathBuf,
    /// Where it is, if it is here already.
    pub there: PathBuf,
    /// Who has this locked fetches it.
    pub lock: PathBuf,
}

/// How often a file is begun again that is not what it should be.
const MOST_STARTS: usize = 3;

/// How often it is looked whether another run is done.
const LOOK: Duration = Duration::from_millis(100);

/// Fetches a file that is not here as it should be, or waits until another run has done so; tells how many
/// bytes came. What is there and is not right stays until what is right takes its place.
///
/// # Errors
/// If it does not come, or is not what it should be; then nothing gets its name.
pub fn fetch(
    client: &Client,
    settings: &Settings,
    wanted: &Wanted,
    meter: &mut Meter,
) -> Result<u64> {
    // Nothing is written, not even a lock, where nothing is missing.
    if wanted.is_here(meter)? {
        return Ok(0);
    }
    for path in [&wanted.place, &wanted.lock] {
        fs::create_dir_all(folder_of(path)).with_context(|| cannot_write(folder_of(path)))?;
    }
    let lock = wanted.wait_for_lock()?;
    if wanted.is_here(meter)? {
        return Ok(0);
    }
    if wanted.there.exists() {
        let there = wanted.there.display();
        meter.note(&format!("note: {there} is damaged, and is fetched again"));
    }
    let mut part = Part::open(&wanted.place, lock, meter)?;
    let n_begun = part.n_bytes;
    let mut patience = Patience::new(settings.pause);
    let mut n_starts = 0;
    loop {
        let n_before = part.n_bytes;
        let (what, wait) = match wanted.attempt(client, settings, &mut part, meter) {
            Ok(()) => {
                let Some(fault) = wanted.fault(&mut part) else { break };
                n_starts += 1;
                if part.is_of_one_answer || n_starts == MOST_STARTS {
                    part.discard()?;
                    bail!(
                        "what came as {} is not what it should be: {fault}; nothing of it is kept, try again later",
                        wanted.name
                    );
                }
                meter.note(&format!("note: what came as {} in pieces is not what it should be; it is fetched once more from its start", wanted.name));
                part.restart()?;
                continue;
            }
            Err(Trouble::Final(error)) => {
                // Of what has never come, nothing is begun; that it stays would be the lesser trouble.
                if part.n_bytes == 0 {
                    part.discard().ok();
                }
                return Err(error.context(format!("cannot fetch {}", wanted.name)));
            }
            Err(Trouble::Passing(what, wait)) => (what, wait),
            Err(Trouble::Unreachable(what)) => (what, None),
        };
        if part.n_bytes > n_before {
            patience.renew();
        }
        patience.wait(&what, wait).with_context(|| format!("cannot fetch {}", wanted.name))?;
    }
    let n_bytes = part.n_bytes;
    part.put_in_place()?;
    meter.next(n_bytes);
    Ok(n_bytes.saturating_sub(n_begun))
}

impl Wanted {
    /// Whether it is here, of the length and with the hash that are known of it.
    fn is_here(&self, meter: &mut Meter) -> Result<bool> {
        let Ok(there) = fs::metadata(&self.there) else { return Ok(false) };
        if !there.is_file() || self.n_bytes.is_some_and(|n_bytes| n_bytes != there.len()) {
            return Ok(false);
        }
        if let Some(sha256) = &self.sha256 {
            let found = sha256_of(&self.there, meter);
            if found.with_context(|| self.there.display().to_string())? != *sha256 {
                return Ok(false);
            }
        }
        meter.next(there.len());
        Ok(true)
    }

    /// Locks the file, once no other run has it.
    fn wait_for_lock(&self) -> Result<File> {
        let cannot = || format!("cannot lock {}", self.lock.display());
        let mut is_told = false;
        loop {
            if let Some(lock) = open_locked(&self.lock).with_context(cannot)? {
                return Ok(lock);
            }
            if !is_told {
                print_note(format_args!(
                    "note: another run is fetching {}; waiting for it",
                    self.name
                ));
                is_told = true;
            }
            thread::sleep(LOOK);
        }
    }

    /// Asks for what is missing, and takes as much as comes.
    fn attempt(
        &self,
        client: &Client,
        settings: &Settings,
        part: &mut Part,
        meter: &mut Meter,
    ) -> Result<(), Trouble> {
        let n_known = self.n_bytes.or(part.n_all);
        if n_known == Some(part.n_bytes) {
            return Ok(());
        }
        // Without a hash or a version, nothing would tell whether a rest belongs to what is here.
        let is_unknown = self.sha256.is_none() && part.version.is_none();
        if part.n_bytes > 0 && (is_unknown || n_known.is_some_and(|n_known| part.n_bytes > n_known))
        {
            part.restart().map_err(Trouble::Final)?;
        }
        let mut headers = vec![("accept-encoding", "identity".to_owned())];
        if part.n_bytes > 0 {
            headers.push(("range", format!("bytes={}-", part.n_bytes)));
            headers.extend(part.version.clone().map(|version| ("if-range", version)));
        }
        let answer = client.get(&self.url, &headers)?;
        let n_all = self.fits(&answer, part)?;
        self.prepare(&answer, settings, part, n_all, meter).map_err(Trouble::Final)?;
        let n_left = n_all - part.n_bytes;
        let came = part.take(answer.body.take(n_left), meter).map_err(Trouble::Final)?;
        match came {
            Ok(()) if part.n_bytes == n_all => Ok(()),
            Ok(()) => {
                Err(Trouble::Passing(self.cut("the connection was closed", part, n_all), None))
            }
            Err(error) => Err(Trouble::Passing(self.cut(&printable(error), part, n_all), None)),
        }
    }

    /// How long the file is whose rest this answer is, or all of it, for which the part is emptied.
    fn fits(&self, answer: &Answer, part: &mut Part) -> Result<u64, Trouble> {
        let again = |part: &mut Part, what: &str| {
            let what = format!("{} {what}", self.name);
            part.restart().map_or_else(Trouble::Final, |()| Trouble::Passing(what, None))
        };
        let (start, n_all) = match answer.status {
            206 => answer
                .header("content-range")
                .and_then(content_range)
                .ok_or_else(|| again(part, "came with a range that is not understood"))?,
            200 => (0, answer.header("content-length").and_then(|len| len.trim().parse().ok())),
            // All of it was here already, and nobody had said how long it is.
            _ if part.n_bytes > 0
                && answer.header("content-range") == Some(&format!("bytes */{}", part.n_bytes)) =>
            {
                (part.n_bytes, Some(part.n_bytes))
            }
            _ if part.n_bytes > 0 => return Err(again(part, "has no such range on the server")),
            _ => return Err(Trouble::Final(anyhow!("the server has no bytes of it (416)"))),
        };
        if answer.status == 200 && part.n_bytes > 0 {
            // It is another version now, or there are no ranges to be had.
            part.restart().map_err(Trouble::Final)?;
        }
        let version = answer.header("etag");
        let is_other = part.n_bytes > 0
            && version.is_some()
            && part.version.is_some()
            && version != part.version.as_deref();
        let is_short = n_all.is_some_and(|n_all| n_all < part.n_bytes);
        if start != part.n_bytes || is_other || is_short {
            return Err(again(part, "is not the same on the server any more"));
        }
        match (self.n_bytes.or(part.n_all), n_all) {
            (Some(known), Some(n_all)) if known == n_all => Ok(n_all),
            (Some(_), Some(_)) if self.sha256.is_none() => {
                Err(again(part, "has another length on the server now"))
            }
            (Some(listed), Some(n_all)) => Err(Trouble::Final(anyhow!(
                "it has {} by the hub's list, and {} by the server that has it; try again later",
                bytes(listed),
                bytes(n_all)
            ))),
            (Some(n_all), None) | (None, Some(n_all)) => Ok(n_all),
            (None, None) => Err(Trouble::Final(anyhow!(
                "the server does not say how long the file is, so that nobody could tell whether it is whole; fetch it with `curl -L -O {}`",
                printable(shortened(&self.url))
            ))),
        }
    }

    /// Takes note of what the answer says of the file.
    fn prepare(
        &self,
        answer: &Answer,
        settings: &Settings,
        part: &mut Part,
        n_all: u64,
        meter: &mut Meter,
    ) -> Result<()> {
        part.set_version(answer.header("etag"))?;
        if self.n_bytes.is_none() && part.n_all.is_none() {
            meter.set_all(n_all);
            check_space(settings, folder_of(&self.place), n_all - part.n_bytes, &self.name)?;
        }
        part.n_all = Some(n_all);
        // The hub marks versions of large files by their hash; marks of other servers may be anything.
        let tag = answer.header("x-linked-etag");
        let hash = tag.map(|tag| tag.trim_matches('"').to_ascii_lowercase());
        part.sha256_of_all = hash
            .filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Ok(())
    }

    /// What is wrong with what is here, which should be all: its hash is not the hub's, or where there
    /// is none, it does not even begin as GGUF files do.
    fn fault(&self, part: &mut Part) -> Option<String> {
        let expected = self.sha256.clone().or(part.sha256_of_all.clone());
        match expected {
            Some(sha256) => {
                (part.sha256() != sha256).then(|| format!("its SHA-256 is not {sha256}"))
            }
            None => {
                let is_gguf = part.start().is_ok_and(|start| start == *b"GGUF");
                (!is_gguf).then(|| "it does not begin as GGUF files do".into())
            }
        }
    }

    fn cut(&self, why: &str, part: &Part, n_all: u64) -> String {
        format!("{} was cut after {} of {}: {why}", self.name, bytes(part.n_bytes), bytes(n_all))
    }
}

/// The first byte of a range, and the length of the whole, from `bytes 5-9/10`.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, n_all) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-')?.0.parse().ok()?;
    Some((start, n_all.parse().ok()))
}

/// Bytes that are free where a folder is, or will be.
pub fn free_space(settings: &Settings, folder: &Path) -> Result<u64> {
    let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    (settings.free_space)(there).with_context(|| cannot_write(folder))
}

/// Whether so much more finds place in a folder.
pub fn check_space(settings: &Settings, folder: &Path, n_bytes: u64, name: &str) -> Result<()> {
    let free = free_space(settings, folder)?;
    ensure!(
        n_bytes <= free,
        "{name} takes {} more, and {} are free where {} is; make room (`gatefold list`, `gatefold rm`), or set HF_HOME to a folder on another disk",
        bytes(n_bytes),
        bytes(free),
        folder.display()
    );
    Ok(())
}
