//! Which files are wanted as documents, and why some are not after all.

use std::path::PathBuf;

/// Which documents are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Patterns for names of files in folders, or for their paths from there on, if they contain a
    /// slash. A path through a link is that of files which have no other in the folder. Without any
    /// pattern, files that are known to be text.
    pub globs: Vec<String>,
    /// Files in folders that are no documents.
    pub except: Vec<PathBuf>,
    /// Whether stdin and all files have a document per line, whatever they are called.
    pub is_jsonl: bool,
}

/// Why a file in a folder is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// Its name begins with a dot.
    Hidden,
    /// Nobody asked for files with such names.
    Name,
    /// Its name is wanted, but says that it was made beside a document.
    Beside,
    /// It is one of [`Wanted::except`].
    Own,
}

impl LeftOut {
    /// Whether it has a name that is wanted.
    pub(super) fn is_wanted(self) -> bool {
        matches!(self, LeftOut::Beside | LeftOut::Own)
    }

    /// Why, as a clause that follows its name.
    pub(super) fn reason(self) -> &'static str {
        match self {
            LeftOut::Hidden => "whose name begins with a dot",
            LeftOut::Name => "which has another name than is wanted",
            LeftOut::Beside => {
                "which is called like a summary that --beside has made: named as a path, it is summarized"
            }
            LeftOut::Own => "which this run writes, or reads for itself",
        }
    }
}
