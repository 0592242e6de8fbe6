//! What the driver is told about the server and the encryption.

use std::path::PathBuf;

use mysql_async::{ClientIdentity, Opts, OptsBuilder, SslOpts};
use rustls::crypto::{CryptoProvider, ring};
use storage_core::{ErrorKind, Result};

use crate::{
    config::{SqlConfig, TlsConfig},
    error::failure,
};

/// Statements that a connection keeps prepared: those of every size of a batch, and some searches.
const STATEMENTS: usize = 128;

/// The options of the driver for the database at `url`.
pub(super) fn options(config: &SqlConfig, url: &str) -> Result<Opts> {
    // The cause may repeat the URL.
    let opts = Opts::from_url(url).map_err(|_| {
        failure(ErrorKind::Config, "url cannot be read, or has a setting that the driver does not take")
    })?;
    if opts.db_name().is_none_or(str::is_empty) {
        return Err(failure(ErrorKind::Config, "url names no database"));
    }
    // A socket is used where the URL names one. The driver would ask the server for its own one otherwise, and leave the
    // address that it was given.
    let by_socket = opts.socket().is_some();
    let encrypted = opts.ssl_opts().is_some();
    let mut builder = OptsBuilder::from_opts(opts).prefer_socket(by_socket).stmt_cache_size(STATEMENTS);
    if let Some(tls) = &config.tls {
        builder = builder.ssl_opts(encryption(tls)?);
    }
    if encrypted || config.tls.is_some() {
        choose_cryptography();
    }
    Ok(builder.into())
}

/// The driver uses the cryptography that the process has chosen, and panics if there are several to choose from.
fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may choose at the same moment, which is as good.
        let _other = ring::default_provider().install_default();
    }
}

fn encryption(tls: &TlsConfig) -> Result<SslOpts> {
    let roots = match &tls.ca {
        Some(ca) => vec![Pem::of(ca)],
        None => system_roots()?,
    };
    let identity = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Some(ClientIdentity::new(Pem::of(certificate).into_driver(), Pem::of(key.expose()).into_driver()))
        }
        _ => None,
    };
    Ok(SslOpts::default()
        .with_disable_built_in_roots(true)
        .with_root_certs(roots.into_iter().map(Pem::into_driver).collect())
        .with_client_identity(identity))
}

/// The text itself, or the name of the file that holds it.
enum Pem {
    Text(Vec<u8>),
    File(PathBuf),
}

impl Pem {
    fn of(text: &str) -> Self {
        if text.contains("-----BEGIN") { Self::Text(text.into()) } else { Self::File(text.into()) }
    }

    /// The driver has a type for this that it does not export.
    fn into_driver<T: From<Vec<u8>> + From<PathBuf>>(self) -> T {
        match self {
            Self::Text(text) => text.into(),
            Self::File(path) => path.into(),
        }
    }
}

fn system_roots() -> Result<Vec<Pem>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(failure(
            ErrorKind::Config,
            "the operating system trusts no authority; name one in tls.ca",
        ));
    }
    Ok(found.certs.into_iter().map(|root| Pem::Text(root.to_vec())).collect())
}
