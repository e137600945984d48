//! Conversions that stopped at some moment: the files as they were then, and what comes of them.

use gatefold::checkpoint::Checkpoint;
use gatefold::gguf::Gguf;

use gatefold::quantize::{Change, Output, Plan, Start};
use gatefold_fixtures::conversion::{Conversion, model};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A conversion, what it makes, and the journal that it would leave.
struct Stopped {
    conversion: Conversion,
    plan: Plan,
    /// The bytes of each file.
    files: Vec<Vec<u8>>,
    /// Where each tensor begins in its file.
    starts: Vec<u64>,
    /// The lines of the journal: the job, then a line per tensor.
    journal: Vec<String>,
}

impl Stopped {
    fn new(split: bool) -> Stopped {
        let conversion = Conversion::of(&model("F16"));
        let mut plan = conversion.plan("Q4_0");
        if split {
            plan.parts = vec![0..4, 4..4, 4..plan.tensors.len()];
        }
        let path = conversion.path("whole.gguf");
        let output = Output::open(&conversion.checkpoint, &plan, &path, false).unwrap();
        let job = fs::read_to_string(conversion.path("whole.gguf.part.journal")).unwrap();
        drop(output);
        let (_, paths) = conversion.run(&plan, "whole.gguf").unwrap();
        let made = Checkpoint::open(&paths[0]).unwrap();
        let starts = made.tensors.iter().map(|tensor| tensor.parts[0].offset).collect();
        let files = paths.iter().map(|path| fs::read(path).unwrap()).collect();
        paths.iter().for_each(|path| fs::remove_file(path).unwrap());
        let tensors =
            made.tensors.iter().map(|tensor| format!("{{\"tensor\":{:?}}}\n", tensor.name));
        let journal = std::iter::once(job).chain(tensors).collect();
        Stopped { conversion, plan, files, starts, journal }
    }

    /// The journal that tells of `n_tensors`.
    fn journal(&self, n_tensors: usize) -> String {
        self.journal[..=n_tensors].concat()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.conversion.path(name), bytes).unwrap();
    }

    /// Runs it, and checks that all is as if it had never stopped.
    #[track_caller]
    fn completes(&self) -> Start {
        let (start, paths) = self.conversion.run(&self.plan, "out.gguf").unwrap();
        self.is_complete(&paths);
        paths.iter().for_each(|path| fs::remove_file(path).unwrap());
        start
    }

    #[track_caller]
    fn is_complete(&self, paths: &[impl AsRef<Path>]) {
        assert_eq!(self.conversion.files().len(), paths.len(), "{:?}", self.conversion.files());
        for (path, file) in paths.iter().zip(&self.files) {
            assert!(fs::read(path).unwrap() == *file, "{}", path.as_ref().display());
        }
    }

    fn resumed(&self, n_tensors: usize) -> Start {
        Start::Resumed { n_tensors, of: self.starts.len() }
    }
}

#[test]
fn goes_on_behind_any_tensor() {
    let stopped = Stopped::new(false);
    let whole = &stopped.files[0];
    for n_tensors in [1, 2, 10, stopped.starts.len() - 1, stopped.starts.len()] {
        let end = stopped.starts.get(n_tensors).map_or(whole.len(), |&start| start as usize);
        for n_written in [0, 1, 100_000, whole.len() - end] {
            // What the journal does not tell of may be anything.
            let mut part = whole[..end].to_vec();
            part.resize(end + n_written, 0xa5);
            stopped.write("out.gguf.part", part);
            stopped.write("out.gguf.part.journal", stopped.journal(n_tensors));
            assert_eq!(stopped.completes(), stopped.resumed(n_tensors));
        }
    }
}

#[test]
fn a_torn_line_does_not_count() {
    let stopped = Stopped::new(false);
    let journal = stopped.journal(6);
    let two_lines = stopped.journal(5).len();
    for n_bytes in [two_lines, two_lines + 1, journal.len() - 1] {
        stopped.write("out.gguf.part", &stopped.files[0]);
        stopped.write("out.gguf.part.journal", &journal[..n_bytes]);
        assert_eq!(stopped.completes(), stopped.resumed(5));
    }
    stopped.write("out.gguf.part", &stopped.files[0]);
    stopped.write("out.gguf.part.journal", stopped.journal(5) + "\0\0\0\n{\"tensor\":\"x\"}\n");
    assert_eq!(stopped.completes(), stopped.resumed(5));
}

#[test]
fn a_journal_of_nothing_is_a_beginning() {
    let stopped = Stopped::new(false);
    for journal in ["", &stopped.journal(0)[..20]] {
        stopped.write("out.gguf.part.journal", journal);
        assert_eq!(stopped.completes(), Start::Fresh);
    }
    stopped.write("out.gguf.part.journal", stopped.journal(0));
    stopped.write("out.gguf.part", "GGUF");
    assert_eq!(stopped.completes(), Start::Fresh);
}

#[test]
fn files_that_are_not_as_left_are_made_anew() {
    let stopped = Stopped::new(false);
    let end = stopped.starts[8] as usize;
    let over = Start::Over(Change::Files);
    stopped.write("out.gguf.part", &stopped.files[0][..end - 1]);
    stopped.write("out.gguf.part.journal", stopped.journal(8));
    assert_eq!(stopped.completes(), over);
    stopped.write("out.gguf.part.journal", stopped.journal(8));
    assert_eq!(stopped.completes(), over);
    let swapped = stopped.journal(0) + &stopped.journal[2] + &stopped.journal[1];
    stopped.write("out.gguf.part", &stopped.files[0]);
    stopped.write("out.gguf.part.journal", swapped);
    assert_eq!(stopped.completes(), over);
}

