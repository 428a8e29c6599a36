//! What a mapping says of its RabbitMQ queue, checked. It does not know whether the queue exists.

use std::sync::Arc;

use lapin::types::ShortString;
use trine_proto::v1::RabbitMqSource;

use crate::address::Address;
use crate::trust::CaFile;
use crate::{Binding, Secrets, ShardName, SourceError};

/// Longest name that AMQP can carry, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The virtual host that RabbitMQ makes for itself.
const VIRTUAL_HOST_DEFAULT: &str = "/";

/// The user that RabbitMQ makes for itself, and its password. A server takes it from its own machine only.
const USER_DEFAULT: &str = "guest";

/// A queue and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) address: Address,
    pub(crate) ca_file: CaFile,
    pub(crate) virtual_host: String,
    pub(crate) queue: ShortString,
    pub(crate) shard: ShardName,
    pub(crate) username: String,
    pub(crate) event_source_arn: String,
    /// With what the names of its consumers begin, which the server shows: the mapping can be found by them.
    pub(crate) consumer_tag: String,
    password_secret: String,
    secrets: Secrets,
    pub(crate) mapping_id: Arc<str>,
}

impl Config {
    pub(crate) fn new(given: &RabbitMqSource, binding: &Binding) -> Result<Self, SourceError> {
        let schemes = [("amqp", 5672), ("amqps", 5671)];
        let address =
            Address::parse(&given.url, &schemes, "amqp://host:5672 or amqps://host:5671")?;
        let tls = address.scheme == "amqps";
        let ca_file = CaFile::new(&given.ca_file, tls, "TLS: expected a url of amqps://")?;
        let virtual_host = or_else(&given.virtual_host, VIRTUAL_HOST_DEFAULT);
        short("virtual_host", &virtual_host)?;
        if given.queue.is_empty() {
            return Err(SourceError::configuration("queue is empty; expected the name of a queue"));
        }
        let consumer_tag = format!("trine-{}", binding.mapping_id);
        short("mapping id", &format!("{consumer_tag}-{}", u64::MAX))?;
        let arn = format!("trine:rabbitmq:{address}/{}", given.queue);
        if given.username.is_empty() && !given.password_secret.is_empty() {
            let says = "password_secret is set but username is empty; expected both or none";
            return Err(SourceError::configuration(says));
        }
        Ok(Self {
            address,
            ca_file,
            virtual_host,
            queue: short("queue", &given.queue)?,
            shard: ShardName::new(&given.queue),
            username: or_else(&given.username, USER_DEFAULT),
            event_source_arn: or_else(&given.event_source_arn, &arn),
            consumer_tag,
            password_secret: given.password_secret.clone(),
            secrets: binding.secrets.clone(),
            mapping_id: Arc::clone(&binding.mapping_id),
        })
    }

    /// Looked up anew for each connection: a secret may be changed.
    pub(crate) fn password(&self) -> Result<String, SourceError> {
        let found = self.secrets.get(&self.password_secret)?;
        Ok(found.unwrap_or_else(|| USER_DEFAULT.to_owned()))
    }
}

fn or_else(given: &str, default: &str) -> String {
    if given.is_empty() { default.to_owned() } else { given.to_owned() }
}

fn short(what: &str, text: &str) -> Result<ShortString, SourceError> {
    if text.len() > NAME_BYTES_MAX {
        let says = format!(
            "{what} has {} bytes; expected at most {NAME_BYTES_MAX}, which is all that AMQP can carry",
            text.len()
        );
        return Err(SourceError::configuration(says));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Start;

    fn config(change: impl FnOnce(&mut RabbitMqSource)) -> Result<Config, SourceError> {
        let binding = Binding {
            mapping_id: "0a".into(),
            start: Start::TrimHorizon,
            secrets: Secrets::default(),
        };
        let mut given = RabbitMqSource {
            url: "amqp://rabbit:5672".to_owned(),
            queue: "orders".to_owned(),
            ..RabbitMqSource::default()
        };
        change(&mut given);
        Config::new(&given, &binding)
    }

    #[test]
    fn what_is_not_said_has_the_servers_defaults() {
        let config = config(|_| {}).unwrap();
        assert_eq!((config.virtual_host.as_str(), config.username.as_str()), ("/", "guest"));
        assert_eq!(config.password().unwrap(), "guest");
        assert_eq!(config.event_source_arn, "trine:rabbitmq:rabbit:5672/orders");
        assert_eq!(config.consumer_tag, "trine-0a");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, why) in [
            (config(|c| c.queue.clear()), "queue is empty"),
            (config(|c| c.queue = "q".repeat(256)), "queue has 256 bytes"),
            (config(|c| c.virtual_host = "v".repeat(256)), "virtual_host has 256 bytes"),
            (config(|c| c.url = "stomp://a:1".to_owned()), "scheme is not known"),
            (config(|c| c.password_secret = "p".to_owned()), "username is empty"),
            (config(|c| c.ca_file = "ca.pem".to_owned()), "expected a url of amqps://"),
        ] {
            let says = config.unwrap_err().to_string();
            assert!(says.contains(why), "{says}");
        }
    }
}
