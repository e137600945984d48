//! Files that are no whole GGUF, told by their names: pieces of one that somebody cut with `split`,
//! and downloads that have not ended.
//!
//! Such pieces are not the parts of a split model, each of which is a GGUF by itself.

use super::error::Problem;
use crate::files::folder_of;
use regex::Regex;
use std::fs::{self, File};
use std::io::Read;
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

/// What a piece's name may end with, behind its number.
const ENDING: &str = r"(?:\.(?:part|split|chunk|piece|bin))?";

/// The names of pieces: what `split` numbers by letters or digits, with a word before the number or
/// none, and perhaps how many there are.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let behind_word = r"(?:split|part|chunk|piece)[._-]?(?<behind_word>[ab]?[a-z]{1,2}|\d{1,5})";
    let alone = r"p?(?<digits>\d{1,5})|(?<letters>[ab][a-z])";
    let count = r"(?:[._-]?of[._-]?(?<count>\d{1,5}))?";
    let pattern =
        format!(r"(?i)\A(?<whole>.+\.gguf)[._-](?:{behind_word}|{alone}){count}{ENDING}\z");
    Regex::new(&pattern).expect("it is constant")
});

/// The names that `split` gives where no model is named, and others that may be those of pieces:
/// there must be a first of them, and it must begin as a GGUF does.
static UNNAMED: LazyLock<Regex> = LazyLock::new(|| {
    let number = r"(?:(?<letters>[a-z]{2,3}|z[a-z]{3})|(?<digits>\d{2,5}))";
    Regex::new(&format!(r"\A(?:x|.+?[._-]){number}{ENDING}\z")).expect("it is constant")
});

/// The most pieces that may be missing in one place. What lies behind more is hardly one: `.gz`
/// beside `.aa`.
const WIDEST_GAP: usize = 16;

/// Where `split` goes on with longer numbers, so that names stay in order.
const LONGER: [(&str, &str); 2] = [("yz", "zaaa"), ("89", "9000")];

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
    if let Some(name) = Name::of(name, &NAMED) {
        return name.row(folder_of(path)).problem(&name.whole);
    }
    if let Some(name) = Name::of(name, &UNNAMED) {
        let row = name.row(folder_of(path));
        if row.is_begun && !row.pieces.is_empty() {
            return row.problem(&name.whole);
        }
    }
    match UNFINISHED.iter().any(|end| name.ends_with(end)) {
        true => Problem::Unfinished,
        false => problem,
    }
}

/// The name of a piece.
struct Name<'a> {
    /// What the whole is to be called.
    whole: String,
    /// What stands before the number.
    stem: &'a str,
    /// Digits or letters.
    number: &'a str,
    /// What stands behind it.
    end: &'a str,
    /// How many pieces there are, if the name says so.
    count: Option<usize>,
}

/// The pieces of a file that lie in a folder.
#[derive(Default)]
struct Row {
    /// Their names, in order.
    pieces: Vec<String>,
    /// Whether the first is there, and begins as a GGUF does.
    is_begun: bool,
    /// The first that is not there, of those that must be.
    missing: Option<String>,
}

