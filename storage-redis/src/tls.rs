//! How connections are encrypted: which authorities are trusted, and who we are.

use std::{fs, sync::Arc};

use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::WantsClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use storage_core::{ErrorKind, Result};
use tokio_rustls::TlsConnector;

use crate::{config::TlsConfig, error::failure};

/// What makes encrypted connections of `config`. There is no way to leave out the check of the server's certificate.
///
/// # Errors
/// [`ErrorKind::Config`] if a file cannot be read, or holds no certificate or key.
pub(crate) fn connector(config: &TlsConfig) -> Result<TlsConnector> {
    let builder = builder(authorities(config)?)?;
    let config = match (&config.certificate, &config.key) {
        (Some(certificate), Some(key)) => builder
            .with_client_auth_cert(certificates("tls.certificate", certificate)?, private_key(key.expose())?)
            .map_err(|error| refused("tls.certificate and tls.key do not fit together", error))?,
        _ => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What refuses every certificate: it only shows whether a server has one.
pub(crate) fn trusting_nobody() -> Result<TlsConnector> {
    Ok(TlsConnector::from(Arc::new(builder(RootCertStore::empty())?.with_no_client_auth())))
}

fn builder(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("tls", error))?
        .with_root_certificates(roots))
}

/// The name that the certificate of `host` must carry.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| refused("a host of nodes cannot be the name in a certificate", error))
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
    let pem = pem(field, text)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&pem)
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

fn refused(
    message: &str,
    cause: impl std::error::Error + Send + Sync + 'static,
) -> storage_core::StorageError {
    failure(ErrorKind::Config, message.to_owned()).with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage_core::Secret;

    fn refusal(config: &TlsConfig) -> storage_core::StorageError {
        match connector(config) {
            Ok(_) => panic!("accepted {config:?}"),
            Err(error) => error,
        }
    }

    #[test]
    fn files_that_are_missing_or_empty_are_named() {
        let missing = TlsConfig { ca: Some("/nowhere/ca.pem".into()), ..TlsConfig::default() };
        let empty = TlsConfig { ca: Some("-----BEGIN NOTHING".into()), ..TlsConfig::default() };
        for config in [missing, empty] {
            let error = refusal(&config);
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.message().contains("tls.ca"), "{error}");
        }
    }

    #[test]
    fn a_key_that_is_none_is_refused_without_showing_it() {
        let config = TlsConfig {
            ca: None,
            certificate: Some("/nowhere/cert.pem".into()),
            key: Some(Secret::new("-----BEGIN hunter2")),
        };
        let error = private_key(config.key.as_ref().unwrap().expose()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
