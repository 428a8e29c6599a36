//! The server and subject of a NATS destination, read once.

use super::server_name::server_name;

/// Longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 256;

const PORT_DEFAULT: u16 = 4222;

/// Where to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NatsTarget {
    /// `host:port`, in lower case: the name of the server for credentials, caches and messages.
    server: String,
    subject: String,
}

impl NatsTarget {
    /// Reads `nats://host:port` and a subject to publish to.
    pub(super) fn parse(url: &str, subject: &str) -> Result<Self, String> {
        let server = server(url)?;
        check_subject(subject)?;
        Ok(Self { server, subject: subject.to_owned() })
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn subject(&self) -> &str {
        &self.subject
    }
}

fn server(url: &str) -> Result<String, String> {
    let expected = || "a NATS destination's URL is nats://host:port".to_owned();
    let authority = url.strip_prefix("nats://").ok_or_else(expected)?;
    if authority.contains('@') {
        return Err("credentials do not belong into the URL of a destination; the broker's \
                    configuration holds them (destinations.nats)"
            .to_owned());
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    server_name(authority, Some(PORT_DEFAULT)).ok_or_else(expected)
}

/// A subject that a record may be published to.
///
/// Subjects that start with `$` are the servers' own: with the broker's credentials a record sent
/// to `$JS.API.STREAM.PURGE.orders` would be an order, not a record.
fn check_subject(subject: &str) -> Result<(), String> {
    let fine = |token: &str| {
        let fine = |c: char| !c.is_whitespace() && !c.is_control() && c != '*' && c != '>';
        !token.is_empty() && token.chars().all(fine)
    };
    if subject.len() > SUBJECT_BYTES_MAX || !subject.split('.').all(fine) {
        return Err(format!(
            "a NATS destination's subject has names with dots between, no spaces, * or >, and at \
             most {SUBJECT_BYTES_MAX} bytes"
        ));
    }
    if subject.starts_with('$') {
        return Err(
            "a NATS destination's subject does not start with $: those are the servers' own"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_one_name() {
        for (url, expected) in [
            ("nats://localhost:4222", "localhost:4222"),
            ("nats://LocalHost", "localhost:4222"),
            ("nats://10.0.0.1:1/", "10.0.0.1:1"),
            ("nats://[::1]:4333", "[::1]:4333"),
            ("nats://[::1]", "[::1]:4222"),
            ("nats://n_1.nats.svc:4222", "n_1.nats.svc:4222"),
        ] {
            assert_eq!(server(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn what_is_no_server_or_subject_is_refused() {
        for url in [
            "",
            "localhost:4222",
            "tls://localhost:4222",
            "nats://",
            "nats://:4222",
            "nats://localhost:0",
            "nats://localhost:65536",
            "nats://localhost:42x",
            "nats://a,b:4222",
            "nats://a/b:4222",
            "nats://a b:4222",
            "nats://[::1",
            "nats://[localhost]:4222",
            "nats://::1",
            "nats://user:secret@localhost:4222",
        ] {
            let error = NatsTarget::parse(url, "a").expect_err(url);
            assert!(!error.contains("secret"), "{error}");
        }
        let long = "a".repeat(SUBJECT_BYTES_MAX + 1);
        for subject in
            ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "a\r\nPUB x", "$JS.API.x", &long]
        {
            NatsTarget::parse("nats://localhost:4222", subject).expect_err(subject);
        }
        assert!(NatsTarget::parse("nats://localhost:4222", "orders.failed.ü").is_ok());
    }
}
