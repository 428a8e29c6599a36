//! HTTPS destinations: certificates are checked, against what the machine trusts.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use trine_broker::DestinationPolicy;
use trine_broker::destinations::{DeliveryOutcome, Destinations};

use crate::{failed, http, success};

/// Where the test below, in a process of its own, delivers to.
const URL: &str = "TRINE_TEST_HTTPS_URL";

fn permissive() -> Destinations {
    Destinations::new(DestinationPolicy { allow_internal_addresses: true, ..Default::default() })
}

/// A receiver with a certificate of its own for `localhost`; its port and the certificate as PEM.
async fn receiver() -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that does not trust the certificate ends it here.
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let mut stream = BufReader::new(stream);
            if crate::receiver::read(&mut stream).await.is_some() {
                let answer = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (port, _) = receiver().await;
    let url = format!("https://localhost:{port}/token");
    let why = failed(permissive().deliver(&http(url), success()).await);
    assert_eq!(why, format!("https://localhost:{port}: invalid peer certificate: UnknownIssuer"));
}

/// What a process trusts is read from its environment once, so the delivery is made by another.
#[tokio::test]
async fn a_certificate_that_the_machine_trusts_is_taken_for_its_own_name_only() {
    let (port, pem) = receiver().await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, pem).unwrap();
    let status = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "https::delivers_for_the_test_above"])
        .env("SSL_CERT_FILE", trusted)
        .env(URL, format!("https://localhost:{port}/"))
        .status()
        .await
        .unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn delivers_for_the_test_above() {
    // Without its address this is not that process, and there is nothing to do.
    let Ok(url) = std::env::var(URL) else { return };
    let destinations = permissive();
    let outcome = destinations.deliver(&http(url.clone()), success()).await;
    assert_eq!(outcome, DeliveryOutcome::Taken);
    let other = url.replace("localhost", "127.0.0.1");
    let why = failed(destinations.deliver(&http(other), success()).await);
    assert!(why.contains("invalid peer certificate"), "{why}");
}
