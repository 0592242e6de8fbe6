//! `docs/write-a-provider.md` builds the example, word for word.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests state what they expect by panicking")]

use std::{fs, path::Path};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The blocks of `text` that open with this fence, without the fences.
fn blocks(text: &str, fence: &str) -> Vec<String> {
    let opening = format!("\n```{fence}\n");
    text.split(&opening).skip(1).map(|rest| rest.split("\n```\n").next().unwrap().to_owned()).collect()
}

/// Blank lines between two pieces are a matter of taste.
fn without_blank_lines(text: &str) -> String {
    text.lines().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_guide_builds_the_example_word_for_word() {
    let pieces = blocks(&read("../docs/write-a-provider.md"), "rust");
    assert!(pieces.len() > 5, "the guide builds the provider piece by piece");
    let example = read("examples/map_provider/provider.rs");
    assert_eq!(without_blank_lines(&pieces.join("\n")), without_blank_lines(&example));
}

#[test]
fn the_guide_shows_the_test_that_proves_the_example() {
    let shown = blocks(&read("../docs/write-a-provider.md"), "rust,ignore");
    assert_eq!(shown, [read("tests/conformance.rs").trim()]);
}

#[test]
fn every_check_that_the_guide_names_exists() {
    let guide = read("../docs/write-a-provider.md");
    let names =
        guide.split(['`', ' ']).filter(|word| word.contains("::") && !word.contains(['(', '!', '[', ';']));
    let names: Vec<_> =
        names.filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || "_:*".contains(c))).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names {
        let known = storage_core::conformance::CHECKS.iter().any(|check| match name.strip_suffix('*') {
            Some(module) => format!("{check:?}").starts_with(module),
            None => format!("{check:?}") == name,
        });
        assert!(known, "the guide names {name}, which is no check");
    }
}
