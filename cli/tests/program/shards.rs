//! Work that several machines share: shards, and what becomes of them together.

use crate::batches::{Workplace, chat, completion, settled, with};
use crate::program::{Run, command, gatefold};
use crate::summaries;
use serde_json::{Value as Json, json};
use std::fs;
use std::path::Path;

/// Requests, some of them faulty, and one without a name.
fn requests(n_requests: usize) -> Vec<Json> {
    let request = |idx: usize| {
        let id = format!("row {idx}");
        match idx % 7 {
            0 => with(chat(&id, "Why?"), "temperature", 7),
            1 => completion(&id, "Once upon a time ".repeat(idx % 4)),
            2 => with(chat(&id, "Which?"), "n", 2),
            3 if idx == 3 => json!({"method": "POST"}),
            3 => chat("row 1", "Again?"),
            _ => with(chat(&id, &format!("What is {idx} squared?")), "max_tokens", 1 + idx % 9),
        }
    };
    (0..n_requests).map(request).collect()
}

impl Workplace {
    fn sharing(n_requests: usize) -> Workplace {
        let place = Workplace::new();
        place.write("in.jsonl", &requests(n_requests));
        place
    }

    /// Does a shard of the work, with results in a file of its own.
    #[track_caller]
    fn shard(&self, idx: usize, n_shards: usize, args: &[&str]) -> String {
        let (shard, part) = (format!("{idx}/{n_shards}"), part(idx));
        let args = [&["in.jsonl", "-o", &part, "--shard", &shard, "--ok-exit"], args].concat();
        let (code, stderr) = self.batch(&args);
        assert_eq!(code, 0, "{stderr}");
        stderr
    }

    fn all_shards(&self, n_shards: usize) {
        let args = [&["--parallel", "3"][..], &["--isa", "scalar"], &[], &["-b", "32"]];
        (0..n_shards).for_each(|idx| {
            self.shard(idx, n_shards, args[idx % args.len()]);
        });
    }

    /// Merges files into `merged.jsonl`.
    fn merge(&self, parts: &[&str]) -> Run {
        merge(self.folder.path(), parts)
    }

    /// Answers the whole input in one run, in another file.
    fn whole(&self) -> Vec<Json> {
        let (code, stderr) = self.batch(&["in.jsonl", "-o", "whole.jsonl", "--ok-exit"]);
        assert_eq!(code, 0, "{stderr}");
        self.lines("whole.jsonl")
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn part(idx: usize) -> String {
    format!("part-{idx}.jsonl")
}

fn merge(folder: &Path, parts: &[&str]) -> Run {
    let paths = ["merged.jsonl"].iter().chain(parts).map(|name| folder.join(name).into());
    let args: Vec<std::ffi::OsString> = ["merge".into()].into_iter().chain(paths).collect();
    gatefold(&args)
}

const PARTS: [&str; 4] = ["part-0.jsonl", "part-1.jsonl", "part-2.jsonl", "part-3.jsonl"];

/// Lines without their times, in their order.
fn timeless(mut lines: Vec<Json>) -> Vec<String> {
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("seconds");
        if let Some(body) = line["response"]["body"].as_object_mut() {
            body.remove("created");
        }
    }
    lines.iter().map(Json::to_string).collect()
}

#[test]
fn shards_are_the_whole_in_the_order_of_the_input() {
    let place = Workplace::sharing(60);
    place.all_shards(4);
    let run = place.merge(&["part-2.jsonl", "part-0.jsonl", "part-3.jsonl", "part-1.jsonl"]);
    assert_eq!(run.succeeded().stderr, "60 rows of 4 shards, 18 of them without an answer\n");
    let merged = place.lines("merged.jsonl");
    let names =
        |lines: &[Json]| lines.iter().map(|line| line["custom_id"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&merged), names(&requests(60)));
    assert_eq!(settled(merged.clone()), settled(place.whole()));
    // Whatever the division.
    let first = place.text("merged.jsonl");
    fs::remove_file(place.path("part-0.jsonl")).unwrap();
    place.shard(0, 1, &[]);
    place.merge(&["part-0.jsonl"]).succeeded();
    assert_eq!(timeless(place.lines("merged.jsonl")), timeless(merged));
    // A run goes on with what was merged.
    fs::write(place.path("merged.jsonl"), &first).unwrap();
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "merged.jsonl"]);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("60 of 60 requests are done"), "{stderr}");
    assert_eq!(place.text("merged.jsonl"), first);
}

