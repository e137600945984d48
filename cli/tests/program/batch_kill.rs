//! A batch that is killed, interrupted or out of disk, and run again until it is done.

use crate::batches::{Workplace, chat, completion, settled, with};
use crate::kills;
use serde_json::Value as Json;
use std::collections::HashSet;
use std::fs;
use std::process::Child;

const N_REQUESTS: usize = 200;

fn requests() -> Vec<Json> {
    let request = |idx| {
        let id = format!("{idx}");
        match idx % 5 {
            0 => with(chat(&id, "Why?"), "temperature", 7),
            1 => completion(&id, "Once upon a time ".repeat(idx % 4)),
            2 => with(chat(&id, "Which?"), "n", 2),
            _ => with(chat(&id, &format!("What is {idx} squared?")), "max_tokens", 1 + idx % 20),
        }
    };
    (0..N_REQUESTS).map(request).collect()
}

impl Workplace {
    fn with_requests() -> Workplace {
        let place = Workplace::new();
        place.write("in.jsonl", &requests());
        place
    }

    /// Starts a run, with few requests together, so that answers come one after the other.
    fn start(&self) -> Child {
        self.command(&["in.jsonl", "-o", "out.jsonl", "--parallel", "3"]).spawn().unwrap()
    }

    /// Runs to the end, and returns the lines of the output.
    fn completes(&self, output: &str) -> Vec<String> {
        let (code, stderr) = self.batch(&["in.jsonl", "-o", output]);
        assert_eq!(code, 2, "{stderr}");
        assert!(stderr.contains("200 requests, 40 of them refused"), "{stderr}");
        settled(self.lines(output))
    }

    /// The whole lines in the output.
    fn kept(&self) -> Vec<String> {
        kills::whole_lines(&self.path("out.jsonl"))
    }

    /// Waits until there is something in the output.
    fn wait_for_output(&self, run: &mut Child) {
        kills::wait_for(run, &self.path("out.jsonl"), 1);
    }
}

#[test]
fn killed_twenty_times_the_answers_are_the_same() {
    let place = Workplace::with_requests();
    let expected = place.completes("whole.jsonl");
    assert_eq!(expected.len(), N_REQUESTS);
    let n_bytes = fs::metadata(place.path("whole.jsonl")).unwrap().len();
    let kept = kills::twenty(&place.path("out.jsonl"), n_bytes, || place.start());
    assert!((10..N_REQUESTS).contains(&kept.len()), "{}", kept.len());
    assert_eq!(place.completes("out.jsonl"), expected);
    assert!(place.kept().starts_with(&kept));
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 4);
}

#[test]
fn two_runs_do_not_share_an_output() {
    let place = Workplace::with_requests();
    let mut run = place.start();
    place.wait_for_output(&mut run);
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "out.jsonl"]);
    run.kill().unwrap();
    assert!(kills::was_killed(run.wait().unwrap()), "the first run was over too soon");
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("out.jsonl is being written by another run"), "{stderr}");
    let ids: HashSet<String> = place.kept().into_iter().collect();
    assert_eq!(ids.len(), place.kept().len());
}

#[cfg(unix)]
mod unix {
    use super::*;
    use crate::program;
    use std::io::Write;
    use std::process::{Command, Output, Stdio};

    /// Sends a signal to a run.
    fn send(run: &Child, signal: &str) {
        let kill = Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// Ctrl-C and SIGTERM end a run between two steps.
    #[test]
    fn an_interrupted_run_says_how_to_go_on() {
        let place = Workplace::with_requests();
        let expected = place.completes("whole.jsonl");
        for signal in ["-INT", "-TERM"] {
            let mut run = place.start();
            place.wait_for_output(&mut run);
            send(&run, signal);
            let output = run.wait_with_output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(130), "{signal}: {stderr}");
            assert!(
                stderr.contains("requests done; the same command goes on from there"),
                "{stderr}"
            );
            let kept = place.kept();
            assert!((1..N_REQUESTS).contains(&kept.len()));
            assert!(stderr.contains(&format!("stopped with {} of 200", kept.len())), "{stderr}");
            assert_eq!(place.completes("out.jsonl"), expected);
            fs::remove_file(place.path("out.jsonl")).unwrap();
        }
    }

    /// So does one that has not begun, and waits for its input: at once.
    #[test]
    fn a_run_that_is_interrupted_before_its_work_says_so() {
        let place = Workplace::new();
        let commands: [&[&str]; 3] =
            [&["batch", "-", "-o", "out"], &["summarize", "-", "-o", "out"], &["run", "--raw"]];
        for (args, signal) in
            commands.into_iter().flat_map(|args| [(args, "-INT"), (args, "-TERM")])
        {
            let mut command = program::command();
            command.current_dir(place.folder.path()).args(args).args(["-m", "model.gguf"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut run = command.spawn().unwrap();
            // More than a pipe holds: when it is written, the run is reading, and does not stop.
            let mut input = run.stdin.take().unwrap();
            input.write_all(&[b' '; 1 << 20]).unwrap();
            send(&run, signal);
            let Output { status, stdout, stderr } = run.wait_with_output().unwrap();
            let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap());
            assert_eq!(status.code(), Some(130), "{args:?} {signal}: {said:?}");
            assert_eq!(said, ["", "stopped before the work began\n"], "{args:?} {signal}");
            assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 1);
        }
    }

    /// A limit on the size of files stands for a disk that is full.
    #[test]
    fn a_full_disk_is_told_and_survived() {
        let place = Workplace::with_requests();
        let expected = place.completes("whole.jsonl");
        let command = place.command(&["in.jsonl", "-o", "out.jsonl"]);
        let mut limited = Command::new("sh");
        let limit = "ulimit -f 50; exec \"$@\"";
        limited.current_dir(place.folder.path()).args(["-c", limit, "sh"]);
        let run = limited.arg(command.get_program()).args(command.get_args()).output().unwrap();
        let stderr = String::from_utf8(run.stderr).unwrap();
        assert_eq!(run.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("out.jsonl cannot be written further: "), "{stderr}");
        // Nothing is begun that is not whole.
        assert!((1..N_REQUESTS).contains(&place.lines("out.jsonl").len()));
        assert_eq!(place.completes("out.jsonl"), expected);
    }
}
