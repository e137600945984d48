//! The analysis on a terminal, in eighty columns.

use super::Analysis;
use super::charts::{percent, shortened};
use super::findings::{findings, on_p};
use super::pictures::shown_layers;
use gatefold::routing::{Comparison, Information, LayerReport, Report};
use gatefold::text::{count, printable};
use std::fmt::Write;

/// Columns of a terminal.
const WIDTH: usize = 80;

/// Experts for which a table has a column each.
const MAX_COLUMNS: usize = 8;

/// Tokens that are named for an expert.
const N_WORDS: usize = 6;

/// What was found, as text.
pub fn table(analysis: &Analysis) -> String {
    let report = &analysis.report;
    let mut text = head(analysis);
    text += "\nlayer ";
    if report.n_experts <= MAX_COLUMNS {
        (0..report.n_experts).for_each(|expert| put(&mut text, format_args!("{expert:>6}")));
        text += "  even again either weight\n";
    } else {
        text += "  largest smallest  even again either weight\n";
    }
    report.layers.iter().for_each(|layer| text += &layer_line(report, layer));
    let chance = report.repetition_by_chance;
    text += &wrapped(
        &format!(
            "(first choices in %; by chance {} each, the same again {}, either {})",
            percent(1.0 / report.n_experts as f64),
            percent(chance.first),
            percent(chance.either)
        ),
        "",
    );
    text += &information(report);
    if report.n_experts <= MAX_COLUMNS && report.domains.len() > 1 {
        shown_layers(report).into_iter().for_each(|layer| text += &domains(report, layer));
    }
    text += &words(report);
    text += &ablation(analysis);
    text += &similarity(analysis);
    text.push('\n');
    findings(analysis).iter().for_each(|finding| text += &wrapped(finding, ""));
    text
}

fn put(text: &mut String, part: std::fmt::Arguments<'_>) {
    text.write_fmt(part).expect("a string takes all that is written");
}

fn head(analysis: &Analysis) -> String {
    let report = &analysis.report;
    let mut text = wrapped(
        &format!(
            "{}: {} layers, {} experts, {} for each token",
            printable(&analysis.model),
            report.n_layers,
            report.n_experts,
            report.top_k
        ),
        "",
    );
    for domain in &report.domains {
        let texts = count(domain.n_documents as usize, "text");
        let name = shortened(&printable(&domain.name), 40);
        put(&mut text, format_args!("  {name:<40} {texts:>14} {:>14} tokens\n", domain.n_tokens));
    }
    text
}

fn layer_line(report: &Report, layer: &LayerReport) -> String {
    let mut line = format!("{:>5} ", layer.layer);
    let all = &layer.all;
    let shares = &all.ranks[0].share;
    if report.n_experts <= MAX_COLUMNS {
        shares.iter().for_each(|share| put(&mut line, format_args!("{:>6.1}", 100.0 * share)));
    } else {
        let largest = shares.iter().copied().fold(0.0, f64::max);
        let smallest = shares.iter().copied().fold(1.0, f64::min);
        put(&mut line, format_args!("  {:>7.2} {:>8.2}", 100.0 * largest, 100.0 * smallest));
    }
    put(
        &mut line,
        format_args!(
            "{:>6.3}{:>6.1}{:>7.1}{:>7.3}\n",
            layer.balance.evenness,
            100.0 * all.repetition.first,
            100.0 * all.repetition.either,
            all.first_weight
        ),
    );
    line
}

/// What decides the choice, in percent of its entropy, beside chance.
fn information(report: &Report) -> String {
    let mut text =
        "\nlayer  domain shuffled  random     p    kind  random     p   token\n".to_owned();
    let percent = |share: f64| format!("{:.2}", 100.0 * share);
    let of = |random: Option<Comparison>, figure: &dyn Fn(Comparison) -> String| {
        random.map_or("-".to_owned(), figure)
    };
    let line =
        |label: String, domain: Option<&Information>, kind: &Information, token: Option<f64>| {
            let domain_random = domain.and_then(|domain| domain.random);
            let shuffled = domain.and_then(|domain| domain.shuffled);
            format!(
                "{label:>5} {:>7} {:>8} {:>7} {:>5} {:>7} {:>7} {:>5} {:>7}\n",
                domain.map_or("-".to_owned(), |domain| percent(domain.share)),
                of(shuffled, &|it| format!("p={:.3}", it.p)),
                of(domain_random, &|it| percent(it.mean)),
                of(domain_random, &|it| format!("{:.2}", it.p)),
                percent(kind.share),
                of(kind.random, &|it| percent(it.mean)),
                of(kind.random, &|it| format!("{:.2}", it.p)),
                token.map_or(String::new(), percent)
            )
        };
    for layer in &report.layers {
        let domain = layer.domain_information.as_ref();
        let token = Some(layer.token_information.corrected_share);
        text += &line(layer.layer.to_string(), domain, &layer.kind_information, token);
    }
    let overall = &report.overall;
    text += &line("mean".to_owned(), overall.domain.as_ref(), &overall.kind, None);
    text + &wrapped(
        &format!(
            "(% of the first choice that domain, kind of token and token decide, the last corrected for tokens that were seen rarely; beside it, what random routers let them decide. {})",
            on_p(report)
        ),
        "",
    )
}

