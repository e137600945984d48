//! Where a vocabulary of SentencePiece's kind wants a space before text.
//!
//! A GGUF's own key says only whether a text is preceded by one. What goes for the text behind a
//! special token differs from tokenizer to tokenizer; a file that gatefold made says that too.

use super::error::TokenizerError;
use super::keys::{ADD_SPACE_PREFIX, SPACE_BEFORE_TEXT, SPACE_BEHIND_TOKENS};
use super::vocabulary::beginning;
use crate::gguf::Metadata;
#[cfg(feature = "checkpoints")]
use crate::gguf::Value;

/// Whether a stretch of text is preceded by a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddSpace {
    /// It is not.
    Never,
    /// It is, unless it begins with one.
    UnlessThere,
    /// It is, even if it begins with one.
    Always,
}

/// Where spaces are put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spaces {
    /// Before a text that does not begin with a special token.
    pub before_text: AddSpace,
    /// Before each stretch of text behind a special token.
    pub behind_tokens: AddSpace,
}

const NAMES: [(AddSpace, &str); 3] = [
    (AddSpace::Never, "never"),
    (AddSpace::UnlessThere, "unless there"),
    (AddSpace::Always, "always"),
];

impl Spaces {
    /// Nowhere.
    pub const NONE: Spaces =
        Spaces { before_text: AddSpace::Never, behind_tokens: AddSpace::Never };

    /// Before a text, unless it begins with one.
    pub const FIRST: Spaces =
        Spaces { before_text: AddSpace::UnlessThere, behind_tokens: AddSpace::Never };

    /// Before every stretch, even if it begins with one.
    pub const EVERYWHERE: Spaces =
        Spaces { before_text: AddSpace::Always, behind_tokens: AddSpace::Always };

    /// Before every stretch, unless it begins with one.
    pub const UNLESS_THERE: Spaces =
        Spaces { before_text: AddSpace::UnlessThere, behind_tokens: AddSpace::UnlessThere };

    /// As files have it that say no more than whether there is a space before a text.
    pub fn by_default(adds_space_prefix: bool) -> Spaces {
        match adds_space_prefix {
            true => Spaces { before_text: AddSpace::Always, behind_tokens: AddSpace::UnlessThere },
            false => Spaces::NONE,
        }
    }

    /// Whether a text is preceded by a space, as far as a GGUF's own key can say it.
    pub fn adds_space_prefix(self) -> bool {
        self.before_text != AddSpace::Never
    }

    /// Where a file wants them.
    ///
    /// # Errors
    /// If a key has another type or value than it may have.
    pub(super) fn from_metadata(metadata: &Metadata) -> Result<Spaces, TokenizerError> {
        let default = Spaces::by_default(metadata.bool(ADD_SPACE_PREFIX)?.unwrap_or(true));
        Ok(Spaces {
            before_text: named(metadata, SPACE_BEFORE_TEXT)?.unwrap_or(default.before_text),
            behind_tokens: named(metadata, SPACE_BEHIND_TOKENS)?.unwrap_or(default.behind_tokens),
        })
    }

    /// Sets the keys that say so: gatefold's own only where the other one does not tell it all.
    #[cfg(feature = "checkpoints")]
    pub(crate) fn set(self, metadata: &mut Metadata) {
        metadata.set(ADD_SPACE_PREFIX, Value::Bool(self.adds_space_prefix()));
        let default = Spaces::by_default(self.adds_space_prefix());
        for (key, adds, by_default) in [
            (SPACE_BEFORE_TEXT, self.before_text, default.before_text),
            (SPACE_BEHIND_TOKENS, self.behind_tokens, default.behind_tokens),
        ] {
            if adds != by_default {
                let (_, name) = NAMES[adds as usize];
                metadata.set(key, Value::String(name.to_owned()));
            }
        }
    }
}

fn named(metadata: &Metadata, key: &'static str) -> Result<Option<AddSpace>, TokenizerError> {
    let Some(found) = metadata.str(key)? else { return Ok(None) };
    match NAMES.iter().find(|(_, name)| *name == found) {
        Some(&(adds, _)) => Ok(Some(adds)),
        None => {
            let supported = NAMES.map(|(_, name)| format!("`{name}`")).join(", ");
            Err(TokenizerError::Unsupported { key, found: beginning(found), supported })
        }
    }
}
