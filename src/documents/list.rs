//! Paths to files with documents.

use super::decode::has_extension;
use super::error::{DocumentsError, Fault};
use crate::files::copy_of_stdin;
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// Files that are taken from folders where no pattern says otherwise.
const TEXT_EXTENSIONS: [&str; 11] =
    ["txt", "text", "md", "markdown", "rst", "adoc", "org", "tex", "html", "htm", "xhtml"];

/// How the names of files end that are made beside documents: in folders they are passed over.
pub const MADE_BESIDE: &str = ".summary";

/// Which documents are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Patterns for names of files in folders, or for their paths from there on, if they contain a
    /// slash. Without any, files that are known to be text.
    pub globs: Vec<String>,
    /// Files in folders that are no documents.
    pub except: Vec<PathBuf>,
    /// Whether stdin has a document per line.
    pub stdin_is_jsonl: bool,
}

/// A file with documents.
pub(super) struct Source {
    pub path: PathBuf,
    pub kind: Kind,
}

pub(super) enum Kind {
    /// It is a document.
    Text,
    /// It has one on each line.
    Jsonl,
    /// It came from stdin.
    Stdin { copy: File, is_jsonl: bool },
    /// It is none.
    Fault(Fault),
}

impl Source {
    fn at(path: PathBuf) -> Source {
        let is_jsonl = has_extension(&path, &["jsonl", "ndjson"]);
        Source { path, kind: if is_jsonl { Kind::Jsonl } else { Kind::Text } }
    }

    fn fault(path: &Path, fault: Fault) -> Source {
        Source { path: path.into(), kind: Kind::Fault(fault) }
    }

    /// How it is called in ids and messages.
    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

/// The files that `paths` lead to, in their order, those of a folder in the order of their names;
/// a path that comes a second time is passed over.
pub(super) fn sources(paths: &[PathBuf], wanted: &Wanted) -> Result<Vec<Source>, DocumentsError> {
    let filter = Filter::new(wanted)?;
    let mut sources = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let copy = copy_of_stdin().map_err(DocumentsError::Stdin)?;
            let kind = Kind::Stdin { copy, is_jsonl: wanted.stdin_is_jsonl };
            sources.push(Source { path: path.clone(), kind });
            continue;
        }
        match fs::metadata(path) {
            Err(error) => sources.push(Source::fault(path, Fault::unreadable(error))),
            Ok(there) if there.is_dir() => sources.extend(walk(path, &filter)),
            Ok(there) if there.is_file() => sources.push(Source::at(path.clone())),
            Ok(_) => sources.push(Source::fault(path, Fault::NotAFile)),
        }
    }
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(source.path.clone()));
    Ok(sources)
}

/// The documents of a folder and its folders. Links are followed, but not in circles.
fn walk(folder: &Path, filter: &Filter) -> Vec<Source> {
    let is_shown = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut sources = Vec::new();
    for entry in entries.filter_entry(is_shown) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if !filter.takes(entry.path(), folder) => {}
            Ok(entry) if entry.file_type().is_file() => sources.push(Source::at(entry.into_path())),
            Ok(entry) => sources.push(Source::fault(entry.path(), Fault::NotAFile)),
            // A circle leads to nothing that is not found anyway.
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_path_buf();
                // What is no document need not be readable, but a folder must be.
                if path.is_dir() || filter.takes(&path, folder) {
                    let fault = Fault::Unreadable(match error.io_error() {
                        Some(error) => error.to_string(),
                        None => error.to_string(),
                    });
                    sources.push(Source::fault(&path, fault));
                }
            }
        }
    }
    sources
}

/// Which files of folders are documents.
struct Filter {
    names: Option<GlobSet>,
    paths: GlobSet,
    except: Vec<PathBuf>,
}

