//! The end of a model that is here.

use super::cache::{Here, Kept, cannot_write, incomplete};
use super::elsewhere;
use super::name::{HubName, Name, Which};
use super::settings::Settings;
use anyhow::{Context, Result, bail, ensure};
use gatefold::files::{folder_of, open_locked};
use gatefold::text::printable;
use std::fs;
use std::path::Path;

/// What was removed.
#[derive(Default)]
pub struct Removed {
    /// The names of the models.
    pub names: Vec<String>,
    /// Bytes that are free now.
    pub n_bytes: u64,
}

/// Removes a model, and what of its repository is unfinished where no type is named. What other models
/// and other programs have stays.
///
/// # Errors
/// If it is not here, more than one is meant and not `all` are, or the system refuses.
pub fn remove(settings: &Settings, name: &Name, all: bool) -> Result<Removed> {
    let mut removed = Removed::default();
    match name {
        Name::Hub(name) => remove_of_hub(settings, name, all, &mut removed)?,
        Name::Url(url) => {
            let kept = elsewhere::kept(settings, url)?.with_context(|| not_here(name))?;
            for file in &kept.set.files {
                removed.file(&kept.snapshot.join(&file.path))?;
            }
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
    let meant: Vec<Kept> =
        here.models().into_iter().filter(|kept| kept.set.is(&name.which)).collect();
    let unfinished = if name.which == Which::Any { here.unfinished() } else { Vec::new() };
    ensure!(!meant.is_empty() || !unfinished.is_empty(), "{}", not_here(&Name::Hub(name.clone())));
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
        let lock = here.lock(&hash);
        fs::create_dir_all(folder_of(&lock)).with_context(|| cannot_write(&lock))?;
        let locked = open_locked(&lock).with_context(|| cannot_write(&lock))?;
        ensure!(locked.is_some(), "another run is fetching from {}; stop it first", here.repo);
        removed.file(&incomplete(&here.blob(&hash)))?;
    }
    for kept in meant {
        let paths: Vec<String> = kept.set.files.iter().map(|file| file.path.clone()).collect();
        for link in here.links(&paths) {
            removed.file(&link)?;
            // Folders that have something stay.
            let _ = fs::remove_dir(folder_of(&link));
        }
        for file in &kept.set.files {
            if !file.blob.is_empty() && !here.is_used(&file.blob) {
                removed.file(&here.blob(&file.blob))?;
            }
        }
        removed.names.push(format!("{}:{}", here.repo, kept.set.label()));
    }
    if !here.has_names() && here.unfinished().is_empty() {
        for folder in here.folders().into_iter().filter(|folder| folder.exists()) {
            fs::remove_dir_all(folder).with_context(|| cannot_write(folder))?;
        }
    }
    Ok(())
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
