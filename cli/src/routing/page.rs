//! The page: one file of HTML, without a script and without anything from elsewhere. A row of radio
//! buttons chooses the layer, and the style sheet shows what belongs to it.

use super::charts::{percent, shortened};
use super::colours::css;
use super::findings::findings;
use super::pictures::{pictures, shown_layers};
use super::svg::{STYLE, escape};
use super::{Analysis, Picture};
use gatefold::routing::{LayerReport, Report, SpecificToken, TokenKind};
use gatefold::text::count;
use std::fmt::Write;

const LAYOUT: &str = "\
*{box-sizing:border-box}html{color-scheme:light dark}\
body{margin:0 auto;padding:1rem;max-width:76rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
h1{font-size:1.5rem;margin:.5rem 0}h2{font-size:1.15rem;margin:2rem 0 .25rem}h3{font-size:1rem;margin:1rem 0 .25rem}\
p{max-width:48rem;margin:.4rem 0}.soft,figcaption{color:var(--soft)}figcaption{font-size:.875rem;max-width:48rem}\
figure{margin:0}.drawings{display:flex;flex-wrap:wrap;gap:1rem 2rem;margin:.75rem 0}.drawings>*{max-width:100%;overflow-x:auto}.drawings svg{max-width:100%;height:auto}.drawings .wide{max-width:none}\
.switch{position:absolute;opacity:0}.layers{position:sticky;top:0;z-index:1;display:flex;flex-wrap:wrap;gap:.25rem;padding:.5rem 0;background:var(--paper);border-bottom:1px solid var(--line)}\
.layers label{min-width:2rem;padding:.1rem .4rem;border:1px solid var(--line);border-radius:.3rem;text-align:center;cursor:pointer;font-size:.875rem}\
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}\
th,td{padding:.15rem .5rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}th:first-child{text-align:left}\
th{font-weight:600}td.heat{background:color-mix(in srgb,var(--hue) calc(var(--v)*50%),var(--paper))}\
.text{white-space:pre-wrap;overflow-wrap:anywhere;font:14px/1.9 ui-monospace,monospace;border:1px solid var(--line);border-radius:.3rem;padding:.5rem .75rem;max-height:24rem;overflow:auto}\
.text hr{border:0;border-top:1px dashed var(--soft);margin:.4rem 0}.text span{border-radius:.15rem}.text span::before{font-size:.6rem;vertical-align:super;color:inherit;margin-right:.1em}\
.key span{display:inline-block;padding:0 .5rem;margin:0 .25rem .25rem 0;border-radius:.15rem}\
.words{display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:0 2rem}.words li{overflow-wrap:anywhere}\
ul{padding-left:1.2rem;margin:.25rem 0}code{font:.875em ui-monospace,monospace;white-space:pre-wrap;background:color-mix(in srgb,var(--line) 45%,var(--paper));border-radius:.2rem;padding:0 .2em}\
.of-layer{display:none}\
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}\
@media print{body{font-size:11pt;padding:0}.drawings .wide{max-width:100%}.layers{position:static}.layers label{display:none}figure,.words>div,table{break-inside:avoid}.words{display:block;columns:2}.text{max-height:none}h2,h3{break-after:avoid}}";

