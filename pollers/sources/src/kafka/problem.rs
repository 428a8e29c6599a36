//! What the client library's errors mean to people. It does not know where they came up.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use super::config::Config;
use crate::trust::advised;
use crate::{Problem, SourceError};

/// What `code` means, with the library's own `reason`. `None`: the library deals with it itself.
pub(super) fn of(config: &Config, code: Code, reason: &str) -> Option<SourceError> {
    let kinds = [
        (Problem::Configuration, configuration(config, code, reason)),
        (Problem::Authentication, authentication(config, code, reason)),
        (Problem::Authorization, authorization(config, code, reason)),
        (Problem::Unreachable, unreachable(config, code, reason)),
    ];
    let told = kinds.into_iter().find_map(|(problem, says)| says.map(|says| (problem, says)));
    told.map(|(problem, says)| SourceError::new(problem, says))
}

/// What a call that failed means; `doing` completes "could not".
pub(super) fn failed(config: &Config, doing: &str, error: &KafkaError) -> SourceError {
    let known = error.rdkafka_error_code().and_then(|code| of(config, code, &error.to_string()));
    known.unwrap_or_else(|| {
        SourceError::unreachable(format!("could not {doing} at {}: {error}", config.bootstrap))
    })
}

fn configuration(config: &Config, code: Code, reason: &str) -> Option<String> {
    let Config { bootstrap, topic, group, .. } = config;
    match code {
        Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition => {
            Some(format!(
                "the topic \"{topic}\" does not exist at {bootstrap}: create it, or name another one"
            ))
        }
        Code::InvalidTopic => {
            Some(format!("the brokers at {bootstrap} do not take \"{topic}\" as a topic's name"))
        }
        Code::InconsistentGroupProtocol => Some(format!(
            "another member of the consumer group \"{group}\" offers neither range nor roundrobin assignment, or another group \
             protocol: stop it, or use another group"
        )),
        Code::InvalidGroupId | Code::GroupMaxSizeReached => {
            Some(format!("the brokers refuse the consumer group \"{group}\": {reason}"))
        }
        Code::UnsupportedVersion | Code::UnsupportedFeature | Code::NotImplemented => {
            Some(format!("the brokers at {bootstrap} and this client do not fit: {reason}"))
        }
        _ => None,
    }
}

fn authentication(config: &Config, code: Code, reason: &str) -> Option<String> {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::IllegalSASLState
            | Code::UnsupportedSASLMechanism
    )
    .then(|| format!("the brokers at {} do not accept the credentials: {reason}", config.bootstrap))
}

fn authorization(config: &Config, code: Code, reason: &str) -> Option<String> {
    let needs = match code {
        Code::TopicAuthorizationFailed => {
            format!("they need Read and Describe on the topic \"{}\"", config.topic)
        }
        Code::GroupAuthorizationFailed => {
            format!("they need Read on the consumer group \"{}\"", config.group)
        }
        Code::ClusterAuthorizationFailed => reason.to_owned(),
        _ => return None,
    };
    Some(format!("the credentials are accepted, but do not allow this: {needs}"))
}

fn unreachable(config: &Config, code: Code, reason: &str) -> Option<String> {
    let Config { bootstrap, topic, group, .. } = config;
    match code {
        Code::AllBrokersDown => {
            let says = format!("none of the brokers of {bootstrap} can be reached: {reason}");
            Some(advised(says))
        }
        Code::FencedInstanceId | Code::UnreleasedInstanceId => Some(format!(
            "another poller took this one's place in the consumer group \"{group}\": it holds the mapping now"
        )),
        Code::PollExceeded => Some(
            "the client library was not asked for too long: this machine stood still, or is far too busy"
                .to_owned(),
        ),
        Code::Fatal => Some(format!("the client library gave up: {reason}")),
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage => {
            Some(format!("the topic \"{topic}\" has records that cannot be read: {reason}"))
        }
        _ => None,
    }
}
