//! What there is to do: all documents, seen once.

use super::error::SummarizeError;
use crate::documents::{Documents, Fault, Found, Place, Reading};
use crate::jobs::{Key, Part};
use std::cmp::Reverse;
use std::collections::HashMap;

/// Documents in a window, of which the longest come first: so the last ones are short, and the
/// model does not end up with a single long one.
const WINDOW: usize = 256;

/// One in so many documents of the first window are the shortest ones, and come before all others:
/// so the first summaries soon show whether the model and the instruction do.
const EARLY_SHARE: usize = 16;

/// A document to be summarized.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name.
    pub id: String,
    /// Where it lies.
    pub place: Place,
    /// Everything that its summary depends on.
    pub key: Key,
    /// Bytes of its text.
    pub n_bytes: usize,
}

/// All documents, or those of a shard, in their order.
#[derive(Debug, Default)]
pub struct Plan {
    /// The shard, if there is one.
    pub part: Option<Part>,
    /// Those that can be read.
    pub entries: Vec<Entry>,
    /// Those that cannot.
    pub faults: Vec<(String, Fault)>,
    /// How those were read in which bytes were replaced, or whose encoding had to be judged.
    pub readings: Vec<(String, Reading)>,
    /// The numbers of a shard's documents among all.
    numbers: HashMap<String, u64>,
    /// Index of an entry; none of what cannot be read.
    by_id: HashMap<String, Option<usize>>,
}

impl Plan {
    /// Reads all documents once. `key` tells what the summary of an id and a text depends on.
    ///
    /// # Errors
    /// If there are none.
    pub fn new(
        documents: &Documents,
        key: impl Fn(&str, &str) -> Key,
    ) -> Result<Plan, SummarizeError> {
        Plan::of(documents, None, key)
    }

    /// The same for those of a shard alone, where there is one.
    ///
    /// # Errors
    /// If there are none in all shards.
    pub fn of(
        documents: &Documents,
        mut part: Option<Part>,
        key: impl Fn(&str, &str) -> Key,
    ) -> Result<Plan, SummarizeError> {
        let (mut plan, mut numbers) = (Plan::default(), HashMap::new());
        let mut n_all = 0;
        let is_wanted = |id: &str| {
            // The texts of other shards are not read, so that their keys are not known.
            let is_own = part.as_mut().is_none_or(|part| part.take(id, None));
            if is_own && part.is_some() {
                numbers.insert(id.to_owned(), n_all);
            }
            n_all += 1;
            is_own
        };
        documents.for_each_of(is_wanted, |Found { id, place, text, reading, .. }| match text {
            Ok(text) => {
                let uncertain = reading.filter(|it| it.is_judged || it.n_replaced > 0);
                plan.readings.extend(uncertain.map(|reading| (id.clone(), reading)));
                plan.by_id.insert(id.clone(), Some(plan.entries.len()));
                let key = key(&id, &text);
                plan.entries.push(Entry { id, place, key, n_bytes: text.len() });
            }
            Err(fault) => {
                plan.by_id.insert(id.clone(), None);
                plan.faults.push((id, fault));
            }
        });
        match n_all {
            0 => Err(SummarizeError::NoDocuments { name: documents.first_name() }),
            _ => Ok(Plan { part, numbers, ..plan }),
        }
    }

    /// Documents, with those that cannot be read.
    pub fn n_documents(&self) -> usize {
        self.entries.len() + self.faults.len()
    }

    /// The document of this name, if it can be read.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id)?.map(|idx| &self.entries[idx])
    }

    /// Whether there is a document of this name, readable or not.
    pub fn has(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Leaves those documents alone whose summaries have these keys.
    pub fn keep(&mut self, mut is_kept: impl FnMut(&Key) -> bool) {
        self.faults.clear();
        self.entries.retain(|entry| is_kept(&entry.key));
        let places = self.entries.iter().enumerate();
        self.by_id = places.map(|(idx, entry)| (entry.id.clone(), Some(idx))).collect();
    }

    /// The number of a shard's document among all.
    pub fn number(&self, id: &str) -> Option<u64> {
        self.numbers.get(id).copied()
    }

    /// The documents that are `wanted`, in the order in which they are best summarized.
    pub fn in_working_order(&self, wanted: impl Fn(&Entry) -> bool) -> Vec<&Entry> {
        let mut entries: Vec<&Entry> = self.entries.iter().filter(|entry| wanted(entry)).collect();
        for window in entries.chunks_mut(WINDOW) {
            window.sort_by_key(|entry| Reverse(entry.n_bytes));
        }
        if let Some(first) = entries.chunks_mut(WINDOW).next() {
            first.rotate_right(first.len() / EARLY_SHARE);
        }
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{Fields, Wanted};
    use std::fs;

    #[test]
    fn the_longest_come_first_but_for_a_few() {
        let folder = tempfile::tempdir().unwrap();
        let lines: String = (0..300)
            .map(|idx| format!("{{\"text\":\"{}\"}}\n", "a".repeat(1 + idx * 37 % 300)))
            .collect();
        let path = folder.path().join("in.jsonl");
        fs::write(&path, lines).unwrap();
        let fields = Fields { text: "text".into(), ..Fields::default() };
        let documents = Documents::open(&[path], &Wanted::default(), fields).unwrap();
        let plan = Plan::new(&documents, |id, _| Key::of(&[("id", id.as_bytes())])).unwrap();
        let order = plan.in_working_order(|_| true);
        let n_bytes: Vec<usize> = order.iter().map(|entry| entry.n_bytes).collect();
        let (early, others) = n_bytes[..WINDOW].split_at(WINDOW / EARLY_SHARE);
        assert!(early.iter().max() < others.iter().min(), "{n_bytes:?}");
        for sorted in [early, others, &n_bytes[WINDOW..]] {
            assert!(sorted.is_sorted_by(|a, b| a >= b), "{n_bytes:?}");
        }
        let few = plan.in_working_order(|entry| entry.n_bytes <= 5);
        assert_eq!(few.iter().map(|entry| entry.n_bytes).collect::<Vec<_>>(), [5, 4, 3, 2, 1]);
    }
}
