//! What RabbitMQ's refusals and lapin's errors mean to people. It does not know what is done about them.

use lapin::{Error, ErrorKind};

use super::config::Config;
use crate::trust::advised;
use crate::{Problem, SourceError};

/// Reply codes of AMQP 0-9-1.
const CONNECTION_FORCED: u16 = 320;
const ACCESS_REFUSED: u16 = 403;
const NOT_FOUND: u16 = 404;
const RESOURCE_LOCKED: u16 = 405;
const PRECONDITION_FAILED: u16 = 406;
const NOT_ALLOWED: u16 = 530;
const NOT_IMPLEMENTED: u16 = 540;

/// What was tried when it failed: the same code means other things at other times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doing {
    LoggingIn,
    Reading,
}

/// The error as a sentence that names the server, the queue and what to do.
pub(crate) fn told(config: &Config, doing: Doing, error: &Error) -> SourceError {
    match error.kind() {
        ErrorKind::ProtocolError(refusal) => {
            refused(config, doing, refusal.get_id(), refusal.get_message().as_str())
        }
        ErrorKind::ParsingError(error) => unreadable(config, &error.to_string()),
        ErrorKind::MissingHeartbeatError => {
            unreachable(config, "was silent for two heartbeats; the connection is taken for dead")
        }
        ErrorKind::IOError(error) => {
            unreachable(config, &advised(format!("cannot be reached: {error}")))
        }
        ErrorKind::InvalidChannelState(..) | ErrorKind::InvalidConnectionState(_) => {
            unreachable(config, "has no open channel for us any more")
        }
        _ => unreachable(config, &format!("cannot be used: {error}")),
    }
}

pub(crate) fn unreachable(config: &Config, what: &str) -> SourceError {
    SourceError::unreachable(format!("RabbitMQ at {} {what}", config.address))
}

/// The server has cancelled the consumer.
pub(crate) fn cancelled(config: &Config) -> SourceError {
    SourceError::configuration(format!(
        "RabbitMQ at {} cancelled the consumer: the queue \"{}\" was deleted, or its node went away",
        config.address, config.queue
    ))
}

/// The client library reads short strings of the protocol as UTF-8, and ends the connection otherwise.
fn unreadable(config: &Config, error: &str) -> SourceError {
    SourceError::configuration(format!(
        "RabbitMQ at {} sends what cannot be read, most likely a record in the queue \"{}\" with a property (correlationId, messageId, …) that \
         is not UTF-8: take it out of the queue with another tool ({error})",
        config.address, config.queue
    ))
}

/// A stream is not a queue.
pub(crate) fn a_stream(config: &Config) -> SourceError {
    SourceError::configuration(format!(
        "\"{}\" is a stream: it keeps what was acknowledged, so that a queue's mapping would read it anew for ever; \
         expected a classic or a quorum queue",
        config.queue
    ))
}

fn refused(config: &Config, doing: Doing, code: u16, says: &str) -> SourceError {
    let Config { address, virtual_host, queue, username, .. } = config;
    let (problem, what) = match (code, doing) {
        (ACCESS_REFUSED, Doing::LoggingIn) => (
            Problem::Authentication,
            format!("does not accept the password of user \"{username}\", or does not know the user"),
        ),
        (ACCESS_REFUSED, Doing::Reading) if says.contains("exclusive") => (
            Problem::Configuration,
            format!("gives the queue \"{queue}\" to one exclusive consumer, which is somebody else"),
        ),
        (ACCESS_REFUSED, Doing::Reading) => (
            Problem::Authorization,
            format!(
                "does not let user \"{username}\" read the queue \"{queue}\": grant read on it in virtual host \"{virtual_host}\""
            ),
        ),
        (NOT_ALLOWED, _) if says.contains("not found") => (
            Problem::Configuration,
            format!("has no virtual host \"{virtual_host}\": create it or correct virtual_host"),
        ),
        (NOT_ALLOWED, _) => (
            Problem::Authorization,
            format!("does not let user \"{username}\" into virtual host \"{virtual_host}\""),
        ),
        (NOT_FOUND, _) => (
            Problem::Configuration,
            format!("has no queue \"{queue}\" in virtual host \"{virtual_host}\": declare it, it is not made by reading"),
        ),
        (RESOURCE_LOCKED, _) => (
            Problem::Configuration,
            format!("has the queue \"{queue}\" as an exclusive one of another connection"),
        ),
        (PRECONDITION_FAILED, _) if says.contains("timed out") => (
            Problem::Unreachable,
            "closed the channel because a record was held for longer than its consumer_timeout; all that was held comes again"
                .to_owned(),
        ),
        (NOT_IMPLEMENTED, _) => {
            (Problem::Configuration, format!("cannot give the queue \"{queue}\" to a consumer"))
        }
        (CONNECTION_FORCED, _) => (Problem::Unreachable, "closed the connection".to_owned()),
        _ => (Problem::Unreachable, "broke off".to_owned()),
    };
    SourceError::new(problem, format!("RabbitMQ at {address} {what} ({code}: {says})"))
}
