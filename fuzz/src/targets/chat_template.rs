//! Chat templates, and what conversations could do to them.
//!
//! The parts of an input are a template, and what the system, the user and the assistant say.

use crate::{accepted, joined, parts, text};
use gatefold::gguf::{Array, Metadata, Value};
use gatefold::tokenizer::{ChatTemplate, Message, Tokenizer};
use std::sync::OnceLock;

/// Tokens of the vocabulary that are control tokens, but for the first, which begins a text.
const CONTROL: [u32; 3] = [0, 2, 3];

/// Writes a conversation by the template, and by Mistral's.
pub fn run(bytes: &[u8]) {
    let [template, system, question, answer] = parts(bytes);
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    let tokenizer = TOKENIZER.get_or_init(tokenizer);
    let messages = [("system", system), ("user", question), ("assistant", answer), ("user", b"a")];
    let messages = messages.map(|(role, content)| Message::new(role, text(content)));

    let mut metadata = Metadata::new();
    metadata.set("tokenizer.chat_template", Value::String(text(template)));
    // What a template says may have several lines.
    if let Ok(Some(template)) = ChatTemplate::from_metadata(&metadata) {
        let _ = template.encode(tokenizer, &messages);
    }
    // What a user says cannot become a control token.
    let Some(ids) = accepted(ChatTemplate::mistral().encode(tokenizer, &messages[1..2])) else {
        return;
    };
    assert_eq!(ids[0], 1);
    assert!(!ids[1..].iter().any(|id| *id == 1 || CONTROL.contains(id)), "{ids:?}");
}

/// A vocabulary with a piece for every byte.
pub(super) fn tokenizer() -> Tokenizer {
    let mut pieces: Vec<String> = ["<unk>", "<s>", "</s>", "[X]", "▁", "a"].map(Into::into).into();
    let mut kinds = vec![2, 3, 3, 3, 1, 1];
    pieces.extend((0..=u8::MAX).map(|byte| format!("<0x{byte:02X}>")));
    kinds.resize(pieces.len(), 6);
    let mut metadata = Metadata::new();
    metadata.set("tokenizer.ggml.model", Value::String("llama".into()));
    metadata.set("tokenizer.ggml.scores", Value::Array(Array::F32(vec![0.0; pieces.len()])));
    metadata.set("tokenizer.ggml.tokens", Value::Array(Array::String(pieces)));
    metadata.set("tokenizer.ggml.token_type", Value::Array(Array::I32(kinds)));
    Tokenizer::from_metadata(&metadata).expect("it is a vocabulary")
}

/// Templates of every part of the language that is not refused.
pub fn seeds() -> Vec<Vec<u8>> {
    let mistral = ChatTemplate::mistral();
    [
        mistral.source(),
        "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>\n{{ m.content | trim }}{% endfor %}{% if add_generation_prompt %}{{ 'a' * 3 }}{% endif %}",
        "{% macro f(x, y=1) %}{{ x ~ y }}{% endmacro %}{{ f(messages[0].content) | upper }}{% set ns = namespace(n=0) %}{% for m in messages if m.role != 'user' %}{% set ns.n = ns.n + loop.index0 %}{% break %}{% endfor %}{{ ns.n }}",
        "{{ messages | map(attribute='content') | join(', ') | replace('a', 'bb') | indent(2) }}{{ messages | tojson(indent=2) }}{{ messages[::-1] }}{{ strftime_now('%d %b %Y') }}",
        "{{ messages[0].content.split(' ')[0].strip() }}{{ range(5) | list }}{{ {'a': [1, 2.5, none]} | items | list }}{{ '%s-%d' | format('x', 7) }}{{ 'a' in 'abc' and not false }}",
        "{% if tools is not none %}{{ raise_exception('x') }}{% elif messages | length > 2 %}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{% else %}{{ eos_token }}{% endif %}{#- a comment -#}{% raw %}{{ x }}{% endraw %}",
        "{% generation %}{{ '%5.2f %(a)s' % {'a': 1} }}{{ '%s|%r' % (1, ['x']) }}{{ [0] * 3 }}{{ 7 // -2 }}{{ -7 % 3 }}{{ 7 / 2 }}{% endgeneration %}{{ none is iterable }}{{ 'a' is sequence }}{{ messages is mapping }}",
        "{{ 'a,b'.rsplit(',', 1) }}{{ 'ab'.partition('b') }}{{ 'x'.center(9, '-') }}{{ 'abc'[::-1] }}{{ [1, 2, 3][-2:] }}{{ {'b': 1, 'a': [1.5]} | tojson(indent=1, sort_keys=true, separators=(',', ':'), ensure_ascii=true) }}{{ '2' | int + '1.5' | float | round }}{{ () }}",
    ]
    .map(|template| joined(&[template, "be brief", "<s>[X]a [/INST]", "a</s>"]))
    .into()
}
