//! `--chat-template`, and what is said of templates.

use super::model::LoadedModel;
use crate::terminal::print_note;
use anyhow::{Context, Result, bail};
use clap::Args;
use gatefold::text::{one_line, printable};
use gatefold::tokenizer::{ChatTemplate, Origin};
use std::fs;
use std::path::Path;

/// How conversations are written.
#[derive(Args)]
pub struct TemplateArgs {
    /// Write conversations by this template, a file in Jinja, or in a format by its name: chatml,
    /// llama2, llama3, mistral-v1, mistral-v3, mistral-v7, zephyr, vicuna, alpaca and others [default:
    /// the model's, else the one that its vocabulary tells]
    #[arg(long, value_name = "FILE|NAME")]
    chat_template: Option<String>,

    /// Refuse conversations that the template does not take as they are, in place of joining
    /// neighbours and making what the system says a part of the user's next message
    #[arg(long)]
    strict_template: bool,
}

impl TemplateArgs {
    /// The template that was given, else the model's own, else the one that its vocabulary tells.
    pub fn resolve(&self, loaded: &LoadedModel) -> Result<ChatTemplate> {
        let template = match &self.chat_template {
            Some(wanted) => given(wanted)?,
            None => {
                let template = loaded.language.chat_template();
                let path = || loaded.language.gguf.path().display().to_string();
                template.with_context(|| {
                    let file = path();
                    format!(
                        "{file} (--chat-template gives another, run --raw does without a template)"
                    )
                })?
            }
        };
        Ok(if self.strict_template { template.strict() } else { template })
    }
}

/// The template in a file, or of the format with this name.
fn given(wanted: &str) -> Result<ChatTemplate> {
    if let Some(template) = ChatTemplate::by_name(wanted) {
        return Ok(template);
    }
    if !Path::new(wanted).exists() {
        let names: Vec<&str> = ChatTemplate::names().collect();
        bail!(
            "--chat-template is {}, which is neither a file nor one of {}",
            printable(wanted),
            names.join(", ")
        );
    }
    let source = fs::read_to_string(wanted).with_context(|| format!("cannot read {wanted}"))?;
    ChatTemplate::from_source(&source).with_context(|| wanted.to_owned())
}

/// Says which template is used, where that is not the file's own and nobody has asked for it.
pub fn tell_origin(template: &ChatTemplate) {
    let name = template.name().unwrap_or_default();
    match template.origin() {
        Origin::File | Origin::Given => {}
        Origin::Vocabulary => print_note(format_args!(
            "note: the model has no chat template; its vocabulary tells that the format is {name} (`chat_template` gives another)"
        )),
        Origin::Fallback => print_note(format_args!(
            "note: the model has no chat template, and its vocabulary tells of none; {name} is used, which may be wrong (`chat_template` gives another)"
        )),
    }
}

/// Says that conversations were folded, and why the first one was.
pub fn tell_folded(conversations: &str, why: &str) {
    print_note(format_args!(
        "note: the chat template does not take {conversations} as it stands ({}): neighbours are joined, and what the system says is part of the user's next message where that is needed (`strict_template` refuses it)",
        one_line(why)
    ));
}
