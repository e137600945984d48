//! The chat of `gatefold run`.

mod history;
mod input;
mod record;

use super::session::Session;
use crate::args::template::tell_folded;
use crate::terminal::{interrupt, print_note, print_piece, progress};
use anyhow::{Result, ensure};
use gatefold::text::{count, one_line, printable};
use gatefold::tokenizer::{ChatTemplate, Message};
use input::{Input, Lines};
use std::io::{self, Write, stdout};
use std::path::Path;
use std::sync::atomic::Ordering;

const HELP: &str = "\
/help       this
/clear      begin a new conversation
/system T   begin a new conversation with system message T
/regen      answer the last message again, with the next seed
/save FILE  write the conversation to a file, as JSON
/load FILE  go on with the conversation in a file
/stats      speed of the last answer
/exit       leave (so does Ctrl-D)
Ctrl-C ends an answer that is being made; twice, the program. A line that ends in \\ goes on in the next,
and so do all lines between \"\"\" and \"\"\".";

/// The messages of a conversation that begins with one from the user.
pub fn conversation(system: Option<String>, user: String) -> Vec<Message> {
    let system = system.map(|content| Message::new("system", content));
    system.into_iter().chain([Message::new("user", message_text(user))]).collect()
}

/// The message in a text that was read: the newline that ends a file or `echo` is no part of it.
fn message_text(text: String) -> String {
    text.strip_suffix('\n').map(str::to_owned).unwrap_or(text)
}

/// A conversation on the terminal.
pub struct Chat<'a> {
    session: Session<'a>,
    template: ChatTemplate,
    system: Option<String>,
    /// What was said, without the system's message.
    messages: Vec<Message>,
    /// How many of the first messages the model is not told any more, for want of room.
    n_forgotten: usize,
    /// Messages without an answer, since there was an error.
    n_failed: usize,
    is_folding_told: bool,
    stats: String,
}

