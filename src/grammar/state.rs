//! How far an answer is in its grammar.

use super::reason::reason;
use super::vocabulary::Spellings;
use crate::constraint::{Constrained, ConstraintError, TokenSet};
use llguidance::Matcher;
use llguidance::api::StopReason;
use std::fmt::Display;
use std::sync::Arc;

/// An answer on its way through a grammar.
pub(super) struct State {
    matcher: Matcher,
    /// What is allowed of first tokens, and what some of them stand for, until the first has come.
    first: Option<(Matcher, Arc<Spellings>)>,
}

impl State {
    /// An answer without tokens, by matchers that have seen none.
    pub fn new(matcher: Matcher, first: Option<(Matcher, Arc<Spellings>)>) -> State {
        State { matcher, first }
    }
}

fn failed(error: impl Display) -> ConstraintError {
    ConstraintError { reason: reason(error) }
}

impl Constrained for State {
    fn allowed(&mut self) -> Result<TokenSet, ConstraintError> {
        let matcher = self.first.as_mut().map_or(&mut self.matcher, |(matcher, _)| matcher);
        match matcher.compute_mask_or_eos() {
            Ok(mask) => Ok(TokenSet::from_words(mask.as_slice().to_vec())),
            Err(_) if matcher.get_error().as_deref().is_some_and(is_dead_end) => {
                Ok(TokenSet::default())
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn push(&mut self, token: u32) -> Result<(), ConstraintError> {
        let first = self.first.take();
        let spelling = first.as_ref().and_then(|(_, spellings)| spellings.get(&token));
        let taken = match spelling {
            Some(tokens) => self.matcher.consume_tokens(tokens),
            None => self.matcher.consume_token(token),
        };
        taken.map_err(failed)
    }

    fn is_complete(&self) -> bool {
        self.matcher.stop_reason() == StopReason::NoExtension
    }
}

/// Whether the matcher has stopped since nothing may follow.
fn is_dead_end(error: &str) -> bool {
    error.starts_with(&StopReason::NoExtensionBias.to_string())
}
