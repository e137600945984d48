//! `tokenizer.json`: the file of Hugging Face's `tokenizers`.
//!
//! It describes a pipeline of steps around a model. The pipelines of two families of tokenizers can
//! be said in a GGUF, and are recognized by their steps: SentencePiece's in other words
//! ([`merges`]), and byte-level ones, by the pre-tokenizer ([`byte_level`]).

use super::added::AddedToken;
use super::definition::{Algorithm, Definition, Piece, Pieces, SpecialIds};
use super::merges::Merge;
use super::steps::{Step, TemplatePart, describe, unsupported};
use super::{byte_level, merges};
use crate::checkpoint::error::VocabularyProblem;
use crate::text::shortened;
use crate::tokenizer::{Manner, PieceKind, SPACE, Spaces, byte_of};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What surrounds the model, and what kind of model it is. The values of the file go straight into
/// their places, here and below, so that memory is in proportion to the text.
#[derive(Deserialize)]
pub(super) struct Outline {
    /// Tokens that are cut out of a text before anything else.
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
    normalizer: Option<Step>,
    pre_tokenizer: Option<Step>,
    post_processor: Option<Step>,
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: Option<String>,
}

/// What makes pieces of a text.
#[derive(Deserialize)]
struct Whole {
    model: Model,
}

#[derive(Deserialize)]
struct Model {
    unk_token: Option<String>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
    byte_fallback: Option<bool>,
    ignore_merges: Option<bool>,
    vocab: BTreeMap<String, u64>,
    merges: Vec<Merge>,
}

impl Outline {
    pub(super) fn parse(bytes: &[u8]) -> Result<Outline, VocabularyProblem> {
        serde_json::from_slice(bytes).map_err(|error| VocabularyProblem::json(&error))
    }

    /// Where text is preceded by a space, if this is a tokenizer of SentencePiece's kind.
    pub(super) fn spaces(&self) -> Option<Spaces> {
        spaces(&flat(self.normalizer.as_ref()), &flat(self.pre_tokenizer.as_ref()))
    }

    /// BOS and EOS, where the file's template puts them around a text; none without a template.
    pub(super) fn bos_eos(&self, pieces: &Pieces) -> Option<(Option<u64>, Option<u64>)> {
        let steps = flat(self.post_processor.as_ref());
        let template = steps.into_iter().find(|step| step.kind == "TemplateProcessing")?;
        let id = |part: Option<&TemplatePart>| pieces.id_of(part?.token()?);
        let parts = &template.single.0;
        Some((id(parts.first()), id(parts.last())))
    }

    /// The tokenizer, for a model with `n_vocab` embeddings; `bytes` are the file that this is the
    /// outline of.
    pub(super) fn define(
        &self,
        bytes: &[u8],
        n_vocab: usize,
    ) -> Result<Definition, VocabularyProblem> {
        if let Some(other) = self.model.name.as_deref().filter(|&name| name != "BPE") {
            return Err(unsupported(format!("a model of type {}", shortened(other))));
        }
        let Whole { model } =
            serde_json::from_slice(bytes).map_err(|error| VocabularyProblem::json(&error))?;
        let mut pieces = model.pieces(n_vocab)?;
        for token in &self.added_tokens {
            token.add_to(&mut pieces)?;
        }
        for affix in [&model.continuing_subword_prefix, &model.end_of_word_suffix] {
            if let Some(affix) = affix.as_deref().filter(|affix| !affix.is_empty()) {
                return Err(unsupported(format!("`{}` as a mark of words", shortened(affix))));
            }
        }
        let unknown = model.unk_token.as_ref().and_then(|text| model.vocab.get(text).copied());
        let ids = SpecialIds { unknown, ..SpecialIds::default() };
        let normalizer = flat(self.normalizer.as_ref());
        let pre_tokenizer = flat(self.pre_tokenizer.as_ref());
        let ignores_merges = model.ignore_merges.unwrap_or(false);
        if pre_tokenizer.iter().any(|step| step.kind == "ByteLevel") {
            let pre = byte_level::pre_tokenizer(&normalizer, &pre_tokenizer, ignores_merges)?;
            let merges = model.merges.iter();
            let merges = merges.map(|merge| format!("{} {}", merge.left, merge.right)).collect();
            let algorithm = Algorithm::ByteLevel { pre, merges: pieces.known_merges(merges) };
            return Ok(Definition { algorithm, pieces, ids, spaces: Spaces::NONE });
        }
        let spaces = spaces(&normalizer, &pre_tokenizer);
        let spaces = spaces.ok_or_else(|| unsupported(describe(&normalizer, &pre_tokenizer)))?;
        if ignores_merges {
            return Err(unsupported("spaces as U+2581 and `ignore_merges`".into()));
        }
        if model.byte_fallback == Some(true) {
            mark_bytes(&mut pieces);
        }
        merges::score(&model.merges, &mut pieces)?;
        Ok(Definition { algorithm: Algorithm::SentencePiece, pieces, ids, spaces })
    }
}

impl Model {
    fn pieces(&self, n_vocab: usize) -> Result<Pieces, VocabularyProblem> {
        let mut pieces = Pieces::new(n_vocab)?;
        pieces.expect(self.vocab.values().max().map_or(0, |id| id.saturating_add(1)))?;
        for (text, &id) in &self.vocab {
            let (kind, manner) = (PieceKind::Normal, Manner::default());
            let (text, score) = (text.clone(), Piece::NEVER_MERGED);
            pieces.insert(id, Piece { text, kind, manner, score })?;
        }
        Ok(pieces)
    }
}

fn mark_bytes(pieces: &mut Pieces) {
    for piece in pieces.iter_mut() {
        if piece.kind == PieceKind::Normal && byte_of(&piece.text).is_some() {
            piece.kind = PieceKind::Byte;
        }
    }
}

/// Where text is preceded by a space, in a pipeline that spells spaces as SentencePiece does and
/// does nothing else.
///
/// The normalizer `Prepend` puts one before every stretch between tokens, the pre-tokenizer
/// `Metaspace` before every one or the first, and not where there is one.
fn spaces(normalizer: &[&Step], pre_tokenizer: &[&Step]) -> Option<Spaces> {
    let space = SPACE.to_string();
    let (mut escapes, mut spaces) = (false, Spaces::NONE);
    for step in normalizer {
        match step.kind.as_str() {
            "Prepend" if step.prepend.as_ref() == Some(&space) => {
                spaces = Spaces::EVERYWHERE;
            }
            "Replace" if step.replaces(" ", &space) => escapes = true,
            _ => return None,
        }
    }
    for step in pre_tokenizer {
        let is_plain = step.kind == "Metaspace"
            && step.replacement.as_ref() == Some(&space)
            && step.split == Some(false);
        let adds_space = step.add_prefix_space.unwrap_or(true);
        let adds = match step.prepend_scheme.as_deref() {
            Some("always") => Spaces::UNLESS_THERE,
            Some("first") => Spaces::FIRST,
            Some("never") => Spaces::NONE,
            None if adds_space => Spaces::UNLESS_THERE,
            None => Spaces::NONE,
            Some(_) => return None,
        };
        if !is_plain {
            return None;
        }
        escapes = true;
        // What a normalizer put there is there already.
        if spaces == Spaces::NONE {
            spaces = adds;
        }
    }
    escapes.then_some(spaces)
}

fn flat(step: Option<&Step>) -> Vec<&Step> {
    step.map_or(vec![], Step::flat)
}
