//! The pictures of an analysis.

use super::Analysis;
use super::charts::{Bars, Curves, HeatMap, coloured_text, fixed, nice, percent};
use super::colours::N_COLOURS;
use super::findings::on_p;
use super::svg::{Drawing, file};
use gatefold::routing::{Information, LayerReport, Report, Sample, Shares};
use gatefold::text::count;

/// The names of all pictures that there may be.
pub const PICTURES: [&str; 7] =
    ["load", "domains", "repetition", "information", "text", "ablation", "similarity"];

/// A picture: drawings that belong together.
pub struct Picture {
    /// What its file is called, without the ending.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What it shows, in a sentence or two.
    pub caption: String,
    pub(super) drawings: Vec<Drawing>,
}

impl Picture {
    /// As a file.
    pub fn svg(&self) -> String {
        file(self.title, &self.drawings)
    }
}

/// All pictures that the analysis has the figures for.
pub fn pictures(analysis: &Analysis) -> Vec<Picture> {
    let report = &analysis.report;
    let mut pictures = vec![load(report), repetition(report), information(report)];
    if report.domains.len() > 1 {
        pictures.insert(1, domains(report));
    }
    pictures.extend(text(report));
    pictures.extend(ablation(analysis));
    pictures.extend(similarity(analysis));
    pictures
}

/// The first layer, the one in the middle and the last: those of the paper's figures.
pub(super) fn shown_layers(report: &Report) -> Vec<usize> {
    let mut layers = vec![0, report.n_layers / 2, report.n_layers.saturating_sub(1)];
    layers.dedup();
    layers
}

/// A share in percent, as a cell of a heat map has it.
fn tenths(share: f64) -> String {
    fixed(100.0 * share, 1)
}

fn load(report: &Report) -> Picture {
    let matrix = |shares: &dyn Fn(&LayerReport) -> Vec<f64>| -> Vec<Vec<f64>> {
        report.layers.iter().map(shares).collect()
    };
    let first = matrix(&|layer| layer.all.ranks[0].share.clone());
    let either = matrix(&|layer| layer.all.either.share.clone());
    let largest = nice(first.iter().chain(&either).flatten().copied().fold(0.0, f64::max));
    let draw = |title: &str, values: &[Vec<f64>]| {
        let axes = ["layer", "expert"];
        HeatMap { title, axes, names: None, values, largest, write: &tenths }.draw()
    };
    let even = percent(1.0 / report.n_experts as f64);
    Picture {
        name: "load",
        title: "Load of the experts",
        caption: format!(
            "The share of each layer's tokens that go to each expert; an even load is {even}."
        ),
        drawings: vec![draw("First choice, %", &first), draw("All choices, %", &either)],
    }
}

fn domains(report: &Report) -> Picture {
    let names: Vec<String> = report.domains.iter().map(|domain| domain.name.clone()).collect();
    let layers = shown_layers(report);
    let all = layers.iter().flat_map(|&layer| &report.layers[layer].domains);
    let ends = all.flat_map(|it| it.ranks[0].high.as_ref().unwrap_or(&it.ranks[0].share));
    let largest = nice(ends.copied().fold(0.0, f64::max)).min(1.0);
    let even = 1.0 / report.n_experts as f64;
    let is_map = names.len() > N_COLOURS;
    let drawings = layers.iter().map(|&layer| {
        let ranks: Vec<_> =
            report.layers[layer].domains.iter().map(|domain| &domain.ranks[0]).collect();
        let series: Vec<Vec<f64>> = ranks.iter().map(|shares| shares.share.clone()).collect();
        let interval = |shares: &&Shares| -> Option<Vec<(f64, f64)>> {
            Some(shares.low.clone()?.into_iter().zip(shares.high.clone()?).collect())
        };
        let intervals: Vec<_> = ranks.iter().map(interval).collect();
        let title = format!("Layer {layer}");
        let (title, series, names, intervals) = (&title, &series[..], &names[..], &intervals[..]);
        if is_map {
            let (axes, names, values) = (["domain", "expert"], Some(names), series);
            return HeatMap { title, axes, names, values, largest, write: &tenths }.draw();
        }
        Bars { title, series, names, intervals, largest, even }.draw()
    });
    let even = match is_map {
        true => format!(", in percent; an even load is {}", percent(even)),
        false => ", with 95% intervals where there are three texts or more; dashed: an even load"
            .to_owned(),
    };
    Picture {
        name: "domains",
        title: "Experts by domain",
        caption: format!(
            "The share of each domain's tokens that have an expert as their first choice{even}. Figure 7 of the paper."
        ),
        drawings: drawings.collect(),
    }
}

