//! What people call a model: a file, an address, a repository on the hub, or a name of ours.

use super::table::{KNOWN, Known};
use super::url::{Origin, unescaped};
use anyhow::{Context, Result, bail, ensure};
use gatefold::text::printable;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Name {
    /// A file on this machine, whether or not it is there.
    File(PathBuf),
    /// A model in a repository of the hub.
    Hub(HubName),
    /// A file on another server.
    Url(String),
}

/// A model in a repository: `user/repo`, `user/repo:Q4_K_M`, `user/repo:folder/file.gguf`.
#[derive(Clone, Debug, PartialEq)]
pub struct HubName {
    /// The repository.
    pub repo: Repo,
    /// Which of its models.
    pub which: Which,
}

/// Which model of a repository is meant.
#[derive(Clone, Debug, PartialEq)]
pub enum Which {
    /// The one that suits the machine.
    Any,
    /// The one of this type, in capitals.
    Quant(String),
    /// The one with this file.
    File(String),
}

/// A repository: `user/repo`, of letters, digits, `-`, `_` and `.` alone.
#[derive(Clone, Debug, PartialEq)]
pub struct Repo {
    user: String,
    name: String,
}

/// Servers that are the hub, whatever the endpoint: addresses of its pages are names of models.
const HUBS: [&str; 3] = ["huggingface.co", "hf.co", "www.huggingface.co"];

impl Name {
    /// Of `-m`, where a file that is there comes first.
    ///
    /// # Errors
    /// If it can be no name of a model.
    pub fn of_model(path: &Path) -> Result<Name> {
        let is_known = path.to_str().is_some_and(|text| Known::named(text).is_some());
        match fs::metadata(path) {
            // A folder that happens to be called like a model is none.
            Ok(there) if !there.is_dir() || !is_known => Ok(Name::File(path.into())),
            _ => Name::of(path),
        }
    }

    /// Of what `pull` and `rm` are given, where files do not count.
    ///
    /// # Errors
    /// If it can be no name of a model.
    pub fn of(path: &Path) -> Result<Name> {
        let Some(text) = path.to_str() else { return Ok(Name::File(path.into())) };
        if Origin::of(text).is_some() || text.contains("://") {
            return Name::of_url(text);
        }
        if let Some(rest) = HUBS.iter().find_map(|hub| text.strip_prefix(hub)?.strip_prefix('/')) {
            return Name::of_page(rest).with_context(|| printable(text));
        }
        let (base, which) = match text.split_once(':') {
            Some((base, which)) => (base, Some(which)),
            None => (text, None),
        };
        if let Some(known) = Known::named(base) {
            let repo = Repo::of(known.repo).context("a name in the table")?;
            return Ok(Name::Hub(HubName { repo, which: Which::of(which)? }));
        }
        let is_path = which.is_none() && has_ending(text) || text.contains('\\');
        if let Some(repo) = Repo::of(base).filter(|_| !is_path) {
            return Ok(Name::Hub(HubName { repo, which: Which::of(which)? }));
        }
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if which.is_none() && !base.is_empty() && base.chars().all(is_word) {
            let names: Vec<&str> = KNOWN.iter().map(|known| known.name).collect();
            bail!(
                "there is no file {base}, and no model of this name; name a file, USER/REPO:TYPE of the hub, or one of {}",
                names.join(", ")
            );
        }
        Ok(Name::File(path.into()))
    }

    fn of_url(url: &str) -> Result<Name> {
        let origin = Origin::of(url).with_context(|| {
            format!(
                "{} is no address to fetch from; use one with https:// and without a password",
                printable(url)
            )
        })?;
        if HUBS.contains(&origin.host.as_str()) {
            let rest = url.splitn(4, '/').nth(3).unwrap_or_default();
            return Name::of_page(rest).with_context(|| printable(url));
        }
        let path = url.split(['?', '#']).next().unwrap_or(url);
        ensure!(
            has_ending(path),
            "{} is not the address of a GGUF: its path does not end with .gguf",
            printable(url)
        );
        Ok(Name::Url(url.into()))
    }

    /// Of the hub's own page or file: `user/repo`, `user/repo/blob/main/file.gguf`.
    fn of_page(path: &str) -> Result<Name> {
        let path = path.split(['?', '#']).next().unwrap_or(path).trim_end_matches('/');
        let (path, which) = match path.split_once(':') {
            Some((path, which)) => (path, Some(which)),
            None => (path, None),
        };
        let parts: Vec<&str> = path.split('/').collect();
        let (repo, file) = match parts[..] {
            [user, repo] | [user, repo, "tree", "main"] => (format!("{user}/{repo}"), None),
            [user, repo, "blob" | "resolve" | "raw", "main", ..] => {
                (format!("{user}/{repo}"), Some(parts[4..].join("/")))
            }
            [_, _, "blob" | "resolve" | "raw" | "tree", ..] => {
                bail!("only the branch `main` is fetched from by name")
            }
            [user, repo, ..] => (format!("{user}/{repo}"), Some(parts[2..].join("/"))),
            _ => bail!("expected is USER/REPO, with :TYPE or a file behind it"),
        };
        let repo =
            Repo::of(&repo).context("that is no name of a repository: expected is USER/REPO")?;
        let file = file.map(|file| unescaped(&file).context("the file's name is no text"));
        let which = match (file.transpose()?, which) {
            (None, which) => Which::of(which)?,
            (Some(file), None) => Which::of(Some(&file))?,
            (Some(_), Some(_)) => bail!("a file needs no :TYPE"),
        };
        Ok(Name::Hub(HubName { repo, which }))
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Name::File(path) => write!(f, "{}", printable(path.display())),
            Name::Hub(name) => write!(f, "{name}"),
            Name::Url(url) => write!(f, "{}", printable(url)),
        }
    }
}

