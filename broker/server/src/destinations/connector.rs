//! Connections of all that is spoken to over HTTP: names are resolved here, addresses judged here, and what was
//! judged is what is connected to.
//!
//! A check of the name at creation, or a second lookup after a check, could be answered differently
//! by a name server that wants to (DNS rebinding). No proxy is read from the environment: one would
//! be asked to connect instead and judge nothing.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;

use super::address::Internal;

/// Addresses of one name that are tried, at most.
const ADDRESSES_MAX: usize = 4;

/// Longest wait for one address to accept a connection.
const CONNECT_WAIT: Duration = Duration::from_secs(3);

/// The answer of a [`Resolver`].
pub type Resolution = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Turns a host name into addresses, in the order in which to try them.
#[derive(Clone)]
pub struct Resolver(Arc<dyn Fn(String) -> Resolution + Send + Sync>);

impl Resolver {
    /// What `resolve` says. For tests and for machines with a resolver of their own.
    pub fn new(resolve: impl Fn(String) -> Resolution + Send + Sync + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// What the operating system says.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|host| {
            Box::pin(async move {
                // The port is only there because the lookup wants one.
                let found = tokio::net::lookup_host((host, 0)).await?;
                Ok(found.map(|address| address.ip()).collect())
            })
        })
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolver")
    }
}

/// The host is, or resolves to, nothing but internal addresses, and those are not allowed.
#[derive(Debug)]
pub(super) struct InternalAddress {
    pub(super) host: String,
    pub(super) internal: Internal,
}

impl fmt::Display for InternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not which address: a name server's private answers are not for whoever wrote the URL.
        let Self { host, internal } = self;
        write!(
            f,
            "{host} leads to {internal}; HTTP destinations reach no internal addresses unless the \
             broker's configuration sets destinations.allow_internal_addresses"
        )
    }
}

impl std::error::Error for InternalAddress {}

/// Opens connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) resolver: Resolver,
    pub(super) allow_internal: bool,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<TcpStream>, BoxError> {
        let host = host(&uri);
        let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        let port = uri.port_u16().unwrap_or(default);
        let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in self.addresses(host).await? {
            match tokio::time::timeout(CONNECT_WAIT, open(SocketAddr::new(address, port))).await {
                Ok(Ok(stream)) => return Ok(TokioIo::new(stream)),
                Ok(Err(refused)) => error = refused,
                Err(_) => error = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(error.into())
    }

    /// The addresses that may be connected to. Internal ones among others are passed over; nothing
    /// but internal ones is an error.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, BoxError> {
        let mut addresses = match host.parse() {
            Ok(address) => vec![address],
            Err(_) => (self.resolver.0)(host.to_owned()).await?,
        };
        if !self.allow_internal {
            let internal = addresses.iter().find_map(|address| Internal::of(*address));
            addresses.retain(|address| Internal::of(*address).is_none());
            if let Some(internal) = internal.filter(|_| addresses.is_empty()) {
                return Err(InternalAddress { host: host.to_owned(), internal }.into());
            }
        }
        addresses.truncate(ADDRESSES_MAX);
        Ok(addresses)
    }
}

/// The host of `uri` without the brackets around an IPv6 address.
pub(super) fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connector(answer: &'static [&'static str]) -> Connector {
        let resolver = Resolver::new(|_| {
            let answer = answer.iter().map(|text| text.parse().unwrap()).collect();
            Box::pin(async move { Ok(answer) })
        });
        Connector { resolver, allow_internal: false }
    }

    #[tokio::test]
    async fn internal_addresses_among_others_are_passed_over() {
        let connector = connector(&["10.0.0.1", "192.0.2.1", "::1", "2606:4700::1111"]);
        let addresses = connector.addresses("two.faces").await.unwrap();
        assert_eq!(
            addresses,
            ["192.0.2.1", "2606:4700::1111"].map(|a| a.parse::<IpAddr>().unwrap())
        );
    }

    #[tokio::test]
    async fn nothing_but_internal_addresses_is_an_error_that_names_none() {
        for answer in [&["127.0.0.1"][..], &["::ffff:127.0.0.1", "10.0.0.1"]] {
            let error = connector(answer).addresses("hooks.example").await.unwrap_err();
            let error = error.downcast::<InternalAddress>().unwrap().to_string();
            assert!(error.starts_with("hooks.example leads to a loopback address"), "{error}");
            assert!(!error.contains("127") && !error.contains("10.0"), "{error}");
        }
        let error = connector(&["192.0.2.1"]).addresses("169.254.169.254").await.unwrap_err();
        assert!(error.to_string().contains("a cloud metadata address"), "{error}");
    }
}