impl Filter {
    fn new(wanted: &Wanted) -> Result<Filter, DocumentsError> {
        let (mut names, mut paths) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let invalid = |pattern: &str, error: globset::Error| DocumentsError::Glob {
            pattern: pattern.into(),
            problem: error.kind().to_string(),
        };
        for pattern in &wanted.globs {
            let glob = Glob::new(pattern).map_err(|error| invalid(pattern, error))?;
            let builder = if pattern.contains('/') { &mut paths } else { &mut names };
            builder.add(glob);
        }
        let all = wanted.globs.join(" ");
        let names = names.build().map_err(|error| invalid(&all, error))?;
        let paths = paths.build().map_err(|error| invalid(&all, error))?;
        let except = wanted.except.iter().filter_map(|path| path.canonicalize().ok()).collect();
        Ok(Filter { names: Some(names).filter(|_| !wanted.globs.is_empty()), paths, except })
    }

    fn takes(&self, path: &Path, folder: &Path) -> bool {
        let Some(name) = path.file_name().map(Path::new) else { return false };
        let is_wanted = match &self.names {
            None => has_extension(name, &TEXT_EXTENSIONS),
            Some(names) => {
                let path = path.strip_prefix(folder).unwrap_or(path);
                names.is_match(name) || self.paths.is_match(path)
            }
        };
        let is_made = || {
            let stem = name.file_stem().map_or(&[][..], |stem| stem.as_encoded_bytes());
            let path = path.canonicalize();
            stem.ends_with(MADE_BESIDE.as_bytes()) || path.is_ok_and(|it| self.except.contains(&it))
        };
        is_wanted && !is_made()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, wanted: &Wanted) -> Vec<String> {
        let sources = sources(&[folder.to_path_buf()], wanted).unwrap();
        let name = |source: &Source| {
            let path = source.path.strip_prefix(folder).unwrap().display().to_string();
            if matches!(source.kind, Kind::Fault(_)) { format!("{path}!") } else { path }
        };
        sources.iter().map(name).collect()
    }

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "text").unwrap();
        }
        folder
    }

    #[test]
    fn folders_give_their_texts_in_order() {
        let files =
            ["b.txt", "a/z.MD", "a/b/c.html", "a.rs", ".git/x.txt", "b.summary.txt", "o.txt"];
        let folder = folder_with(&files);
        let except = vec![folder.path().join("o.txt")];
        let wanted = Wanted { except, ..Wanted::default() };
        assert_eq!(names(folder.path(), &wanted), ["a/b/c.html", "a/z.MD", "b.txt"]);
        let globs = |globs: &[&str]| {
            let globs = globs.iter().map(|glob| glob.to_string()).collect();
            names(folder.path(), &Wanted { globs, ..Wanted::default() })
        };
        assert_eq!(globs(&["*.rs", "b.*"]), ["a.rs", "b.txt"]);
        assert_eq!(globs(&["a/**"]), ["a/b/c.html", "a/z.MD"]);
        let wrong = Wanted { globs: vec!["[".into()], ..Wanted::default() };
        assert!(matches!(sources(&[], &wrong), Err(DocumentsError::Glob { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_on_but_not_in_circles() {
        use std::os::unix::fs::symlink;
        let folder = folder_with(&["a/b.txt"]);
        let path = |name: &str| folder.path().join(name);
        symlink(path("."), path("a/up")).unwrap();
        symlink(path("a"), path("c")).unwrap();
        symlink(path("nowhere"), path("d.txt")).unwrap();
        symlink(path("nowhere"), path("d.bin")).unwrap();
        assert_eq!(names(folder.path(), &Wanted::default()), ["a/b.txt", "c/b.txt", "d.txt!"]);
    }

    #[test]
    fn a_path_named_twice_is_one_document() {
        let folder = folder_with(&["a.txt"]);
        let paths = [folder.path().to_path_buf(), folder.path().join("a.txt")];
        assert_eq!(sources(&paths, &Wanted::default()).unwrap().len(), 1);
    }
}
