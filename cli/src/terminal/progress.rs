//! Progress, on stderr: bars, which draw themselves only on a terminal, and for the runs of a night
//! lines in its log.

use super::print_note;
use crate::jobs::Tokens;
use gatefold::text::{count, decimal};
use indicatif::style::ProgressTracker;
use indicatif::{
    HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressState,
    ProgressStyle,
};
use std::fmt::{Display, Write};
use std::io::{self, IsTerminal};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a log hears of a run.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The bars that share the screen.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// What takes less needs no bar.
const PATIENCE: Duration = Duration::from_secs(2);

/// A bar over things that are counted: `12/32 windows, 40s left`. `unit` is their name.
pub fn progress_bar(len: usize, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {pos}/{len} {prefix}, {eta} left  {msg}");
    BARS.add(ProgressBar::new(len as u64)).with_style(style).with_prefix(unit)
}

/// A bar over an amount, with its rate: `12.3 G of 46.7 G weights, 310.5 M/s, 2m left`. `unit` is
/// `bytes` or `weights`.
pub fn amount_bar(len: u64, unit: &'static str) -> ProgressBar {
    let style = style("{bar:30} {done} of {total} {prefix}, {rate}/s, {eta} left  {msg}")
        .with_key("done", figure(|state| decimal(state.pos())))
        .with_key("total", figure(|state| decimal(state.len().unwrap_or(0))))
        .with_key("rate", figure(|state| decimal(state.per_sec() as u64)));
    BARS.add(ProgressBar::new(len)).with_style(style).with_prefix(unit)
}

/// Shows how far a file has been read that takes more than a moment:
/// `reading mixtral.gguf: 3.1 of 26.4 GB`. What it returns is told these two, in bytes.
pub fn reading(name: String) -> impl FnMut(u64, u64) + Send + 'static {
    let start = Instant::now();
    let mut bar = None;
    move |n_read, n_bytes| {
        if start.elapsed() < PATIENCE {
            return;
        }
        let bar = bar.get_or_insert_with(|| {
            let tenths = |n_bytes: u64| format!("{:.1}", n_bytes as f64 / 1e9);
            let style = style("{bar:30} reading {prefix}: {done} of {total} GB")
                .with_key("done", figure(move |state| tenths(state.pos())))
                .with_key("total", figure(move |state| tenths(state.len().unwrap_or(0))));
            let bar = ProgressBar::new(n_bytes).with_finish(ProgressFinish::AndClear);
            BARS.add(bar).with_style(style).with_prefix(name.clone())
        });
        bar.set_position(n_read);
    }
}

/// Takes all bars off the screen, for what is printed from now on.
pub fn hide() {
    // A terminal that cannot be drawn on has no bars.
    let _ = BARS.clear();
    BARS.set_draw_target(ProgressDrawTarget::hidden());
}

/// Lets bars be seen again after [`hide`].
pub fn show() {
    BARS.set_draw_target(ProgressDrawTarget::stderr());
}

/// A count of what has no known end.
pub fn counter(unit: &'static str) -> ProgressBar {
    BARS.add(ProgressBar::no_length()).with_style(style("{pos} {prefix}")).with_prefix(unit)
}

/// How far a run over many documents or requests is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RunState {
    /// Documents or requests that are done.
    pub n_done: usize,
    /// Those that failed, and are not done.
    pub n_failed: usize,
    /// Tokens that were read and written.
    pub tokens: Tokens,
    /// The part of this run's work that is done, from 0 to 1.
    pub part: f64,
}

/// Shows how far a run over many documents or requests is: by a bar on a terminal, elsewhere by a
/// line a minute.
pub struct RunProgress {
    bar: ProgressBar,
    unit: &'static str,
    n_all: usize,
    start: Instant,
    log: Option<Log>,
}

impl RunProgress {
    /// For a run over `n_all` things; `unit` is their name.
    pub fn new(n_all: usize, unit: &'static str) -> RunProgress {
        let bar = BARS.add(ProgressBar::new(1000)).with_style(style("{bar:30} {msg}"));
        let start = Instant::now();
        let log = (!io::stderr().is_terminal()).then_some(Log { next: start + LOG_INTERVAL });
        RunProgress { bar, unit, n_all, start, log }
    }

    /// Shows where the run stands now.
    pub fn update(&mut self, state: &RunState) {
        let line = || describe(state, self.n_all, self.unit, self.start.elapsed());
        match &mut self.log {
            Some(log) => {
                if log.is_due(Instant::now()) {
                    print_note(line());
                }
            }
            None => {
                self.bar.set_position((state.part * 1000.0) as u64);
                self.bar.set_message(line());
            }
        }
    }

    /// Prints a line beside the bar.
    pub fn note(&self, line: impl Display) {
        self.bar.suspend(|| print_note(line));
    }
}

/// When a log hears of a run next.
struct Log {
    next: Instant,
}

impl Log {
    /// Whether a line is due, after which none is for a while.
    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + LOG_INTERVAL;
        }
        is_due
    }
}

