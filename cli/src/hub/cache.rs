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
use std::collections::BTreeSet;
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

    /// Where the lock of a blob is; behind its hash, other programs tell runs apart.
    pub fn lock(&self, hash: &str) -> PathBuf {
        let hash = hash.split('.').next().unwrap_or(hash);
        self.locks.join(format!("{hash}.lock"))
    }

    /// The folders of this repository: of its files, and of its locks.
    pub fn folders(&self) -> [&Path; 2] {
        [&self.folder, &self.locks]
    }

    /// The models of which all parts are here, each once, those of the last commit first.
    pub fn models(&self) -> Vec<Kept> {
        self.kept(Set::is_whole)
    }

    /// The models of which some parts are here, and in no snapshot all.
    pub fn begun(&self) -> Vec<Kept> {
        let models = self.models();
        let of_models = |path: &str| models.iter().any(|kept| kept.set.has(path));
        let mut begun = self.kept(|set| !set.is_whole());
        begun.retain(|kept| !kept.set.files.iter().any(|file| of_models(&file.path)));
        begun
    }

    /// The sets that are so, each once, those of the last commit first.
    fn kept(&self, is_so: fn(&Set) -> bool) -> Vec<Kept> {
        let mut models: Vec<Kept> = Vec::new();
        for snapshot in self.snapshots() {
            for set in sets(files(&snapshot)).into_iter().filter(is_so) {
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

    /// The hashes of the whole blobs to which no name leads, of models or of what else there is.
    ///
    /// # Errors
    /// If a folder cannot be read, so that there may be names that nobody sees.
    pub fn unused(&self) -> Result<Vec<String>> {
        let names = self.names()?;
        let targets = names.iter().filter_map(|name| fs::read_link(name).ok());
        let used: BTreeSet<_> = targets.filter_map(|to| Some(to.file_name()?.to_owned())).collect();
        let folder = self.folder.join("blobs");
        let mut unused = Vec::new();
        for entry in all_below(&folder)? {
            let hash = entry.file_name().to_str().filter(|hash| !hash.ends_with(INCOMPLETE));
            unused.extend(hash.filter(|hash| !used.contains(OsStr::new(hash))).map(str::to_owned));
        }
        Ok(unused)
    }

    /// What the snapshots have, of models and of what else there is.
    ///
    /// # Errors
    /// If a folder cannot be read.
    pub fn names(&self) -> Result<Vec<PathBuf>> {
        let entries = all_below(&self.folder.join("snapshots"))?;
        Ok(entries.into_iter().map(DirEntry::into_path).collect())
    }

    /// Whether it was this program that began to fetch a blob: its mark is in the lock.
    pub fn is_ours(&self, hash: &str) -> bool {
        fs::metadata(self.lock(hash)).is_ok_and(|lock| lock.len() > 0)
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

/// All that is in a folder and those in it, beside these themselves; nothing if there is no folder.
fn all_below(folder: &Path) -> Result<Vec<DirEntry>> {
    let cannot = || format!("cannot read {}", folder.display());
    if !folder.try_exists().with_context(cannot)? {
        return Ok(Vec::new());
    }
    let is_folder = |entry: &walkdir::Result<DirEntry>| {
        entry.as_ref().is_ok_and(|entry| entry.file_type().is_dir())
    };
    let entries = WalkDir::new(folder).into_iter().filter(|entry| !is_folder(entry));
    entries.collect::<Result<_, _>>().with_context(cannot)
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
pub const INCOMPLETE: &str = ".incomplete";

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
