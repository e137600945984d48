//! The formats that are known by name, against mistral-common and model cards; and conversations that
//! templates do not take as they are.

use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{ChatError, ChatTemplate, Message, Origin, Specials, Tokenizer};
use gatefold_fixtures::vocabulary;
use serde::Deserialize;

#[derive(Deserialize)]
struct Written {
    format: String,
    messages: Vec<Message>,
    #[serde(default)]
    text: String,
    #[serde(default)]
    ids: Vec<u32>,
}

fn mistral() -> Tokenizer {
    Tokenizer::from_metadata(&vocabulary::mistral()).unwrap()
}

/// The vocabulary of Mistral with these control tokens in the place of its last pieces.
fn with_tokens(tokens: &[&str]) -> Metadata {
    let mut metadata = vocabulary::mistral();
    let mut pieces = metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap().to_vec();
    let n_kept = pieces.len() - tokens.len();
    pieces.truncate(n_kept);
    pieces.extend(tokens.iter().map(|&token| token.to_owned()));
    let kinds = (0..pieces.len()).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        id if id >= n_kept => 3,
        _ => 1,
    });
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds.collect())));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata
}

fn message(role: &str, content: &str) -> Message {
    Message::new(role, content)
}

#[test]
fn mistrals_formats_are_those_of_mistral_common() {
    let plain = mistral();
    let newer = ["[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"].as_slice();
    let newer = Tokenizer::from_metadata(&with_tokens(newer)).unwrap();
    let all: Vec<Written> =
        serde_json::from_str(include_str!("../fixtures/chat/mistral.json")).unwrap();
    let mut n_folded = 0;
    for Written { format, messages, text, ids } in &all {
        let template = ChatTemplate::by_name(format).unwrap();
        if format == "mistral-v1" {
            let prompt = template.prompt(&plain, messages).unwrap();
            assert_eq!(&prompt.ids, ids, "{messages:?}");
            n_folded += usize::from(prompt.folded.is_some());
            continue;
        }
        let prompt = template.prompt(&newer, messages).unwrap();
        assert_eq!(
            prompt.ids,
            newer.encode(text, Specials::Parse).unwrap(),
            "{format} {messages:?}"
        );
        n_folded += usize::from(prompt.folded.is_some());
        assert_eq!(
            prompt.folded.is_some(),
            template.clone().strict().encode(&newer, messages).is_err()
        );
    }
    assert!(all.len() > 100 && n_folded > 50, "{} {n_folded}", all.len());
}

#[test]
fn formats_are_those_of_their_model_cards() {
    let tokenizer = mistral();
    let all: Vec<Written> =
        serde_json::from_str(include_str!("../fixtures/chat/formats.json")).unwrap();
    for Written { format, messages, text, .. } in &all {
        let template = ChatTemplate::by_name(format).unwrap();
        let expected = tokenizer.encode(text, Specials::Parse).unwrap();
        let mut ids = template.encode(&tokenizer, messages).unwrap();
        if expected[0] != 1 {
            assert_eq!(ids.remove(0), 1, "the file says that a prompt begins with BOS");
        }
        assert_eq!(tokenizer.decode(&ids), tokenizer.decode(&expected), "{format} {messages:?}");
        assert_eq!(ids, expected, "{format} {messages:?}");
    }
    let tested = |name: &str| name.starts_with("mistral") || all.iter().any(|it| it.format == name);
    assert!(ChatTemplate::names().all(tested));
}

#[test]
fn a_vocabulary_tells_its_format() {
    for (tokens, expected) in [
        (&["<|im_start|>", "<|im_end|>"][..], Some("chatml")),
        (&["<|im_start|>", "<|im_end|>", "<|im_sep|>"], Some("phi4")),
        (&["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"], Some("llama3")),
        (&["<start_of_turn>", "<end_of_turn>"], Some("gemma")),
        (&["<|user|>", "<|assistant|>", "<|end|>"], Some("phi3")),
        (&["<|user|>", "<|assistant|>"], Some("zephyr")),
        (&["<|end_of_turn|>"], Some("openchat")),
        (&["[INST]", "[/INST]"], Some("mistral-v3")),
        (&["[INST]", "[/INST]", "[SYSTEM_PROMPT]"], Some("mistral-v7")),
        (&["<|im_start|>"], None),
        (&["<|user|>"], None),
        (&[], None),
    ] {
        let metadata = with_tokens(tokens);
        let template = ChatTemplate::for_vocabulary(&Tokenizer::from_metadata(&metadata).unwrap());
        let origin = if expected.is_some() { Origin::Vocabulary } else { Origin::Fallback };
        let expected = (Some(expected.unwrap_or("mistral-v1")), origin);
        assert_eq!((template.name(), template.origin()), expected, "{tokens:?}");
    }
    let smollm = Tokenizer::from_metadata(&vocabulary::smollm2_small("smollm")).unwrap();
    assert_eq!(ChatTemplate::for_vocabulary(&smollm).name(), Some("chatml"));
}

