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

/// The same where documents are lines.
const JSONL_EXTENSIONS: [&str; 2] = ["jsonl", "ndjson"];

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
    /// Whether stdin and all files have a document per line, whatever they are called.
    pub is_jsonl: bool,
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
    fn at(path: PathBuf, wanted: &Wanted) -> Source {
        let is_jsonl = wanted.is_jsonl || has_extension(&path, &JSONL_EXTENSIONS);
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
/// a file that comes a second time, under whatever name, is passed over.
pub(super) fn sources(paths: &[PathBuf], wanted: &Wanted) -> Result<Vec<Source>, DocumentsError> {
    let filter = Filter::new(wanted)?;
    let mut sources = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let copy = copy_of_stdin().map_err(DocumentsError::Stdin)?;
            let kind = Kind::Stdin { copy, is_jsonl: wanted.is_jsonl };
            sources.push(Source { path: path.clone(), kind });
            continue;
        }
        match fs::metadata(path) {
            Err(error) => sources.push(Source::fault(path, Fault::unreadable(error))),
            Ok(there) if there.is_dir() => sources.extend(walk(path, &filter, wanted)),
            Ok(there) if there.is_file() => sources.push(Source::at(path.clone(), wanted)),
            Ok(_) => sources.push(Source::fault(path, Fault::NotAFile)),
        }
    }
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert(source.path.canonicalize().unwrap_or(source.path.clone())));
    Ok(sources)
}

/// The documents of a folder and its folders. Links are followed, but no folder is seen twice: with
/// links to each other, a few would have millions of paths.
fn walk(folder: &Path, filter: &Filter, wanted: &Wanted) -> Vec<Source> {
    let is_shown = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let mut seen = HashSet::new();
    let mut is_new = |entry: &DirEntry| {
        !entry.file_type().is_dir()
            || entry.path().canonicalize().map_or(true, |it| seen.insert(it))
    };
    let entries = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
    let mut sources = Vec::new();
    for entry in entries.filter_entry(|entry| is_shown(entry) && is_new(entry)) {
        match entry {
            Ok(entry) if entry.file_type().is_dir() => {}
            Ok(entry) if !filter.takes(entry.path(), folder) => {}
            Ok(entry) if entry.file_type().is_file() => {
                sources.push(Source::at(entry.into_path(), wanted));
            }
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
    /// Where no pattern says.
    extensions: &'static [&'static str],
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
        let names = Some(names).filter(|_| !wanted.globs.is_empty());
        let extensions = if wanted.is_jsonl { &JSONL_EXTENSIONS[..] } else { &TEXT_EXTENSIONS };
        Ok(Filter { extensions, names, paths, except })
    }

    fn takes(&self, path: &Path, folder: &Path) -> bool {
        let Some(name) = path.file_name().map(Path::new) else { return false };
        let is_wanted = match &self.names {
            None => has_extension(name, self.extensions),
            Some(names) => {
                let path = path.strip_prefix(folder).unwrap_or(path);
                names.is_match(name) || self.paths.is_match(path)
            }
        };
        let is_except = || path.canonicalize().is_ok_and(|path| self.except.contains(&path));
        is_wanted && !is_beside(path) && !is_except()
    }
}

/// Whether a file's name says that it was made beside a document, which is there.
fn is_beside(path: &Path) -> bool {
    let stem = path.file_stem().map_or(path, Path::new);
    let is_named_so =
        stem.extension().is_some_and(|it| MADE_BESIDE.strip_prefix('.') == it.to_str());
    is_named_so && stem.file_stem().is_some_and(|document| path.with_file_name(document).exists())
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
        let files = [
            "b.txt",
            "a/z.MD",
            "a/b/c.html",
            "a.rs",
            ".git/x.txt",
            "b.txt.summary.txt",
            "c.summary.txt",
            "o.txt",
        ];
        let folder = folder_with(&files);
        let except = vec![folder.path().join("o.txt")];
        let wanted = Wanted { except, ..Wanted::default() };
        let expected = ["a/b/c.html", "a/z.MD", "b.txt", "c.summary.txt"];
        assert_eq!(names(folder.path(), &wanted), expected);
        let globs = |globs: &[&str]| {
            let globs = globs.iter().map(|glob| glob.to_string()).collect();
            names(folder.path(), &Wanted { globs, ..Wanted::default() })
        };
        assert_eq!(globs(&["*.rs", "b.*"]), ["a.rs", "b.txt"]);
        assert_eq!(globs(&["a/**"]), ["a/b/c.html", "a/z.MD"]);
        fs::write(folder.path().join("a/d.jsonl"), "").unwrap();
        assert_eq!(
            names(folder.path(), &Wanted { is_jsonl: true, ..Wanted::default() }),
            ["a/d.jsonl"]
        );
        let wrong = Wanted { globs: vec!["[".into()], ..Wanted::default() };
        assert!(matches!(sources(&[], &wrong), Err(DocumentsError::Glob { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn links_lead_on_but_to_no_folder_twice() {
        use std::os::unix::fs::symlink;
        let folder = folder_with(&["a/b.txt", "e/0.txt"]);
        let path = |name: &str| folder.path().join(name);
        symlink(path("."), path("a/up")).unwrap();
        symlink(path("a"), path("c")).unwrap();
        symlink(path("nowhere"), path("d.txt")).unwrap();
        symlink(path("nowhere"), path("d.bin")).unwrap();
        symlink(path("f.txt"), path("f.txt")).unwrap();
        // Each of these lies in all others: there are 12! paths that pass through all.
        for idx in 1..12 {
            fs::create_dir(path(&format!("e/{idx}"))).unwrap();
        }
        for (from, to) in (1..12).flat_map(|from| (1..12).map(move |to| (from, to))) {
            symlink(path(&format!("e/{to}")), path(&format!("e/{from}/to{to}"))).unwrap();
        }
        let found = names(folder.path(), &Wanted::default());
        assert_eq!(found, ["a/b.txt", "d.txt!", "e/0.txt", "f.txt!"]);
    }

    #[test]
    fn a_file_named_twice_is_one_document() {
        let folder = folder_with(&["a.txt", "b/c.txt"]);
        let path = |name: &str| folder.path().join(name);
        let paths = [path("."), path("a.txt"), path("b/../a.txt"), path("b"), path("./b/c.txt")];
        assert_eq!(sources(&paths, &Wanted::default()).unwrap().len(), 2);
    }
}
