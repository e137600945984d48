//! Shards: parts of the work, each for a machine of its own.

use gatefold::text::count;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// One of so many shards. What belongs to it is told by names alone: so every machine knows it, and
/// nothing moves to another shard when there is more to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    idx: u64,
    n_shards: u64,
}

/// Why there is no telling which shard is meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardError {
    /// It is not written as shards are.
    #[error("expected I/N, as 0/4 for the first of four, or auto, or auto/N")]
    Form,
    /// There is no such shard.
    #[error("there is no shard {idx} of {n_shards}: they count from 0")]
    Range {
        /// Which is meant.
        idx: u64,
        /// How many there are.
        n_shards: u64,
    },
    /// No queue says which it is.
    #[error(
        "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set, by which auto tells the shard; start an array of jobs, or say I/N"
    )]
    NoJob,
    /// A queue says which it is, and not of how many.
    #[error("{variable} says which shard this is, and nothing says of how many; say auto/N")]
    NoCount {
        /// What says which.
        variable: &'static str,
    },
    /// A queue says what is no number.
    #[error("{variable} is {value:?}; expected a number from 0")]
    NoNumber {
        /// The variable.
        variable: &'static str,
        /// What it says.
        value: String,
    },
    /// An array of jobs that may not be all of one.
    #[error(
        "the array has {}, from {first} to {last}, which may be some of more, and does not say of how many shards; say auto/N, by which task I is shard I/N",
        count(*n_tasks as usize, "task")
    )]
    Gaps {
        /// Tasks of the array.
        n_tasks: u64,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
}

/// What Slurm calls a task of an array, and Kubernetes a pod of an indexed job.
const SLURM_TASK: &str = "SLURM_ARRAY_TASK_ID";
const JOB_INDEX: &str = "JOB_COMPLETION_INDEX";

impl Shard {
    /// The shard with this number, from 0, of so many.
    ///
    /// # Errors
    /// If there is none.
    pub fn new(idx: u64, n_shards: u64) -> Result<Shard, ShardError> {
        match idx < n_shards {
            true => Ok(Shard { idx, n_shards }),
            false => Err(ShardError::Range { idx, n_shards }),
        }
    }

