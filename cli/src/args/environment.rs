//! Flags that environment variables set.
//!
//! A flag on the command line wins, also one that rules the variable's out, such as `--raw` that of
//! `GATEFOLD_CHAT_TEMPLATE`. An empty variable counts as none.

use anyhow::{Error, anyhow};
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};
use gatefold::text::{one_line, printable};
use std::env;
use std::ffi::OsString;

/// Variables, the arguments that they set, and the commands where they do not: what is measured is not
/// to depend on them.
const VARIABLES: [(&str, &str, &[&str]); 11] = [
    ("GATEFOLD_MODEL", "model", &[]),
    ("GATEFOLD_CTX_SIZE", "context", &["eval", "imatrix", "routing"]),
    ("GATEFOLD_BATCH_SIZE", "batch", &[]),
    ("GATEFOLD_THREADS", "threads", &[]),
    ("GATEFOLD_ISA", "isa", &[]),
    ("GATEFOLD_CACHE_TYPE", "cache_type", &["bench", "eval", "imatrix", "routing"]),
    ("GATEFOLD_CHAT_TEMPLATE", "chat_template", &[]),
    ("GATEFOLD_MEMORY", "memory", &["bench"]),
    ("GATEFOLD_PARALLEL", "parallel", &[]),
    ("GATEFOLD_HOST", "host", &[]),
    ("GATEFOLD_PORT", "port", &[]),
];

/// The variable that sets an argument of a command.
fn variable(command: &str, arg: &Arg) -> Option<&'static str> {
    let is_meant = |(_, id, except): &&(_, &str, &[&str])| {
        *id == arg.get_id().as_str() && !except.contains(&command)
    };
    VARIABLES.iter().find(is_meant).map(|(name, ..)| *name)
}

/// The program, with the variables in its help.
pub fn told_in_help(program: Command) -> Command {
    program.mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        command.mut_args(|arg| match variable(&name, &arg) {
            Some(variable) => arg.env(variable).hide_env_values(true),
            None => arg,
        })
    })
}

/// The variables that set flags of this run.
#[derive(Default)]
pub struct Environment(Vec<Setting>);

struct Setting {
    variable: &'static str,
    value: String,
    flags: Vec<String>,
}

impl Environment {
    /// The variables that a message is about, in brackets, to stand behind it.
    pub fn named_in(&self, message: &str) -> String {
        let is_of_flag = |c: char| c == '-' || c.is_ascii_alphanumeric();
        let words: Vec<&str> = message.split(|c| !is_of_flag(c)).collect();
        let is_named = |setting: &&Setting| {
            let is_quoted = setting.value.len() > 3 && message.contains(&setting.value);
            is_quoted || setting.flags.iter().any(|flag| words.contains(&flag.as_str()))
        };
        let named = self.0.iter().filter(is_named);
        let named: Vec<String> = named
            .map(|setting| format!("{} is {}", setting.variable, printable(&setting.value)))
            .collect();
        if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) }
    }
}

/// What the arguments ask for, with what variables set.
///
/// # Errors
/// If arguments or variables do not parse.
pub fn parse(
    program: &Command,
    mut arguments: Vec<OsString>,
) -> Result<(ArgMatches, Environment), Error> {
    let parse = |arguments: &[OsString]| program.clone().try_get_matches_from(arguments);
    let mut matches = parse(&arguments).map_err(|error| match error.use_stderr() {
        true => error,
        // Help is to name the variables.
        false => {
            told_in_help(program.clone()).try_get_matches_from(&arguments).err().unwrap_or(error)
        }
    })?;
    let given = matches.clone();
    let Some((name, given)) = given.subcommand() else {
        return Ok((matches, Environment::default()));
    };
    let mut environment = Environment::default();
    for arg in program.find_subcommand(name).into_iter().flat_map(Command::get_arguments) {
        let (Some(variable), Some(long)) = (variable(name, arg), arg.get_long()) else { continue };
        let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else { continue };
        if given.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine) {
            continue;
        }
        let mut argument = OsString::from(format!("--{long}="));
        argument.push(&value);
        let with: Vec<_> = [&arguments[..2], &[argument], &arguments[2..]].concat();
        match parse(&with) {
            Ok(found) => (matches, arguments) = (found, with),
            // Ruled out on the command line.
            Err(error) if error.kind() == ErrorKind::ArgumentConflict => continue,
            Err(error) => {
                let message = error.to_string();
                let line = message.lines().next().unwrap_or_default();
                let line = line.strip_prefix("error: ").unwrap_or(line);
                return Err(anyhow!("{variable}: {}", one_line(line)));
            }
        }
        let short = arg.get_short().map(|short| format!("-{short}"));
        environment.0.push(Setting {
            variable,
            value: value.to_string_lossy().into_owned(),
            flags: short.into_iter().chain([format!("--{long}")]).collect(),
        });
    }
    Ok((matches, environment))
}
