//! What is here.

use super::cache::Here;
use super::elsewhere;
use super::settings::Settings;
use std::fs;
use std::path::PathBuf;

/// A model that is here, or has begun to be.
pub struct Listed {
    /// The name by which it is meant: `user/repo:Q4_K_M`.
    pub name: String,
    /// The file by which it is opened; none if it is unfinished.
    pub path: Option<PathBuf>,
    /// What it takes on the disk.
    pub n_bytes: u64,
}

/// All of them, by name.
pub fn list(settings: &Settings) -> Vec<Listed> {
    let mut listed = Vec::new();
    for here in Here::all(&settings.cache) {
        let models = [here.models(), here.begun()].concat();
        let is_alone =
            |label: &str| models.iter().filter(|kept| kept.set.label() == label).count() == 1;
        for kept in &models {
            let label = Some(kept.set.label()).filter(|label| is_alone(label));
            let label = label.unwrap_or_else(|| kept.set.path().into());
            listed.push(Listed {
                name: format!("{}:{label}", here.repo),
                path: kept.set.is_whole().then(|| kept.path()),
                n_bytes: kept.set.n_bytes(),
            });
        }
        let n_unfinished = here.unfinished().iter().map(|(_, n_bytes)| n_bytes).sum();
        if n_unfinished > 0 {
            listed.push(Listed { name: here.repo.to_string(), path: None, n_bytes: n_unfinished });
        }
    }
    for (name, kept) in elsewhere::all(settings) {
        listed.push(Listed { name, path: Some(kept.path()), n_bytes: kept.set.n_bytes() });
    }
    for (name, begun) in elsewhere::begun(settings) {
        let sizes = begun.iter().filter_map(|path| Some(fs::metadata(path).ok()?.len()));
        listed.push(Listed { name, path: None, n_bytes: sizes.sum() });
    }
    listed
}
