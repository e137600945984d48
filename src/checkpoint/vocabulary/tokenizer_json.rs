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
use crate::tokenizer::{PieceKind, SPACE, byte_of};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What surrounds the model, and what kind of model it is. The values of the file go straight into
/// their places, here and below, so that memory is in proportion to the text.
#[derive(Deserialize)]
pub(super) struct Outline {
    /// Tokens that are cut out of a text before anything else.
    #[serde(default)]
    pub added_tokens: Vec<AddedToken>,
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
struct Pipeline {
    normalizer: Option<Step>,
    pre_tokenizer: Option<Step>,
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
        let pipeline: Pipeline =
            serde_json::from_slice(bytes).map_err(|error| VocabularyProblem::json(&error))?;
        let mut pieces = pipeline.model.pieces(n_vocab)?;
        for token in &self.added_tokens {
            token.add_to(&mut pieces)?;
        }
        pipeline.define(pieces)
    }
}

impl Pipeline {
    fn define(self, mut pieces: Pieces) -> Result<Definition, VocabularyProblem> {
        let model = self.model;
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
            let algorithm = Algorithm::ByteLevel { pre, merges };
            return Ok(Definition { algorithm, pieces, ids, adds_space_prefix: false });
        }
        let adds_space_prefix = adds_space_prefix(&normalizer, &pre_tokenizer)?;
        if ignores_merges {
            return Err(unsupported("spaces as U+2581 and `ignore_merges`".into()));
        }
        if model.byte_fallback == Some(true) {
            mark_bytes(&mut pieces);
        }
        merges::score(&model.merges, &mut pieces)?;
        Ok(Definition { algorithm: Algorithm::SentencePiece, pieces, ids, adds_space_prefix })
    }
}

impl Model {
    fn pieces(&self, n_vocab: usize) -> Result<Pieces, VocabularyProblem> {
        let mut pieces = Pieces::new(n_vocab)?;
        pieces.expect(self.vocab.values().max().map_or(0, |id| id.saturating_add(1)))?;
        for (text, &id) in &self.vocab {
            let (text, score) = (text.clone(), Piece::NEVER_MERGED);
            pieces.insert(id, Piece { text, kind: PieceKind::Normal, score })?;
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

/// Whether a text is preceded by a space, in a pipeline that spells spaces as SentencePiece does and
/// does nothing else.
fn adds_space_prefix(
    normalizer: &[&Step],
    pre_tokenizer: &[&Step],
) -> Result<bool, VocabularyProblem> {
    let space = SPACE.to_string();
    let (mut escapes, mut adds_prefix, mut others) = (false, false, false);
    for step in normalizer {
        match step.kind.as_str() {
            "Prepend" if step.prepend.as_ref() == Some(&space) => adds_prefix = true,
            "Replace" if step.replaces(" ", &space) => escapes = true,
            _ => others = true,
        }
    }
    for step in pre_tokenizer {
        let is_plain = step.kind == "Metaspace"
            && step.replacement.as_ref() == Some(&space)
            && step.split == Some(false);
        escapes |= is_plain;
        others |= !is_plain;
        adds_prefix |= match step.prepend_scheme.as_deref() {
            Some(scheme) => scheme != "never",
            None => step.add_prefix_space.unwrap_or(true),
        };
    }
    if others || !escapes {
        return Err(unsupported(describe(normalizer, pre_tokenizer)));
    }
    Ok(adds_prefix)
}

fn flat(step: Option<&Step>) -> Vec<&Step> {
    step.map_or(vec![], Step::flat)
}
