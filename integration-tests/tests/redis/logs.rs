//! Everything that is logged in this thread while a test collects it, down to the finest level.

use std::{cell::RefCell, io, sync::Once};

use tracing::Level;

thread_local! {
    static LINES: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

/// Collects until it is dropped. Only a runtime of one thread does all its work where this looks.
///
/// There is one subscriber for all threads: whether a line of code logs at all is remembered for all of them together.
pub(crate) struct Logs;

impl Logs {
    pub(crate) fn collect() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_ansi(false);
            tracing::subscriber::set_global_default(subscriber.with_writer(|| Lines).finish()).unwrap();
        });
        LINES.set(Some(Vec::new()));
        Self
    }

    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8_lossy(lines.as_deref().unwrap_or_default()).into_owned())
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        LINES.set(None);
    }
}

struct Lines;

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.with_borrow_mut(|lines| {
            if let Some(lines) = lines {
                lines.extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
