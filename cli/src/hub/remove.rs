//! The end of a model that is here.

use super::cache::{Here, Kept, cannot_write, incomplete};
use super::elsewhere;
use super::name::{HubName, Name, Which};
use super::settings::Settings;
use anyhow::{Context, Result, bail, ensure};
use gatefold::files::{folder_of, open_locked};
use gatefold::text::printable;
use std::fs::{self, File};
use std::path::Path;

/// What was removed.
#[derive(Default)]
pub struct Removed {
    /// The names of the models.
    pub names: Vec<String>,
    /// Bytes that are free now.
    pub n_bytes: u64,
}

/// Removes a model, and what of its repository this program has begun to fetch where no type is named.
/// What other models and other programs have stays; what others have begun goes with `all`.
///
/// # Errors
/// If it is not here, more than one is meant and not `all` are, or the system refuses.
pub fn remove(settings: &Settings, name: &Name, all: bool) -> Result<Removed> {
    let mut removed = Removed::default();
    match name {
        Name::Hub(name) => remove_of_hub(settings, name, all, &mut removed)?,
        Name::Url(url) => {
            let files = elsewhere::files_of(settings, url)?;
            ensure!(!files.is_empty(), "{}", not_here(name));
            for path in &files {
                removed.file(path)?;
            }
            elsewhere::tidy(settings, url)?;
            removed.names.push(url.clone());
        }
        Name::File(path) => bail!(
            "{} is a file, and none that `gatefold pull` has put here; delete it as you do other files",
            printable(path.display())
        ),
    }
    Ok(removed)
}

fn not_here(name: &Name) -> String {
    format!("{name} is not here; `gatefold list` has what is")
}

fn remove_of_hub(
    settings: &Settings,
    name: &HubName,
    all: bool,
    removed: &mut Removed,
) -> Result<()> {
    let here = Here::of(&settings.cache, &name.repo);
    let models = here.models().into_iter().chain(here.begun());
    let meant: Vec<Kept> = models.filter(|kept| kept.set.is(&name.which)).collect();
    let mut unfinished = if name.which == Which::Any { here.unfinished() } else { Vec::new() };
    ensure!(!meant.is_empty() || !unfinished.is_empty(), "{}", not_here(&Name::Hub(name.clone())));
    unfinished.retain(|(hash, _)| all || here.is_ours(hash));
    ensure!(
        !meant.is_empty() || !unfinished.is_empty(),
        "what is here of {} another program has begun to fetch; --all removes it",
        here.repo
    );
    let labels: Vec<String> = meant.iter().map(|kept| kept.set.label()).collect();
    ensure!(
        all || meant.len() <= 1,
        "of {} there are {}; name one, as {}:{}, or all with --all",
        here.repo,
        labels.join(", "),
        here.repo,
        labels[0]
    );
    for (hash, _) in unfinished {
        let lock = locked(&here, &hash)?;
        let lock = lock.with_context(|| {
            format!("another run is fetching from {}; stop it first", here.repo)
        })?;
        removed.file(&incomplete(&here.blob(&hash)))?;
        lock.set_len(0).with_context(|| cannot_write(&here.lock(&hash)))?;
    }
    for kept in meant {
        let paths: Vec<String> = kept.set.files.iter().map(|file| file.path.clone()).collect();
        for link in here.links(&paths) {
            removed.file(&link)?;
            // Folders that have something stay.
            let _ = fs::remove_dir(folder_of(&link));
        }
        removed.names.push(format!("{}:{}", here.repo, kept.set.label()));
    }
    // Who fetches a blob has its lock until it has a name.
    for hash in here.unused()? {
        if let Some(_lock) = locked(&here, &hash)? {
            removed.file(&here.blob(&hash))?;
        }
    }
    if here.names()?.is_empty() && here.unfinished().is_empty() {
        for folder in here.folders().into_iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).with_context(|| cannot_write(folder))?;
        }
    }
    Ok(())
}

/// The lock of a blob; none while another run has it.
fn locked(here: &Here, hash: &str) -> Result<Option<File>> {
    let lock = here.lock(hash);
    let made = fs::create_dir_all(folder_of(&lock)).and_then(|()| open_locked(&lock));
    made.with_context(|| cannot_write(&lock))
}

impl Removed {
    /// Removes a file, or a link.
    fn file(&mut self, path: &Path) -> Result<()> {
        let n_bytes = fs::symlink_metadata(path)
            .map_or(0, |there| if there.is_file() { there.len() } else { 0 });
        match fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => self.n_bytes += n_bytes,
        }
        Ok(())
    }
}
