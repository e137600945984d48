//! Paths to files with documents.

use super::decode::has_extension;
use super::error::{DocumentsError, Fault};
use super::filter::{Filter, JSONL_EXTENSIONS};
use super::identity::Identity;
use super::passed_over::PassedOver;
use super::wanted::{LeftOut, Wanted};
use crate::jobs::copy_of_stdin;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, File, FileType};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

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
    /// What is at a path that does not lead to a folder.
    fn at(path: PathBuf, there: io::Result<FileType>, wanted: &Wanted) -> Source {
        let kind = match there {
            Err(error) => Kind::Fault(Fault::unreadable(error)),
            Ok(there) if !there.is_file() => Kind::Fault(Fault::NotAFile),
            Ok(_) if wanted.is_jsonl || has_extension(&path, &JSONL_EXTENSIONS) => Kind::Jsonl,
            Ok(_) => Kind::Text,
        };
        Source { path, kind }
    }

    /// How it is called in ids and messages, which is the same on all systems: folders end with `/`.
    /// Bytes that are not UTF-8 stand there by their numbers, so that names which differ in them still do.
    pub fn name(&self) -> String {
        let mut name = String::new();
        for chunk in self.path.as_os_str().as_encoded_bytes().utf8_chunks() {
            name.push_str(chunk.valid());
            name.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
        }
        if cfg!(windows) { name.replace('\\', "/") } else { name }
    }

    /// What file it is. The name of stdin is that of no file.
    pub fn identity(&self) -> Identity {
        match self.kind {
            Kind::Stdin { .. } => Identity::Path(self.path.clone()),
            _ => Identity::at(&self.path),
        }
    }
}

/// The files that `paths` lead to, in their order, those of a folder in the order of their names; and
/// what else there is in folders.
///
/// A file with several names is taken once, and has a name through a link in a folder only if it has
/// no other: else a new link would rename what is done already, and it would be done again.
pub(super) fn sources(
    paths: &[PathBuf],
    wanted: &Wanted,
) -> Result<(Vec<Source>, PassedOver), DocumentsError> {
    let filter = Filter::new(wanted)?;
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    for (path_idx, path) in paths.iter().enumerate() {
        let mut add = |is_linked, source| found.push((path_idx, is_linked, source));
        if path == Path::new("-") {
            let copy = copy_of_stdin().map_err(DocumentsError::Stdin)?;
            let kind = Kind::Stdin { copy, is_jsonl: wanted.is_jsonl };
            add(false, Source { path: path.clone(), kind });
            continue;
        }
        match fs::metadata(path).map(|there| there.file_type()) {
            Ok(there) if there.is_dir() => {
                left_out.extend(Walk::new(path, &filter, wanted, &mut add).run());
            }
            there => add(false, Source::at(path.clone(), there, wanted)),
        }
    }
    let mut seen = HashSet::new();
    found.sort_by_key(|&(_, is_linked, _)| is_linked);
    found.retain(|(.., source)| seen.insert(source.identity()));
    found.sort_by(|(a_idx, _, a), (b_idx, _, b)| (a_idx, &a.path).cmp(&(b_idx, &b.path)));
    let mut passed_over = PassedOver::default();
    for (path, why) in &left_out {
        // By another name it may be a document.
        if seen.insert(Identity::at(path)) {
            passed_over.add(path, if filter.is_own(path) { LeftOut::Own } else { *why });
        }
    }
    match found.is_empty() {
        true => Err(DocumentsError::nothing_found(wanted, left_out, passed_over)),
        false => Ok((found.into_iter().map(|(.., source)| source).collect(), passed_over)),
    }
}

/// The search for the documents of a folder and its folders.
///
/// Links are followed when everything has been seen that lies there itself. No folder is seen twice:
/// with links to each other, a few would have millions of paths.
struct Walk<'a> {
    root: &'a Path,
    filter: &'a Filter,
    wanted: &'a Wanted,
    /// Takes what is found, and whether that was through a link.
    add: &'a mut dyn FnMut(bool, Source),
    /// Folders that were seen, by their true paths.
    seen: HashSet<PathBuf>,
    /// Links that are to be followed.
    links: VecDeque<PathBuf>,
    /// Files that are no documents.
    left_out: Vec<(PathBuf, LeftOut)>,
}

