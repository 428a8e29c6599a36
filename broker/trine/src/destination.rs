//! The notation of destinations: `function:NAME`, `http://…`, `nats://host:port/subject`,
//! `jetstream://host:port/subject`, `file:NAME`, and `none`.
//!
//! It knows the notation and what the contract says of each part; whether a destination is
//! allowed is the broker's decision.

use trine_proto::v1;
use trine_proto::v1::destination::Target;

/// What is accepted, for messages.
pub(crate) const EXPECTED: &str = "function:NAME, http://… or https://…, \
    nats://HOST:PORT/SUBJECT, jetstream://HOST:PORT/SUBJECT, file:NAME, or none";

/// A destination as it was written on the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum DestinationArgument {
    /// `none`: no destination; an update takes away the one that is set.
    None,
    To(v1::Destination),
}

/// Reads one destination.
pub(crate) fn parse(text: &str) -> Result<DestinationArgument, String> {
    if text == "none" {
        return Ok(DestinationArgument::None);
    }
    let (scheme, rest) = text.split_once(':').ok_or_else(|| format!("expected {EXPECTED}"))?;
    let target = match scheme {
        "function" => Target::Function(function_name(rest)?),
        "http" | "https" => Target::Http(v1::HttpDestination { url: http_url(text, rest)? }),
        "nats" | "jetstream" => Target::Nats(nats(rest, scheme == "jetstream")?),
        "file" => Target::File(v1::FileDestination { name: file_name(rest)? }),
        _ => return Err(format!("unknown kind {scheme:?}: expected {EXPECTED}")),
    };
    Ok(DestinationArgument::To(v1::Destination { target: Some(target) }))
}

/// In the notation that [`parse`] reads.
pub(crate) fn show(destination: &v1::Destination) -> String {
    match &destination.target {
        None => "none".to_owned(),
        Some(Target::Function(name)) => format!("function:{name}"),
        Some(Target::Http(http)) => http.url.clone(),
        Some(Target::File(file)) => format!("file:{}", file.name),
        Some(Target::Nats(nats)) => {
            let server = nats.url.strip_prefix("nats://").unwrap_or(&nats.url);
            let scheme = if nats.jetstream { "jetstream" } else { "nats" };
            format!("{scheme}://{server}/{}", nats.subject)
        }
    }
}

fn function_name(name: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > 64 || !name.chars().all(legal) {
        return Err(format!("{name:?} is not a function name: 1 to 64 of a-z A-Z 0-9 - _"));
    }
    Ok(name.to_owned())
}

fn http_url(url: &str, rest: &str) -> Result<String, String> {
    let host = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?', '#']).next());
    match host {
        None | Some("") => Err("expected a host: https://HOST/PATH".to_owned()),
        Some(host) if host.contains('@') => {
            Err("credentials do not belong into the URL of a destination".to_owned())
        }
        Some(_) if url.contains(char::is_whitespace) => Err("a URL has no spaces".to_owned()),
        Some(_) => Ok(url.to_owned()),
    }
}

fn nats(rest: &str, jetstream: bool) -> Result<v1::NatsDestination, String> {
    let expected = || "expected HOST:PORT/SUBJECT after nats:// or jetstream://".to_owned();
    let (server, subject) =
        rest.strip_prefix("//").and_then(|rest| rest.split_once('/')).ok_or_else(expected)?;
    if server.contains('@') {
        return Err("credentials do not belong into a destination; the broker's configuration \
             holds them (destinations.nats)"
            .to_owned());
    }
    let (host, port) = server.rsplit_once(':').ok_or_else(expected)?;
    if host.is_empty() || port.parse::<u16>().is_err() {
        return Err(expected());
    }
    let token = |token: &str| !token.is_empty() && !token.contains(['*', '>', ' ', '\t']);
    if !subject.split('.').all(token) {
        return Err(format!(
            "{subject:?} is not a subject to publish to: names with dots between, no * or >"
        ));
    }
    Ok(v1::NatsDestination {
        url: format!("nats://{server}"),
        subject: subject.to_owned(),
        jetstream,
    })
}

fn file_name(name: &str) -> Result<String, String> {
    if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
        return Err(format!(
            "{name:?} is not a plain file name; the broker's configuration says which folder"
        ));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_shows() {
        for text in [
            "function:thumb-nail_2",
            "http://127.0.0.1:8080",
            "https://example.com/hooks/a?b=c",
            "nats://localhost:4222/orders.failed",
            "jetstream://[::1]:4222/orders.failed",
            "file:failures.jsonl",
        ] {
            let Ok(DestinationArgument::To(destination)) = parse(text) else {
                panic!("{text} was refused");
            };
            assert_eq!(show(&destination), text);
        }
        assert_eq!(parse("none"), Ok(DestinationArgument::None));
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, part) in [
            ("", "expected function:NAME"),
            ("thumbnail", "expected function:NAME"),
            ("sqs:queue", "unknown kind \"sqs\""),
            ("function:", "not a function name"),
            ("function:a b", "not a function name"),
            ("http:example.com", "expected a host"),
            ("http://", "expected a host"),
            ("http:///path", "expected a host"),
            ("https://user:pass@example.com", "credentials"),
            ("http://exa mple.com", "no spaces"),
            ("nats://localhost/orders", "HOST:PORT"),
            ("nats://localhost:x/orders", "HOST:PORT"),
            ("nats://localhost:4222", "HOST:PORT"),
            ("nats://u:p@localhost:4222/a", "credentials"),
            ("nats://localhost:4222/orders.*", "not a subject"),
            ("nats://localhost:4222/orders..x", "not a subject"),
            ("file:../x", "plain file name"),
            ("file:", "plain file name"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
