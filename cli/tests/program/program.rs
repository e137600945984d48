//! The program, run from the outside.

use assert_cmd::cargo::CommandCargoExt;
use serde_json::Value as Json;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a run of the program gave.
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Starts the program, where it is for another CPU in the emulator that cargo has for it; without the
/// variables by which whoever runs the tests has set flags.
pub fn command() -> Command {
    let mut command = Command::cargo_bin("gatefold").unwrap();
    for (name, _) in env::vars_os() {
        if name.to_string_lossy().starts_with("GATEFOLD_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program with nothing on stdin.
pub fn gatefold(args: &[impl AsRef<OsStr>]) -> Run {
    gatefold_reading("", args)
}

/// Runs the program with this text on stdin.
pub fn gatefold_reading(stdin: &str, args: &[impl AsRef<OsStr>]) -> Run {
    let mut command = assert_cmd::Command::from_std(command());
    let output = command.args(args).write_stdin(stdin).output().unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Run {
    /// What a run that must succeed printed.
    #[track_caller]
    pub fn succeeded(self) -> Run {
        assert_eq!(self.code, 0, "{}", self.stderr);
        self
    }

    /// Fails unless the run was refused with code 1 and one line that says why.
    #[track_caller]
    pub fn refused(self, why: &str) {
        let Run { code, stdout, stderr } = self;
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(why), "{why:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(!stderr.trim_end().contains(char::is_control), "{stderr:?}");
    }

    /// What was printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// The rows of a matrix of f32 in NumPy's format.
pub fn read_npy(path: &Path, n_cols: usize) -> Vec<Vec<f32>> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let data_start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = str::from_utf8(&bytes[10..data_start]).unwrap();
    let values: Vec<f32> = bytes[data_start..]
        .chunks(4)
        .map(|value| f32::from_le_bytes(value.try_into().unwrap()))
        .collect();
    let rows: Vec<Vec<f32>> = values.chunks(n_cols).map(<[f32]>::to_vec).collect();
    for entry in ["'<f4'", "'fortran_order': False", &format!("({}, {n_cols})", rows.len())] {
        assert!(header.contains(entry), "{entry} is not in {header}");
    }
    rows
}
