//! Chats: over a pipe, and on a terminal.

use crate::place::Place;
use crate::program::{Run, gatefold_reading};
use serde_json::{Value as Json, json};
use std::fs;

impl Place {
    /// What a chat over a pipe says to these lines.
    fn chat(&self, args: &[&str], lines: &str) -> Run {
        let model = self.model();
        let shared = ["run", "-m", &model, "--chat"];
        let temp = if args.contains(&"--temp") { &[][..] } else { &["--temp", "0"] };
        gatefold_reading(lines, &[&shared[..], temp, args].concat())
    }

    /// The messages of a conversation that a chat has saved.
    fn saved(&self, args: &[&str], lines: &str) -> (Vec<(String, String)>, Run) {
        let path = self.path("saved.json");
        let _ = fs::remove_file(&path);
        let run = self.chat(args, &format!("{lines}\n/save {}\n", path.display()));
        let saved: Vec<Json> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let part = |message: &Json, name: &str| message[name].as_str().unwrap().to_owned();
        let message = |message: &Json| (part(message, "role"), part(message, "content"));
        (saved.iter().map(message).collect(), run)
    }
}

#[test]
fn the_oldest_turns_are_forgotten_where_the_context_is_full() {
    let place = Place::new();
    let lines: String = (0..9).map(|idx| format!("{idx} {}\n", "x".repeat(40))).collect();
    let args = ["-c", "256", "-n", "30", "--system", "S"];
    let (messages, run) = place.saved(&args, &lines);
    let run = run.succeeded();
    assert_eq!(messages.len(), 1 + 2 * 9, "every message has its answer: {}", run.stderr);
    let notes: Vec<_> = run.stderr.lines().filter(|line| line.contains("any more")).collect();
    assert!(notes.len() > 2 && notes[0].contains("the first 2 messages"), "{}", run.stderr);
    assert!(notes[0].contains("256 tokens (-c)"), "{}", run.stderr);
    // What is left is the conversation that begins with the system and the last turns.
    let last: Vec<Json> = [&messages[0]]
        .into_iter()
        .chain(&messages[messages.len() - 4..messages.len() - 1])
        .map(|(role, content)| json!({"role": role, "content": content}))
        .collect();
    fs::write(place.path("last.json"), Json::from(last).to_string()).unwrap();
    let load = format!("/load {}\n/regen", place.path("last.json").display());
    let (again, _) = place.saved(&args[..4], &load);
    assert_eq!(again.last(), messages.last());
}

#[test]
fn a_message_that_is_too_long_is_refused_alone() {
    let place = Place::new();
    let long = "x".repeat(300);
    let (messages, run) =
        place.saved(&["-c", "128", "-n", "4"], &format!("Hello\n{long}\nThanks."));
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(run.stderr.contains("error: this message takes 30"), "{}", run.stderr);
    assert!(run.stderr.contains("the context holds 128 (-c)"), "{}", run.stderr);
    assert!(run.stderr.contains("1 message could not be answered"), "{}", run.stderr);
    let said: Vec<_> = messages.iter().map(|(role, _)| role.as_str()).collect();
    assert_eq!(said, ["user", "assistant", "user", "assistant"]);
    assert_eq!(messages[2].1, "Thanks.");
}

#[test]
fn an_answer_that_the_context_cuts_off_says_so() {
    let place = Place::new();
    let run = place.chat(&["-c", "64", "-n", "500"], "Hello").succeeded();
    let note = "note: the answer is cut off: the context of 64 tokens is full (-c sets how many)";
    assert!(run.stderr.contains(note), "{}", run.stderr);
    let model = place.path("model.gguf");
    let one = ["run", "-m", model.to_str().unwrap(), "-p", "Hello", "-c", "64", "--temp", "0"];
    let run = gatefold_reading("", &[&one[..], &["-n", "500", "--json"]].concat()).succeeded();
    assert_eq!(run.json()["finish_reason"], "context");
    assert!(run.stderr.contains(note), "{}", run.stderr);
    let run = gatefold_reading("", &[&one[..], &["-n", "5", "--json"]].concat()).succeeded();
    assert_eq!(run.json()["generation"]["n_tokens"], run.json()["ids"].as_array().unwrap().len());
    assert_eq!(run.stderr, "");
}

