//! What programs get.

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

const METADATA: [&str; 10] = [
    "id",
    "key",
    "content_type",
    "created_at",
    "updated_at",
    "expires_at",
    "version",
    "encoding",
    "tags",
    "size",
];

/// The names of an object's fields, in their order.
fn names(line: &str) -> Vec<String> {
    let mut names: Vec<_> =
        METADATA.iter().filter_map(|name| Some((line.find(&format!("\"{name}\":"))?, *name))).collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name.to_owned()).collect()
}

#[test]
fn metadata_has_its_ten_fields_wherever_it_is_printed() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["save", "note", "k", "hello", "--tag", "t=v", "--expires-at", "2999-01-01T00:00:00.5Z"][..],
        &["load", "note", "k", "--meta"],
        &["search"],
        &["touch", "note", "k", "--persist"],
    ] {
        let line = sandbox.ok(&[&["--json"], arguments].concat());
        assert_eq!(names(&line), METADATA, "{arguments:?}");
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document.as_object().unwrap().len(), METADATA.len());
        assert_eq!((&document["key"], &document["content_type"]), (&json!("k"), &json!("note")));
        assert_eq!((&document["size"], &document["encoding"]), (&json!(5), &json!("raw")));
        assert_eq!(document["tags"], json!({ "t": "v" }));
        assert_eq!(document["id"].as_str().unwrap().len(), 36);
        assert!(document["version"].is_u64());
        let expires = if arguments[0] == "touch" { Value::Null } else { json!("2999-01-01T00:00:00.5Z") };
        assert_eq!(document["expires_at"], expires);
        for time in ["created_at", "updated_at"] {
            let time = document[time].as_str().unwrap();
            assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{time}");
        }
    }
}

#[test]
fn data_is_a_json_value_else_text_else_base64() {
    let sandbox = Sandbox::new();
    sandbox.ok(&[
        "save",
        "note",
        "value",
        "{\"b\": [1, 2.50],\n \"a\": 123456789012345678901234567890}",
        "--as-json",
    ]);
    sandbox.ok(&["save", "note", "text", "{\"raw\": 1}"]);
    sandbox.run_with_input(&["save", "note", "bytes"], b"\xff\x00");

    let line = sandbox.ok(&["--json", "load", "note", "value"]);
    // Numbers and the order of fields are the stored ones.
    assert!(
        line.starts_with(r#"{"data":{"b":[1,2.50],"a":123456789012345678901234567890},"metadata":{"id":"#),
        "{line}"
    );
    assert_eq!(sandbox.document(&["load", "note", "text"])["data"], "{\"raw\": 1}");
    assert_eq!(sandbox.document(&["load", "note", "bytes"])["data"], json!({ "base64": "/wA=" }));

    let lines = sandbox.ok(&["search", "--data", "--json"]);
    let documents: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(documents.len(), 3);
    for document in documents {
        let key = document["metadata"]["key"].as_str().unwrap();
        assert_eq!(document, sandbox.document(&["load", "note", key]));
    }
}

#[test]
fn json_is_stored_as_it_was_given() {
    let sandbox = Sandbox::new();
    let text = " {\"a\" : 1,\n\t\"a\" : 2} \n";
    assert_eq!(sandbox.run_with_input(&["save", "note", "a", "--as-json"], text.as_bytes()).status, 0);
    assert_eq!(sandbox.ok(&["load", "note", "a"]), text);
    assert_eq!(sandbox.document(&["load", "note", "a", "--meta"])["encoding"], "json");
}

#[test]
fn every_other_answer_is_one_document() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "hello"]);
    sandbox.ok(&["save", "profile", "b", "x"]);
    assert_eq!(sandbox.document(&["count"]), json!(2));

    let stats = sandbox.document(&["stats"]);
    assert_eq!(stats["provider"], "fs");
    assert_eq!(stats["total"], json!({ "items": 2, "bytes": 6 }));
    assert_eq!(stats["content_types"]["note"], json!({ "items": 1, "bytes": 5 }));
    assert_eq!(stats["capabilities"]["durable"], true);
    assert_eq!(stats["capabilities"]["max_payload"], 67_108_864);

    let deleted = sandbox.document(&["delete", "note", "a"]);
    assert_eq!(deleted, json!({ "deleted": true, "key": "a", "content_type": "note" }));
    assert_eq!(sandbox.document(&["cleanup"])["expired"], 0);
    let verified = sandbox.document(&["verify"]);
    assert_eq!(verified, json!({ "intact": 1, "damaged": [] }));
}

#[test]
fn people_get_the_same_in_words() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "hello"]);
    let stats = sandbox.ok(&["stats"]);
    for part in [
        "provider      fs",
        "durable writes",
        "64.0 MiB",
        "items         1",
        "\nTYPE  ITEMS  DATA\nnote  1      5 B\n",
    ] {
        assert!(stats.contains(part), "{part:?} in {stats}");
    }
    assert!(sandbox.ok(&["verify"]).contains("1 item"));
    assert_eq!(
        sandbox.ok(&["cleanup"]),
        "removed 0 expired items (0 B) and 0 leftovers of interrupted work\n"
    );
}

#[test]
fn errors_have_one_shape() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["save", "note", "a", "x"]);
    for arguments in [
        &["load", "note", "b"][..],
        &["save", "note", "a", "x", "--if-absent"],
        &["search", "--pattern", "["],
        &["frobnicate"],
        &["--store", "x:", "count"],
    ] {
        let failed = sandbox.fails(arguments);
        let error = failed.error.as_object().unwrap();
        for field in ["kind", "message", "key", "content_type", "provider", "operation", "causes", "hint"] {
            assert!(error.contains_key(field), "{field} of {arguments:?}: {error:?}");
        }
        assert!(!error["message"].as_str().unwrap().contains('\n'), "{error:?}");
    }
    // The option is understood behind the command as well, and behind `--` it is data.
    assert!(
        sandbox
            .run(&["load", "note", "b", "--json"])
            .err
            .starts_with(r#"{"error":{"kind":"NotFound","message":"#)
    );
    assert!(sandbox.run(&["load", "note", "--", "--json"]).err.starts_with("error: "));
}
