//! What was found, in sentences.

use super::Analysis;
use super::charts::percent;
use gatefold::routing::{Comparison, Information, Repetition, Report, Unused};
use gatefold::text::count;

/// What is taken for more than chance.
const SIGNIFICANT: f64 = 0.05;

/// What was found, a sentence or two each.
pub fn findings(analysis: &Analysis) -> Vec<String> {
    let report = &analysis.report;
    let overall = &report.overall;
    let Repetition { first, either } = overall.repetition;
    let chance = report.repetition_by_chance;
    let mut findings = vec![format!(
        "Neighbours have the same first choice in {} of cases (by chance {}), and share one of their {} in {} ({}).",
        percent(first),
        percent(chance.first),
        count(report.top_k, "choice"),
        percent(either),
        percent(chance.either)
    )];
    findings.extend(overall.domain.as_ref().map(by_domain));
    findings.push(by_kind(report));
    let evenness =
        format!("The load's evenness is {:.3} on average, where 1 is even.", overall.evenness);
    let unused = describe_unused(&analysis.unused, report.n_layers * report.n_experts);
    findings.push(unused.map_or(evenness.clone(), |unused| format!("{evenness} {unused}")));
    findings
}

fn by_domain(domain: &Information) -> String {
    let depends = match domain.shuffled {
        None => "Whether where a token goes depends on its domain cannot be told: that takes several documents of each.".to_owned(),
        Some(Comparison { p, mean, .. }) if p <= SIGNIFICANT => format!(
            "Where a token goes depends on its domain: the first choice tells {:.4} bits of it, and {mean:.4} where the documents are shuffled over the domains (p = {p:.3}).",
            domain.bits
        ),
        Some(Comparison { p, mean, .. }) => format!(
            "Where a token goes does not depend on its domain beyond chance: the first choice tells {:.4} bits of it, and {mean:.4} where the documents are shuffled over the domains (p = {p:.3}).",
            domain.bits
        ),
    };
    match domain.random {
        Some(random) => format!("{depends} {}", beside_random(random, domain.share, "domains")),
        None => depends,
    }
}

fn by_kind(report: &Report) -> String {
    let kind = &report.overall.kind;
    let tells = format!(
        "The kind of token (start of a word, digit, punctuation ...) decides {} of the choice.",
        percent(kind.share)
    );
    match kind.random {
        Some(random) => format!("{tells} {}", beside_random(random, kind.share, "kinds")),
        None => tells,
    }
}

/// Random routers on the same hidden states separate things, too.
fn beside_random(random: Comparison, share: f64, what: &str) -> String {
    let Comparison { mean, largest, p } = random;
    let (share, mean, largest) = (percent(share), percent(mean), percent(largest));
    let compared = match p {
        p if p <= SIGNIFICANT => "more than",
        p if p >= 1.0 - SIGNIFICANT => "less than",
        _ => "no more than",
    };
    format!(
        "The routers separate {what} {compared} random ones do on the same hidden states: {share} of the choice, against {mean} and at most {largest} (p = {p:.3})."
    )
}

/// Which experts are dead or starved, of `n_experts` in all layers; nothing where none is.
pub fn describe_unused(unused: &[Unused], n_experts: usize) -> Option<String> {
    const NAMED: usize = 6;
    let n_dead = unused.iter().filter(|unused| unused.share == 0.0).count();
    let named = unused.iter().take(NAMED).map(|Unused { layer, expert, share }| {
        format!("expert {expert} of layer {layer} ({})", percent(*share))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = if unused.len() > NAMED { ", ..." } else { "" };
    let dead = if n_dead > 0 { format!(", {n_dead} of them none at all") } else { String::new() };
    let n_starved = unused.len();
    let get = if n_starved == 1 { "gets" } else { "get" };
    (n_starved > 0).then(|| {
        format!("{n_starved} of {n_experts} experts {get} less than a quarter of an even load{dead}: {named}{more}.")
    })
}
