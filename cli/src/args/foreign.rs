//! Flags that people have in their fingers from llama.cpp and ollama.
//!
//! The command line is rewritten before it is parsed: `-ngl 99` would be read as `-n gl`, `-hf` as a
//! call for help. What becomes of each flag is data, in `foreign.txt`, which says how to read it. Values
//! are never looked up, and nothing behind `--` is.

use super::text::is_model;
use anyhow::{Result, bail, ensure};
use clap::{Arg, Command};
use gatefold::text::printable;
use std::ffi::{OsStr, OsString};
use std::sync::LazyLock;

/// A command line that has the program's own flags alone.
#[derive(Default)]
pub struct Translated {
    /// The arguments, with the program's name first.
    pub arguments: Vec<OsString>,
    /// What is to be said of flags that were left out.
    pub notes: Vec<String>,
    /// The arguments that stand for flags of others.
    taken: Vec<OsString>,
}

/// A line of `foreign.txt`.
struct Row {
    command: Option<&'static str>,
    spellings: Vec<&'static str>,
    /// Values that follow, whatever they are.
    n_values: usize,
    /// Words that may follow.
    words: Vec<&'static str>,
    /// A flag of the program, if the command has it.
    same: Option<&'static str>,
    fate: Fate,
    why: &'static str,
}

/// What becomes of a flag that the command does not have.
#[derive(Clone, Copy)]
enum Fate {
    /// The flag that it would be is none of the command's.
    Missing,
    Ignored,
    /// Refused, but for the value that asks for nothing.
    Refused(Option<&'static str>),
}

static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let lines = include_str!("foreign.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
});

fn row(line: &'static str) -> Row {
    let mut cells = line.split(" | ");
    let (flags, becomes) = (cells.next().unwrap_or(""), cells.next().unwrap_or(""));
    let (command, flags) = match flags.split_once(": ") {
        Some((command, flags)) => (Some(command), flags),
        None => (None, flags),
    };
    let is_spelling = |word: &&str| word.starts_with('-');
    let words = flags.split([' ', ',']).filter(|word| !word.is_empty());
    let (spellings, values): (Vec<_>, Vec<_>) = words.partition(is_spelling);
    let optional = values.iter().find_map(|value| value.strip_prefix('[')?.strip_suffix(']'));
    let (same, fate) = match becomes.split_once(", else ") {
        Some((same, fate)) => (Some(same), fate),
        None if becomes.starts_with("--") => (Some(becomes), ""),
        None => (None, becomes),
    };
    let fate = match fate.split_once(" but ") {
        None if fate.is_empty() => Fate::Missing,
        None if fate == "ignored" => Fate::Ignored,
        None if fate == "refused" => Fate::Refused(None),
        Some(("refused", value)) => Fate::Refused(Some(value)),
        _ => panic!("foreign.txt: {line}"),
    };
    Row {
        command,
        spellings,
        n_values: if optional.is_some() { 0 } else { values.len() },
        words: optional.map(|words| words.split('|').collect()).unwrap_or_default(),
        same,
        fate,
        why: cells.next().unwrap_or(""),
    }
}

/// The line for a flag of a command.
fn look_up(command: &Command, spelling: &str) -> Option<&'static Row> {
    let is_meant = |row: &&Row| {
        row.spellings.contains(&spelling)
            && row.command.is_none_or(|command_name| command_name == command.get_name())
    };
    ROWS.iter().find(is_meant)
}

/// The command's own flag that is spelled so.
fn own<'a>(command: &'a Command, spelling: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| match spelling.strip_prefix("--") {
        Some(long) => arg.get_long() == Some(long),
        None => arg.get_short().is_some_and(|short| {
            spelling.strip_prefix('-') == Some(short.encode_utf8(&mut [0; 4]))
        }),
    })
}

