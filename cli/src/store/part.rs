//! Parts of long lists.

use super::batches::BatchRecord;
use super::files::FileRecord;
use super::folder::Store;
use super::id::Id;
use std::collections::BTreeMap;
use std::ops::Bound;

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Behind what it begins; without, at the beginning.
    pub after: Option<Id>,
    /// Whether the oldest come first.
    pub is_ascending: bool,
    /// How many are wanted.
    pub most: usize,
}

impl Store {
    /// A part of the list of those files that `is_wanted`; none if there is nothing of the name behind
    /// which it begins.
    pub fn files(
        &self,
        part: &Part,
        is_wanted: impl Fn(&FileRecord) -> bool,
    ) -> Option<Vec<FileRecord>> {
        part.of(&self.state().files, is_wanted)
    }

    /// A part of the list of all batches, likewise.
    pub fn batches(&self, part: &Part) -> Option<Vec<BatchRecord>> {
        part.of(&self.state().batches, |_| true)
    }
}

impl Part {
    fn of<T: Clone>(
        &self,
        records: &BTreeMap<Id, T>,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Option<Vec<T>> {
        if self.after.as_ref().is_some_and(|after| !records.contains_key(after)) {
            return None;
        }
        let after = self.after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let wanted = |record: &&T| is_wanted(record);
        Some(match self.is_ascending {
            true => {
                let behind = records.range((after, Bound::Unbounded)).map(|(_, record)| record);
                behind.filter(wanted).take(self.most).cloned().collect()
            }
            false => {
                let before = records.range((Bound::Unbounded, after)).map(|(_, record)| record);
                before.rev().filter(wanted).take(self.most).cloned().collect()
            }
        })
    }
}
