//! The keys of a GGUF that describe its tokenizer.

pub(crate) const MODEL: &str = "tokenizer.ggml.model";
pub(crate) const PRE: &str = "tokenizer.ggml.pre";
pub(crate) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(crate) const SCORES: &str = "tokenizer.ggml.scores";
pub(crate) const TOKEN_TYPE: &str = "tokenizer.ggml.token_type";
pub(crate) const MERGES: &str = "tokenizer.ggml.merges";
pub(crate) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(crate) const EOS: &str = "tokenizer.ggml.eos_token_id";
pub(crate) const EOT: &str = "tokenizer.ggml.eot_token_id";
pub(crate) const EOM: &str = "tokenizer.ggml.eom_token_id";
pub(crate) const UNKNOWN: &str = "tokenizer.ggml.unknown_token_id";
pub(crate) const PADDING: &str = "tokenizer.ggml.padding_token_id";
pub(crate) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(crate) const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
pub(crate) const ADD_SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
pub(crate) const CHAT_TEMPLATE: &str = "tokenizer.chat_template";
/// The names of further templates, each of which has a key `tokenizer.chat_template.NAME`.
pub(crate) const CHAT_TEMPLATES: &str = "tokenizer.chat_templates";

/// Keys of gatefold's own, for what the others cannot say of a tokenizer. They are set where it
/// differs from what goes without saying; other programs pass them over.
pub(crate) const SPACE_BEFORE_TEXT: &str = "gatefold.tokenizer.space_before_text";
pub(crate) const SPACE_BEHIND_TOKENS: &str = "gatefold.tokenizer.space_behind_tokens";
pub(crate) const LSTRIP: &str = "gatefold.tokenizer.lstrip_token_ids";
pub(crate) const RSTRIP: &str = "gatefold.tokenizer.rstrip_token_ids";
pub(crate) const SINGLE_WORD: &str = "gatefold.tokenizer.single_word_token_ids";
pub(crate) const NORMALIZED: &str = "gatefold.tokenizer.normalized_token_ids";
pub(crate) const SYMBOLS: &str = "gatefold.tokenizer.symbol_token_ids";