fn domains(report: &Report, layer: usize) -> String {
    let mut text = format!("\n{:<24}", format!("first choice, layer {layer}"));
    (0..report.n_experts).for_each(|expert| put(&mut text, format_args!("{expert:>6}")));
    text.push('\n');
    for (domain, of) in report.domains.iter().zip(&report.layers[layer].domains) {
        put(&mut text, format_args!("  {:<22}", shortened(&printable(&domain.name), 22)));
        let shares = of.ranks[0].share.iter();
        shares.for_each(|share| put(&mut text, format_args!("{:>6.1}", 100.0 * share)));
        text.push('\n');
    }
    text
}

fn words(report: &Report) -> String {
    let layer = &report.layers[report.n_layers / 2];
    let mut text = format!(
        "\ntokens that experts of layer {} are specific for, ranked and not tested\n",
        layer.layer
    );
    for (expert, tokens) in layer.specific_tokens.iter().enumerate() {
        let words = tokens.iter().take(N_WORDS).map(|it| format!("{:?}", it.text));
        let words = words.collect::<Vec<_>>().join(" ");
        text += &wrapped(&format!("{expert:>5} {words}"), "      ");
    }
    text
}

fn ablation(analysis: &Analysis) -> String {
    let Some(layers) = &analysis.ablation else { return String::new() };
    let n_tokens = layers.first().map_or(0, |layer| layer.n_tokens);
    let mut text = format!(
        "\nKL divergence without an expert, in thousandths of a nat, over {}\nlayer ",
        count(n_tokens, "token")
    );
    let n_columns = analysis.report.n_experts.min(MAX_COLUMNS);
    (0..n_columns).for_each(|expert| put(&mut text, format_args!("{expert:>8}")));
    text.push('\n');
    for layer in layers {
        for (row, kl) in layer.kl.chunks(MAX_COLUMNS).enumerate() {
            let label = if row == 0 { layer.layer.to_string() } else { String::new() };
            put(&mut text, format_args!("{label:>5} "));
            kl.iter().for_each(|kl| put(&mut text, format_args!("{:>8.1}", 1000.0 * kl.value)));
            text.push('\n');
        }
    }
    text
}

fn similarity(analysis: &Analysis) -> String {
    let Some(layers) = &analysis.similarity else { return String::new() };
    let mut text = "\ncosine of experts' weights  w1 mean  w2 mean  w3 mean  largest\n".to_owned();
    for layer in layers {
        let pairs = |matrix: &[Vec<f64>]| -> Vec<f64> {
            let rows = matrix.iter().enumerate();
            rows.flat_map(|(a, row)| row[..a].to_vec()).collect()
        };
        let parts = [pairs(&layer.gate), pairs(&layer.down), pairs(&layer.up)];
        let largest = parts.iter().flatten().copied().fold(-1.0, f64::max);
        put(&mut text, format_args!("{:>5}{:22}", layer.layer, ""));
        for part in &parts {
            let mean = part.iter().sum::<f64>() / part.len().max(1) as f64;
            put(&mut text, format_args!("{mean:>9.4}"));
        }
        put(&mut text, format_args!("{largest:>9.4}\n"));
    }
    let by_chance = layers.first().map_or(0.0, |layer| layer.by_chance);
    text + &format!("(by chance 0 +/- {by_chance:.4})\n")
}

/// A text in lines that fit; `indent` is put before all but the first.
fn wrapped(text: &str, indent: &str) -> String {
    let mut wrapped = String::new();
    let mut len = 0;
    for (idx, word) in text.split(' ').enumerate() {
        let n = word.chars().count();
        if idx > 0 && len + 1 + n > WIDTH {
            wrapped += "\n";
            wrapped += indent;
            len = indent.len();
        } else if idx > 0 {
            wrapped.push(' ');
            len += 1;
        }
        wrapped += word;
        len += n;
    }
    wrapped + "\n"
}

#[cfg(test)]
mod tests {
    use super::wrapped;

    #[test]
    fn lines_fit() {
        let text = "word ".repeat(40);
        let wrapped = wrapped(text.trim(), "  ");
        assert!(wrapped.lines().all(|line| line.len() <= 80), "{wrapped}");
        assert_eq!(wrapped.split_whitespace().count(), 40);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("  w")));
    }
}
