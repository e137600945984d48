//! The report as text.

use super::{Check, Forecast, KvBytes, Report, Sizes};
use crate::architecture::ExpertLayout;
use crate::text::{bytes, decimal, printable};
use crate::tokenizer::Origin;
use std::fmt::{self, Display, Formatter};

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let unknown = || "unknown".to_string();
        line(f, "name", self.name.clone().unwrap_or_else(unknown))?;
        line(f, "architecture", self.architecture.clone().unwrap_or_else(unknown))?;
        for (idx, file) in self.files.iter().enumerate() {
            line(f, if idx == 0 { "file" } else { "" }, file.display())?;
        }
        line(f, "size", bytes(self.file_bytes))?;
        let active = match self.n_active_parameters {
            Some(n) if n < self.n_parameters => format!(", of which {} in each token", decimal(n)),
            _ => String::new(),
        };
        line(f, "parameters", format!("{}{active}", decimal(self.n_parameters)))?;
        if let Some(model) = &self.model {
            self.fmt_model(f, model)?;
        }
        self.fmt_tokenizer(f)?;
        for (idx, format) in self.formats.iter().enumerate() {
            let (n, size) = (format.n_tensors, bytes(format.n_bytes));
            let tensors = if n == 1 { "tensor " } else { "tensors" };
            let text = format!("{:<7} {n:>5} {tensors} {size:>9}", format.format);
            line(f, if idx == 0 { "formats" } else { "" }, text)?;
        }
        self.fmt_memory(f)?;
        self.fmt_verdict(f)?;
        self.fmt_forecast(f)?;
        self.fmt_tensors(f)?;
        self.check.as_ref().map_or(Ok(()), |check| fmt_check(f, check))
    }
}

impl Report {
    fn fmt_model(&self, f: &mut Formatter<'_>, model: &Sizes) -> fmt::Result {
        let Sizes { n_layers, dim, n_heads, n_kv_heads, head_dim, hidden_dim, .. } = *model;
        line(f, "layers", format!("{n_layers}, {dim} wide"))?;
        let heads =
            format!("{n_heads} for queries, {n_kv_heads} for keys and values, {head_dim} wide");
        line(f, "heads", heads)?;
        let layout = match self.expert_layout {
            None | Some(ExpertLayout::Dense) => "",
            Some(ExpertLayout::Merged) => "; merged, a tensor for all of a layer",
            Some(ExpertLayout::Separate) => "; a tensor each",
        };
        let experts = match (model.n_experts, model.n_experts_used) {
            (0, _) => format!("none, dense feed-forward networks, {hidden_dim} wide"),
            (n, used) => format!("{n}, {used} for each token, {hidden_dim} wide{layout}"),
        };
        line(f, "experts", experts)?;
        let usual = match model.usual_context_len {
            usual if usual < model.context_len => {
                format!("; {usual} unless `context_len` asks for more, which rotates otherwise")
            }
            _ => String::new(),
        };
        let window = model.window.filter(|&window| window < model.context_len);
        let window = window.map_or(String::new(), |window| {
            format!("; attention reaches back over {window} (sliding window)")
        });
        line(f, "context", format!("{} tokens{usual}{window}", model.context_len))
    }

    fn fmt_tokenizer(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let tokenizer = &self.tokenizer;
        let Some(kind) = &tokenizer.kind else { return line(f, "tokenizer", "none") };
        let pre = tokenizer.pre.as_ref().map(|pre| format!(" ({pre})")).unwrap_or_default();
        let template = if tokenizer.has_chat_template { "with" } else { "without" };
        let n_vocab = tokenizer.n_vocab;
        line(f, "tokenizer", format!("{kind}{pre}, {n_vocab} tokens, {template} chat template"))?;
        let Some(template) = tokenizer.chat_template else { return Ok(()) };
        let name = template.name.unwrap_or_default();
        match template.origin {
            Origin::File | Origin::Given => Ok(()),
            Origin::Vocabulary => {
                line(f, "chat template", format!("{name}, as the vocabulary tells"))
            }
            Origin::Fallback => {
                line(f, "chat template", format!("{name}, for want of another; it may be wrong"))
            }
        }
    }

