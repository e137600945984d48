//! The program, killed while it converts, and run again until it has finished.

#![cfg(unix)]

mod conversion;
mod random_mixtral;

use conversion::{files, model};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;
use tempfile::TempDir;

/// A conversion by the program.
struct Conversion {
    folder: TempDir,
    args: Vec<&'static str>,
}

impl Conversion {
    fn new(args: &[&'static str]) -> Conversion {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.gguf"), model("F16")).unwrap();
        Conversion { folder, args: args.to_vec() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, output: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatefold"));
        command.current_dir(self.folder.path()).args(["quantize", "in.gguf", output, "-t", "2"]);
        command.args(&self.args).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// Runs to the end, and returns what was said on stderr.
    #[track_caller]
    fn completes(&self, output: &str) -> String {
        let Output { status, stderr, .. } = self.command(output).output().unwrap();
        let stderr = String::from_utf8(stderr).unwrap();
        assert!(status.success(), "{stderr}");
        stderr
    }

    /// Kills the run as soon as its unfinished files have this size. Returns whether it was killed
    /// before it ended.
    fn is_killed_at(&self, n_bytes: u64) -> bool {
        let mut run = self.command("out.gguf").spawn().unwrap();
        while run.try_wait().unwrap().is_none() && unfinished(self.folder.path()) < n_bytes {
            thread::sleep(Duration::from_micros(100));
        }
        run.kill().unwrap();
        run.wait().unwrap().signal().is_some()
    }

    /// The bytes of the finished files whose names begin so, in order.
    fn made(&self, name: &str) -> Vec<Vec<u8>> {
        let files = files(self.folder.path());
        let made = files.iter().filter(|file| file.starts_with(name) && file.ends_with(".gguf"));
        made.map(|file| fs::read(self.path(file)).unwrap()).collect()
    }
}

/// Bytes of unfinished files.
fn unfinished(folder: &Path) -> u64 {
    let parts = files(folder).into_iter().filter(|name| name.ends_with(".part"));
    parts.filter_map(|name| Some(fs::metadata(folder.join(name)).ok()?.len())).sum()
}

/// Twenty kills: five conversions, each killed at four random sizes, one after the other.
#[test]
fn killed_at_any_moment_the_result_is_the_same() {
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut n_killed = 0;
    let mut n_resumed = 0;
    let conversions: [&[_]; 5] = [
        &["--type", "Q4_K_M"],
        &["--type", "Q4_0"],
        &["--type", "Q8_0"],
        &["--type", "Q2_K", "--split-max-size", "1M"],
        &["--type", "F16", "--split-max-size", "4M"],
    ];
    for args in conversions {
        let conversion = Conversion::new(args);
        conversion.completes("whole.gguf");
        let expected = conversion.made("whole");
        let n_bytes: usize = expected.iter().map(Vec::len).sum();
        let mut moments: Vec<u64> = (0..4).map(|_| random.next_u64() % n_bytes as u64).collect();
        moments.sort();
        for moment in moments {
            if conversion.is_killed_at(moment) {
                n_killed += 1;
                assert!(conversion.made("out").len() < expected.len(), "{args:?} at {moment}");
            }
        }
        let stderr = conversion.completes("out.gguf");
        n_resumed += usize::from(stderr.contains("going on where an earlier run stopped"));
        assert!(conversion.made("out") == expected, "{args:?}");
        let left = files(conversion.folder.path());
        assert_eq!(left.len(), 1 + 2 * expected.len(), "{left:?}");
    }
    // The rest had ended before the signal came, as a run may on a machine that is busy.
    assert!(n_killed >= 10 && n_resumed >= 3, "{n_killed} killed, {n_resumed} resumed");
}

#[test]
fn another_input_or_type_starts_over() {
    let mut conversion = Conversion::new(&["--type", "Q4_0"]);
    let stop = |conversion: &Conversion| {
        while !conversion.is_killed_at(3 << 20) {
            fs::remove_file(conversion.path("out.gguf")).unwrap();
        }
    };
    stop(&conversion);
    conversion.args = vec!["--type", "Q8_0"];
    let stderr = conversion.completes("out.gguf");
    assert!(
        stderr.contains("starting over: since an earlier run, what is to be written"),
        "{stderr}"
    );
    fs::remove_file(conversion.path("out.gguf")).unwrap();

    stop(&conversion);
    fs::write(conversion.path("in.gguf"), model("F32")).unwrap();
    let stderr = conversion.completes("out.gguf");
    assert!(
        stderr.contains("starting over: since an earlier run, the input has changed"),
        "{stderr}"
    );
    conversion.completes("whole.gguf");
    assert!(conversion.made("out") == conversion.made("whole"));
}

/// A limit on the size of files stands for a disk that is full.
#[test]
fn a_full_disk_is_told_and_survived() {
    let conversion = Conversion::new(&["--type", "Q8_0"]);
    let command = conversion.command("out.gguf");
    let mut limited = Command::new("sh");
    limited.current_dir(conversion.folder.path()).args([
        "-c",
        "trap '' XFSZ; ulimit -f 8000; exec \"$@\"",
        "sh",
    ]);
    let run = limited.arg(command.get_program()).args(command.get_args()).output().unwrap();
    let stderr = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: out.gguf.part cannot be written beyond"), "{stderr}");
    assert!(stderr.contains("the same command goes on from there"), "{stderr}");
    assert_eq!(
        files(conversion.folder.path()),
        ["in.gguf", "out.gguf.part", "out.gguf.part.journal"]
    );

    let stderr = conversion.completes("out.gguf");
    assert!(stderr.contains("going on where an earlier run stopped"), "{stderr}");
    conversion.completes("whole.gguf");
    assert!(conversion.made("out") == conversion.made("whole"));
}
