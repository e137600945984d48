//! The library's messages speak of settings, in backticks; the program's name the flags that set them.

/// Settings of the library, as its messages write them, and what sets them here.
const FLAGS: [(&str, &str); 15] = [
    ("`allow_requantize`", "--allow-requantize"),
    ("`calibrate`", "--calibrate"),
    ("`cache_format`", "--cache-type"),
    ("`chat_template`", "--chat-template"),
    ("`context_len`", "-c"),
    ("`dry_run`", "`gatefold quantize --dry-run`"),
    ("`imatrix`", "--imatrix"),
    ("`inspect::check`", "`gatefold inspect --check`"),
    ("`max_tokens`", "-n"),
    ("`memory_bytes`", "--memory"),
    ("`overwrite`", "--overwrite"),
    ("`raw`", "--raw"),
    ("`save_base`", "--save-base"),
    ("`strict_template`", "--strict-template"),
    ("`tensor_types`", "--tensor-type"),
];

/// A message with flags in place of settings.
pub fn name_flags(message: impl ToString) -> String {
    let message = message.to_string();
    FLAGS.iter().fold(message, |message, (setting, flag)| message.replace(setting, flag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;
    use std::fs;
    use std::path::Path;
    use walkdir::WalkDir;

    #[test]
    fn settings_become_flags() {
        let message = "raise `context_len`, or use q8_0 as `cache_format`; `other` stays";
        let expected = "raise -c, or use q8_0 as --cache-type; `other` stays";
        assert_eq!(name_flags(message), expected);
    }

    /// The library's lines of code, without comments and tests, with where they are.
    fn library() -> Vec<(String, String)> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
        let files = WalkDir::new(source).into_iter().map(|entry| entry.unwrap().into_path());
        let files = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
        let lines = files.flat_map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap().to_owned();
            let lines: Vec<String> = code.lines().map(|line| line.trim().to_owned()).collect();
            let lines = lines.into_iter().filter(|line| !line.starts_with("//"));
            lines.map(move |line| (path.display().to_string(), line)).collect::<Vec<_>>()
        });
        lines.collect()
    }

    #[test]
    fn the_library_names_no_flag() {
        let flag = Regex::new(r#"(^|[" (`{])(--[a-z]{2,}|-[a-z]\b)"#).unwrap();
        for (path, line) in library() {
            let is_text = line.contains('"') || line.contains(" --");
            assert!(!is_text || !flag.is_match(&line), "{path}: {line}");
        }
    }

    /// Words of files and schemas that messages quote: no settings.
    const QUOTED: [&str; 5] = ["`gpt2`", "`ignore_merges`", "`items`", "`llama`", "`required`"];

    #[test]
    fn every_setting_that_the_library_names_has_its_flag() {
        let setting = Regex::new(r"`[a-z][a-z_:]*`").unwrap();
        let mut n_found = 0;
        for (path, line) in library() {
            for found in setting.find_iter(&line) {
                let word = found.as_str();
                let is_known = FLAGS.iter().any(|(setting, _)| *setting == word);
                assert!(is_known || QUOTED.contains(&word), "{path}: {word} has no flag: {line}");
                n_found += 1;
            }
        }
        assert!(n_found > 5, "{n_found} settings are named");
    }
}
