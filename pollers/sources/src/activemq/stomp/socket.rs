//! The bytes' way to the server: a TCP connection, or TLS over one. It does not know frames.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use super::client::Trouble;
use crate::SourceError;
use crate::trust::{CaFile, advised};

pub(super) type Reading = Box<dyn AsyncRead + Send + Unpin>;
pub(super) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// Whose certificates are taken.
#[derive(Clone, Debug)]
pub(crate) struct Tls(Arc<ClientConfig>);

impl Tls {
    /// Those of the file's authorities; of the system's, if no file is named.
    ///
    /// # Errors
    /// When there are no authorities.
    pub(crate) async fn new(ca_file: &CaFile) -> Result<Self, SourceError> {
        let mut roots = RootCertStore::empty();
        // One that is of no use does not take the others along.
        if let Some(pem) = ca_file.pem().await? {
            let all = CertificateDer::pem_slice_iter(pem.as_bytes());
            roots.add_parsable_certificates(all.filter_map(Result::ok));
        } else {
            // They are files, and many.
            let system = spawn_blocking(rustls_native_certs::load_native_certs).await;
            roots.add_parsable_certificates(system.map(|found| found.certs).unwrap_or_default());
        }
        if roots.is_empty() {
            return Err(ca_file.wrong("holds no certificate that can be used"));
        }
        let wrong = |why: &str| SourceError::configuration(format!("TLS cannot be begun: {why}"));
        // Named, because a second provider in the same binary would make the default one ambiguous.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(&error.to_string()))?;
        Ok(Self(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
    }
}

/// Connects, and shakes hands if `tls` says with whom.
pub(super) async fn open(
    (host, port): (&str, u16),
    tls: Option<&Tls>,
) -> Result<(Reading, Writing), Trouble> {
    let socket = TcpStream::connect((host, port)).await;
    let socket = socket.map_err(|error| Trouble::Broken(format!("cannot be reached: {error}")))?;
    // Acks are small and waited for.
    let _ = socket.set_nodelay(true);
    let Some(Tls(config)) = tls else {
        let (reading, writing) = socket.into_split();
        return Ok((Box::new(reading), Box::new(writing)));
    };
    let untrusted =
        |says: String| Trouble::Broken(advised(format!("makes no TLS connection: {says}")));
    let name =
        ServerName::try_from(host.to_owned()).map_err(|error| untrusted(error.to_string()))?;
    let connecting = TlsConnector::from(Arc::clone(config)).connect(name, socket).await;
    let secured = connecting.map_err(|error| untrusted(error.to_string()))?;
    let (reading, writing) = tokio::io::split(secured);
    Ok((Box::new(reading), Box::new(writing)))
}
