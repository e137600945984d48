//! `gatefold tokenize`.

use anyhow::Result;
use clap::Args;

/// Arguments of `gatefold tokenize`.
#[derive(Args)]
pub struct TokenizeArgs {}

/// Runs it.
pub fn run(_args: TokenizeArgs) -> Result<()> {
    Ok(())
}
