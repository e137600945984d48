//! `gatefold inspect`.

use anyhow::Result;
use clap::Args;

/// Arguments of `gatefold inspect`.
#[derive(Args)]
pub struct InspectArgs {}

/// Runs it.
pub fn run(_args: InspectArgs) -> Result<()> {
    Ok(())
}
