//! What the user of a chat types, pastes or pipes.

use super::history::History;
use crate::terminal::{interrupt, print_note};
use anyhow::{Context, Result};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{IsTerminal, stdin};

/// What stands before and behind a message of several lines.
const QUOTES: &str = "\"\"\"";

/// What a line of input, or several, ask for.
pub(super) enum Input {
    Message(String),
    Command(String),
    End,
}

/// Lines of input: edited, with a history, on a terminal; as they come from a pipe.
pub(super) enum Lines {
    Terminal(Box<DefaultEditor>, History),
    Pipe,
}

impl Lines {
    pub(super) fn new() -> Result<Lines> {
        if !stdin().is_terminal() {
            return Ok(Lines::Pipe);
        }
        print_note("/help lists the commands, Ctrl-D leaves");
        let mut editor =
            DefaultEditor::new().context("cannot use the terminal; pipe the input instead")?;
        let history = History::open();
        for entry in history.entries() {
            // A history that does not grow is no reason to stop.
            let _ = editor.add_history_entry(entry);
        }
        Ok(Lines::Terminal(Box::new(editor), history))
    }

    /// The next message or command: a line, with those after it as long as they end in a backslash or
    /// quotes are open. Several lines are a message.
    pub(super) fn next(&mut self) -> Result<Input> {
        let Some(first) = self.line("> ")? else { return Ok(Input::End) };
        let text = match first.trim_start().strip_prefix(QUOTES) {
            Some(begun) => self.quoted(begun)?,
            None => self.continued(first.clone())?,
        };
        if let Lines::Terminal(editor, history) = self {
            let _ = editor.add_history_entry(&text);
            history.append(&text);
        }
        let is_command = first.starts_with('/') && !text.contains('\n');
        Ok(if is_command { Input::Command(text) } else { Input::Message(text) })
    }

    /// A text up to the quotes that close it, without the line breaks beside quotes.
    fn quoted(&mut self, begun: &str) -> Result<String> {
        let mut text = begun.to_owned();
        loop {
            if let Some(text) = text.trim_end().strip_suffix(QUOTES) {
                return Ok(text.trim_matches('\n').to_owned());
            }
            match self.line(". ")? {
                Some(line) => text.extend(["\n", &line]),
                None => return Ok(text.trim_matches('\n').to_owned()),
            }
        }
    }

    fn continued(&mut self, mut text: String) -> Result<String> {
        while let Some(begun) = text.strip_suffix('\\') {
            let begun = begun.to_owned() + "\n";
            match self.line(". ")? {
                Some(line) => text = begun + &line,
                None => return Ok(begun),
            }
        }
        Ok(text)
    }

    /// A line, without its end. On a terminal Ctrl-C drops what is typed, and the second one in a row
    /// ends the program.
    fn line(&mut self, prompt: &str) -> Result<Option<String>> {
        let mut is_leaving = false;
        match self {
            Lines::Terminal(editor, _) => loop {
                match editor.readline(prompt) {
                    Ok(line) => return Ok(Some(line)),
                    Err(ReadlineError::Interrupted) if is_leaving => interrupt::end(),
                    Err(ReadlineError::Interrupted) => {
                        print_note("Ctrl-C once more, or Ctrl-D, leaves");
                        is_leaving = true;
                    }
                    Err(ReadlineError::Eof) => return Ok(None),
                    Err(error) => return Err(error).context("cannot read from the terminal"),
                }
            },
            Lines::Pipe => {
                let mut line = String::new();
                let n_read = stdin().read_line(&mut line).context("cannot read stdin")?;
                Ok((n_read > 0).then(|| line.trim_end_matches(['\r', '\n']).to_owned()))
            }
        }
    }
}
