//! Text to tokens and back, as evaluation harnesses ask for it.

use super::answers::blocking;
use super::body;
use super::reply::json;
use super::routes::{App, Reply};
use crate::openai::{Fault, Fields, quoted};
use axum::body::Body;
use axum::extract::State;
use gatefold::text::one_line;
use gatefold::tokenizer::{Specials, Tokenizer};
use serde_json::{Value, json};

/// `POST /tokenize`: the tokens of `prompt` (vLLM) or `content` (llama.cpp). Spellings of control tokens
/// are these tokens, unless `parse_special` is false; the first token of prompts comes first, unless
/// `add_special_tokens` is false (of a `content`, if `add_special` is true).
pub(super) async fn tokenize(State(shared): App, body: Body) -> Reply {
    let bytes = body::read(body).await?;
    let op = move || {
        let service = shared.service()?;
        let tokens = tokens(&service.tokenizer, body::fields(&bytes)?)?;
        let (count, max_model_len) = (tokens.len(), service.context_len);
        Ok(json!({ "tokens": tokens, "count": count, "max_model_len": max_model_len }))
    };
    Ok(json(&blocking(op).await?))
}

fn tokens(tokenizer: &Tokenizer, mut body: Fields) -> Result<Vec<u32>, Fault> {
    let content = body.string("content")?;
    let adds_first = content.is_none();
    let text = body.string("prompt")?.or(content);
    let text = body.required("prompt", text)?;
    let adds_special = body.bool("add_special")?.unwrap_or(adds_first);
    let adds_first = body.bool("add_special_tokens")?.unwrap_or(adds_special);
    let specials = match body.bool("parse_special")?.unwrap_or(true) {
        true => Specials::Parse,
        false => Specials::AsText,
    };
    body.unsupported("return_token_strs", &json!(false))?;
    body.unsupported("with_pieces", &json!(false))?;
    body.finish(&["model"])?;
    let mut tokens: Vec<u32> = tokenizer.first_token().filter(|_| adds_first).into_iter().collect();
    let encoded = tokenizer.encode(&text, specials);
    tokens.extend(encoded.map_err(|error| Fault::at("invalid_value", "prompt", one_line(error)))?);
    Ok(tokens)
}

/// `POST /detokenize`: the text of `tokens`, under both names.
pub(super) async fn detokenize(State(shared): App, body: Body) -> Reply {
    let bytes = body::read(body).await?;
    let op = move || {
        let text = text(&shared.service()?.tokenizer, body::fields(&bytes)?)?;
        Ok(json!({ "prompt": text, "content": text }))
    };
    Ok(json(&blocking(op).await?))
}

fn text(tokenizer: &Tokenizer, mut body: Fields) -> Result<String, Fault> {
    let tokens = body.take("tokens");
    let tokens = body.required("tokens", tokens)?;
    let n_vocab = tokenizer.n_vocab();
    let id = |id: &Value| {
        Some(id.as_u64()?.try_into().ok()?).filter(|&id: &u32| (id as usize) < n_vocab)
    };
    let ids: Option<Vec<u32>> = tokens.as_array().and_then(|ids| ids.iter().map(id).collect());
    let Some(ids) = ids else {
        let expected = format!("an array of tokens from 0 to {}", n_vocab - 1);
        return Err(body.wrong("tokens", quoted(&tokens), expected));
    };
    body.finish(&["model"])?;
    Ok(tokenizer.decode(&ids))
}

/// `GET /tokenizer_info`: what a client needs to write conversations itself.
pub(super) async fn info(State(shared): App) -> Reply {
    let service = shared.service()?;
    let tokenizer = &service.tokenizer;
    let piece = |id: Option<u32>| id.and_then(|id| tokenizer.piece(id));
    Ok(json(&json!({
        "bos_token": piece(tokenizer.bos()),
        "eos_token": piece(tokenizer.eos()),
        "add_bos_token": tokenizer.adds_bos(),
        "chat_template": service.template.source(),
        "vocab_size": tokenizer.n_vocab(),
        "model_max_length": service.context_len,
    })))
}
