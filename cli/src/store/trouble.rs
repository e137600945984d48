//! Why a batch does not go on.

use super::error::{StoreError, storage_fault};
use crate::batch::BatchError;
use crate::jobs::JobsError;
use crate::openai::Fault;
use thiserror::Error;

/// Why a batch does not go on.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Jobs(#[from] JobsError),
}

/// What a client is told of it: all but where on this machine it is.
impl From<Trouble> for Fault {
    fn from(trouble: Trouble) -> Fault {
        match trouble {
            Trouble::Store(error) => error.into(),
            Trouble::Batch(BatchError::Input { error, .. }) => {
                storage_fault("the input cannot be read", &error)
            }
            Trouble::Batch(BatchError::Changed { line, .. }) => {
                let message = format!("line {line} of the input has changed on the disk");
                Fault::ours("storage_failed", message)
            }
            Trouble::Batch(BatchError::Results(error)) | Trouble::Jobs(error) => of_results(&error),
        }
    }
}

fn of_results(error: &JobsError) -> Fault {
    match error {
        JobsError::File { action, error, .. } => {
            storage_fault(&format!("the results cannot be {action}"), error)
        }
        JobsError::Append { error, .. } | JobsError::Stdout(error) => {
            storage_fault("the results cannot be written", error)
        }
        JobsError::Foreign { line, .. } => {
            let message = format!("line {line} of the results so far is none of this server's");
            Fault::ours("storage_failed", message)
        }
        JobsError::OtherShard { .. } | JobsError::Stray { .. } | JobsError::Changed { .. } => {
            Fault::ours("storage_failed", "the results so far are none of this server's")
        }
        JobsError::Claim(_) => Fault::ours("storage_failed", "the results cannot be opened"),
    }
}
