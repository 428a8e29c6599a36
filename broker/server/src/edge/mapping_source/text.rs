//! The texts that a source is named with: bounded, printable, and of the form that the source's own client takes. It does not know which
//! field of which source is which.

use trine_proto::v1::Refusal;
use url::Url;

use crate::refusal::invalid;

const TEXT_BYTES_MAX: usize = 2_048;
const REGION_BYTES_MAX: usize = 64;

/// What a URL may hold beside host and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    None,
    /// The number of a database.
    Number,
    Any,
}

/// A URL of a server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form {
    pub(super) schemes: &'static [&'static str],
    pub(super) path: Path,
    /// A right one, for people.
    pub(super) like: &'static str,
}

/// Text that may be empty.
pub(super) fn short(field: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "{field} must have at most {TEXT_BYTES_MAX} bytes and no control characters."
        )));
    }
    Ok(())
}

pub(super) fn filled(field: &str, text: &str) -> Result<(), Refusal> {
    if text.trim().is_empty() {
        return Err(invalid(format!("{field} must be given; it is empty.")));
    }
    short(field, text)
}

/// A name of at most `bytes_max` bytes with none of `forbidden` in it.
pub(super) fn name(
    field: &str,
    text: &str,
    bytes_max: usize,
    forbidden: &[char],
) -> Result<(), Refusal> {
    filled(field, text)?;
    // Where a blank is forbidden, each kind of it is.
    let blank = forbidden.contains(&' ') && text.contains(char::is_whitespace);
    if text.len() <= bytes_max && !text.contains(forbidden) && !blank {
        return Ok(());
    }
    let without = match forbidden {
        [] => String::new(),
        _ => format!(" without any of{}", forbidden.iter().map(spelled).collect::<String>()),
    };
    Err(invalid(format!("{field} must have 1 to {bytes_max} bytes{without}.")))
}

fn spelled(one: &char) -> String {
    if *one == ' ' { " blanks".to_owned() } else { format!(" {one}") }
}

pub(super) fn one_of(field: &str, text: &str, allowed: &[&str]) -> Result<(), Refusal> {
    if text.is_empty() || allowed.contains(&text) {
        return Ok(());
    }
    Err(invalid(format!("{field} must be one of {}.", allowed.join(", "))))
}

/// The URL itself is never repeated: it may hold what should not be in it.
pub(super) fn url(field: &str, text: &str, form: Form) -> Result<(), Refusal> {
    filled(field, text)?;
    let Form { schemes, path, like } = form;
    let wrong = |why: &str| invalid(format!("{field} must be like {like}: {why}."));
    if !schemes.iter().any(|scheme| text.starts_with(&format!("{scheme}://"))) {
        let schemes: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
        return Err(invalid(format!("{field} must begin with {}.", schemes.join(" or "))));
    }
    if text.contains(char::is_whitespace) {
        return Err(wrong("it holds a blank"));
    }
    if text.contains('@') {
        let instead = match path {
            Path::Any => "they come from the poller's environment or secrets",
            Path::None | Path::Number => "give the user and the name of a secret",
        };
        return Err(invalid(format!("{field} must not hold credentials; {instead}.")));
    }
    let parsed = Url::parse(text).map_err(|error| wrong(&format!("it has {error}")))?;
    if parsed.host_str().unwrap_or_default().is_empty() {
        return Err(wrong("it has no host"));
    }
    if parsed.port() == Some(0) {
        return Err(wrong("there is no port 0"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong("it holds more than an address"));
    }
    let rest = parsed.path().trim_start_matches('/');
    let fits = match path {
        Path::None => rest.is_empty(),
        Path::Number => rest.is_empty() || rest.parse::<u16>().is_ok(),
        Path::Any => true,
    };
    if fits { Ok(()) } else { Err(wrong("it holds more than an address")) }
}

/// `host:port`, as Kafka's clients take it.
pub(super) fn address(field: &str, text: &str) -> Result<(), Refusal> {
    let form = Form { schemes: &["kafka"], path: Path::None, like: "host:9092" };
    let wrong = || invalid(format!("{field} must be like host:9092."));
    filled(field, text)?;
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    if host.is_empty() || host.contains(['/', ',']) || port.parse::<u16>().is_err() {
        return Err(wrong());
    }
    url(field, &format!("kafka://{text}"), form)
}

/// A secret is named, never given: what does not look like a name is refused, and not repeated.
pub(super) fn login(field: &str, user: &str, secret: &str) -> Result<(), Refusal> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    if secret.len() > 128 || !secret.bytes().all(fine) {
        return Err(invalid(format!(
            "{field} must be the name of a secret, 1 to 128 characters [a-zA-Z0-9_.-], not the secret itself."
        )));
    }
    short("the user name", user)
}

