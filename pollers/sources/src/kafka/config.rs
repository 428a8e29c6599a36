//! What a user may set of a Kafka source, checked, and the settings of the client library that follow from it. It does no I/O.

use std::sync::Arc;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use trine_proto::v1::KafkaSource;

use crate::{Binding, SourceError, Start};

/// Longest name of a consumer group, in characters (LS 4.8).
const GROUP_CHARS_MAX: usize = 200;

/// Longest name of a topic, in characters: Kafka's own bound.
const TOPIC_CHARS_MAX: usize = 249;

/// Bytes of records that are fetched ahead of who asks for them, for each partition, in KiB. A batch of 6 MiB of events carries
/// about as much. Fetching stops there, so a partition that nobody reads costs this and no more.
const AHEAD_KIB: u32 = 4_096;

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

#[derive(Debug)]
struct Security {
    protocol: Protocol,
    sasl: Option<Sasl>,
    ca_file: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Protocol {
    name: &'static str,
    tls: bool,
    sasl: bool,
}

struct Sasl {
    mechanism: &'static str,
    username: String,
    password: String,
}

impl std::fmt::Debug for Sasl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { mechanism, username, .. } = self;
        f.debug_struct("Sasl")
            .field("mechanism", mechanism)
            .field("username", username)
            .finish_non_exhaustive()
    }
}

const PROTOCOLS: [Protocol; 4] = [
    Protocol { name: "plaintext", tls: false, sasl: false },
    Protocol { name: "ssl", tls: true, sasl: false },
    Protocol { name: "sasl_plaintext", tls: false, sasl: true },
    Protocol { name: "sasl_ssl", tls: true, sasl: true },
];

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

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

    /// The library's settings for a member of the group. Its sessions have Kafka's own defaults.
    pub(super) fn member(&self) -> ClientConfig {
        let mut client = self.asking();
        client
            .set("group.instance.id", &self.instance)
            // Eager: cooperative rebalancing with own commits is known to lose assignments (librdkafka issue 4059).
            .set("partition.assignment.strategy", "range,roundrobin")
            .set("queued.max.messages.kbytes", AHEAD_KIB.to_string())
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

impl Security {
    fn new(set: &KafkaSource, binding: &Binding) -> Result<Self, SourceError> {
        let given = match set.security_protocol.as_str() {
            "" => "plaintext",
            given => given,
        };
        let Some(protocol) = PROTOCOLS.into_iter().find(|protocol| protocol.name == given) else {
            let expected = "\"plaintext\", \"ssl\", \"sasl_plaintext\" or \"sasl_ssl\"";
            return Err(wrong(&format!("security_protocol is \"{given}\", expected {expected}")));
        };
        if protocol.tls && !built_with("ssl") {
            return Err(without_tls(&format!("security_protocol \"{given}\"")));
        }
        if !protocol.tls && !set.ca_file.is_empty() {
            return Err(wrong(&format!("ca_file is set, but security_protocol is \"{given}\"")));
        }
        let sasl = Sasl::new(set, binding, protocol)?;
        Ok(Self { protocol, sasl, ca_file: set.ca_file.clone() })
    }

    fn set(&self, client: &mut ClientConfig) {
        client.set("security.protocol", self.protocol.name);
        if let Some(sasl) = &self.sasl {
            client
                .set("sasl.mechanisms", sasl.mechanism)
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password);
        }
        if !self.ca_file.is_empty() {
            client.set("ssl.ca.location", &self.ca_file);
        }
    }
}

