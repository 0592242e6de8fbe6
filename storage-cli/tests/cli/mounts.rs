//! Directories that cannot be written and disks that are full, on file systems mounted for the test alone.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Command, Output},
};

use crate::sandbox::Sandbox;

const STORAGE: &str = env!("CARGO_BIN_EXE_storage");

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}

/// Runs a shell script in the sandbox, with a file system of its own mounted at `mounted`; `None`, said aloud, where
/// that is forbidden, which fails if `REQUIRE_BACKENDS=1`. In the script `$storage` is the binary.
fn with_mount(sandbox: &Sandbox, options: &str, script: &str) -> Option<Output> {
    const FORBIDDEN: i32 = 77;
    fs::create_dir_all(sandbox.path("mounted")).unwrap();
    let script = format!("mount -t tmpfs -o {options} none mounted || exit {FORBIDDEN}\n{script}");
    let unshared = if is_root() { &["--mount"][..] } else { &["--mount", "--map-root-user"] };
    let output = Command::new("unshare")
        .args(unshared)
        .args(["sh", "-c", &script])
        .env("storage", STORAGE)
        .env_remove("STORAGE_URL")
        .current_dir(sandbox.path("."))
        .output();
    match output {
        Ok(output) if output.status.code() != Some(FORBIDDEN) && !output.stderr.starts_with(b"unshare:") => {
            Some(output)
        }
        forbidden => {
            let message = format!("NOT CHECKED: mounting is forbidden here: {forbidden:?}");
            assert!(std::env::var("REQUIRE_BACKENDS").as_deref() != Ok("1"), "{message}");
            eprintln!("{message}");
            None
        }
    }
}

#[test]
fn a_read_only_file_system_is_named() {
    let sandbox = Sandbox::new();
    let script = "\"$storage\" --store fs:mounted/data --json save note a x";
    let Some(output) = with_mount(&sandbox, "ro", script) else { return };
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{text}");
    assert!(
        ["ReadOnly", "PermissionDenied"].iter().any(|kind| text.contains(&format!("\"kind\":\"{kind}\""))),
        "{text}"
    );
    assert!(text.contains("directory cannot be created"), "{text}");
}

#[test]
fn a_directory_without_permission_is_named() {
    if is_root() {
        // Root may write whatever the mode says; the test above is for it.
        return;
    }
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("sealed")).unwrap();
    fs::set_permissions(sandbox.path("sealed"), fs::Permissions::from_mode(0o500)).unwrap();
    sandbox.fails(&["--store", "fs:sealed/data", "save", "note", "a", "x"]).is(
        6,
        "PermissionDenied",
        "cannot be created",
    );
}

#[test]
fn a_full_disk_takes_no_more_and_gives_back_what_it_has() {
    let sandbox = Sandbox::new();
    sandbox.write("large", vec![7; 4_000_000]);
    let script = r#"
        export STORAGE_URL=fs:mounted/data
        saved=0
        while "$storage" save blob "k$saved" --file large >/dev/null 2>error; do
            saved=$((saved + 1))
            [ $saved -lt 20 ] || exit 78
        done
        "$storage" save blob "k$saved" --file large 2>/dev/null
        [ $? = 6 ] || exit 79
        [ "$("$storage" count)" = $saved ] || exit 80
        "$storage" load blob k0 | cmp - large || exit 81
        "$storage" delete blob k0 >/dev/null || exit 82
        "$storage" verify >/dev/null || exit 83
        "$storage" save blob again --file large >/dev/null || exit 84
        cat error
    "#;
    let Some(output) = with_mount(&sandbox, "size=40m", script) else { return };
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("error: fs: save: ") && text.contains("hint:  make room"), "{text}");
}
