//! The program, killed while it converts, and run again until it has finished.

use crate::kills::was_killed;
use crate::program;
use gatefold::checkpoint::Checkpoint;
use gatefold_fixtures::conversion::{files, model};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::fs;
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
        let mut command = program::command();
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

    /// Kills the run at this moment. Returns whether it was killed before it ended.
    fn is_killed_at(&self, moment: Moment) -> bool {
        let mut run = self.command("out.gguf").spawn().unwrap();
        while run.try_wait().unwrap().is_none() && !moment.has_come(self.folder.path()) {
            thread::sleep(Duration::from_micros(100));
        }
        run.kill().unwrap();
        was_killed(run.wait().unwrap())
    }

    /// The finished files whose names begin so.
    fn finished(&self, name: &str) -> impl Iterator<Item = PathBuf> {
        let mut files = files(self.folder.path());
        files.retain(|file| file.starts_with(name) && file.ends_with(".gguf"));
        files.into_iter().map(|file| self.path(&file))
    }

    /// Their bytes, in order.
    fn made(&self, name: &str) -> Vec<Vec<u8>> {
        self.finished(name).map(|path| fs::read(path).unwrap()).collect()
    }

    /// Removes them.
    fn remove(&self, name: &str) {
        self.finished(name).for_each(|path| fs::remove_file(path).unwrap());
    }
}

/// When a run is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// When the unfinished files have so many bytes.
    Bytes(u64),
    /// When the journal has so many lines: one more than tensors that are finished.
    Lines(usize),
    /// When a file has its final name.
    Named,
}

impl Moment {
    fn has_come(self, folder: &Path) -> bool {
        match self {
            Moment::Bytes(n_bytes) => {
                let parts = files(folder).into_iter().filter(|name| name.ends_with(".part"));
                let sizes =
                    parts.filter_map(|name| Some(fs::metadata(folder.join(name)).ok()?.len()));
                sizes.sum::<u64>() >= n_bytes
            }
            Moment::Lines(n_lines) => {
                let journal = fs::read_to_string(folder.join("out.gguf.part.journal"));
                journal.is_ok_and(|journal| journal.matches('\n').count() >= n_lines)
            }
            Moment::Named => {
                files(folder).iter().any(|name| name.starts_with("out") && name.ends_with(".gguf"))
            }
        }
    }
}

/// Twenty kills: five conversions, each killed at a random moment of each quarter.
#[test]
fn killed_at_any_moment_the_result_is_the_same() {
    const N_KILLS: usize = 4;
    let mut random = ChaCha8Rng::seed_from_u64(3);
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
        let n_tensors = Checkpoint::open(&conversion.path("in.gguf")).unwrap().tensors.len();
        let mut n_killed = 0;
        // A run may end before the signal comes; then there is another one.
        for run_idx in 0..10 * N_KILLS {
            if n_killed == N_KILLS {
                break;
            }
            let within = random.next_u32() as f64 * 2f64.powi(-32);
            let part = (n_killed as f64 + within) / N_KILLS as f64;
            let moment = match run_idx % 2 {
                0 => Moment::Bytes((part * n_bytes as f64) as u64),
                _ => Moment::Lines(2 + (part * n_tensors as f64) as usize),
            };
            n_killed += usize::from(conversion.is_killed_at(moment));
            let made = conversion.made("out");
            assert!(made.len() < expected.len() || made == expected, "{args:?} at {moment:?}");
            if made.len() == expected.len() {
                conversion.remove("out");
            }
        }
        assert_eq!(n_killed, N_KILLS, "{args:?}");
        let stderr = conversion.completes("out.gguf");
        n_resumed += usize::from(stderr.contains("going on where an earlier run stopped"));
        assert!(conversion.made("out") == expected, "{args:?}");
        let left = files(conversion.folder.path());
        assert_eq!(left.len(), 1 + 2 * expected.len(), "{left:?}");
    }
    // A run that was killed when it was done, and its output removed, is not resumed.
    assert!(n_resumed >= 3, "{n_resumed} resumed");
}

/// Many parts, so that giving them their names takes long enough to be killed in between.
#[test]
fn killed_while_files_get_their_names() {
    let conversion = Conversion::new(&["--type", "Q2_K", "--split-max-size", "50000"]);
    conversion.completes("whole.gguf");
    let expected = conversion.made("whole");
    let journal = conversion.path("out.gguf.part.journal");
    let is_between = (0..20).any(|_| {
        let is_killed = conversion.is_killed_at(Moment::Named) && journal.exists();
        if !is_killed {
            conversion.remove("out");
        }
        is_killed
    });
    assert!(is_between, "no run was killed while its files got their names");
    assert!(conversion.finished("out").count() > 0);
    let stderr = conversion.completes("out.gguf");
    assert!(stderr.contains("going on where an earlier run stopped"), "{stderr}");
    assert!(conversion.made("out") == expected);
    assert!(!journal.exists());
}

#[test]
fn another_input_or_type_starts_over() {
    let mut conversion = Conversion::new(&["--type", "Q4_0"]);
    let stop = |conversion: &Conversion| {
        while !conversion.is_killed_at(Moment::Lines(3)) || conversion.finished("out").count() > 0 {
            conversion.remove("out");
        }
    };
    stop(&conversion);
    conversion.args = vec!["--type", "Q8_0"];
    let stderr = conversion.completes("out.gguf");
    assert!(
        stderr.contains("starting over: since an earlier run, what is to be written"),
        "{stderr}"
    );
    conversion.remove("out");

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
    let limit = "ulimit -f 8000; exec \"$@\"";
    limited.current_dir(conversion.folder.path()).args(["-c", limit, "sh"]);
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
