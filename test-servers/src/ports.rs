//! Ports for servers: never the same one for two servers of any test process.

use std::{
    env,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
};

/// A port that is reserved for as long as this lives, also while no server listens on it.
///
/// The reservation is a lock on a file, which the system lets go when the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _reservation: File,
}

/// Systems take the ports of outgoing connections from above; a server that restarts must find its port free.
const RANGE: std::ops::Range<u16> = 10_000..32_000;
const ATTEMPTS: usize = 1_000;

impl Port {
    /// Reserves a port that nobody listens on.
    pub(crate) fn reserve() -> Self {
        (0..ATTEMPTS).find_map(|_| Self::try_reserve(fastrand::u16(RANGE))).expect("some port is free")
    }

    pub(crate) const fn number(&self) -> u16 {
        self.number
    }

    fn try_reserve(number: u16) -> Option<Self> {
        let user = rustix::process::getuid().as_raw();
        let directory = env::temp_dir().join(format!("test-servers-ports-{user}"));
        fs::create_dir_all(&directory).expect("the scratch directory is writable");
        let file = File::create(directory.join(number.to_string())).ok()?;
        file.try_lock().ok()?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _reservation: file })
    }
}
