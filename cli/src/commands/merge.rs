//! `gatefold merge`.

use crate::jobs::{ROW_START, merge};
use crate::terminal::output_file::OutputFile;
use crate::terminal::print_note;
use anyhow::{Result, ensure};
use clap::Args;
use gatefold::files::FileId;
use gatefold::text::{count, printable};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  gatefold merge answers.jsonl part-0.jsonl part-1.jsonl part-2.jsonl part-3.jsonl
  gatefold merge letters.jsonl parts/*.jsonl

The parts are outputs of `gatefold batch --shard` or `gatefold summarize --shard`, of all shards, in
any order. OUT has their lines in the order of the input, and no seals; a run without --shard goes on
with it. It is written to OUT.part and then put there, in place of an older one, which no run may have
open.

Nothing is written if anything is wrong: a shard or a row is missing or double, a run has not come to
its end, a line has been torn or changed, or parts were made with another model, prompt, setting or
revision of the arithmetic, or of another input. Where two parts answer the same rows, it is said which
of them differ; on no two machines they should.

Exit codes: 0 if OUT is written, 1 if it is not.";

/// Arguments of `gatefold merge`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct MergeArgs {
    /// The file to write
    #[arg(value_name = "OUT")]
    out: PathBuf,

    /// The results of all shards
    #[arg(value_name = "PART", required = true)]
    parts: Vec<PathBuf>,
}

/// Joins the results of shards.
pub fn run(args: MergeArgs) -> Result<()> {
    if let Ok(out) = FileId::at(&args.out) {
        let is_out = |part: &&PathBuf| FileId::at(part).is_ok_and(|part| part == out);
        let part = args.parts.iter().find(is_out);
        ensure!(
            part.is_none(),
            "{} is one of the parts; name another file to write first",
            printable(args.out.display())
        );
    }
    let mut out = OutputFile::claim(&args.out, "OUT", ROW_START.as_bytes())?;
    let merged = merge(&args.parts, &mut out)?;
    out.put_in_place()?;
    let (lines, shards) = (count(merged.n_lines, "row"), count(merged.n_shards, "shard"));
    let some = |n_lines, what| match n_lines {
        0 => String::new(),
        n_lines => format!(", {n_lines} of them {what}"),
    };
    let unanswered = some(merged.n_unanswered, "without an answer");
    let others = some(merged.n_others, "not in the input any more");
    print_note(format_args!("{lines} of {shards}{unanswered}{others}"));
    Ok(())
}
