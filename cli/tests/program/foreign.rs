//! Flags of llama.cpp and ollama: each is understood, or refused with a reason; none is misread.

use crate::batches::model_with;
use crate::program::{Run, gatefold};
use anyhow::Result;
use clap::CommandFactory;
use clap::error::ErrorKind;
use gatefold_cli::args::foreign::translate;
use gatefold_cli::commands::Cli;
use std::ffi::OsString;
use std::fs;
use tempfile::TempDir;

const COMMANDS: [&str; 9] =
    ["run", "summarize", "batch", "serve", "inspect", "tokenize", "eval", "quantize", "bench"];

/// What becomes of the arguments behind a command, and how many notes there are.
fn translated(command: &str, args: &[&str]) -> Result<(Vec<String>, usize)> {
    let arguments = ["gatefold", command].iter().chain(args).map(OsString::from).collect();
    let translated = translate(arguments, &Cli::command())?;
    let arguments = translated.arguments.into_iter().skip(2);
    Ok((
        arguments.map(|argument| argument.into_string().unwrap()).collect(),
        translated.notes.len(),
    ))
}

/// Spellings and values of each flag in llama.cpp's own tables.
fn llama_cpp() -> Vec<(Vec<&'static str>, Vec<&'static str>)> {
    let lines = include_str!("llama_cpp_flags.txt").lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').partition(|word| word.starts_with('-'))).collect()
}

/// The command's own flags, with whether they take a value.
fn own(command: &str) -> Vec<(String, bool)> {
    let program = Cli::command();
    let command = program.find_subcommand(command).unwrap();
    let flags = command.get_arguments().flat_map(|arg| {
        let short = arg.get_short().map(|short| format!("-{short}"));
        let long = arg.get_long().map(|long| format!("--{long}"));
        let takes_value = arg.get_action().takes_values();
        short.into_iter().chain(long).map(move |flag| (flag, takes_value))
    });
    flags.collect()
}

#[test]
fn no_flag_of_llama_cpp_is_misread() {
    let mut n_flags = 0;
    for command in COMMANDS {
        let own = own(command);
        for (spellings, values) in llama_cpp() {
            for spelling in spellings {
                n_flags += 1;
                if own.iter().any(|(flag, _)| flag == spelling) {
                    continue;
                }
                let given: Vec<&str> =
                    values.iter().map(|value| value.trim_matches(['[', ']'])).collect();
                let args = [&[spelling], &given[..], &["rest"]].concat();
                let Ok((left, n_notes)) = translated(command, &args) else { continue };
                if left == args {
                    let given = [&["gatefold", command], &args[..]].concat();
                    let error = Cli::command().try_get_matches_from(given).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{command} {args:?}");
                    continue;
                }
                let (last, before) = left.split_last().unwrap();
                assert_eq!(last, "rest", "{command} {args:?} took too much: {left:?}");
                match before {
                    [] => assert!(n_notes <= 1),
                    [flag] => {
                        let name = flag.split('=').next().unwrap();
                        let takes_value = own.iter().find(|(flag, _)| flag == name);
                        let takes_value =
                            takes_value.unwrap_or_else(|| panic!("{command} {flag}")).1;
                        assert_eq!(takes_value, flag.contains('='), "{command} {args:?}: {flag}");
                        assert!(!takes_value || flag.ends_with(given[0]), "{flag}");
                    }
                    _ => panic!("{command} {args:?} took too little: {left:?}"),
                }
            }
        }
    }
    assert!(n_flags > 8 * 400, "{n_flags}");
}

#[test]
fn flags_become_ours() {
    for (given, expected) in [
        ("-cnv", "--chat"),
        ("-hf user/repo:Q8_0 x", "--model=user/repo:Q8_0 x"),
        ("-no-cnv -p x", "--raw -p x"),
        ("-sys You -r User:", "--system=You --stop=User:"),
        ("--temperature 0 -s -1 --predict -2", "--temp=0 --seed=-1 --n-predict=-2"),
        ("-ctk q8_0 -ctv q8_0", "--cache-type=q8_0"),
        ("--n_predict=5 --chat_template_file t.jinja", "--n-predict=5 --chat-template=t.jinja"),
        ("-ngl 99 -mg=0 --fit off -fa on x", "x"),
        ("-fa -p x", "-p x"),
        ("-n5 -c4096 -t8", "-n5 -c4096 -t8"),
        // Values stay what they are, and so does what is behind `--`.
        ("-p -cnv -ngl 1", "-p -cnv"),
        ("--prompt -hf --stop -ngl", "--prompt -hf --stop -ngl"),
        ("-sys -cnv", "--system=-cnv"),
        ("-ngl 1 -- -ngl 2 -cnv", "-- -ngl 2 -cnv"),
        // What asks for nothing.
        ("--mirostat 0 --typical 1.0 --presence-penalty 0.0 --top-nsigma -1", ""),
    ] {
        let args: Vec<&str> = given.split(' ').collect();
        let (left, _) = translated("run", &args).unwrap();
        assert_eq!(left.join(" "), expected, "{given}");
    }
}

