//! Where documents come from: files, folders, JSONL, stdin.
//!
//! [`Documents`] knows where they lie and reads them one at a time, as often as is wanted: first to
//! see what there is, later each one again when its turn comes. So their number costs memory for
//! names alone. `list` finds files, in folders those that `filter` takes, each once (`identity`); the
//! others are [`PassedOver`]. `jsonl` takes lines apart, `decode` makes text of bytes, in whatever `encoding` (which a page may declare: `prescan`), and
//! `html` of pages; `mail` knows what is no text. Whatever is wrong with a document is a [`Fault`] of
//! that document.

mod decode;
mod encoding;
mod error;
mod filter;
mod html;
mod identity;
mod jsonl;
mod list;
mod mail;
mod passed_over;
mod prescan;
mod wanted;

pub use encoding::{Reading, utf_16_name};
pub use error::{DocumentsError, Fault};
pub use filter::MADE_BESIDE;
pub use jsonl::Fields;
pub use passed_over::PassedOver;
pub use wanted::{LeftOut, Wanted};

use crate::jobs::Lines;
use identity::Identity;
use list::{Kind, Source};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::mem;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Most bytes of a document, or of a line that holds one: some five million words.
const MOST_BYTES: usize = 32 << 20;

/// Documents, each of which can be read at any time.
pub struct Documents {
    sources: Vec<Source>,
    fields: Fields,
    /// The sources, under all their names.
    identities: HashSet<Identity>,
    passed_over: PassedOver,
}

/// Where a document lies.
#[derive(Clone, Debug)]
pub struct Place {
    source_idx: usize,
    /// Of a line.
    range: Option<Range<u64>>,
}

/// A document, or one that should have been.
#[derive(Debug)]
pub struct Found {
    /// Its name: the path as it was given, or the id field. No two have the same.
    pub id: String,
    /// Where it lies.
    pub place: Place,
    /// What its label field says, if it is a line and one was named.
    pub label: Option<String>,
    /// What it says.
    pub text: Result<String, Fault>,
    /// How its bytes were read, if it is a file by itself.
    pub reading: Option<Reading>,
}

impl Documents {
    /// The documents that `paths` lead to: files, folders, `-` for stdin, which is copied to a
    /// temporary file. What cannot be read is found out when it is.
    ///
    /// # Errors
    /// If stdin cannot be copied, what `wanted` says makes no sense, or nothing is like it.
    pub fn open(
        paths: &[PathBuf],
        wanted: &Wanted,
        fields: Fields,
    ) -> Result<Documents, DocumentsError> {
        let (sources, passed_over) = list::sources(paths, wanted)?;
        let identities = sources.iter().map(Source::identity).collect();
        Ok(Documents { sources, fields, identities, passed_over })
    }

    /// What there is in folders that is no document.
    pub fn passed_over(&self) -> &PassedOver {
        &self.passed_over
    }

    /// Whether there is a file at `path` that documents are read from, under whatever name.
    pub fn are_in(&self, path: &Path) -> bool {
        Identity::of(path).is_some_and(|file| self.identities.contains(&file))
    }

    /// How the first file with documents is called.
    pub fn first_name(&self) -> String {
        self.sources.first().map(Source::name).unwrap_or_default()
    }

    /// The file that is this document, if it is one by itself.
    pub fn file_of(&self, place: &Place) -> Option<&Path> {
        let source = &self.sources[place.source_idx];
        matches!(source.kind, Kind::Text).then_some(&source.path)
    }

    /// The path of the file that it is, or is in; `-` for stdin.
    pub fn path_of(&self, place: &Place) -> &Path {
        &self.sources[place.source_idx].path
    }

    /// Reads all documents, one after the other.
    pub fn for_each(&self, each: impl FnMut(Found)) {
        self.for_each_of(|_| true, each);
    }

    /// Reads those documents whose name is wanted, which is asked of all, one after the other.
    pub fn for_each_of(&self, is_wanted: impl FnMut(&str) -> bool, each: impl FnMut(Found)) {
        let mut visit = Visit { names: Names::default(), is_wanted, each };
        for (source_idx, source) in self.sources.iter().enumerate() {
            let name = source.name();
            let place = Place { source_idx, range: None };
            let whole = |id, text| Found::new(id, place.clone(), text);
            match &source.kind {
                Kind::Fault(fault) => {
                    visit.document(name.clone(), name, |id| whole(id, Err(fault.clone())));
                }
                Kind::Text | Kind::Stdin { is_jsonl: false, .. } => {
                    visit.document(name.clone(), name, |id| match self.whole(source) {
                        Ok((text, reading)) => {
                            Found { reading: Some(reading), ..whole(id, Ok(text)) }
                        }
                        Err(fault) => whole(id, Err(fault)),
                    });
                }
                Kind::Jsonl | Kind::Stdin { is_jsonl: true, .. } => {
                    if let Err(fault) = self.for_each_line(source_idx, &mut visit) {
                        visit.document(name.clone(), name, |id| whole(id, Err(fault)));
                    }
                }
            }
        }
    }

