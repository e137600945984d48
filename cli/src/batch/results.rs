//! What an earlier run has left to do, and what becomes of its lines.

use super::answer::{BEGINNING, Kept, KeptFault};
use super::input::Plan;
use super::reasons::Reasons;
use crate::jobs::{JobsError, Key, Part, Results};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::Path;

/// What was found in an output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Requests that have their line.
    pub n_done: usize,
    /// Those among them that were refused.
    pub n_refused: usize,
    /// Why these were.
    pub reasons: Reasons,
    /// Requests that have a line, but are not what they were, or the model is not.
    pub n_changed: usize,
    /// Requests that failed, but through no fault of their own.
    pub n_retried: usize,
    /// Answers to requests that the input does not have, which are kept.
    pub n_others: usize,
}

impl Found {
    /// Opens the output of a plan, and finds out what is done.
    ///
    /// # Errors
    /// As [`Results::open_shard`], and if there are answers of another shard.
    pub fn open(path: &Path, plan: &Plan) -> Result<(Results, Found), JobsError> {
        let mut found = Found::default();
        let shard = plan.part.as_ref().map(|part| part.shard);
        let mut stray = None;
        let (mut done, mut refused) = (HashSet::new(), HashSet::new());
        let (mut failed, mut changed) = (HashSet::new(), HashSet::new());
        let results = Results::open_shard(path, BEGINNING, shard, |line: Kept| {
            if let Some(shard) = shard.filter(|shard| !shard.has(line.name())) {
                stray.get_or_insert(JobsError::stray(path, line.name(), shard));
            }
            let (status, custom_id) = (line.response.status_code, line.custom_id.clone());
            let (standing, fault) = line.standing(plan);
            match standing {
                Standing::Planned(key) if status >= 500 => {
                    failed.insert(key);
                }
                Standing::Planned(key) => {
                    let is_refused = status >= 400 && refused.insert(key.clone());
                    if let Some(fault) = fault.filter(|_| is_refused) {
                        let KeptFault { code, param, message } = &fault;
                        found.reasons.insert(plan.keys[&key], code, param.as_deref(), message);
                    }
                    done.insert((key.clone(), custom_id));
                    return Some(key);
                }
                Standing::Changed => {
                    changed.insert(custom_id);
                }
                Standing::Other(_) => found.n_others += 1,
                Standing::Useless => {}
            }
            None
        })?;
        stray.map_or(Ok(()), Err)?;
        let done_ids: HashSet<&Option<String>> = done.iter().map(|(_, id)| id).collect();
        found.n_changed = changed.iter().filter(|id| !done_ids.contains(id)).count();
        found.n_retried = failed.iter().filter(|key| !results.has(key)).count();
        // A line that somebody copied under another name is no other request.
        found.n_done = done.iter().map(|(key, _)| key).collect::<HashSet<_>>().len();
        found.n_refused = refused.len();
        Ok((results, found))
    }
}

/// Drops the lines that a finished run has replaced. Each request of the plan is left with one line,
/// the last: an old answer to what is refused now would be one to another request.
///
/// # Errors
/// As [`Results::retain`].
pub(super) fn drop_replaced(results: &mut Results, plan: &Plan) -> Result<(), JobsError> {
    let name = |line: Kept| match line.standing(plan).0 {
        Standing::Planned(key) | Standing::Other(key) => Some(key),
        Standing::Changed | Standing::Useless => None,
    };
    results.retain(name).map(|_| ())
}

/// Seals the answers of a shard that is done.
///
/// # Errors
/// As [`Results::seal`].
pub(super) fn seal(results: &mut Results, plan: &Plan, part: &Part) -> Result<(), JobsError> {
    let number = |line: Kept| plan.keys.get(&line.id.0).map(|&number| number as u64);
    results.seal(part, number)
}

/// How many requests an output answers and refuses, as far as it can be read.
pub fn count_rows(path: &Path) -> [usize; 2] {
    let mut statuses = HashMap::new();
    let see = |line: Kept, _: &[u8]| {
        statuses.insert(line.id.0, line.response.status_code);
    };
    // Whoever goes on with it hears what is wrong.
    let _ = Results::read(path, BEGINNING, see);
    let n_of =
        |range: Range<u16>| statuses.values().filter(|status| range.contains(status)).count();
    [n_of(0..400), n_of(400..500)]
}

/// Shows `see` the answers in an output and what it says is wrong with requests, each with its key.
/// Returns how many lines are of what failed through no fault of a request, which are not shown.
///
/// # Errors
/// As [`Results::read`].
pub fn for_each_answer(path: &Path, mut see: impl FnMut(Key, &[u8])) -> Result<usize, JobsError> {
    let mut n_failed = 0;
    Results::read(path, BEGINNING, |line: Kept, text| match line.response.status_code {
        ..500 => see(line.id.0, text),
        _ => n_failed += 1,
    })?;
    Ok(n_failed)
}

/// Hands on the lines of an output: answers to one, and to the other what is wrong with requests. Returns
/// how many there were of each.
///
/// # Errors
/// If the output cannot be read, or a line not taken.
pub fn separate<E: From<JobsError>>(
    path: &Path,
    answers: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    faults: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<[usize; 2], E> {
    let mut counts = [0, 0];
    let mut taken = Ok(());
    Results::read(path, BEGINNING, |line: Kept, text| {
        let is_refused = line.response.status_code >= 400;
        counts[usize::from(is_refused)] += 1;
        if taken.is_ok() {
            taken = if is_refused { faults(text) } else { answers(text) };
        }
    })?;
    taken.map(|()| counts)
}

/// What a line is to a plan.
enum Standing {
    /// The result of one of its requests.
    Planned(Key),
    /// The result of a request that had the name of one.
    Changed,
    /// The answer to a request that it does not have.
    Other(Key),
    /// What is wrong with a request that is gone.
    Useless,
}

impl Kept {
    /// What it is to a plan, and what it says is wrong.
    fn standing(self, plan: &Plan) -> (Standing, Option<KeptFault>) {
        let key = self.id.0;
        let standing = if plan.keys.contains_key(&key) {
            Standing::Planned(key)
        } else if self.custom_id.is_some_and(|id| plan.custom_ids.contains(&id)) {
            Standing::Changed
        } else if self.response.status_code >= 400 {
            Standing::Useless
        } else {
            Standing::Other(key)
        };
        (standing, self.response.body.error)
    }
}
