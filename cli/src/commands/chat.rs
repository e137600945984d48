//! The chat of `gatefold run`.

use super::session::Session;
use crate::args::text::TextArgs;
use crate::terminal::{interrupt, print_note, print_piece, progress};
use anyhow::{Context, Result};
use gatefold::text::one_line;
use gatefold::tokenizer::{ChatTemplate, Message};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{IsTerminal, Write, stdin, stdout};
use std::sync::atomic::Ordering;

const HELP: &str = "\
/help       this
/clear      begin a new conversation
/system T   begin a new conversation with system message T
/stats      speed of the last answer
/exit       leave (so does Ctrl-D)
Ctrl-C ends an answer that is being made; twice, the program. A line that ends in \\ goes on in the next.";

/// The messages of a conversation that begins with one from the user.
pub fn conversation(system: Option<String>, user: String) -> Vec<Message> {
    let system = system.map(|content| Message::new("system", content));
    // The newline that ends a file or `echo` is not part of the message.
    let user = user.strip_suffix('\n').unwrap_or(&user).to_owned();
    system.into_iter().chain([Message::new("user", user)]).collect()
}

/// A conversation on the terminal.
pub struct Chat<'a> {
    session: Session<'a>,
    template: ChatTemplate,
    system: Option<String>,
    messages: Vec<Message>,
    stats: String,
}

/// What a line of input asks for.
enum Input {
    Message(String),
    Command(String),
    End,
}

impl<'a> Chat<'a> {
    /// A conversation that has not begun.
    pub fn new(session: Session<'a>, template: ChatTemplate, system: Option<String>) -> Chat<'a> {
        Chat { session, template, system, messages: Vec::new(), stats: String::new() }
    }

    /// Converses until the input ends. A text given on the command line is the first message.
    pub fn run(mut self, first: &TextArgs) -> Result<()> {
        // A bar would overwrite the line that is being typed.
        progress::hide();
        let mut lines = Lines::new()?;
        // The line editor takes the signal for itself when it is made, so this comes after it; while a
        // line is edited, Ctrl-C is a key like others.
        interrupt::watch(&self.session.interrupted)?;
        if !first.is_empty() {
            self.answer(first.read()?)?;
        }
        loop {
            match lines.next()? {
                Input::End => break,
                Input::Message(text) if text.trim().is_empty() => {}
                Input::Message(text) => self.answer(text)?,
                Input::Command(command) => {
                    if self.obey(&command).is_none() {
                        break;
                    }
                }
            }
        }
        if !self.stats.is_empty() {
            print_note(&self.stats);
        }
        Ok(())
    }

    /// Does what a command says; `None` is to leave.
    fn obey(&mut self, command: &str) -> Option<()> {
        let (name, argument) = command.split_once(' ').unwrap_or((command, ""));
        match name {
            "/exit" | "/quit" | "/bye" => return None,
            "/clear" => self.messages.clear(),
            "/system" => {
                self.messages.clear();
                self.system = Some(argument.trim().to_owned()).filter(|system| !system.is_empty());
            }
            "/stats" => print_note(&self.stats),
            "/help" => print_note(HELP),
            _ => print_note(format_args!("there is no command {name}; /help lists them")),
        }
        Some(())
    }

    fn answer(&mut self, text: String) -> Result<()> {
        self.session.interrupted.store(false, Ordering::Relaxed);
        let mut messages = self.messages.clone();
        if messages.is_empty() {
            messages = conversation(self.system.clone(), text);
        } else {
            messages.push(Message::new("user", text));
        }
        let result = self
            .template
            .encode(&self.session.loaded.language.tokenizer, &messages)
            .map_err(Into::into);
        let result = result.and_then(|prompt| self.session.generate(&prompt, print_piece));
        writeln!(stdout().lock())?;
        match result {
            Ok(generated) => {
                self.stats = self.session.summary(&generated);
                self.session.next_seed();
                if generated.tokens.is_empty() {
                    // Interrupted before it began: the question was not asked.
                    return Ok(());
                }
                messages.push(Message::new("assistant", generated.text.trim().to_owned()));
                self.messages = messages;
            }
            // A conversation that has outgrown the context, say, is no reason to lose it.
            Err(error) if stdin().is_terminal() => {
                let error = one_line(format!("{error:#}"));
                print_note(format_args!("error: {error} (/clear begins anew)"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Lines of input: edited, with a history, on a terminal; as they come from a pipe.
enum Lines {
    Terminal(Box<DefaultEditor>),
    Pipe,
}

impl Lines {
    fn new() -> Result<Lines> {
        if !stdin().is_terminal() {
            return Ok(Lines::Pipe);
        }
        print_note("/help lists the commands, Ctrl-D leaves");
        let editor =
            DefaultEditor::new().context("cannot use the terminal; pipe the input instead")?;
        Ok(Lines::Terminal(Box::new(editor)))
    }

    /// The next message: one line, and those after it as long as they end in a backslash.
    fn next(&mut self) -> Result<Input> {
        let mut text = String::new();
        loop {
            let Some(line) = self.line(if text.is_empty() { "> " } else { ". " })? else {
                return Ok(if text.is_empty() { Input::End } else { Input::Message(text) });
            };
            match line.strip_suffix('\\') {
                Some(begun) => text.extend([begun, "\n"]),
                None => {
                    text.push_str(&line);
                    break;
                }
            }
        }
        if let Lines::Terminal(editor) = self {
            // A history that does not grow is no reason to stop.
            let _ = editor.add_history_entry(&text);
        }
        Ok(if text.starts_with('/') { Input::Command(text) } else { Input::Message(text) })
    }

    fn line(&mut self, prompt: &str) -> Result<Option<String>> {
        match self {
            Lines::Terminal(editor) => loop {
                match editor.readline(prompt) {
                    Ok(line) => return Ok(Some(line)),
                    Err(ReadlineError::Interrupted) => {}
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
