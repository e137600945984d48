//! Conversations in files: a list of messages in JSON, as OpenAI's requests have them.

use anyhow::{Context, Result, bail, ensure};
use gatefold::files::replace;
use gatefold::tokenizer::Message;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Whose messages may be.
const ROLES: [&str; 5] = ["system", "developer", "user", "assistant", "tool"];

/// Writes a conversation to a file; over one that is there only if that holds a conversation.
pub(super) fn save(path: &Path, messages: &[Message]) -> Result<()> {
    let name = path.display();
    if path.exists() && load(path).is_err() {
        bail!("{name} is there already, and is no conversation; name another file");
    }
    let json = serde_json::to_string_pretty(messages)? + "\n";
    replace(path, json.as_bytes()).with_context(|| format!("cannot write {name}"))
}

/// Reads a conversation: a list of messages, or an object that has it as `messages`.
pub(super) fn load(path: &Path) -> Result<Vec<Message>> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let value: Value =
        serde_json::from_str(&text).with_context(|| format!("{name} is not JSON"))?;
    let list = match value {
        Value::Object(mut object) => object.remove("messages").unwrap_or_default(),
        value => value,
    };
    let messages: Vec<Message> = serde_json::from_value(list).with_context(|| {
        format!("{name} has no list of messages with a role and a content each")
    })?;
    for (idx, message) in messages.iter().enumerate() {
        ensure!(
            ROLES.contains(&message.role.as_str()),
            "{name}: message {} is from {:?}; expected is one of {}",
            idx + 1,
            message.role,
            ROLES.join(", ")
        );
    }
    Ok(messages)
}
