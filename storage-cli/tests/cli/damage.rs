//! Stores that are damaged, of a newer version, or somebody else's.

use std::{fs, path::PathBuf, process::Command};

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

/// Every file below a folder of the default store.
fn files(sandbox: &Sandbox, folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![sandbox.path(format!("storage-data/{folder}"))];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}

/// A store with two items, one of them so large that its payload lies in a file of its own, which is then damaged.
fn damaged_store() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "small", "intact", "--tag", "k=v"]);
    sandbox.write("large", vec![7; 1_000_000]);
    sandbox.ok(&["save", "blob", "large", "--file", "large", "--tag", "k=v"]);
    let blobs = files(&sandbox, "blobs");
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    let mut bytes = fs::read(&blobs[0]).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&blobs[0], bytes).unwrap();
    sandbox
}

#[test]
fn a_damaged_item_is_exit_status_5_and_the_others_stay_readable() {
    let sandbox = damaged_store();
    let failed = sandbox.fails(&["load", "blob", "large"]);
    assert_eq!((failed.status, &*failed.kind), (5, "Corrupted"), "{failed:?}");
    assert_eq!((&failed.error["content_type"], &failed.error["key"]), (&json!("blob"), &json!("large")));
    assert!(failed.text.contains("hint:"), "{failed:?}");

    assert_eq!(sandbox.ok(&["load", "note", "small"]), "intact");
    assert_eq!(sandbox.ok(&["count", "--tag", "k=v"]), "2\n");
    assert_eq!(sandbox.ok(&["search"]).lines().count(), 3);
}

#[test]
fn a_list_with_data_goes_on_behind_a_damaged_item() {
    let sandbox = damaged_store();
    let answer = sandbox.run(&["--json", "search", "--data"]);
    assert_eq!(answer.status, 5, "{answer:?}");
    let document: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(document["data"], "intact");
    let error: Value = serde_json::from_str(&answer.err).unwrap();
    assert_eq!((&error["error"]["kind"], &error["error"]["key"]), (&json!("Corrupted"), &json!("large")));
}

#[test]
fn verify_names_each_damaged_key_and_is_exit_status_5() {
    let sandbox = damaged_store();
    let answer = sandbox.run(&["verify"]);
    assert_eq!(answer.status, 5, "{answer:?}");
    assert!(
        answer.out.starts_with("1 item is intact, 1 damage was found:\n\nTYPE  KEY    DAMAGE\nblob  large  "),
        "{answer:?}"
    );

    let answer = sandbox.run(&["--json", "verify"]);
    assert_eq!(answer.status, 5, "{answer:?}");
    let document: Value = serde_json::from_str(&answer.out).unwrap();
    assert_eq!(document["intact"], 1);
    assert_eq!(document["damaged"].as_array().unwrap().len(), 1);
    let damage = &document["damaged"][0];
    assert_eq!((&damage["content_type"], &damage["key"]), (&json!("blob"), &json!("large")));
}

#[test]
fn a_damaged_item_can_be_saved_again_or_deleted() {
    for arguments in [&["save", "blob", "large", "again"][..], &["delete", "blob", "large"]] {
        let sandbox = damaged_store();
        sandbox.ok(arguments);
        assert_eq!(sandbox.run(&["verify"]).status, 0, "{arguments:?}");
    }
}

#[test]
fn a_bit_that_flips_in_a_table_never_becomes_a_wrong_answer() {
    let sandbox = Sandbox::new();
    let data = "known data ".repeat(50);
    sandbox.ok(&["save", "note", "a", &data]);
    let mut noticed = 0;
    for (at, path) in files(&sandbox, "engine").iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        let Some(place) = bytes.windows(10).position(|window| window == b"known data") else { continue };
        bytes[place] ^= 4;
        // In a copy, because opening a store renews its files.
        let copy = format!("copy-{at}");
        let copied =
            Command::new("cp").arg("-r").arg(sandbox.path("storage-data")).arg(sandbox.path(&copy)).status();
        assert!(copied.unwrap().success());
        let name = path.strip_prefix(sandbox.path("storage-data")).unwrap();
        fs::write(sandbox.path(&copy).join(name), bytes).unwrap();

        let answer = sandbox.run(&["--store", &format!("fs:{copy}"), "load", "note", "a"]);
        assert!(!answer.err.contains("panicked"), "{answer:?}");
        match answer.status {
            // The damaged file was not needed.
            0 => assert_eq!(answer.out, data),
            status => assert_eq!(status, 5, "{answer:?}"),
        }
        noticed += u32::from(answer.status == 5);
    }
    assert!(noticed > 0, "no damage was noticed, so that nothing was shown");
}

#[test]
fn a_foreign_directory_is_refused_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.write("photos/cat.jpg", "cat");
    for arguments in [&["save", "note", "a", "x"][..], &["load", "note", "a"], &["demo"], &["stats"]] {
        let failed = sandbox.fails(&[&["--store", "fs:photos"], arguments].concat());
        failed.is(5, "Corrupted", "is not a store: it holds cat.jpg");
    }
    assert_eq!(fs::read_dir(sandbox.path("photos")).unwrap().count(), 1);
}

#[test]
fn a_file_instead_of_a_directory_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write("file", "x");
    sandbox.fails(&["--store", "fs:file", "save", "note", "a", "x"]).is(6, "Config", "is a file");
    sandbox.fails(&["--store", "fs:file/below", "save", "note", "a", "x"]);
    assert_eq!(fs::read(sandbox.path("file")).unwrap(), b"x");
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_left_alone() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    let path = sandbox.path("storage-data/FORMAT");
    let text = fs::read_to_string(&path).unwrap().replace("format 1", "format 99");
    fs::write(&path, &text).unwrap();
    sandbox.fails(&["load", "note", "a"]).is(6, "Config", "format 99");
    sandbox.fails(&["save", "note", "a", "y"]).is(6, "Config", "use a newer version");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}
