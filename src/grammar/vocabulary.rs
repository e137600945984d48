//! A vocabulary as llguidance wants it.

use crate::tokenizer::Tokenizer;
use llguidance::ParserFactory;
use llguidance::earley::SlicedBiasComputer;
use llguidance::toktrie::{
    ApproximateTokEnv, INVALID_TOKEN, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Longer tokens, of which none is known, are never allowed: the trie has no room for them.
const MOST_TOKEN_BYTES: usize = 1000;

/// Work of a lexer on one mask, in its own unit: 14,000 of them take a millisecond.
const STEP_FUEL: u64 = 200_000;

/// Items of the parser for one mask: 20,000 of them take a millisecond. Where each character is a
/// terminal, as in llama.cpp's grammars, long tokens take many.
const STEP_ITEMS: usize = 400_000;

/// States that the lexer of an answer may come to have, of one or two kilobytes each.
const MOST_LEXER_STATES: usize = 8_000;

/// Work on a source's expressions before the first mask, in a unit of its own.
const INITIAL_FUEL: u64 = 200_000;

/// Symbols of a source's rules.
const MOST_SYMBOLS: usize = 50_000;

/// A vocabulary, and how its tokens are read where they are the first of a text.
pub(super) struct Vocabulary {
    /// What compiles grammars for it.
    pub factory: ParserFactory,
    /// What does so for first tokens, and what some of these stand for; none where they are read as
    /// others are.
    pub first: Option<(ParserFactory, Arc<Spellings>)>,
}

/// SentencePiece's tokens that begin with the space which it puts before a text, each with tokens that
/// spell the rest of it.
pub(super) type Spellings = HashMap<u32, Vec<u32>>;

impl Vocabulary {
    /// That of a tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Result<Vocabulary, String> {
        let n_vocab = u32::try_from(tokenizer.n_vocab()).map_err(|error| error.to_string())?;
        let mut words: Vec<Vec<u8>> = (0..n_vocab).map(|id| word(tokenizer, id)).collect();
        let plain = trie(tokenizer, &words);
        let mut spellings = Spellings::new();
        for (id, word) in (0..n_vocab).zip(&mut words) {
            if !tokenizer.begins_with_prefix_space(id) || word.is_empty() {
                continue;
            }
            word.remove(0);
            let spelling = plain.greedy_tokenize(word);
            // What cannot be spelled, or is nothing but the space, is never the first.
            match plain.decode_raw(&spelling) == *word {
                true => drop(spellings.insert(id, spelling)),
                false => word.clear(),
            }
        }
        let first = match spellings.is_empty() {
            true => None,
            false => Some((factory(trie(tokenizer, &words))?, Arc::new(spellings))),
        };
        Ok(Vocabulary { factory: factory(plain)?, first })
    }
}

fn trie(tokenizer: &Tokenizer, words: &[Vec<u8>]) -> TokTrie {
    let ends = tokenizer.ends();
    let end = ends.first().copied().unwrap_or(INVALID_TOKEN);
    let trie = TokTrie::from(&TokRxInfo::new(words.len() as u32, end), words);
    if ends.is_empty() { trie } else { trie.with_eos_tokens(&ends) }
}

fn factory(trie: TokTrie) -> Result<ParserFactory, String> {
    // Texts are not spelled by it, so that it never prescribes how a text is cut into tokens.
    let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
    let slices = SlicedBiasComputer::general_slices();
    let factory = ParserFactory::new(&env, InferenceCapabilities::default(), &slices);
    let mut factory = factory.map_err(|error| error.to_string())?;
    factory.quiet();
    let limits = factory.limits_mut();
    limits.initial_lexer_fuel = INITIAL_FUEL;
    limits.max_grammar_size = MOST_SYMBOLS;
    limits.step_lexer_fuel = STEP_FUEL;
    limits.step_max_items = STEP_ITEMS;
    limits.max_lexer_states = MOST_LEXER_STATES;
    limits.verbose_errors = false;
    // It would run the largest expressions through the whole vocabulary, whatever that takes.
    limits.precompute_large_lexemes = false;
    Ok(factory)
}

/// The bytes of a token that may be in a text, else none. A byte that no UTF-8 has stands for special
/// tokens in the trie.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    let bytes = tokenizer.answer_bytes(id);
    if bytes.contains(&TokTrie::SPECIAL_TOKEN_MARKER) || bytes.len() > MOST_TOKEN_BYTES {
        return Vec::new();
    }
    bytes.to_vec()
}