impl Sasl {
    fn new(
        set: &KafkaSource,
        binding: &Binding,
        protocol: Protocol,
    ) -> Result<Option<Self>, SourceError> {
        let given = set.sasl_mechanism.as_str();
        if !protocol.sasl {
            let stray = !given.is_empty()
                || !set.sasl_username.is_empty()
                || !set.sasl_password_secret.is_empty();
            let says = format!(
                "SASL is set, but security_protocol is \"{}\", without SASL",
                protocol.name
            );
            return if stray { Err(wrong(&says)) } else { Ok(None) };
        }
        let Some(mechanism) = MECHANISMS.into_iter().find(|mechanism| *mechanism == given) else {
            let expected = "\"PLAIN\", \"SCRAM-SHA-256\" or \"SCRAM-SHA-512\"";
            return Err(wrong(&format!("sasl_mechanism is \"{given}\", expected {expected}")));
        };
        if mechanism != "PLAIN" && !built_with("sasl_scram") {
            return Err(without_tls(&format!("sasl_mechanism \"{mechanism}\"")));
        }
        let password = binding.secrets.get(&set.sasl_password_secret)?;
        let (Some(password), false) = (password, set.sasl_username.is_empty()) else {
            return Err(wrong(
                "sasl_username or sasl_password_secret is empty, expected both with SASL",
            ));
        };
        Ok(Some(Self { mechanism, username: set.sasl_username.clone(), password }))
    }
}

/// Whether the library that is linked has this feature. Asked of itself, so that another build of it needs no change here.
fn built_with(feature: &str) -> bool {
    let native = ClientConfig::new().create_native_config();
    let features = native.and_then(|native| native.get("builtin.features")).unwrap_or_default();
    features.split(',').any(|built| built.trim() == feature)
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

fn wrong(says: &str) -> SourceError {
    SourceError::configuration(format!("kafka: {says}"))
}

fn without_tls(what: &str) -> SourceError {
    wrong(&format!(
        "{what} needs TLS in the Kafka client library, which this build leaves out because it would bring OpenSSL: use a \
         \"plaintext\" or \"sasl_plaintext\" (PLAIN) listener, or put a TLS proxy between"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Problem, Secrets};

    fn set() -> KafkaSource {
        KafkaSource {
            bootstrap_servers: vec!["a:9092".to_owned(), "[::1]:9093".to_owned()],
            topic: "orders".to_owned(),
            ..KafkaSource::default()
        }
    }

    fn binding() -> Binding {
        let secrets = [("kafka".to_owned(), "hush".to_owned())].into();
        Binding {
            mapping_id: "3f1c".into(),
            start: Start::TrimHorizon,
            secrets: Secrets::new(secrets),
        }
    }

    fn refused(change: impl FnOnce(&mut KafkaSource)) -> SourceError {
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
            (refused(|set| set.ca_file = "ca.pem".to_owned()), "ca_file is set, but"),
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
    fn the_password_reaches_the_library_and_no_log() {
        let set = KafkaSource {
            security_protocol: "sasl_plaintext".to_owned(),
            sasl_mechanism: "PLAIN".to_owned(),
            sasl_username: "u".to_owned(),
            sasl_password_secret: "kafka".to_owned(),
            ..set()
        };
        let config = Config::new(&set, &binding()).unwrap();
        assert_eq!(config.member().get("sasl.password"), Some("hush"));
        assert!(!format!("{config:?}{:?}", config.member()).contains("hush"));
    }

    #[test]
    fn what_this_build_of_the_library_cannot_do_is_refused_by_name() {
        if built_with("ssl") {
            return;
        }
        let error = refused(|set| set.security_protocol = "ssl".to_owned());
        assert!(error.to_string().contains("\"ssl\" needs TLS"), "{error}");
        let error = refused(|set| {
            set.security_protocol = "sasl_plaintext".to_owned();
            set.sasl_mechanism = "SCRAM-SHA-512".to_owned();
        });
        assert!(error.to_string().contains("\"SCRAM-SHA-512\" needs TLS"), "{error}");
        assert!(built_with("sasl_plain") && built_with("zstd") && built_with("lz4"));
    }

    #[test]
    fn the_library_takes_every_setting() {
        let config = Config::new(&set(), &binding()).unwrap();
        config.member().create_native_config().map(|_| ()).unwrap();
    }
}
