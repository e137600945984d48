//! Templates against Jinja2, set up as transformers does it.

use gatefold::tokenizer::{ChatTemplate, Message, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde::Deserialize;

#[derive(Deserialize)]
struct Snippet {
    template: String,
    /// None where Jinja2 fails.
    text: Option<String>,
}

/// What `corpus.py` has templates see.
fn messages() -> [Message; 4] {
    [
        Message::new("system", " Be brief.\n"),
        Message::new("user", "What is 'x'?"),
        Message::new("assistant", "<think>hm</think>\n\nA \"letter\"."),
        Message::new("user", "Größe & <b>"),
    ]
}

#[test]
fn templates_make_what_jinja2_makes() {
    let tokenizer = Tokenizer::from_metadata(&vocabulary::mistral()).unwrap();
    let snippets: Vec<Snippet> =
        serde_json::from_str(include_str!("../fixtures/chat/jinja.json")).unwrap();
    assert!(snippets.len() > 140);
    let mut wrong = String::new();
    for Snippet { template, text: expected } in snippets {
        let found = ChatTemplate::from_source(&template)
            .and_then(|template| template.render(&tokenizer, &messages(), true));
        if found.as_ref().ok() != expected.as_ref() {
            let found = found.map_err(|error| error.to_string());
            wrong += &format!("{template}\n  found    {found:?}\n  expected {expected:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
