//! Runs that are killed.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::Duration;

const N_KILLS: u64 = 20;

/// Starts a run twenty times, and kills it each time at a random moment while `output` grows to
/// `n_bytes`. Returns the lines that are in it then. What was finished is neither lost nor done
/// again: its lines keep their places and times.
pub fn twenty(output: &Path, n_bytes: u64, start: impl Fn() -> Child) -> Vec<String> {
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut kept = Vec::new();
    for kill in 0..N_KILLS {
        let mut run = start();
        let within = f64::from(random.next_u32()) * 2f64.powi(-32);
        let part = (kill as f64 + within) / (N_KILLS + 1) as f64;
        wait_for(&mut run, output, (part * n_bytes as f64) as u64);
        thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 2000)));
        run.kill().unwrap();
        assert!(was_killed(run.wait().unwrap()), "kill {kill} came too late");
        let now = whole_lines(output);
        assert!(now.starts_with(&kept), "kill {kill}");
        kept = now;
    }
    kept
}

/// Whether a run that was to be killed had not ended before.
pub fn was_killed(status: ExitStatus) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal().is_some()
    }
    // Windows knows nothing of it but the code that it was killed with.
    #[cfg(windows)]
    {
        status.code() == Some(1)
    }
}

/// Waits until the output has so many bytes, or the run has ended.
pub fn wait_for(run: &mut Child, output: &Path, n_bytes: u64) {
    let len = || fs::metadata(output).map_or(0, |there| there.len());
    while run.try_wait().unwrap().is_none() && len() < n_bytes {
        thread::sleep(Duration::from_micros(100));
    }
}

/// The lines of the output, without one that was torn.
pub fn whole_lines(output: &Path) -> Vec<String> {
    let text = fs::read(output).unwrap_or_default();
    let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    String::from_utf8(text[..whole].to_vec()).unwrap().lines().map(str::to_owned).collect()
}
