//! TLS for servers of tests: a certificate that nobody on this machine vouches for, and a listener that speaks TLS in front of a server that
//! does not.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// A certificate of 127.0.0.1 that vouches for itself.
pub(crate) struct Certificate {
    folder: TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("made");
        let this = Self { folder };
        std::fs::write(this.file(), made.cert.pem()).expect("a file");
        std::fs::write(this.key_file(), made.signing_key.serialize_pem()).expect("a file");
        this
    }

    /// What clients are told to trust.
    pub(crate) fn ca_file(&self) -> String {
        self.file().display().to_string()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    pub(crate) fn key_file(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Listens on a free port and passes on what it hears to `server`; ends with its runtime.
    pub(crate) async fn in_front_of(&self, server: &str) -> SocketAddr {
        let chain = vec![CertificateDer::from_pem_file(self.file()).expect("a certificate")];
        let key = PrivateKeyDer::from_pem_file(self.key_file()).expect("a key");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("they belong together");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let server = server.to_owned();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), server.clone());
                tokio::spawn(async move {
                    // Clients that trust nobody end the handshake.
                    let Ok(mut client) = acceptor.accept(client).await else { return };
                    let mut server = TcpStream::connect(server).await.expect("the server is there");
                    // An end on either side is the end of both.
                    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                });
            }
        });
        address
    }
}
