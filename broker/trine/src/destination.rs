//! Reads the notation of destinations (`trine_proto::notation`), and `none`.
//!
//! It knows the notation and what the contract says of each part; whether a destination is
//! allowed is the broker's decision.

use trine_proto::notation::decode;
use trine_proto::v1;
use trine_proto::v1::destination::Target;

/// In the notation that [`parse`] reads.
pub(crate) use trine_proto::notation::destination as show;

/// What is accepted, for messages.
pub(crate) const EXPECTED: &str = "function:NAME, http://… or https://…, \
    nats://HOST:PORT/SUBJECT, jetstream://HOST:PORT/SUBJECT, file:NAME, sqs:ARN or sqs:URL, \
    sns:URL#TOPIC_ARN, kafka://HOST:PORT/TOPIC, rabbitmq://HOST:PORT/QUEUE or …/EXCHANGE/KEY, or none";

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
        "sqs" => Target::Sqs(sqs(rest)?),
        "sns" => Target::Sns(sns(rest)?),
        "kafka" => Target::Kafka(kafka(rest)?),
        "rabbitmq" => Target::Rabbitmq(rabbitmq("amqp", rest)?),
        "rabbitmqs" => Target::Rabbitmq(rabbitmq("amqps", rest)?),
        _ => return Err(format!("unknown kind {scheme:?}: expected {EXPECTED}")),
    };
    Ok(DestinationArgument::To(v1::Destination { target: Some(target) }))
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

fn sqs(rest: &str) -> Result<v1::SqsDestination, String> {
    let (queue, query) = rest.split_once('?').unwrap_or((rest, ""));
    if !queue.starts_with("arn:") && !queue.contains("://") {
        return Err(
            "expected sqs:arn:aws:sqs:REGION:ACCOUNT:NAME or the queue's URL, and perhaps \
                    ?region=REGION&endpoint_url=URL"
                .to_owned(),
        );
    }
    if rest.contains('@') {
        return Err(no_credentials("are the broker's own (AWS_ACCESS_KEY_ID)"));
    }
    let [region, endpoint_url] = parameters(query, ["region", "endpoint_url"])?;
    Ok(v1::SqsDestination { queue: queue.to_owned(), region, endpoint_url })
}

fn sns(rest: &str) -> Result<v1::SnsDestination, String> {
    let expected = || "expected sns:URL#TOPIC_ARN, sns:https://HOST/PATH#arn:aws:sns:…".to_owned();
    let (url, topic_arn) = rest.rsplit_once('#').ok_or_else(expected)?;
    let after_scheme = ["http:", "https:"].into_iter().find_map(|scheme| url.strip_prefix(scheme));
    let url = http_url(url, after_scheme.ok_or_else(expected)?)?;
    if !topic_arn.starts_with("arn:") {
        return Err(expected());
    }
    Ok(v1::SnsDestination { url, topic_arn: topic_arn.to_owned() })
}

/// Without servers it is a topic of the cluster that the mapping reads (LS 4.8).
fn kafka(rest: &str) -> Result<v1::KafkaDestination, String> {
    let expected = || "expected HOST:PORT,HOST:PORT/TOPIC after kafka://".to_owned();
    let rest = rest.strip_prefix("//").ok_or_else(expected)?;
    if rest.contains('@') {
        return Err(no_credentials("are in the broker's configuration (destinations.kafka)"));
    }
    let (servers, topic) = match rest.split_once('/') {
        Some((servers, topic)) => (servers.split(',').map(str::to_owned).collect(), topic),
        None => (Vec::new(), rest),
    };
    let fine = |server: &String| match server.rsplit_once(':') {
        Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
        None => false,
    };
    if topic.is_empty() || topic.contains(['/', ':']) || !servers.iter().all(fine) {
        return Err(expected());
    }
    Ok(v1::KafkaDestination { bootstrap_servers: servers, topic: topic.to_owned() })
}

