//! The file of requests, and what of it is to be done.

use super::error::BatchError;
use super::line::Line;
use crate::jobs::{self, Key, Lines, Part, copy_of_stdin};
use crate::openai::{Fault, MOST_BODY_BYTES, quoted};
use gatefold::grammar::GRAMMARS_REVISION;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of a line.
const MOST_LINE_BYTES: usize = MOST_BODY_BYTES;

/// The file of requests. It is read twice, the second time as its requests come up, so that the
/// memory does not depend on its size.
#[derive(Debug)]
pub struct Input {
    path: PathBuf,
    file: File,
}

/// What holds for all requests.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Stands for everything that an answer depends on besides its request: the model, say.
    pub basis: Key,
    /// Most tokens of answers to requests that do not say.
    pub max_tokens: Option<usize>,
    /// The one model that requests may ask for; without it they may ask for any.
    pub model_name: Option<String>,
}

/// What is to be done: the lines of an input, or of a shard of it, with their keys.
#[derive(Debug, Default)]
pub struct Plan {
    /// The shard, if there is one.
    pub part: Option<Part>,
    /// The lines, in order.
    pub items: Vec<Item>,
    /// Their keys, and the numbers of the lines.
    pub keys: HashMap<Key, usize>,
    /// The names of all requests of the input.
    pub custom_ids: HashSet<String>,
}

/// A line that gets a line in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Names it in the output.
    pub key: Key,
    pub(super) number: usize,
    range: Range<u64>,
    /// Whether an earlier line has its name.
    is_duplicate: bool,
}

impl Plan {
    /// How many requests the input has, with those of other shards.
    pub fn n_all(&self) -> usize {
        self.part.as_ref().map_or(self.items.len(), |part| part.n_all as usize)
    }
}

impl Item {
    /// Bytes of the line.
    pub(super) fn n_bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

impl Input {
    /// Opens a file; `-` is stdin, which is copied to a file without a name.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Input, BatchError> {
        let file = match path == Path::new("-") {
            true => copy_of_stdin(),
            false => File::open(path),
        };
        match file {
            Ok(file) => Ok(Input { path: path.into(), file }),
            Err(error) => Err(BatchError::Input { path: path.into(), error }),
        }
    }

    /// The lines that are not blank.
    fn lines(&self) -> impl Iterator<Item = Result<jobs::Line, BatchError>> {
        let failed = |error| BatchError::Input { path: self.path.clone(), error };
        let rewound = (&self.file).rewind().err().map(|error| Err(failed(error)));
        let lines = Lines::new(BufReader::new(&self.file), MOST_LINE_BYTES);
        let is_blank =
            |line: &jobs::Line| line.text.as_ref().is_some_and(|text| text.trim_ascii().is_empty());
        let lines = lines.map(move |line| line.map_err(failed));
        let lines = lines.filter(move |line| !line.as_ref().is_ok_and(is_blank));
        rewound.into_iter().chain(lines)
    }

