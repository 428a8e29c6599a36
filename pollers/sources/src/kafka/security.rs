//! How a Kafka source proves who it is, checked, and what this build of the client library cannot do of it. It does no I/O.

use rdkafka::ClientConfig;
use trine_proto::v1::KafkaSource;

use super::config::wrong;
use crate::{Binding, SourceError};

/// A checked listener and its credentials.
#[derive(Debug)]
pub(super) struct Security {
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

impl Security {
    /// Checks what the user set.
    pub(super) fn new(set: &KafkaSource, binding: &Binding) -> Result<Self, SourceError> {
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

    /// As the library's settings.
    pub(super) fn set(&self, client: &mut ClientConfig) {
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

fn without_tls(what: &str) -> SourceError {
    wrong(&format!(
        "{what} needs TLS in the Kafka client library, which this build leaves out because it would bring OpenSSL: use a \
         \"plaintext\" or \"sasl_plaintext\" (PLAIN) listener, or put a TLS proxy between"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::config::tests::{binding, refused, set};
    use super::*;

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
        assert_eq!(config.member(1).get("sasl.password"), Some("hush"));
        assert!(!format!("{config:?}{:?}", config.member(1)).contains("hush"));
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
}
