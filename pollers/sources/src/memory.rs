//! A source in memory, with a script of faults: the reference that shows what the suite asks for, and
//! the outside world of the runner's tests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::timeout;
use trine_poll_engine::{BATCH_BYTES_MAX, Verdict};

use crate::{
    Connect, Descriptor, Envelope, Notice, Ordering, Received, Record, Redelivery, Settled,
    Settling, Source, SourceError, Want,
};

/// What the source can do.
pub const DESCRIPTOR: Descriptor = Descriptor {
    kind: "memory",
    ordering: Ordering::Total,
    settling: Settling::LowWater,
    redelivery: Redelivery::FromMark,
    envelope: Envelope::RECORDS,
    receive_wait: Duration::from_secs(1),
    not_reached_wait_max: Some(Duration::from_secs(10)),
    reconnect_wait_max: Some(Duration::from_secs(1)),
};

/// The outside world: a stream of JSON texts, the settled mark, and faults that are to happen. Clones
/// share it.
#[derive(Clone, Debug, Default)]
pub struct MemoryStream {
    world: Arc<World>,
}

#[derive(Debug, Default)]
struct World {
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Bytes>,
    /// Events before this one are settled.
    settled: usize,
    /// Every verdict that was given, in order.
    verdicts: Vec<(usize, Verdict)>,
    faults: VecDeque<Fault>,
}

/// Something that goes wrong once, at the first call that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A connect fails.
    Connect,
    /// A receive fails.
    Receive,
    /// A receive panics.
    ReceivePanics,
    /// A settle fails without effect.
    Settle,
    /// A settle fails although its verdicts were taken.
    SettleAnswer,
}

impl MemoryStream {
    /// An empty stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an event, a JSON text.
    pub fn produce(&self, event: impl Into<Bytes>) {
        self.state().events.push(event.into());
        self.world.grown.notify_waiters();
    }

    /// Lets `fault` happen, after those that were asked for before.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// Takes back all faults that have not happened yet.
    pub fn repair(&self) {
        self.state().faults.clear();
    }

    /// How many events are settled.
    #[must_use]
    pub fn settled(&self) -> usize {
        self.state().settled
    }

    /// Every verdict that was given so far, with the place of its event.
    #[must_use]
    pub fn verdicts(&self) -> Vec<(usize, Verdict)> {
        self.state().verdicts.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked while it held the lock has failed already.
        self.world.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fails(&self, fault: Fault) -> bool {
        let mut state = self.state();
        let now = state.faults.front() == Some(&fault);
        if now {
            state.faults.pop_front();
        }
        now
    }
}

impl Connect for MemoryStream {
    type Source = MemorySource;

    async fn connect(&self, after: Option<usize>) -> Result<MemorySource, SourceError> {
        if self.fails(Fault::Connect) {
            return Err(SourceError::new("the script refuses the connection"));
        }
        let next = after.map_or_else(|| self.state().settled, |position| position + 1);
        Ok(MemorySource { stream: self.clone(), next: Mutex::new(next) })
    }
}

/// One connection to a [`MemoryStream`].
#[derive(Debug)]
pub struct MemorySource {
    stream: MemoryStream,
    next: Mutex<usize>,
}

impl MemorySource {
    /// What there is now.
    fn take(&self, want: Want) -> Vec<Record<usize>> {
        let state = self.stream.state();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = 0;
        let mut records = Vec::new();
        while let Some(event) = state.events.get(*next)
            && records.len() < want.records_max as usize
        {
            let length = event.len() as u64;
            if !records.is_empty() && bytes + length > want.bytes_max {
                break;
            }
            bytes += length;
            records.push(if length > BATCH_BYTES_MAX {
                Record::too_large(*next, Duration::ZERO, length)
            } else {
                Record::new(*next, Duration::ZERO, event.clone())
            });
            *next += 1;
        }
        records
    }
}

impl Source for MemorySource {
    type Position = usize;

    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    async fn receive(&self, want: Want) -> Result<Received<usize>, SourceError> {
        let come = async {
            loop {
                let grown = self.stream.world.grown.notified();
                tokio::pin!(grown);
                grown.as_mut().enable(); // before looking, or an event in between would be missed
                let records = self.take(want);
                if !records.is_empty() {
                    return records;
                }
                grown.await;
            }
        };
        assert!(!self.stream.fails(Fault::ReceivePanics), "the script panics");
        if self.stream.fails(Fault::Receive) {
            return Err(SourceError::new("the script breaks the connection"));
        }
        let records = timeout(want.wait, come).await.unwrap_or_default();
        Ok(Received { records, notices: Vec::<Notice>::new() })
    }

    async fn settle(&self, verdicts: Vec<Settled<usize>>) -> Result<(), SourceError> {
        if self.stream.fails(Fault::Settle) {
            return Err(SourceError::new("the script refuses the verdicts"));
        }
        {
            let mut state = self.stream.state();
            for Settled { position, verdict } in verdicts {
                state.settled = state.settled.max(position + 1);
                state.verdicts.push((position, verdict));
            }
        }
        if self.stream.fails(Fault::SettleAnswer) {
            return Err(SourceError::new("the script loses the answer"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::Subject;

    impl Subject for MemoryStream {
        type Connect = Self;

        fn start(&mut self) -> Self {
            self.clone()
        }

        fn produce(&mut self, text: &str) {
            MemoryStream::produce(self, Bytes::copy_from_slice(text.as_bytes()));
        }

        fn text(&self, event: &[u8]) -> String {
            String::from_utf8(event.to_vec()).unwrap()
        }
    }

    crate::conformance_suite!(
        #[tokio::test(start_paused = true)]
        MemoryStream::new()
    );
}