fn repetition(report: &Report) -> Picture {
    let legend = [
        ("curve", "neighbours"),
        ("load", "tokens that are independent, by the load"),
        ("chance", "all experts alike"),
    ];
    let curves = |title, figure: fn(&LayerReport) -> f64, chance, by_load| {
        let values = report.layers.iter().map(figure).collect();
        Curves { title, values, band: None, chance: Some(chance), by_load, legend: &legend }.draw()
    };
    let chance = report.repetition_by_chance;
    let layers = || report.layers.iter().map(|layer| layer.repetition_by_load);
    let first = Some(layers().map(|(first, _)| first).collect());
    let either: Option<Vec<f64>> = layers().map(|(_, either)| either).collect();
    let either_title = if report.top_k == 2 { "One of two" } else { "One of the choices" };
    Picture {
        name: "repetition",
        title: "Repetition",
        caption: "How often a token and its neighbour have the same first choice, or one of their choices in common, layer by layer. Table 5 of the paper.".to_owned(),
        drawings: vec![
            curves("Same first choice", |it| it.all.repetition.first, chance.first, first),
            curves(either_title, |it| it.all.repetition.either, chance.either, either),
        ],
    }
}

fn information(report: &Report) -> Picture {
    let legend: &[(&str, &str)] = match report.n_random_routers {
        0 => &[("curve", "the model's routers")],
        _ => &[("curve", "the model's routers"), ("band", "random routers: mean and largest")],
    };
    let curves = |title, of: &dyn Fn(&LayerReport) -> Option<Information>| {
        let found: Option<Vec<Information>> = report.layers.iter().map(of).collect();
        let found = found?;
        let values = found.iter().map(|it| it.share).collect();
        let band = found.iter().map(|it| it.random.map(|random| (random.mean, random.largest)));
        let band = band.collect();
        Some(Curves { title, values, band, chance: None, by_load: None, legend }.draw())
    };
    let drawings = [
        curves("By domain", &|layer| layer.domain_information),
        curves("By kind of token", &|layer| Some(layer.kind_information)),
    ];
    Picture {
        name: "information",
        title: "What decides where a token goes",
        caption: format!(
            "How much of the first choice the domain decides, and the kind of token (mutual information by the entropy of the choice), beside random routers that see the same hidden states. {}",
            on_p(report)
        ),
        drawings: drawings.into_iter().flatten().collect(),
    }
}

/// Lines of text that a picture shows.
const TEXT_LINES: usize = 16;

fn text(report: &Report) -> Option<Picture> {
    let texts = report.samples.iter().flat_map(Sample::texts);
    let (tokens, experts) = texts
        .reduce(|longest, text| if text.0.len() > longest.0.len() { text } else { longest })?;
    let drawings = shown_layers(report).into_iter().map(|layer| {
        let experts = experts.iter().map(|experts| experts[layer]);
        let tokens = tokens.iter().cloned().zip(experts);
        coloured_text(&format!("Layer {layer}"), tokens, TEXT_LINES, report.n_experts)
    });
    Some(Picture {
        name: "text",
        title: "A text by its experts",
        caption: "The beginning of a text, each token on the colour of its first choice. Figure 8 of the paper.".to_owned(),
        drawings: drawings.collect(),
    })
}

fn ablation(analysis: &Analysis) -> Option<Picture> {
    let layers = analysis.ablation.as_ref()?;
    let values: Vec<Vec<f64>> =
        layers.iter().map(|layer| layer.kl.iter().map(|kl| kl.value).collect()).collect();
    let largest = nice(values.iter().flatten().copied().fold(0.0, f64::max));
    let n_tokens = layers.first().map_or(0, |layer| layer.n_tokens);
    let write = |value| fixed(value, 3);
    let (title, axes, values) = ("Nats a token", ["layer", "expert"], &values[..]);
    Some(Picture {
        name: "ablation",
        title: "Without an expert",
        caption: format!(
            "The mean Kullback-Leibler divergence of the predictions from those of the whole model where an expert is left out, and its tokens go to the next best; over {}.",
            count(n_tokens, "token")
        ),
        drawings: vec![HeatMap { title, axes, names: None, values, largest, write: &write }.draw()],
    })
}

fn similarity(analysis: &Analysis) -> Option<Picture> {
    let layers = analysis.similarity.as_ref()?;
    let drawings = shown_layers(&analysis.report).into_iter().map(|layer| {
        let of = &layers[layer];
        let n = of.gate.len();
        let mean = |a: usize, b: usize| (of.gate[a][b] + of.up[a][b] + of.down[a][b]) / 3.0;
        let values: Vec<Vec<f64>> = (0..n).map(|a| (0..n).map(|b| mean(a, b)).collect()).collect();
        let (title, write) = (format!("Layer {layer}"), |value| fixed(value, 2));
        let axes = ["expert", "expert"];
        let (title, values) = (&title, &values[..]);
        HeatMap { title, axes, names: None, values, largest: 1.0, write: &write }.draw()
    });
    let by_chance = layers.first().map_or(0.0, |layer| layer.by_chance);
    Some(Picture {
        name: "similarity",
        title: "Likeness of the experts",
        caption: format!(
            "The cosine of the experts' weights, the mean of their three matrices; for random ones it is 0 +/- {by_chance:.4}."
        ),
        drawings: drawings.collect(),
    })
}