fn rabbitmq(scheme: &str, rest: &str) -> Result<v1::RabbitMqDestination, String> {
    let expected = || {
        "expected HOST:PORT/QUEUE or HOST:PORT/EXCHANGE/ROUTING_KEY after rabbitmq://, and perhaps \
                       ?virtual_host=NAME; names are percent-encoded"
            .to_owned()
    };
    let rest = rest.strip_prefix("//").ok_or_else(expected)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (server, names) = rest.split_once('/').ok_or_else(expected)?;
    if server.contains('@') {
        return Err(no_credentials("are in the broker's configuration (destinations.rabbitmq)"));
    }
    let (exchange, routing_key) = names.split_once('/').unwrap_or(("", names));
    let name = |text: &str| decode(text).ok_or_else(expected);
    let [virtual_host] = parameters(query, ["virtual_host"])?;
    if server.is_empty() || names.is_empty() || routing_key.contains('/') {
        return Err(expected());
    }
    Ok(v1::RabbitMqDestination {
        url: format!("{scheme}://{server}"),
        virtual_host: name(&virtual_host)?,
        exchange: name(exchange)?,
        routing_key: name(routing_key)?,
    })
}

/// What a query says of `names`, in their order; empty where it says nothing.
fn parameters<const N: usize>(query: &str, names: [&str; N]) -> Result<[String; N], String> {
    let mut values = names.map(|_| String::new());
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let place = names.iter().position(|known| *known == name);
        let place = place.ok_or_else(|| {
            format!("unknown parameter {name:?}: expected {}", names.join(" or "))
        })?;
        values[place] = value.to_owned();
    }
    Ok(values)
}

fn no_credentials(where_they_are: &str) -> String {
    format!("credentials do not belong into a destination; they {where_they_are}")
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
            "sqs:arn:aws:sqs:eu-west-1:123456789012:failures",
            "sqs:https://sqs.eu-west-1.amazonaws.com/123456789012/failures",
            "sqs:arn:aws:sqs:us-east-1:000000000000:q?endpoint_url=http://127.0.0.1:4566",
            "sqs:http://127.0.0.1:4566/000000000000/q?region=us-east-1&endpoint_url=http://b:1",
            "sns:https://example.com/topic?a=b#arn:aws:sns:eu-west-1:123456789012:failures",
            "kafka://k1:9092,k2:9092/orders.failed",
            "kafka://orders.failed",
            "rabbitmq://localhost:5672/failures",
            "rabbitmq://localhost/a%20queue%2F%C3%BC",
            "rabbitmqs://rabbit:5671/orders/failed.%23?virtual_host=%2Fshop",
            "rabbitmq://[::1]:5672/fanout/",
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
            ("s3:bucket", "unknown kind \"s3\""),
            ("sqs:queue", "expected sqs:arn:"),
            ("sqs:https://k:s@localhost/1/q", "credentials"),
            ("sqs:arn:aws:sqs:eu-west-1:1:q?reg=a", "unknown parameter \"reg\""),
            ("sns:https://example.com/topic", "sns:URL#TOPIC_ARN"),
            ("sns:ftp://example.com#arn:aws:sns:eu-west-1:1:t", "sns:URL#TOPIC_ARN"),
            ("sns:https://example.com/#topic", "sns:URL#TOPIC_ARN"),
            ("sns:https://u:p@example.com/#arn:aws:sns:eu-west-1:1:t", "credentials"),
            ("kafka:topic", "HOST:PORT"),
            ("kafka://", "HOST:PORT"),
            ("kafka://k1/topic", "HOST:PORT"),
            ("kafka://k1:9092", "HOST:PORT"),
            ("kafka://u:p@k1:9092/topic", "credentials"),
            ("rabbitmq://localhost:5672", "HOST:PORT/QUEUE"),
            ("rabbitmq://localhost:5672/", "HOST:PORT/QUEUE"),
            ("rabbitmq://localhost:5672/a/b/c", "HOST:PORT/QUEUE"),
            ("rabbitmq://localhost:5672/a%2", "percent-encoded"),
            ("rabbitmq://u:p@localhost:5672/a", "credentials"),
            ("rabbitmq://localhost:5672/a?vhost=b", "unknown parameter \"vhost\""),
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
