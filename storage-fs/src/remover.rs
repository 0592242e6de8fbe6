//! The thread that removes payload files nobody names any more.

use std::{
    io,
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

use crate::blobs::{self, BlobId};

/// The thread that removes payload files. It ends once every sender of it is gone and what was sent is removed.
#[derive(Debug)]
pub(crate) struct Remover {
    thread: Option<JoinHandle<()>>,
}

impl Remover {
    pub(crate) fn start(folder: PathBuf) -> io::Result<(Self, Sender<BlobId>)> {
        let (sender, removals) = channel();
        let thread = thread::Builder::new().name("storage-fs remover".into());
        let thread = thread.spawn(move || remove_all(&folder, &removals))?;
        Ok((Self { thread: Some(thread) }, sender))
    }
}

fn remove_all(folder: &std::path::Path, removals: &Receiver<BlobId>) {
    for id in removals {
        if let Err(cause) = blobs::remove(folder, id) {
            // It is swept at the next opening.
            tracing::warn!(%cause, file = %id, "a payload file could not be removed");
        }
    }
}

impl Drop for Remover {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that removes payload files panicked");
        }
    }
}
