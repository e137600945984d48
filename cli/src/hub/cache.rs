//! The folder of models, as `huggingface_hub` and llama.cpp have it:
//!
//! ```text
//! models--user--repo/blobs/HASH                  what is in a file
//! models--user--repo/blobs/HASH.incomplete       as much of it as has come
//! models--user--repo/refs/main                   the commit that was last fetched from
//! models--user--repo/snapshots/COMMIT/PATH       a link to a blob
//! .locks/models--user--repo/HASH.lock            who fetches a blob has this
//! ```

use super::name::{Repo, has_ending};
use super::sets::{RepoFile, Set, sets};
use anyhow::{Context, Result};
use gatefold::files::{folder_of, replace, sync_folder, with_suffix};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use walkdir::{DirEntry, WalkDir};

/// A repository's part of the folder of models.
#[derive(Debug)]
pub struct Here {
    /// The repository.
    pub repo: Repo,
    folder: PathBuf,
    locks: PathBuf,
}

/// A model that is here.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Its files; of each the blob is the name that its link leads to.
    pub set: Set,
    /// The folder in which the paths of its files are.
    pub snapshot: PathBuf,
}

impl Kept {
    /// The path by which it is opened.
    pub fn path(&self) -> PathBuf {
        self.snapshot.join(self.set.path())
    }
}

impl Here {
    /// Of a repository.
    pub fn of(cache: &Path, repo: &Repo) -> Here {
        let folder = repo.folder();
        Here {
            repo: repo.clone(),
            locks: cache.join(".locks").join(&folder),
            folder: cache.join(folder),
        }
    }

    /// Of all repositories of which there is something, in the order of their names.
    pub fn all(cache: &Path) -> Vec<Here> {
        let entries = fs::read_dir(cache).into_iter().flatten().flatten();
        let repo = |entry: fs::DirEntry| Repo::of_folder(entry.file_name().to_str()?);
        let mut repos: Vec<Repo> = entries.filter_map(repo).collect();
        repos.sort_by_cached_key(Repo::folder);
        repos.iter().map(|repo| Here::of(cache, repo)).collect()
    }

    /// Where a blob is.
    pub fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    /// Where what is in a file of a commit is, if it is here: its blob, or where there is none and no
    /// links are made, the file itself. A link leads to another blob, which is another file's.
    pub fn place(&self, commit: &str, file: &RepoFile) -> PathBuf {
        let (blob, named) = (self.blob(&file.blob), self.snapshot(commit).join(&file.path));
        let is_file = || fs::symlink_metadata(&named).is_ok_and(|there| there.is_file());
        if !blob.exists() && is_file() { named } else { blob }
    }

    /// Where the lock of a blob is.
    pub fn lock(&self, hash: &str) -> PathBuf {
        self.locks.join(format!("{hash}.lock"))
    }

    /// The folders of this repository: of its files, and of its locks.
    pub fn folders(&self) -> [&Path; 2] {
        [&self.folder, &self.locks]
    }

    /// The models of which all parts are here, each once, those of the last commit first.
    pub fn models(&self) -> Vec<Kept> {
        let mut models: Vec<Kept> = Vec::new();
        for snapshot in self.snapshots() {
            let whole = sets(files(&snapshot)).into_iter().filter(Set::is_whole);
            for set in whole {
                let is_same = |kept: &Kept| kept.set.path() == set.path();
                if !models.iter().any(is_same) {
                    models.push(Kept { set, snapshot: snapshot.clone() });
                }
            }
        }
        models
    }

    /// The folders of commits: the last one that was fetched from, then the others, newest first.
    fn snapshots(&self) -> Vec<PathBuf> {
        let folder = self.folder.join("snapshots");
        let main = fs::read_to_string(self.folder.join("refs/main")).unwrap_or_default();
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut snapshots: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        snapshots.sort_by_cached_key(|path| {
            let is_main = path.file_name() == Some(OsStr::new(main.trim()));
            let changed = fs::metadata(path).and_then(|there| there.modified());
            (is_main, changed.unwrap_or(SystemTime::UNIX_EPOCH))
        });
        snapshots.reverse();
        snapshots
    }

    /// All names of files with one of these paths, in all snapshots.
    pub fn links(&self, paths: &[String]) -> Vec<PathBuf> {
        let snapshots = self.snapshots().into_iter();
        let names = snapshots.flat_map(|snapshot| names(&snapshot));
        names.filter(|(path, _)| paths.contains(path)).map(|(_, full)| full).collect()
    }

