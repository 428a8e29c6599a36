//! A producer of librdkafka for one cluster: its settings, its end, and what it complains about on the side.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{FutureProducer, Producer as _};

use super::connections::Connection;
use crate::credentials::{KafkaCredential, KafkaMechanism};

/// Longest wait for the acknowledgement of one message; shorter than a try, so that there is an answer to explain.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(8);

/// Longest that a topic may be unknown before it is called missing: servers need a moment for one that was just made.
const TOPIC_WAIT: Duration = Duration::from_secs(2);

/// How long a topic that is made after it was missing may stay so, at most.
const METADATA_EVERY: Duration = Duration::from_secs(10);

/// Largest message that is sent, in bytes. Topics have limits of their own, which the servers tell; this one is above any record.
pub(super) const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a message may have around its value: key, headers and the protocol's own.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Kilobytes that wait for a cluster, at most.
const WAITING_KIB_MAX: usize = 256 * 1024;

type Producer = FutureProducer<Aside>;

/// A producer.
pub(super) struct KafkaConnection {
    producer: Option<Producer>,
    aside: Aside,
}

impl KafkaConnection {
    /// Makes a producer; it connects when there is something to send.
    ///
    /// # Errors
    /// A sentence, if it cannot be made with what the configuration says.
    pub(super) fn open(
        cluster: &str,
        credential: Option<&KafkaCredential>,
    ) -> Result<Self, String> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", cluster)
            .set("client.id", "trine")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("allow.auto.create.topics", "false")
            .set("message.timeout.ms", ANSWER_WAIT.as_millis().to_string())
            .set("topic.metadata.propagation.max.ms", TOPIC_WAIT.as_millis().to_string())
            .set("topic.metadata.refresh.interval.ms", METADATA_EVERY.as_millis().to_string())
            .set("message.max.bytes", (MESSAGE_BYTES_MAX + FRAME_BYTES_MAX).to_string())
            .set("queue.buffering.max.kbytes", WAITING_KIB_MAX.to_string())
            // Records come one by one, and somebody waits for each.
            .set("queue.buffering.max.ms", "0")
            // A key goes to the partition where a client in Java would look for it.
            .set("partitioner", "murmur2_random")
            .set("socket.keepalive.enable", "true")
            .set("socket.nagle.disable", "true")
            .set("log.connection.close", "false")
            .set_log_level(RDKafkaLogLevel::Critical);
        if let Some(credential) = credential {
            secure(&mut client, cluster, credential)?;
        }
        let aside = Aside::default();
        let made = Producer::from_config_and_context(&client, aside.clone());
        made.map(|producer| Self { producer: Some(producer), aside }).map_err(|error| match error {
            // Without the value: it may be a password.
            KafkaError::ClientConfig(_, _, key, _) => format!(
                "{cluster}: librdkafka does not take the setting {key}; look at destinations.kafka in \
                 the broker's configuration"
            ),
            _ => format!("{cluster}: librdkafka cannot make a producer with the broker's configuration"),
        })
    }

    pub(super) fn producer(&self) -> &Producer {
        // Taken at the end only.
        self.producer.as_ref().expect("a producer that has not ended")
    }

    /// A message was acknowledged: what was wrong before is over.
    pub(super) fn works(&self) {
        *self.aside.lock() = None;
    }

    /// What is wrong with the connections, as far as it was told.
    pub(super) fn trouble(&self) -> Option<&'static str> {
        let last = *self.aside.lock();
        Some(match last? {
            Code::Authentication | Code::SaslAuthenticationFailed => {
                "it refused the login; credentials belong into the broker's configuration \
                 (destinations.kafka)"
            }
            Code::SSL => {
                "the TLS handshake failed; if the authority of its certificate is not a public \
                 one, name it (destinations.kafka_ca_file)"
            }
            Code::Resolve => "its name could not be resolved",
            _ => "no Kafka server answers there",
        })
    }
}

impl Connection for KafkaConnection {
    /// An idempotent producer that has lost its place can never write again.
    fn is_lost(&self) -> bool {
        self.producer().client().fatal_error().is_some()
    }
}