    fn fmt_memory(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let memory = &self.memory;
        let weights = bytes(memory.weights_bytes);
        let read = memory.weights_bytes_per_token;
        let read = read.map_or(String::new(), |n| format!("; {} read for each token", bytes(n)));
        line(f, "weights", format!("{weights}, mapped{read}"))?;
        let caches = [("F16", memory.kv_f16), ("Q8_0", memory.kv_q8_0)];
        let caches = caches.into_iter().filter_map(|(format, kv)| Some((format, kv?)));
        for (idx, (format, KvBytes { per_token, per_context })) in caches.enumerate() {
            let (token, context) = (bytes(per_token), bytes(per_context));
            let text = format!("{context} for the whole context, {token} a token ({format})");
            line(f, if idx == 0 { "KV cache" } else { "" }, text)?;
        }
        Ok(())
    }

    fn fmt_verdict(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(machine) = &self.machine {
            let (all, available) = (bytes(machine.memory_bytes), bytes(machine.available_bytes));
            line(f, "this machine", format!("{all} of memory, {available} available"))?;
        }
        let runs = if self.verdict.runs { "yes" } else { "no" };
        let notes = self.verdict.notes.join("; ");
        let colon = if notes.is_empty() { "" } else { ": " };
        line(f, "runs here", format!("{runs}{colon}{notes}"))
    }

    fn fmt_forecast(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(forecast) = &self.forecast else { return Ok(()) };
        let Forecast { alone, together, prompt, disk_bytes_per_second } = *forecast;
        let (alone, together, prompt) = (speed(alone), speed(together), speed(prompt));
        line(f, "speed", format!("about {alone} tokens/s for a single answer"))?;
        line(f, "", format!("about {together} for {} answers together", Forecast::N_TOGETHER))?;
        line(f, "", format!("about {prompt} for a long prompt"))?;
        disk_bytes_per_second.map_or(Ok(()), |rate| {
            line(f, "", format!("with {} a second from the disk", bytes(rate as u64)))
        })
    }

    fn fmt_tensors(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Some(tensors) = &self.tensors else { return Ok(()) };
        let width = tensors.iter().map(|tensor| tensor.name.chars().count()).max().unwrap_or(0);
        writeln!(f)?;
        for tensor in tensors {
            let shape = format!("{:?}", tensor.shape);
            let size = bytes(tensor.n_bytes as u64);
            writeln!(f, "{:<width$}  {:<7} {shape:<20} {size:>9}", tensor.name, tensor.format)?;
        }
        Ok(())
    }
}

fn fmt_check(f: &mut Formatter<'_>, check: &Check) -> fmt::Result {
    let n_tensors = check.n_tensors;
    if check.faults.is_empty() {
        return line(f, "check", format!("all weights of {n_tensors} tensors are finite"));
    }
    let n_faults = check.faults.len();
    line(f, "check", format!("{n_faults} of {n_tensors} tensors have NaN or infinite weights"))?;
    for fault in &check.faults {
        let (name, n, first) = (&fault.tensor, fault.n_weights, &fault.first);
        line(f, "", format!("{name} ({}): {n} weights, the first at {first:?}", fault.format))?;
    }
    Ok(())
}

fn line(f: &mut Formatter<'_>, label: &str, text: impl Display) -> fmt::Result {
    writeln!(f, "{label:<14}{}", printable(text))
}

/// Two digits of a speed, about: it is no more certain.
fn speed(tokens_per_second: f64) -> String {
    match tokens_per_second {
        100.0.. => format!("{:.0}", (tokens_per_second / 10.0).round() * 10.0),
        10.0.. => format!("{tokens_per_second:.0}"),
        1.0.. => format!("{tokens_per_second:.1}"),
        _ => format!("{tokens_per_second:.2}"),
    }
}
