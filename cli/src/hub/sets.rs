//! Files of a repository become models: the parts of one are a set, which has a type.

use super::name::{Which, has_ending, is_inside};
use gatefold::text::printable;
use regex::Regex;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A file of a repository.
#[derive(Clone, Debug, PartialEq)]
pub struct RepoFile {
    /// Its path in the repository, which stays inside of that.
    pub path: String,
    /// Its length.
    pub n_bytes: u64,
    /// The name of its blob in the cache: the hash that the hub has of it.
    pub blob: String,
    /// SHA-256 of what is in it, where the hub tells.
    pub sha256: Option<String>,
}

/// A model: one file, or its parts in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// Its type, as its name tells: `Q4_K_M`.
    pub quant: Option<String>,
    /// Its files.
    pub files: Vec<RepoFile>,
    /// How many there should be.
    pub n_parts: usize,
}

impl Set {
    /// All of its files together.
    pub fn n_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.n_bytes))
    }

    /// Whether a file is one of its own.
    pub fn has(&self, path: &str) -> bool {
        self.files.iter().any(|file| file.path == path)
    }

    /// Whether no part is missing.
    pub fn is_whole(&self) -> bool {
        self.files.len() == self.n_parts
    }

    /// The path of the first file.
    pub fn path(&self) -> &str {
        &self.files[0].path
    }

    /// By what it is told from the others of its repository: its type, or its file.
    pub fn label(&self) -> String {
        self.quant.clone().unwrap_or_else(|| printable(self.path()))
    }

    /// Whether it is what is meant.
    pub fn is(&self, which: &Which) -> bool {
        match which {
            Which::Any => true,
            Which::File(path) => self.files.iter().any(|file| file.path.eq_ignore_ascii_case(path)),
            // `Q4_K_XL` is also meant to find `UD-Q4_K_XL`.
            Which::Quant(wanted) => self.quant.as_ref().is_some_and(|quant| {
                quant == wanted
                    || quant.strip_suffix(wanted.as_str()).is_some_and(|start| start.ends_with('-'))
            }),
        }
    }
}

static PART: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"(?i)^(.*)-([0-9]{5})-of-([0-9]{5})\.gguf$").expect("a regular expression")
});

static TYPE: LazyLock<Regex> = LazyLock::new(|| {
    let types =
        r"^(?:(?:I?Q|TQ)[1-8](?:_[A-Z0-9]{1,4})*|B?F16|FP16|FP?32|MXFP4(?:_[A-Z]+)?|NVFP4)$";
    Regex::new(types).expect("a regular expression")
});

/// The models among the files of a repository, by name. What belongs to a model and is none (projectors
/// for images, importance matrices) is left out.
pub fn sets(files: impl IntoIterator<Item = RepoFile>) -> Vec<Set> {
    let mut sets: BTreeMap<(String, usize), BTreeMap<usize, RepoFile>> = BTreeMap::new();
    for file in files {
        let name = file.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        let is_beside = name.starts_with("mmproj") || name.contains("imatrix");
        if !has_ending(&file.path) || !is_inside(&file.path) || is_beside {
            continue;
        }
        let (stem, part, n_parts) = part_of(&file.path).unwrap_or((&file.path, 1, 1));
        sets.entry((stem.to_owned(), n_parts)).or_default().insert(part, file);
    }
    let set = |((stem, n_parts), files): ((String, usize), BTreeMap<_, RepoFile>)| Set {
        quant: quant(&stem),
        files: files.into_values().collect(),
        n_parts,
    };
    sets.into_iter().map(set).collect()
}

/// The names of all parts of the model that has this one; of one that is whole its own.
pub fn part_names(name: &str) -> Vec<String> {
    let Some((stem, _, n_parts)) = part_of(name) else { return vec![name.into()] };
    let ending = &name[name.len() - ".gguf".len()..];
    (1..=n_parts).map(|part| format!("{stem}-{part:05}-of-{n_parts:05}{ending}")).collect()
}

