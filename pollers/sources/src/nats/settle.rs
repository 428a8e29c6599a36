//! Acknowledgements, pipelined and confirmed. It does not know which of them the runner still holds.
//!
//! A server takes the acknowledgements of one connection in their order, so that the confirmation of the last is one of all before
//! it; a confirmation of each costs a third of the throughput. Where a consumer has replicas, its leader may change between two of
//! them, and each is confirmed.

use std::time::Duration;

use async_nats::{RequestErrorKind, StatusCode, Subject};
use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::consumer::Consumer;
use super::link::Link;
use crate::{SourceError, Verdict};

/// Acknowledgements whose answers are awaited together, well below what the client library keeps for a subscription.
const TOGETHER_MAX: usize = 10_000;

/// Longest wait for the answers to those.
const ANSWERS_WAIT: Duration = Duration::from_secs(10);

/// Which acknowledgements the server confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Confirm {
    Each,
    /// The last of those that are sent together.
    Last,
}

impl Confirm {
    /// What a consumer needs.
    pub(super) fn of(consumer: &Consumer) -> Self {
        let cluster = consumer.info.cluster.as_ref();
        if cluster.is_some_and(|cluster| !cluster.replicas.is_empty()) {
            Self::Each
        } else {
            Self::Last
        }
    }
}

/// Where one message is acknowledged, and as what.
pub(super) type Ack = (Subject, &'static [u8]);

pub(super) const NAK: &[u8] = b"-NAK";

/// How a verdict is said to the server.
pub(super) const fn payload(verdict: Verdict) -> &'static [u8] {
    match verdict {
        Verdict::Done => b"+ACK",
        // Not delivered again; the server tells those who listen to its advisories.
        Verdict::Rejected => b"+TERM",
        // Without a delay: delayed ones count against max_ack_pending all the while.
        Verdict::Failed | Verdict::Released => NAK,
        Verdict::Held => b"+WPI",
    }
}

impl Link {
    /// Sends acknowledgements and waits until the server has confirmed them.
    pub(super) async fn acknowledge(
        &self,
        acks: Vec<Ack>,
        confirm: Confirm,
    ) -> Result<(), SourceError> {
        let mut acks = acks.into_iter();
        loop {
            let some: Vec<Ack> = acks.by_ref().take(TOGETHER_MAX).collect();
            if some.is_empty() {
                return Ok(());
            }
            let confirmed = timeout(ANSWERS_WAIT, self.acknowledge_some(some, confirm));
            tokio::select! {
                confirmed = confirmed => confirmed.map_err(|_| unconfirmed())??,
                error = self.trouble() => return Err(error),
            }
        }
    }

    async fn acknowledge_some(
        &self,
        mut acks: Vec<Ack>,
        confirm: Confirm,
    ) -> Result<(), SourceError> {
        if confirm == Confirm::Each {
            return self.each_confirmed(acks).await;
        }
        let Some(last) = acks.pop() else { return Ok(()) };
        for (subject, payload) in acks {
            let sent = self.client.publish(subject, Bytes::from_static(payload)).await;
            sent.map_err(|error| unsent(&error))?;
        }
        self.confirmed(last).await
    }

    /// All of them, in their order, and then all answers. As requests side by side they would be sent in any order.
    async fn each_confirmed(&self, acks: Vec<Ack>) -> Result<(), SourceError> {
        let inbox = Subject::from(self.client.new_inbox());
        let subscribed = self.client.subscribe(inbox.clone()).await;
        let mut answers = subscribed.map_err(|error| unsent(&error))?;
        let count = acks.len();
        for (subject, payload) in acks {
            let payload = Bytes::from_static(payload);
            let sent = self.client.publish_with_reply(subject, inbox.clone(), payload).await;
            sent.map_err(|error| unsent(&error))?;
        }
        for _ in 0..count {
            let answer = answers.next().await.ok_or_else(unconfirmed)?;
            if answer.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(gone());
            }
        }
        Ok(())
    }

    /// One acknowledgement and its answer. As a request of the client library: those share a subscription, and one of its own for each
    /// costs the server as much as ten acknowledgements.
    async fn confirmed(&self, (subject, payload): Ack) -> Result<(), SourceError> {
        let answer = self.client.request(subject, Bytes::from_static(payload)).await;
        answer.map(drop).map_err(|error| match error.kind() {
            RequestErrorKind::NoResponders => gone(),
            RequestErrorKind::TimedOut => unconfirmed(),
            _ => unsent(&error),
        })
    }
}

pub(super) fn unsent(error: &dyn std::error::Error) -> SourceError {
    SourceError::unreachable(format!("an acknowledgement could not be sent: {error}"))
}

pub(super) fn gone() -> SourceError {
    SourceError::configuration(
        "the consumer does not exist any more: somebody removed it, or its stream",
    )
}

fn unconfirmed() -> SourceError {
    SourceError::unreachable("the NATS server did not confirm all acknowledgements in time")
}
