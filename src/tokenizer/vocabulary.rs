//! The vocabulary of a file, checked as a whole before anything is built on it.

use super::error::TokenizerError;
use super::keys::{ADD_BOS, BOS, EOM, EOS, EOT, MERGES, MODEL, PRE, TOKENS, UNKNOWN};
use super::kinds::kinds;
use super::manner::{Manner, manners};
use super::pre_tokenizer::PreTokenizer;
use super::rows;
use super::scores::scores;
use super::spaces::Spaces;
use crate::gguf::Metadata;
use std::collections::{HashMap, HashSet};

/// Tokens that end an answer in one chat format or another, or a document of what a model of code was
/// trained on. Files often name just one of theirs as EOS, and that not always the one which their
/// chat format uses.
pub(super) const END_NAMES: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<|end|>",
    "<end_of_turn>",
    "<|end_of_turn|>",
    "<|return|>",
    "<｜end▁of▁sentence｜>",
    "<EOT>",
    "_<EOT>",
    "</s>",
    "<|fim_pad|>",
    "<|fim_repo|>",
    "<|repo_name|>",
    "<reponame>",
    "<|file_sep|>",
];

/// What a piece is for, with its number in `tokenizer.ggml.token_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceKind {
    /// Text.
    Normal = 1,
    /// Stands for text that no piece covers.
    Unknown,
    /// Steers the model and has no text: BOS, EOS, the marks of a chat format.
    Control,
    /// Text that is always one token, wherever it occurs.
    UserDefined,
    /// Never produced.
    Unused,
    /// One byte, `<0x0A>`.
    Byte,
}

impl PieceKind {
    /// The kind with this number, in SentencePiece's files as in a GGUF.
    pub fn by_number(number: i64) -> Option<PieceKind> {
        match number {
            1 => Some(PieceKind::Normal),
            2 => Some(PieceKind::Unknown),
            3 => Some(PieceKind::Control),
            4 => Some(PieceKind::UserDefined),
            5 => Some(PieceKind::Unused),
            6 => Some(PieceKind::Byte),
            _ => None,
        }
    }
}

/// How text becomes pieces.
#[derive(Clone, Debug)]
pub enum Algorithm {
    /// `llama`: SentencePiece's byte-pair encoding, which merges by the score of the merged piece.
    SentencePiece {
        /// The score of each piece; none is NaN.
        scores: Vec<f32>,
        /// Where text is preceded by a space.
        spaces: Spaces,
    },
    /// `gpt2`: byte-level byte-pair encoding, which merges by rank inside of pre-tokens.
    ByteLevel {
        /// How a text is cut into pre-tokens.
        pre_tokenizer: &'static PreTokenizer,
        /// Pairs of pieces, the first merged first.
        merges: Vec<(String, String)>,
    },
}

/// The pieces of a tokenizer and what its file says of them.
///
/// All ids are smaller than the number of pieces, and all arrays as long as it.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    /// How text becomes pieces.
    pub algorithm: Algorithm,
    /// The pieces by id, as the file spells them.
    pub pieces: Vec<String>,
    /// Their kinds.
    pub kinds: Vec<PieceKind>,
    /// How those of them are found in a text that are not just cut out of it.
    pub manners: HashMap<u32, Manner>,
    /// The token that begins a text.
    pub bos: Option<u32>,
    /// The token that ends a text.
    pub eos: Option<u32>,
    /// The token for what no piece covers.
    pub unknown: Option<u32>,
    /// The tokens after which a model has no more to say.
    pub ends: HashSet<u32>,
    /// Whether a prompt begins with BOS.
    pub adds_bos: bool,
    /// What was read otherwise than the file says it, or may be lost: a sentence each.
    pub notes: Vec<String>,
}

impl Vocabulary {
    /// Reads and checks the keys `tokenizer.ggml.*`.
    ///
    /// A model with embeddings for `n_rows` tokens has the ids below that. Tokens beyond are left
    /// out, and have no role; embeddings without a token get pieces that are never produced.
    pub fn from_metadata(
        metadata: &Metadata,
        n_rows: Option<usize>,
    ) -> Result<Vocabulary, TokenizerError> {
        let pieces =
            metadata.strings(TOKENS)?.ok_or(TokenizerError::MissingKey { key: TOKENS })?.to_vec();
        if pieces.is_empty() || u32::try_from(pieces.len()).is_err() {
            return Err(TokenizerError::PieceCount { found: pieces.len() });
        }
        let n_rows = n_rows.unwrap_or(pieces.len());
        rows::check(pieces.len(), n_rows)?;
        let mut notes = Vec::new();
        let (algorithm, kinds) = algorithm_and_kinds(metadata, &pieces, &mut notes)?;
        let manners = manners(metadata, pieces.len())?;
        let id = |key| {
            let id = special_id(metadata, key, pieces.len().max(n_rows))?;
            Ok::<_, TokenizerError>(id.filter(|&id| (id as usize) < n_rows))
        };
        let named = |name: &str| {
            let id = pieces.iter().take(n_rows).position(|piece| piece == name)?;
            Some(id as u32)
        };
        let (bos, eos, unknown) = match algorithm {
            Algorithm::SentencePiece { .. } => (
                id(BOS)?.or_else(|| named("<s>")),
                id(EOS)?.or_else(|| named("</s>")),
                id(UNKNOWN)?.or_else(|| named("<unk>")),
            ),
            Algorithm::ByteLevel { .. } => {
                (id(BOS)?.or_else(|| named("<|begin_of_text|>")), id(EOS)?, id(UNKNOWN)?)
            }
        };
        let adds_bos = metadata.bool(ADD_BOS)?.unwrap_or(match &algorithm {
            Algorithm::SentencePiece { .. } => true,
            Algorithm::ByteLevel { pre_tokenizer, .. } => pre_tokenizer.adds_bos,
        });
        let mut ends = named_ends(&pieces, &kinds);
        ends.retain(|&id| (id as usize) < n_rows);
        ends.extend([eos, id(EOT)?, id(EOM)?].into_iter().flatten());
        let mut vocabulary = Vocabulary {
            algorithm,
            pieces,
            kinds,
            manners,
            bos,
            eos,
            unknown,
            ends,
            adds_bos,
            notes,
        };
        vocabulary.fit(n_rows);
        Ok(vocabulary)
    }
}

