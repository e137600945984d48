//! Vocabularies that are known without a name, by tokens that no other has in their places.

use super::PreTokenizer;

/// A vocabulary: what is asked of it.
struct Known {
    name: &'static str,
    /// The fewest pieces that it has.
    n_pieces: usize,
    /// Tokens and the ids that they have.
    at: &'static [(usize, &'static str)],
    /// Tokens that are somewhere.
    has: &'static [&'static str],
}

const KNOWN: [Known; 5] = [
    Known {
        name: "llama-bpe",
        n_pieces: 128_000,
        at: &[(0, "!"), (128_000, "<|begin_of_text|>"), (128_001, "<|end_of_text|>")],
        has: &[],
    },
    Known {
        name: "qwen2",
        n_pieces: 151_643,
        at: &[(0, "!"), (151_643, "<|endoftext|>")],
        has: &[],
    },
    Known {
        name: "tekken",
        n_pieces: 131_072,
        at: &[(1, "<s>"), (2, "</s>"), (3, "[INST]"), (4, "[/INST]")],
        has: &["[AVAILABLE_TOOLS]"],
    },
    Known {
        name: "smollm",
        n_pieces: 49_152,
        at: &[(0, "<|endoftext|>"), (1, "<|im_start|>"), (2, "<|im_end|>"), (3, "<repo_name>")],
        has: &["<jupyter_start>"],
    },
    Known { name: "gpt-2", n_pieces: 50_257, at: &[(0, "!"), (50_256, "<|endoftext|>")], has: &[] },
];

impl PreTokenizer {
    /// The one of the vocabulary that these pieces are, if it is certain which that is.
    pub(in crate::tokenizer) fn of_vocabulary(pieces: &[String]) -> Option<&'static PreTokenizer> {
        let is_it = |known: &&Known| {
            pieces.len() >= known.n_pieces
                && known.at.iter().all(|&(id, piece)| pieces.get(id).is_some_and(|p| p == piece))
                && known.has.iter().all(|piece| pieces.iter().any(|p| p == piece))
        };
        KNOWN.iter().find(is_it).and_then(|known| PreTokenizer::named(known.name))
    }
}
