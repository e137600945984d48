//! The pieces of a text that are scored.

use super::EvalError;

/// A text in whole windows, of which the second half is scored, as llama.cpp's tool does: windows do
/// not overlap and start from nothing, and the tokens after the middle one are scored, each by the
/// logits before it.
pub struct Windows {
    tokens: Vec<u32>,
    window_len: usize,
}

/// One of them: tokens `[window_len]`.
#[derive(Clone, Copy)]
pub(super) struct Window<'a>(&'a [u32]);

impl Windows {
    /// Windows of `window_len` tokens; what is left at the end of the text is not used. `tokens`
    /// includes the BOS of the text, and `bos` replaces the first token of each window where the
    /// model wants one.
    ///
    /// # Errors
    /// If there is no whole window, or it is too short to score.
    pub fn new(tokens: &[u32], bos: Option<u32>, window_len: usize) -> Result<Windows, EvalError> {
        if window_len < 8 {
            return Err(EvalError::Window(window_len));
        }
        if tokens.len() < window_len {
            return Err(EvalError::Text { n_tokens: tokens.len(), window_len });
        }
        let n_whole = tokens.len() / window_len * window_len;
        let mut tokens = tokens[..n_whole].to_vec();
        if let Some(bos) = bos {
            tokens.chunks_exact_mut(window_len).for_each(|window| window[0] = bos);
        }
        Ok(Windows { tokens, window_len })
    }

    /// The tokens of all windows.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Tokens of each window.
    pub fn window_len(&self) -> usize {
        self.window_len
    }

    /// How many windows there are.
    pub fn n_windows(&self) -> usize {
        self.tokens.len() / self.window_len
    }

    /// Tokens that are scored.
    pub fn n_scored(&self) -> usize {
        self.iter().map(|window| window.next().len()).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Window<'_>> {
        self.tokens.chunks_exact(self.window_len).map(Window)
    }
}

impl<'a> Window<'a> {
    fn middle(self) -> usize {
        self.0.len() / 2
    }

    /// The first half, which is read alone.
    pub fn context(self) -> &'a [u32] {
        &self.0[..self.middle()]
    }

    /// The tokens whose logits count.
    pub fn predicting(self) -> &'a [u32] {
        &self.0[self.middle()..self.0.len() - 1]
    }

    /// The token after each of them.
    pub fn next(self) -> &'a [u32] {
        &self.0[self.middle() + 1..]
    }
}

#[cfg(test)]
mod tests {
    use super::Windows;

    #[test]
    fn each_window_begins_anew_and_scores_its_second_half() {
        let tokens: Vec<u32> = (0..20).collect();
        let windows = Windows::new(&tokens, Some(99), 9).unwrap();
        assert_eq!((windows.n_windows(), windows.n_scored()), (2, 8));
        let second = windows.iter().nth(1).unwrap();
        assert_eq!(second.context(), [99, 10, 11, 12]);
        assert_eq!(second.predicting(), [13, 14, 15, 16]);
        assert_eq!(second.next(), [14, 15, 16, 17]);
        assert_eq!(Windows::new(&tokens, None, 20).unwrap().tokens(), tokens);
        for window_len in [7, 21] {
            assert!(Windows::new(&tokens, None, window_len).is_err());
        }
    }
}
