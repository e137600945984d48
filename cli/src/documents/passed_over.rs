//! Files in folders that are no documents, by kind.

use super::wanted::LeftOut;
use gatefold::text::count;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::path::Path;

/// Kinds that are named, those with the most files; the others are counted together.
const MOST_KINDS: usize = 12;

/// Characters of an ending: what is longer is a part of a name.
const MOST_ENDING: usize = 12;

/// How many files of folders are no documents, by kind: `3 files passed over: 1 .pdf, 2 .csv`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver {
    kinds: BTreeMap<String, usize>,
}

impl PassedOver {
    /// Counts a file.
    pub(super) fn add(&mut self, path: &Path, why: LeftOut) {
        let kind = match why {
            LeftOut::Hidden => "hidden".into(),
            LeftOut::Name => kind_of(path),
            LeftOut::Beside => "called like a summary of --beside".into(),
            // The run knows its own files.
            LeftOut::Own => return,
        };
        *self.kinds.entry(kind).or_default() += 1;
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }

    /// How many they are.
    pub fn n_files(&self) -> usize {
        self.kinds.values().sum()
    }
}

impl Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n_files = self.n_files();
        write!(f, "{} passed over", count(n_files, "file"))?;
        let mut kinds: Vec<(&String, &usize)> = self.kinds.iter().collect();
        // The rarest first: many of a kind are no surprise.
        kinds.sort_by_key(|&(_, n_files)| n_files);
        let (others, named) = kinds.split_at(kinds.len().saturating_sub(MOST_KINDS));
        for (idx, (kind, n_files)) in named.iter().enumerate() {
            write!(f, "{} {n_files} {kind}", if idx == 0 { ":" } else { "," })?;
        }
        match others.iter().map(|(_, n_files)| **n_files).sum() {
            0 => Ok(()),
            n_others => write!(f, ", {n_others} of other kinds"),
        }
    }
}

/// A file's kind, by the ending of its name, in whatever case.
fn kind_of(path: &Path) -> String {
    let ending = path.extension().and_then(|ending| ending.to_str()).filter(|ending| {
        let is_one = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '~');
        (1..=MOST_ENDING).contains(&ending.chars().count()) && ending.chars().all(is_one)
    });
    match ending {
        Some(ending) => format!(".{}", ending.to_lowercase()),
        None => "without an ending".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_over(names: &[&str]) -> String {
        let mut passed_over = PassedOver::default();
        names.iter().for_each(|name| passed_over.add(Path::new(name), LeftOut::Name));
        passed_over.to_string()
    }

    #[test]
    fn kinds_are_endings_in_any_case() {
        assert_eq!(passed_over(&["a.pdf"]), "1 file passed over: 1 .pdf");
        assert_eq!(
            passed_over(&["a.csv", "b.CSV", "c.pdf"]),
            "3 files passed over: 1 .pdf, 2 .csv"
        );
        let without = ["README", "Letter to Mr. Smith", "end.", "a.very-long-ending"];
        assert_eq!(passed_over(&without), "4 files passed over: 4 without an ending");
    }

    #[test]
    fn a_run_s_own_files_are_not_told() {
        let mut passed_over = PassedOver::default();
        let path = Path::new("out.jsonl");
        passed_over.add(path, LeftOut::Own);
        assert!(passed_over.is_empty());
        passed_over.add(path, LeftOut::Hidden);
        assert_eq!(passed_over.to_string(), "1 file passed over: 1 hidden");
    }

    #[test]
    fn few_of_many_kinds_are_named() {
        let names: Vec<String> = (0..40).map(|idx| format!("a.x{}", idx % 20)).collect();
        let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
        names.extend(["a.pdf"; 3]);
        let said = passed_over(&names);
        assert!(said.ends_with(", 3 .pdf, 18 of other kinds"), "{said}");
        assert_eq!(said.split(',').count(), MOST_KINDS + 1);
    }
}
