//! What an earlier run has left to do.

use super::answer::{BEGINNING, Kept};
use super::input::Plan;
use crate::jobs::{JobsError, Key, Results};
use std::collections::HashSet;
use std::path::Path;

/// What was found in an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Requests that have their line.
    pub n_done: usize,
    /// Those among them that were refused.
    pub n_refused: usize,
    /// Lines that are dropped since their request, or the model, is not what it was.
    pub n_changed: usize,
    /// Lines that are dropped since they tell of a fault that was not the request's.
    pub n_retried: usize,
    /// Answers to requests that the input does not have, which are kept.
    pub n_others: usize,
}

impl Found {
    /// Opens the output of a plan, and finds out what is done.
    ///
    /// # Errors
    /// As [`Results::open`].
    pub fn open(path: &Path, plan: &Plan) -> Result<(Results, Found), JobsError> {
        let planned: HashSet<&Key> = plan.items.iter().map(|item| &item.key).collect();
        let mut found = Found::default();
        let (mut done, mut refused) = (HashSet::new(), HashSet::new());
        let results = Results::open(path, BEGINNING, |line: Kept| {
            let (key, status) = (line.id.0, line.response.status_code);
            let is_known = line.custom_id.is_some_and(|id| plan.custom_ids.contains(&id));
            if status >= 500 {
                found.n_retried += 1;
                return None;
            }
            if planned.contains(&key) {
                done.insert(key.clone());
                if status >= 400 {
                    refused.insert(key.clone());
                }
                return Some(key);
            }
            match is_known {
                true => found.n_changed += 1,
                // What is wrong with a line that is gone is of no use to anyone.
                false if status >= 400 => {}
                false => {
                    found.n_others += 1;
                    return Some(key);
                }
            }
            None
        })?;
        found.n_done = done.len();
        found.n_refused = refused.len();
        Ok((results, found))
    }
}
