//! What was found, in sentences.

use super::Analysis;
use super::charts::percent;
use gatefold::routing::{Comparison, Information, Repetition, Report, Unused};
use gatefold::text::count;

/// What is taken for more than chance.
const SIGNIFICANT: f64 = 0.05;

/// The same on either side of random routers: a verdict takes 39 of them.
const EITHER_SIDE: f64 = SIGNIFICANT / 2.0;

/// Fewer tokens say nothing.
const MIN_TOKENS: u64 = 100;

/// What was found, a sentence or two each.
pub fn findings(analysis: &Analysis) -> Vec<String> {
    let report = &analysis.report;
    let overall = &report.overall;
    if report.n_tokens < MIN_TOKENS {
        return vec![format!(
            "{} are too few to say anything of where tokens go; that takes {MIN_TOKENS} or more.",
            count(report.n_tokens as usize, "token")
        )];
    }
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
    findings.extend(overall.domain.as_ref().map(|domain| by_domain(domain, report)));
    findings.push(by_kind(report));
    let evenness =
        format!("The load's evenness is {:.3} on average, where 1 is even.", overall.evenness);
    let unused = describe_unused(&analysis.unused, report.n_layers * report.n_experts);
    findings.push(unused.map_or(evenness.clone(), |unused| format!("{evenness} {unused}")));
    findings
}

/// How p is to be read.
pub fn on_p(report: &Report) -> String {
    let n = report.n_random_routers;
    let least = match n {
        0 => String::new(),
        _ => format!(", and with {n} random routers no less than {:.3}", 1.0 / (n as f64 + 1.0)),
    };
    format!(
        "Each p is that of one figure: of layers where all is chance, one in twenty has p = 0.05 or less. With 199 shufflings p is no less than 0.005{least}."
    )
}

fn by_domain(domain: &Information, report: &Report) -> String {
    let depends = match domain.shuffled {
        None => "Whether where a token goes depends on its domain cannot be told: that takes several documents of each.".to_owned(),
        Some(Comparison { p, mean, .. }) => {
            let depends = match p <= SIGNIFICANT {
                true => "Where a token goes depends on its domain",
                false => "There is no sign that where a token goes depends on its domain",
            };
            format!(
                "{depends}: the first choice tells {:.4} bits of it, and {mean:.4} where the documents are shuffled over the domains (p = {p:.3}).",
                domain.bits
            )
        }
    };
    match domain.random {
        Some(random) => {
            let beside = beside_random(random, domain.share, "domains", report.n_random_routers);
            format!("{depends} {beside}")
        }
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
        Some(random) => {
            let beside = beside_random(random, kind.share, "kinds", report.n_random_routers);
            format!("{tells} {beside}")
        }
        None => tells,
    }
}

/// Random routers on the same hidden states separate things, too.
fn beside_random(random: Comparison, share: f64, what: &str, n_routers: usize) -> String {
    let Comparison { mean, largest, p, p_less } = random;
    let (share, mean, largest) = (percent(share), percent(mean), percent(largest));
    let figures = format!("{share} of the choice, against {mean} and at most {largest}");
    if 1.0 / (n_routers as f64 + 1.0) > EITHER_SIDE {
        return format!(
            "Beside {} that see the same hidden states the routers separate {what} by {figures}; a verdict takes 39 of them.",
            count(n_routers, "random router")
        );
    }
    let (compared, p) = match (p, p_less) {
        (p, _) if p <= EITHER_SIDE => ("The routers separate {} more than", p),
        (_, p_less) if p_less <= EITHER_SIDE => ("The routers separate {} less than", p_less),
        (p, _) => ("There is no sign that the routers separate {} otherwise than", p),
    };
    let compared = compared.replace("{}", what);
    format!("{compared} random ones do on the same hidden states: {figures} (p = {p:.3}).")
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
