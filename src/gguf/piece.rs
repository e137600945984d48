//! Files that are no whole GGUF, told by their names: pieces of one that somebody cut with `split`,
//! and downloads that have not ended.
//!
//! Such pieces are not the parts of a split model, each of which is a GGUF by itself.

use super::error::Problem;
use regex::{Captures, Regex};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

/// What a name ends with whose file is still written.
const UNFINISHED: [&str; 8] = [
    ".part",
    ".partial",
    ".incomplete",
    ".crdownload",
    ".download",
    ".opdownload",
    ".aria2",
    ".tmp",
];

/// The names of pieces: what `split` numbers by letters or digits, with a word before the number or
/// none, and perhaps how many there are.
static PIECE: LazyLock<Regex> = LazyLock::new(|| {
    let named = r"(?:split|part|chunk|piece)[._-]?(?:[ab]?[a-z]{1,2}|\d{1,5})|p\d{1,5}";
    let numbered = r"(?:[ab][a-z]|\d{1,5})";
    let count = r"(?:[._-]?of[._-]?\d{1,5})?";
    let pattern = format!(r"(?i)\A(?<whole>.+\.gguf)[._-](?:{named}|{numbered}){count}\z");
    Regex::new(&pattern).expect("it is constant")
});

/// The most pieces that a command names one by one.
const MOST_NAMED: usize = 16;

/// The problem of a file, or in its place what the name says of it, where the file begins or ends
/// unlike a GGUF.
pub(super) fn explained(path: &Path, problem: Problem) -> Problem {
    let is_cut = matches!(
        problem,
        Problem::NotGguf(_) | Problem::Truncated { .. } | Problem::PastEnd { .. }
    );
    let name = path.file_name().and_then(|name| name.to_str()).filter(|_| is_cut);
    let Some(name) = name else { return problem };
    if let Some(found) = PIECE.captures(name) {
        let whole = found["whole"].to_owned();
        return Problem::Piece { join: join_command(&pieces(path, &found), &whole) };
    }
    match UNFINISHED.iter().any(|end| name.ends_with(end)) {
        true => Problem::Unfinished,
        false => problem,
    }
}

/// The names of the pieces of a file that lie beside one of them, in order.
fn pieces(path: &Path, found: &Captures<'_>) -> Vec<String> {
    let is_sibling =
        |name: &String| PIECE.captures(name).is_some_and(|other| other["whole"] == found["whole"]);
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let entries = fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(is_sibling).collect();
    // So that the tenth comes after the second.
    names.sort_by_key(|name| (name.len(), name.clone()));
    names
}

/// What to do: the command that puts pieces together.
fn join_command(pieces: &[String], whole: &str) -> String {
    let (names, last) = match pieces {
        [] | [_] => return format!("get the others, and join them in order into {whole}"),
        [names @ .., last] if pieces.len() <= MOST_NAMED => (names, last),
        [first, .., last] => (std::slice::from_ref(first), last),
    };
    let skips = if names.len() + 1 < pieces.len() { " ..." } else { "" };
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let (last, whole) = (quoted(last), quoted(whole));
    match cfg!(windows) {
        true => format!("join them: copy /b {}{skips} + {last} {whole}", names.join(" + ")),
        false => format!("join them: cat {}{skips} {last} > {whole}", names.join(" ")),
    }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-+,@".contains(c);
    match (name.chars().all(is_plain), cfg!(windows)) {
        (true, _) => name.to_owned(),
        (false, true) => format!("\"{name}\""),
        (false, false) => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> String {
        let problem = explained(Path::new(name), Problem::NotGguf("it is not".into()));
        problem.to_string()
    }

    #[test]
    fn pieces_are_told_by_the_names_that_people_give_them() {
        for end in [
            "-split-a",
            "-split-ab",
            ".split-00",
            ".part1of2",
            ".part-01-of-03",
            ".part01",
            ".part-a",
            "-part-b",
            ".partaa",
            ".aa",
            ".ab",
            ".001",
            ".0",
            "-00001",
            "_part_2",
            ".p1",
            ".chunk3",
        ] {
            let told = told(&format!("mixtral-8x7b.Q8_0.gguf{end}"));
            assert!(told.contains("a piece of a GGUF"), "{end}: {told}");
            assert!(told.contains("into mixtral-8x7b.Q8_0.gguf"), "{end}: {told}");
        }
        for name in
            ["a.gguf", "a.gguf.gz", "a.gguf.7z", "a.gguf.bak", "a.aa", "a.gguf-old", "a.gguf.txt"]
        {
            assert!(told(name).contains("it is not"), "{name}");
        }
        for name in ["a.gguf.part", "a.gguf.incomplete", "a.crdownload"] {
            assert!(told(name).contains("has not ended"), "{name}");
        }
    }

    #[test]
    fn commands_name_the_pieces_in_order() {
        let names = |range: std::ops::Range<usize>| -> Vec<String> {
            range.map(|piece| format!("a b.gguf.part{piece}")).collect()
        };
        let command = join_command(&names(1..3), "a b.gguf");
        let expected = match cfg!(windows) {
            true => r#"copy /b "a b.gguf.part1" + "a b.gguf.part2" "a b.gguf""#,
            false => "cat 'a b.gguf.part1' 'a b.gguf.part2' > 'a b.gguf'",
        };
        assert_eq!(command, format!("join them: {expected}"));
        assert!(join_command(&names(1..99), "a").contains(" ... "));
    }
}