impl<'a> Name<'a> {
    fn of(name: &'a str, pattern: &Regex) -> Option<Name<'a>> {
        let found = pattern.captures(name)?;
        let groups = ["behind_word", "digits", "letters"];
        let number = groups.into_iter().find_map(|group| found.name(group))?;
        // Unicode has more digits, and a sign for kelvins that is a k.
        if !number.as_str().is_ascii() {
            return None;
        }
        let stem = &name[..number.start()];
        let whole = match (found.name("whole"), stem.trim_end_matches(['.', '_', '-'])) {
            (Some(whole), _) => whole.as_str().to_owned(),
            (None, "" | "x") => "joined.gguf".into(),
            (None, word) if word.ends_with(".gguf") => word.into(),
            (None, word) => format!("{word}.gguf"),
        };
        let count = found.name("count").and_then(|count| count.as_str().parse().ok());
        Some(Name { whole, stem, number: number.as_str(), end: &name[number.end()..], count })
    }

    /// The name of the piece with another number.
    fn with(&self, number: &str) -> String {
        [self.stem, number, self.end].concat()
    }

    /// The number of another piece, if `name` is that of one.
    fn number_of<'b>(&self, name: &'b str) -> Option<&'b str> {
        let number = name.strip_prefix(self.stem)?.strip_suffix(self.end)?;
        let is_one = match is_digits(self.number) {
            true => is_digits(number) && number.len() <= 5,
            false => {
                let is_word = number.bytes().all(|byte| byte.is_ascii_alphabetic());
                is_word && n_letters(number) == n_letters(self.number)
            }
        };
        is_one.then_some(number)
    }

    /// The pieces in a folder; none where this is hardly one of them.
    fn row(&self, folder: &Path) -> Row {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut numbers: Vec<String> =
            names.filter_map(|name| self.number_of(&name).map(str::to_owned)).collect();
        // So that the tenth comes after the second.
        numbers.sort_by_key(|number| (number.len(), number.clone()));
        let Some(first) = numbers.first() else { return Row::default() };

        // Letters count from a on, digits from 0 or 1.
        let most = usize::from(is_digits(first));
        let is_begun = value(first) <= most && begins_as_gguf(&folder.join(self.with(first)));
        let begin = if is_begun { value(first) } else { value(first).saturating_sub(1).min(most) };
        let (mut pieces, mut missing, mut next) = (Vec::<String>::new(), None::<String>, begin);
        for number in numbers {
            let lens = (pieces.last().map_or(0, String::len), number.len());
            let longer = LONGER.into_iter().find(|(last, first)| {
                lens == (last.len(), first.len()) && number[..1] == first[..1]
            });
            if let Some((last, first)) = longer {
                if next <= value(last) {
                    missing.get_or_insert_with(|| spelled(next, last));
                }
                next = value(first);
            }
            if value(&number) > next + WIDEST_GAP {
                break;
            }
            if value(&number) > next {
                missing.get_or_insert_with(|| spelled(next, &number));
            }
            next = value(&number) + 1;
            pieces.push(number);
        }
        if self.count.is_some_and(|count| next < begin + count) {
            missing.get_or_insert_with(|| spelled(next, self.number));
        }
        if !pieces.iter().any(|number| number == self.number) {
            pieces.clear();
        }
        let pieces = pieces.iter().map(|number| self.with(number)).collect();
        Row { pieces, is_begun, missing: missing.map(|number| self.with(&number)) }
    }
}

impl Row {
    /// What is wrong with each of the pieces.
    fn problem(&self, whole: &str) -> Problem {
        let join = match &self.missing {
            Some(missing) => {
                format!("{missing} is missing: get it, and join all in order into {whole}")
            }
            None => join_command(&self.pieces, whole),
        };
        Problem::Piece { join }
    }
}

