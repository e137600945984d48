//! Which files of folders are documents.

use super::decode::has_extension;
use super::error::DocumentsError;
use super::wanted::{LeftOut, Wanted};
use globset::{Glob, GlobSet, GlobSetBuilder};
use std::path::{Path, PathBuf};

/// Files that are taken from folders where no pattern says otherwise.
const TEXT_EXTENSIONS: [&str; 11] =
    ["txt", "text", "md", "markdown", "rst", "adoc", "org", "tex", "html", "htm", "xhtml"];

/// The same where documents are lines.
pub(super) const JSONL_EXTENSIONS: [&str; 2] = ["jsonl", "ndjson"];

/// How the names of files end that are made beside documents: in folders they are passed over.
pub const MADE_BESIDE: &str = ".summary";

/// Tells which they are.
pub(super) struct Filter {
    /// Where no pattern says.
    extensions: &'static [&'static str],
    names: Option<GlobSet>,
    paths: GlobSet,
    except: Vec<PathBuf>,
}

impl Filter {
    pub fn new(wanted: &Wanted) -> Result<Filter, DocumentsError> {
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

    /// Why a file is no document that lies in a folder which was named; nothing if it is one.
    pub fn judge(&self, path: &Path, folder: &Path) -> Option<LeftOut> {
        let Some(name) = path.file_name().map(Path::new) else { return Some(LeftOut::Name) };
        let is_wanted = match &self.names {
            None => has_extension(name, self.extensions),
            Some(names) => {
                let path = path.strip_prefix(folder).unwrap_or(path);
                names.is_match(name) || self.paths.is_match(path)
            }
        };
        match is_wanted {
            false => Some(LeftOut::Name),
            true if is_beside(path) => Some(LeftOut::Beside),
            true if self.is_own(path) => Some(LeftOut::Own),
            true => None,
        }
    }

    /// Whether it is a file of the run itself.
    pub fn is_own(&self, path: &Path) -> bool {
        path.canonicalize().is_ok_and(|path| self.except.contains(&path))
    }
}

/// Whether a file's name says that it was made beside a document, even if that has been removed.
fn is_beside(path: &Path) -> bool {
    let stem = path.file_stem().map_or(path, Path::new);
    let is_named_so =
        stem.extension().is_some_and(|it| MADE_BESIDE.strip_prefix('.') == it.to_str());
    let document = stem.file_stem().map(|name| path.with_file_name(name));
    let is_document = |path: PathBuf| has_extension(&path, &TEXT_EXTENSIONS) || path.exists();
    is_named_so && document.is_some_and(is_document)
}
