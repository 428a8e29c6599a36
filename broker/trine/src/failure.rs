//! Why a command did not succeed, and how that is told: a sentence, a code, what to do, and the
//! exit code.
//!
//! A function that failed is not here: that is an answer ([`Exit::FunctionError`]).

use serde::Serialize;
use tonic::{Code, Status};
use trine_proto::reason;
use trine_proto::v1::{Reason, Refusal};

use trine_broker::StartError;

use crate::advice::advice;
use crate::config::{Fault, Faults};
use crate::exit::Exit;
use crate::output::Output;
use crate::payload::PayloadError;

/// The error of every command.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Arguments that only together make no sense.
    #[error("{0}")]
    Usage(String),
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// Nobody answers, or nobody does any more.
    #[error("no answer from a broker at {broker}: {cause}")]
    Unreachable { broker: String, cause: String },
    /// The broker said no, with its reason.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// Something answered that does not speak our contract, or not this version of it.
    #[error("{broker} does not answer as a Trine broker of this version does: {cause}")]
    Foreign { broker: String, cause: String },
    #[error("reading or writing failed: {0}")]
    InputOutput(#[from] std::io::Error),
    #[error(transparent)]
    Configuration(#[from] Faults),
    #[error(transparent)]
    Start(#[from] StartError),
    /// The broker in this process gave up.
    #[error("the broker stopped: {0}")]
    Stopped(String),
    /// The demonstration did not get as far as a result.
    #[error("the demo stopped: {0}")]
    Demo(String),
}

impl Failure {
    /// The failure that a call to `broker` ended in.
    pub(crate) fn from_status(status: &Status, broker: &str) -> Self {
        if let Some(refusal) = reason::refusal(status) {
            return Self::Refused(refusal);
        }
        let (broker, cause) = (broker.to_owned(), sentence(status));
        match status.code() {
            // Our own timer ran out before the broker's answer came.
            Code::Cancelled | Code::DeadlineExceeded => Self::Refused(Refusal {
                reason: Reason::DeadlineExpired.into(),
                message: "no answer came within the deadline; what was invoked may still run"
                    .to_owned(),
                retry_after_ms: None,
            }),
            Code::Unavailable => Self::Unreachable { broker, cause },
            _ if std::error::Error::source(status).is_some() => Self::Unreachable { broker, cause },
            _ => Self::Foreign { broker, cause },
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::Payload(error) => error.exit(),
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Refused(refusal) => Exit::of(refusal.reason()),
            Self::Foreign { .. } => Exit::Protocol,
            Self::Configuration(_) | Self::Start(StartError::NotLoopback(_)) => Exit::Configuration,
            Self::InputOutput(_) | Self::Start(_) | Self::Stopped(_) => Exit::InputOutput,
            Self::Demo(_) => Exit::Internal,
        }
    }

    /// Tells it on stderr, in the format of the command. A reader of our output who went away
    /// is not told anything.
    pub(crate) fn report(&self, output: &Output) {
        if let Self::InputOutput(error) = self
            && error.kind() == std::io::ErrorKind::BrokenPipe
        {
            return;
        }
        if output.is_json() {
            let line = serde_json::to_string(&FailureView::of(self)).unwrap_or_default();
            eprintln!("{line}");
        } else {
            eprintln!("{}", self.text(output));
        }
    }

    fn text(&self, output: &Output) -> String {
        let paint = output.stderr_paint();
        let mut text = format!("{} {self}", paint.bad("error:"));
        if let Self::Refused(refusal) = self {
            let retry = match (reason::row(refusal.reason()).retryable, refusal.retry_after_ms) {
                (false, _) => "not retryable".to_owned(),
                (true, None) => "retryable".to_owned(),
                (true, Some(ms)) => format!("retryable, in {ms} ms"),
            };
            let name = paint.strong(reason::name(refusal.reason()));
            text.push_str(&format!("\n       {name}, {retry}"));
        }
        if let Some(advice) = self.advice() {
            text.push_str(&format!("\n       {}", paint.quiet(advice)));
        }
        text
    }

    fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Refused(refusal) => advice(refusal.reason()),
            Self::Unreachable { .. } => Some(
                "start one with `trine serve`, or name another one with --broker or TRINE_BROKER",
            ),
            Self::Foreign { .. } => Some("check --broker, and the version with `trine --version`"),
            Self::Usage(_) => Some("see `trine help`"),
            _ => None,
        }
    }
}

/// A failure for programs. The codes of refusals are those of the contract; the others have a
/// name of their own.
#[derive(Debug, Serialize)]
struct FailureView<'a> {
    reason: &'static str,
    message: String,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
    #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
    faults: &'a [Fault],
    exit: u8,
}

impl<'a> FailureView<'a> {
    fn of(failure: &'a Failure) -> Self {
        let (reason, retryable, retry_after_ms) = match failure {
            Failure::Refused(refusal) => {
                let reason = refusal.reason();
                let retryable = reason::row(reason).retryable;
                (reason::name(reason), retryable, refusal.retry_after_ms)
            }
            Failure::Usage(_) => ("USAGE", false, None),
            Failure::Payload(_) => ("PAYLOAD", false, None),
            Failure::Unreachable { .. } => ("UNREACHABLE", true, None),
            Failure::Foreign { .. } => ("FOREIGN", false, None),
            Failure::InputOutput(_) => ("INPUT_OUTPUT", false, None),
            Failure::Configuration(_) => ("CONFIGURATION", false, None),
            Failure::Start(_) => ("NOT_STARTED", false, None),
            Failure::Stopped(_) => ("STOPPED", false, None),
            Failure::Demo(_) => ("DEMO", false, None),
        };
        let faults = match failure {
            Failure::Configuration(faults) => faults.0.as_slice(),
            _ => &[],
        };
        Self {
            reason,
            message: failure.to_string(),
            faults,
            retryable,
            retry_after_ms,
            advice: failure.advice(),
            exit: failure.exit().number(),
        }
    }
}

/// The innermost cause says what happened ("connection refused"); the layers above it only say
/// that something did.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn sentence(status: &Status) -> String {
    match std::error::Error::source(status) {
        Some(source) => root_cause(source),
        None if status.message().is_empty() => status.code().description().to_owned(),
        None => status.message().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_reason() {
        let refusal = Refusal {
            reason: Reason::QueueFull.into(),
            message: "the queue is full".to_owned(),
            retry_after_ms: Some(250),
        };
        let failure = Failure::from_status(&reason::status(&refusal), "http://b");
        assert_eq!(failure.exit(), Exit::Temporary);
        let view = serde_json::to_value(FailureView::of(&failure)).expect("JSON");
        assert_eq!(view["reason"], "QUEUE_FULL");
        assert_eq!(view["retryable"], true);
        assert_eq!(view["retry_after_ms"], 250);
        assert_eq!(view["exit"], 75);
    }

    #[test]
    fn a_status_without_a_reason_is_not_taken_for_a_refusal() {
        let exit = |status| Failure::from_status(&status, "http://b").exit();
        assert_eq!(exit(Status::unimplemented("no such service")), Exit::Protocol);
        assert_eq!(exit(Status::unavailable("gone")), Exit::Unreachable);
        assert_eq!(exit(Status::cancelled("Timeout expired")), Exit::Temporary);
    }
}