fn is_digits(number: &str) -> bool {
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// How many letters the first pieces have in their numbers.
fn n_letters(number: &str) -> usize {
    if number.len() == 4 && number.starts_with('z') { 2 } else { number.len() }
}

/// What a number of at most five digits or letters counts.
fn value(number: &str) -> usize {
    let (base, zero) = if is_digits(number) { (10, b'0') } else { (26, b'a') };
    let digits = number.bytes().map(|byte| usize::from(byte.to_ascii_lowercase() - zero));
    digits.fold(0, |value, digit| base * value + digit)
}

/// A number, in digits or letters, and as many of them, as another.
fn spelled(mut value: usize, like: &str) -> String {
    let width = like.len();
    if is_digits(like) {
        return format!("{value:0width$}");
    }
    let mut letters = vec!['a'; width];
    for letter in letters.iter_mut().rev() {
        *letter = char::from(b"abcdefghijklmnopqrstuvwxyz"[value % 26]);
        value /= 26;
    }
    letters.into_iter().collect()
}

fn begins_as_gguf(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_file = fs::metadata(path).is_ok_and(|there| there.is_file());
    let is_read = is_file && File::open(path).is_ok_and(|mut it| it.read_exact(&mut magic).is_ok());
    is_read && magic == *b"GGUF"
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
            ".00.part",
            ".ab.bin",
            ".part1.part",
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

    /// What is said of each of these files, which lie in a folder: those of `gguf` begin as one.
    fn told_in_folder(gguf: &str, others: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(gguf), b"GGUF\x03\0").unwrap();
        for name in others {
            fs::write(folder.path().join(name), b"weights").unwrap();
        }
        let names = [&[gguf][..], others].concat();
        let problem = || Problem::NotGguf("it is not".into());
        names
            .iter()
            .map(|name| explained(&folder.path().join(name), problem()).to_string())
            .collect()
    }

    #[test]
    fn pieces_without_a_models_name_are_told_by_the_first() {
        for (gguf, others, whole) in [
            ("xaa", &["xab", "xac"][..], "joined.gguf"),
            ("x00", &["x01", "x02"], "joined.gguf"),
            ("x01", &["x02"], "joined.gguf"),
            ("xaaa", &["xaab"], "joined.gguf"),
            ("mixtral-aa", &["mixtral-ab"], "mixtral.gguf"),
            ("my-mixtral.00.part", &["my-mixtral.01.part"], "my-mixtral.gguf"),
            ("m.gguf.00.part", &["m.gguf.01.part"], "m.gguf"),
        ] {
            let names = [&[gguf][..], others].concat();
            let (last, rest) = names.split_last().unwrap();
            let command = match cfg!(windows) {
                true => format!("copy /b {} + {last} {whole}", rest.join(" + ")),
                false => format!("cat {} {last} > {whole}", rest.join(" ")),
            };
            for told in told_in_folder(gguf, others) {
                assert!(told.contains("a piece of a GGUF") && told.ends_with(&command), "{told}");
            }
        }
        for told in told_in_folder("xaa", &[]) {
            assert!(told.contains("get the others"), "{told}");
        }
        // A first piece that is none, or none at all, makes no pieces of others.
        for name in ["xab", "x-ray", "xyz", "model-10", "model-it", "xml"] {
            for told in told_in_folder("model.gguf", &[name]) {
                assert!(told.contains("it is not"), "{name}: {told}");
            }
        }
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_is_joined_without() {
        for (gguf, others, missing) in [
            ("xaa", &["xac"][..], "xab"),
            ("x00", &["x01", "x03"], "x02"),
            ("xaa", &["xad"], "xab"),
            ("m.gguf.aa", &["m.gguf.ab", "m.gguf.ad", "m.gguf.af"], "m.gguf.ac"),
            ("m.gguf-split-a", &["m.gguf-split-c"], "m.gguf-split-b"),
            ("m.gguf.part1of3", &["m.gguf.part2of3"], "m.gguf.part3of3"),
            ("m.gguf.part1of3", &["m.gguf.part3of3"], "m.gguf.part2of3"),
            ("m.gguf.9", &["m.gguf.11", "m.gguf.12"], "m.gguf.1"),
            ("other", &["m.gguf.part2", "m.gguf.part3"], "m.gguf.part1"),
            ("other", &["m.gguf.ab", "m.gguf.ac"], "m.gguf.aa"),
        ] {
            let told = told_in_folder(gguf, others);
            let told = told.last().unwrap();
            let is_said = told.contains(&format!("{missing} is missing"));
            assert!(is_said && !told.contains("cat ") && !told.contains("copy "), "{told}");
        }
        // What only happens to have such an ending is neither joined nor waited for.
        let told = told_in_folder("m.gguf.aa", &["m.gguf.ab", "m.gguf.gz", "m.gguf.ab.txt"]);
        assert!(told[0].contains("m.gguf.aa") && !told[0].contains("gz"), "{}", told[0]);
        assert!(!told[0].contains("missing"), "{}", told[0]);
        assert!(told[2].contains("it is not"), "{}", told[2]);
    }

    #[test]
    fn numbers_go_on_as_split_writes_them() {
        let letters: Vec<String> = (0..650).map(|value| spelled(value, "aa")).collect();
        assert_eq!(letters[..3], ["aa", "ab", "ac"]);
        assert_eq!(letters[649], "yz");
        assert!((0..650).all(|idx| value(&letters[idx]) == idx));
        let folder = tempfile::tempdir().unwrap();
        for number in letters.iter().map(String::as_str).chain(["zaaa", "zaab"]) {
            fs::write(folder.path().join(format!("x{number}")), b"GGUF").unwrap();
        }
        for name in ["xaa", "xcf", "xyz", "xzaab"] {
            let row = Name::of(name, &UNNAMED).unwrap().row(folder.path());
            assert_eq!((row.pieces.len(), row.missing), (652, None), "{name}");
            assert_eq!(row.pieces[649..], ["xyz", "xzaaa", "xzaab"]);
        }
        let folder = tempfile::tempdir().unwrap();
        for number in (0..90).chain(9000..9002) {
            fs::write(folder.path().join(format!("m.gguf.{number:02}")), b"GGUF").unwrap();
        }
        let row = Name::of("m.gguf.07", &NAMED).unwrap().row(folder.path());
        assert_eq!((row.pieces.len(), row.missing), (92, None));
        for missing in ["m.gguf.9000", "m.gguf.89"] {
            fs::remove_file(folder.path().join(missing)).unwrap();
            let row = Name::of("m.gguf.07", &NAMED).unwrap().row(folder.path());
            assert_eq!(row.missing.as_deref(), Some(missing));
        }
        for name in ["m.gguf.٣٣", "m.gguf.part\u{212A}"] {
            assert!(Name::of(name, &NAMED).is_none(), "{name}");
        }
    }
}
