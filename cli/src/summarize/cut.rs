//! Texts to prompts that fit into the context.

use super::error::{Failure, SummarizeError};
use super::prompt::Prompts;
use super::split::{Pieces, halves};
use gatefold::engine::common_prefix;
use gatefold::tokenizer::{ChatError, Specials, Tokenizer};
use serde::Serialize;

/// Fewest tokens of text that are worth a prompt. No character takes more.
const LEAST_TEXT: usize = 16;

/// How long a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// Its tokens.
    pub n_tokens: usize,
    /// Parts that it has to be cut into; 1 for the whole.
    pub n_parts: usize,
}

/// Turns texts into prompts.
pub struct Cutter<'m> {
    tokenizer: &'m Tokenizer,
    prompts: Prompts,
    /// Tokens of text beside the prompt and the summary.
    n_text: usize,
    /// Tokens of context that are left for the prompt with its text.
    n_prompt: usize,
    max_tokens: usize,
}

impl<'m> Cutter<'m> {
    /// For a context of so many tokens, of which the summary may take `max_tokens`.
    ///
    /// # Errors
    /// If that leaves no room for a text, or the prompt cannot be written.
    pub fn new(
        tokenizer: &'m Tokenizer,
        prompts: Prompts,
        context_len: usize,
        max_tokens: usize,
    ) -> Result<Cutter<'m>, SummarizeError> {
        let n_empty = prompts.encode(tokenizer, "")?.len();
        let n_text = context_len.saturating_sub(n_empty + max_tokens);
        if n_text < LEAST_TEXT {
            let n_prompt = n_empty;
            return Err(SummarizeError::NoRoom { context_len, n_prompt, max_tokens });
        }
        let n_prompt = context_len - max_tokens;
        Ok(Cutter { tokenizer, prompts, n_text, n_prompt, max_tokens })
    }

    /// Most tokens of a summary.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Most tokens of the summary of a part: four of them fit into one prompt, so that there are
    /// fewer parts each time.
    pub fn max_part_tokens(&self) -> usize {
        self.max_tokens.min(self.n_text / 4)
    }

    /// Everything that prompts depend on but the texts and the model.
    pub fn identity(&self) -> String {
        format!("{} {} {}", self.prompts.identity(), self.n_prompt, self.max_tokens)
    }

    /// The tokens with which all prompts begin, as two texts show that have nothing in common.
    ///
    /// # Errors
    /// If the chat template cannot write them.
    pub fn common_prefix(&self) -> Result<Vec<u32>, ChatError> {
        let [a, b] = ["0", "A"].map(|text| self.prompts.encode(self.tokenizer, text));
        Ok(common_prefix([&a?[..], &b?[..]]).to_vec())
    }

    /// How long a text is.
    ///
    /// # Errors
    /// As [`Self::prompts`].
    pub fn measure(&self, text: &str) -> Result<Extent, Failure> {
        let n_tokens = self.tokenizer.encode(text, Specials::AsText)?.len();
        Ok(Extent { n_tokens, n_parts: self.prompts(text)?.len() })
    }

    /// The prompts that ask for summaries of a text: one if it fits, else one for each part.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn prompts(&self, text: &str) -> Result<Vec<Vec<u32>>, Failure> {
        let count = |piece: &str| self.tokenizer.encode(piece, Specials::AsText);
        // Small pieces fill parts well.
        let most_tokens = (self.n_text / 8).max(LEAST_TEXT);
        let pieces = Pieces::new(text, most_tokens, |piece| count(piece).map(|ids| ids.len()))?;
        // Pieces begin with a space that the whole text does not have there.
        if pieces.n_tokens() <= self.n_text + pieces.n_pieces() {
            let prompt = self.prompts.encode(self.tokenizer, text.trim())?;
            if prompt.len() <= self.n_prompt {
                return Ok(vec![prompt]);
            }
        }
        let mut prompts = Vec::new();
        let parts = pieces.parts(self.n_text).into_iter().map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let prompt = self.prompts.encode(self.tokenizer, part)?;
            match prompt.len() <= self.n_prompt {
                true => prompts.push(prompt),
                false => prompts.extend(self.smaller(part)?),
            }
        }
        Ok(prompts)
    }

    /// The prompts of a part that has more tokens than its pieces together: its halves will have
    /// fewer.
    fn smaller(&self, part: &str) -> Result<Vec<Vec<u32>>, Failure> {
        let mut prompts = Vec::new();
        let mut left = vec![part];
        while let Some(part) = left.pop() {
            let prompt = self.prompts.encode(self.tokenizer, part)?;
            match halves(part).filter(|_| prompt.len() > self.n_prompt) {
                Some((n_bytes, _)) => left.extend([&part[n_bytes..], &part[..n_bytes]]),
                None => prompts.push(prompt),
            }
        }
        Ok(prompts)
    }
}
