//! The rows of `gatefold verify`: which of them are computed again, and what comes of it.

use crate::jobs::{JobsError, Key, Row, difference};
use gatefold::text::printable;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Write};
use std::str::FromStr;

/// How many rows are computed again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// A part of all: `1%`.
    Share(f64),
    /// So many: `20`.
    Count(usize),
}

impl FromStr for Sample {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Sample, &'static str> {
        let sample = match text.strip_suffix('%') {
            Some(percent) => {
                percent.parse().ok().map(|percent: f64| Sample::Share(percent / 100.0))
            }
            None => text.parse().ok().map(Sample::Count),
        };
        let is_some = |sample: &Sample| match *sample {
            Sample::Share(share) => share > 0.0 && share <= 1.0,
            Sample::Count(n_rows) => n_rows > 0,
        };
        sample.filter(is_some).ok_or("expected is a part of all rows, as 1%, or a number of them")
    }
}

impl Sample {
    /// How many of `n_all` rows that are: one at least, if there is one.
    fn n_rows(self, n_all: usize) -> usize {
        match self {
            Sample::Share(share) => ((share * n_all as f64).ceil() as usize).clamp(1, n_all.max(1)),
            Sample::Count(n_rows) => n_rows,
        }
    }
}

/// The rows that are computed again, with what is said of them.
pub struct Rows {
    /// Lines of what failed, which are no results.
    pub n_failed: usize,
    /// Rows of the input of which there is no result.
    pub n_missing: usize,
    all: HashSet<Key>,
    texts: BTreeMap<Key, Vec<Vec<u8>>>,
    /// Those that the input has.
    met: HashSet<Key>,
    again: BTreeMap<Key, Vec<u8>>,
}

/// What came of rows that were picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Those that are not the same, or could not be computed.
    pub n_other: usize,
    /// Those that the input does not have, or not so.
    pub n_unknown: usize,
}

impl Rows {
    /// Picks rows of those that `for_each` shows, and of which it returns how many it does not show: always
    /// the same for the same `salt`, and other ones for another.
    ///
    /// # Errors
    /// Those of `for_each`.
    pub fn pick(
        sample: Sample,
        salt: &str,
        mut for_each: impl FnMut(&mut dyn FnMut(Key, &[u8])) -> Result<usize, JobsError>,
    ) -> Result<Rows, JobsError> {
        let mut keys = HashSet::new();
        let n_failed = for_each(&mut |key, _| {
            keys.insert(key);
        })?;
        let all = keys.clone();
        let rank =
            |key: &Key| Key::of(&[("salt", salt.as_bytes()), ("row", key.as_str().as_bytes())]);
        let mut keys: Vec<Key> = keys.into_iter().collect();
        keys.sort_by_cached_key(rank);
        keys.truncate(sample.n_rows(all.len()));
        let mut texts: BTreeMap<Key, Vec<Vec<u8>>> =
            keys.into_iter().map(|key| (key, Vec::new())).collect();
        for_each(&mut |key, text| {
            if let Some(texts) = texts.get_mut(&key) {
                texts.push(text.into());
            }
        })?;
        let (met, again) = Default::default();
        Ok(Rows { n_failed, n_missing: 0, all, texts, met, again })
    }

    /// How many there are.
    pub fn n_all(&self) -> usize {
        self.all.len()
    }

    /// How many are computed again.
    pub fn n_picked(&self) -> usize {
        self.texts.len()
    }

    /// Takes note that the input has the row with this key, and tells whether it is one of these.
    pub fn meet(&mut self, key: &Key) -> bool {
        self.n_missing += usize::from(!self.all.contains(key));
        let is_picked = self.texts.contains_key(key);
        if is_picked {
            self.met.insert(key.clone());
        }
        is_picked
    }

    /// Takes a row that was computed again.
    pub fn take(&mut self, key: Key, text: &[u8]) {
        self.again.insert(key, text.into());
    }

    /// Prints what is not the same, a line each.
    ///
    /// # Errors
    /// If stdout cannot be written.
    pub fn compare(&self) -> io::Result<Compared> {
        let mut out = io::stdout().lock();
        let mut compared = Compared { n_other: 0, n_unknown: 0 };
        for (key, texts) in &self.texts {
            let again = self.again.get(key);
            let what = texts.iter().find_map(|text| match again {
                None if !self.met.contains(key) => {
                    Some("does not come of this input, this model and these settings".into())
                }
                None => Some("could not be computed again here".into()),
                Some(again) => difference(text, again)
                    .map(|place| format!("is another when it is computed again, first in {place}")),
            });
            let Some(what) = what else { continue };
            match self.met.contains(key) {
                true => compared.n_other += 1,
                false => compared.n_unknown += 1,
            }
            let row = texts.iter().find_map(|text| serde_json::from_slice::<Row>(text).ok());
            let name = row.as_ref().map_or(key.as_str(), Row::name);
            writeln!(out, "{}: {what}", printable(name))?;
        }
        Ok(compared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_shares_or_numbers() {
        let n_rows = |text: &str, n_all| text.parse::<Sample>().unwrap().n_rows(n_all);
        assert_eq!(n_rows("1%", 1000), 10);
        assert_eq!(n_rows("1%", 1001), 11);
        assert_eq!(n_rows("0.5%", 3), 1);
        assert_eq!(n_rows("100%", 7), 7);
        assert_eq!(n_rows("20", 7), 20);
        for text in ["", "%", "0", "0%", "101%", "-1%", "nan%", "inf%", "1.5", "a"] {
            assert!(text.parse::<Sample>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pick_is_the_same_each_time_and_another_with_other_salt() {
        let keys: Vec<Key> = (0..100_u32).map(|n| Key::of(&[("n", &n.to_le_bytes())])).collect();
        let pick = |salt| {
            let rows = Rows::pick(Sample::Count(10), salt, |see| {
                keys.iter().for_each(|key| see(key.clone(), b"{}"));
                Ok(0)
            });
            let mut rows = rows.unwrap();
            assert_eq!((rows.n_all(), rows.n_picked()), (100, 10));
            keys.iter().filter(|key| rows.meet(key)).cloned().collect::<Vec<_>>()
        };
        assert_eq!(pick(""), pick(""));
        assert_ne!(pick(""), pick("a"));
    }
}
