//! SQLite: one thread that writes, connections that read beside it.

use std::{path::Path, sync::Arc};

use storage_core::Result;

use crate::{config::SqlConfig, engine::Engine};

pub(crate) async fn open(_config: &SqlConfig, _path: &Path, _create: bool) -> Result<Arc<dyn Engine>> {
    todo!()
}
