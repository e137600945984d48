//! Which tokens have a role of their own, and which of them go around a text.
//!
//! Several files say so, and not always the same. In this order the first one that names a token
//! of the vocabulary counts:
//!
//! 1. the names in `tokenizer_config.json` (`eos_token`), with which chat templates are rendered;
//! 2. those in `special_tokens_map.json`;
//! 3. the ids in `config.json` (`eos_token_id`), 4. those in `generation_config.json`;
//! 5. the template in `tokenizer.json` that puts tokens around a text, and the tokenizer itself.
//!
//! So a fine-tune's `<|im_end|>` goes before what its base model had. A model may end an answer with
//! more than one token: what the settings list besides EOS becomes the ends of a turn and of a
//! message.

use super::definition::{Algorithm, Definition, SpecialIds};
use super::settings::{ids, token};
use super::tokenizer_json::Outline;
use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::json::JsonObject;

/// The settings that a folder has beside its tokenizer.
pub(super) struct Beside {
    pub tokenizer_config: JsonObject,
    pub special_tokens_map: JsonObject,
    config: JsonObject,
    generation_config: JsonObject,
}

/// The special tokens of a vocabulary.
pub(super) struct Special {
    pub ids: SpecialIds,
    /// Tokens that end an answer as EOS does.
    pub other_ends: Vec<u64>,
    pub adds_bos: bool,
    pub adds_eos: bool,
}

impl Beside {
    pub(super) fn read(folder: &Folder) -> Result<Beside, CheckpointError> {
        Ok(Beside {
            tokenizer_config: folder.settings("tokenizer_config.json")?,
            special_tokens_map: folder.settings("special_tokens_map.json")?,
            config: folder.settings("config.json")?,
            generation_config: folder.settings("generation_config.json")?,
        })
    }

    /// The special tokens of a tokenizer to which the added tokens have been added.
    pub(super) fn special(
        &self,
        definition: &Definition,
        outline: Option<&Outline>,
    ) -> Result<Special, CheckpointError> {
        let template = outline.and_then(|outline| outline.bos_eos(&definition.pieces));
        let (first, last) = template.unwrap_or_default();
        let own = definition.ids;
        let id = |role, own| self.id(definition, role, own);
        let special = SpecialIds {
            bos: id("bos", first.or(own.bos))?,
            eos: id("eos", last.or(own.eos))?,
            unknown: id("unk", own.unknown)?,
            padding: id("pad", own.padding)?,
        };
        let mut other_ends = Vec::new();
        for settings in [&self.generation_config, &self.config] {
            for id in ids(settings, "eos_token_id")? {
                let is_new = Some(id) != special.eos && !other_ends.contains(&id);
                if is_new && definition.pieces.get(id).is_some() {
                    other_ends.push(id);
                }
            }
        }
        let flag = |key| self.tokenizer_config.bool(key);
        let is_llama = self
            .tokenizer_config
            .str("tokenizer_class")?
            .is_some_and(|class| class.starts_with("LlamaTokenizer"));
        let by_default = match template {
            Some((first, last)) if !is_llama => (first.is_some(), last.is_some()),
            None if matches!(definition.algorithm, Algorithm::ByteLevel { .. }) => (false, false),
            _ => (true, false),
        };
        let adds_bos = flag("add_bos_token")?.unwrap_or(by_default.0) && special.bos.is_some();
        let adds_eos = flag("add_eos_token")?.unwrap_or(by_default.1) && special.eos.is_some();
        Ok(Special { ids: special, other_ends, adds_bos, adds_eos })
    }

    fn id(
        &self,
        definition: &Definition,
        role: &str,
        own: Option<u64>,
    ) -> Result<Option<u64>, CheckpointError> {
        let pieces = &definition.pieces;
        for settings in [&self.tokenizer_config, &self.special_tokens_map] {
            let text = token(settings, &format!("{role}_token"))?;
            if let Some(id) = text.and_then(|text| pieces.id_of(text)) {
                return Ok(Some(id));
            }
        }
        for settings in [&self.config, &self.generation_config] {
            let named = ids(settings, &format!("{role}_token_id"))?;
            if let Some(id) = named.into_iter().find(|&id| pieces.get(id).is_some()) {
                return Ok(Some(id));
            }
        }
        Ok(own.filter(|&id| pieces.get(id).is_some()))
    }
}
