//! Imports point one way: a module uses those alone that come before it in the tour of `src/lib.rs`.

use regex::Regex;
use std::fs;
use walkdir::WalkDir;

#[test]
fn modules_use_what_comes_before_them() {
    let tour = fs::read_to_string("src/lib.rs").unwrap();
    let names = |pattern: &str| -> Vec<String> {
        let pattern = Regex::new(pattern).unwrap();
        pattern.captures_iter(&tour).map(|found| found[1].to_owned()).collect()
    };
    let order = names(r"(?m)^//! \d+\. \[`(?:mod@)?(\w+)`\]");
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, names(r"(?m)^pub mod (\w+);"), "the tour has every module once");

    let place = |name: &str| order.iter().position(|module| module == name);
    let used = Regex::new(r"\bcrate::(\w+)").unwrap();
    let files = WalkDir::new("src").into_iter().map(|entry| entry.unwrap().into_path());
    for path in files.filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let module = path.components().nth(1).unwrap().as_os_str().to_str().unwrap();
        let Some(own) = place(module.trim_end_matches(".rs")) else { continue };
        let text = fs::read_to_string(&path).unwrap();
        // Unit tests come last, and may use anything.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let is_plain = !code.contains("crate::{");
        assert!(is_plain, "{}: `use crate::{{..}}` hides what it uses", path.display());
        for name in used.captures_iter(code) {
            let is_before = place(&name[1]).is_none_or(|other| other <= own);
            assert!(is_before, "{} uses {}, which comes after it", path.display(), &name[1]);
        }
    }
}
