//! Where documents come from: files, folders, JSONL, stdin.
