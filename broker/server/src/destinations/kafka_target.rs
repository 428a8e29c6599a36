//! The cluster and topic of a Kafka destination, read once.

use super::server_name::server_name;

/// Most bootstrap servers of one destination: any one of them is enough to find the others.
const SERVERS_MAX: usize = 16;

/// Longest name of a topic, in bytes: Kafka's own bound.
const TOPIC_BYTES_MAX: usize = 249;

/// Where to produce to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KafkaTarget {
    /// `host:port`, sorted, with commas between: the name of the cluster for caches and the client.
    pub(super) cluster: String,
    pub(super) topic: String,
}

impl KafkaTarget {
    pub(super) fn parse(servers: &[Box<str>], topic: &str) -> Result<Self, String> {
        if servers.is_empty() {
            return Err(
                "a Kafka destination has bootstrap servers, host:port each; only the on-failure \
                        destination of a mapping that reads Kafka may leave them to its source"
                    .to_owned(),
            );
        }
        if servers.len() > SERVERS_MAX {
            return Err(format!(
                "a Kafka destination has at most {SERVERS_MAX} bootstrap servers, not {}",
                servers.len()
            ));
        }
        if servers.iter().any(|server| server.contains('@')) {
            return Err(
                "credentials do not belong into a destination; the broker's configuration \
                        holds them (destinations.kafka)"
                    .to_owned(),
            );
        }
        let name = |server: &str| {
            server_name(server, None)
                .ok_or_else(|| "a Kafka destination's bootstrap servers are host:port".to_owned())
        };
        let mut servers: Vec<String> =
            servers.iter().map(|server| name(server)).collect::<Result<_, _>>()?;
        servers.sort_unstable();
        servers.dedup();
        check_topic(topic)?;
        Ok(Self { cluster: servers.join(","), topic: topic.to_owned() })
    }
}

fn check_topic(topic: &str) -> Result<(), String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let dots = topic == "." || topic == "..";
    if topic.is_empty() || topic.len() > TOPIC_BYTES_MAX || dots || !topic.bytes().all(fine) {
        return Err(format!(
            "a Kafka destination's topic is 1 to {TOPIC_BYTES_MAX} of a-z A-Z 0-9 . _ -"
        ));
    }
    // Kafka's own: who could write them could change what clusters remember.
    if topic.starts_with("__") {
        return Err(
            "a Kafka destination's topic does not start with __: those are the servers' own"
                .to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(servers: &[&str], topic: &str) -> Result<KafkaTarget, String> {
        let servers: Vec<Box<str>> = servers.iter().map(|&server| server.into()).collect();
        KafkaTarget::parse(&servers, topic)
    }

    #[test]
    fn a_cluster_has_one_name() {
        let target = parse(&["K2:9092", "k1:9092", "k2:9092"], "orders.failed").unwrap();
        assert_eq!(target.cluster, "k1:9092,k2:9092");
        assert_eq!(target.topic, "orders.failed");
    }

    #[test]
    fn what_is_no_cluster_or_topic_is_refused() {
        for (servers, topic, part) in [
            (&[][..], "a", "has bootstrap servers"),
            (&["k"], "a", "host:port"),
            (&["k:1,evil:2"], "a", "host:port"),
            (&["u:secret@k:1"], "a", "credentials"),
            (&["k:1"; 17], "a", "at most 16"),
            (&["k:1"], "", "a-z A-Z"),
            (&["k:1"], "a b", "a-z A-Z"),
            (&["k:1"], "..", "a-z A-Z"),
            (&["k:1"], "__consumer_offsets", "servers' own"),
        ] {
            let error = parse(servers, topic).expect_err(topic);
            assert!(error.contains(part) && !error.contains("secret"), "{error}");
        }
        assert!(parse(&["k:1"], &"a".repeat(TOPIC_BYTES_MAX + 1)).is_err());
    }
}
