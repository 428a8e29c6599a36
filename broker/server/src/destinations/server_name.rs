//! The name of a server, `host:port`, as credentials, caches and messages use it. It does not know which protocol is spoken there.

use std::net::Ipv6Addr;

/// Longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// `authority` in lower case and with its port; `None` if it is no `host:port`. Without a default the port has to be there.
pub(super) fn server_name(authority: &str, port_default: Option<u16>) -> Option<String> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, port_default?),
    };
    let literal = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let fine = match literal {
        Some(literal) => literal.parse::<Ipv6Addr>().is_ok(),
        None => {
            let fine = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            !host.is_empty() && host.len() <= HOST_BYTES_MAX && host.bytes().all(fine)
        }
    };
    (fine && port != 0).then(|| format!("{}:{port}", host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_one_name() {
        for (authority, expected) in [
            ("localhost:9092", Some("localhost:9092")),
            ("LocalHost", Some("localhost:5672")),
            ("10.0.0.1:1", Some("10.0.0.1:1")),
            ("[::1]:4333", Some("[::1]:4333")),
            ("[::1]", Some("[::1]:5672")),
            ("n_1.rabbit.svc:4222", Some("n_1.rabbit.svc:4222")),
            ("", None),
            (":4222", None),
            ("localhost:0", None),
            ("localhost:65536", None),
            ("a,b:4222", None),
            ("a/b:4222", None),
            ("::1", None),
            ("[localhost]:4222", None),
        ] {
            assert_eq!(server_name(authority, Some(5672)).as_deref(), expected, "{authority}");
        }
        assert_eq!(server_name("localhost", None), None);
    }
}