fn algorithm_and_kinds(
    metadata: &Metadata,
    pieces: &[String],
    notes: &mut Vec<String>,
) -> Result<(Algorithm, Vec<PieceKind>), TokenizerError> {
    match metadata.str(MODEL)?.ok_or(TokenizerError::MissingKey { key: MODEL })? {
        "llama" => {
            let kinds = kinds(metadata, pieces, None, notes)?;
            let scores = scores(metadata, pieces, &kinds, notes)?;
            let spaces = Spaces::from_metadata(metadata)?;
            Ok((Algorithm::SentencePiece { scores, spaces }, kinds))
        }
        "gpt2" => {
            let pre_tokenizer = pre_tokenizer(metadata, pieces, notes)?;
            let merges = merges(metadata, pieces)?;
            let kinds = kinds(metadata, pieces, Some(&merges), notes)?;
            Ok((Algorithm::ByteLevel { pre_tokenizer, merges }, kinds))
        }
        other => Err(TokenizerError::Unsupported {
            key: MODEL,
            found: beginning(other),
            supported: "`llama` and `gpt2`".to_owned(),
        }),
    }
}

/// The pre-tokenizer that the file names. Files of early 2024 name none, or `default`: then that of
/// the vocabulary, where it is certain which one that is.
fn pre_tokenizer(
    metadata: &Metadata,
    pieces: &[String],
    notes: &mut Vec<String>,
) -> Result<&'static PreTokenizer, TokenizerError> {
    let name = metadata.str(PRE)?.filter(|&name| name != "default");
    if let Some(name) = name {
        return PreTokenizer::named(name).ok_or_else(|| TokenizerError::PreTokenizer {
            found: beginning(name),
            known: PreTokenizer::names(),
        });
    }
    if let Some(known) = PreTokenizer::of_vocabulary(pieces) {
        let name = known.name();
        notes.push(format!("`{PRE}` names no way to cut texts: `{name}` is told from the tokens"));
        return Ok(known);
    }
    notes.push(format!(
        "`{PRE}` names no way to cut texts, so that GPT-2's is used: if the model was trained with \
         another, some texts get other ids, and answers are worse; convert the model again"
    ));
    Ok(PreTokenizer::plain())
}

fn merges(metadata: &Metadata, pieces: &[String]) -> Result<Vec<(String, String)>, TokenizerError> {
    let merges = metadata.strings(MERGES)?.ok_or(TokenizerError::MissingKey { key: MERGES })?;
    let known: HashSet<&str> = pieces.iter().map(String::as_str).collect();
    let mut joined = String::new();
    let mut pair = |(idx, merge): (usize, &String)| {
        let problem = |problem| TokenizerError::Merge { idx, merge: beginning(merge), problem };
        let Some((left, right)) = merge.split_once(' ') else {
            return Err(problem("a merge is two pieces with a space between them"));
        };
        joined.clear();
        joined.extend([left, right]);
        if !known.contains(left) || !known.contains(right) {
            return Err(problem("it joins a piece that is not in the vocabulary"));
        }
        if !known.contains(joined.as_str()) {
            return Err(problem("the joined piece is not in the vocabulary"));
        }
        Ok((left.to_owned(), right.to_owned()))
    };
    merges.iter().enumerate().map(&mut pair).collect()
}

/// As much of a text as a message may have.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(64).collect()
}

/// How many tokens a note names.
const MOST_NAMED: usize = 4;

/// The first of some tokens, each with what is to be said of it, for a note.
pub(super) fn some_of<'p>(mut tokens: impl Iterator<Item = (&'p str, String)>) -> String {
    let names = tokens.by_ref().take(MOST_NAMED);
    let names = names.map(|(piece, more)| format!("`{}`{more}", beginning(piece)));
    let names = names.collect::<Vec<_>>().join(", ");
    match tokens.count() {
        0 => names,
        n_more => format!("{names} and {n_more} more"),
    }
}

fn special_id(
    metadata: &Metadata,
    key: &'static str,
    n_pieces: usize,
) -> Result<Option<u32>, TokenizerError> {
    match metadata.u64(key)? {
        Some(id) if id >= n_pieces as u64 => {
            Err(TokenizerError::IdOutOfRange { key, id: id.into(), last: n_pieces as u32 - 1 })
        }
        id => Ok(id.map(|id| id as u32)),
    }
}

fn named_ends(pieces: &[String], kinds: &[PieceKind]) -> HashSet<u32> {
    let is_end = |(piece, kind): (&String, &PieceKind)| {
        matches!(kind, PieceKind::Control | PieceKind::UserDefined)
            && END_NAMES.contains(&piece.as_str())
    };
    let ids = 0..pieces.len() as u32;
    ids.zip(pieces.iter().zip(kinds))
        .filter(|(_, piece)| is_end(*piece))
        .map(|(id, _)| id)
        .collect()
}

pub(super) fn check_length(
    key: &'static str,
    found: usize,
    expected: usize,
) -> Result<(), TokenizerError> {
    if found == expected { Ok(()) } else { Err(TokenizerError::Length { key, found, expected }) }
}
