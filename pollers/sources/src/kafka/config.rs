//! What a user may set of a Kafka source, checked, and the settings of the client library that follow from it. It does no I/O.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use trine_proto::v1::KafkaSource;

use super::security::Security;
use crate::{Binding, SourceError, Start};

/// Longest name of a consumer group, in characters (LS 4.8).
const GROUP_CHARS_MAX: usize = 200;

/// Longest name of a topic, in characters: Kafka's own bound.
const TOPIC_CHARS_MAX: usize = 249;

/// Records that are fetched ahead of who asks for them, in KiB, for each partition. A batch of 6 MiB of events carries about as much.
/// Fetching stops there, so a partition that nobody reads costs this and no more.
const AHEAD_KIB_MAX: u32 = 4_096;

/// The same where a topic has very many partitions. Below it fetching would come in crumbs.
const AHEAD_KIB_MIN: u32 = 256;

/// The same for all partitions of a topic together, as far as the two above allow.
const AHEAD_TOTAL_KIB: u32 = 262_144;

/// Largest piece that is fetched of one partition at a time, in KiB: the library's own.
const FETCH_KIB_MAX: u32 = 1_024;

/// Records that are fetched ahead for each partition: bounds what small ones cost beside their bytes.
const AHEAD_RECORDS: u32 = 20_000;

/// How long fetching rests that has reached one of those bounds, in milliseconds. The library's own second would starve a fast reader.
const AHEAD_REST_MS: u32 = 10;

/// How old the library's view of the watermarks is at most, in milliseconds: the lag is as exact as that.
const STATISTICS_EVERY_MS: u32 = 1_000;

/// How often the number of partitions is looked at, in milliseconds. The library's own five minutes leave a new partition unread.
const METADATA_EVERY_MS: u32 = 10_000;

/// A checked configuration.
#[derive(Debug)]
pub(super) struct Config {
    /// `host:port`, joined by commas.
    pub(super) bootstrap: Arc<str>,
    pub(super) topic: Arc<str>,
    pub(super) group: Arc<str>,
    /// The same for every poller that ever holds the mapping, so that the next one takes the place of the last (KIP-345).
    pub(super) instance: String,
    /// Empty: self-managed.
    pub(super) event_source_arn: Arc<str>,
    pub(super) start: Start,
    security: Security,
}

impl Config {
    /// Checks what the user set.
    pub(super) fn new(set: &KafkaSource, binding: &Binding) -> Result<Self, SourceError> {
        if set.bootstrap_servers.is_empty() {
            return Err(wrong("bootstrap_servers is empty, expected at least one host:port"));
        }
        for server in &set.bootstrap_servers {
            if !is_address(server) {
                return Err(wrong(&format!(
                    "bootstrap_servers has \"{server}\", expected host:port"
                )));
            }
        }
        if !is_topic(&set.topic) {
            let expected = format!("1 to {TOPIC_CHARS_MAX} characters [a-zA-Z0-9._-]");
            return Err(wrong(&format!("topic is \"{}\", expected {expected}", set.topic)));
        }
        let group = match set.consumer_group_id.as_str() {
            "" => &*binding.mapping_id,
            group => group,
        };
        if group.chars().count() > GROUP_CHARS_MAX || group.chars().any(char::is_control) {
            let expected = format!("1 to {GROUP_CHARS_MAX} printable characters");
            return Err(wrong(&format!("consumer_group_id is \"{group}\", expected {expected}")));
        }
        Ok(Self {
            bootstrap: set.bootstrap_servers.join(",").into(),
            topic: set.topic.as_str().into(),
            group: group.into(),
            instance: format!("trine-{}", binding.mapping_id),
            event_source_arn: set.event_source_arn.as_str().into(),
            start: binding.start,
            security: Security::new(set, binding)?,
        })
    }

    /// # Errors
    /// When what proves the brokers' names is not there: the library would say less.
    pub(super) async fn check_authorities(&self) -> Result<(), SourceError> {
        self.security.check().await
    }

    /// The library's settings for a client that only asks. It may commit offsets of the group while nobody is in it.
    pub(super) fn asking(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &*self.bootstrap)
            .set("client.id", &self.instance)
            .set("group.id", &*self.group)
            // Offsets are committed when a batch has ended, by `commit` and nothing else.
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A position that is no longer there is told, not silently replaced.
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("topic.metadata.refresh.interval.ms", METADATA_EVERY_MS.to_string())
            .set("socket.nagle.disable", "true")
            .set("socket.keepalive.enable", "true")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Warning);
        self.security.set(&mut client);
        client
    }

    /// The library's settings for a member of the group, which may get up to `partitions`. Its sessions have Kafka's own defaults.
    pub(super) fn member(&self, partitions: usize) -> ClientConfig {
        let mut client = self.asking();
        let ahead_kib = ahead_kib(partitions);
        let fetch_bytes = ahead_kib.min(FETCH_KIB_MAX) * 1024;
        client
            .set("group.instance.id", &self.instance)
            // Eager: cooperative rebalancing with own commits is known to lose assignments (librdkafka issue 4059).
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("queued.max.messages.kbytes", ahead_kib.to_string())
            .set("max.partition.fetch.bytes", fetch_bytes.to_string())
            .set("queued.min.messages", AHEAD_RECORDS.to_string())
            .set("fetch.queue.backoff.ms", AHEAD_REST_MS.to_string())
            .set("statistics.interval.ms", STATISTICS_EVERY_MS.to_string());
        client
    }

    /// The name of a partition as a shard.
    pub(super) fn shard(&self, partition: i32) -> crate::ShardName {
        crate::ShardName::new(&format!("{}-{partition}", self.topic))
    }

    /// The partition that a shard's name means.
    pub(super) fn partition(&self, shard: &str) -> Option<i32> {
        let number = shard.strip_prefix(&*self.topic)?.strip_prefix('-')?;
        number.parse().ok().filter(|partition| *partition >= 0)
    }
}