    /// How many requests there are, counted up to `most`.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn count(&self, most: usize) -> Result<usize, BatchError> {
        self.lines().take(most).try_fold(0, |n, line| line.map(|_| n + 1))
    }

    /// Reads all lines.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn plan(&self, terms: &Terms) -> Result<Plan, BatchError> {
        self.plan_of(terms, None)
    }

    /// Reads all lines, for those of a shard where there is one.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn plan_of(&self, terms: &Terms, part: Option<Part>) -> Result<Plan, BatchError> {
        let mut plan = Plan { part, ..Plan::default() };
        for line in self.lines() {
            let line = line?;
            let (number, range) = (line.number, line.range);
            let line = parse(line.text.as_deref(), &range, terms);
            let is_new = line.custom_id.clone().is_none_or(|id| plan.custom_ids.insert(id));
            let key = key(&line, number, !is_new, terms);
            let name = line.custom_id.as_deref().unwrap_or(key.as_str());
            if plan.part.as_mut().is_some_and(|part| !part.take(name, Some(&key))) {
                continue;
            }
            plan.keys.insert(key.clone(), number);
            plan.items.push(Item { key, number, range, is_duplicate: !is_new });
        }
        Ok(plan)
    }

    /// What is wrong with lines themselves, by their numbers: that they are no requests, or none to this
    /// endpoint. What is wrong with a body concerns no other line, and is not among it.
    pub fn faults<'a>(
        &'a self,
        plan: &'a Plan,
        terms: &'a Terms,
        endpoint: &'a str,
    ) -> impl Iterator<Item = Result<(usize, Fault), BatchError>> + 'a {
        let fault = move |item: &Item| match self.line(item, terms) {
            Err(error) => Some(Err(error)),
            Ok(line) => {
                let is_of_body = |param: &str| param.starts_with("body.");
                let fault = line.request.err();
                let fault = fault.filter(|fault| !fault.param.as_deref().is_some_and(is_of_body));
                let other = line.url.filter(|url| url != endpoint).map(|url| {
                    let message = format!(
                        "line {}: url is {}; expected \"{endpoint}\", the endpoint of the batch",
                        item.number,
                        quoted(&url.into())
                    );
                    Fault::at("invalid_value", "url", message)
                });
                fault.or(other).map(|fault| Ok((item.number, fault)))
            }
        };
        plan.items.iter().filter_map(fault)
    }

    /// Reads the line of an item again.
    ///
    /// # Errors
    /// If the file cannot be read, or has changed.
    pub(super) fn line(&self, item: &Item, terms: &Terms) -> Result<Line, BatchError> {
        let read = || {
            let mut text = Vec::new();
            (&self.file).seek(SeekFrom::Start(item.range.start))?;
            (&self.file)
                .take(item.n_bytes().min(MOST_LINE_BYTES as u64 + 1))
                .read_to_end(&mut text)?;
            Ok(text)
        };
        let text = read().map_err(|error| BatchError::Input { path: self.path.clone(), error })?;
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        let is_read = text.len() <= MOST_LINE_BYTES;
        let mut line = parse(is_read.then_some(text), &item.range, terms);
        if key(&line, item.number, item.is_duplicate, terms) != item.key {
            return Err(BatchError::Changed { path: self.path.clone(), line: item.number });
        }
        if item.is_duplicate {
            let message = "an earlier line has the same custom_id; expected one of its own";
            line.request = Err(Fault::at("duplicate_custom_id", "custom_id", message));
        }
        if let Err(fault) = &mut line.request {
            fault.message = format!("line {}: {}", item.number, fault.message);
        }
        Ok(line)
    }
}

fn parse(text: Option<&[u8]>, range: &Range<u64>, terms: &Terms) -> Line {
    let mut line = match text {
        Some(text) => Line::parse(text),
        None => Line::too_long(range.end - range.start, MOST_LINE_BYTES),
    };
    if let (Ok(request), Some(expected)) = (&line.request, &terms.model_name)
        && let Err(fault) = request.expect_model(expected)
    {
        line.request = Err(fault);
    }
    line
}

/// The key of a line. One with a fault is known by its number too: it may have no name, or one
/// that is not its own.
fn key(line: &Line, number: usize, is_duplicate: bool, terms: &Terms) -> Key {
    let form = line.request.as_ref().ok().and_then(|request| request.params.form.as_ref());
    // The order of a schema's properties is that of the answer's.
    let form = form.map(|form| format!("{GRAMMARS_REVISION} {}", form.source.text()));
    let tools = line.request.as_ref().ok().and_then(|request| request.tools.as_ref());
    let tools = tools.map(|tools| Value::from(&tools.described[..]).to_string());
    let (number, max_tokens) = (number.to_string(), terms.max_tokens.unwrap_or(0).to_string());
    let mut parts = vec![("basis", terms.basis.as_str().as_bytes()), ("line", &line.canonical)];
    match &line.request {
        Ok(request) if !is_duplicate => {
            if request.params.max_tokens.is_none() {
                parts.push(("tokens", max_tokens.as_bytes()));
            }
            parts.extend(form.as_ref().map(|form| ("form", form.as_bytes())));
            parts.extend(tools.as_ref().map(|tools| ("tools", tools.as_bytes())));
        }
        _ => {
            parts.push(("fault in line", number.as_bytes()));
            parts.extend(terms.model_name.as_ref().map(|name| ("model", name.as_bytes())));
        }
    }
    Key::of(&parts)
}