#[test]
fn a_shard_that_is_done_stays_as_it_is() {
    let place = Workplace::sharing(20);
    let stderr = place.shard(1, 2, &[]);
    assert!(stderr.contains("shard 1/2: ") && stderr.contains(" of 20 requests\n"), "{stderr}");
    let before = place.text("part-1.jsonl");
    place.shard(1, 2, &[]);
    assert_eq!(place.text("part-1.jsonl"), before);
}

#[test]
fn an_input_that_grows_moves_no_row() {
    let place = Workplace::sharing(30);
    place.all_shards(3);
    let before: Vec<String> = PARTS[..3].iter().map(|name| place.text(name)).collect();
    // Rows come in between, too.
    let mut grown = requests(60);
    grown.rotate_left(25);
    place.write("in.jsonl", &grown);
    place.shard(0, 3, &[]);
    place.merge(&PARTS[..3]).refused("the input has changed between the runs");
    assert!(!place.path("merged.jsonl").exists());
    place.shard(1, 3, &[]);
    place.shard(2, 3, &[]);
    place.merge(&PARTS[..3]).succeeded();
    assert_eq!(settled(place.lines("merged.jsonl")), settled(place.whole()));
    for (name, before) in PARTS.iter().zip(before) {
        let after = place.text(name);
        // The first of those with one name has it, and another one comes first now.
        let answered = |line: &&str| {
            line.contains("\"status_code\":200") && !line.contains("\"custom_id\":\"row 1\"")
        };
        for line in before.lines().filter(answered) {
            assert!(after.contains(line), "{name} has lost {line}");
        }
        assert_eq!(after.matches("{\"gatefold_shard\":").count(), 1);
    }
}

#[test]
fn requests_that_changed_between_shards_are_not_merged() {
    let place = Workplace::sharing(12);
    place.shard(0, 2, &[]);
    let mut changed = requests(12);
    changed.iter_mut().for_each(|request| request["body"]["max_tokens"] = json!(2));
    place.write("in.jsonl", &changed);
    place.shard(1, 2, &[]);
    place.merge(&PARTS[..2]).refused("the input has changed between the runs");
    place.shard(0, 2, &[]);
    place.merge(&PARTS[..2]).succeeded();
    assert_eq!(settled(place.lines("merged.jsonl")), settled(place.whole()));
}

/// With requests that may have more luck, a shard is neither sealed nor, to a queue, done.
#[test]
fn a_shard_with_rows_to_be_tried_again_is_not_done() {
    let place = Workplace::new();
    let mut long = chat("long", "Why?");
    long["body"].as_object_mut().unwrap().remove("max_tokens");
    place.write("in.jsonl", &[chat("short", "Why?"), with(long, "stop", " ")]);
    let args = ["in.jsonl", "-o", "part-0.jsonl", "--shard", "0/1", "--ok-exit"];
    let (code, stderr) = place.batch(&[&args[..], &["--memory", "2M"]].concat());
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("shard 0/1 is not done: 1 request failed through no"), "{stderr}");
    place.merge(&PARTS[..1]).refused("does not end with the seal");
    place.shard(0, 1, &[]);
    assert_eq!(place.merge(&PARTS[..1]).succeeded().stderr, "2 rows of 1 shard\n");
}

#[test]
fn a_file_that_a_run_has_is_not_replaced() {
    let place = Workplace::sharing(4);
    place.shard(0, 1, &[]);
    place.whole();
    fs::rename(place.path("whole.jsonl"), place.path("merged.jsonl")).unwrap();
    let before = place.text("merged.jsonl");
    let locked = gatefold::files::open_locked(&place.path("merged.jsonl")).unwrap().unwrap();
    place.merge(&PARTS[..1]).refused("merged.jsonl is being written by another run");
    assert_eq!(place.text("merged.jsonl"), before);
    drop(locked);
    // What a killed merge has left.
    fs::write(place.path("merged.jsonl.part"), &before[..before.len() / 2]).unwrap();
    place.merge(&PARTS[..1]).succeeded();
    assert!(!place.path("merged.jsonl.part").exists());
}

