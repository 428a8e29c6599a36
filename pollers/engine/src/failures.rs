//! Records that were given up, until the on-failure destination has word of them (LS 4.6). It does not
//! know why they were given up.
//!
//! ```text
//! Telling  --delivered-->  over
//! Telling  --failed-->     Waiting
//! Waiting  --due-->        Telling  effect DeliverFailure, the same again
//! Waiting  --end-->        over     the shard ends: these records come again
//! ```

use std::collections::BTreeMap;

use crate::{Backoff, Failure, Millis, Ticket};

#[derive(Debug, Default)]
pub(crate) struct Failures {
    pending: BTreeMap<Ticket, Pending>,
}

#[derive(Debug)]
struct Pending {
    failure: Failure,
    /// `None`: it is being told.
    until: Option<Millis>,
    failures: u32,
}

impl Failures {
    pub(crate) fn tell(&mut self, ticket: Ticket, failure: Failure) {
        self.pending.insert(ticket, Pending { failure, until: None, failures: 0 });
    }

    /// What has been delivered. `None`: nobody waits for this.
    pub(crate) fn delivered(&mut self, ticket: Ticket) -> Option<Failure> {
        if self.pending.get(&ticket)?.until.is_some() {
            return None;
        }
        transition!("Telling --delivered--> over");
        self.pending.remove(&ticket).map(|pending| pending.failure)
    }

    /// When it is told again. `None`: nobody waits for this.
    pub(crate) fn failed(
        &mut self,
        now: Millis,
        ticket: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<Millis> {
        let pending = self.pending.get_mut(&ticket).filter(|pending| pending.until.is_none())?;
        transition!("Telling --failed--> Waiting");
        pending.failures = pending.failures.saturating_add(1);
        pending.until = Some(now.saturating_add(backoff.wait_ms(pending.failures, salt)));
        pending.until
    }

    /// What is to be told again now.
    pub(crate) fn due(&mut self, now: Millis) -> Option<(Ticket, Failure)> {
        let is_due = |pending: &Pending| pending.until.is_some_and(|until| until <= now);
        let (ticket, pending) = self.pending.iter_mut().find(|(_, pending)| is_due(pending))?;
        transition!("Waiting --due--> Telling");
        pending.until = None;
        Some((*ticket, pending.failure.clone()))
    }

    /// Gives up what waits to be told again.
    pub(crate) fn give_up(&mut self) -> Vec<Failure> {
        let waits = |_: &Ticket, pending: &mut Pending| pending.until.is_some();
        let given_up: Vec<_> = self.pending.extract_if(.., waits).map(|(_, p)| p.failure).collect();
        if !given_up.is_empty() {
            transition!("Waiting --end--> over");
        }
        given_up
    }

    pub(crate) fn is_telling(&self) -> bool {
        self.pending.values().any(|pending| pending.until.is_none())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.pending.values().filter_map(|pending| pending.until).min()
    }
}
