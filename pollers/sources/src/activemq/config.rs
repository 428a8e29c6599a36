//! What a mapping says of its ActiveMQ queue, checked. It does not know whether the server is there.

use trine_proto::v1::ActiveMqSource;

use crate::address::Address;
use crate::trust::CaFile;
use crate::{Binding, Secrets, ShardName, SourceError};

/// Longest name of a queue, in bytes: it is the name of the shard too.
const NAME_BYTES_MAX: usize = 512;

/// What makes a name an option, a list or a pattern of queues.
const NOT_A_NAME: [char; 5] = ['?', ',', '*', '>', '\n'];

/// A queue and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) address: Address,
    pub(crate) tls: bool,
    pub(crate) ca_file: CaFile,
    pub(crate) queue: String,
    pub(crate) shard: ShardName,
    /// `None`: whoever comes may read.
    pub(crate) username: Option<String>,
    pub(crate) event_source_arn: String,
    password_secret: String,
    secrets: Secrets,
}

impl Config {
    pub(crate) fn new(given: &ActiveMqSource, binding: &Binding) -> Result<Self, SourceError> {
        let schemes = [("stomp", 61613), ("stomp+ssl", 61614)];
        let like = "stomp://host:61613 or stomp+ssl://host:61614";
        let address = Address::parse(&given.url, &schemes, like)?;
        let tls = address.scheme == "stomp+ssl";
        let ca_file = CaFile::new(&given.ca_file, tls, "TLS: expected a url of stomp+ssl://")?;
        let queue = &given.queue;
        if queue.is_empty() || queue.len() > NAME_BYTES_MAX || queue.contains(NOT_A_NAME) {
            let says = format!(
                "queue is \"{queue}\"; expected the name of one queue, 1 to {NAME_BYTES_MAX} bytes without ?, comma, * and >"
            );
            return Err(SourceError::configuration(says));
        }
        if given.username.is_empty() && !given.password_secret.is_empty() {
            let says = "password_secret is set but username is empty; expected both or none";
            return Err(SourceError::configuration(says));
        }
        let event_source_arn = if given.event_source_arn.is_empty() {
            format!("trine:activemq:{address}/{queue}")
        } else {
            given.event_source_arn.clone()
        };
        let username = Some(given.username.clone()).filter(|name| !name.is_empty());
        if let Some(name) = &username {
            one_line("username", name)?;
        }
        Ok(Self {
            address,
            tls,
            ca_file,
            queue: queue.clone(),
            shard: ShardName::new(queue),
            username,
            event_source_arn,
            password_secret: given.password_secret.clone(),
            secrets: binding.secrets.clone(),
        })
    }

    /// Looked up anew for each connection: a secret may be changed.
    pub(crate) fn password(&self) -> Result<String, SourceError> {
        let password = self.secrets.get(&self.password_secret)?.unwrap_or_default();
        one_line("the password", &password)?;
        Ok(password)
    }

    /// The queue as STOMP names it.
    pub(crate) fn destination(&self) -> String {
        format!("/queue/{}", self.queue)
    }
}

/// STOMP has no escapes in the frame that logs in.
fn one_line(what: &str, text: &str) -> Result<(), SourceError> {
    if text.contains(['\n', '\r', '\0']) {
        let says = format!("{what} has more than one line, which STOMP cannot say; expected one");
        return Err(SourceError::configuration(says));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::Start;

    fn config(change: impl FnOnce(&mut ActiveMqSource)) -> Result<Config, SourceError> {
        let secrets = [("lines", "a\nb"), ("good", "hush")];
        let secrets = secrets.map(|(name, secret)| (name.to_owned(), secret.to_owned()));
        let binding = Binding {
            mapping_id: "0a".into(),
            start: Start::TrimHorizon,
            secrets: Secrets::new(BTreeMap::from(secrets)),
        };
        let mut given = ActiveMqSource {
            url: "stomp://broker".to_owned(),
            queue: "orders".to_owned(),
            ..ActiveMqSource::default()
        };
        change(&mut given);
        Config::new(&given, &binding)
    }

    #[test]
    fn what_is_not_said_has_defaults() {
        let config = config(|_| {}).unwrap();
        assert_eq!((config.address.port, &config.username), (61613, &None));
        let secured = self::config(|c| c.url = "stomp+ssl://broker".to_owned()).unwrap();
        assert!(secured.tls && !config.tls);
        assert_eq!(secured.address.port, 61614);
        assert_eq!(config.event_source_arn, "trine:activemq:broker:61613/orders");
        assert_eq!(config.destination(), "/queue/orders");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (config, why) in [
            (config(|c| c.queue.clear()), "queue is \"\""),
            (config(|c| c.queue = "a,b".to_owned()), "the name of one queue"),
            (config(|c| c.queue = "a?consumer.exclusive=true".to_owned()), "the name of one queue"),
            (config(|c| c.url = "amqp://a:1".to_owned()), "scheme is not known"),
            (config(|c| c.password_secret = "good".to_owned()), "username is empty"),
            (config(|c| c.username = "a\nb".to_owned()), "more than one line"),
            (config(|c| c.ca_file = "ca.pem".to_owned()), "expected a url of stomp+ssl://"),
        ] {
            let says = config.unwrap_err().to_string();
            assert!(says.contains(why), "{says}");
        }
        let lines = |c: &mut ActiveMqSource| {
            c.username = "joe".to_owned();
            c.password_secret = "lines".to_owned();
        };
        let says = config(lines).unwrap().password().unwrap_err().to_string();
        assert!(says.contains("more than one line") && !says.contains("a\nb"), "{says}");
    }
}
