//! Models of other servers: they lie in a folder of their own, by the address of theirs.
//!
//! Nobody has their hashes. What tells that a rest belongs to what has come is the server's mark of the
//! file's version; without one, a file that was cut is fetched from its start.

use super::cache::{INCOMPLETE, Kept, cannot_write, files};
use super::client::Client;
use super::fetch::{Wanted, fetch};
use super::meter::Meter;
use super::name::{has_ending, is_inside};
use super::pull::Pulled;
use super::sets::{part_names, sets};
use super::settings::Settings;
use super::url::{escaped, unescaped};
use anyhow::{Context, Result, ensure};
use gatefold::files::{open_locked, with_suffix};
use gatefold::text::{hex, printable};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

/// The folder with what other servers have, in the folder of models.
const FOLDER: &str = "gatefold-urls";

/// The file with the address of the folder that it is in.
const ADDRESS: &str = "address.txt";

/// An address, in three: the folder, the file, and what stands behind it.
fn split(url: &str) -> Result<(&str, &str, &str)> {
    let path_len = url.find(['?', '#']).unwrap_or(url.len());
    let (path, query) = url.split_at(path_len);
    let (address, name) = path.rsplit_once('/').context("an address without a path")?;
    Ok((address, name, query))
}

/// Where the files lie here whose folder has this address.
fn folder_of(settings: &Settings, address: &str) -> PathBuf {
    settings.cache.join(FOLDER).join(&hex(Sha256::digest(address))[..16])
}

/// The model at an address, if all of it is here.
pub fn kept(settings: &Settings, url: &str) -> Result<Option<Kept>> {
    let (address, name, _) = split(url)?;
    let folder = folder_of(settings, address);
    let plain = unescaped(name);
    let is_it = |kept: &Kept| kept.set.files.iter().any(|file| Some(&file.path) == plain.as_ref());
    Ok(models(&folder).into_iter().find(is_it))
}

/// All models of other servers that are here, with their addresses.
pub fn all(settings: &Settings) -> Vec<(String, Kept)> {
    let folders = fs::read_dir(settings.cache.join(FOLDER)).into_iter().flatten().flatten();
    let of_folder = |folder: PathBuf| {
        let address = fs::read_to_string(folder.join(ADDRESS)).unwrap_or_default();
        models(&folder)
            .into_iter()
            .map(move |kept| (format!("{address}/{}", escaped(kept.set.path())), kept))
    };
    folders.flat_map(|folder| of_folder(folder.path())).collect()
}

/// What has begun to come from other servers: addresses, and the files that are here of each.
pub fn begun(settings: &Settings) -> Vec<(String, Vec<PathBuf>)> {
    let folders = fs::read_dir(settings.cache.join(FOLDER)).into_iter().flatten().flatten();
    let of_folder = |folder: PathBuf| {
        let address = fs::read_to_string(folder.join(ADDRESS)).unwrap_or_default();
        let begun = begun_in(&folder).into_iter();
        begun.map(move |(name, paths)| (format!("{address}/{}", escaped(&name)), paths))
    };
    folders.flat_map(|folder| of_folder(folder.path())).collect()
}

/// What is unfinished in a folder: of each model the name of its first part, and the files there are.
fn begun_in(folder: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let models = models(folder);
    let mut begun: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let plain = name.strip_suffix(INCOMPLETE).unwrap_or(&name);
        let is_whole = plain == name && models.iter().any(|kept| kept.set.has(plain));
        if has_ending(plain) && !is_whole {
            begun.entry(part_names(plain).swap_remove(0)).or_default().push(entry.path());
        }
    }
    begun
}

/// The files that are here of a model at an address, whole or not.
///
/// # Errors
/// If it is no address of a model, or another run is fetching them.
pub fn files_of(settings: &Settings, url: &str) -> Result<Vec<PathBuf>> {
    let (address, name, _) = split(url)?;
    let folder = folder_of(settings, address);
    let kept = kept(settings, url)?.into_iter().flat_map(|kept| kept.set.files);
    let mut paths: Vec<PathBuf> = kept.map(|file| folder.join(file.path)).collect();
    let first = unescaped(name).map(|plain| part_names(&plain).swap_remove(0));
    let begun = first.and_then(|first| begun_in(&folder).remove(&first)).unwrap_or_default();
    for path in &begun {
        let lock = with_suffix(&path.with_extension(""), ".lock");
        let is_part = path.to_string_lossy().ends_with(INCOMPLETE);
        let is_free = || open_locked(&lock).map(|lock| lock.is_some());
        ensure!(
            !is_part || is_free().with_context(|| cannot_write(&lock))?,
            "another run is fetching {}; stop it first",
            printable(url)
        );
    }
    paths.extend(begun);
    Ok(paths)
}

/// Removes the folder of an address in which no model is any more.
///
/// # Errors
/// If the system refuses.
pub fn tidy(settings: &Settings, url: &str) -> Result<()> {
    let folder = folder_of(settings, split(url)?.0);
    let entries: io::Result<Vec<_>> = fs::read_dir(&folder).and_then(Iterator::collect);
    let cannot = || cannot_write(&folder);
    let is_beside = |entry: &DirEntry| {
        let name = entry.file_name();
        name == ADDRESS || Path::new(&name).extension().is_some_and(|ending| ending == "lock")
    };
    if entries.with_context(cannot)?.iter().all(is_beside) {
        fs::remove_dir_all(&folder).with_context(cannot)?;
    }
    Ok(())
}

fn models(folder: &Path) -> Vec<Kept> {
    let whole = sets(files(folder)).into_iter().filter(super::sets::Set::is_whole);
    whole.map(|set| Kept { set, snapshot: folder.into() }).collect()
}

/// Brings a model here, with all its parts.
///
/// # Errors
/// If it is not to be had.
pub fn pull(settings: &Settings, url: &str) -> Result<Pulled> {
    if let Some(kept) = kept(settings, url)? {
        return Ok(Pulled {
            path: kept.path(),
            name: url.into(),
            commit: None,
            n_bytes: kept.set.n_bytes(),
            n_fetched: 0,
        });
    }
    ensure!(
        !settings.is_offline,
        "{} is not here, and HF_HUB_OFFLINE says that nobody is to be asked; unset it",
        printable(url)
    );
    let (address, name, query) = split(url)?;
    let folder = folder_of(settings, address);
    fs::create_dir_all(&folder).with_context(|| cannot_write(&folder))?;
    let note = folder.join(ADDRESS);
    fs::write(&note, address).with_context(|| cannot_write(&note))?;
    let client = Client::new(settings)?;
    let mut pulled =
        Pulled { path: PathBuf::new(), name: url.into(), commit: None, n_bytes: 0, n_fetched: 0 };
    for part in part_names(name) {
        let plain = unescaped(&part)
            .filter(|plain| has_ending(plain) && is_inside(plain) && !plain.contains('/'));
        let plain = plain
            .with_context(|| format!("{} has no name that a file can have", printable(url)))?;
        let place = folder.join(&plain);
        let wanted = Wanted {
            name: plain.clone(),
            url: format!("{address}/{part}{query}"),
            n_bytes: None,
            sha256: None,
            lock: with_suffix(&place, ".lock"),
            there: place.clone(),
            place: place.clone(),
        };
        let mut meter = Meter::new(format!("fetching {plain}"), 0);
        pulled.n_fetched += fetch(&client, settings, &wanted, &mut meter)?;
        pulled.n_bytes += fs::metadata(&place).map_or(0, |there| there.len());
        if pulled.path.as_os_str().is_empty() {
            pulled.path = place;
        }
    }
    Ok(pulled)
}
