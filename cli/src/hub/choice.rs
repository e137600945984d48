//! Which model of a repository is meant, and where nobody says, which suits this machine.

use super::name::{Repo, Which};
use super::sets::Set;
use anyhow::{Result, bail, ensure};
use gatefold::machine::Machine;
use gatefold::text::{bytes, printable};

/// Types that cannot be run here.
const FOREIGN: [&str; 4] = ["MXFP4", "NVFP4", "TQ", "Q4_0_"];

/// Types that take more than Q8_0, and give next to nothing for it.
const WIDE: [&str; 5] = ["F16", "BF16", "FP16", "F32", "FP32"];

/// What is taken where nobody knows how much memory there is, as llama.cpp has it.
const USUAL: [&str; 2] = ["Q4_K_M", "Q8_0"];

/// What a choice depends on, beside the models that there are.
pub struct Limits<'a> {
    /// The memory, where it is known.
    pub machine: Option<Machine>,
    /// Bytes that are free on the disk.
    pub free_space: u64,
    /// Bytes of a model that would have to be fetched.
    pub n_missing: &'a dyn Fn(&Set) -> u64,
}

/// The model that is meant, with the reason, where it was chosen.
///
/// # Errors
/// If there is none, or more than one.
pub fn choose<'a>(
    sets: &'a [Set],
    which: &Which,
    repo: &Repo,
    limits: &Limits<'_>,
) -> Result<(&'a Set, Option<String>)> {
    ensure!(
        !sets.is_empty(),
        "there is no GGUF file in {repo}; name a repository that has some, their names often end with GGUF"
    );
    let meant: Vec<&Set> = sets.iter().filter(|set| set.is(which)).collect();
    if *which == Which::Any && meant.len() > 1 {
        return suited(&meant, limits);
    }
    match (&meant[..], which) {
        ([set], _) => Ok((set, None)),
        ([], Which::Quant(wanted) | Which::File(wanted)) => {
            bail!("{repo} has no {}; it has {}", printable(wanted), labels(sets.iter()))
        }
        (_, Which::Quant(wanted)) => {
            let same = |set: &&&Set| set.quant.as_ref() == Some(wanted);
            let exact: Vec<_> = meant.iter().filter(same).collect();
            if let [set] = exact[..] {
                return Ok((set, None));
            }
            let paths: Vec<String> = meant.iter().map(|set| printable(set.path())).collect();
            bail!(
                "{repo} has more than one {}: say which, as {repo}:{}",
                printable(wanted),
                paths.join(&format!(" or {repo}:"))
            )
        }
        _ => Ok((meant[0], None)),
    }
}

/// The largest that fits into the memory, of those for which there is place on the disk.
fn suited<'a>(sets: &[&'a Set], limits: &Limits<'_>) -> Result<(&'a Set, Option<String>)> {
    let is_of = |set: &&Set, types: &[&str], is: fn(&str, &str) -> bool| {
        set.quant.as_ref().is_some_and(|quant| types.iter().any(|name| is(quant, name)))
    };
    let runs = |set: &&&'a Set| {
        set.is_whole() && !is_of(set, &FOREIGN, |quant, name| quant.starts_with(name))
    };
    let mut usable: Vec<&Set> = sets.iter().filter(runs).copied().collect();
    let narrow: Vec<&Set> = usable
        .iter()
        .filter(|set| !is_of(set, &WIDE, |quant, name| quant == name))
        .copied()
        .collect();
    let is_cut = !narrow.is_empty() && narrow.len() < usable.len();
    if is_cut {
        usable = narrow;
    }
    ensure!(
        !usable.is_empty(),
        "none of its models can be run here: {}",
        labels(sets.iter().copied())
    );
    usable.sort_by_key(|set| (set.n_bytes(), set.label()));
    let told = |set: &Set| format!("{} ({})", set.label(), bytes(set.n_bytes()));
    let Some(machine) = limits.machine else {
        let usual = USUAL
            .iter()
            .find_map(|name| usable.iter().find(|set| set.quant.as_deref() == Some(*name)));
        let set = usual.unwrap_or(&usable[0]);
        let why = format!(
            "{}, since how much memory there is cannot be told here; of {}",
            told(set),
            labels(usable.iter().copied())
        );
        return Ok((set, Some(why)));
    };
    // An eighth is for keys and values, activations and other programs.
    let memory = machine.memory_bytes;
    let room = memory - memory / 8;
    let fits = |set: &&&Set| set.n_bytes() <= room;
    let has_place = |set: &&&Set| (limits.n_missing)(set) <= limits.free_space;
    let larger = |set: &Set| usable.iter().find(|other| other.n_bytes() > set.n_bytes()).copied();
    let of_memory = format!("{} of memory", bytes(memory));
    if let Some(set) = usable.iter().rev().filter(fits).find(has_place) {
        let why = match larger(set) {
            None if is_cut => format!(
                "{}, which fits into {of_memory}; wider ones give next to nothing for what they take",
                told(set)
            ),
            None => format!("{}, the largest there is: it fits into {of_memory}", told(set)),
            Some(next) if next.n_bytes() <= room => format!(
                "{}, the largest for which {} on the disk are enough; {of_memory} would be for {}",
                told(set),
                bytes(limits.free_space),
                told(next)
            ),
            Some(next) => format!(
                "{}, the largest that fits into {of_memory} with an eighth to spare; {} does not",
                told(set),
                told(next)
            ),
        };
        return Ok((set, Some(why)));
    }
    let set = usable[0];
    let why = format!(
        "{}, the smallest: none fits into {of_memory} and {} on the disk; what the memory does not hold is read as it is needed",
        told(set),
        bytes(limits.free_space)
    );
    Ok((set, Some(why)))
}

