//! What importance matrices are made of.

use crate::args::text::read_file;
use crate::bench::Random;
use anyhow::Result;
use gatefold::LanguageModel;
use gatefold::tokenizer::{Message, Specials};
use serde::Deserialize;
use std::path::PathBuf;

/// Prose in English and in many languages, and code: texts with two blank lines in between.
const TEXTS: [&str; 3] = [
    include_str!("calibration/english.txt"),
    include_str!("calibration/languages.txt"),
    include_str!("calibration/code.txt"),
];

/// Conversations, one a line.
const CHATS: &str = include_str!("calibration/chats.jsonl");

/// What is read.
pub enum Source {
    /// A file, or stdin.
    File {
        /// Where it lies; `-` is stdin.
        path: PathBuf,
        /// What control tokens in it mean.
        specials: Specials,
    },
    /// So many random tokens.
    Random(usize),
    /// The text in the program: prose, code and conversations.
    Own,
}

#[derive(Deserialize)]
struct Chat {
    messages: Vec<Message>,
}

impl Source {
    /// What it is called in files.
    pub fn name(&self) -> String {
        match self {
            Source::File { path, .. } => path.display().to_string(),
            Source::Random(n_tokens) => format!("{n_tokens} random tokens"),
            Source::Own => "gatefold's calibration text".into(),
        }
    }

    /// Its tokens, with the one that begins a text where the model wants it.
    ///
    /// # Errors
    /// If it cannot be read or has what the vocabulary cannot express.
    pub fn tokens(&self, language: &LanguageModel) -> Result<Vec<u32>> {
        let tokenizer = &language.tokenizer;
        let mut tokens: Vec<u32> = tokenizer.first_token().into_iter().collect();
        match self {
            Source::File { path, specials } => {
                tokens.extend(tokenizer.encode(&read_file(path)?, *specials)?);
            }
            Source::Random(n_tokens) => tokens.extend(random(language, *n_tokens)),
            Source::Own => own(language, &mut tokens)?,
        }
        Ok(tokens)
    }
}

/// Tokens that have a text, each as likely as any other.
fn random(language: &LanguageModel, n_tokens: usize) -> Vec<u32> {
    let tokenizer = &language.tokenizer;
    let n_vocab = language.model.n_vocab().min(tokenizer.n_vocab()) as u32;
    let has_text = |id: &u32| !tokenizer.decode(&[*id]).is_empty();
    let texts: Vec<u32> = (0..n_vocab).filter(has_text).collect();
    let mut random = Random::new(0);
    let ids = (0..n_tokens).map(|_| texts.get(random.below(texts.len() as u32) as usize));
    ids.flatten().copied().collect()
}

/// The text in the program: of prose, code and conversations a piece each in turn, so that any part of
/// it is a mixture.
fn own(language: &LanguageModel, tokens: &mut Vec<u32>) -> Result<()> {
    let tokenizer = &language.tokenizer;
    let template = language.chat_template().ok();
    let mut pieces: Vec<Vec<Vec<u32>>> = Vec::new();
    for text in TEXTS {
        let texts = text.split("\n\n\n").map(|text| format!("{}\n\n", text.trim()));
        let ids = texts.map(|text| tokenizer.encode(&text, Specials::AsText));
        pieces.push(ids.collect::<Result<_, _>>()?);
    }
    let mut chats = Vec::new();
    for line in CHATS.lines() {
        let Chat { messages } = serde_json::from_str(line)?;
        // A template that is damaged is no reason to know nothing of the words.
        let prompt = template.as_ref().and_then(|it| it.prompt(tokenizer, &messages).ok());
        chats.push(match prompt {
            Some(prompt) => prompt.ids,
            None => {
                let words: Vec<&str> =
                    messages.iter().map(|message| message.content.as_str()).collect();
                tokenizer.encode(&words.join("\n\n"), Specials::AsText)?
            }
        });
    }
    pieces.push(chats);
    let most = pieces.iter().map(Vec::len).max().unwrap_or(0);
    for turn in 0..most {
        tokens.extend(pieces.iter().filter_map(|kind| kind.get(turn)).flatten());
    }
    Ok(())
}