impl Drop for KafkaConnection {
    /// The library waits for its threads to end, which deliveries to others must not.
    fn drop(&mut self) {
        let producer = self.producer.take();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || drop(producer))),
            Err(_) => drop(producer),
        }
    }
}

impl fmt::Debug for KafkaConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KafkaConnection")
    }
}

fn secure(
    client: &mut ClientConfig,
    cluster: &str,
    credential: &KafkaCredential,
) -> Result<(), String> {
    let KafkaCredential { login, tls, ca_file, .. } = credential;
    if let Some(what) = lacking(credential, &features()) {
        return Err(format!(
            "{cluster}: destinations.kafka asks for {what}, which the librdkafka of this build \
             does not have: build Trine with the feature kafka-tls, as releases are"
        ));
    }
    let protocol = match (tls, login) {
        (false, None) => "plaintext",
        (true, None) => "ssl",
        (false, Some(_)) => "sasl_plaintext",
        (true, Some(_)) => "sasl_ssl",
    };
    client.set("security.protocol", protocol);
    if let Some(login) = login {
        client
            .set("sasl.mechanisms", login.mechanism.name())
            .set("sasl.username", &login.user)
            .set("sasl.password", &login.secret);
    }
    if let Some(ca_file) = ca_file.as_ref().filter(|path| !path.is_file()) {
        let path = ca_file.display();
        return Err(format!("{cluster}: there is no file {path} (destinations.kafka_ca_file)"));
    }
    if *tls {
        // An OpenSSL that is part of the binary does not know where this system keeps its authorities: the library looks.
        let named = ca_file.as_ref().map(|path| path.to_string_lossy());
        client.set("ssl.ca.location", named.unwrap_or(Cow::Borrowed("probe")));
    }
    Ok(())
}

/// What is asked for that a library with these features cannot do.
fn lacking(credential: &KafkaCredential, features: &str) -> Option<&'static str> {
    let login = credential.login.as_ref();
    let scram = login.is_some_and(|login| login.mechanism != KafkaMechanism::Plain);
    [(credential.tls, "ssl", "TLS"), (scram, "sasl_scram", "SASL mechanisms other than PLAIN")]
        .into_iter()
        .find(|(wanted, needed, _)| {
            *wanted && !features.split(',').any(|built| built.trim() == *needed)
        })
        .map(|(.., what)| what)
}

/// Of the library that is linked. Asked of itself, so that another build of it needs no change here.
fn features() -> String {
    let native = ClientConfig::new().create_native_config();
    native.and_then(|native| native.get("builtin.features")).unwrap_or_default()
}

/// The last complaint about connections: a message that times out only says that it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Arc<Mutex<Option<Code>>>);

impl Aside {
    fn lock(&self) -> MutexGuard<'_, Option<Code>> {
        // One statement at a time: no panic is possible in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Aside {
    /// Nothing: its lines hold addresses, and every failure is told by who waits for it.
    fn log(&self, _: RDKafkaLogLevel, _: &str, _: &str) {}

    fn error(&self, error: KafkaError, _: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        let mut last = self.lock();
        // That all servers are down follows every other trouble and says the least.
        if code != Code::AllBrokersDown || last.is_none() {
            *last = Some(code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KafkaLogin;

    #[test]
    fn what_a_library_without_openssl_lacks_is_named() {
        let with = |mechanism, tls| KafkaCredential {
            server: String::new(),
            login: Some(KafkaLogin { mechanism, user: String::new(), secret: String::new() }),
            tls,
            ca_file: None,
        };
        let (plain, scram) = (KafkaMechanism::Plain, KafkaMechanism::ScramSha512);
        let (without, all) = ("gzip, sasl_plain", "gzip, ssl, sasl_plain, sasl_scram");
        assert_eq!(lacking(&with(plain, false), without), None);
        assert_eq!(lacking(&with(plain, true), without), Some("TLS"));
        let scram_lacks = lacking(&with(scram, false), without);
        assert_eq!(scram_lacks, Some("SASL mechanisms other than PLAIN"));
        assert_eq!(lacking(&with(scram, true), all), None);
    }
}
