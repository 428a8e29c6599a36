//! Where a message broker listens, out of a URL that holds nothing else. It does not know which protocol is spoken there.

use crate::SourceError;

/// A host and a port, and how they are spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: &'static str,
    /// Without the brackets of an IPv6 address.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// `scheme://host:port` with one of the schemes; each comes with its usual port. `like` shows a right one.
    ///
    /// # Errors
    /// When it is something else. Credentials are refused by name: they would be shown with the mapping.
    pub(crate) fn parse(
        url: &str,
        schemes: &[(&'static str, u16)],
        like: &str,
    ) -> Result<Self, SourceError> {
        let shown = url.rsplit_once('@').map_or(url, |(_, host)| host);
        let wrong = |why: &str| {
            SourceError::configuration(format!("url is \"{shown}\": {why}; expected {like}"))
        };
        let (scheme, authority) = url.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
        let Some((scheme, usual_port)) = schemes.iter().copied().find(|(name, _)| *name == scheme)
        else {
            return Err(wrong("its scheme is not known"));
        };
        if authority.contains('@') {
            return Err(wrong(
                "it holds credentials, which belong into username and password_secret",
            ));
        }
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        if authority.contains(['/', '?', '#']) {
            return Err(wrong("there is more than host and port in it"));
        }
        let (host, port) = split(authority).ok_or_else(|| wrong("it has no host"))?;
        let port = match port {
            None => usual_port,
            Some(port) => port.parse().map_err(|_| wrong("its port is not one of 1..=65535"))?,
        };
        if host.is_empty() || port == 0 {
            return Err(wrong("it has no host or no port"));
        }
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

/// Host and port, apart.
fn split(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(bracketed) = authority.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']')?;
        return Some((host, rest.strip_prefix(':')));
    }
    Some(match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    })
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            return write!(f, "[{}]:{}", self.host, self.port);
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Address, SourceError> {
        Address::parse(url, &[("amqp", 5672), ("amqps", 5671)], "amqp://host:5672")
    }

    #[test]
    fn addresses_are_read() {
        for (url, scheme, shown) in [
            ("amqp://a.example:1234", "amqp", "a.example:1234"),
            ("amqp://a.example/", "amqp", "a.example:5672"),
            ("amqps://10.0.0.1", "amqps", "10.0.0.1:5671"),
            ("amqp://[::1]:77", "amqp", "[::1]:77"),
            ("amqp://[::1]", "amqp", "[::1]:5672"),
        ] {
            let address = parse(url).unwrap();
            assert_eq!((address.scheme, address.to_string().as_str()), (scheme, shown), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_is_shown() {
        for (url, why) in [
            ("a:1", "no scheme"),
            ("http://a:1", "scheme is not known"),
            ("amqp://joe:hush@a:1", "credentials"),
            ("amqp://a:1/vhost", "more than host and port"),
            ("amqp://a:x", "port is not one of"),
            ("amqp://a:0", "no port"),
            ("amqp://:1", "no host"),
            ("amqp://[::1", "no host"),
        ] {
            let says = parse(url).unwrap_err().to_string();
            assert!(says.contains(why) && !says.contains("hush"), "{url}: {says}");
            assert!(says.ends_with("expected amqp://host:5672"), "{says}");
        }
    }
}
