//! The server, virtual host, exchange and routing key of a RabbitMQ destination, read once.

use super::server_name::server_name;

/// Longest name that AMQP can carry, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The virtual host that RabbitMQ makes for itself.
const VIRTUAL_HOST_DEFAULT: &str = "/";

/// Where to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RabbitMqTarget {
    pub(super) tls: bool,
    /// `host:port`, in lower case: the name of the server for credentials and messages.
    pub(super) server: String,
    pub(super) virtual_host: String,
    /// Empty: the default one, for which the routing key is the name of a queue.
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

impl RabbitMqTarget {
    pub(super) fn parse(
        url: &str,
        virtual_host: &str,
        exchange: &str,
        routing_key: &str,
    ) -> Result<Self, String> {
        let (tls, server) = server(url)?;
        for (what, name) in [
            ("virtual host", virtual_host),
            ("exchange", exchange),
            (if exchange.is_empty() { "queue" } else { "routing key" }, routing_key),
        ] {
            if name.len() > NAME_BYTES_MAX || name.contains(char::is_control) {
                return Err(format!(
                    "the {what} of a RabbitMQ destination has at most {NAME_BYTES_MAX} bytes and no \
                     line breaks or other control characters"
                ));
            }
        }
        if exchange.is_empty() && routing_key.is_empty() {
            return Err(
                "a RabbitMQ destination names a queue (routing_key), or an exchange and a routing key"
                    .to_owned(),
            );
        }
        let virtual_host =
            if virtual_host.is_empty() { VIRTUAL_HOST_DEFAULT } else { virtual_host };
        Ok(Self {
            tls,
            server,
            virtual_host: virtual_host.to_owned(),
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
        })
    }

    /// The name of the connection that leads to it: a virtual host is one.
    pub(super) fn connection(&self) -> String {
        let scheme = if self.tls { "amqps" } else { "amqp" };
        format!("{scheme}://{}/{}", self.server, self.virtual_host)
    }
}

fn server(url: &str) -> Result<(bool, String), String> {
    let expected =
        || "a RabbitMQ destination's URL is amqp://host:port or amqps://host:port".to_owned();
    let (scheme, authority) = url.split_once("://").ok_or_else(expected)?;
    let (tls, port_default) = match scheme {
        "amqp" => (false, 5672),
        "amqps" => (true, 5671),
        _ => return Err(expected()),
    };
    if authority.contains('@') {
        return Err("credentials do not belong into the URL of a destination; the broker's \
                    configuration holds them (destinations.rabbitmq)"
            .to_owned());
    }
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let server = server_name(authority, Some(port_default)).ok_or_else(expected)?;
    Ok((tls, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_and_virtual_hosts_have_one_name() {
        for (url, virtual_host, expected) in [
            ("amqp://Rabbit", "", "amqp://rabbit:5672//"),
            ("amqps://rabbit/", "orders", "amqps://rabbit:5671/orders"),
            ("amqp://[::1]:1", "/", "amqp://[::1]:1//"),
        ] {
            let target = RabbitMqTarget::parse(url, virtual_host, "", "failures").unwrap();
            assert_eq!(target.connection(), expected);
        }
    }

    #[test]
    fn what_is_no_place_to_publish_to_is_refused() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for (url, virtual_host, exchange, routing_key, part) in [
            ("rabbit:5672", "", "", "q", "amqp://host:port"),
            ("stomp://rabbit:5672", "", "", "q", "amqp://host:port"),
            ("amqp://rabbit:5672/vhost", "", "", "q", "amqp://host:port"),
            ("amqp://u:secret@rabbit:5672", "", "", "q", "credentials"),
            ("amqp://rabbit", "", "", "", "names a queue"),
            ("amqp://rabbit", "", "", &long, "the queue of"),
            ("amqp://rabbit", "", "e", &long, "the routing key of"),
            ("amqp://rabbit", "", &long, "", "the exchange of"),
            ("amqp://rabbit", "a\nb", "", "q", "the virtual host of"),
        ] {
            let error =
                RabbitMqTarget::parse(url, virtual_host, exchange, routing_key).expect_err(url);
            assert!(error.contains(part) && !error.contains("secret"), "{url}: {error}");
        }
        assert!(RabbitMqTarget::parse("amqp://rabbit", "", "fanout", "").is_ok());
    }
}