/// The command line in the program's own flags.
///
/// # Errors
/// If a flag asks for what the program does not do, or stands where a command must.
pub fn translate(arguments: Vec<OsString>, program: &Command) -> Result<Translated> {
    let first = arguments.get(1).and_then(|first| first.to_str()).unwrap_or("");
    let Some(command) = program.find_subcommand(first) else {
        let is_of_program = ["-h", "--help", "-V", "--version"].contains(&first);
        let is_misplaced = first.starts_with('-') || is_model(first);
        ensure!(
            !is_misplaced || is_of_program,
            "{} stands where the command must: `gatefold run -m FILE.gguf` runs a model, `gatefold --help` lists the commands",
            printable(first)
        );
        return Ok(Translated { arguments, ..Translated::default() });
    };
    let mut rest = arguments.into_iter();
    let mut translated =
        Translated { arguments: rest.by_ref().take(2).collect(), ..Translated::default() };
    while let Some(argument) = rest.next() {
        if argument == "--" {
            translated.arguments.push(argument);
            translated.arguments.extend(rest);
            break;
        }
        let Some((spelling, attached)) = split(&argument) else {
            translated.arguments.push(argument);
            continue;
        };
        if let Some(arg) = own(command, &spelling) {
            let takes_value = arg.get_action().takes_values() && attached.is_none();
            translated.arguments.push(join(&spelling, attached));
            translated.arguments.extend(takes_value.then(|| rest.next()).flatten());
        } else if let Some(row) = look_up(command, &spelling) {
            let values = values(row, command, &spelling, attached, &mut rest)?;
            translated.take(row, command, &spelling, values)?;
        } else {
            translated.arguments.push(argument);
        }
    }
    Ok(translated)
}

/// A flag, with a value that is attached by `=`. As in llama.cpp, `_` stands for `-` in a long one.
fn split(argument: &OsStr) -> Option<(String, Option<&OsStr>)> {
    let text = argument.to_str().filter(|text| text.starts_with('-'))?;
    let (spelling, attached) = match text.split_once('=') {
        Some((spelling, value)) => (spelling, Some(OsStr::new(value))),
        None => (text, None),
    };
    let is_long = spelling.starts_with("--");
    let spelling = if is_long { spelling.replace('_', "-") } else { spelling.to_owned() };
    Some((spelling, attached))
}

fn join(spelling: &str, value: Option<&OsStr>) -> OsString {
    let mut joined = OsString::from(spelling);
    if let Some(value) = value {
        joined.push("=");
        joined.push(value);
    }
    joined
}

/// The values of a flag, which are taken from the rest of the command line. Where the value would go
/// nowhere, a flag in its place means that it was forgotten.
fn values(
    row: &Row,
    command: &Command,
    spelling: &str,
    attached: Option<&OsStr>,
    rest: &mut std::vec::IntoIter<OsString>,
) -> Result<Vec<OsString>> {
    let is_flag = |value: &OsString| {
        let value = value.to_str().unwrap_or_default();
        own(command, value).is_some() || look_up(command, value).is_some()
    };
    let mut values: Vec<OsString> = attached.map(OsStr::to_owned).into_iter().collect();
    while values.len() < row.n_values {
        match rest.next() {
            Some(value) if row.same.is_some() || !is_flag(&value) => values.push(value),
            _ => bail!("{spelling} takes a value, and there is none"),
        }
    }
    let next = rest.as_slice().first().and_then(|next| next.to_str());
    if values.is_empty() && next.is_some_and(|next| row.words.contains(&next)) {
        values.extend(rest.next());
    }
    Ok(values)
}

impl Translated {
    /// Does with a flag what its line says.
    fn take(
        &mut self,
        row: &Row,
        command: &Command,
        spelling: &str,
        values: Vec<OsString>,
    ) -> Result<()> {
        let value = values.first().map(|value| value.to_string_lossy()).unwrap_or_default();
        match (row.same, row.fate) {
            (Some(same), _) if own(command, same).is_some() => {
                let argument = join(same, values.first().map(OsString::as_os_str));
                // `-ctk q8_0 -ctv q8_0` say the same twice.
                if !self.taken.contains(&argument) {
                    self.taken.push(argument.clone());
                    self.arguments.push(argument);
                }
            }
            (same, Fate::Missing) => bail!(
                "{spelling} is {} here, which `gatefold {}` does not have; leave it out",
                same.unwrap_or_default(),
                command.get_name()
            ),
            (_, Fate::Ignored) => {
                let flag = [spelling, &printable(&value)].join(" ");
                self.notes.push(format!("note: {} has no effect: {}", flag.trim_end(), row.why));
            }
            (_, Fate::Refused(Some(nothing))) if is_same(nothing, &value) => {}
            (_, Fate::Refused(_)) => bail!("{spelling} is refused: {}", row.why),
        }
        Ok(())
    }
}

/// Whether two values are the same number or the same word.
fn is_same(one: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    one == other || number(one).is_some_and(|one| number(other) == Some(one))
}
