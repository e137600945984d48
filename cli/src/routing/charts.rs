//! Kinds of charts: heat maps, grouped bars, curves over layers, coloured text.

use super::colours::css;
use super::svg::{Anchor, Drawing, WIDTH};

/// Where a chart begins: room for numbers at the left and titles above.
const LEFT: f64 = 40.0;
const TOP: f64 = 42.0;

/// The same with room for names.
const NAMES: f64 = 116.0;

/// Up to which part of the largest value white letters have a contrast of 4.5 in the dark scheme.
const WHITE_ON_DARK: f64 = 0.56;

/// The same of black letters in the light scheme.
const BLACK_ON_LIGHT: f64 = 0.755;

/// A matrix of values, darker where they are larger.
pub(super) struct HeatMap<'a> {
    pub title: &'a str,
    /// What rows and columns are.
    pub axes: [&'a str; 2],
    /// What the rows are called, if not by their numbers.
    pub names: Option<&'a [String]>,
    /// `[n_rows][n_columns]`
    pub values: &'a [Vec<f64>],
    /// What is drawn in full.
    pub largest: f64,
    /// How a value is written, in its cell if there is room.
    pub write: &'a dyn Fn(f64) -> String,
}

impl HeatMap<'_> {
    pub fn draw(&self) -> Drawing {
        let HeatMap { title, axes, names, values, largest, write } = self;
        let n_columns = values.first().map_or(0, Vec::len);
        let left = if names.is_some() { NAMES } else { LEFT };
        let cell_width = ((WIDTH - left) / n_columns.max(1) as f64).max(2.0);
        let cell_height: f64 = if values.len() <= 16 { 22.0 } else { 16.0 };
        let width = left + cell_width * n_columns as f64;
        let height = TOP + cell_height * values.len() as f64 + 34.0;
        let mut drawing = Drawing::new(title, width, height);
        drawing.text((0.0, 14.0), Anchor::Start, "title", title);
        drawing.text((0.0, TOP - 8.0), Anchor::Start, "small soft", axes[0]);
        let step = (18.0 / cell_width).ceil() as usize;
        for column in (0..n_columns).step_by(step.max(1)) {
            let x = left + (column as f64 + 0.5) * cell_width;
            drawing.text((x, TOP - 8.0), Anchor::Middle, "small soft", &column.to_string());
        }
        for (row, values) in values.iter().enumerate() {
            let y = TOP + row as f64 * cell_height;
            let base = y + cell_height / 2.0 + 4.0;
            let name = names.map_or(row.to_string(), |names| names[row].clone());
            drawing.text((left - 8.0, base), Anchor::End, "small soft", &shortened(&name, 16));
            for (column, &value) in values.iter().enumerate() {
                let x = left + column as f64 * cell_width;
                let part = if *largest > 0.0 { (value / largest).clamp(0.0, 1.0) } else { 0.0 };
                let tip = format!("{} {name}, {} {column}: {}", axes[0], axes[1], write(value));
                let area = [x, y, cell_width - cell_width.min(10.0) / 10.0, cell_height - 1.0];
                let fill = format!("class=\"heat\" fill-opacity=\"{:.2}\"", 0.04 + 0.96 * part);
                drawing.rect(area, fill, Some(&tip));
                if cell_width >= 28.0 {
                    let class = match part {
                        part if part <= WHITE_ON_DARK => "small low",
                        part if part <= BLACK_ON_LIGHT => "small mid",
                        _ => "small high",
                    };
                    let at = (x + cell_width / 2.0, base);
                    drawing.text(at, Anchor::Middle, class, &write(value));
                }
            }
        }
        let y = height - 14.0;
        drawing.text((LEFT, y + 9.0), Anchor::Start, "small soft", &write(0.0));
        for step in 0..10 {
            let fill = format!(
                "class=\"heat\" fill-opacity=\"{:.2}\"",
                0.04 + 0.96 * f64::from(step) / 9.0
            );
            drawing.rect([LEFT + 36.0 + 12.0 * f64::from(step), y, 12.0, 10.0], fill, None);
        }
        drawing.text((LEFT + 164.0, y + 9.0), Anchor::Start, "small soft", &write(*largest));
        drawing
    }
}

/// Bars in groups: a group for each expert, in it a bar for each series.
pub(super) struct Bars<'a> {
    pub title: &'a str,
    /// `[n_series][n_groups]`
    pub series: &'a [Vec<f64>],
    pub names: &'a [String],
    /// The ends of each bar's interval, of series that have them.
    pub intervals: &'a [Option<Vec<(f64, f64)>>],
    /// Where the axis ends.
    pub largest: f64,
    /// What all bars would be if the load were even.
    pub even: f64,
}