impl<'a> Chat<'a> {
    /// A conversation that has not begun.
    pub fn new(session: Session<'a>, template: ChatTemplate, system: Option<String>) -> Chat<'a> {
        Chat {
            session,
            template,
            system,
            messages: Vec::new(),
            n_forgotten: 0,
            n_failed: 0,
            is_folding_told: false,
            stats: String::new(),
        }
    }

    /// Converses until the input ends. A text given on the command line is the first message.
    pub fn run(mut self, first: Option<String>) -> Result<()> {
        // A bar would overwrite the line that is being typed.
        progress::hide();
        let mut lines = Lines::new()?;
        // The line editor takes the signal for itself when it is made, so this comes after it; while a
        // line is edited, Ctrl-C is a key like others.
        interrupt::watch(&self.session.interrupted)?;
        if let Some(first) = first {
            self.ask(message_text(first))?;
        }
        loop {
            match lines.next()? {
                Input::End => break,
                Input::Message(text) if text.trim().is_empty() => {}
                Input::Message(text) => self.ask(text)?,
                Input::Command(command) => {
                    if self.obey(&command)?.is_none() {
                        break;
                    }
                }
            }
        }
        if !self.stats.is_empty() {
            print_note(&self.stats);
        }
        let is_script = matches!(lines, Lines::Pipe);
        ensure!(
            self.n_failed == 0 || !is_script,
            "{} could not be answered",
            count(self.n_failed, "message")
        );
        Ok(())
    }

    /// Does what a command says; `None` is to leave.
    fn obey(&mut self, command: &str) -> Result<Option<()>> {
        let (name, argument) = command.split_once(' ').unwrap_or((command, ""));
        let argument = argument.trim();
        match name {
            "/exit" | "/quit" | "/bye" => return Ok(None),
            "/clear" => self.begin("a new conversation"),
            "/system" => {
                self.system = Some(argument.to_owned()).filter(|system| !system.is_empty());
                self.begin(match self.system {
                    Some(_) => "a new conversation with this system message",
                    None => "a new conversation without a system message",
                });
            }
            "/regen" => self.answer_again()?,
            "/save" | "/load" if argument.is_empty() => {
                print_note(format_args!("{name} takes the name of a file"));
            }
            "/save" => {
                let all = self.told(0);
                self.tell(record::save(Path::new(argument), &all).map(|()| {
                    format!("{} in {}", count(all.len(), "message"), printable(argument))
                }));
            }
            "/load" => {
                let loaded = record::load(Path::new(argument));
                let told = loaded.map(|messages| self.load(messages, argument));
                self.tell(told);
            }
            "/stats" => print_note(&self.stats),
            "/help" => print_note(HELP),
            _ => print_note(format_args!(
                "there is no command {}; /help lists them",
                printable(name)
            )),
        }
        Ok(Some(()))
    }

    /// Says what was done, or why it was not.
    fn tell(&self, done: Result<String>) {
        match done {
            Ok(done) => print_note(done),
            Err(error) => print_note(format_args!("error: {}", one_line(format!("{error:#}")))),
        }
    }

    /// Forgets what was said.
    fn begin(&mut self, what: &str) {
        match self.messages.len() {
            0 => print_note(what),
            1 => print_note(format_args!("{what}; 1 message is forgotten")),
            n => print_note(format_args!("{what}; {n} messages are forgotten")),
        }
        self.messages.clear();
        self.n_forgotten = 0;
    }

    /// The conversation without the first messages, but with the system's.
    fn told(&self, n_forgotten: usize) -> Vec<Message> {
        let system = self.system.clone().map(|content| Message::new("system", content));
        system.into_iter().chain(self.messages[n_forgotten..].iter().cloned()).collect()
    }

    /// Goes on with another conversation.
    fn load(&mut self, mut messages: Vec<Message>, from: &str) -> String {
        let told = format!("{} of {}", count(messages.len(), "message"), printable(from));
        let has_system = messages.first().is_some_and(|message| message.role == "system");
        self.system = has_system.then(|| messages.remove(0).content);
        self.messages = messages;
        self.n_forgotten = 0;
        match self.messages.last().is_some_and(|message| message.role == "user") {
            true => told + "; /regen answers the last one",
            false => told,
        }
    }

    fn ask(&mut self, text: String) -> Result<()> {
        self.messages.push(Message::new("user", text));
        if !self.answer()? {
            self.messages.pop();
        }
        Ok(())
    }

    fn answer_again(&mut self) -> Result<()> {
        let before = self.messages.pop_if(|message| message.role == "assistant");
        if self.messages.last().is_none_or(|message| message.role != "user") {
            self.messages.extend(before);
            print_note("there is no message to answer");
            return Ok(());
        }
        if !self.answer()? {
            self.messages.extend(before);
        }
        Ok(())
    }

    /// Answers the last message; false if that did not come to be.
    fn answer(&mut self) -> Result<bool> {
        self.session.interrupted.store(false, Ordering::Relaxed);
        let result = self.prompt().and_then(|prompt| self.session.generate(&prompt, print_piece));
        let generated = match result {
            Ok(generated) => generated,
            // Nobody reads what is said.
            Err(error) if error.is::<io::Error>() => return Err(error),
            // A message that does not fit, say, is no reason to lose the others.
            Err(error) => {
                self.n_failed += 1;
                self.tell(Err(error));
                return Ok(false);
            }
        };
        writeln!(stdout().lock())?;
        self.stats = self.session.summary(&generated);
        self.session.next_seed();
        if generated.tokens.is_empty() {
            // Interrupted before it began: the question was not asked.
            return Ok(false);
        }
        self.session.remark(&generated).iter().for_each(print_note);
        self.messages.push(Message::new("assistant", generated.text.trim()));
        Ok(true)
    }

    /// The prompt of as much of the conversation as leaves room for an answer. The oldest turns are
    /// forgotten where they must be, and the message of the system never.
    fn prompt(&mut self) -> Result<Vec<u32>> {
        let context_len = self.session.loaded.context_len;
        let room = (context_len / 4).min(self.session.max_tokens.unwrap_or(usize::MAX));
        let mut n_forgotten = self.n_forgotten;
        loop {
            let tokenizer = &self.session.loaded.language.tokenizer;
            let prompt = self.template.prompt(tokenizer, &self.told(n_forgotten))?;
            let is_last = n_forgotten + 1 == self.messages.len();
            ensure!(
                !is_last || prompt.ids.len() < context_len,
                "this message takes {} tokens with what goes before each, and the context holds {context_len} (`context_len`): it is not part of the conversation; shorten it",
                prompt.ids.len()
            );
            if is_last || prompt.ids.len() + room <= context_len {
                self.tell_of(n_forgotten, prompt.folded.as_deref());
                self.n_forgotten = n_forgotten;
                return Ok(prompt.ids);
            }
            n_forgotten = self.next_turn(n_forgotten);
        }
    }

    /// Where the turn behind the one at `idx` begins: with a message of the user.
    fn next_turn(&self, idx: usize) -> usize {
        let behind = self.messages[idx + 1..].iter().position(|message| message.role == "user");
        behind.map_or(self.messages.len() - 1, |n| idx + 1 + n)
    }

    /// Says what the model is told otherwise than it was said.
    fn tell_of(&mut self, n_forgotten: usize, folded: Option<&str>) {
        if n_forgotten > self.n_forgotten {
            print_note(format_args!(
                "note: the context of {} tokens (`context_len`) has no room for all of the conversation; the model is not told the first {} any more",
                self.session.loaded.context_len,
                count(n_forgotten, "message")
            ));
        }
        if let Some(why) = folded
            && !self.is_folding_told
        {
            tell_folded("this conversation", why);
            self.is_folding_told = true;
        }
    }
}
