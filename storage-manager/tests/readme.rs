//! The first thing people read is the quickstart, word for word as it is compiled.

use std::{fs, path::Path};

#[test]
fn the_readme_of_the_project_begins_with_the_quickstart() {
    let crate_root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(crate_root.join("../README.md")).unwrap();
    let (before, after) = readme.split_once("```rust\n").unwrap();
    let (shown, _) = after.split_once("```\n").unwrap();
    assert_eq!(shown, fs::read_to_string(crate_root.join("examples/quickstart.rs")).unwrap());
    assert!(before.lines().count() < 10, "the quickstart stands too far down");
}
