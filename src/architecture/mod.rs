//! What a model consists of: its keys, its sizes, and its tensors with their names, shapes and roles.
//!
//! An [`Architecture`] is data: [`LLAMA`] is the one that Mixtral, Mistral and Llama share. Everything
//! that reads or writes models asks here and nowhere else: loading weights, converting checkpoints,
//! choosing formats, making synthetic models. A [`Config`] has the sizes of one model, read from its
//! metadata; a [`ModelSpec`] has what is needed to write one.
//!
//! To add a tensor (a bias, a norm of queries), add a [`Role`] and a line to the architecture's
//! table. To add an architecture, add a file like `llama.rs` and its line in [`ARCHITECTURES`].

mod config;
mod error;
mod keys;
mod llama;
mod rope;
mod spec;
mod tensors;

pub use config::Config;
pub use error::ArchitectureError;
pub use keys::MAX_SIZE;
pub use llama::LLAMA;
pub use rope::{RopeConfig, RopeScaling, Yarn, stretched_len};
pub use spec::{ModelSpec, TensorSlot};
pub use tensors::{Axis, ExpertLayout, ExpertTensor, Kind, Presence, Role, Scope, TensorSpec};

use crate::gguf::{ARCHITECTURE_KEY, GgufError, Metadata};

/// A family of models that share their keys and tensors, by the name that GGUF has for it.
#[derive(Debug)]
pub struct Architecture {
    /// The value of `general.architecture`, with which the names of its keys begin.
    pub name: &'static str,
    /// Which models have it, for messages: `the architecture of Mixtral`.
    pub models: &'static str,
    /// The key of [`Config::hidden_dim`], without the architecture's name.
    pub hidden_dim_key: &'static str,
    /// The tensors, in the order in which a token meets them.
    pub tensors: &'static [TensorSpec],
}

/// All architectures that can be run.
pub static ARCHITECTURES: &[&Architecture] = &[&LLAMA];

impl PartialEq for Architecture {
    fn eq(&self, other: &Architecture) -> bool {
        self.name == other.name
    }
}

impl Eq for Architecture {}

impl Architecture {
    /// The architecture that `metadata` names; `None` where it names another, or none.
    ///
    /// # Errors
    /// If the name is no string.
    pub fn of(metadata: &Metadata) -> Result<Option<&'static Architecture>, GgufError> {
        let name = metadata.str(ARCHITECTURE_KEY)?;
        Ok(ARCHITECTURES.iter().copied().find(|architecture| Some(architecture.name) == name))
    }

    /// The full name of a key: `llama.block_count`.
    pub fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    /// Experts per layer as `metadata` says, unchecked; 0 in a dense model.
    ///
    /// # Errors
    /// If the value is no count.
    pub fn n_experts(&self, metadata: &Metadata) -> Result<u64, GgufError> {
        Ok(metadata.u64(&self.key(keys::EXPERT_COUNT))?.unwrap_or(0))
    }

    /// The tensor with this role; `None` where the architecture has none.
    pub fn tensor(&self, role: Role) -> Option<&'static TensorSpec> {
        self.tensors.iter().find(|spec| spec.role == role)
    }

    /// The role of the tensor with this name, in either layout of experts, and its layer.
    ///
    /// A name with another ending than `.weight` or `.bias` has the role of the weight: adapters add
    /// such endings. The layer is known without the role too.
    pub fn role_of(&self, name: &str) -> (Option<Role>, Option<usize>) {
        let (layer_idx, rest) = match name.split_once('.') {
            Some((tensors::LAYER, rest)) => {
                let (number, rest) = rest.split_once('.').unwrap_or((rest, ""));
                (number.parse().ok(), rest)
            }
            _ => (None, name),
        };
        let (part, ending) = rest.split_once('.').unwrap_or((rest, ""));
        let named = || self.tensors.iter().filter(|spec| spec.has_part(part));
        let exact = named().find(|spec| spec.kind.ending() == ending);
        (exact.or_else(|| named().next()).map(|spec| spec.role), layer_idx)
    }

    /// What a name says, if it is one of a tensor that holds a single expert.
    pub fn expert_tensor(&self, name: &str) -> Option<ExpertTensor> {
        let (layer_idx, rest) =
            name.strip_prefix(tensors::LAYER)?.strip_prefix('.')?.split_once('.')?;
        let (part, rest) = rest.split_once('.')?;
        let (expert_idx, _) = rest.split_once('.')?;
        let expert = ExpertTensor {
            spec: self
                .tensors
                .iter()
                .find(|spec| spec.scope == Scope::Expert && spec.part == part)?,
            layer_idx: layer_idx.parse().ok()?,
            expert_idx: expert_idx.parse().ok()?,
        };
        // Numbers have one spelling.
        (expert.spec.expert_name(expert.layer_idx, expert.expert_idx) == name).then_some(expert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_layouts_have_roles() {
        for (name, expected) in [
            ("token_embd.weight", (Some(Role::Embedding), None)),
            ("blk.0.attn_q.weight", (Some(Role::Query), Some(0))),
            ("blk.31.ffn_gate_inp.weight", (Some(Role::Router), Some(31))),
            ("blk.2.ffn_down.weight", (Some(Role::Down), Some(2))),
            ("blk.2.ffn_down.7.weight", (Some(Role::Down), Some(2))),
            ("blk.2.ffn_down_exps.weight", (Some(Role::Down), Some(2))),
            ("blk.2.attn_q_exps.weight", (None, Some(2))),
            ("blk.2.attn_q.weight.lora_a", (Some(Role::Query), Some(2))),
            ("blk.40.ssm_in.weight", (None, Some(40))),
            ("blk.x.attn_q.weight", (Some(Role::Query), None)),
            ("blk", (None, None)),
            ("", (None, None)),
        ] {
            assert_eq!(LLAMA.role_of(name), expected, "{name}");
        }
    }

    #[test]
    fn a_tensor_per_expert_is_known_by_its_name() {
        let expert = LLAMA.expert_tensor("blk.3.ffn_gate.7.weight").unwrap();
        assert_eq!((expert.spec.role, expert.layer_idx, expert.expert_idx), (Role::Gate, 3, 7));
        assert_eq!(expert.spec.merged_name(3), "blk.3.ffn_gate_exps.weight");
        for other in [
            "blk.3.ffn_gate.weight",
            "blk.3.ffn_gate_exps.weight",
            "blk.3.ffn_gate.07.weight",
            "blk.3.ffn_gate.7.bias",
            "blk.3.attn_q.7.weight",
            "ffn_gate.7.weight",
        ] {
            assert!(LLAMA.expert_tensor(other).is_none(), "{other}");
        }
    }

    #[test]
    fn every_tensor_has_a_name_and_a_role_of_its_own() {
        for architecture in ARCHITECTURES {
            for spec in architecture.tensors {
                assert_eq!(architecture.tensor(spec.role), Some(spec), "{:?}", spec.role);
                assert_eq!(architecture.role_of(&spec.name(0)).0, Some(spec.role));
            }
        }
    }
}
