//! Until when the source waits for verdicts on the records in hand, and when it is asked to wait
//! longer (LS 4.5). It does not know whether a record still is in hand.
//!
//! ```text
//! Running    --due-->      Extending  effect Settle with Held
//! Extending  --held-->     Running
//! Extending  --failed-->   Running    due again soon
//! ```
//!
//! A lease is extended after a third of it has passed: that leaves room for one extension that fails, and
//! for a late tick, before half of it is over. Records that were read or extended together stay together,
//! so that the work grows with the reads and not with the records.

use std::collections::BTreeMap;

use crate::{Backoff, Millis, Sequence, Span, Ticket};

/// The part of a lease after which it is extended.
const PART: Millis = 3;

#[derive(Debug)]
pub(crate) struct Lease {
    lease_ms: Option<Millis>,
    /// When a group of records is due, by time and first record; its end.
    groups: BTreeMap<(Millis, Sequence), Sequence>,
    /// What is being extended, and when it is due again if that succeeds.
    extending: BTreeMap<Ticket, (Millis, Vec<Span>)>,
    failures: u32,
}

impl Lease {
    pub(crate) const fn new(lease_ms: Option<Millis>) -> Self {
        Self { lease_ms, groups: BTreeMap::new(), extending: BTreeMap::new(), failures: 0 }
    }

    /// These records were read or extended just now.
    pub(crate) fn began(&mut self, now: Millis, records: Span) {
        if let Some(due) = self.next_due(now).filter(|_| records.count() > 0) {
            self.groups.insert((due, records.first), records.end);
        }
    }

    fn next_due(&self, now: Millis) -> Option<Millis> {
        self.lease_ms.map(|lease_ms| now.saturating_add((lease_ms / PART).max(1)))
    }

    /// The next group whose time has come.
    pub(crate) fn due(&mut self, now: Millis) -> Option<Span> {
        let entry = self.groups.first_entry().filter(|entry| entry.key().0 <= now)?;
        let ((_, first), end) = entry.remove_entry();
        Some(Span { first, end })
    }

    pub(crate) fn extending(&mut self, now: Millis, ticket: Ticket, records: Vec<Span>) {
        transition!("Running --due--> Extending");
        for span in &records {
            self.began(now, *span);
        }
        self.extending.insert(ticket, (self.next_due(now).unwrap_or(now), records));
    }

    /// How many leases were extended. `None`: nobody waits for this.
    pub(crate) fn held(&mut self, ticket: Ticket) -> Option<u64> {
        let (_, records) = self.extending.remove(&ticket)?;
        transition!("Extending --held--> Running");
        self.failures = 0;
        Some(records.iter().map(|span| span.count()).sum())
    }

    /// When they are extended again. `None`: nobody waits for this.
    pub(crate) fn failed(
        &mut self,
        now: Millis,
        ticket: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<Millis> {
        let (planned, records) = self.extending.remove(&ticket)?;
        transition!("Extending --failed--> Running");
        self.failures = self.failures.saturating_add(1);
        let due = now.saturating_add(backoff.wait_ms(self.failures, salt));
        for span in records {
            if let Some(end) = self.groups.remove(&(planned, span.first)) {
                self.groups.insert((due.min(planned), span.first), end);
            }
        }
        Some(due.min(planned))
    }

    /// No record is in hand any more.
    pub(crate) fn clear(&mut self) {
        self.groups.clear();
        for (_, records) in self.extending.values_mut() {
            records.clear();
        }
    }

    pub(crate) fn is_extending(&self) -> bool {
        !self.extending.is_empty()
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.groups.first_key_value().map(|((due, _), _)| *due)
    }

    /// Whether the lease of this record will be extended in time.
    pub(crate) fn covers(&self, record: Sequence) -> bool {
        let within =
            |((_, first), end): (&(Millis, Sequence), &Sequence)| (*first..*end).contains(&record);
        self.lease_ms.is_none() || self.groups.iter().any(within)
    }
}
