//! Conversations in forms that more templates take.
//!
//! Many templates know turns of a user and an assistant alone. Mistral's reference tokenizer joins
//! neighbours of one role with a blank line and has an empty message of the user before an
//! assistant that comes first; newer templates put what the system says into the message of the user
//! that follows. So it is done here, and no more of it than a template asks for.

use super::Message;

/// What stands between the texts of messages that become one.
const BETWEEN: &str = "\n\n";

/// Which messages of the system stay messages of their own.
#[derive(Clone, Copy, PartialEq)]
enum Systems {
    All,
    First,
    None,
}

/// The forms of a conversation that differ from it, the least changed first.
pub(super) fn forms(messages: &[Message]) -> Vec<Vec<Message>> {
    let mut forms: Vec<Vec<Message>> = Vec::new();
    for keeps_tools in [true, false] {
        for systems in [Systems::All, Systems::First, Systems::None] {
            let form = folded(messages, systems, keeps_tools);
            if form != messages && !forms.contains(&form) {
                forms.push(form);
            }
        }
    }
    forms
}

fn folded(messages: &[Message], systems: Systems, keeps_tools: bool) -> Vec<Message> {
    let mut folded: Vec<Message> = Vec::new();
    for message in messages {
        let is_first = folded.iter().all(|before| before.role == "system");
        let keeps_role = match message.role.as_str() {
            "assistant" => true,
            "system" => systems == Systems::All || (systems == Systems::First && is_first),
            "tool" => keeps_tools,
            _ => false,
        };
        let role = if keeps_role { &message.role } else { "user" };
        if is_first && role != "user" && role != "system" {
            folded.push(Message::new("user", ""));
        }
        let is_text = |message: &Message| message.tool_calls.is_empty();
        let joins = |last: &&mut Message| {
            last.role == role && role != "tool" && is_text(last) && is_text(message)
        };
        match folded.last_mut().filter(joins) {
            Some(last) => join(&mut last.content, &message.content),
            None => folded.push(Message { role: role.into(), ..message.clone() }),
        }
    }
    if folded.iter().all(|message| message.role == "system") {
        folded.push(Message::new("user", ""));
    }
    folded
}

fn join(text: &mut String, next: &str) {
    if !text.is_empty() && !next.is_empty() {
        text.push_str(BETWEEN);
    }
    text.push_str(next);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `s:` and so on for roles, a message per word.
    fn conversation(text: &str) -> Vec<Message> {
        let message = |word: &str| {
            let (role, content) = word.split_once(':').unwrap();
            let role = match role {
                "s" => "system",
                "u" => "user",
                "a" => "assistant",
                role => role,
            };
            Message::new(role, content.replace('+', BETWEEN))
        };
        text.split(' ').map(message).collect()
    }

    #[test]
    fn forms_change_little_first() {
        for (messages, expected) in [
            ("u:1 a:2 u:3", &[][..]),
            ("s:1 u:2", &["u:1+2"]),
            ("s:1 s:2 u:3", &["s:1+2 u:3", "u:1+2+3"]),
            ("s:1 u:2 u:3", &["s:1 u:2+3", "u:1+2+3"]),
            ("u:1 s:2 u:3 a:4", &["u:1+2+3 a:4"]),
            ("s:1 u:2 a:3 s:4 u:5", &["s:1 u:2 a:3 u:4+5", "u:1+2 a:3 u:4+5"]),
            ("a:1 a: a:2", &["u: a:1+2"]),
            ("s:1 a:2", &["s:1 u: a:2", "u:1 a:2"]),
            ("s:1", &["s:1 u:", "u:1"]),
            ("u:1 a:2 tool:3 tool:4", &["u:1 a:2 u:3+4"]),
            ("u:1 critic:2 a:3", &["u:1+2 a:3"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|form| conversation(form)).collect();
            assert_eq!(forms(&conversation(messages)), expected, "{messages}");
        }
    }
}
