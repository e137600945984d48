//! Where models are kept and whom the hub is asked through, by the variables that other programs go by.

use super::url::Origin;
use anyhow::{Context, Result, ensure};
use gatefold::machine::Machine;
use gatefold::text::printable;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The hub, where `HF_ENDPOINT` does not name another.
const ENDPOINT: &str = "https://huggingface.co";

/// Where models are, and how they come here.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder that is shared with other programs.
    pub cache: PathBuf,
    /// The address of the hub, without a slash at its end.
    pub endpoint: String,
    /// What shows the hub who asks.
    pub token: Option<String>,
    /// The file that has it where it is not given, and whether somebody named that file.
    pub token_file: Option<(PathBuf, bool)>,
    /// Whether nobody is to be asked.
    pub is_offline: bool,
    /// What this machine is, as far as the choice of a model depends on it.
    pub machine: Option<Machine>,
    /// Bytes that are free where a folder lies.
    pub free_space: fn(&Path) -> io::Result<u64>,
    /// How long it waits before it asks again; twice as long each time.
    pub pause: Duration,
}

/// A token that is longer is none.
const MOST_TOKEN_BYTES: u64 = 4096;

impl Settings {
    /// As the environment has them.
    ///
    /// # Errors
    /// If there is no folder for models, or a variable makes no sense.
    pub fn from_env() -> Result<Settings> {
        Settings::from(|name| env::var_os(name))
    }

    /// As these variables have them.
    ///
    /// # Errors
    /// If there is no folder for models, or a variable makes no sense.
    pub fn from(variable: impl Fn(&str) -> Option<OsString>) -> Result<Settings> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let home = || set(if cfg!(windows) { "USERPROFILE" } else { "HOME" }).map(PathBuf::from);
        let folder = |name: &str| {
            let path = PathBuf::from(set(name)?);
            Some(match path.strip_prefix("~") {
                Ok(below) => home()?.join(below),
                Err(_) => path,
            })
        };
        let hf_home = || {
            folder("HF_HOME")
                .or_else(|| Some(folder("XDG_CACHE_HOME")?.join("huggingface")))
                .or_else(|| Some(home()?.join(".cache/huggingface")))
        };
        let caches = ["LLAMA_CACHE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"];
        let cache = caches.into_iter().find_map(folder).or_else(|| Some(hf_home()?.join("hub")));
        let endpoint = match set("HF_ENDPOINT") {
            Some(endpoint) => endpoint.to_string_lossy().trim_end_matches('/').to_owned(),
            None => ENDPOINT.into(),
        };
        ensure!(
            Origin::of(&endpoint).is_some() && !endpoint.contains(['?', '#']),
            "HF_ENDPOINT is {}; expected is an address such as {ENDPOINT}, without a password",
            printable(&endpoint)
        );
        let token_file = || {
            let given = folder("HF_TOKEN_PATH").map(|path| (path, true));
            given.or_else(|| Some((hf_home()?.join("token"), false)))
        };
        let token = set("HF_TOKEN").map(|token| token.to_string_lossy().trim().to_owned());
        let offline =
            set("HF_HUB_OFFLINE").map(|value| value.to_string_lossy().to_ascii_uppercase());
        Ok(Settings {
            cache: cache.context("there is no folder for models: set HF_HOME to one")?,
            endpoint,
            token: token.filter(|token| !token.is_empty()),
            token_file: token_file(),
            is_offline: offline
                .is_some_and(|value| ["1", "ON", "YES", "TRUE"].contains(&value.as_str())),
            machine: Machine::this(),
            free_space: |folder| fs4::available_space(folder),
            pause: Duration::from_secs(1),
        })
    }
}

impl Settings {
    /// The token that is given, or that of the file, which is read when somebody is asked and not before.
    ///
    /// # Errors
    /// If the file is named and cannot be read, or there is a token that can be none.
    pub fn token(&self) -> Result<Option<String>> {
        let token = match (&self.token, &self.token_file) {
            (None, Some((path, is_wanted))) => token_in(path, *is_wanted)?,
            (given, _) => given.clone(),
        };
        ensure!(
            token.as_ref().is_none_or(|token| token.bytes().all(|byte| byte.is_ascii_graphic())),
            "the token of HF_TOKEN or its file has spaces or other signs in it that no token has; copy it again"
        );
        Ok(token)
    }
}

/// The token in a file; none if there is no file and nobody named it, or it is empty.
fn token_in(path: &Path, is_wanted: bool) -> Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(_) if !is_wanted => return Ok(None),
        Err(error) => {
            return Err(error).with_context(|| format!("HF_TOKEN_PATH: {}", path.display()));
        }
    };
    let mut text = String::new();
    let read = file.take(MOST_TOKEN_BYTES).read_to_string(&mut text);
    read.with_context(|| format!("cannot read the token in {}", path.display()))?;
    Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings> {
        let home = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
        let all = [&[(home, "/home/x")], variables].concat();
        Settings::from(|name| {
            let found = all.iter().rfind(|(variable, _)| *variable == name);
            found.map(|(_, value)| value.into())
        })
    }

    #[test]
    fn the_cache_is_where_other_programs_have_it() {
        let mut variables = Vec::new();
        for (name, value, expected) in [
            ("", "", "/home/x/.cache/huggingface/hub"),
            ("XDG_CACHE_HOME", "/xdg", "/xdg/huggingface/hub"),
            ("HF_HOME", "~/hf", "/home/x/hf/hub"),
            ("HUGGINGFACE_HUB_CACHE", "/old", "/old"),
            ("HF_HUB_CACHE", "/hub", "/hub"),
            ("LLAMA_CACHE", "/llama", "/llama"),
            ("LLAMA_CACHE", "", "/hub"),
        ] {
            variables.push((name, value));
            assert_eq!(settings(&variables).unwrap().cache, Path::new(expected), "{name}");
        }
    }

    #[test]
    fn the_token_is_found_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        let token = |variables: &[(&str, &str)]| {
            settings(&[&[("HF_HOME", home)], variables].concat())?.token()
        };
        assert_eq!(token(&[]).unwrap(), None);
        fs::write(folder.path().join("token"), "hf_a\n").unwrap();
        assert_eq!(token(&[]).unwrap().as_deref(), Some("hf_a"));
        assert_eq!(token(&[("HF_TOKEN", " ")]).unwrap().as_deref(), Some("hf_a"));
        assert_eq!(token(&[("HF_TOKEN", " hf_b ")]).unwrap().as_deref(), Some("hf_b"));
        assert!(token(&[("HF_TOKEN", "hf\r\nX: y")]).is_err());
        assert!(token(&[("HF_TOKEN_PATH", "/nowhere/token")]).is_err());
        for endpoint in ["huggingface.co", "https://a:b@c", "ftp://a", "https://a?b"] {
            assert!(settings(&[("HF_ENDPOINT", endpoint)]).is_err(), "{endpoint}");
        }
        assert_eq!(settings(&[("HF_ENDPOINT", "http://a/b/")]).unwrap().endpoint, "http://a/b");
        assert!(settings(&[("HF_HUB_OFFLINE", "true")]).unwrap().is_offline);
        assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).unwrap().is_offline);
    }
}
