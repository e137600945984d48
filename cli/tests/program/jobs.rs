//! Results that outlive the process.

use gatefold::files::ClaimError;
use gatefold_cli::jobs::{JobsError, Key, Results};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The kind of result that is kept here.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Answer {
    key: Key,
    text: String,
}

const BEGINNING: &str = "{\"key\":\"";

fn answer(question: &str, text: &str) -> Answer {
    Answer { key: Key::of(&[("question", question.as_bytes())]), text: text.into() }
}

fn answers() -> Vec<Answer> {
    ["one", "zwei \u{2028} \"drei\"", "", "four\n"].map(|text| answer(text, text)).into()
}

fn lines(answers: &[Answer]) -> String {
    answers.iter().map(|answer| serde_json::to_string(answer).unwrap() + "\n").collect()
}

fn open(path: &Path) -> Result<Results, JobsError> {
    Results::open(path, BEGINNING, |answer: Answer| Some(answer.key))
}

/// Opens, and drops all but the last of each key.
fn retain(path: &Path) -> Result<usize, JobsError> {
    open(path)?.retain(|answer: Answer| Some(answer.key))
}

fn file(content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    fs::write(&path, content).unwrap();
    (folder, path)
}

/// What a file is refused for.
#[track_caller]
fn refused(path: &Path) -> String {
    let content = fs::read(path).ok();
    let error = retain(path).unwrap_err().to_string();
    assert_eq!(fs::read(path).ok(), content, "{error}");
    assert_eq!(error.lines().count(), 1);
    error
}

#[test]
fn results_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("results.jsonl");
    let [first, rest @ ..] = &answers()[..] else { unreachable!() };
    let mut results = open(&path).unwrap();
    assert!(!results.has(&first.key));
    results.append(first).unwrap();
    drop(results);

    let mut results = open(&path).unwrap();
    assert!(results.has(&first.key) && !results.has(&rest[0].key));
    results.append_all(rest).unwrap();
    drop(results);
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(&answers()));
    let results = open(&path).unwrap();
    assert!(answers().iter().all(|answer| results.has(&answer.key)));
}

#[test]
fn a_file_torn_at_any_byte_is_repaired() {
    let whole = lines(&answers());
    for n_bytes in 0..=whole.len() {
        let (_folder, path) = file(&whole.as_bytes()[..n_bytes]);
        let mut results = open(&path).unwrap();
        let kept = whole.as_bytes()[..n_bytes].iter().rposition(|&byte| byte == b'\n');
        let kept = kept.map_or(0, |end| end + 1);
        assert_eq!(fs::read(&path).unwrap(), &whole.as_bytes()[..kept], "{n_bytes}");
        let missing: Vec<Answer> =
            answers().into_iter().filter(|answer| !results.has(&answer.key)).collect();
        results.append_all(&missing).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), whole, "{n_bytes}");
    }
}

/// Parts of what was written last may be zeros when power failed.
#[test]
fn zeros_in_what_was_written_last_are_cut_out() {
    let whole = lines(&answers());
    let ends: Vec<usize> = whole.match_indices('\n').map(|(at, _)| at).collect();
    for range in [20..ends[0], ends[0] + 1..ends[1], ends[0] + 1..ends[2] + 5, ends[2]..whole.len()]
    {
        let mut torn = whole.clone().into_bytes();
        torn[range.clone()].fill(0);
        let (_folder, path) = file(torn);
        let mut results = open(&path).unwrap();
        let missing: Vec<Answer> =
            answers().into_iter().filter(|answer| !results.has(&answer.key)).collect();
        assert!((1..=3).contains(&missing.len()), "{range:?}");
        results.append_all(&missing).unwrap();
        let found = fs::read_to_string(&path).unwrap();
        let mut found: Vec<&str> = found.lines().collect();
        let mut expected: Vec<&str> = whole.lines().collect();
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{range:?}");
    }
}

