//! Chat templates: `chat_template.jinja`, else `chat_template` in `tokenizer_config.json`, else in
//! `chat_template.json`. Of several templates the one called `default` is the model's, and the
//! others keep their names.

use crate::checkpoint::error::CheckpointError;
use crate::checkpoint::folder::Folder;
use crate::checkpoint::json::JsonObject;
use crate::gguf::{Array, Metadata, Value};
use crate::tokenizer::keys::{CHAT_TEMPLATE, CHAT_TEMPLATES};
use serde_json::Value as Json;

const KEY: &str = "chat_template";
const OTHERS: &str = "additional_chat_templates";
const DEFAULT: &str = "default";

/// A template and its name.
type Named = (String, String);

/// Sets the chat templates of a folder.
pub(super) fn read(
    folder: &Folder,
    tokenizer_config: &JsonObject,
    metadata: &mut Metadata,
) -> Result<(), CheckpointError> {
    let mut templates = files(folder)?;
    if templates.is_empty() {
        templates = listed(tokenizer_config)?;
    }
    if templates.is_empty() {
        templates = listed(&folder.settings("chat_template.json")?)?;
    }
    let mut names = Vec::new();
    for (name, template) in templates {
        if name == DEFAULT {
            metadata.set(CHAT_TEMPLATE, Value::String(template));
        } else {
            metadata.set(format!("{CHAT_TEMPLATE}.{name}"), Value::String(template));
            names.push(name);
        }
    }
    if !names.is_empty() {
        metadata.set(CHAT_TEMPLATES, Value::Array(Array::String(names)));
    }
    Ok(())
}

/// The templates that are files of their own.
fn files(folder: &Folder) -> Result<Vec<Named>, CheckpointError> {
    let Some(default) = folder.text("chat_template.jinja")? else { return Ok(vec![]) };
    let mut templates = vec![(DEFAULT.to_owned(), default)];
    let Some(others) = folder.below(OTHERS)? else { return Ok(templates) };
    for file in others.names() {
        let Some(name) = file.strip_suffix(".jinja") else { continue };
        let template = others.text(file)?;
        templates.extend(template.map(|template| (key_part(name), template)));
    }
    Ok(templates)
}

/// The template of a file, or the list of them.
fn listed(settings: &JsonObject) -> Result<Vec<Named>, CheckpointError> {
    let named = |template: &Json| {
        let part = |key| template.get(key)?.as_str();
        Some((key_part(part("name")?), part("template")?.to_owned()))
    };
    let templates = match settings.get(KEY) {
        None => return Ok(vec![]),
        Some(Json::String(template)) => return Ok(vec![(DEFAULT.to_owned(), template.clone())]),
        Some(Json::Array(templates)) => templates.iter().map(named).collect(),
        Some(_) => None,
    };
    templates.ok_or_else(|| settings.refuse(KEY, "a template or a list of named ones"))
}

/// A name as a part of a key: other characters than ASCII letters and digits become `_`.
fn key_part(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
