//! The page on reliability names exactly the tests that exist.

use std::{collections::BTreeSet, fs, path::Path};

/// The words of a text that are names of fault tests.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let number = |word: &str| word.strip_prefix("fault_").and_then(|rest| rest.chars().next());
    words.filter(|word| number(word).is_some_and(|c| c.is_ascii_digit())).map(str::to_owned).collect()
}

#[test]
fn every_fault_test_is_listed_and_every_listed_one_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = names(&fs::read_to_string(root.join("../docs/RELIABILITY.md")).unwrap());
    let mut existing = BTreeSet::new();
    let folders = ["tests/faults", "tests/postgres", "tests/redis", "../storage-manager/tests/lua_abuse"];
    let folders = folders.map(|folder| fs::read_dir(root.join(folder)).unwrap());
    for entry in folders.into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(path).unwrap();
        let tests = text.lines().filter(|line| line.starts_with("fn ") || line.starts_with("async fn "));
        existing.extend(tests.flat_map(names));
    }
    assert_eq!(listed, existing);
    assert!(existing.len() > 25, "{existing:?}");
}
