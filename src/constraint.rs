//! What an answer may be: which tokens may come next.

use std::fmt::Debug;
use thiserror::Error;

/// A form that answers must have. One serves any number of them.
pub trait Constraint: Debug + Send + Sync {
    /// An answer that has no token yet. Where it is a text of its own, the space with which
    /// SentencePiece begins one is no part of it.
    fn begin(&self, is_own_text: bool) -> Box<dyn Constrained>;
}

/// An answer on its way, and what may come next of it.
pub trait Constrained: Send {
    /// The tokens that may come next, with those that end the answer where it may end.
    ///
    /// # Errors
    /// If that cannot be found out within the limits on its work.
    fn allowed(&mut self) -> Result<TokenSet, ConstraintError>;

    /// Takes the token that was chosen, which is an allowed one that does not end the answer.
    ///
    /// # Errors
    /// If it was not allowed.
    fn push(&mut self, token: u32) -> Result<(), ConstraintError>;

    /// Whether the answer is complete and nothing can follow, so that it ends here.
    fn is_complete(&self) -> bool;
}

/// Why an answer cannot be held to its form any further.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the answer cannot be held to its form any further: {reason}")]
pub struct ConstraintError {
    /// What has happened.
    pub reason: String,
}

/// Some of the tokens of a vocabulary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSet {
    /// Token `id` is bit `id % 32` of word `id / 32`.
    words: Vec<u32>,
}

impl TokenSet {
    /// The tokens whose bits are set: token `id` is bit `id % 32` of word `id / 32`.
    pub fn from_words(words: Vec<u32>) -> TokenSet {
        TokenSet { words }
    }

    /// Whether a token is one of them.
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
    }

    /// Adds a token, or takes it away.
    pub fn set(&mut self, id: u32, is_in: bool) {
        let idx = id as usize / 32;
        if idx >= self.words.len() {
            self.words.resize(idx + 1, 0);
        }
        match is_in {
            true => self.words[idx] |= 1 << (id % 32),
            false => self.words[idx] &= !(1 << (id % 32)),
        }
    }
}

impl FromIterator<u32> for TokenSet {
    fn from_iter<T: IntoIterator<Item = u32>>(ids: T) -> TokenSet {
        let mut set = TokenSet::default();
        ids.into_iter().for_each(|id| set.set(id, true));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::TokenSet;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let mut set: TokenSet = [3, 31, 32, 100].into_iter().collect();
        set.set(31, false);
        let found: Vec<u32> = (0..200).filter(|&id| set.contains(id)).collect();
        assert_eq!(found, [3, 32, 100]);
        assert!(!set.contains(u32::MAX));
    }
}