/// Takes turns of user and assistant alone.
const TURNS: &str = "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}\
    {{ raise_exception('in turns') }}{% endif %}[{{ m.role[0] }}:{{ m.content }}]{% endfor %}";

/// Writes what it knows, and leaves out the rest without a word.
const SILENT: &str = "{% for m in messages %}{% if m.role == 'user' %}[u:{{ m.content | trim }}]\
    {% elif m.role == 'assistant' %}[a:{{ m.content.split('</think>')[-1] }}]{% endif %}{% endfor %}";

/// Knows the system at the beginning, and turns.
const SYSTEM: &str = "{% if messages[0].role == 'system' %}[s:{{ messages[0].content }}]\
    {% set messages = messages[1:] %}{% endif %}{% for m in messages %}\
    {% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('in turns') }}{% endif %}\
    [{{ m.role[0] }}:{{ m.content }}]{% endfor %}";

/// Takes whatever there is.
const ANY: &str = "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}";

#[test]
fn what_a_template_does_not_take_is_folded() {
    let tokenizer = mistral();
    let [s, u, a] = ["system", "user", "assistant"].map(|role| message(role, &role.to_uppercase()));
    let (tool, developer) = (message("tool", "TOOL"), message("developer", "DEV"));
    let thought = message("assistant", "<think>much</think>little");
    for (source, messages, expected, is_folded) in [
        (TURNS, vec![&u, &a, &u], "[u:USER][a:ASSISTANT][u:USER]", false),
        (TURNS, vec![&s, &u], "[u:SYSTEM\n\nUSER]", true),
        (TURNS, vec![&u, &u], "[u:USER\n\nUSER]", true),
        (TURNS, vec![&a, &u], "[u:][a:ASSISTANT][u:USER]", true),
        (TURNS, vec![&u, &a, &s, &u], "[u:USER][a:ASSISTANT][u:SYSTEM\n\nUSER]", true),
        (TURNS, vec![&u, &a, &tool], "[u:USER][a:ASSISTANT][u:TOOL]", true),
        (TURNS, vec![&developer, &u], "[u:DEV\n\nUSER]", true),
        (SILENT, vec![&s, &u], "[u:SYSTEM\n\nUSER]", true),
        (SILENT, vec![&u, &tool, &u], "[u:USER\n\nTOOL\n\nUSER]", true),
        (SILENT, vec![&u, &thought, &u], "[u:USER][a:little][u:USER]", false),
        (SYSTEM, vec![&s, &u, &u], "[s:SYSTEM][u:USER\n\nUSER]", true),
        (SYSTEM, vec![&developer, &u], "[s:DEV][u:USER]", false),
        (SYSTEM, vec![&s, &s, &u], "[s:SYSTEM\n\nSYSTEM][u:USER]", true),
        (
            SYSTEM,
            vec![&s, &u, &a, &s, &u],
            "[s:SYSTEM][u:USER][a:ASSISTANT][u:SYSTEM\n\nUSER]",
            true,
        ),
        (ANY, vec![&s, &s, &tool], "[system:SYSTEM][system:SYSTEM][tool:TOOL]", false),
        (ANY, vec![&developer], "[system:DEV]", false),
        // For single questions: nothing gets the earlier ones into it.
        ("[{{ messages[-1].content }}]", vec![&u, &a, &u], "[USER]", true),
    ] {
        let messages: Vec<Message> = messages.into_iter().cloned().collect();
        let template = ChatTemplate::from_source(source).unwrap();
        let prompt = template.prompt(&tokenizer, &messages).unwrap();
        assert_eq!(tokenizer.decode(&prompt.ids).trim_start(), expected, "{messages:?}");
        assert_eq!(prompt.folded.is_some(), is_folded, "{messages:?}");
        let strict = template.strict().encode(&tokenizer, &messages);
        assert_eq!(strict.is_err(), is_folded, "{messages:?}");
    }
}

#[test]
fn a_strict_template_says_what_it_does_not_take() {
    let tokenizer = mistral();
    let messages = [message("system", "Be brief."), message("user", "Why?")];
    let refusal = |source: &str, messages: &[Message]| {
        let template = ChatTemplate::from_source(source).unwrap().strict();
        template.encode(&tokenizer, messages).unwrap_err().to_string()
    };
    assert!(refusal(TURNS, &messages).ends_with("in turns"));
    assert!(refusal(SILENT, &messages).contains("leaves out message 1, which is from `system`"));
    // What is refused in every form is refused in the template's own words.
    let never = ChatTemplate::from_source("{{ raise_exception('never') }}").unwrap();
    let error = never.encode(&tokenizer, &messages).unwrap_err();
    assert!(matches!(error, ChatError::Template { ref reason } if reason == "never"), "{error}");
    let error = ChatTemplate::from_source("{{ x").unwrap_err().to_string();
    assert!(error.starts_with("the given chat template cannot be used"), "{error}");
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.chat_template", Value::String(" \n".into()));
    assert!(ChatTemplate::from_metadata(&metadata).unwrap().is_none(), "an empty one is none");
}
