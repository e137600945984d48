//! What form answers are to have.

use super::text::read_file;
use anyhow::{Context, Result};
use clap::Args;
use gatefold::constraint::Constraint;
use gatefold::grammar::{Grammars, Source};
use gatefold::tokenizer::Tokenizer;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Arguments that hold answers to a form.
#[derive(Args)]
#[group(multiple = false)]
pub struct FormArgs {
    /// Answer with JSON as this file with a JSON Schema describes it; `-` is stdin, and a schema may
    /// stand here itself. The model is not told of it: the prompt should say what is wanted
    #[arg(short = 'j', long, value_name = "FILE")]
    json_schema: Option<String>,

    /// Answer with a text that this regular expression matches as a whole
    #[arg(long, value_name = "REGEX", allow_hyphen_values = true)]
    regex: Option<String>,

    /// Answer with a text of this grammar, in llama.cpp's notation (GBNF) or Lark's
    #[arg(long, value_name = "GRAMMAR", allow_hyphen_values = true)]
    grammar: Option<String>,

    /// Answer with a text of the grammar in this file; `-` is stdin
    #[arg(long, value_name = "FILE")]
    grammar_file: Option<PathBuf>,
}

impl FormArgs {
    /// The form, if there is one.
    ///
    /// # Errors
    /// If its file cannot be read, or has no JSON where that is wanted.
    pub fn source(&self) -> Result<Option<Source>> {
        if let Some(schema) = &self.json_schema {
            return Ok(Some(Source::JsonSchema(read_schema(schema)?)));
        }
        if let Some(path) = &self.grammar_file {
            return Ok(Some(Source::grammar(read_file(path)?)));
        }
        let grammar = self.grammar.clone().map(Source::grammar);
        Ok(grammar.or_else(|| self.regex.clone().map(Source::Regex)))
    }
}

/// What holds the answers of a model to a form.
///
/// # Errors
/// If the form says what is not enforced.
pub fn constraint(tokenizer: &Tokenizer, source: &Source) -> Result<Arc<dyn Constraint>> {
    Ok(Arc::new(Grammars::new(tokenizer)?.compile(source)?))
}

/// A JSON Schema: the text itself, if it is an object, else what is in the file of this name.
///
/// # Errors
/// If it cannot be read, or is no JSON.
pub fn read_schema(text_or_path: &str) -> Result<Value> {
    if text_or_path.trim_start().starts_with('{') {
        return serde_json::from_str(text_or_path).context("the JSON Schema is no JSON");
    }
    let text = read_file(Path::new(text_or_path))?;
    serde_json::from_str(&text)
        .with_context(|| format!("the JSON Schema in {text_or_path} is no JSON"))
}