/// Says what is being done, where that takes more than a moment and no terminal shows a bar: after two
/// seconds, after twice as many, and so on up to once a minute. A thread of its own says it, so that
/// what is done need not be interrupted.
pub struct PatientLog {
    doing: Option<Sender<String>>,
}

impl PatientLog {
    /// Begins to wait.
    pub fn begin() -> PatientLog {
        if io::stderr().is_terminal() {
            return PatientLog { doing: None };
        }
        let (doing, told) = mpsc::channel();
        thread::spawn(move || {
            let (mut now, mut pause) = (String::new(), PATIENCE);
            let mut next = Instant::now() + pause;
            loop {
                match told.recv_timeout(next.saturating_duration_since(Instant::now())) {
                    Ok(doing) => now = doing,
                    Err(RecvTimeoutError::Timeout) => {
                        print_note(&now);
                        pause = (2 * pause).min(LOG_INTERVAL);
                        next += pause;
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        });
        PatientLog { doing: Some(doing) }
    }

    /// What is being done from now on.
    pub fn doing(&self, what: String) {
        // Whoever waits for it is there as long as this is.
        let _ = self.doing.as_ref().map(|doing| doing.send(what));
    }
}

/// `12/200 documents, 3 failed, 31000 tokens read and 3100 written, 310.2/s, 2 hours left`
fn describe(state: &RunState, n_all: usize, unit: &str, elapsed: Duration) -> String {
    let RunState { n_done, n_failed, tokens: Tokens { n_read, n_written, .. }, part } = *state;
    let rate = (n_read + n_written) as f64 / elapsed.as_secs_f64().max(1e-3);
    let failed = if n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
    let mut line = format!(
        "{n_done}/{n_all} {unit}{failed}, {n_read} tokens read and {n_written} written, {rate:.1}/s"
    );
    // A run of which next to nothing is done says nothing of the rest.
    let left = elapsed.as_secs_f64() * (1.0 - part) / part;
    if part > 1e-4
        && let Ok(left) = Duration::try_from_secs_f64(left)
    {
        line += &format!(", {} left", HumanDuration(left));
    }
    line
}

/// What a run came to: `31000 tokens read, 900 known already and 3100 written in 2 minutes`. Those that
/// are known are of prompts that begin like others.
pub fn describe_all(tokens: Tokens, elapsed: Duration) -> String {
    let Tokens { n_read, n_reused, n_written } = tokens;
    let known = if n_reused > 0 { format!(", {n_reused} known already") } else { String::new() };
    let (read, time) = (count(n_read, "token"), HumanDuration(elapsed));
    format!("{read} read{known} and {n_written} written in {time}")
}

/// What is left of a run that was stopped, behind what is done: `, 5 failed and 7 to do`; nothing where
/// none failed, since the rest is to do then.
pub fn describe_left(n_failed: usize, n_to_do: usize) -> String {
    if n_failed > 0 { format!(", {n_failed} failed and {n_to_do} to do") } else { String::new() }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}

fn figure(
    of: impl Fn(&ProgressState) -> String + Copy + Send + Sync + 'static,
) -> impl ProgressTracker + 'static {
    move |state: &ProgressState, out: &mut dyn Write| {
        // A tracker has no way to report an error, and a bar without a figure is none.
        let _ = out.write_str(&of(state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_described_with_what_is_left_of_it() {
        let minute = Duration::from_secs(60);
        let tokens = Tokens { n_read: 5_000, n_reused: 70, n_written: 1_000 };
        let mut state = RunState { n_done: 3, n_failed: 0, tokens, part: 0.25 };
        let line = describe(&state, 12, "documents", minute);
        let done = "3/12 documents, 5000 tokens read and 1000 written, 100.0/s";
        assert_eq!(line, format!("{done}, 3 minutes left"));
        for part in [0.0, 1e-9, f64::NAN] {
            state.part = part;
            assert_eq!(describe(&state, 12, "documents", minute), done, "{part}");
        }
        state.n_failed = 2;
        assert!(
            describe(&state, 12, "documents", minute).starts_with("3/12 documents, 2 failed, ")
        );
        let start = describe(&RunState::default(), 1, "documents", Duration::ZERO);
        assert_eq!(start, "0/1 documents, 0 tokens read and 0 written, 0.0/s");
        let all = describe_all(tokens, 2 * minute);
        assert_eq!(all, "5000 tokens read, 70 known already and 1000 written in 2 minutes");
        let all = describe_all(Tokens { n_reused: 0, ..tokens }, 2 * minute);
        assert_eq!(all, "5000 tokens read and 1000 written in 2 minutes");
    }

    #[test]
    fn a_log_hears_of_a_run_every_minute() {
        let start = Instant::now();
        let mut log = Log { next: start + LOG_INTERVAL };
        let seconds = |n| start + Duration::from_secs(n);
        let due: Vec<u64> = (0..300).filter(|&n| log.is_due(seconds(n))).collect();
        assert_eq!(due, [60, 120, 180, 240]);
        // After a step that took long, the next line is a minute away again.
        assert!(log.is_due(seconds(1000)) && !log.is_due(seconds(1059)));
    }
}