impl<'a> Walk<'a> {
    fn new(
        root: &'a Path,
        filter: &'a Filter,
        wanted: &'a Wanted,
        add: &'a mut dyn FnMut(bool, Source),
    ) -> Walk<'a> {
        let (seen, links, left_out) = Default::default();
        Walk { root, filter, wanted, add, seen, links, left_out }
    }

    /// Hands out what is found, and returns what is left out.
    fn run(mut self) -> Vec<(PathBuf, LeftOut)> {
        self.enter(self.root, false);
        while let Some(link) = self.links.pop_front() {
            match fs::metadata(&link).map(|there| there.file_type()) {
                Ok(there) if there.is_dir() => self.enter(&link, true),
                there => self.take(link, there, true),
            }
        }
        self.left_out
    }

    /// Goes through a folder and its folders, and takes note of the links in them.
    fn enter(&mut self, folder: &Path, is_linked: bool) {
        if !self.is_new(folder) {
            return;
        }
        let is_hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
        let mut entries = WalkDir::new(folder).min_depth(1).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    if is_hidden(&entry) || !self.is_new(entry.path()) {
                        entries.skip_current_dir();
                    }
                }
                Ok(entry) if is_hidden(&entry) => {
                    let is_file = entry.file_type().is_file();
                    self.left_out.extend(is_file.then(|| (entry.into_path(), LeftOut::Hidden)));
                }
                Ok(entry) if entry.file_type().is_symlink() => {
                    self.links.push_back(entry.into_path());
                }
                Ok(entry) => {
                    let there = entry.file_type();
                    self.take(entry.into_path(), Ok(there), is_linked);
                }
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_path_buf();
                    // There are no circles where no links are followed: all else has an error.
                    let error = error.into_io_error().unwrap_or(ErrorKind::Other.into());
                    self.take(path, Err(error), is_linked);
                }
            }
        }
    }

    fn is_new(&mut self, folder: &Path) -> bool {
        folder.canonicalize().map_or(true, |path| self.seen.insert(path))
    }

    /// What is no document need not be readable, but a folder must be.
    fn take(&mut self, path: PathBuf, there: io::Result<FileType>, is_linked: bool) {
        let is_closed_folder = there.is_err() && path.is_dir();
        match self.filter.judge(&path, self.root) {
            Some(why) if !is_closed_folder => {
                let is_file = there.is_ok_and(|there| there.is_file());
                self.left_out.extend(is_file.then_some((path, why)));
            }
            _ => (self.add)(is_linked, Source::at(path, there, self.wanted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path, wanted: &Wanted) -> Vec<String> {
        let (sources, _) = sources(&[folder.to_path_buf()], wanted).unwrap();
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
            "gone.htm.summary.md",
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

    #[cfg(unix)]
    #[test]
    fn links_rename_nothing() {
        use std::os::unix::fs::symlink;
        let folder = folder_with(&["docs/v3/x.txt", "docs/w.txt", "other/v2/y.txt", ".z"]);
        let path = |name: &str| folder.path().join(name);
        let docs = path("docs");
        let found = |globs: &[&str]| {
            let globs = globs.iter().map(|glob| glob.to_string()).collect();
            names(&docs, &Wanted { globs, ..Wanted::default() })
        };
        assert_eq!(found(&[]), ["v3/x.txt", "w.txt"]);
        symlink("v3", path("docs/current")).unwrap();
        symlink("w.txt", path("docs/a.txt")).unwrap();
        assert_eq!(found(&[]), ["v3/x.txt", "w.txt"]);
        assert_eq!(found(&["v3/*.txt"]), ["v3/x.txt"]);
        // What is not taken by its own name may be taken by a link's.
        assert_eq!(found(&["a.*"]), ["a.txt"]);
        // What lies elsewhere has the names of links alone, and of several the first.
        symlink(path("other"), path("docs/b")).unwrap();
        symlink(path("other/v2"), path("other/latest")).unwrap();
        symlink(path("other/v2"), path("docs/c")).unwrap();
        symlink(path(".z"), path("docs/z.txt")).unwrap();
        assert_eq!(found(&[]), ["b/v2/y.txt", "v3/x.txt", "w.txt", "z.txt"]);
        // Nor does the order of paths matter where a link leads from one to the other.
        let both = [docs.clone(), path("other")];
        let (both, _) = sources(&both, &Wanted::default()).unwrap();
        assert!(both.iter().any(|source| source.path == path("other/v2/y.txt")));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_document_is_counted_once() {
        use std::os::unix::fs::symlink;
        let files = ["a.txt", "b.pdf", "c/d.csv", "c/e.CSV", "README", ".f", ".git/g.pdf", "h.bin"];
        let folder = folder_with(&[&files[..], &["o.jsonl", "a.txt.summary.txt"]].concat());
        let path = |name: &str| folder.path().join(name);
        symlink(path("c"), path("i")).unwrap();
        symlink(path("b.pdf"), path("j.pdf")).unwrap();
        symlink(path("nowhere"), path("k.pdf")).unwrap();
        // By this name it is a document.
        symlink(path("h.bin"), path("h.txt")).unwrap();
        let wanted = Wanted { except: vec![path("o.jsonl")], ..Wanted::default() };
        let (_, passed_over) = sources(&[folder.path().into(), path("c")], &wanted).unwrap();
        assert_eq!(
            passed_over.to_string(),
            "6 files passed over: 1 .pdf, 1 called like a summary of --beside, 1 hidden, 1 without an ending, 2 .csv"
        );
        // What is named is a document, whatever it is called.
        let paths = [folder.path().into(), path("b.pdf")];
        let globs = vec!["*.csv".into()];
        let (found, passed_over) = sources(&paths, &Wanted { globs, ..Wanted::default() }).unwrap();
        assert_eq!((found.len(), passed_over.n_files()), (2, 7));
    }

    #[cfg(unix)]
    #[test]
    fn hard_links_are_names_of_one_file() {
        let folder = folder_with(&["a.txt", "b.txt", "c.bin"]);
        let path = |name: &str| folder.path().join(name);
        for (from, to) in [("a.txt", "d.txt"), ("c.bin", "e.bin"), ("b.txt", "f.pdf")] {
            fs::hard_link(path(from), path(to)).unwrap();
        }
        assert_eq!(names(folder.path(), &Wanted::default()), ["a.txt", "b.txt"]);
        let paths = [path("d.txt"), folder.path().into()];
        let (found, passed_over) = sources(&paths, &Wanted::default()).unwrap();
        let found: Vec<&PathBuf> = found.iter().map(|source| &source.path).collect();
        assert_eq!(found, [&path("d.txt"), &path("b.txt")]);
        assert_eq!(passed_over.to_string(), "1 file passed over: 1 .bin");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn names_that_are_not_utf_8_differ() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let name = |bytes: &[u8]| {
            let path = PathBuf::from(OsStr::from_bytes(bytes));
            Source { path, kind: Kind::Text }.name()
        };
        assert_eq!(name("docs/é.txt".as_bytes()), "docs/é.txt");
        assert_eq!(name(b"caf\xe9.txt"), "caf\\xe9.txt");
        assert_eq!(name(b"caf\xe8\xff"), "caf\\xe8\\xff");
    }

    #[test]
    fn stdin_is_no_file() {
        let source = |kind| Source { path: "-".into(), kind };
        let file = tempfile::tempfile().unwrap();
        let stdin = source(Kind::Stdin { copy: file, is_jsonl: false });
        assert_eq!(stdin.identity(), Identity::Path("-".into()));
    }

    #[test]
    fn where_nothing_is_found_it_is_said_what_was_sought() {
        let folder = folder_with(&["a.rs"]);
        let error = |wanted: Wanted| {
            let Err(error) = sources(&[folder.path().into()], &wanted) else { panic!() };
            error.to_string()
        };
        let said = "--glob '*.EXT' takes others; 1 file passed over: 1 .rs";
        assert!(error(Wanted::default()).contains(said));
        let is_jsonl = true;
        assert!(error(Wanted { is_jsonl, ..Wanted::default() }).contains("or .ndjson"));
        let globs = vec!["*.c".into(), "b/*".into()];
        let error = error(Wanted { globs, ..Wanted::default() });
        assert!(error.contains("\"*.c\" \"b/*\"") && !error.contains("*.EXT"), "{error}");
    }

    #[test]
    fn where_all_is_left_out_it_is_said_why() {
        let folder = folder_with(&["a.rs", "a.txt.summary.txt", "b.md.summary.txt", "o.jsonl"]);
        let except = vec![folder.path().join("o.jsonl")];
        let error = |globs: &[&str]| {
            let globs = globs.iter().map(|glob| glob.to_string()).collect();
            let wanted = Wanted { globs, except: except.clone(), ..Wanted::default() };
            let Err(error) = sources(&[folder.path().into()], &wanted) else { panic!() };
            error.to_string()
        };
        for globs in [&[][..], &["*.summary.txt"]] {
            let error = error(globs);
            assert!(
                error.contains("all are left out (2; ") && error.contains("--beside"),
                "{error}"
            );
            assert!(error.contains("a.txt.summary.txt first"), "{error}");
        }
        assert!(error(&["*.jsonl"]).contains("o.jsonl first, which this run writes"));
        assert!(error(&["*.c"]).contains("matches --glob"));
    }

    #[test]
    fn a_file_named_twice_is_one_document() {
        let folder = folder_with(&["a.txt", "b/c.txt"]);
        let path = |name: &str| folder.path().join(name);
        let paths = [path("."), path("a.txt"), path("b/../a.txt"), path("b"), path("./b/c.txt")];
        assert_eq!(sources(&paths, &Wanted::default()).unwrap().0.len(), 2);
    }
}