#[cfg(unix)]
#[test]
fn there_may_be_more_parts_than_open_files() {
    let place = Workplace::sharing(6);
    place.all_shards(24);
    let parts = (0..24).map(part);
    let mut run = std::process::Command::new("sh");
    run.current_dir(place.folder.path()).args(["-c", "ulimit -n 16; exec \"$0\" \"$@\""]);
    run.arg(command().get_program()).args(["merge", "merged.jsonl"]).args(parts);
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.lines("merged.jsonl").len(), 6);
}

#[test]
fn a_shard_without_work_is_one() {
    let place = Workplace::sharing(3);
    place.all_shards(8);
    let parts: Vec<String> = (0..8).map(part).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    assert!(parts.iter().any(|name| place.text(name).lines().count() == 1));
    let said = "3 rows of 8 shards, 1 of them without an answer\n";
    assert_eq!(place.merge(&parts).succeeded().stderr, said);
    // Even if it is all of the work.
    place.write("in.jsonl", &[]);
    fs::remove_file(place.path("part-0.jsonl")).unwrap();
    place.shard(0, 1, &[]);
    place.merge(&["part-0.jsonl"]).succeeded();
    assert_eq!(place.text("merged.jsonl"), "");
}

/// Parts with which something is wrong, and what is said of them. An older file stays as it was.
#[test]
fn what_is_not_whole_is_not_merged() {
    let place = Workplace::sharing(40);
    place.all_shards(4);
    place.merge(&PARTS).succeeded();
    let merged = place.text("merged.jsonl");
    #[track_caller]
    fn refused(place: &Workplace, parts: &[&str], merged: &str, why: &str) {
        place.merge(parts).refused(why);
        assert_eq!(place.text("merged.jsonl"), merged);
        let n_hidden = fs::read_dir(place.folder.path())
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with('.'));
        assert_eq!(n_hidden.count(), 0);
    }
    let refused = |parts: &[&str], why: &str| refused(&place, parts, &merged, why);
    refused(&PARTS[..3], "of 4 shards 1 is missing: 3/4; name its results too, or");
    refused(&PARTS[2..3], "of 4 shards 3 are missing: 0/4, 1/4, 3/4; name their");
    refused(&[&PARTS[..], &["none.jsonl"]].concat(), "none.jsonl cannot be read");
    refused(&[&PARTS[..], &["whole.jsonl"]].concat(), "whole.jsonl cannot be read");
    place.whole();
    refused(&[&PARTS[..], &["whole.jsonl"]].concat(), "whole.jsonl does not end with the seal");
    refused(&[&PARTS[..3], &["model.gguf"]].concat(), "model.gguf has other things in it");
    refused(&[&PARTS[..3], &["."]].concat(), "is a folder; name files with the results of shards");
    refused(&[&PARTS[..], &["part-1.jsonl"]].concat(), "are both shard 1/4, and the same");
    let again = [&PARTS[..3], &["merged.jsonl"]].concat();
    refused(&again, "merged.jsonl is one of the parts");

    // What may become of a file, and what is said of it.
    let whole = place.text("part-1.jsonl");
    let lines: Vec<&str> = whole.lines().collect();
    let [first, _, third, .., seal] = lines[..] else { panic!("{}", lines.len()) };
    let name = |line: &str| {
        let line: Json = serde_json::from_str(line).unwrap();
        let name = line["custom_id"].as_str().or_else(|| line["id"].as_str()).unwrap();
        name.to_owned()
    };
    let answered = lines.iter().position(|line| line.contains("\"status_code\":200")).unwrap();
    let refused_line = lines.iter().find(|line| line.contains("\"status_code\":400")).unwrap();
    let edited = lines[answered].replacen("\"index\":0", "\"index\":1", 1);
    assert_ne!(edited, lines[answered]);
    let with = |idx: usize, line: &str| {
        let mut lines = lines.clone();
        lines[idx] = line;
        lines.join("\n")
    };
    let and = |line: &str| [&lines[..], &[line]].concat().join("\n") + "\n";
    let one_less = |n: usize| [&lines[..n], &lines[n + 1..]].concat().join("\n") + "\n";
    let long = format!("{{\"id\":\"{}", "x".repeat(1 << 22));
    let cases = [
        (whole[..whole.len() - 1].to_owned(), "part-1.jsonl does not end with the seal".to_owned()),
        (whole[..whole.len() / 2].to_owned(), "does not end with the seal".into()),
        (one_less(lines.len() - 1), "does not end with the seal".into()),
        (String::new(), "does not end with the seal".into()),
        (one_less(1), "part-1.jsonl lacks 1 line that".into()),
        (one_less(0), "part-1.jsonl lacks 1 line that".into()),
        (
            and(lines[answered]),
            format!(
                "lines {} and {} are both results of {}, and the same",
                answered + 1,
                lines.len() + 1,
                name(lines[answered])
            ),
        ),
        (and(refused_line), "does not end with the seal".into()),
        (
            [&[first, first], &lines[1..]].concat().join("\n") + "\n",
            format!("lines 1 and 2 are both results of {}, and the same", name(first)),
        ),
        (with(answered, &edited), "does not end with the seal".into()),
        (
            with(answered, &edited) + "\n",
            format!(
                "line {}, the result of {}, is not what its run",
                answered + 1,
                name(lines[answered])
            ),
        ),
        (and(&edited), format!("are both results of {}, and they differ", name(lines[answered]))),
        (and(&third.replace("batch_req_", "batch_req_x")), "does not end with the seal".into()),
        (and("garbage"), "has other things in it".into()),
        (and(&long), "has other things in it".into()),
        (with(1, "{}") + "\n", "has other things in it".into()),
        (with(lines.len() - 1, &seal.replace("1/4", "1/0")) + "\n", "has other things".into()),
        (with(lines.len() - 1, &seal.replace("1/4", "4/4")) + "\n", "has other things".into()),
        (with(lines.len() - 1, &seal.replace("1/4", "1/5")) + "\n", "is shard 0/4 and".into()),
        (
            with(lines.len() - 1, &seal.replace("1/4", "1/18446744073709551615")) + "\n",
            "the work was divided in different ways".into(),
        ),
        (
            with(lines.len() - 1, &seal.replace("\"n_own\":", "\"n_own\":18446744073709551"))
                + "\n",
            "rows; do the work again".into(),
        ),
    ];
    for (text, why) in cases {
        fs::write(place.path("part-1.jsonl"), text).unwrap();
        refused(&PARTS, &why);
    }
    // Two machines say different things.
    fs::write(place.path("part-1.jsonl"), &whole).unwrap();
    let other = Workplace::sharing(40);
    other.shard(1, 4, &[]);
    fs::copy(other.path("part-1.jsonl"), place.path("part-1b.jsonl")).unwrap();
    refused(&[&PARTS[..], &["part-1b.jsonl"]].concat(), "are both shard 1/4, and the same but for");
    // The lines can be put back in another order, as long as all are there.
    let mut turned = lines[..lines.len() - 1].to_vec();
    turned.reverse();
    turned.push(seal);
    fs::write(place.path("part-1.jsonl"), turned.join("\n") + "\n").unwrap();
    place.merge(&PARTS).succeeded();
    assert_eq!(place.text("merged.jsonl"), merged);
}