/// What stands before the number of a part, that number, and how many parts there are; none for what is
/// no part.
fn part_of(path: &str) -> Option<(&str, usize, usize)> {
    let (_, [stem, part, n_parts]) = PART.captures(path)?.extract();
    let (part, n_parts) = (part.parse().ok()?, n_parts.parse().ok()?);
    (1..=n_parts).contains(&part).then_some((stem, part, n_parts))
}

/// The type that a path tells, in capitals: of `x/y.Q4_K_M`, `x-q4_0.gguf`, `UD-Q4_K_XL/x` and
/// `x_Q8_0` what stands there for it.
fn quant(stem: &str) -> Option<String> {
    let stem = stem.to_ascii_uppercase();
    let stem = stem.strip_suffix(".GGUF").unwrap_or(&stem);
    let words: Vec<&str> = stem.split(['/', '-', '.']).collect();
    let of_word = |word: &&str| {
        let starts = word.match_indices('_').map(|(at, _)| at + 1);
        let ends = [0].into_iter().chain(starts).map(|at| word[at..].to_owned());
        ends.into_iter().find(|end| TYPE.is_match(end))
    };
    let (at, found) =
        words.iter().enumerate().rev().find_map(|(at, word)| Some((at, of_word(word)?)))?;
    let is_dynamic = at > 0 && words[at - 1] == "UD" && found == words[at];
    Some(if is_dynamic { format!("UD-{found}") } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> RepoFile {
        RepoFile { path: path.into(), n_bytes: 10, blob: "b".into(), sha256: None }
    }

    #[test]
    fn types_are_told_by_names() {
        for (path, expected) in [
            ("mixtral-8x7b-instruct-v0.1.Q4_K_M.gguf", "Q4_K_M"),
            ("Mixtral-8x7B-Instruct-v0.1-q2_k.gguf", "Q2_K"),
            ("ggml-model-q4_0.gguf", "Q4_0"),
            ("dolphin_8x7b_Q5_K_S.gguf", "Q5_K_S"),
            ("Q6_K/x-00001-of-00002.gguf", "Q6_K"),
            ("x.i1-IQ2_XXS.gguf", "IQ2_XXS"),
            ("x-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
            ("x-bf16.gguf", "BF16"),
            ("x.fp16.gguf", "FP16"),
            ("x-Q4_0_4_4.gguf", "Q4_0_4_4"),
            ("x-MXFP4_MOE.gguf", "MXFP4_MOE"),
        ] {
            assert_eq!(sets([file(path)])[0].quant.as_deref(), Some(expected), "{path}");
        }
        assert_eq!(sets([file("Llama-3-8B.gguf")])[0].quant, None);
        assert_eq!(sets([file("Qwen-Q.gguf")])[0].quant, None);
    }

    #[test]
    fn parts_are_one_model() {
        let paths = [
            "README.md",
            "mmproj-F16.gguf",
            "x.imatrix.gguf",
            "../Q4_0.gguf",
            "x.Q8_0.gguf.part1of2",
            "b-Q8_0.gguf",
            "b-Q4_K_M-00002-of-00002.gguf",
            "b-Q4_K_M-00001-of-00002.gguf",
            "b-Q2_K-00001-of-00003.gguf",
            "b-Q3_K-00009-of-00003.gguf",
        ];
        let sets = sets(paths.map(file));
        let told: Vec<_> =
            sets.iter().map(|set| (set.label(), set.n_bytes(), set.is_whole())).collect();
        let told: Vec<_> =
            told.iter().map(|(label, n, whole)| (label.as_str(), *n, *whole)).collect();
        assert_eq!(
            told,
            [("Q2_K", 10, false), ("Q3_K", 10, true), ("Q4_K_M", 20, true), ("Q8_0", 10, true)]
        );
        assert!(sets[2].path().ends_with("00001-of-00002.gguf"));
        assert_eq!(
            part_names("b-00002-of-00002.GGUF"),
            ["b-00001-of-00002.GGUF", "b-00002-of-00002.GGUF"]
        );
        for whole in ["b-00002.gguf", "b-00001-of-00000.gguf", "b-00003-of-00002.gguf"] {
            assert_eq!(part_names(whole), [whole]);
        }
    }
}
