//! What a mapping says of its stream, checked. It asks no server.

use async_nats::ServerAddr;
use trine_proto::v1::NatsSource;

use crate::trust::CaFile;
use crate::{Binding, SourceError, Start};

/// Longest name of a stream or consumer, in bytes: servers take no longer ones.
const NAME_BYTES_MAX: usize = 255;

/// A stream that can be read.
#[derive(Clone)]
pub(crate) struct NatsConfig {
    pub(crate) servers: Vec<ServerAddr>,
    pub(crate) ca_file: CaFile,
    pub(crate) stream: String,
    /// The durable consumer, and whether the user named it.
    pub(crate) durable: String,
    pub(crate) named_by_user: bool,
    /// Empty: all subjects of the stream, or those of the consumer that the user made.
    pub(crate) filter_subjects: Vec<String>,
    pub(crate) credentials: Option<(String, String)>,
    pub(crate) start: Start,
}

impl NatsConfig {
    /// The checked form.
    pub(crate) fn new(config: &NatsSource, binding: &Binding) -> Result<Self, SourceError> {
        let servers = config.urls.iter().map(|url| server(url)).collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(SourceError::configuration(
                "urls is empty, expected at least one nats://host:port",
            ));
        }
        let named_by_user = !config.durable.is_empty();
        let durable = if named_by_user {
            config.durable.clone()
        } else {
            format!("trine-{}", binding.mapping_id)
        };
        let mut filter_subjects = config.filter_subjects.clone();
        filter_subjects.sort();
        filter_subjects.dedup();
        if let Some(wrong) = filter_subjects.iter().find(|subject| !is_subject(subject)) {
            return Err(SourceError::configuration(format!(
                "filter_subjects has {wrong:?}, expected a subject, with * and > as wildcards"
            )));
        }
        Ok(Self {
            servers,
            // A server may want TLS whatever the scheme says.
            ca_file: CaFile::new(&config.ca_file, true, "TLS")?,
            stream: name("stream", &config.stream)?,
            durable: name("durable", &durable)?,
            named_by_user,
            filter_subjects,
            credentials: credentials(config, binding)?,
            start: binding.start,
        })
    }
}

impl std::fmt::Debug for NatsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NatsConfig")
            .field("stream", &self.stream)
            .field("durable", &self.durable)
            .finish_non_exhaustive()
    }
}

fn server(url: &str) -> Result<ServerAddr, SourceError> {
    let parsed: Option<ServerAddr> = url.parse().ok();
    parsed.filter(|server| !server.has_user_pass()).ok_or_else(|| {
        // The url is not shown: it may hold what should not be in it.
        SourceError::configuration(
            "urls has one that is not nats://host:port or tls://host:port without credentials: name them in username and \
             password_secret",
        )
    })
}

fn credentials(
    config: &NatsSource,
    binding: &Binding,
) -> Result<Option<(String, String)>, SourceError> {
    match (config.username.as_str(), binding.secrets.get(&config.password_secret)?) {
        ("", None) => Ok(None),
        ("", Some(_)) => Err(SourceError::configuration(
            "password_secret is set without username: set both or neither",
        )),
        (username, password) => Ok(Some((username.to_owned(), password.unwrap_or_default()))),
    }
}

fn name(field: &str, name: &str) -> Result<String, SourceError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || "./\\*>".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(wrong) {
        return Err(SourceError::configuration(format!(
            "{field} is {name:?}, expected a name of 1 to {NAME_BYTES_MAX} bytes without blanks and . * > / \\"
        )));
    }
    Ok(name.to_owned())
}

fn is_subject(subject: &str) -> bool {
    let tokens = || subject.split('.');
    let blank = |c: char| c.is_whitespace() || c.is_control();
    tokens().all(|token| !token.is_empty() && !token.contains(blank))
        && tokens().rev().skip(1).all(|token| token != ">")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{Problem, Secrets};

    fn source() -> NatsSource {
        NatsSource {
            urls: vec!["nats://127.0.0.1:4222".to_owned()],
            stream: "ORDERS".to_owned(),
            ..NatsSource::default()
        }
    }

    fn check(source: &NatsSource) -> Result<NatsConfig, SourceError> {
        let known = BTreeMap::from([("p".to_owned(), "secret".to_owned())]);
        let binding = Binding {
            mapping_id: "0b6f".into(),
            start: Start::Latest,
            secrets: Secrets::new(known),
        };
        NatsConfig::new(source, &binding)
    }

    #[test]
    fn the_mapping_names_what_the_user_does_not() {
        let config = check(&source()).unwrap();
        assert_eq!((config.durable.as_str(), config.named_by_user), ("trine-0b6f", false));
        let named = NatsSource {
            durable: "mine".to_owned(),
            username: "u".to_owned(),
            password_secret: "p".to_owned(),
            filter_subjects: vec!["b.>".to_owned(), "a.*".to_owned(), "b.>".to_owned()],
            ..source()
        };
        let config = check(&named).unwrap();
        assert_eq!((config.durable.as_str(), config.named_by_user), ("mine", true));
        assert_eq!(config.filter_subjects, ["a.*", "b.>"]);
        assert_eq!(config.credentials, Some(("u".to_owned(), "secret".to_owned())));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_was_expected() {
        let with = |change: fn(&mut NatsSource)| {
            let mut source = source();
            change(&mut source);
            check(&source).unwrap_err()
        };
        for (error, expected) in [
            (with(|s| s.urls.clear()), "urls is empty"),
            (with(|s| s.urls.push("nats://u:p@h".to_owned())), "without credentials"),
            (with(|s| s.stream.clear()), "stream is \"\", expected a name"),
            (with(|s| s.stream = "a.b".to_owned()), "stream is \"a.b\""),
            (with(|s| s.durable = "a b".to_owned()), "durable is \"a b\""),
            (
                with(|s| s.filter_subjects = vec!["a.>.b".to_owned()]),
                "filter_subjects has \"a.>.b\"",
            ),
            (with(|s| s.filter_subjects = vec![String::new()]), "filter_subjects has \"\""),
            (with(|s| s.password_secret = "p".to_owned()), "without username"),
        ] {
            assert_eq!(error.problem, Problem::Configuration);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let unknown = with(|s| s.password_secret = "q".to_owned());
        assert_eq!(unknown.problem, Problem::Authentication);
    }
}