    /// `I/N`; `auto/N`, where the queue says which of N this is; `auto`, where Slurm says both, since
    /// the tasks of the array are the shards. `variable` looks up what the queue says.
    ///
    /// # Errors
    /// If that says nothing, or there is no such shard.
    pub fn parse(
        text: &str,
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Shard, ShardError> {
        let number = |name| {
            let said = variable(name).filter(|value| !value.is_empty());
            let parse = |value: String| {
                let parsed = value.parse::<u64>();
                parsed.map_err(|_| ShardError::NoNumber { variable: name, value })
            };
            said.map(parse).transpose()
        };
        match text.split_once('/') {
            Some(("auto", n_shards)) => {
                let n_shards = n_shards.parse().map_err(|_| ShardError::Form)?;
                let idx =
                    number(SLURM_TASK)?.map_or_else(|| number(JOB_INDEX), |idx| Ok(Some(idx)));
                Shard::new(idx?.ok_or(ShardError::NoJob)?, n_shards)
            }
            Some(_) => text.parse(),
            None if text == "auto" => match (number(SLURM_TASK)?, number(JOB_INDEX)?) {
                (Some(task), _) => Shard::of_task(task, number),
                (None, Some(_)) => Err(ShardError::NoCount { variable: JOB_INDEX }),
                (None, None) => Err(ShardError::NoJob),
            },
            None => Err(ShardError::Form),
        }
    }

    /// That of a task of Slurm's: the first of the array has the first shard. An array that begins with
    /// another than 0 or 1, or has gaps, may be some tasks of a larger one, that are given again.
    fn of_task(
        task: u64,
        number: impl Fn(&'static str) -> Result<Option<u64>, ShardError>,
    ) -> Result<Shard, ShardError> {
        let no_count = ShardError::NoCount { variable: SLURM_TASK };
        let n_tasks = number("SLURM_ARRAY_TASK_COUNT")?.ok_or(no_count)?;
        let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let last = number("SLURM_ARRAY_TASK_MAX")?;
        let is_whole = |last: u64| last.checked_sub(first).is_some_and(|n| n / step + 1 == n_tasks);
        if first > 1 || last.is_some_and(|last| !is_whole(last)) {
            return Err(ShardError::Gaps { n_tasks, first, last: last.unwrap_or(task) });
        }
        Shard::new(task.saturating_sub(first) / step, n_tasks)
    }

    /// Which it is, from 0.
    pub fn idx(&self) -> u64 {
        self.idx
    }

    /// How many there are.
    pub fn n_shards(&self) -> u64 {
        self.n_shards
    }

    /// Whether what is called so belongs to it: the first eight bytes of the name's SHA-256, as a
    /// number in big-endian order, leave its own when divided by the number of shards.
    pub fn has(&self, name: &str) -> bool {
        let hash = Sha256::digest(name);
        let first = hash.iter().take(8).fold(0, |number, &byte| number << 8 | u64::from(byte));
        first % self.n_shards == self.idx
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.idx, self.n_shards)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> String {
        shard.to_string()
    }
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Shard, ShardError> {
        let numbers = text.split_once('/').and_then(|(idx, n_shards)| {
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let [idx, n_shards] =
                [idx, n_shards].map(|text| text.parse().ok().filter(|_| digits(text)));
            Some((idx?, n_shards?))
        });
        let (idx, n_shards) = numbers.ok_or(ShardError::Form)?;
        Shard::new(idx, n_shards)
    }
}

impl TryFrom<String> for Shard {
    type Error = ShardError;

    fn try_from(text: String) -> Result<Shard, ShardError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<String, ShardError> {
        let variable = |name: &'static str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.to_string())
        };
        Shard::parse(text, variable).map(|shard| shard.to_string())
    }

    #[test]
    fn shards_are_told_by_flags_and_by_queues() {
        let slurm = |task: &'static str, count: &'static str, min: &'static str, max| {
            let names = ["TASK_ID", "TASK_COUNT", "TASK_MIN", "TASK_MAX"];
            let names = names.map(|name| format!("SLURM_ARRAY_{name}").leak() as &str);
            names.into_iter().zip([task, count, min, max]).collect::<Vec<_>>()
        };
        let job = [("JOB_COMPLETION_INDEX", "2")];
        let told = |text: &str, variables: &[(&str, &str)]| parse(text, variables).unwrap();
        assert_eq!(told("0/1", &[]), "0/1");
        assert_eq!(told("3/4", &job), "3/4");
        assert_eq!(told("auto/4", &job), "2/4");
        assert_eq!(told("auto", &slurm("0", "4", "0", "3")), "0/4");
        assert_eq!(told("auto", &slurm("4", "4", "1", "4")), "3/4");
        assert_eq!(told("auto", &slurm("4", "4", "1", "")), "3/4");
        assert_eq!(told("auto/16", &slurm("7", "2", "3", "7")), "7/16");
        let step = [&slurm("20", "3", "0", "20")[..], &[("SLURM_ARRAY_TASK_STEP", "10")]].concat();
        assert_eq!(told("auto", &step), "2/3");

        let refused = |text: &str, variables: &[(&str, &str)]| parse(text, variables).unwrap_err();
        for text in
            ["", "1", "1/", "/2", "a/2", "1/b", "-1/2", "+1/2", "1/2/3", " 1/2", "auto/", "Auto"]
        {
            assert_eq!(refused(text, &job), ShardError::Form, "{text:?}");
        }
        assert_eq!(refused("4/4", &[]), ShardError::Range { idx: 4, n_shards: 4 });
        assert_eq!(refused("0/0", &[]), ShardError::Range { idx: 0, n_shards: 0 });
        assert_eq!(refused("auto/2", &job), ShardError::Range { idx: 2, n_shards: 2 });
        assert_eq!(refused("auto", &[]), ShardError::NoJob);
        assert_eq!(refused("auto/3", &[]), ShardError::NoJob);
        assert!(matches!(refused("auto", &job), ShardError::NoCount { .. }));
        let gaps = ShardError::Gaps { n_tasks: 2, first: 3, last: 7 };
        assert_eq!(refused("auto", &slurm("7", "2", "3", "7")), gaps);
        // Tasks that are given again are no array of their own.
        let alone = ShardError::Gaps { n_tasks: 1, first: 3, last: 3 };
        assert_eq!(refused("auto", &slurm("3", "1", "3", "3")), alone);
        let some = ShardError::Gaps { n_tasks: 2, first: 2, last: 3 };
        assert_eq!(refused("auto", &slurm("3", "2", "2", "3")), some);
        let alone = [("SLURM_ARRAY_TASK_ID", "1")];
        assert!(matches!(refused("auto", &alone), ShardError::NoCount { .. }));
        let wrong = [("SLURM_ARRAY_TASK_ID", "one")];
        assert!(matches!(refused("auto/2", &wrong), ShardError::NoNumber { .. }));
    }

    /// Every name is in one shard, and the shards are of like size. The names of the first line are
    /// those that `printf a | sha256sum` gives them.
    #[test]
    fn every_name_is_in_one_shard() {
        let shards = |n| (0..n).map(move |idx| Shard::new(idx, n).unwrap());
        let of = |name: &str, n| shards(n).find(|shard| shard.has(name)).map(|shard| shard.idx());
        // ca978112ca1bbdca..., 3e23e8160039594a...
        assert_eq!(of("a", 1 << 4), Some(0xa));
        assert_eq!(of("b", 1 << 8), Some(0x4a));
        let names: Vec<String> = (0..4000).map(|n| format!("row {n}")).collect();
        let sizes: Vec<usize> =
            shards(7).map(|shard| names.iter().filter(|name| shard.has(name)).count()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), names.len());
        assert!(sizes.iter().all(|size| (470..680).contains(size)), "{sizes:?}");
    }
}