/// The page of an analysis.
pub fn page(analysis: &Analysis) -> String {
    let report = &analysis.report;
    let mut page = String::new();
    let title = format!("Routing of {}", escape(&analysis.model));
    page += "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
    page += "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n";
    page += &format!("<title>{title}</title>\n<style>{STYLE}{LAYOUT}{}</style>\n", switch(report));
    page +=
        &format!("</head>\n<body>\n<h1>{title}</h1>\n<p class=\"soft\">{}</p>\n", extent(analysis));
    page += "<ul>\n";
    findings(analysis)
        .iter()
        .for_each(|finding| page += &format!("<li>{}</li>\n", escape(finding)));
    page += "</ul>\n";
    pictures(analysis).iter().filter(|it| it.name != "text").for_each(|it| page += &figure(it));
    page += "<h2>Layer by layer</h2>\n";
    let shown = shown_layers(report).get(1).copied().unwrap_or(0);
    for layer in 0..report.n_layers {
        let checked = if layer == shown { " checked" } else { "" };
        page += &format!(
            "<input class=\"switch\" type=\"radio\" name=\"layer\" id=\"L{layer}\" aria-label=\"Layer {layer}\"{checked}>"
        );
    }
    page += "\n<nav class=\"layers\" aria-hidden=\"true\"><span class=\"soft\">Layer</span>";
    for layer in 0..report.n_layers {
        page += &format!("<label for=\"L{layer}\">{layer}</label>");
    }
    page += "</nav>\n";
    page += &texts(report);
    for layer in &report.layers {
        page += &format!(
            "<section class=\"of-layer S{}\">\n{}</section>\n",
            layer.layer,
            of_layer(report, layer)
        );
    }
    page + &format!(
        "<p class=\"soft\">Made by gatefold {}.</p>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What was read, in a line.
fn extent(analysis: &Analysis) -> String {
    let report = &analysis.report;
    let n_documents: u64 = report.domains.iter().map(|domain| domain.n_documents).sum();
    let domains = report.domains.iter().map(|domain| {
        format!(
            "{} ({}, {} tokens)",
            domain.name,
            count(domain.n_documents as usize, "text"),
            domain.n_tokens
        )
    });
    let of = if analysis.answers { "of answers to " } else { "of " };
    escape(&format!(
        "{} layers, {} experts, {} for each token. {} tokens {of}{}, in windows of {}: {}.",
        report.n_layers,
        report.n_experts,
        report.top_k,
        report.n_tokens,
        count(n_documents as usize, "text"),
        analysis.window,
        domains.collect::<Vec<_>>().join(", ")
    ))
}

fn figure(Picture { title, caption, drawings, .. }: &Picture) -> String {
    let drawings: String = drawings.iter().map(|drawing| drawing.inline()).collect();
    format!(
        "<h2>{title}</h2>\n<figure><figcaption>{}</figcaption>\n<div class=\"drawings\">{drawings}</div></figure>\n",
        escape(caption)
    )
}

/// What the radio buttons do. `Lx_y` is a token that layer x sends to expert y, and `Bx` one before
/// which the expert changes.
fn switch(report: &Report) -> String {
    let mut style = String::new();
    for layer in 0..report.n_layers {
        write!(
            style,
            "#L{layer}:checked~.S{layer}{{display:block}}#L{layer}:checked~nav [for=L{layer}]{{background:var(--ink);color:var(--paper)}}#L{layer}:focus-visible~nav [for=L{layer}]{{outline:2px solid var(--hue);outline-offset:2px}}@media print{{#L{layer}:checked~nav [for=L{layer}]{{display:inline-block}}}}"
        )
        .expect("a string takes all that is written");
        for expert in 0..report.n_experts {
            write!(
                style,
                "#L{layer}:checked~.texts .L{layer}_{expert}{{background:color-mix(in srgb,{} calc(var(--mix)*100%),var(--paper))}}#L{layer}:checked~.texts .B{layer}.L{layer}_{expert}::before{{content:\"{expert}\"}}",
                css(expert)
            )
            .expect("a string takes all that is written");
        }
    }
    style
}

/// The beginnings of the domains' texts.
fn texts(report: &Report) -> String {
    let mut texts = "<div class=\"texts\">\n<h3>Texts by their experts</h3>\n<p class=\"soft\">Each token is on the colour of its first choice in the layer that is chosen above; a small number says which expert it is, where that changes. A line stands between two texts. Figure 8 of the paper.</p>\n<p class=\"key\">".to_owned();
    for expert in 0..report.n_experts {
        let colour = css(expert);
        texts += &format!(
            "<span style=\"background:color-mix(in srgb,{colour} calc(var(--mix)*100%),var(--paper))\">{expert}</span>"
        );
    }
    texts += "</p>\n";
    for (domain, sample) in report.domains.iter().zip(&report.samples) {
        texts += &format!(
            "<h3>{}</h3>\n<div class=\"text\">{}</div>\n",
            escape(&domain.name),
            sample.texts().map(spans).collect::<Vec<_>>().join("<hr>")
        );
    }
    texts + "</div>\n"
}

/// A text, token by token.
fn spans((tokens, experts): (&[String], &[Vec<usize>])) -> String {
    let mut spans = String::new();
    let mut before: &[usize] = &[];
    for (text, experts) in tokens.iter().zip(experts) {
        let classes = experts.iter().enumerate().map(|(layer, expert)| {
            let is_new = before.get(layer) != Some(expert);
            if is_new {
                format!("L{layer}_{expert} B{layer}")
            } else {
                format!("L{layer}_{expert}")
            }
        });
        let classes = classes.collect::<Vec<_>>().join(" ");
        if !text.is_empty() {
            // The number of an expert is to stand at its word, not before the space.
            let (space, word) = match text.strip_prefix(' ') {
                Some(word) if !word.is_empty() => (" ", word),
                _ => ("", text.as_str()),
            };
            spans += &format!("{space}<span class=\"{classes}\">{}</span>", escape(word));
            before = experts;
        }
    }
    spans
}

/// The tables and words of a layer.
fn of_layer(report: &Report, layer: &LayerReport) -> String {
    let mut section = format!("<h3>Layer {}: kinds of tokens</h3>\n", layer.layer);
    let kinds = report.kinds.iter().zip(&layer.kinds).filter(|(kind, _)| kind.n_tokens > 0);
    let rows = kinds.map(|(kind, of)| (name(kind.kind), of.first.clone()));
    section += &shares("First choices of", rows.collect(), report.n_experts);
    section += &format!(
        "<h3>Layer {}: pairs</h3>\n<p class=\"soft\">The share of tokens that take both experts.</p>\n",
        layer.layer
    );
    let rows =
        layer.pairs.iter().enumerate().map(|(expert, row)| (expert.to_string(), row.clone()));
    section += &shares("Expert", rows.collect(), report.n_experts);
    section += &format!(
        "<h3>Layer {}: tokens that experts are specific for</h3>\n<p class=\"soft\">How often the expert is the token's first choice, of how many times the token was seen, and where. The lists are ranked and not tested: of many tokens some stand out by chance.</p>\n<div class=\"words\">\n",
        layer.layer
    );
    for (expert, tokens) in layer.specific_tokens.iter().enumerate() {
        section += &format!("<div><h3>Expert {expert}</h3>\n");
        section += &match tokens.is_empty() {
            true => "<p class=\"soft\">none</p>\n".to_owned(),
            false => format!("<ul>{}</ul>\n", tokens.iter().map(word).collect::<String>()),
        };
        section += "</div>\n";
    }
    section + "</div>\n"
}

fn name(kind: TokenKind) -> String {
    kind.name().to_owned()
}

fn word(token: &SpecificToken) -> String {
    let example = token.example.as_ref().map_or(String::new(), |example| {
        let line = |text: &str| escape(&text.replace('\n', "\u{23ce}"));
        format!(
            " <span class=\"soft\">{}<b>{}</b>{}</span>",
            line(&example.before),
            line(&example.token),
            line(&example.after)
        )
    });
    let text = escape(&shortened(&token.text.replace('\n', "\u{23ce}"), 24));
    let share = percent(token.share);
    format!("<li><code>{text}</code> {share} of {}{example}</li>\n", token.n_seen)
}

/// A table of shares over the experts, darker where they are larger.
fn shares(of: &str, rows: Vec<(String, Vec<f64>)>, n_experts: usize) -> String {
    let largest = rows.iter().flat_map(|(_, shares)| shares).copied().fold(0.0, f64::max);
    let mut table = format!("<div class=\"scroll\"><table><tr><th>{of}</th>");
    (0..n_experts).for_each(|expert| table += &format!("<th>{expert}</th>"));
    table += "</tr>\n";
    for (name, shares) in rows {
        table += &format!("<tr><th>{}</th>", escape(&name));
        for share in shares {
            let part = if largest > 0.0 { share / largest } else { 0.0 };
            table +=
                &format!("<td class=\"heat\" style=\"--v:{part:.2}\">{:.1}</td>", 100.0 * share);
        }
        table += "</tr>\n";
    }
    table + "</table></div>\n"
}
