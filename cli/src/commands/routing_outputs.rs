//! The files that `gatefold routing` writes.

use crate::routing::{Analysis, PICTURES, page, pictures};
use crate::terminal::output_file::OutputFile;
use crate::terminal::print_note;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use gatefold::files::{check_is_file, folder_of};
use gatefold::text::{count, printable};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// What a page begins with.
const HTML: &[u8] = b"<!DOCTYPE html>";

/// What a picture begins with.
const SVG: &[u8] = b"<svg";

/// Where pages and pictures go.
#[derive(Args)]
pub struct OutputArgs {
    /// Write a page with pictures and tables of all of it
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Write the pictures into this folder
    #[arg(long, value_name = "DIR")]
    svg: Option<PathBuf>,
}

impl OutputArgs {
    /// Refuses, before anything is done, what could not be written in the end: each file is to be a
    /// new one or one of its kind, in a folder that can be written to, and no other's.
    pub fn check(&self, counts: Option<&Path>) -> Result<()> {
        for path in [self.html.as_deref(), counts].into_iter().flatten() {
            check_is_file(path)?;
            let folder = folder_of(path);
            ensure!(
                folder.is_dir(),
                "cannot write {}: there is no folder {}",
                printable(path.display()),
                printable(folder.display())
            );
        }
        if let Some(folder) = &self.svg {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", printable(folder.display())))?;
        }
        let files = [self.html.as_deref(), counts].into_iter().flatten().map(PathBuf::from);
        let mut places: Vec<PathBuf> =
            files.chain(self.picture_paths()).map(|path| place(&path)).collect();
        places.sort();
        if let Some(pair) = places.windows(2).find(|pair| pair[0] == pair[1]) {
            let path = printable(pair[0].display());
            bail!("{path} would be written for two flags; name another file for one");
        }
        if let Some(path) = &self.html {
            OutputFile::create(path, "--html", HTML)?;
        }
        for path in self.picture_paths() {
            OutputFile::create(&path, "--svg", SVG)?;
        }
        Ok(())
    }

    /// Where all pictures that there may be would go.
    fn picture_paths(&self) -> impl Iterator<Item = PathBuf> {
        self.svg.iter().flat_map(|folder| PICTURES.map(|name| picture_path(folder, name)))
    }

    /// Writes what was asked for. That one of them cannot be written does not keep others from it.
    pub fn write(&self, analysis: &Analysis) -> Result<()> {
        let html =
            self.html.as_ref().map_or(Ok(()), |path| put(path, "--html", HTML, &page(analysis)));
        let svg = self.svg.as_ref().map_or(Ok(()), |folder| {
            let pictures = pictures(analysis);
            for picture in &pictures {
                put(&picture_path(folder, picture.name), "--svg", SVG, &picture.svg())?;
            }
            let n = count(pictures.len(), "picture");
            print_note(format_args!("{n} written to {}", printable(folder.display())));
            Ok(())
        });
        html.and(svg)
    }
}

fn picture_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.svg"))
}

/// The path of a file that need not be there, the same however its folder is written.
fn place(path: &Path) -> PathBuf {
    let folder = folder_of(path);
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.into());
    folder.join(path.file_name().unwrap_or_default())
}

fn put(path: &Path, flag: &str, magic: &[u8], text: &str) -> Result<()> {
    let mut file = OutputFile::create(path, flag, magic)?;
    file.write_all(text.as_bytes())?;
    Ok(file.put_in_place()?)
}
