//! TLS by rustls, with the cryptography of `ring`.

use std::{io, path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

use crate::config::web::{ClientAuth, Pem, TlsSettings, TlsVersion};

/// Certificates or keys that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("{place}: no {what} in PEM there")]
    Missing {
        /// The file, or the key of the configuration.
        place: String,
        /// What was looked for.
        what: &'static str,
    },
    /// The certificate and the key do not do, or not together.
    #[error("{place}: {source}")]
    Certificate {
        /// The file, or the key of the configuration.
        place: String,
        /// Why.
        source: rustls::Error,
    },
    /// The CA of clients.
    #[error("{place}: {why}")]
    ClientCa {
        /// The file, or the key of the configuration.
        place: String,
        /// Why.
        why: String,
    },
    /// A version without ciphers.
    #[error("TLS: {0}")]
    Versions(rustls::Error),
}

fn place(pem: &Pem, key: &str) -> String {
    pem.file().map_or_else(|| key.to_owned(), |path| path.display().to_string())
}

fn bytes(pem: &Pem) -> Result<Vec<u8>, TlsError> {
    match pem {
        Pem::Text(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => {
            std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source })
        }
    }
}

fn certificates(pem: &Pem, key: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let missing = || TlsError::Missing { place: place(pem, key), what: "certificate" };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes(pem)?).collect();
    certificates.ok().filter(|certificates| !certificates.is_empty()).ok_or_else(missing)
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    let range = settings.min_version..=settings.max_version;
    let all = [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];
    all.into_iter().filter(|(version, _)| range.contains(version)).map(|(_, version)| version).collect()
}

/// Reads certificates and keys, and checks that they belong together.
pub(super) fn server(settings: &TlsSettings) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&settings.cert, "cert")?;
    let key = PrivateKeyDer::from_pem_slice(&bytes(&settings.key)?)
        .map_err(|_| TlsError::Missing { place: place(&settings.key, "key"), what: "private key" })?;
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(settings))
        .map_err(TlsError::Versions)?;
    let config = match (settings.client_auth, &settings.client_ca) {
        (ClientAuth::None, _) | (_, None) => config.with_no_client_auth(),
        (kind, Some(ca)) => {
            let wrong = |why: &dyn ToString| TlsError::ClientCa {
                place: place(ca, "client_ca"),
                why: why.to_string(),
            };
            let mut roots = RootCertStore::empty();
            for certificate in certificates(ca, "client_ca")? {
                roots.add(certificate).map_err(|error| wrong(&error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match kind {
                ClientAuth::IfGiven => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            config.with_client_cert_verifier(verifier.build().map_err(|error| wrong(&error))?)
        }
    };
    let mut config = config
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Certificate { place: place(&settings.cert, "cert"), source })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