impl Display for HubName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.which {
            Which::Any => write!(f, "{}", self.repo),
            Which::Quant(which) | Which::File(which) => {
                write!(f, "{}:{}", self.repo, printable(which))
            }
        }
    }
}

impl Which {
    /// Of what stands behind the colon.
    fn of(text: Option<&str>) -> Result<Which> {
        let Some(text) = text else { return Ok(Which::Any) };
        if has_ending(text) {
            ensure!(is_inside(text), "{} is no name of a file in a repository", printable(text));
            return Ok(Which::File(text.into()));
        }
        let is_type = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        ensure!(
            !text.is_empty() && text.chars().all(is_type),
            "{} is no type: write one such as Q4_K_M, or a file that ends with .gguf, behind the colon",
            printable(text)
        );
        Ok(Which::Quant(text.to_ascii_uppercase()))
    }
}

/// What joins user and name in the name of a repository's folder.
const JOINT: &str = "--";

impl Repo {
    /// Of `user/repo`; none if that is no name of a repository.
    pub fn of(text: &str) -> Option<Repo> {
        let (user, name) = text.split_once('/')?;
        let is_inner = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_outer = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let is_word = |word: &str| {
            (1..=96).contains(&word.len())
                && word.chars().all(is_inner)
                && word.starts_with(is_outer)
                && word.ends_with(is_outer)
                && !word.contains("..")
                && !word.contains(JOINT)
        };
        (is_word(user) && is_word(name)).then(|| Repo { user: user.into(), name: name.into() })
    }

    /// Of a folder in the cache.
    pub fn of_folder(folder: &str) -> Option<Repo> {
        let (user, name) = folder.strip_prefix("models--")?.split_once(JOINT)?;
        Repo::of(&format!("{user}/{name}"))
    }

    /// The name of its folder in the cache.
    pub fn folder(&self) -> String {
        format!("models{JOINT}{}{JOINT}{}", self.user, self.name)
    }
}

impl Display for Repo {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.user, self.name)
    }
}

/// Whether a path ends as files of models do.
pub fn has_ending(path: &str) -> bool {
    let ending = path.len().checked_sub(5).and_then(|at| path.get(at..));
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case(".gguf"))
}

/// Whether a path from outside stays inside of the folder that it is put into, on every system.
pub fn is_inside(path: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && !part.ends_with(['.', ' '])
            && part.len() <= 255
    };
    let is_odd = |c: char| c.is_control() || "\\:*?\"<>|".contains(c);
    path.len() <= 1000 && !path.contains(is_odd) && path.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(text: &str) -> String {
        match Name::of(Path::new(text)) {
            Ok(Name::Hub(name)) => name.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn names_are_understood() {
        for (text, expected) in [
            ("a/b", "a/b"),
            ("a/b-1.5_GGUF:q4_k_m", "a/b-1.5_GGUF:Q4_K_M"),
            ("hf.co/a/b:Q8_0", "a/b:Q8_0"),
            ("https://huggingface.co/a/b", "a/b"),
            ("https://huggingface.co/a/b/", "a/b"),
            ("https://huggingface.co/a/b/tree/main", "a/b"),
            ("https://huggingface.co/a/b/blob/main/x%201.gguf?download=true", "a/b:x 1.gguf"),
            ("https://hf.co/a/b/resolve/main/f/x.gguf", "a/b:f/x.gguf"),
            ("hf.co/a/b/f/x.gguf", "a/b:f/x.gguf"),
            ("a/b:f/x.GGUF", "a/b:f/x.GGUF"),
            ("Mixtral:q2_k", "TheBloke/Mixtral-8x7B-Instruct-v0.1-GGUF:Q2_K"),
        ] {
            assert_eq!(hub(text), expected, "{text}");
        }
        for file in [
            "x.gguf",
            "a/x.gguf",
            "./a",
            "../a",
            "/a/b",
            "a/b/c",
            r"a\b",
            r"a/b:f\x.gguf",
            r"C:\a\b.gguf",
            "C:/a/b",
            "a/../b",
            "~/a",
            "models/x.gguf",
        ] {
            assert!(
                matches!(Name::of(Path::new(file)), Ok(Name::File(_))),
                "{file}: {}",
                hub(file)
            );
        }
        let url = "https://a.b/x.gguf?c=d";
        assert_eq!(Name::of(Path::new(url)).unwrap(), Name::Url(url.into()));
        for wrong in [
            "a/b:",
            "a/b:../x.gguf",
            "a/b:/x.gguf",
            "a/b:Q4 K",
            "a/b:\u{1b}",
            "mixtrall",
            "ftp://a/b.gguf",
            "https://a:b@c/x.gguf",
            "https://a.b/x.zip",
            "hf.co/a",
            "hf.co/../b",
            "hf.co/a/..",
            "hf.co/a/b/blob/v2/x.gguf",
            "hf.co/a/b/%ff.gguf",
            "hf.co/a/b/..%2fx.gguf",
        ] {
            assert!(Name::of(Path::new(wrong)).is_err(), "{wrong}: {}", hub(wrong));
        }
    }

    #[test]
    fn folders_are_those_of_other_programs() {
        let repo = Repo::of("TheBloke/Mixtral-8x7B-v0.1-GGUF").unwrap();
        assert_eq!(repo.folder(), "models--TheBloke--Mixtral-8x7B-v0.1-GGUF");
        assert_eq!(Repo::of_folder(&repo.folder()), Some(repo));
        for none in [
            "models--a",
            "datasets--a--b",
            "models--..--b",
            "models--a--b--c",
            "models--a--b/c",
            "x",
        ] {
            assert_eq!(Repo::of_folder(none), None, "{none}");
        }
    }
}
