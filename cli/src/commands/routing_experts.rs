//! What `gatefold routing` measures of the experts themselves.

use crate::args::model::{LoadedModel, cache_format};
use crate::terminal::print_note;
use crate::terminal::progress::{self, progress_bar};
use anyhow::{Result, ensure};
use clap::{Args, value_parser};
use gatefold::DynFormat;
use gatefold::routing::{
    Ablation, Counts, Shape, Similarity, Window, ablation, similarity, windows,
};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

/// Most tokens of a window by which experts are left out: their logits are in memory.
const ABLATION_WINDOW: usize = 256;

/// What is to be measured of them.
#[derive(Args)]
pub struct ExpertArgs {
    /// Leave out each expert in turn, and measure the KL divergence over so many tokens of the texts'
    /// beginnings, at most 320 of each domain: a pass for each expert. Its standard error takes tokens
    /// as independent, which neighbours are not
    #[arg(long, value_name = "TOKENS", num_args = 0..=1, default_missing_value = "256", require_equals = true, value_parser = value_parser!(u32).range(1..))]
    ablate: Option<u32>,

    /// Compare the experts' weights, all of which are read
    #[arg(long)]
    similarity: bool,

    /// Type of the KV cache: f32, f16 or q8_0
    #[arg(long, value_name = "TYPE", default_value = "f32", value_parser = cache_format)]
    pub cache_type: &'static DynFormat,
}

impl ExpertArgs {
    /// Refuses `--ablate 10`, where 10 would be a path.
    pub fn check(&self, paths: &[PathBuf]) -> Result<()> {
        let number = paths.iter().filter_map(|path| path.to_str()).find(|path| {
            path.bytes().all(|byte| byte.is_ascii_digit()) && !PathBuf::from(path).exists()
        });
        let number = number.filter(|_| self.ablate.is_some()).unwrap_or_default();
        ensure!(number.is_empty(), "there is no text {number}; write --ablate={number}, with =");
        Ok(())
    }
}

/// What was found of each layer's experts, of what was asked for.
pub struct Experts {
    /// How alike they are.
    pub similarity: Option<Vec<Similarity>>,
    /// What is lost without each.
    pub ablation: Option<Vec<Ablation>>,
    /// Whether nothing is missing for an interruption.
    pub is_whole: bool,
}

/// What is measured of the experts themselves. What is interrupted is left out, and so is what would
/// have come behind it.
pub fn measure(
    args: &ExpertArgs,
    loaded: &LoadedModel,
    counts: &Counts,
    interrupted: &AtomicBool,
) -> Result<Experts> {
    let Shape { n_layers, n_experts, .. } = counts.shape();
    let go_on = || match interrupted.load(Ordering::Relaxed) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let mut experts = Experts { similarity: None, ablation: None, is_whole: true };
    if args.similarity {
        progress::show();
        let bar = progress_bar(3 * n_layers, "matrices compared");
        let each = || {
            bar.inc(1);
            go_on()
        };
        experts.similarity = similarity(&loaded.language.model, &loaded.compute, each);
        progress::hide();
        experts.is_whole = experts.similarity.is_some();
    }
    if let Some(n_wanted) = args.ablate.filter(|_| experts.is_whole) {
        let windows = ablation_windows(loaded, counts, n_wanted as usize);
        progress::show();
        let bar = progress_bar(windows.len() * n_layers * n_experts, "passes without an expert");
        let each = || {
            bar.inc(1);
            go_on()
        };
        let mut session = loaded.logits_session(args.cache_type)?;
        let size = (n_layers, n_experts);
        experts.ablation = ablation(&mut session, &loaded.compute, &windows, size, each)?;
        progress::hide();
        experts.is_whole = experts.ablation.is_some();
        let n_tokens = experts.ablation.as_ref().map_or(0, |layers| layers[0].n_tokens);
        if experts.is_whole && n_tokens < n_wanted as usize {
            print_note(format_args!(
                "note: experts are left out over {n_tokens} tokens, not {n_wanted}: that is all that is kept of the texts' beginnings"
            ));
        }
    }
    if !experts.is_whole {
        print_note(
            "stopped: what follows is without what --similarity and --ablate had not finished",
        );
    }
    Ok(experts)
}

/// The beginnings of the domains' texts, with about as many tokens of each.
fn ablation_windows(loaded: &LoadedModel, counts: &Counts, n_tokens: usize) -> Vec<Window> {
    let tokenizer = &loaded.language.tokenizer;
    let domains = counts.counted_domains();
    let most = n_tokens.div_ceil(domains.len().max(1));
    let window_len = loaded.context_len.min(ABLATION_WINDOW);
    let all = domains.into_iter().flat_map(|domain_idx| {
        let mut tokens = counts.sample(domain_idx);
        tokens.truncate(most);
        windows(tokenizer, &tokens, window_len, (domain_idx, 0)).collect::<Vec<_>>()
    });
    all.collect()
}
