//! Which documents there are for `gatefold summarize`, and what is asked of them.

use super::summarize_notes as notes;
use crate::args::engine::EngineArgs;
use crate::args::form::{self, read_schema};
use crate::args::model::LoadedModel;
use crate::args::sampling::SamplingArgs;
use crate::args::stdin::await_stdin;
use crate::args::text::read_file;
use crate::documents::{Documents, Fields, Wanted};
use crate::jobs::{Key, Part};
use crate::summarize::{Cutter, Facts, Length, Plan, PromptOptions, Setup};
use crate::terminal::progress::counter;
use anyhow::{Context, Result, ensure};
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use gatefold::engine::Options;
use gatefold::grammar::Source;
use gatefold::tokenizer::ChatTemplate;
use serde_json::Value;
use std::path::PathBuf;

/// Tokens that do for the facts of a text.
const DEFAULT_FACTS_TOKENS: usize = 512;

/// Which documents there are, and what is asked of them: all that summaries depend on.
#[derive(Args)]
pub struct AskedArgs {
    /// Files of text, Markdown, HTML, or JSONL with a document per line; folders of texts, of which
    /// files with other endings or none are counted on stderr, and hidden ones too; `-` is stdin, as it is where nothing is named and
    /// something is piped in
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,

    /// Take files with such names from folders, in place of texts, or with such paths from the
    /// folder on if there is a slash; what lies in the folder has its own path, not that of a link
    /// to it. Files called like those of --beside are passed over. May be given several times
    #[arg(long, value_name = "PATTERN")]
    glob: Vec<String>,

    /// Field of JSONL with the text
    #[arg(long, value_name = "NAME", default_value = "text")]
    text_field: String,

    /// Field of JSONL with the id, which all must have [default: id, or else the line's number]
    #[arg(long, value_name = "NAME")]
    id_field: Option<String>,

    /// All documents are lines of JSONL, on stdin and in files of any name; from folders, *.jsonl
    /// and *.ndjson are taken unless --glob says otherwise
    #[arg(long)]
    jsonl: bool,

    /// What to do with a text [default: Summarize this text.]
    #[arg(long, value_name = "TEXT")]
    instruction: Option<String>,

    /// Language of the summaries
    #[arg(long, value_name = "NAME")]
    language: Option<String>,

    /// Length of the summaries
    #[arg(long, value_name = "LENGTH", value_parser = one_of(&Length::ALL))]
    length: Option<Length>,

    /// Tell facts in place of a summary, as this file with a JSON Schema asks for them: lines of the
    /// output have them as `facts`. The model is shown the schema with the instruction
    #[arg(long, value_name = "FILE", conflicts_with = "length")]
    schema: Option<String>,

    /// File with the whole message to the model: {text} stands for the text, and {instruction},
    /// {language} and {length} for what is said here. {{text}} says {text}; any other name in a pair
    /// of braces is refused
    #[arg(long, value_name = "FILE")]
    pub template: Option<PathBuf>,

    /// Most tokens of a summary [default: 256, 96 for a sentence, 384 for bullets, 512 for facts; at
    /// most a quarter of the context]
    #[arg(short, long = "n-predict", value_name = "N")]
    pub n_predict: Option<usize>,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// What answers.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Takes one of these names for what it names.
pub(super) fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&(name, _)| name)).try_map(move |name| {
        let found = all.iter().find(|&&(known, _)| known == name);
        found.map(|&(_, value)| value).ok_or("there is no such name")
    })
}

impl AskedArgs {
    /// The documents, but for what is in files of these names.
    pub fn documents(&self, except: impl Iterator<Item = PathBuf>) -> Result<Documents> {
        let others =
            [&self.template, &self.engine.prompt_cache.prompt_cache].into_iter().flatten().cloned();
        let wanted = Wanted {
            globs: self.glob.clone(),
            except: except.chain(others).collect(),
            is_jsonl: self.jsonl,
        };
        let (text, id) = (self.text_field.clone(), self.id_field.clone());
        let fields = Fields { text, id, label: None };
        let stdin = [PathBuf::from("-")];
        let paths = if self.paths.is_empty() { &stdin[..] } else { &self.paths };
        if paths.contains(&stdin[0]) {
            await_stdin();
        }
        Ok(Documents::open(paths, &wanted, fields)?)
    }

    /// A flag that says something of summaries alone, if there is one.
    pub fn flag_of_summaries(&self) -> Option<&'static str> {
        let is_said = [
            ("--glob", !self.glob.is_empty()),
            ("--text-field", self.text_field != "text"),
            ("--id-field", self.id_field.is_some()),
            ("--jsonl", self.jsonl),
            ("--instruction", self.instruction.is_some()),
            ("--language", self.language.is_some()),
            ("--length", self.length.is_some()),
            ("--schema", self.schema.is_some()),
            ("--template", self.template.is_some()),
            ("--temp and the other flags of sampling", !self.sampling.is_default()),
        ];
        is_said.into_iter().find(|(_, is_said)| *is_said).map(|(flag, _)| flag)
    }

    /// What there is to do, of a shard if one is named.
    pub fn plan(
        &self,
        documents: &Documents,
        setup: &Setup<'_>,
        part: Option<Part>,
    ) -> Result<Plan> {
        let bar = counter("documents found");
        let basis = setup.basis();
        let plan = Plan::of(documents, part, |id, text| {
            bar.inc(1);
            setup.key(&basis, id, text)
        });
        bar.finish_and_clear();
        Ok(plan?)
    }

    /// How summaries are made by a model.
    pub fn setup<'a>(
        &self,
        loaded: &'a LoadedModel,
        chat: &ChatTemplate,
        options: &Options,
    ) -> Result<Setup<'a>> {
        for (flag, text) in [("--instruction", &self.instruction), ("--language", &self.language)] {
            let is_blank = text.as_ref().is_some_and(|text| text.trim().is_empty());
            ensure!(!is_blank, "{flag} is blank; say something, or leave it out");
        }
        let template = self.template.as_deref().map(read_file).transpose()?;
        let schema = self.schema.as_deref().map(read_schema).transpose()?;
        let prompt_options = PromptOptions {
            instruction: self.instruction.clone(),
            language: self.language.clone(),
            length: self.length,
            schema: schema.as_ref().map(Value::to_string),
            template,
        };
        let facts = schema.map(Source::JsonSchema).map(|source| {
            let constraint = form::constraint(&loaded.language.tokenizer, &source)?;
            anyhow::Ok(Facts { constraint, source })
        });
        let model_key = Key::of_model(&loaded.language, chat, options);
        let prompts = prompt_options.prompts(chat.clone()).context("--template")?;
        notes::tell_places(&prompt_options);
        let default_tokens = match facts {
            None => Length::default_tokens(self.length),
            Some(_) => DEFAULT_FACTS_TOKENS,
        };
        let default_tokens = default_tokens.min(options.context_len / 4);
        let max_tokens = self.n_predict.unwrap_or(default_tokens);
        ensure!(
            max_tokens > 0,
            "-n is {max_tokens}, so there would be no summaries; use 1 or more"
        );
        Ok(Setup {
            cutter: Cutter::new(
                &loaded.language.tokenizer,
                prompts,
                options.context_len,
                max_tokens,
            )?,
            sampling: self.sampling.resolve_or(0.0, 0)?,
            facts: facts.transpose().context("--schema")?,
            model_name: loaded.language.name()?,
            model_key,
            max_running: options.max_running,
        })
    }
}