#[test]
fn conversations_are_saved_and_loaded() {
    let place = Place::new();
    let args = ["-n", "6"];
    let (messages, run) = place.saved(&[&args[..], &["--system", "S"]].concat(), "One\nTwo");
    assert!(run.succeeded().stderr.contains("5 messages in "));
    assert_eq!(messages[0], ("system".to_owned(), "S".to_owned()));
    let saved = fs::read(place.path("saved.json")).unwrap();
    fs::write(place.path("first.json"), &saved).unwrap();
    let whole = place.chat(&[&args[..], &["--system", "S"]].concat(), "One\nTwo\nThree\n");
    let first = place.path("first.json");
    let rest = place.chat(&args, &format!("/load {}\nThree\n", first.display())).succeeded();
    assert!(rest.stderr.contains("5 messages of "), "{}", rest.stderr);
    assert!(whole.stdout.ends_with(&rest.stdout), "{:?} {:?}", whole.stdout, rest.stdout);

    let wrapped = json!({"messages": serde_json::from_slice::<Json>(&saved).unwrap()});
    fs::write(place.path("wrapped.json"), wrapped.to_string()).unwrap();
    for (name, text, why) in [
        ("wrapped.json", None, "5 messages of "),
        ("nosuch.json", None, "cannot read"),
        ("text.json", Some("Dear diary"), "is not JSON"),
        ("number.json", Some("[1]"), "no list of messages"),
        ("role.json", Some(r#"[{"role": "critic", "content": "x"}]"#), "from \"critic\""),
    ] {
        let path = place.path(name);
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        let (load, save) =
            (format!("/load {}\n", path.display()), format!("/save {}\n", path.display()));
        let stderr = place.chat(&args, &load).succeeded().stderr;
        assert!(stderr.contains(why), "{stderr}");
        if let Some(text) = text {
            let stderr = place.chat(&args, &save).succeeded().stderr;
            assert!(stderr.contains("is no conversation"), "{stderr}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}

#[test]
fn commands_say_what_they_do() {
    let place = Place::new();
    let stderr = |lines: &str| place.chat(&["-n", "4"], lines).succeeded().stderr;
    let said = stderr("a\nb\n/clear\n/clear\nc\n/system Be brief.\n/system\n/save\n/regen\n");
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(
        said[..6],
        [
            "a new conversation; 4 messages are forgotten",
            "a new conversation",
            "a new conversation with this system message; 2 messages are forgotten",
            "a new conversation without a system message",
            "/save takes the name of a file",
            "there is no message to answer",
        ]
    );
    let help = stderr("/help\n");
    for command in ["/help", "/clear", "/system", "/regen", "/save", "/load", "/stats", "/exit"] {
        assert!(help.contains(command), "{help}");
    }
}

#[test]
fn an_answer_is_made_again_with_the_next_seed() {
    let place = Place::new();
    let args = ["-n", "12", "--temp", "2", "--seed", "7"];
    let (messages, _) = place.saved(&args, "Hello\n/regen");
    assert_eq!(messages.len(), 2);
    let (next, _) = place.saved(&["-n", "12", "--temp", "2", "--seed", "8"], "Hello");
    assert_eq!(messages, next);
    let (first, _) = place.saved(&args, "Hello");
    assert_ne!(messages, first);
}

#[test]
fn messages_may_have_several_lines() {
    let place = Place::new();
    let first = |lines: &str| place.saved(&["-n", "2"], lines).0[0].1.clone();
    assert_eq!(first("\"\"\"\none\n\n/two\n\"\"\""), "one\n\n/two");
    assert_eq!(first("\"\"\"one\ntwo\"\"\""), "one\ntwo");
    assert_eq!(first("\"\"\"/one\"\"\""), "/one");
    assert_eq!(first("one\\\ntwo"), "one\ntwo");
    let open = place.chat(&["-n", "2"], "\"\"\"\none\ntwo").succeeded();
    assert_ne!(open.stdout, "", "what the end of the input leaves open is a message");
}

/// On a terminal, which tests have of their own on Linux.
#[cfg(target_os = "linux")]
mod terminal {
    use crate::place::Place;
    use crate::program::command;
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    use std::fs::{self, File, OpenOptions};
    use std::io::{Read, Write};
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::Stdio;
    use std::thread;

    /// What a chat on a terminal shows, at which this is typed at once.
    fn type_at_once(place: &Place, typed: &str, history: Option<&Path>) -> String {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let end = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let stdio = || Stdio::from(end.try_clone().unwrap());
        let mut command = command();
        command.args(["run", "--temp", "0", "-n", "3", "-m"]).arg(place.path("model.gguf"));
        command.env("GATEFOLD_HISTORY", history.map_or("".as_ref(), Path::as_os_str));
        command.env("TERM", "xterm").stdin(stdio()).stdout(stdio()).stderr(stdio());
        let mut child = command.spawn().unwrap();
        drop((command, end));
        let mut terminal = File::from(terminal);
        terminal.write_all(typed.as_bytes()).unwrap();
        let mut reader = terminal.try_clone().unwrap();
        let shown = thread::spawn(move || {
            let mut shown = Vec::new();
            // It ends with an error when nobody has the terminal any more.
            let _ = reader.read_to_end(&mut shown);
            String::from_utf8_lossy(&shown).into_owned()
        });
        assert!(child.wait().unwrap().success());
        shown.join().unwrap()
    }

    #[test]
    fn lines_that_arrive_together_are_all_kept() {
        let place = Place::new();
        let (saved, history) = (place.path("saved.json"), place.path("state/history"));
        let typed = format!("One\nTwo\nThree\n/save {}\n/exit\n", saved.display());
        let shown = type_at_once(&place, &typed, Some(&history));
        let messages = fs::read_to_string(&saved).unwrap_or_else(|_| panic!("{shown}"));
        for said in ["\"One\"", "\"Two\"", "\"Three\""] {
            assert!(messages.contains(said), "{messages}\n{shown}");
        }
        let kept = fs::read_to_string(&history).unwrap();
        assert!(kept.starts_with("\"One\"\n\"Two\"\n\"Three\"\n\"/save"), "{kept}");
        assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
        // Up goes back to what an earlier chat was told.
        let typed = format!("\u{1b}[A\u{1b}[A\u{1b}[A\n/save {}\n/exit\n", saved.display());
        type_at_once(&place, &typed, Some(&history));
        assert!(fs::read_to_string(&saved).unwrap().contains("\"Three\""));
    }

    #[test]
    fn what_is_pasted_is_one_message() {
        let place = Place::new();
        let saved = place.path("saved.json");
        let pasted = "\u{1b}[200~one\rtwo\rthree\u{1b}[201~\n";
        let shown =
            type_at_once(&place, &format!("{pasted}/save {}\n/exit\n", saved.display()), None);
        let messages = fs::read_to_string(&saved).unwrap_or_else(|_| panic!("{shown}"));
        assert!(messages.contains(r#""one\ntwo\nthree""#), "{messages}\n{shown}");
    }
}
