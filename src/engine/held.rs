//! An answer that is held to a form.

use crate::constraint::{Constrained, Constraint, ConstraintError, TokenSet};
use std::sync::Arc;

/// What holds an answer to its form.
pub(super) struct Held {
    form: Arc<dyn Constraint>,
    is_own_text: bool,
    /// How far the answer is in its form; none before it is first asked, so that those who wait take no
    /// memory.
    state: Option<Box<dyn Constrained>>,
    /// What may come next, once it was found out.
    allowed: Option<Result<TokenSet, ConstraintError>>,
}

impl Held {
    /// An answer that has not begun.
    pub fn new(form: Arc<dyn Constraint>, is_own_text: bool) -> Held {
        Held { form, is_own_text, state: None, allowed: None }
    }

    fn state(&mut self) -> &mut dyn Constrained {
        let Held { form, is_own_text, state, .. } = self;
        state.get_or_insert_with(|| form.begin(*is_own_text)).as_mut()
    }

    /// Finds out what may come next.
    pub fn look_ahead(&mut self) {
        if self.allowed.is_none() {
            self.allowed = Some(self.state().allowed());
        }
    }

    /// What may come next.
    pub fn take_allowed(&mut self) -> Result<TokenSet, ConstraintError> {
        self.look_ahead();
        self.allowed.take().expect("it was found out")
    }

    /// Takes the next token of the answer, and says whether that completes it.
    pub fn push(&mut self, token: u32) -> Result<bool, ConstraintError> {
        let state = self.state();
        state.push(token)?;
        Ok(state.is_complete())
    }
}
