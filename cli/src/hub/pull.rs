//! From a name to a file that is here.

use super::api::{Listing, listing};
use super::cache::{Here, Kept, incomplete};
use super::choice::{Limits, choose};
use super::client::{Client, Trouble};
use super::elsewhere;
use super::fetch::{Wanted, check_space, fetch, free_space};
use super::meter::Meter;
use super::name::{HubName, Name};
use super::sets::{RepoFile, Set, sets};
use super::settings::Settings;
use super::url::escaped;
use crate::terminal::print_note;
use anyhow::{Context, Error, Result, bail, ensure};
use gatefold::text::bytes;
use std::fs;
use std::path::{Path, PathBuf};

/// A model that is here now.
pub struct Pulled {
    /// The file by which it is opened: of several parts the first.
    pub path: PathBuf,
    /// Its name, with the type: `user/repo:Q4_K_M`.
    pub name: String,
    /// The commit it is of.
    pub commit: Option<String>,
    /// Bytes of all its files.
    pub n_bytes: u64,
    /// Those that were fetched.
    pub n_fetched: u64,
}

/// The file that `-m` means, which is fetched where it is not here. Nobody is asked about what is.
///
/// # Errors
/// If it is neither here nor to be had.
pub fn model_file(model: &Path) -> Result<PathBuf> {
    let name = Name::of_model(model)?;
    if let Name::File(path) = name {
        return Ok(path);
    }
    let settings = Settings::from_env()?;
    let there = match &name {
        Name::Hub(name) => kept(&settings, name)?,
        Name::Url(url) => elsewhere::kept(&settings, url)?,
        Name::File(_) => None,
    };
    if let Some(kept) = there {
        return Ok(kept.path());
    }
    if !settings.is_offline {
        print_note(format_args!(
            "note: {name} is not here yet: it is fetched first, as `gatefold pull` does"
        ));
    }
    let pulled = pull(&settings, &name)?;
    print_note(format_args!("note: {}", pulled.told()));
    Ok(pulled.path)
}

/// Brings a model here, or what is missing of it.
///
/// # Errors
/// If it is not to be had, or is not what the hub says it is.
pub fn pull(settings: &Settings, name: &Name) -> Result<Pulled> {
    match name {
        Name::Hub(name) => pull_from_hub(settings, name).with_context(|| name.to_string()),
        Name::Url(url) => elsewhere::pull(settings, url),
        Name::File(path) => {
            bail!("{} is no model's name, but that of a file; -m takes it as it is", path.display())
        }
    }
}

/// The model that a name means, of those that are here.
fn kept(settings: &Settings, name: &HubName) -> Result<Option<Kept>> {
    let here = Here::of(&settings.cache, &name.repo);
    let models = here.models();
    let sets: Vec<Set> =
        models.iter().map(|kept| kept.set.clone()).filter(|set| set.is(&name.which)).collect();
    if sets.is_empty() {
        return Ok(None);
    }
    let limits = Limits { machine: settings.machine, free_space: 0, n_missing: &|_| 0 };
    let (set, why) = choose(&sets, &name.which, &name.repo, &limits)?;
    if let Some(why) = why {
        print_note(format_args!("note: of what is here of {}, {why}", name.repo));
    }
    Ok(models.into_iter().find(|kept| kept.set == *set))
}

