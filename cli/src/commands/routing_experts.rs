//! What `gatefold routing` measures of the experts themselves.

use crate::args::model::{LoadedModel, cache_format};
use crate::terminal::progress::{self, progress_bar};
use anyhow::Result;
use clap::{Args, value_parser};
use gatefold::DynFormat;
use gatefold::routing::{
    Ablation, Counts, Shape, Similarity, Window, ablation, similarity, windows,
};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most tokens of a window by which experts are left out: their logits are in memory.
const ABLATION_WINDOW: usize = 256;

/// What is to be measured of them.
#[derive(Args)]
pub struct ExpertArgs {
    /// Leave out each expert in turn, and measure the KL divergence over so many tokens of the texts'
    /// beginnings: a pass for each expert
    #[arg(long, value_name = "TOKENS", num_args = 0..=1, default_missing_value = "256", require_equals = true, value_parser = value_parser!(u32).range(1..))]
    ablate: Option<u32>,

    /// Compare the experts' weights, all of which are read
    #[arg(long)]
    similarity: bool,

    /// Type of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_format)]
    pub cache_type: &'static DynFormat,
}

/// What was found of each layer's experts, of what was asked for.
pub type Experts = (Option<Vec<Similarity>>, Option<Vec<Ablation>>);

/// What is measured of the experts themselves; nothing if it was interrupted.
pub fn measure(
    args: &ExpertArgs,
    loaded: &LoadedModel,
    counts: &Counts,
    interrupted: &AtomicBool,
) -> Result<Option<Experts>> {
    let Shape { n_layers, n_experts, .. } = counts.shape();
    let model = &loaded.language.model;
    let likeness = args.similarity.then(|| {
        progress::show();
        let bar = progress_bar(n_layers, "layers compared");
        let found = similarity(model, &loaded.compute, || bar.inc(1));
        progress::hide();
        found
    });
    let Some(n_tokens) = args.ablate else { return Ok(Some((likeness, None))) };
    let windows = ablation_windows(loaded, counts, n_tokens as usize);
    progress::show();
    let bar = progress_bar(windows.len() * n_layers * n_experts, "passes without an expert");
    let mut session = loaded.logits_session(args.cache_type)?;
    let go_on = || {
        bar.inc(1);
        match interrupted.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    };
    let size = (n_layers, n_experts);
    let lost = ablation(&mut session, &loaded.compute, &windows, size, go_on)?;
    progress::hide();
    Ok(lost.map(|lost| (likeness, Some(lost))))
}

/// The beginnings of the domains' texts, with about as many tokens of each.
fn ablation_windows(loaded: &LoadedModel, counts: &Counts, n_tokens: usize) -> Vec<Window> {
    let tokenizer = &loaded.language.tokenizer;
    let n_domains = counts.shape().n_domains;
    let window_len = loaded.context_len.min(ABLATION_WINDOW);
    let all = (0..n_domains).flat_map(|domain_idx| {
        let mut tokens = counts.sample(domain_idx);
        tokens.truncate(n_tokens.div_ceil(n_domains));
        windows(tokenizer, &tokens, window_len, (domain_idx, 0)).collect::<Vec<_>>()
    });
    all.collect()
}