#[test]
fn another_job_starts_over() {
    let mut stopped = Stopped::new(false);
    let stop = |stopped: &Stopped| {
        stopped.write("out.gguf.part", &stopped.files[0]);
        stopped.write("out.gguf.part.journal", stopped.journal(8));
    };
    stop(&stopped);
    let other = stopped.conversion.plan("Q8_0");
    let (start, paths) = stopped.conversion.run(&other, "out.gguf").unwrap();
    assert_eq!(start, Start::Over(Change::Plan));
    assert_eq!(
        start.to_string(),
        "starting over: since an earlier run, what is to be written has changed"
    );
    fs::remove_file(&paths[0]).unwrap();

    // A plan of other files leaves none of those behind that the journal tells of.
    stop(&stopped);
    let mut split = stopped.plan.clone();
    split.parts = vec![0..4, 4..split.tensors.len()];
    let (start, paths) = stopped.conversion.run(&split, "out.gguf").unwrap();
    assert_eq!((start, stopped.conversion.files().len()), (Start::Over(Change::Plan), 2));
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());

    // Nor does it take those of others for its own.
    stop(&stopped);
    let foreign = "out-00001-of-00002.gguf.part";
    stopped.write(foreign, "a download");
    let error = stopped.conversion.run(&split, "out.gguf").unwrap_err().to_string();
    assert!(error.contains("out-00001-of-00002.gguf.part is in the way"), "{error}");
    assert_eq!(fs::read(stopped.conversion.path(foreign)).unwrap(), b"a download");
    fs::remove_file(stopped.conversion.path(foreign)).unwrap();

    stop(&stopped);
    let input = stopped.conversion.path("in.gguf");
    let yesterday = SystemTime::now() - Duration::from_secs(86400);
    fs::File::options().append(true).open(&input).unwrap().set_modified(yesterday).unwrap();
    stopped.conversion.checkpoint = Checkpoint::open(&input).unwrap();
    assert_eq!(stopped.completes(), Start::Over(Change::Input));
}

#[test]
fn a_finished_file_is_recognized() {
    let stopped = Stopped::new(false);
    let all = stopped.starts.len();
    stopped.write("out.gguf", &stopped.files[0]);
    stopped.write("out.gguf.part.journal", stopped.journal(all));
    assert_eq!(stopped.completes(), stopped.resumed(all));
    // One that only has its name is not replaced.
    stopped.write("out.gguf", "another");
    for n_tensors in [3, all] {
        stopped.write("out.gguf.part.journal", stopped.journal(n_tensors));
        stopped.write("out.gguf.part", &stopped.files[0]);
        let error = stopped.conversion.run(&stopped.plan, "out.gguf").unwrap_err().to_string();
        assert!(error.contains("out.gguf exists"), "{error}");
        assert_eq!(fs::read(stopped.conversion.path("out.gguf")).unwrap(), b"another");
    }
}

#[test]
fn parts_go_on_behind_any_tensor() {
    let stopped = Stopped::new(true);
    for n_tensors in [2, 4, 5, stopped.starts.len()] {
        for (idx, file) in stopped.files.iter().enumerate() {
            let is_begun = idx < 2 || n_tensors >= 4;
            if is_begun {
                stopped.write(&format!("out-0000{}-of-00003.gguf.part", idx + 1), file);
            }
        }
        stopped.write("out.gguf.part.journal", stopped.journal(n_tensors));
        assert_eq!(stopped.completes(), stopped.resumed(n_tensors));
    }
}

/// Renamed are the last parts first; until all are, nothing takes them for a model.
#[test]
fn half_renamed_parts_are_completed() {
    let stopped = Stopped::new(true);
    let all = stopped.starts.len();
    for overwrite in [false, true] {
        for n_renamed in 0..=3 {
            for (idx, file) in stopped.files.iter().enumerate() {
                let name = format!("out-0000{}-of-00003.gguf", idx + 1);
                let is_renamed = idx + n_renamed >= 3;
                stopped
                    .write(&if is_renamed { name.clone() } else { name.clone() + ".part" }, file);
                // The model that is replaced, without its first part.
                if overwrite && !is_renamed && idx > 0 {
                    stopped.write(&name, "old");
                }
            }
            let first = stopped.conversion.path("out-00001-of-00003.gguf");
            let last = stopped.conversion.path("out-00003-of-00003.gguf");
            assert_eq!(Gguf::open(&last).is_ok(), n_renamed == 3);
            stopped.write("out.gguf.part.journal", stopped.journal(all));
            let path = stopped.conversion.path("out.gguf");
            let checkpoint = &stopped.conversion.checkpoint;
            let output = Output::open(checkpoint, &stopped.plan, &path, overwrite).unwrap();
            assert_eq!((output.start(), first.exists()), (stopped.resumed(all), n_renamed == 3));
            drop(output);
            let (_, paths) = stopped.conversion.run_over(&stopped.plan, "out.gguf").unwrap();
            stopped.is_complete(&paths);
            paths.iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }
}