fn pull_from_hub(settings: &Settings, name: &HubName) -> Result<Pulled> {
    let here = Here::of(&settings.cache, &name.repo);
    if settings.is_offline {
        let kept = kept(settings, name)?;
        let kept = kept.context(
            "it is not here, and HF_HUB_OFFLINE says that nobody is to be asked; unset it",
        )?;
        return Ok(there_already(&here, kept));
    }
    let client = Client::new(settings)?;
    let Listing { commit, files } = match listing(&client, settings, &name.repo) {
        Ok(listing) => listing,
        Err(Trouble::Unreachable(what)) => {
            let Some(kept) = kept(settings, name)? else {
                bail!(
                    "{what}, and it is not here; look whether there is a network, and whether HTTPS_PROXY is right"
                )
            };
            print_note(format_args!("note: {what}; what is here may not be the newest"));
            return Ok(there_already(&here, kept));
        }
        Err(Trouble::Final(error)) => return Err(error),
        Err(Trouble::Passing(what, _)) => return Err(Error::msg(what)),
    };
    let is_missing = |file: &&RepoFile| {
        let there = fs::metadata(here.place(&commit, file));
        !there.is_ok_and(|there| there.is_file() && there.len() == file.n_bytes)
    };
    let n_left = |file: &RepoFile| {
        let n_here =
            fs::metadata(incomplete(&here.blob(&file.blob))).map_or(0, |there| there.len());
        file.n_bytes.saturating_sub(n_here)
    };
    let n_missing =
        |set: &Set| set.files.iter().filter(is_missing).map(n_left).fold(0, u64::saturating_add);
    let free_space = free_space(settings, &settings.cache)?;
    let sets = sets(files);
    let limits = Limits { machine: settings.machine, free_space, n_missing: &n_missing };
    let (set, why) = choose(&sets, &name.which, &name.repo, &limits)?;
    if let Some(why) = why {
        print_note(format_args!("{}: {why}", name.repo));
    }
    ensure!(
        set.is_whole(),
        "the hub lists {} of {} parts of {}; take another type, or try again later",
        set.files.len(),
        set.n_parts,
        set.label()
    );
    check_space(settings, &settings.cache, n_missing(set), &set.label())?;
    let doing = if n_missing(set) > 0 { "fetching" } else { "checking" };
    let mut meter = Meter::new(format!("{doing} {}:{}", here.repo, set.label()), set.n_bytes());
    let n_fetched = fetch_set(settings, &client, &here, &commit, set, &mut meter)?;
    here.set_main(&commit)?;
    Ok(Pulled {
        path: here.snapshot(&commit).join(set.path()),
        name: format!("{}:{}", name.repo, set.label()),
        commit: Some(commit),
        n_bytes: set.n_bytes(),
        n_fetched,
    })
}

/// Fetches what is missing of a model, and gives each file its name once it is whole; tells how many
/// bytes came.
fn fetch_set(
    settings: &Settings,
    client: &Client,
    here: &Here,
    commit: &str,
    set: &Set,
    meter: &mut Meter,
) -> Result<u64> {
    let mut n_fetched = 0;
    for file in &set.files {
        let RepoFile { path, n_bytes, blob, sha256 } = file;
        let wanted = Wanted {
            name: path.clone(),
            url: format!("{}/{}/resolve/{commit}/{}", settings.endpoint, here.repo, escaped(path)),
            n_bytes: Some(*n_bytes),
            sha256: sha256.clone(),
            there: here.place(commit, file),
            place: here.blob(blob),
            lock: here.lock(blob),
        };
        n_fetched += fetch(client, settings, &wanted, meter)?;
        here.link(commit, path, blob)?;
    }
    Ok(n_fetched)
}

/// A model that was here.
fn there_already(here: &Here, kept: Kept) -> Pulled {
    Pulled {
        path: kept.path(),
        name: format!("{}:{}", here.repo, kept.set.label()),
        commit: kept.snapshot.file_name().map(|commit| commit.to_string_lossy().into_owned()),
        n_bytes: kept.set.n_bytes(),
        n_fetched: 0,
    }
}

impl Pulled {
    /// What was done, in a line.
    pub fn told(&self) -> String {
        match self.n_fetched {
            0 => format!("{} is here already ({})", self.name, bytes(self.n_bytes)),
            n_fetched => format!(
                "{} is here: {}, of which {} were fetched",
                self.name,
                bytes(self.n_bytes),
                bytes(n_fetched)
            ),
        }
    }
}
