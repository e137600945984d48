//! Text from `-p`, `-f` or stdin.

use crate::terminal::print_note;
use anyhow::{Context, Result, anyhow};
use clap::Args;
use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Where text comes from.
#[derive(Args)]
pub struct TextArgs {
    /// The text itself
    #[arg(short, long, value_name = "TEXT", conflicts_with = "file")]
    pub prompt: Option<String>,

    /// A file with the text; `-` is stdin
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl TextArgs {
    /// Whether neither was given.
    pub fn is_empty(&self) -> bool {
        self.prompt.is_none() && self.file.is_none()
    }

    /// The text; from stdin where neither was given.
    ///
    /// # Errors
    /// If it cannot be read or is not UTF-8.
    pub fn read(&self) -> Result<String> {
        if let Some(prompt) = &self.prompt {
            return Ok(prompt.clone());
        }
        match self.file.as_deref().filter(|path| *path != Path::new("-")) {
            Some(path) => {
                let name = path.display().to_string();
                utf8(&name, fs::read(path).with_context(|| format!("cannot read {name}"))?)
            }
            None => {
                if io::stdin().is_terminal() {
                    print_note(
                        "reading the text from the terminal; Ctrl-D on an empty line ends it",
                    );
                }
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).context("cannot read stdin")?;
                utf8("stdin", bytes)
            }
        }
    }
}

fn utf8(name: &str, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        anyhow!("{name} is not UTF-8 text: byte {at} does not belong to a character; convert it, with iconv for example")
    })
}