#[cfg(unix)]
#[test]
fn names_of_any_bytes_stay_what_they_are() {
    use std::os::unix::ffi::OsStringExt;
    let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
    let arguments = [&b"gatefold"[..], b"run", b"--file=\xff", b"-m", b"-\xff", b"\xff"].map(bytes);
    let translated = translate(arguments.to_vec(), &Cli::command()).unwrap();
    assert_eq!(translated.arguments, arguments);
    let system = [&b"gatefold"[..], b"run", b"-sys", b"\xff"].map(bytes);
    let translated = translate(system.to_vec(), &Cli::command()).unwrap();
    assert_eq!(translated.arguments[2], bytes(b"--system=\xff"));
}

#[test]
fn a_flag_is_what_the_command_makes_of_it() {
    assert_eq!(translated("batch", &["-np", "4"]).unwrap().0, ["--parallel=4"]);
    assert_eq!(translated("run", &["-np", "4"]).unwrap(), (vec![], 1));
    assert_eq!(translated("bench", &["-ub", "64"]).unwrap().0, ["--ubatch-size=64"]);
    assert_eq!(translated("bench", &["-r", "3"]).unwrap().0, ["-r", "3"], "rounds");
    assert_eq!(translated("tokenize", &["--ids"]).unwrap().0, ["--json"]);
    assert_eq!(translated("eval", &["--ids", "1"]).unwrap().0, ["--ids", "1"]);
    for (command, flag, why) in [
        ("eval", "-cnv", "-cnv is --chat here, which `gatefold eval` does not have"),
        ("run", "--output", "redirect stdout"),
        ("bench", "--output", "--markdown"),
    ] {
        let error = translated(command, &[flag, "x"]).err().unwrap().to_string();
        assert!(error.contains(why), "{command} {flag}: {error}");
    }
}

/// A model that continues texts and has a template.
fn model() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.gguf");
    let template = "{% for m in messages %}[{{ m.role[0] }}{{ m.content }}]{% endfor %}";
    fs::write(&path, model_with("model", Some(template))).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn a_command_of_llama_cpp_runs() {
    let (_folder, model) = model();
    let shared = ["run", "-m", &model, "-p", "abc", "-n", "4"];
    let ours = gatefold(&[&shared[..], &["--raw", "--temp", "0", "--json"]].concat()).succeeded();
    let theirs = [
        "-no-cnv",
        "-ngl",
        "99",
        "-fa",
        "on",
        "--mlock",
        "--no-mmap",
        "--temperature",
        "0",
        "-c",
        "0",
        "--seed",
        "-1",
        "--no-display-prompt",
        "-tb",
        "4",
        "-md",
        "d.gguf",
        "--top_k",
        "40",
        "--json",
    ];
    let run = gatefold(&[&shared[..], &theirs].concat()).succeeded();
    for key in ["text", "ids", "prompt_ids"] {
        assert_eq!(run.json()[key], ours.json()[key], "{key}");
    }
    let notes: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(notes.len(), 7, "{}", run.stderr);
    assert_eq!(
        notes[0],
        "note: -ngl 99 has no effect: there is no GPU, and all layers run on the CPU"
    );
    assert!(notes.iter().all(|note| note.starts_with("note: ")), "{}", run.stderr);
}

#[test]
fn what_is_not_done_is_refused_with_a_reason() {
    for (args, why) in [
        ("run -hff x.gguf -p x", "-hff is refused: the file stands behind its repository"),
        ("run --lora a.gguf -p x", "merge it into the checkpoint"),
        ("run --mirostat 2 -p x", "--mirostat is refused"),
        ("eval --grammar x -f x", "`run` has it"),
        ("run --port 8080", "`gatefold serve`"),
        ("batch --api-key secret", "--api-key-file"),
        ("serve --api-key secret", "--api-key-file"),
        ("run -p x -ngl", "-ngl takes a value"),
        ("run -ngl -p x", "-ngl takes a value"),
        ("run model.gguf hello", "name the model with -m: -m model.gguf"),
        ("-m model.gguf -p x", "-m stands where the command must"),
        ("model.gguf", "model.gguf stands where the command must"),
    ] {
        let args: Vec<&str> = args.split(' ').collect();
        gatefold(&args).refused(why);
    }
    let Run { code, stderr, .. } = gatefold(&["run", "-ctk", "f16", "-ctv", "q8_0", "-p", "x"]);
    assert!(code == 1 && stderr.contains("--cache-type"), "{stderr}");
}
