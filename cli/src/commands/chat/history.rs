//! What was typed in earlier chats, in a file.
//!
//! `$GATEFOLD_HISTORY` names it, and none if it is empty; else it is `gatefold/history` in
//! `$XDG_STATE_HOME` or `~/.local/state`. An entry is a line, a text in JSON. The file is its owner's
//! alone, and that it cannot be read or written is no reason for a chat to fail.

use std::env;
use std::fs::{DirBuilder, OpenOptions, read};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Entries that are kept from one chat to the next.
const MOST: usize = 1000;

/// What was typed in earlier chats, and where it is kept.
pub(super) struct History {
    path: Option<PathBuf>,
    entries: Vec<String>,
}

impl History {
    /// Reads the file, and shortens it where it has grown long.
    pub(super) fn open() -> History {
        let path = path();
        let bytes = path.as_deref().and_then(|path| read(path).ok()).unwrap_or_default();
        let entry = |line: &[u8]| serde_json::from_slice::<String>(line).ok();
        let mut entries: Vec<String> =
            bytes.split(|&byte| byte == b'\n').filter_map(entry).collect();
        let n_old = entries.len().saturating_sub(MOST);
        entries.drain(..n_old);
        let history = History { path, entries };
        if n_old > MOST {
            let _ = history.shorten();
        }
        history
    }

    /// What it has, the oldest first.
    pub(super) fn entries(&self) -> &[String] {
        &self.entries
    }

    /// Adds an entry to the file.
    pub(super) fn append(&self, entry: &str) {
        if let Some(path) = self.path.as_deref().filter(|_| !entry.trim().is_empty()) {
            let _ = write(path, &line(entry), false);
        }
    }

    /// Writes the entries that are kept into the place of all.
    fn shorten(&self) -> io::Result<()> {
        let lines: String = self.entries.iter().map(|entry| line(entry)).collect();
        self.path.as_deref().map_or(Ok(()), |path| write(path, &lines, true))
    }
}

fn line(entry: &str) -> String {
    serde_json::Value::from(entry).to_string() + "\n"
}

fn path() -> Option<PathBuf> {
    let named = |name| env::var_os(name).map(PathBuf::from);
    if let Some(path) = named("GATEFOLD_HISTORY") {
        return Some(path).filter(|path| !path.as_os_str().is_empty());
    }
    let state = named("XDG_STATE_HOME").filter(|path| path.is_absolute());
    let local = || match cfg!(windows) {
        true => named("LOCALAPPDATA"),
        false => Some(named("HOME")?.join(".local/state")),
    };
    let state = state.or_else(local);
    state.map(|state| state.join("gatefold/history"))
}

fn write(path: &Path, text: &str, replaces: bool) -> io::Result<()> {
    let mut folder = DirBuilder::new();
    let mut file = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
        folder.mode(0o700);
        file.mode(0o600);
    }
    folder.recursive(true).create(gatefold::files::folder_of(path))?;
    let mut file = file.create(true).write(true).append(!replaces).truncate(replaces).open(path)?;
    file.write_all(text.as_bytes())
}