/// The resource of an ARN of `service`, which is not empty.
pub(super) fn arn<'t>(field: &str, text: &'t str, like: &str) -> Result<&'t str, Refusal> {
    short(field, text)?;
    let service = like.split(':').nth(2).unwrap_or_default();
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let wrong = || invalid(format!("{field} must be an ARN, {like}."));
    let ["arn", partition, found, region, account, resource] = parts[..] else {
        return Err(wrong());
    };
    let is_whole = ![partition, account, resource].contains(&"");
    if !is_whole || found != service || !is_region(region) {
        return Err(wrong());
    }
    Ok(resource)
}

/// It becomes a part of a host's name.
pub(super) fn is_region(text: &str) -> bool {
    let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=REGION_BYTES_MAX).contains(&text.len()) && text.bytes().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REDIS: Form =
        Form { schemes: &["redis", "rediss"], path: Path::Number, like: "redis://host:6379" };

    #[test]
    fn urls_that_cannot_be_reached_are_refused_with_what_was_expected() {
        for fine in ["redis://h", "rediss://h:1/2", "redis://[::1]:6379", "redis://h/"] {
            url("redis.url", fine, REDIS).unwrap();
        }
        for (text, why) in [
            ("", "must be given"),
            ("redis://", "no host"),
            ("redis://:6379", "must be like"),
            ("redis://h:0", "no port 0"),
            ("redis://h:99999", "invalid port"),
            ("redis://h:x", "invalid port"),
            ("redis://h/x", "more than an address"),
            ("redis://h?password=hush", "more than an address"),
            ("redis://h#hush", "more than an address"),
            ("redis://a b", "holds a blank"),
            ("redis://a:1 ", "holds a blank"),
            ("http://h", "must begin with redis:// or rediss://"),
            ("redis://joe:hush@h", "credentials"),
        ] {
            let refusal = url("redis.url", text, REDIS).unwrap_err();
            assert!(refusal.message.starts_with("redis.url must "), "{refusal:?}");
            assert!(refusal.message.contains(why), "{text}: {}", refusal.message);
            assert!(!refusal.message.contains("hush"), "{}", refusal.message);
        }
    }

    #[test]
    fn a_kafka_server_is_a_host_and_a_port() {
        for fine in ["a:9092", "[::1]:9093", "10.0.0.1:1"] {
            address("kafka.bootstrap_servers", fine).unwrap();
        }
        for wrong in ["", "a", "a:0", "a:x", ":1", "kafka://a:1", "a:1,b:2", "a:1/x", "u:p@a:1"] {
            assert!(address("kafka.bootstrap_servers", wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_arn_has_six_parts_of_one_service() {
        const LIKE: &str = "arn:aws:sqs:REGION:ACCOUNT:QUEUE";
        assert_eq!(arn("f", "arn:aws-cn:sqs:cn-north-1:1:a:b", LIKE), Ok("a:b"));
        for wrong in [
            "",
            "arn:aws:sqs:eu-west-1:1",
            "arn:aws:sns:eu-west-1:1:q",
            "arn:aws:sqs::1:q",
            "arn:aws:sqs:eu west:1:q",
            "arn:aws:sqs:evil.example/:1:q",
            "arn:aws:sqs:eu-west-1::q",
            "arn:aws:sqs:eu-west-1:1:",
        ] {
            let refusal = arn("f", wrong, LIKE).unwrap_err();
            assert_eq!(refusal.message, format!("f must be an ARN, {LIKE}."), "{wrong}");
        }
    }

    #[test]
    fn names_say_what_may_not_be_in_them() {
        name("nats.stream", "ORDERS", 255, &['.', ' ']).unwrap();
        let refusal = name("nats.stream", "a.b", 255, &['.', ' ']).unwrap_err();
        assert_eq!(
            refusal.message,
            "nats.stream must have 1 to 255 bytes without any of . blanks."
        );
        let refusal = name("rabbitmq.queue", &"q".repeat(256), 255, &[]).unwrap_err();
        assert_eq!(refusal.message, "rabbitmq.queue must have 1 to 255 bytes.");
    }
}
