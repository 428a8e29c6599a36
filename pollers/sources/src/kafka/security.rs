//! How a Kafka source proves who it is, checked, and what this build of the client library cannot do of it. It does no I/O.

use std::borrow::Cow;

use rdkafka::ClientConfig;
use trine_proto::v1::KafkaSource;

use super::config::wrong;
use crate::trust::CaFile;
use crate::{Binding, SourceError};

/// A checked listener and its credentials.
#[derive(Debug)]
pub(super) struct Security {
    protocol: Protocol,
    sasl: Option<Sasl>,
    ca_file: CaFile,
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
        let library = Library::linked();
        library.check(protocol.tls, &format!("security_protocol \"{given}\""))?;
        let needs = "TLS: expected security_protocol \"ssl\" or \"sasl_ssl\"";
        let ca_file = CaFile::new(&set.ca_file, protocol.tls, needs)?;
        let sasl = Sasl::new(set, binding, protocol, library)?;
        Ok(Self { protocol, sasl, ca_file })
    }

    /// What can be looked at before the library does: it would say less.
    ///
    /// # Errors
    /// When `ca_file` holds no authorities.
    pub(super) async fn check(&self) -> Result<(), SourceError> {
        self.ca_file.pem().await.map(drop)
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
        if self.protocol.tls {
            // An OpenSSL that is part of the binary does not know where this system keeps its authorities: the library looks.
            let named = self.ca_file.path().map(|path| path.to_string_lossy());
            client.set("ssl.ca.location", named.unwrap_or(Cow::Borrowed("probe")));
        }
    }
}

impl Sasl {
    fn new(
        set: &KafkaSource,
        binding: &Binding,
        protocol: Protocol,
        library: Library,
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
        library.check(mechanism != "PLAIN", &format!("sasl_mechanism \"{mechanism}\""))?;
        let password = binding.secrets.get(&set.sasl_password_secret)?;
        let (Some(password), false) = (password, set.sasl_username.is_empty()) else {
            return Err(wrong(
                "sasl_username or sasl_password_secret is empty, expected both with SASL",
            ));
        };
        Ok(Some(Self { mechanism, username: set.sasl_username.clone(), password }))
    }
}

/// What the client library that is linked can do.
#[derive(Clone, Copy, Debug)]
struct Library {
    /// It has OpenSSL: TLS and SCRAM come with it, and neither without.
    openssl: bool,
}

impl Library {
    /// Asked of itself, so that another build of it needs no change here.
    fn linked() -> Self {
        let native = ClientConfig::new().create_native_config();
        let features = native.and_then(|native| native.get("builtin.features")).unwrap_or_default();
        let has = |feature| features.split(',').any(|built| built.trim() == feature);
        Self { openssl: has("ssl") && has("sasl_scram") }
    }

    /// # Errors
    /// When `what` is wanted and needs what this build leaves out.
    fn check(self, wanted: bool, what: &str) -> Result<(), SourceError> {
        if !wanted || self.openssl {
            return Ok(());
        }
        Err(wrong(&format!(
            "{what} needs OpenSSL in the Kafka client library, which this build of Trine leaves out: build it with the feature \
             kafka-tls, as releases are, or use a \"plaintext\" or \"sasl_plaintext\" (PLAIN) listener"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::super::config::tests::{binding, set};
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
    fn what_a_build_without_openssl_cannot_do_is_refused_by_name() {
        let without = Library { openssl: false };
        let error = without.check(true, "security_protocol \"ssl\"").unwrap_err();
        assert!(error.to_string().contains("\"ssl\" needs OpenSSL"), "{error}");
        assert!(error.to_string().contains("kafka-tls"), "{error}");
        without.check(false, "security_protocol \"plaintext\"").unwrap();
        Library { openssl: true }.check(true, "security_protocol \"ssl\"").unwrap();
        // This build is what its features say.
        assert!(Library::linked().openssl || !cfg!(feature = "kafka-tls"));
    }

    #[test]
    #[cfg(feature = "kafka-tls")]
    fn the_authorities_are_those_of_the_file_or_of_the_system() {
        for (ca_file, expected) in [("", "probe"), ("/etc/ca.pem", "/etc/ca.pem")] {
            let set = KafkaSource {
                security_protocol: "ssl".to_owned(),
                ca_file: ca_file.to_owned(),
                ..set()
            };
            let config = Config::new(&set, &binding()).unwrap();
            assert_eq!(config.member(1).get("ssl.ca.location"), Some(expected));
        }
        let config = Config::new(&set(), &binding()).unwrap();
        assert_eq!(config.member(1).get("ssl.ca.location"), None);
    }
}
