//! What happens where a server cannot be had.

use std::{env, fmt};

/// Why a server cannot be had on this machine.
#[derive(Debug)]
pub struct Unavailable(String);

impl Unavailable {
    pub(crate) fn new(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The server, or nothing and a loud notice; `REQUIRE_BACKENDS=1` turns the notice into a failure.
pub fn found<T>(server: Result<T, Unavailable>) -> Option<T> {
    let why = match server {
        Ok(server) => return Some(server),
        Err(why) => why,
    };
    let message = format!("NOT TESTED: a server is missing: {why}");
    assert!(env::var_os("REQUIRE_BACKENDS").is_none_or(|value| value != "1"), "{message}");
    eprintln!("{message}");
    None
}