/// A seal can be made to fit by whoever can compute a hash; then a second machine tells.
#[test]
fn rows_on_which_two_machines_differ_are_named() {
    use sha2::{Digest, Sha256};
    let place = Workplace::sharing(12);
    place.all_shards(1);
    let whole = place.text("part-0.jsonl");
    let line = whole.lines().find(|line| line.contains("\"status_code\":200")).unwrap();
    let edited = line.replacen("\"index\":0", "\"index\":7", 1);
    let hash = |line: &str| -> String {
        Sha256::digest(line)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let forged = whole.replace(line, &edited).replace(&hash(line), &hash(&edited));
    fs::write(place.path("part-b.jsonl"), forged).unwrap();
    place.merge(&["part-b.jsonl"]).succeeded();
    let name = serde_json::from_str::<Json>(line).unwrap()["custom_id"].clone();
    let why = format!("differ in the results of 1 row ({})", name.as_str().unwrap());
    place.merge(&["part-0.jsonl", "part-b.jsonl"]).refused(&why);
}

#[test]
fn parts_of_different_things_are_not_merged() {
    let place = Workplace::sharing(20);
    place.all_shards(2);
    let differing = |args: &[&str], why: &str| {
        fs::remove_file(place.path("part-1.jsonl")).unwrap();
        place.shard(1, 2, args);
        place.merge(&PARTS[..2]).refused(why);
    };
    differing(&["-n", "9"], "part-1.jsonl was made with another -n than");
    differing(&["-c", "128"], "with another context than");
    differing(&["--cache-type", "f32"], "with another cache than");
    differing(&["--chat-template", "chatml"], "with another template than");
    let other = crate::batches::model("another");
    fs::write(place.path("other.gguf"), other).unwrap();
    fs::remove_file(place.path("part-1.jsonl")).unwrap();
    let mut run = command();
    run.current_dir(place.folder.path()).args(["batch", "-m", "other.gguf", "in.jsonl"]);
    run.args(["-o", "part-1.jsonl", "--shard", "1/2", "--ok-exit"]);
    assert!(run.output().unwrap().status.success());
    place.merge(&PARTS[..2]).refused("part-1.jsonl was made with another model than");
}

#[test]
fn a_file_belongs_to_one_shard() {
    let place = Workplace::sharing(40);
    place.shard(1, 4, &[]);
    let before = place.text("part-1.jsonl");
    let refused = |args: &[&str], why: &str| {
        let (code, stderr) = place.batch(&[&["in.jsonl", "-o"], args].concat());
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
        assert_eq!(place.text("part-1.jsonl"), before);
    };
    refused(&["part-1.jsonl", "--shard", "2/4"], "is shard 1/4 of some work, and not 2/4");
    refused(&["part-1.jsonl", "--shard", "1/8"], "is shard 1/4 of some work, and not 1/8");
    refused(&["part-1.jsonl"], "is shard 1/4 of some work, and --shard does not say so");
    place.whole();
    refused(&["whole.jsonl", "--shard", "2/4"], "which is none of shard 2/4; name another file");
    // A line that somebody has changed is not sealed once more.
    let edited = before.replacen("\"status_code\":400", "\"status_code\":404", 1);
    assert_ne!(edited, before);
    fs::write(place.path("part-1.jsonl"), &edited).unwrap();
    let (code, stderr) = place.batch(&["in.jsonl", "-o", "part-1.jsonl", "--shard", "1/4"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("somebody has changed it; delete that line"), "{stderr}");
    let kept = |line: &&str| !line.contains("\"status_code\":404");
    let text: String = edited.lines().filter(kept).map(|line| format!("{line}\n")).collect();
    fs::write(place.path("part-1.jsonl"), text).unwrap();
    place.shard(1, 4, &[]);
    assert_eq!(settled(answers(&before)), settled(answers(&place.text("part-1.jsonl"))));
}

/// The lines of a part without its seal.
fn answers(text: &str) -> Vec<Json> {
    let lines = text.lines().filter(|line| !line.starts_with("{\"gatefold_shard\":"));
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn queues_say_which_shard_it_is() {
    let place = Workplace::sharing(20);
    let run = |shard: &str, variables: &[(&str, &str)]| {
        let mut command =
            place.command(&["in.jsonl", "-o", "part.jsonl", "--ok-exit", "--shard", shard]);
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let _ = fs::remove_file(place.path("part.jsonl"));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let told = |shard, variables: &[(&str, &str)], expected: &str| {
        let (code, stderr) = run(shard, variables);
        assert_eq!(code, 0, "{stderr}");
        assert!(stderr.contains(&format!("shard {expected}: ")), "{stderr}");
    };
    let slurm = [
        ("SLURM_ARRAY_TASK_ID", "3"),
        ("SLURM_ARRAY_TASK_COUNT", "4"),
        ("SLURM_ARRAY_TASK_MIN", "1"),
        ("SLURM_ARRAY_TASK_MAX", "4"),
    ];
    told("auto", &slurm, "2/4");
    told("auto/16", &slurm, "3/16");
    told("auto/3", &[("JOB_COMPLETION_INDEX", "0")], "0/3");
    let refused = |shard, variables: &[(&str, &str)], why: &str| {
        let (code, stderr) = run(shard, variables);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains(why), "{stderr}");
    };
    refused("auto", &[], "neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set");
    refused("auto", &[("JOB_COMPLETION_INDEX", "0")], "say auto/N");
    refused("4/4", &[], "there is no shard 4 of 4");
    refused("four", &[], "expected I/N");
    let (code, stderr) = place.batch(&["in.jsonl", "--shard", "0/2"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("--output"), "{stderr}");
}

#[cfg(unix)]
#[test]
fn one_shard_is_killed_and_goes_on_by_itself() {
    use crate::kills;
    let place = Workplace::sharing(150);
    place.shard(0, 2, &[]);
    let args = ["in.jsonl", "-o", "part-1.jsonl", "--shard", "1/2", "--ok-exit", "--parallel", "2"];
    let n_bytes = fs::metadata(place.path("part-0.jsonl")).unwrap().len() / 2;
    let kept = kills::twenty(&place.path("part-1.jsonl"), n_bytes, || {
        place.command(&args).spawn().unwrap()
    });
    assert!(!kept.is_empty());
    place.merge(&PARTS[..2]).refused("part-1.jsonl does not end with the seal");
    place.shard(1, 2, &[]);
    place.merge(&PARTS[..2]).succeeded();
    assert_eq!(settled(place.lines("merged.jsonl")), settled(place.whole()));
}

#[test]
fn shards_of_summaries_are_the_whole() {
    let place = summaries::Workplace::new();
    place.write_stories(24);
    place.write("docs/empty.txt", "");
    let shard = |idx: usize, args: &[&str]| {
        let (shard, part) = (format!("{idx}/3"), part(idx));
        let args =
            [&["docs", "-o", &part, "--shard", &shard, "--ok-exit", "-n", "8"], args].concat();
        place.summarize(&args).ended(0)
    };
    (0..3).for_each(|idx| drop(shard(idx, &["--beside", "--format", "text"])));
    assert!(place.path("docs/000.txt.summary.txt").exists());
    merge(place.folder.path(), &PARTS[..3]).succeeded();
    place.summarize(&["docs", "-o", "whole.jsonl", "-n", "8"]).ended(2);
    let merged = place.lines("merged.jsonl");
    let ids: Vec<&str> = merged.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert!(ids.is_sorted() && ids.len() == 25, "{ids:?}");
    assert_eq!(summaries::settled(merged), summaries::settled(place.lines("whole.jsonl")));

    // A document that comes later moves no other.
    let before = place.read("part-1.jsonl");
    place.write("docs/0000.txt", summaries::story(30, 9));
    (0..3).for_each(|idx| drop(shard(idx, &[])));
    merge(place.folder.path(), &PARTS[..3]).succeeded();
    assert_eq!(place.lines("merged.jsonl").len(), 26);
    let after = place.read("part-1.jsonl");
    assert!(
        before
            .lines()
            .filter(|line| line.contains("\"summary\":"))
            .all(|line| after.contains(line))
    );

    fs::remove_file(place.path("part-2.jsonl")).unwrap();
    shard(2, &["--instruction", "What is it about?"]);
    merge(place.folder.path(), &PARTS[..3])
        .refused("part-2.jsonl was made with another prompt than");
    shard(2, &["--temp", "0.5", "--seed", "3"]);
    merge(place.folder.path(), &PARTS[..3])
        .refused("part-2.jsonl was made with another sampling than");
    let refused = |args: &[&str], why: &str| {
        let run = place.summarize(&[&["docs", "--shard", "0/3"], args].concat()).ended(1);
        assert!(run.stderr.contains(why), "{}", run.stderr);
    };
    refused(&["-o", "out.md", "--format", "markdown"], "--shard needs a file with JSON lines");
    refused(&["-o", "-"], "--shard needs a file with JSON lines");
    refused(&["-o", "part-1.jsonl"], "part-1.jsonl is shard 1/3 of some work, and not 0/3");
    let listed = place.summarize(&["docs", "--shard", "0/3", "-o", "none.jsonl", "--dry-run"]);
    assert!(listed.stdout.lines().count() < 20, "{}", listed.stdout);
}
