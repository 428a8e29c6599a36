//! The URL of an HTTP destination, read once: what may be written, and what of it may be told.
//!
//! It does not resolve names; whether an address may be reached is decided where one is connected to.

use std::net::IpAddr;

use hyper::Uri;
use url::{Host, Url};

use super::address::Internal;
use super::connector;

/// Longest URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// Where to POST.
#[derive(Debug, Clone)]
pub(super) struct HttpTarget {
    uri: Uri,
    /// `https://host:port`: all of a URL that messages may show. Paths and queries of webhooks are
    /// often all that keeps strangers out.
    origin: String,
    host: Host,
}

impl HttpTarget {
    /// Reads an absolute `http://` or `https://` URL.
    ///
    /// Stricter than browsers: what they forgive (missing or backward slashes, spaces, line breaks)
    /// is where two parsers disagree about the host. How the host is written is left to the URL
    /// standard, which reads `0x7f.1` and `2130706433` as the addresses they are.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or_default();
        if !matches!(&*scheme.to_ascii_lowercase(), "http" | "https") {
            return Err("an HTTP destination starts with http:// or https://".to_owned());
        }
        if text.len() > URL_BYTES_MAX {
            return Err(format!("an HTTP destination has at most {URL_BYTES_MAX} bytes"));
        }
        if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\')
            || rest.starts_with('/')
        {
            return Err("an HTTP destination has no spaces, backslashes or empty host".to_owned());
        }
        let bad =
            |what: &dyn std::fmt::Display| format!("an HTTP destination must be a URL: {what}");
        let mut url = Url::parse(text).map_err(|error| bad(&error))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into the URL of a destination".to_owned());
        }
        url.set_fragment(None);
        let host = url.host().ok_or_else(|| bad(&"it has no host"))?.to_owned();
        let port = url.port_or_known_default().filter(|port| *port != 0);
        let port = port.ok_or_else(|| bad(&"it has no port"))?;
        let origin = format!("{}://{host}:{port}", url.scheme());
        let uri =
            url.as_str().parse().map_err(|error: hyper::http::uri::InvalidUri| bad(&error))?;
        Ok(Self { uri, origin, host })
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// As it is written in the URL, without brackets.
    pub(super) fn host(&self) -> &str {
        connector::host(&self.uri)
    }

    pub(super) fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// What is internal about it as far as it can be told without asking a name server.
    pub(super) fn internal(&self) -> Option<Internal> {
        match &self.host {
            Host::Ipv4(address) => Internal::of(IpAddr::V4(*address)),
            Host::Ipv6(address) => Internal::of(IpAddr::V6(*address)),
            Host::Domain(name) => {
                // RFC 6761: loopback on every machine.
                let name = name.trim_end_matches('.');
                let local = name == "localhost" || name.ends_with(".localhost");
                local.then_some(Internal::Loopback)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_spellings_of_internal_hosts_are_seen_through() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1",
            "http://127.0.1:8080/x",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.0x1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "HTTP://127.0.0.1",
            "http://127.0.0.1./",
            "http://%31%32%37.0.0.1/",
            "http://１２７.0.0.1/",
            "http://127。0。0。1/",
            "http://[::1]:80/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://localhost/",
            "http://LOCALHOST:9000/",
            "http://localhost./",
            "http://a.localhost/",
        ] {
            let target = HttpTarget::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(target.internal(), Some(Internal::Loopback), "{url}");
        }
        for (url, expected) in [
            ("http://169.254.169.254/latest/meta-data", Internal::Metadata),
            ("http://2852039166/", Internal::Metadata),
            ("https://[fd00:ec2::254]/", Internal::Metadata),
            ("http://[::ffff:a9fe:a9fe]/", Internal::Metadata),
            ("http://[64:ff9b::a9fe:a9fe]/", Internal::Metadata),
            ("http://100.100.100.200/", Internal::Metadata),
            ("http://0/", Internal::Unspecified),
            ("http://[::]/", Internal::Unspecified),
            ("http://10.1.2.3/", Internal::Private),
            ("http://[fe80::1]/", Internal::LinkLocal),
        ] {
            let target = HttpTarget::parse(url).unwrap_or_else(|why| panic!("{url}: {why}"));
            assert_eq!(target.internal(), Some(expected), "{url}");
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        for url in [
            "",
            "example.com",
            "//example.com",
            "ftp://example.com",
            "unix:///run/socket",
            "http:example.com",
            "http:///example.com",
            "http://",
            "http://exa mple.com",
            "http://example.com\\@127.0.0.1/",
            "http://example.com\n/",
            "http://\texample.com/",
            "http://user@example.com/",
            "http://user:secret@example.com/",
            "http://:secret@example.com/",
            "http://example.com:99999/",
            "http://example.com:0/",
            "http://[::1%25lo]/",
            "http://[fe80::1%eth0]/",
            "http://1.2.3.4.5/",
            "http://256.1.1.1/",
            "http://a b/",
            &format!("http://example.com/{}", "a".repeat(URL_BYTES_MAX)),
        ] {
            let error = HttpTarget::parse(url).expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_the_origin_is_told() {
        let target = HttpTarget::parse("https://Hooks.Example/T0/B1/token?key=k#part").unwrap();
        assert_eq!(target.origin(), "https://hooks.example:443");
        assert_eq!(target.uri(), "https://hooks.example/T0/B1/token?key=k");
        assert_eq!(target.internal(), None);
        assert!(target.is_https());
    }
}
