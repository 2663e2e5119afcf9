//! Whom to believe that they are the agent, and who we are.

use std::{fs, path::Path, sync::Arc};

use rustls::{CertificateError, crypto::ring};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsProvider, parse_pem};

use super::AgentError;
use crate::cli::args::AgentTlsArgs;

/// What the options say; without any, the machine's own CAs.
pub(super) fn config(args: &AgentTlsArgs) -> Result<TlsConfig, AgentError> {
    let roots = match &args.agent_ca {
        Some(path) => certificates("--agent-ca", path)?,
        None => system()?,
    };
    let client = match (&args.agent_cert, &args.agent_key) {
        (Some(cert), Some(key)) => {
            let chain = certificates("--agent-cert", cert)?;
            Some(ClientCert::new_with_certs(&chain, private_key(key)?))
        }
        _ => None,
    };
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .root_certs(RootCerts::new_with_certs(&roots))
        .client_cert(client)
        .build())
}

fn wrong(option: &'static str, path: &Path, why: impl ToString) -> AgentError {
    AgentError::Tls { option, place: path.display().to_string(), why: why.to_string() }
}

fn certificates(option: &'static str, path: &Path) -> Result<Vec<Certificate<'static>>, AgentError> {
    let pem = fs::read(path).map_err(|error| wrong(option, path, error))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        Err(wrong(option, path, "no certificate in PEM there"))
    } else {
        Ok(certificates)
    }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, AgentError> {
    let pem = fs::read(path).map_err(|error| wrong("--agent-key", path, error))?;
    PrivateKey::from_pem(&pem).map_err(|_| wrong("--agent-key", path, "no private key in PEM there"))
}

/// Those that the machine's administrator believes.
fn system() -> Result<Vec<Certificate<'static>>, AgentError> {
    let found = rustls_native_certs::load_native_certs();
    let roots: Vec<_> = found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
    if roots.is_empty() {
        return Err(AgentError::Tls {
            option: "--agent-ca",
            place: "is not given".to_owned(),
            why: "and this machine has no CAs of its own (Debian: ca-certificates)".to_owned(),
        });
    }
    Ok(roots)
}

/// What can be done about it.
pub(super) fn hint(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "; the CA that signed it is given with --agent-ca FILE"
        }
        rustls::Error::InvalidMessage(_) => "; does it speak HTTPS at all?",
        _ => "",
    }
}
