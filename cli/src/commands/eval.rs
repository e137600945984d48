//! `gatefold eval`.

use super::ids::parse_ids;
use crate::args::model::{LoadedModel, ModelArgs, Use, cache_format, read_ahead};
use crate::args::text::TextArgs;
use crate::hub::model_file;
use crate::routing::describe_unused;
use crate::terminal::output_file::OutputFile;
use crate::terminal::print_note;
use crate::terminal::progress::{self, progress_bar};
use anyhow::{Context, Result, ensure};
use clap::Args;
use gatefold::DynFormat;
use gatefold::engine::LogitsSession;
use gatefold::eval::{
    Divergence, Estimate, NPY_MAGIC, NpyWriter, Perplexity, Predictor, SAVED_BASE_MAGIC, SavedBase,
    SavedBaseWriter, Vocabulary, Windows, divergence, perplexity,
};
use gatefold::gguf::Gguf;
use gatefold::model::Model;
use gatefold::routing::unused;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Tokens per window of a perplexity measurement, as in the field's published figures.
const DEFAULT_WINDOW: usize = 512;

const EXAMPLES: &str = "\
Examples:
  gatefold eval -m mixtral.gguf -f wiki.test.raw              perplexity, windows of 512 tokens
  gatefold eval -m mixtral.gguf -f wiki.test.raw -c 2048      the same with longer windows
  gatefold eval -m q4.gguf -f wiki.test.raw --base f16.gguf   how far q4 is from the original
  gatefold eval -m f16.gguf -f wiki.test.raw --save-base f16.base
  gatefold eval -m q4.gguf -f wiki.test.raw --base f16.base   the same, the original run only once
  gatefold eval -m mixtral.gguf --ids 1,315,837 --logits out.npy";

/// Arguments of `gatefold eval`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct EvalArgs {
    #[command(flatten)]
    model: ModelArgs,

    #[command(flatten)]
    text: TextArgs,

    /// Token ids instead of a text, taken as they are, without a token that begins it
    #[arg(long, value_name = "ID,ID,...", conflicts_with_all = ["prompt", "file"])]
    ids: Option<String>,

    /// Compare with this model: a GGUF or a name, with the same vocabulary, or what --save-base saved of one
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,

    /// Save the predictions to compare other models with: 2 bytes for each scored token and token
    /// of the vocabulary, 0.5 GB for 16,000 tokens of text with Mixtral's
    #[arg(long, value_name = "FILE", conflicts_with = "base")]
    save_base: Option<PathBuf>,

    /// Write the logits after every token to this file: NumPy's format, f32, [n_tokens, vocabulary]
    #[arg(long, value_name = "FILE.npy", conflicts_with_all = ["base", "save_base"])]
    logits: Option<PathBuf>,

    /// Type of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_format)]
    cache_type: &'static DynFormat,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Measures perplexity or divergence, or writes logits.
pub fn run(args: EvalArgs) -> Result<()> {
    let default_context = args.logits.is_none().then_some(DEFAULT_WINDOW);
    let cache_format = Some(args.cache_type);
    let loaded = args.model.load(Use { default_context, cache_format, ..Use::default() })?;
    let (first, tokens) = match &args.ids {
        Some(ids) => (None, parse_ids(ids, loaded.language.model.n_vocab()).context("--ids")?),
        None => {
            let tokens = loaded.language.tokenizer.encode_text(&args.text.read()?)?;
            (loaded.language.tokenizer.first_token(), tokens)
        }
    };
    if let Some(path) = &args.logits {
        return write_logits(&args, &loaded, &tokens, path);
    }
    let windows = Windows::new(&tokens, first, loaded.context_len)?;
    let measurement = Measurement { args: &args, loaded: &loaded, n_tokens: tokens.len(), windows };
    match &args.base {
        Some(base) => measurement.compare(base),
        None => measurement.perplexity(),
    }
}

/// A model, and the text that it is measured on.
struct Measurement<'a> {
    args: &'a EvalArgs,
    loaded: &'a LoadedModel,
    n_tokens: usize,
    windows: Windows,
}

