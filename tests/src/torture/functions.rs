//! The functions of a torture run: what each must come to, and what the load chooses among.

use trine_proto::v1::FunctionSettings;

use super::Draw;
use crate::fixture::client::{Client, file};
use crate::ledger::{Entry, Expect};

pub(super) const SUCCESS_FILE: &str = "success.jsonl";
pub(super) const FAILURE_FILE: &str = "failure.jsonl";

/// Concurrency of the narrow function.
pub(super) const NARROW: u32 = 4;

/// One function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Succeeds.
    Good,
    /// Fails, and is not retried.
    Bad,
    /// Succeeds, few at a time.
    Narrow,
    /// Fails once, and succeeds a minute later.
    Again,
    /// Called synchronously.
    Call,
}

impl Role {
    pub(super) const ALL: [Self; 5] =
        [Self::Good, Self::Bad, Self::Narrow, Self::Again, Self::Call];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Narrow => "narrow",
            Self::Again => "again",
            Self::Call => "call",
        }
    }

    fn expect(self) -> Expect {
        match self {
            Self::Good | Self::Narrow | Self::Call => Expect::Success,
            Self::Bad => Expect::Failure,
            Self::Again => Expect::LastAttempt,
        }
    }

    fn retries(self) -> u32 {
        match self {
            Self::Bad => 0,
            Self::Again => 1,
            Self::Good | Self::Narrow | Self::Call => 2,
        }
    }

    fn reserved(self) -> Option<u32> {
        (self == Self::Narrow).then_some(NARROW)
    }

    /// Whether attempt number `attempt` fails.
    pub(super) fn fails(self, attempt: u32) -> bool {
        match self.expect() {
            Expect::Success => false,
            Expect::Failure => true,
            Expect::LastAttempt => attempt <= self.retries(),
        }
    }

    /// The function of the next event.
    pub(super) fn of_event(draw: &mut Draw, retries: bool) -> Self {
        match draw.below(20) {
            0..=2 => Self::Bad,
            3..=5 => Self::Narrow,
            6 if retries => Self::Again,
            _ => Self::Good,
        }
    }

    pub(super) fn entry(self) -> Entry {
        Entry::Function {
            name: self.name().to_owned(),
            expect: self.expect(),
            retries: self.retries(),
            reserved: self.reserved(),
        }
    }

    pub(super) async fn create(self, client: &Client) {
        let settings = FunctionSettings {
            max_retries: Some(self.retries()),
            reserved_concurrency: self.reserved(),
            timeout_seconds: Some(900),
            on_success: file(SUCCESS_FILE),
            on_failure: file(FAILURE_FILE),
            ..FunctionSettings::default()
        };
        client.create(self.name(), settings).await;
    }
}