    /// Reads the documents of a file with one per line; hands out each with the place of its line.
    fn for_each_line(
        &self,
        source_idx: usize,
        visit: &mut Visit<impl FnMut(&str) -> bool, impl FnMut(Found)>,
    ) -> Result<(), Fault> {
        let source = &self.sources[source_idx];
        let file = source.open().map_err(Fault::unreadable)?;
        for line in Lines::new(BufReader::new(file), MOST_BYTES) {
            let line = line.map_err(Fault::unreadable)?;
            let at = format!("{}:{}", source.name(), line.number);
            let place = Place { source_idx, range: Some(line.range) };
            let document = match line.text {
                Some(text) if text.trim_ascii().is_empty() => continue,
                Some(text) => jsonl::document(&text, &self.fields),
                None => Err(Fault::TooLong),
            };
            let (id, label, text) = match document {
                Ok(document) => (document.id, document.label, document.text),
                Err(fault) => (None, None, Err(fault)),
            };
            let id = id.unwrap_or_else(|| at.clone());
            visit.document(id, at, |id| Found { label, ..Found::new(id, place, text) });
        }
        Ok(())
    }

    /// Reads a document again.
    ///
    /// # Errors
    /// If it cannot be read, or is no longer what it was.
    pub fn read(&self, place: &Place) -> Result<String, Fault> {
        let source = &self.sources[place.source_idx];
        match &place.range {
            None => self.whole(source).map(|(text, _)| text),
            Some(range) => {
                let bytes = source.line(range).map_err(Fault::unreadable)?;
                jsonl::document(&bytes, &self.fields)?.text
            }
        }
    }

    fn whole(&self, source: &Source) -> Result<(String, Reading), Fault> {
        let mut bytes = Vec::new();
        let file = source.open().map_err(Fault::unreadable)?;
        file.take(MOST_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(Fault::unreadable)?;
        if bytes.len() > MOST_BYTES {
            return Err(Fault::TooLong);
        }
        decode::text(bytes, &source.path)
    }
}

impl Source {
    fn open(&self) -> io::Result<File> {
        match &self.kind {
            Kind::Stdin { copy, .. } => {
                let mut file = copy.try_clone()?;
                file.rewind()?;
                Ok(file)
            }
            _ => File::open(&self.path),
        }
    }

    fn line(&self, range: &Range<u64>) -> io::Result<Vec<u8>> {
        let mut file = self.open()?;
        file.seek(SeekFrom::Start(range.start))?;
        let mut bytes = Vec::new();
        file.take(range.end - range.start).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Found {
    fn new(id: String, place: Place, text: Result<String, Fault>) -> Found {
        Found { id, place, label: None, text, reading: None }
    }
}

/// Hands out the documents that are wanted.
struct Visit<IsWanted, Each> {
    names: Names,
    is_wanted: IsWanted,
    each: Each,
}

impl<IsWanted: FnMut(&str) -> bool, Each: FnMut(Found)> Visit<IsWanted, Each> {
    /// Hands out the document at `at`, if it is wanted under the name that it gets; it is not read else.
    fn document(&mut self, id: String, at: String, read: impl FnOnce(String) -> Found) {
        let (id, fault) = self.names.give(id, at);
        if (self.is_wanted)(&id) {
            let found = read(id);
            let text = fault.map_or(Ok(()), Err).and(found.text);
            (self.each)(Found { text, ..found });
        }
    }
}

/// Which ids there have been, and where.
#[derive(Default)]
struct Names {
    places: HashMap<String, String>,
}

impl Names {
    /// The name of the document at `at`; if there has been another of its name, it is a fault, and has
    /// the name of its place.
    fn give(&mut self, mut id: String, at: String) -> (String, Option<Fault>) {
        let other = self.places.get(&id).cloned();
        let fault = other.map(|other| {
            let id = mem::replace(&mut id, at.clone());
            Fault::SameId { id, other }
        });
        while fault.is_some() && self.places.contains_key(&id) {
            id.push('\'');
        }
        self.places.insert(id.clone(), at);
        (id, fault)
    }
}