impl Bars<'_> {
    pub fn draw(&self) -> Drawing {
        let Bars { title, series, names, intervals, largest, even } = self;
        let n_groups = series.first().map_or(0, Vec::len);
        let legend_rows = names.len().div_ceil(3);
        let bar = ((WIDTH - LEFT) / n_groups.max(1) as f64 - 6.0) / series.len().max(1) as f64;
        let bar = bar.max(2.0);
        let group = bar * series.len() as f64 + 6.0;
        let width = (LEFT + group * n_groups as f64).max(WIDTH);
        let (plot, legend) = (150.0, 16.0 * legend_rows as f64);
        let bottom = TOP - 12.0 + plot;
        let mut drawing = Drawing::new(title, width, bottom + 40.0 + legend);
        drawing.text((0.0, 14.0), Anchor::Start, "title", title);
        let y = |share: f64| bottom - plot * (share / largest).min(1.0);
        for tick in ticks(*largest) {
            drawing.line(&[(LEFT, y(tick)), (width, y(tick))], "axis");
            let label = percent(tick);
            drawing.text((LEFT - 6.0, y(tick) + 4.0), Anchor::End, "small soft", &label);
        }
        for (idx, (shares, intervals)) in series.iter().zip(*intervals).enumerate() {
            for (expert, &share) in shares.iter().enumerate() {
                let x = LEFT + group * expert as f64 + 3.0 + bar * idx as f64;
                let interval = intervals.as_ref().map(|intervals| intervals[expert]);
                let ends = interval.map_or(String::new(), |(low, high)| {
                    format!(" ({} to {})", percent(low), percent(high))
                });
                let tip = format!("{}, expert {expert}: {}{ends}", names[idx], percent(share));
                let area = [x, y(share), bar - 0.5, bottom - y(share)];
                drawing.rect(area, format!("class=\"bar\" fill=\"{}\"", css(idx)), Some(&tip));
                if let Some((low, high)) = interval {
                    let middle = x + bar / 2.0;
                    let ends = [(middle, y(low)), (middle, y(high))];
                    drawing.line(&ends, "halo");
                    drawing.line(&ends, "ends");
                }
            }
        }
        for expert in (0..n_groups).step_by((14.0 / group).ceil().max(1.0) as usize) {
            let x = LEFT + group * (expert as f64 + 0.5);
            let label = expert.to_string();
            drawing.text((x, bottom + 14.0), Anchor::Middle, "small soft", &label);
        }
        drawing.line(&[(LEFT, y(*even)), (width, y(*even))], "chance");
        for (idx, name) in names.iter().enumerate() {
            let (x, y) = (LEFT + 104.0 * (idx % 3) as f64, bottom + 26.0 + 16.0 * (idx / 3) as f64);
            drawing.rect([x, y, 10.0, 10.0], format!("class=\"bar\" fill=\"{}\"", css(idx)), None);
            drawing.text((x + 14.0, y + 9.0), Anchor::Start, "small", &shortened(name, 14));
        }
        drawing
    }
}

/// A figure over the layers, beside what chance gives.
pub(super) struct Curves<'a> {
    pub title: &'a str,
    pub values: Vec<f64>,
    /// What chance gives at each layer, and how far it reaches.
    pub band: Option<Vec<(f64, f64)>>,
    /// What it is if all experts are alike.
    pub chance: Option<f64>,
    /// What it is by the load alone.
    pub by_load: Option<Vec<f64>>,
    /// The lines' names: the figure, and what it is beside.
    pub legend: &'a [(&'a str, &'a str)],
}

impl Curves<'_> {
    pub fn draw(&self) -> Drawing {
        let Curves { title, values, band, chance, by_load, legend } = self;
        let plot = 150.0;
        let bottom = TOP - 12.0 + plot;
        let mut drawing = Drawing::new(title, WIDTH, bottom + 36.0 + 15.0 * legend.len() as f64);
        drawing.text((0.0, 14.0), Anchor::Start, "title", title);
        let tops = band.iter().flatten().map(|&(_, top)| top).chain(*chance);
        let all = values.iter().copied().chain(tops).chain(by_load.iter().flatten().copied());
        let largest = nice(all.fold(0.0, f64::max) * 1.05).min(1.0);
        let y = |value: f64| bottom - plot * value / largest;
        let step = (WIDTH - LEFT - 16.0) / (values.len().max(2) - 1) as f64;
        let x = |layer: usize| LEFT + 8.0 + step * layer as f64;
        for tick in ticks(largest) {
            drawing.line(&[(LEFT, y(tick)), (WIDTH, y(tick))], "axis");
            let label = percent(tick);
            drawing.text((LEFT - 6.0, y(tick) + 4.0), Anchor::End, "small soft", &label);
        }
        for layer in (0..values.len()).step_by((22.0 / step).ceil().max(1.0) as usize) {
            let (at, label) = ((x(layer), bottom + 14.0), layer.to_string());
            drawing.text(at, Anchor::Middle, "small soft", &label);
        }
        drawing.text((WIDTH, bottom + 27.0), Anchor::End, "small soft", "layer");
        let through = |values: &mut dyn Iterator<Item = f64>| -> Vec<(f64, f64)> {
            values.enumerate().map(|(layer, value)| (x(layer), y(value))).collect()
        };
        if let Some(band) = band {
            let mut around = through(&mut band.iter().map(|&(_, top)| top));
            let means = through(&mut band.iter().map(|&(mean, _)| mean));
            around.extend(means.iter().rev());
            drawing.surface(&around, "band");
            drawing.line(&means, "chance");
        }
        if let Some(chance) = chance {
            drawing.line(&[(LEFT, y(*chance)), (WIDTH, y(*chance))], "chance");
        }
        if let Some(by_load) = by_load {
            drawing.line(&through(&mut by_load.iter().copied()), "load");
        }
        drawing.line(&through(&mut values.iter().copied()), "curve");
        for (layer, &value) in values.iter().enumerate() {
            drawing.dot((x(layer), y(value)), &format!("layer {layer}: {}", percent(value)));
        }
        for (idx, (class, name)) in legend.iter().enumerate() {
            let y = bottom + 36.0 + 15.0 * idx as f64;
            match *class {
                "band" => drawing.rect([LEFT, y - 8.0, 24.0, 8.0], "class=\"band\"", None),
                class => drawing.line(&[(LEFT, y - 4.0), (LEFT + 24.0, y - 4.0)], class),
            }
            drawing.text((LEFT + 30.0, y), Anchor::Start, "small", name);
        }
        drawing
    }
}