    /// Whether any name, of models or of what else there is, leads to a blob.
    pub fn is_used(&self, blob: &str) -> bool {
        let entries = WalkDir::new(self.folder.join("snapshots")).into_iter().flatten();
        let mut targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.any(|to| to.file_name() == Some(OsStr::new(blob)))
    }

    /// Whether a snapshot has anything.
    pub fn has_names(&self) -> bool {
        let mut entries = WalkDir::new(self.folder.join("snapshots")).into_iter().flatten();
        entries.any(|entry| !entry.file_type().is_dir())
    }

    /// The hashes of the blobs of which a part is here, and how many bytes.
    pub fn unfinished(&self) -> Vec<(String, u64)> {
        let entries = fs::read_dir(self.folder.join("blobs")).into_iter().flatten().flatten();
        let mut unfinished: Vec<(String, u64)> = entries
            .filter_map(|entry| {
                let name = entry.file_name().to_str()?.strip_suffix(INCOMPLETE)?.to_owned();
                Some((name, entry.metadata().ok()?.len()))
            })
            .collect();
        unfinished.sort_unstable();
        unfinished
    }

    /// Gives a blob the name of a file of a commit.
    pub fn link(&self, commit: &str, path: &str, blob: &str) -> Result<()> {
        let name = self.folder.join("snapshots").join(commit).join(path);
        let folder = folder_of(&name);
        fs::create_dir_all(folder).with_context(|| cannot_write(folder))?;
        let depth = 2 + path.matches('/').count();
        let target = PathBuf::from("../".repeat(depth)).join("blobs").join(blob);
        if fs::read_link(&name).is_ok_and(|there| there == target) || !self.blob(blob).exists() {
            return Ok(());
        }
        // Whoever opens the name meanwhile finds what it was, or what it will be.
        let beside = tempfile::Builder::new()
            .make_in(folder, |beside| link(&target, &self.blob(blob), beside));
        let linked = beside.and_then(|beside| Ok(beside.into_temp_path().persist(&name)?));
        linked.and_then(|()| sync_folder(&name)).with_context(|| cannot_write(&name))
    }

    /// The folder of a commit's files.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// Takes note of the commit that was last fetched from.
    pub fn set_main(&self, commit: &str) -> Result<()> {
        let main = self.folder.join("refs/main");
        if fs::read_to_string(&main).is_ok_and(|there| there == commit) {
            return Ok(());
        }
        let written =
            fs::create_dir_all(folder_of(&main)).and_then(|()| replace(&main, commit.as_bytes()));
        written.with_context(|| cannot_write(&main))
    }
}

/// The GGUF files in a folder, as far as they lead anywhere.
pub fn files(folder: &Path) -> Vec<RepoFile> {
    let file = |(path, full): (String, PathBuf)| {
        let there = fs::metadata(&full).ok().filter(Metadata::is_file)?;
        let target = fs::read_link(&full).ok();
        let blob = target.and_then(|target| Some(target.file_name()?.to_str()?.to_owned()));
        Some(RepoFile { path, n_bytes: there.len(), blob: blob.unwrap_or_default(), sha256: None })
    };
    names(folder).into_iter().filter_map(file).collect()
}

/// What is called like a model in a folder, with where it is, even if it leads nowhere.
fn names(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter().flatten();
    let name = |entry: DirEntry| {
        let below = entry.path().strip_prefix(folder).ok()?;
        let parts: Option<Vec<&str>> = below.iter().map(OsStr::to_str).collect();
        let path = parts?.join("/");
        has_ending(&path).then(|| (path, entry.into_path()))
    };
    entries.filter(|entry| !entry.file_type().is_dir()).filter_map(name).collect()
}

/// What stands behind the name of a blob of which a part is here.
const INCOMPLETE: &str = ".incomplete";

/// The name of the file with as much of another as has come.
pub fn incomplete(path: &Path) -> PathBuf {
    with_suffix(path, INCOMPLETE)
}

/// What is said of what cannot be written.
pub fn cannot_write(path: &Path) -> String {
    format!("cannot write {}; see to that, or name another folder with HF_HOME", path.display())
}

/// Makes a name that leads to a blob.
#[cfg(unix)]
fn link(target: &Path, _: &Path, name: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, name)
}

/// Where links need rights that few have, the file itself gets the name, as other programs have it.
#[cfg(not(unix))]
fn link(_: &Path, blob: &Path, name: &Path) -> io::Result<()> {
    fs::rename(blob, name)
}