#[test]
fn what_no_longer_holds_stays_until_it_is_dropped_and_the_last_of_a_key_wins() {
    let [a, b, c] = [answer("a", "1"), answer("b", "1"), answer("c", "1")];
    let again = answer("a", "2");
    let (folder, path) = file(lines(&[a, b, again, c]));
    let b = answer("b", "1");
    let keep = |answer: Answer| Some(answer.key).filter(|key| *key != b.key);
    let before = fs::read(&path).unwrap();
    let mut results = Results::open(&path, BEGINNING, keep).unwrap();
    assert!(!results.has(&b.key));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(results.retain(keep).unwrap(), 2);
    results.append(&b).unwrap();
    // The lock came along.
    assert!(matches!(open(&path), Err(JobsError::Claim(ClaimError::Locked { .. }))));
    drop(results);
    let expected = [answer("a", "2"), answer("c", "1"), b];
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(&expected));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A run that is killed while it drops lines leaves a part of the new file.
#[test]
fn a_rewrite_that_was_killed_is_done_again() {
    let twice = [answer("a", "1"), answer("a", "2")];
    let beside = lines(&[answer("c", "3"), answer("d", "4")]);
    for n_bytes in 0..beside.len() {
        let (folder, path) = file(lines(&twice));
        fs::write(folder.path().join("results.jsonl.part"), &beside[..n_bytes]).unwrap();
        assert_eq!(retain(&path).unwrap(), 1);
        assert_eq!(fs::read_to_string(&path).unwrap(), lines(&twice[1..]));
    }
    let (folder, path) = file(lines(&twice));
    fs::write(folder.path().join("results.jsonl.part"), "a letter").unwrap();
    assert!(refused(&path).contains("results.jsonl.part is in the way"));
}

#[test]
fn what_is_not_ours_is_left_alone() {
    let ours = lines(&answers());
    let foreign: [(&str, String); 8] = [
        ("line 2", "\na letter\n".into()),
        ("line 1", "a letter".into()),
        ("line 1", "a letter\n".into()),
        ("line 1", "\0\0\0".into()),
        ("line 1", "{\"key\":\"not one\",\"text\":\"\"}\n".into()),
        ("line 5", format!("{ours}{{\"custom_id\":\"1\"}}\n{ours}")),
        ("line 5", format!("{ours}something else")),
        ("line 6", format!("{ours}\n{}\n", &ours[..20])),
    ];
    for (line, content) in foreign {
        let (_folder, path) = file(&content);
        let error = refused(&path);
        assert!(error.contains(line), "{content:?}: {error}");
    }
}

/// Whoever looks into a file of results with an editor may leave blank lines, and may follow the
/// advice to delete a damaged one.
#[test]
fn blank_lines_are_passed_over_and_damaged_ones_can_be_deleted() {
    let ours = lines(&answers());
    let mut parts: Vec<&str> = ours.lines().collect();
    parts.insert(2, "");
    parts.insert(0, "  \r");
    let damaged = parts[4].replace(':', ";");
    let last = std::mem::replace(&mut parts[4], &damaged);
    let (_folder, path) = file(parts.join("\n") + "\n \n\t");
    let error = refused(&path);
    assert!(error.contains("(line 5)") && error.contains("delete that line"), "{error}");

    parts.remove(4);
    fs::write(&path, parts.join("\n") + "\n \n\t").unwrap();
    let mut results = open(&path).unwrap();
    let missing: Vec<Answer> =
        answers().into_iter().filter(|answer| !results.has(&answer.key)).collect();
    assert_eq!(lines(&missing), format!("{last}\n"));
    results.append_all(&missing).unwrap();
    drop(results);
    let results = open(&path).unwrap();
    assert!(answers().iter().all(|answer| results.has(&answer.key)));
}

#[test]
fn two_runs_do_not_share_a_file() {
    let (_folder, path) = file("");
    let results = open(&path).unwrap();
    assert!(refused(&path).contains("is being written by another run"));
    drop(results);
    open(&path).unwrap();
}

#[test]
fn what_cannot_be_a_file_of_results_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(refused(folder.path()).contains("is a folder"));
    assert!(refused(&folder.path().join("none/results")).contains("cannot be opened for writing"));
    if cfg!(unix) {
        let error = open(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(error.contains("is a device"), "{error}");
    }
}

#[test]
fn a_file_is_checked_without_a_trace() {
    let (folder, path) = file("torn");
    Results::check(&path).unwrap();
    Results::check(&folder.path().join("new")).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"torn");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let error = |path: &Path| Results::check(path).unwrap_err().to_string();
    assert!(error(folder.path()).contains("is a folder"));
    assert!(error(&folder.path().join("none/results")).contains("cannot be opened for writing"));
}

/// A link stays a link when the file behind it is written anew.
#[cfg(unix)]
#[test]
fn links_are_followed() {
    let (folder, path) = file(lines(&[answer("a", "1"), answer("a", "2")]));
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    retain(&link).unwrap();
    assert!(link.is_symlink());
    assert_eq!(fs::read_to_string(&path).unwrap(), lines(&[answer("a", "2")]));

    let to = |target: &str| {
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(target, &link).unwrap();
        Results::check(&link)
    };
    to("new").unwrap();
    assert!(to("none/new").unwrap_err().to_string().contains("none/new cannot be opened"));
}
