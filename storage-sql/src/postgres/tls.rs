//! How connections are encrypted: which authorities are trusted, and who we are.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use storage_core::{ErrorKind, Result, StorageError};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{config::TlsConfig, error::failure};

/// What makes encrypted connections of `config`. There is no way to leave out the check of the server's certificate.
///
/// # Errors
/// [`ErrorKind::Config`] if a file cannot be read, or holds no certificate or key.
pub(crate) fn connector(config: &TlsConfig) -> Result<MakeRustlsConnect> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("tls", error))?
        .with_root_certificates(authorities(config)?);
    let client = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("tls.certificate", certificate)?, private_key(key.expose())?)
            .map_err(|error| refused("tls.certificate and tls.key do not fit together", error))?,
        _ => builder.with_no_client_auth(),
    };
    Ok(MakeRustlsConnect::new(client))
}

fn authorities(config: &TlsConfig) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(ca) => {
            for certificate in certificates("tls.ca", ca)? {
                roots
                    .add(certificate)
                    .map_err(|error| refused("tls.ca holds a damaged certificate", error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(failure(ErrorKind::Config, "tls.ca is not given, and the system trusts nobody"));
            }
        }
    }
    Ok(roots)
}

fn certificates(field: &'static str, text: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem(field, text)?)
        .collect::<Result<_, _>>()
        .map_err(|error| refused(&format!("{field} cannot be read"), error))?;
    if found.is_empty() {
        return Err(failure(ErrorKind::Config, format!("{field} holds no certificate in PEM form")));
    }
    Ok(found)
}

/// The cause is left out: it might repeat a part of the key.
fn private_key(text: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(&pem("tls.key", text)?)
        .map_err(|_| failure(ErrorKind::Config, "tls.key holds no private key in PEM form"))
}

/// The text itself if it is in PEM form, else the content of the file of that name.
fn pem(field: &str, text: &str) -> Result<Vec<u8>> {
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    fs::read(text).map_err(|error| refused(&format!("the file of {field} cannot be read"), error))
}

fn refused(message: &str, cause: impl std::error::Error + Send + Sync + 'static) -> StorageError {
    failure(ErrorKind::Config, message.to_owned()).with_source(cause)
}
