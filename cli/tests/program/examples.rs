//! What README and `--help` say one may type, the program takes.

use clap::{CommandFactory, Parser};
use gatefold_cli::commands::Cli;
use std::fs;

/// The words of a command as a shell splits them: up to a pipe, a redirection or a comment, or two blanks,
/// behind which `--help` says what it does.
fn words(command: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut n_blanks) = (Vec::new(), String::new(), None, 0);
    for c in command.chars() {
        n_blanks = if c == ' ' && quote.is_none() { n_blanks + 1 } else { 0 };
        match (c, quote) {
            _ if quote == Some(c) => quote = None,
            (_, Some(_)) => word.push(c),
            ('\'' | '"', None) => quote = Some(c),
            ('|' | '<' | '>' | '#' | ';' | '&', None) => break,
            (' ', None) if n_blanks > 1 => break,
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, None) => word.push(c),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    words
}

/// The commands of a text, those that go on in the next line as one.
fn commands(text: &str) -> Vec<Vec<String>> {
    let text = text.replace("\\\n", "");
    let commands = text.lines().filter_map(|line| {
        let line = line.trim_start().trim_start_matches("$ ");
        let piped = line.split_once("| gatefold ").map(|(_, rest)| rest);
        line.strip_prefix("gatefold ").or(piped)
    });
    let commands = commands.map(|rest| words(&format!("gatefold {rest}")));
    // What a sentence says of the program is none.
    commands.filter(|words| words.len() > 1).collect()
}

#[test]
fn examples_are_taken() {
    let mut examples = Vec::new();
    for name in ["README.md", "cli/README.md", "models.md", "clusters/README.md"] {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../").to_owned() + name;
        examples.extend(commands(&fs::read_to_string(path).unwrap()));
    }
    for command in Cli::command().get_subcommands() {
        let said = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        examples.extend(commands(&said));
    }
    assert!(examples.len() > 80, "{}", examples.len());
    let refused =
        examples.iter().filter_map(|example| Some((example, Cli::try_parse_from(example).err()?)));
    let refused: Vec<String> =
        refused.map(|(example, error)| format!("{example:?}: {error}")).collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}
