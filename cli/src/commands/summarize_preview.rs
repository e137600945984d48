//! `gatefold summarize --dry-run`: what a run would do.

use crate::documents::Documents;
use crate::summarize::{Cutter, Entry, Extent, Failure, Output, Plan};
use crate::terminal::print_note;
use crate::terminal::progress::progress_bar;
use anyhow::Result;
use gatefold::text::{count, one_line, printable};
use serde::Serialize;
use std::io::{self, Write};

/// A line of the list, as JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Row<'a> {
    Document {
        id: &'a str,
        #[serde(flatten)]
        extent: Extent,
        is_done: bool,
    },
    Fault {
        id: &'a str,
        error: String,
    },
}

/// How many documents and tokens there are.
#[derive(Default)]
struct Total {
    n_tokens: usize,
    n_parts: usize,
    n_done: usize,
    n_to_do: usize,
    n_failed: usize,
    n_tokens_to_do: usize,
}

/// Prints the documents with their lengths, each as soon as it is measured; returns whether all can
/// be summarized.
pub fn list(
    documents: &Documents,
    plan: &Plan,
    cutter: &Cutter<'_>,
    output: &Output<'_>,
    is_json: bool,
) -> Result<bool> {
    let mut out = io::stdout().lock();
    let mut total = Total::default();
    if !is_json {
        writeln!(out, "{:>10} {:>7}  {:<7} document", "tokens", "parts", "state")?;
    }
    let bar = progress_bar(plan.entries.len(), "documents");
    let measured = plan.entries.iter().map(|entry| {
        bar.inc(1);
        match measure(documents, entry, cutter) {
            Ok(extent) => Row::Document { id: &entry.id, extent, is_done: output.has(entry) },
            Err(failure) => Row::Fault { id: &entry.id, error: one_line(failure) },
        }
    });
    let faults = plan.faults.iter().map(|(id, fault)| Row::Fault { id, error: one_line(fault) });
    for row in measured.chain(faults) {
        total.add(&row);
        match is_json {
            true => writeln!(out, "{}", serde_json::to_string(&row)?)?,
            false => print(&row, &mut out)?,
        }
    }
    bar.finish_and_clear();
    match is_json {
        true => print_note(total.describe()),
        false => {
            writeln!(out, "{:>10} {:>7}  {}", total.n_tokens, total.n_parts, total.describe())?
        }
    }
    Ok(total.n_failed == 0)
}

fn measure(documents: &Documents, entry: &Entry, cutter: &Cutter<'_>) -> Result<Extent, Failure> {
    cutter.measure(&documents.read(&entry.place)?)
}

fn print(row: &Row<'_>, out: &mut impl Write) -> io::Result<()> {
    match row {
        Row::Document { id, extent: Extent { n_tokens, n_parts }, is_done } => {
            let state = if *is_done { "done" } else { "to do" };
            writeln!(out, "{n_tokens:>10} {n_parts:>7}  {state:<7} {}", printable(id))
        }
        Row::Fault { id, error } => {
            let (id, error) = (printable(id), printable(error));
            writeln!(out, "{:>10} {:>7}  {:<7} {id}: {error}", "-", "-", "fails")
        }
    }
}

impl Total {
    fn add(&mut self, row: &Row<'_>) {
        match row {
            Row::Document { extent, is_done, .. } => {
                self.n_tokens += extent.n_tokens;
                self.n_parts += extent.n_parts;
                match is_done {
                    true => self.n_done += 1,
                    false => {
                        self.n_to_do += 1;
                        self.n_tokens_to_do += extent.n_tokens;
                    }
                }
            }
            Row::Fault { .. } => self.n_failed += 1,
        }
    }

    /// `5 documents: 2 done, 2 to do with 700 tokens in all, 1 that cannot be summarized`
    fn describe(&self) -> String {
        let Total { n_done, n_to_do, n_failed, n_tokens_to_do, .. } = *self;
        let documents = count(n_done + n_to_do + n_failed, "document");
        let tokens = count(n_tokens_to_do, "token");
        let mut said = format!("{documents}: {n_done} done, {n_to_do} to do with {tokens} in all");
        if n_failed > 0 {
            said += &format!(", {n_failed} that cannot be summarized");
        }
        said
    }
}
