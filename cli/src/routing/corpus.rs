//! The texts of an analysis, and the domains that they are of.

use crate::documents::{Documents, DocumentsError, Fault, Found, Place};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Most domains: each has its counts.
const MAX_DOMAINS: usize = 32;

/// A text to be read.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it is called.
    pub id: String,
    /// Its domain.
    pub domain_idx: usize,
    /// Its number in its domain.
    pub document_idx: u64,
    /// Where it lies.
    pub place: Place,
    /// Bytes of it.
    pub n_bytes: u64,
}

/// All texts, seen once.
pub struct Corpus {
    /// Where they lie.
    pub documents: Documents,
    /// The names of the domains.
    pub domains: Vec<String>,
    /// The texts, in their order.
    pub entries: Vec<Entry>,
    /// What cannot be read.
    pub faults: Vec<(String, Fault)>,
    /// SHA-256 over domains and texts.
    pub digest: [u8; 32],
}

/// Why texts make no corpus.
#[derive(Debug, Error)]
pub enum CorpusError {
    /// There are none.
    #[error(transparent)]
    Documents(#[from] DocumentsError),
    /// None of them can be read.
    #[error("none of the texts can be read: {id} {fault}")]
    Faults {
        /// The first of them.
        id: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Files without a line.
    #[error("there are no texts: {0} is empty; name files or folders, or pipe a text in")]
    Empty(String),
    /// Each would have its counts.
    #[error(
        "there are more than {MAX_DOMAINS} domains, and each path that is named is one; put files of a kind into a folder, and name that"
    )]
    Domains,
}

impl Corpus {
    /// Reads all texts once. `paths` are those that documents were opened with: each is a domain, in a
    /// folder that is named alone each folder in it; where lines have labels, these are the domains.
    ///
    /// # Errors
    /// If there is no text, or too many domains.
    pub fn new(
        documents: Documents,
        paths: &[PathBuf],
        mut found_one: impl FnMut(),
    ) -> Result<Corpus, CorpusError> {
        let mut corpus = Corpus {
            documents,
            domains: Vec::new(),
            entries: Vec::new(),
            faults: Vec::new(),
            digest: [0; 32],
        };
        let Corpus { documents, domains, entries, faults, digest } = &mut corpus;
        let mut sizes: Vec<u64> = Vec::new();
        let mut hasher = Sha256::new();
        documents.for_each(|Found { id, place, label, text, .. }| {
            found_one();
            let text = match text {
                Ok(text) => text,
                Err(fault) => return faults.push((id, fault)),
            };
            let domain = label.unwrap_or_else(|| domain(documents.path_of(&place), paths));
            hasher.update((domain.len() as u64).to_le_bytes());
            hasher.update(&domain);
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(&text);
            let known = domains.iter().position(|known| *known == domain);
            let domain_idx = known.unwrap_or(domains.len());
            if known.is_none() {
                // One beyond the most is enough to know.
                if domains.len() > MAX_DOMAINS {
                    return;
                }
                domains.push(domain);
                sizes.push(0);
            }
            let document_idx = sizes[domain_idx];
            sizes[domain_idx] += 1;
            entries.push(Entry { id, domain_idx, document_idx, place, n_bytes: text.len() as u64 });
        });
        *digest = hasher.finalize().into();
        if domains.len() > MAX_DOMAINS {
            return Err(CorpusError::Domains);
        }
        match (entries.is_empty(), faults.first().cloned()) {
            (false, _) => Ok(corpus),
            (true, Some((id, fault))) => Err(CorpusError::Faults { id, fault }),
            (true, None) => Err(CorpusError::Empty(documents.first_name())),
        }
    }

    /// Bytes of all texts.
    pub fn n_bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.n_bytes).sum()
    }
}

/// The domain of a file that these paths lead to.
fn domain(file: &Path, paths: &[PathBuf]) -> String {
    if file == Path::new("-") {
        return "stdin".into();
    }
    let Some(path) = paths.iter().find(|path| file.starts_with(path)) else {
        return name(file);
    };
    let below = file.strip_prefix(path).unwrap_or(file);
    let first = below.components().next().filter(|_| below.components().count() > 1);
    match first {
        Some(folder) if paths.len() == 1 => folder.as_os_str().to_string_lossy().into_owned(),
        _ if path == file => name(file),
        _ => {
            let is_other = |other: &&PathBuf| *other != path && name(other) == name(path);
            let is_shared = paths.iter().any(|other| is_other(&other));
            if is_shared { path.display().to_string() } else { name(path) }
        }
    }
}

/// A file's name without its ending, or that of a folder.
fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.into());
    let name = if path.is_dir() { whole.file_name() } else { path.file_stem() };
    name.map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Fields, Wanted};
    use std::fs;

    fn corpus(folder: &Path, paths: &[&str], label: Option<&str>) -> Result<Corpus, CorpusError> {
        let paths: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
        let label = label.map(str::to_owned);
        let fields = Fields { text: "text".into(), id: None, label };
        let documents = Documents::open(&paths, &Wanted::default(), fields)?;
        Corpus::new(documents, &paths, || ())
    }

    fn domains(folder: &Path, paths: &[&str], label: Option<&str>) -> Vec<(String, u64)> {
        let corpus = corpus(folder, paths, label).unwrap();
        let name = |entry: &Entry| (corpus.domains[entry.domain_idx].clone(), entry.document_idx);
        corpus.entries.iter().map(name).collect()
    }

    #[test]
    fn paths_folders_and_labels_are_domains() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        for (file, text) in [
            ("law/a.txt", "a"),
            ("law/old/b.txt", "b"),
            ("code/c.txt", "c"),
            ("more/law/d.txt", "d"),
            ("e.txt", "e"),
            ("lines.jsonl", "{\"text\":\"x\",\"kind\":\"k\"}\n{\"text\":\"y\",\"kind\":2}\n"),
        ] {
            fs::create_dir_all(at.join(file).parent().unwrap()).unwrap();
            fs::write(at.join(file), text).unwrap();
        }
        let named = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
            list.iter().map(|&(name, idx)| (name.to_owned(), idx)).collect()
        };
        let found = domains(at, &["law", "code", "e.txt"], None);
        assert_eq!(found, named(&[("law", 0), ("law", 1), ("code", 0), ("e", 0)]));
        let found = domains(at, &["more"], None);
        assert_eq!(found, named(&[("law", 0)]), "the folders of a folder that is named alone");
        let found = domains(at, &["law"], None);
        assert_eq!(found, named(&[("law", 0), ("old", 0)]));
        let found = domains(at, &["lines.jsonl"], Some("kind"));
        assert_eq!(found, named(&[("k", 0), ("2", 0)]));
        let found = domains(at, &["law", "more/law"], None);
        assert!(found[0].0.ends_with("law") && found[0].0 != found[2].0, "{found:?}");

        let digest = |paths: &[&str]| corpus(at, paths, None).unwrap().digest;
        assert_eq!(digest(&["law"]), digest(&["law"]));
        assert_ne!(digest(&["law"]), digest(&["law/a.txt", "law/old/b.txt"]));
        fs::write(at.join("empty.txt"), "").unwrap();
        let error = corpus(at, &["empty.txt"], None).err().unwrap().to_string();
        assert!(error.contains("has no text in it"), "{error}");
        let many: String =
            (0..40).map(|idx| format!("{{\"text\":\"x\",\"kind\":{idx}}}\n")).collect();
        fs::write(at.join("many.jsonl"), many).unwrap();
        let error = corpus(at, &["many.jsonl"], Some("kind")).err().unwrap().to_string();
        assert!(error.contains("more than 32 domains"), "{error}");
    }
}