/// Characters of a line of coloured text.
const LINE: usize = 46;
const CHAR_WIDTH: f64 = 7.25;
const LINE_HEIGHT: f64 = 17.0;

/// A text with its tokens on the colours of experts, as far as it fits into `max_lines`.
pub(super) fn coloured_text(
    title: &str,
    tokens: impl Iterator<Item = (String, usize)>,
    max_lines: usize,
    n_experts: usize,
) -> Drawing {
    let lines: Vec<_> = lines(tokens).take(max_lines).collect();
    let bottom = TOP + LINE_HEIGHT * lines.len() as f64;
    let mut drawing = Drawing::new(title, LINE as f64 * CHAR_WIDTH + 4.0, bottom + 20.0);
    drawing.text((0.0, 14.0), Anchor::Start, "title", title);
    for (idx, line) in lines.into_iter().enumerate() {
        let y = TOP + idx as f64 * LINE_HEIGHT;
        let (mut x, mut text) = (0.0, String::new());
        for (part, expert) in line {
            let width = part.chars().count() as f64 * CHAR_WIDTH;
            let fill = format!("class=\"mix\" fill=\"{}\"", css(expert));
            drawing.rect([x, y - 13.0, width - 0.6, LINE_HEIGHT - 1.0], fill, None);
            x += width;
            text += &part;
        }
        drawing.fixed_text((0.0, y), x, &text);
    }
    drawing.text((0.0, bottom + 13.0), Anchor::Start, "small soft", "expert");
    for expert in 0..n_experts.min(8) {
        let x = 44.0 + 34.0 * expert as f64;
        let fill = format!("class=\"mix\" fill=\"{}\"", css(expert));
        drawing.rect([x, bottom + 3.0, 24.0, 13.0], fill, None);
        let more = if n_experts > 8 { "\u{2026}" } else { "" };
        let label = format!("{expert}{more}");
        drawing.text((x + 12.0, bottom + 13.0), Anchor::Middle, "small", &label);
    }
    drawing
}

/// Tokens with their experts in lines, which break where the text does, or where they are full.
fn lines(
    tokens: impl Iterator<Item = (String, usize)>,
) -> impl Iterator<Item = Vec<(String, usize)>> {
    let (mut lines, mut column) = (vec![Vec::new()], 0);
    for (text, expert) in tokens {
        for part in text.split_inclusive('\n') {
            let visible = part.trim_end_matches('\n').replace('\t', "    ");
            let n = visible.chars().count();
            if column + n > LINE && column > 0 {
                lines.push(Vec::new());
                column = 0;
            }
            if n > 0 {
                column += n;
                lines.last_mut().expect("there is one").push((visible, expert));
            }
            if part.ends_with('\n') {
                lines.push(Vec::new());
                column = 0;
            }
        }
    }
    lines.into_iter()
}

/// Round numbers up to the end of an axis.
fn ticks(largest: f64) -> Vec<f64> {
    let step = largest / 4.0;
    (0..=4).map(|idx| step * f64::from(idx)).collect()
}

/// The next number that four ticks divide well.
pub(super) fn nice(value: f64) -> f64 {
    let value = value.max(1e-4);
    let scale = 10f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0];
    let step = steps.into_iter().find(|step| step * scale >= value - 1e-12);
    step.unwrap_or(10.0) * scale
}

/// A number of a heat map, without the sign that rounding has left of a small negative one.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let is_zero = text.trim_start_matches('-').chars().all(|c| matches!(c, '0' | '.'));
    if is_zero { text.trim_start_matches('-').to_owned() } else { text }
}

/// A share: `12.5%`, `3%`, `0.02%`.
pub(super) fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    let digits = if percent == 0.0 || percent >= 1.0 { 1 } else { 2 };
    let text = format!("{percent:.digits$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}%")
}

/// A name that is cut where it is long.
pub(super) fn shortened(name: &str, most: usize) -> String {
    match name.chars().count() > most {
        true => name.chars().take(most - 1).chain(['\u{2026}']).collect(),
        false => name.to_owned(),
    }
}
