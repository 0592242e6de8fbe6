//! Commands to copy from the tour into a shell.

use std::env;

use super::fill::Filled;
use crate::{args::DEFAULT_STORE, output::human::shell_word, target::Target};

/// Writes command lines that work where the tour was started.
#[derive(Debug)]
pub(super) struct Commands {
    /// The program as it was called, because it need not be installed.
    program: String,
    /// What `--store` must say, if anything, as a shell takes it.
    store: Option<String>,
    is_memory: bool,
}

impl Commands {
    pub(super) fn new(target: &Target) -> Self {
        let program = env::args_os().next().and_then(|name| name.into_string().ok());
        let program = shell_word(&program.unwrap_or_else(|| "storage".to_owned()));
        let is_default = Target::parse(DEFAULT_STORE).is_ok_and(|default| default == *target);
        let is_understood = is_default && env::var_os("STORAGE_URL").is_none();
        Self {
            program,
            store: (!is_understood).then(|| shell_word(&target.to_string())),
            is_memory: target.is_memory(),
        }
    }

    /// The command line with these arguments.
    pub(super) fn line(&self, words: &[&str]) -> String {
        let mut line = self.program.clone();
        if let Some(store) = &self.store {
            line = format!("{line} --store {store}");
        }
        for word in words {
            line = format!("{line} {}", shell_word(word));
        }
        line
    }

    /// What to try after the tour.
    pub(super) fn next(&self, filled: &Filled) -> Vec<String> {
        if self.is_memory {
            // What was saved in memory is gone; a tour on a directory can be looked at afterwards.
            let program = self.program.clone();
            let lasting = Self { program, store: Some(DEFAULT_STORE.to_owned()), is_memory: false };
            return vec![lasting.line(&["demo"])];
        }
        let mut next = Vec::new();
        if let Some((content_type, key)) = &filled.readable {
            next.push(self.line(&item("load", &[], content_type, key)));
            next.push(self.line(&item("load", &["--meta"], content_type, key)));
        }
        if let Some(folder) = filled.main_folder() {
            next.push(self.line(&["count", "--tag", &format!("folder={folder}")]));
        }
        next.push(self.line(&["--json", "search", "--order=-updated", "--limit", "3"]));
        next.push(self.line(&["save", "note", "hello", "Hello, world", "--ttl", "1h", "--tag", "lang=en"]));
        next.push(self.line(&["load", "note", "hello"]));
        next.push(self.line(&["touch", "note", "hello", "--persist"]));
        next.push(self.line(&["stats"]));
        next.push(self.line(&["verify"]));
        next
    }
}

/// A command on an item; names that look like options stand behind `--`.
fn item<'a>(command: &'a str, options: &[&'a str], content_type: &'a str, key: &'a str) -> Vec<&'a str> {
    let mut words = vec![command];
    words.extend(options);
    if content_type.starts_with('-') || key.starts_with('-') {
        words.push("--");
    }
    words.extend([content_type, key]);
    words
}
