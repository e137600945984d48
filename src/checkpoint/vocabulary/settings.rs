//! How the files beside a tokenizer name tokens.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::json::JsonObject;
use serde_json::Value;

/// The spelling of the token that a key names.
pub(super) fn token<'s>(
    settings: &'s JsonObject,
    key: &str,
) -> Result<Option<&'s str>, CheckpointError> {
    settings.typed(key, "a token", spelling)
}

/// How settings name a token: by a string, or by an object with that and more.
pub(super) fn spelling(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// The ids of a key: one or a list of them. Negative ones stand for none.
pub(super) fn ids(settings: &JsonObject, key: &str) -> Result<Vec<u64>, CheckpointError> {
    let ids = settings.typed(key, "an id or a list of ids", |value| {
        let ids = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        let id = |id: &Value| id.as_u64().map(Some).or(id.as_i64().map(|_| None));
        ids.iter().map(id).collect::<Option<Vec<_>>>()
    })?;
    Ok(ids.into_iter().flatten().flatten().collect())
}
