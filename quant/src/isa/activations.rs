//! Quantizing activations, with an instruction set's function for a block.

use super::Isa;
use crate::activations::{Activations, GroupMut};
use crate::format::ActivationKind;

impl Activations {
    /// Quantizes `x`, `[n_tokens, cols]`.
    ///
    /// # Panics
    /// If `cols` is not whole blocks of `kind`.
    #[must_use]
    pub fn new(isa: Isa, kind: ActivationKind, cols: usize, x: &[f32]) -> Activations {
        Activations::new_with(kind, cols, x, |x, codes| isa.quantize_block(x, codes))
    }
}

impl GroupMut<'_> {
    /// Stores `x`, `[cols]`, as row `t` of the group.
    ///
    /// # Panics
    /// If there is no such row or `x` has another length.
    pub fn fill(&mut self, isa: Isa, t: usize, x: &[f32]) {
        self.fill_with(t, x, |x, codes| isa.quantize_block(x, codes));
    }
}