/// What there is, by type.
fn labels<'a>(sets: impl Iterator<Item = &'a Set>) -> String {
    let mut labels: Vec<String> = sets.map(Set::label).collect();
    labels.sort_unstable();
    labels.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::sets::{RepoFile, sets};
    use super::*;

    fn models(files: &[(&str, u64)]) -> Vec<Set> {
        sets(files.iter().map(|&(quant, n)| RepoFile {
            path: format!("x-{quant}.gguf"),
            n_bytes: n * 1_000_000_000,
            blob: String::new(),
            sha256: None,
        }))
    }

    fn chosen(
        files: &[(&str, u64)],
        which: &str,
        memory: u64,
        disk: u64,
    ) -> Result<(String, String)> {
        let machine = Machine { memory_bytes: memory * 1_000_000_000, available_bytes: 0 };
        let limits = Limits {
            machine: (memory > 0).then_some(machine),
            free_space: disk * 1_000_000_000,
            n_missing: &Set::n_bytes,
        };
        let which = if which.is_empty() { Which::Any } else { Which::Quant(which.into()) };
        let sets = models(files);
        let (set, why) = choose(&sets, &which, &Repo::of("a/b").unwrap(), &limits)?;
        Ok((set.label(), why.unwrap_or_default()))
    }

    const MIXTRAL: [(&str, u64); 8] = [
        ("Q2_K", 16),
        ("Q4_0", 26),
        ("Q4_K_M", 26),
        ("Q5_0", 32),
        ("Q5_K_M", 32),
        ("Q8_0", 50),
        ("F16", 93),
        ("MXFP4", 25),
    ];

    #[test]
    fn the_largest_that_fits_is_taken() {
        for (memory, disk, expected, why) in [
            (34, 900, "Q4_K_M", "Q5_0 (32.0 GB) does not"),
            (900, 900, "Q8_0", "give next to nothing"),
            (900, 40, "Q5_K_M", "40.0 GB on the disk"),
            (8, 900, "Q2_K", "none fits"),
            (0, 900, "Q4_K_M", "cannot be told"),
        ] {
            let (label, told) = chosen(&MIXTRAL, "", memory, disk).unwrap();
            assert_eq!(label, expected, "{told}");
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(chosen(&[("F16", 1), ("F32", 2)], "", 900, 900).unwrap().0, "F32");
        assert_eq!(chosen(&[("MXFP4", 1)], "", 1, 1).unwrap().0, "MXFP4");
        assert!(chosen(&[("MXFP4", 1), ("TQ1_0", 1)], "", 1, 1).is_err());
        assert!(chosen(&[], "", 1, 1).is_err());
    }

    #[test]
    fn types_are_exact() {
        assert_eq!(chosen(&MIXTRAL, "Q4_K_M", 1, 1).unwrap().0, "Q4_K_M");
        let missing = chosen(&MIXTRAL, "Q4_K", 1, 1).unwrap_err().to_string();
        assert!(missing.contains("has no Q4_K; it has") && missing.contains("Q4_K_M"), "{missing}");
        let dynamic = [("UD-Q4_K_XL", 1), ("UD-Q2_K", 1), ("Q2_K", 1)];
        assert_eq!(chosen(&dynamic, "Q4_K_XL", 1, 1).unwrap().0, "UD-Q4_K_XL");
        assert_eq!(chosen(&dynamic, "Q2_K", 1, 1).unwrap().0, "Q2_K");
        let two = chosen(&[("7B-Q2_K", 1), ("8B-Q2_K", 1)], "Q2_K", 1, 1).unwrap_err().to_string();
        assert!(two.contains("a/b:x-7B-Q2_K.gguf or a/b:x-8B-Q2_K.gguf"), "{two}");
    }
}
