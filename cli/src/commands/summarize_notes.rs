//! What `gatefold summarize` says of its run, on stderr.

use crate::documents::{Documents, Reading};
use crate::summarize::{Earlier, FailedLine, Line, Plan, PromptOptions, Truncations};
use crate::terminal::print_note;
use crate::terminal::progress::RunProgress;
use gatefold::text::{count, printable};
use std::collections::BTreeMap;

/// Says which wishes the template leaves out, and which it asks for that there are not.
pub fn tell_places(wishes: &PromptOptions) {
    for flag in wishes.without_place() {
        let name = flag.trim_start_matches('-');
        print_note(format_args!(
            "note: {flag} changes no prompt: the template has no {{{name}}} in it"
        ));
    }
    for flag in wishes.without_value() {
        let name = flag.trim_start_matches('-');
        print_note(format_args!(
            "note: the template has {{{name}}} in it, and no {flag} says what that is: nothing is said there"
        ));
    }
}

/// Says what there is in folders that is no document.
pub fn tell_passed_over(documents: &Documents) {
    if !documents.passed_over().is_empty() {
        print_note(documents.passed_over());
    }
}

/// Says what earlier runs left.
pub fn tell_earlier(earlier: &Earlier, n_documents: usize) {
    let Earlier { n_done, failed, changed, n_others, .. } = earlier;
    if *n_done > 0 || !failed.is_empty() {
        let failed = match failed.len() {
            0 => String::new(),
            n_failed => format!(", {n_failed} failed and are tried again"),
        };
        print_note(format_args!(
            "going on where an earlier run stopped: {n_done} of {n_documents} documents are done{failed}"
        ));
    }
    if let Some(first) = changed.first() {
        print_note(format_args!(
            "documents summarized again, since they, the model, the instruction or a setting have changed: {} ({} first)",
            changed.len(),
            printable(first)
        ));
    }
    if *n_others > 0 {
        print_note(format_args!(
            "summaries left in the output that are of other documents than these: {n_others}"
        ));
    }
}

/// Says which bytes were replaced, and which encodings were judged by the bytes.
pub fn tell_readings(plan: &Plan) {
    for (id, Reading { encoding, n_replaced, .. }) in &plan.readings {
        if *n_replaced > 0 {
            let (are, were) = if *n_replaced == 1 { ("is", "was") } else { ("are", "were") };
            print_note(format_args!(
                "{} of {} {are} no {encoding}, and {were} replaced",
                count(*n_replaced, "byte"),
                printable(id)
            ));
        }
    }
    let judged = plan.readings.iter().filter(|(_, reading)| reading.is_judged);
    let mut encodings: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (id, reading) in judged {
        encodings.entry(reading.encoding).or_insert((0, id)).0 += 1;
    }
    for (encoding, (n_documents, first)) in encodings {
        print_note(format_args!(
            "documents that do not say their encoding, read as {encoding}: {n_documents} ({} first)",
            printable(first)
        ));
    }
}

/// Says how many documents have no place beside them.
pub fn tell_without_file(documents: &Documents, plan: &Plan) {
    let entries = plan.entries.iter();
    let n = entries.filter(|entry| documents.file_of(&entry.place).is_none()).count();
    if n > 0 {
        print_note(format_args!(
            "summaries that --beside writes to no file, since they are of stdin or of lines: {n}; they are in the output"
        ));
    }
}

/// Says how many summaries do not end by themselves.
pub fn tell_cut_off(n_cut_off: usize, n_summaries: usize, max_tokens: usize) {
    if n_cut_off > 0 {
        let most = count(max_tokens, "token");
        print_note(format_args!("summaries cut off at {most} (-n): {n_cut_off} of {n_summaries}"));
    }
}

/// Says which documents are not summarized as a whole.
pub fn tell_truncations(truncations: &Truncations, max_part_tokens: usize) {
    let Truncations { silent, cut_off, n_cut_off_parts } = truncations;
    if let Some(first) = silent.first() {
        print_note(format_args!(
            "summaries that leave out parts of which the model said nothing: {} ({} first)",
            silent.len(),
            printable(first)
        ));
    }
    if let Some(first) = cut_off.first() {
        let most = count(max_part_tokens, "token");
        print_note(format_args!(
            "summaries of parts cut off at {most} (-n, or a quarter of what -c has room for): {n_cut_off_parts}, in {} ({} first)",
            count(cut_off.len(), "document"),
            printable(first)
        ));
    }
}

/// Says what failed.
pub fn tell_failed(shown: &RunProgress, lines: &[Line]) {
    for line in lines {
        if let Line::Failed(FailedLine { id, error }) = line {
            shown.note(format_args!("{}: {}", printable(id), printable(error)));
        }
    }
}