impl Measurement<'_> {
    fn perplexity(&self) -> Result<()> {
        let mut saved = match &self.args.save_base {
            Some(path) => {
                let file = OutputFile::create(path, "--save-base", &SAVED_BASE_MAGIC)?;
                Some(SavedBaseWriter::new(file, self.vocabulary()?, &self.windows)?)
            }
            None => None,
        };
        let mut predictor = self.predictor()?;
        let bar = progress_bar(self.windows.n_scored(), "tokens scored");
        let compute = &self.loaded.compute;
        let each = |logits: &[f32], so_far: &Perplexity| {
            if let Some(saved) = &mut saved {
                saved.write(logits)?;
            }
            bar.set_position(so_far.n_scored() as u64);
            bar.set_message(format!("perplexity {:.4}", so_far.estimate().value));
            anyhow::Ok(())
        };
        let result = perplexity(&mut predictor, &self.windows, compute, each)?;
        progress::hide();
        let perplexity = checked(result.estimate())?;
        let unused = unused(predictor.expert_tokens());
        let n_experts = predictor.expert_tokens().iter().map(Vec::len).sum();
        describe_unused(&unused, n_experts).iter().for_each(|it| print_note(format!("note: {it}")));
        if let Some(saved) = saved {
            saved.finish()?.put_in_place()?;
        }
        let mut out = stdout().lock();
        if self.args.json {
            let mut object = self.json(perplexity);
            object["unused_experts"] = json!(unused);
            writeln!(out, "{object}")?;
        } else {
            let Estimate { value, standard_error } = perplexity;
            writeln!(out, "perplexity {value:.4} +/- {standard_error:.4}\n{}", self.extent())?;
        }
        Ok(())
    }

    /// Compares with the model in a GGUF, or with what was saved of one.
    fn compare(&self, base: &Path) -> Result<()> {
        if SavedBase::is_at(base) {
            let saved = SavedBase::open(base, self.vocabulary()?, &self.windows)?;
            return self.divergence(Predictor::saved(saved));
        }
        let gguf = Gguf::open(&model_file(base)?)
            .context("--base takes a GGUF or what --save-base made")?;
        let model = Model::load(&gguf)?;
        let _read_ahead = read_ahead(&gguf);
        let name = base.display().to_string();
        let vocabulary = Vocabulary::of(&gguf, model.n_vocab())?;
        self.vocabulary()?.check_same(vocabulary, &self.name(), &name)?;
        let (context_len, trained_len) = (self.loaded.context_len, model.config().context_len);
        ensure!(
            context_len <= trained_len,
            "{name} was made for contexts of up to {trained_len}, and windows have {context_len}; use -c {trained_len} or less"
        );
        let LoadedModel { compute, batch_len, .. } = self.loaded;
        let sequence =
            LogitsSession::new(&model, compute, self.args.cache_type, context_len, *batch_len)?;
        self.divergence(Predictor::model(name, sequence))
    }

    fn divergence(&self, base: Predictor<'_>) -> Result<()> {
        let bar = progress_bar(self.windows.n_scored(), "tokens scored");
        let progress = |so_far: &Divergence| {
            bar.set_position(so_far.n_scored() as u64);
            bar.set_message(format!("KL divergence {:.6}", so_far.kl_divergence().value));
        };
        let (model, compute) = (self.predictor()?, &self.loaded.compute);
        let figures = divergence(model, base, &self.windows, compute, progress)?.figures();
        progress::hide();
        let perplexity = checked(figures.perplexity)?;
        checked(figures.base_perplexity).context("--base")?;
        let mut out = stdout().lock();
        if self.args.json {
            let mut object = self.json(perplexity);
            object["base"] = json!(self.args.base.as_ref().map(|base| base.display().to_string()));
            object["divergence"] = json!(figures);
            writeln!(out, "{object}")?;
        } else {
            writeln!(out, "{figures}{}", self.extent())?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        self.loaded.language.gguf.path().display().to_string()
    }

    fn predictor(&self) -> Result<Predictor<'_>> {
        Ok(Predictor::model(self.name(), self.loaded.logits_session(self.args.cache_type)?))
    }

    fn vocabulary(&self) -> Result<Vocabulary<'_>> {
        Ok(Vocabulary::of(&self.loaded.language.gguf, self.loaded.language.model.n_vocab())?)
    }

    fn extent(&self) -> String {
        let windows = &self.windows;
        let (n_scored, n_windows) = (windows.n_scored(), windows.n_windows());
        format!("{n_scored} tokens scored, in {n_windows} windows of {}", windows.window_len())
    }

    fn json(&self, perplexity: Estimate) -> Value {
        json!({
            "perplexity": perplexity.value,
            "standard_error": perplexity.standard_error,
            "n_tokens": self.n_tokens,
            "n_scored": self.windows.n_scored(),
            "window": self.windows.window_len(),
            "cache_type": self.args.cache_type.name,
            "isa": self.loaded.compute.isa.name(),
        })
    }
}

/// The perplexity, unless it is beyond all numbers.
fn checked(perplexity: Estimate) -> Result<Estimate> {
    ensure!(
        perplexity.value.is_finite(),
        "the perplexity is {}: the model's weights are damaged (`gatefold inspect --check` finds the tensor)",
        perplexity.value
    );
    Ok(perplexity)
}

fn write_logits(args: &EvalArgs, loaded: &LoadedModel, tokens: &[u32], path: &Path) -> Result<()> {
    ensure!(!tokens.is_empty(), "there are no tokens, hence no logits; give a text or --ids");
    let n_vocab = loaded.language.model.n_vocab();
    let file = OutputFile::create(path, "--logits", &NPY_MAGIC)?;
    let mut writer = NpyWriter::new(file, tokens.len(), n_vocab)?;
    let bar = progress_bar(tokens.len(), "tokens");
    loaded.logits_session(args.cache_type)?.prefill_all(tokens, |logits| {
        for logits in logits {
            writer.write(logits)?;
            bar.inc(1);
        }
        anyhow::Ok(())
    })?;
    progress::hide();
    writer.finish()?.put_in_place()?;
    let name = path.display();
    let mut out = stdout().lock();
    if args.json {
        let object =
            json!({ "logits": name.to_string(), "n_tokens": tokens.len(), "n_vocab": n_vocab });
        writeln!(out, "{object}")?;
    } else {
        writeln!(out, "{name}: logits of {} tokens over a vocabulary of {n_vocab}", tokens.len())?;
    }
    Ok(())
}
