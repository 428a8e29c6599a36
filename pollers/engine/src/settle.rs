//! Verdicts on single records, from the end of a record until the source has taken them. It does not
//! know how they came about.
//!
//! ```text
//! Telling  --settled-->  over
//! Telling  --failed-->   Waiting
//! Telling  --gone-->     Telling  the source went and will give the records again: its answer means nothing
//! Waiting  --due-->      Telling  effect Settle, the same again
//! Waiting  --end-->      over     the shard ends: the source redelivers
//! ```
//!
//! Verdicts of one step go to the source together and in the order of the records: a FIFO queue gets what is
//! given back in the order of its group.

use std::collections::BTreeMap;

use crate::{Backoff, Millis, Sequence, Span, Ticket, Verdict};

pub(crate) type Verdicts = Vec<(Span, Verdict)>;

#[derive(Debug, Default)]
pub(crate) struct Settle {
    /// Not told yet.
    outbox: Verdicts,
    telling: BTreeMap<Ticket, Verdicts>,
    waiting: Vec<(Millis, Verdicts)>,
    failures: u32,
}

impl Settle {
    pub(crate) fn push(&mut self, record: Sequence, verdict: Verdict) {
        let end = record.plus(1);
        match self.outbox.last_mut() {
            Some((span, last)) if span.end == record && *last == verdict => span.end = end,
            _ => self.outbox.push((Span { first: record, end }, verdict)),
        }
    }

    /// What the source is to be told now.
    pub(crate) fn due(&mut self, now: Millis) -> Option<Verdicts> {
        if !self.outbox.is_empty() {
            self.outbox.sort_unstable_by_key(|(span, _)| span.first);
            return Some(std::mem::take(&mut self.outbox));
        }
        let at = self.waiting.iter().position(|(until, _)| *until <= now)?;
        transition!("Waiting --due--> Telling");
        Some(self.waiting.remove(at).1)
    }

    pub(crate) fn told(&mut self, ticket: Ticket, verdicts: Verdicts) {
        self.telling.insert(ticket, verdicts);
    }

    /// What the source has taken. `None`: nobody waits for this.
    pub(crate) fn settled(&mut self, ticket: Ticket) -> Option<Verdicts> {
        let verdicts = self.telling.remove(&ticket)?;
        transition!("Telling --settled--> over");
        self.failures = 0;
        Some(verdicts)
    }

    /// When it is told again. `None`: nobody waits for this.
    pub(crate) fn failed(
        &mut self,
        now: Millis,
        ticket: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<Millis> {
        let verdicts = self.telling.remove(&ticket)?;
        transition!("Telling --failed--> Waiting");
        self.failures = self.failures.saturating_add(1);
        let until = now.saturating_add(backoff.wait_ms(self.failures, salt));
        if !verdicts.is_empty() {
            self.waiting.push((until, verdicts));
        }
        Some(until)
    }

    /// Forgets what could not be told: the source redelivers it. How many records that are.
    pub(crate) fn give_up(&mut self) -> u64 {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            transition!("Waiting --end--> over");
        }
        waiting.iter().flat_map(|(_, verdicts)| verdicts).map(|(span, _)| span.count()).sum()
    }

    /// Forgets everything: no verdict can be given any more. Answers still come.
    pub(crate) fn clear(&mut self) {
        self.outbox.clear();
        self.waiting.clear();
        for verdicts in self.telling.values_mut() {
            transition!("Telling --gone--> Telling");
            verdicts.clear();
        }
    }

    pub(crate) fn is_telling(&self) -> bool {
        !self.telling.is_empty()
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.waiting.iter().map(|(until, _)| *until).min()
    }
}