/// Records that are fetched ahead for each of so many partitions, in KiB.
pub(super) fn ahead_kib(partitions: usize) -> u32 {
    let partitions = u32::try_from(partitions).unwrap_or(u32::MAX).max(1);
    (AHEAD_TOTAL_KIB / partitions).clamp(AHEAD_KIB_MIN, AHEAD_KIB_MAX)
}

fn is_address(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let host_ok = !host.is_empty() && !host.contains([',', '/', ' ', '@']);
    host_ok && port.parse::<u16>().is_ok_and(|port| port > 0)
}

fn is_topic(topic: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=TOPIC_CHARS_MAX).contains(&topic.len())
        && topic.bytes().all(legal)
        && !matches!(topic, "." | "..")
}

/// A setting that cannot be right.
pub(super) fn wrong(says: &str) -> SourceError {
    SourceError::configuration(format!("kafka: {says}"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{Problem, Secrets};

    pub(in super::super) fn set() -> KafkaSource {
        KafkaSource {
            bootstrap_servers: vec!["a:9092".to_owned(), "[::1]:9093".to_owned()],
            topic: "orders".to_owned(),
            ..KafkaSource::default()
        }
    }

    pub(in super::super) fn binding() -> Binding {
        let secrets = [("kafka".to_owned(), "hush".to_owned())].into();
        Binding {
            mapping_id: "3f1c".into(),
            start: Start::TrimHorizon,
            secrets: Secrets::new(secrets),
        }
    }

    pub(in super::super) fn refused(change: impl FnOnce(&mut KafkaSource)) -> SourceError {
        let mut set = set();
        change(&mut set);
        Config::new(&set, &binding()).map(|_| ()).unwrap_err()
    }

    #[test]
    fn the_group_is_the_mapping_unless_it_is_named() {
        let config = Config::new(&set(), &binding()).unwrap();
        assert_eq!((&*config.group, &*config.bootstrap), ("3f1c", "a:9092,[::1]:9093"));
        assert_eq!(config.instance, "trine-3f1c");
        let named = KafkaSource { consumer_group_id: "billing".to_owned(), ..set() };
        let config = Config::new(&named, &binding()).unwrap();
        assert_eq!((&*config.group, config.instance.as_str()), ("billing", "trine-3f1c"));
    }

    #[test]
    fn a_shards_name_is_that_of_its_partition() {
        let config = Config::new(&set(), &binding()).unwrap();
        assert_eq!(config.shard(7).as_str(), "orders-7");
        assert_eq!(config.partition("orders-7"), Some(7));
        for other in ["orders", "orders-", "orders--1", "order-7", "orders-x-7"] {
            assert_eq!(config.partition(other), None, "{other}");
        }
    }

    #[test]
    fn each_wrong_field_is_told_with_what_was_expected() {
        let plain = |set: &mut KafkaSource| {
            set.security_protocol = "sasl_plaintext".to_owned();
            set.sasl_mechanism = "PLAIN".to_owned();
        };
        for (error, expected) in [
            (refused(|set| set.bootstrap_servers.clear()), "bootstrap_servers is empty"),
            (refused(|set| set.bootstrap_servers = vec!["a".to_owned()]), "expected host:port"),
            (refused(|set| set.bootstrap_servers = vec!["a:0".to_owned()]), "expected host:port"),
            (refused(|set| set.topic.clear()), "topic is \"\", expected 1 to 249"),
            (refused(|set| set.topic = "^a.*".to_owned()), "topic is \"^a.*\""),
            (refused(|set| set.consumer_group_id = "g".repeat(201)), "expected 1 to 200"),
            (refused(|set| set.security_protocol = "tls".to_owned()), "\"sasl_ssl\""),
            (refused(|set| set.ca_file = "ca.pem".to_owned()), "ca_file is set without TLS"),
            (refused(|set| set.sasl_mechanism = "PLAIN".to_owned()), "without SASL"),
            (
                refused(|set| {
                    plain(set);
                    set.sasl_mechanism.clear();
                }),
                "sasl_mechanism is \"\"",
            ),
            (refused(plain), "expected both with SASL"),
        ] {
            assert_eq!(error.problem, Problem::Configuration, "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        let unknown = refused(|set| {
            plain(set);
            set.sasl_username = "u".to_owned();
            set.sasl_password_secret = "nowhere".to_owned();
        });
        assert_eq!(unknown.problem, Problem::Authentication);
    }

    #[test]
    fn the_library_takes_every_setting() {
        let config = Config::new(&set(), &binding()).unwrap();
        for partitions in [0, 1, 100_000] {
            config.member(partitions).create_native_config().map(|_| ()).unwrap();
        }
    }

    #[test]
    fn many_partitions_share_what_is_fetched_ahead() {
        for (partitions, kib) in [(0, 4_096), (64, 4_096), (128, 2_048), (100_000, 256)] {
            assert_eq!(ahead_kib(partitions), kib, "{partitions}");
        }
    }
}
