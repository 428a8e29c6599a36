//! Keys whose records are set aside, and the way back. It does not know why a key was parked.
//!
//! ```text
//! Following  --park-->        Telling    effect Park; the key's records go behind those parked before
//! Telling    --parked-->      Following
//! Telling    --failed-->      Waiting
//! Waiting    --due-->         Telling    effect Park, the same again
//! Waiting    --end-->         Following  the shard ends: these records come again
//! Parked     --unpark-->      Returning  its oldest records are in hand again
//! Returning  --ended-->       Parked     they have ended; newer ones are parked behind them
//! Returning  --failed-->      Parked     the function failed again: the rest stays parked
//! Returning  --free-->        Free       nothing is parked any more: new records flow as those of any key
//! ```
//!
//! The first four lines are about records on their way into the park, the rest about the key. While a key is
//! parked, also while it returns, its new records are parked behind the others: order is kept. Once everything
//! that is parked has come back, up to a thousand new ones wait in hand for its end, and then flow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::context::Numbers;
use crate::ledger::{Ledger, List};
use crate::{
    Backoff, BatchId, BatchLimits, Key, Millis, PARK_BYTES_MAX, PARK_RECORDS_MAX, RecordMeta,
    Records, Sequence, Ticket, UNPARK_RECORDS_MAX,
};

#[derive(Debug, Default)]
pub(crate) struct Parks {
    keys: BTreeMap<Key, Park>,
    tickets: BTreeMap<Ticket, Key>,
    /// Keys of which something may have to be asked for.
    changed: BTreeSet<Key>,
    /// Keys that wait to ask again, by time.
    waits: BTreeSet<(Millis, Key)>,
    /// Keys that may have returned records for a batch.
    returning: BTreeSet<Key>,
    next_returned: u64,
}

#[derive(Debug)]
struct Park {
    /// Records that are to be set aside.
    list: List,
    parking: Option<Parking>,
    /// The batch that the next records failed in.
    failed: Option<BatchId>,
    /// How many records are parked durably.
    durable: u64,
    /// Records that came back and were not settled.
    returned: VecDeque<Returned>,
    /// A batch of returned records is under way or waits.
    is_sent: bool,
    /// Returned records that have ended and were not told to anyone.
    ended: u64,
    /// The function failed again on the others.
    has_failed: bool,
    settling: Option<Settling>,
    failures: u32,
}

#[derive(Debug)]
struct Parking {
    ticket: Ticket,
    /// Empty: they are void.
    records: Vec<Sequence>,
    count: u64,
    failed: Option<BatchId>,
    until: Option<Millis>,
}

#[derive(Debug)]
struct Settling {
    ticket: Ticket,
    count: u64,
    until: Option<Millis>,
}

#[derive(Clone, Copy, Debug)]
struct Returned {
    record: Sequence,
    bytes: u64,
    arrived_at: Millis,
    is_sent: bool,
    has_ended: bool,
}

/// Something to be asked for now.
#[derive(Debug)]
pub(crate) enum Ask {
    Park { ticket: Ticket, key: Key, records: Records, failed: Option<BatchId> },
    Settle { ticket: Ticket, key: Key, count: u64 },
}

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Unchanged,
    /// No record of it is in hand any more.
    Ended {
        left: u64,
        done: bool,
    },
}

impl Park {
    const fn new(durable: u64) -> Self {
        Self {
            list: List::EMPTY,
            parking: None,
            failed: None,
            durable,
            returned: VecDeque::new(),
            is_sent: false,
            ended: 0,
            has_failed: false,
            settling: None,
            failures: 0,
        }
    }

    fn is_returning(&self) -> bool {
        !self.returned.is_empty() || self.ended > 0 || self.settling.is_some() || self.is_sent
    }

    fn being_parked(&self) -> u64 {
        self.parking.as_ref().map_or(0, |parking| parking.count)
    }

    /// Returned records that have ended and that the park has not forgotten.
    fn told_or_ended(&self) -> u64 {
        self.ended + self.settling.as_ref().map_or(0, |settling| settling.count)
    }

    /// Everything that is parked has come back: once it has ended the key is free. New records wait for
    /// that in hand, or the key of a source that never rests would never be free.
    fn is_last_leg(&self) -> bool {
        let back = self.returned.len() as u64 + self.told_or_ended();
        self.is_returning() && self.durable == back && self.list.count < PARK_RECORDS_MAX
    }

    fn wait(&mut self, now: Millis, backoff: Backoff, salt: u64) -> Millis {
        self.failures = self.failures.saturating_add(1);
        now.saturating_add(backoff.wait_ms(self.failures, salt))
    }
}

impl Parks {
    pub(crate) fn open(&mut self, key: Key, records: u64) {
        self.keys.insert(key, Park::new(records));
    }

    pub(crate) fn is_parked(&self, key: Key) -> bool {
        self.keys.contains_key(&key)
    }

    /// Whether records have come back, or end, that are not forgotten.
    pub(crate) fn is_returning(&self) -> bool {
        self.keys.values().any(Park::is_returning)
    }

    /// Parks a key because of a batch. `false`: it was parked already.
    pub(crate) fn park(&mut self, key: Key, batch: BatchId) -> bool {
        let is_new = !self.is_parked(key);
        let park = self.keys.entry(key).or_insert_with(|| Park::new(0));
        park.failed.get_or_insert(batch);
        self.changed.insert(key);
        is_new
    }

    /// Adds a record that is to be set aside behind the others of its key.
    pub(crate) fn push(&mut self, ledger: &mut Ledger, key: Key, record: Sequence) {
        if let Some(park) = self.keys.get_mut(&key)
            && ledger.divert(record)
        {
            ledger.push(&mut park.list, record);
            self.changed.insert(key);
        }
    }

    /// What is to be asked for now.
    pub(crate) fn due(
        &mut self,
        now: Millis,
        ledger: &Ledger,
        numbers: &mut Numbers,
    ) -> Option<Ask> {
        while let Some(&(until, key)) = self.waits.first().filter(|(until, _)| *until <= now) {
            self.waits.remove(&(until, key));
            self.changed.insert(key);
        }
        while let Some(&key) = self.changed.first() {
            let park = self.keys.get_mut(&key);
            if let Some(ask) = park.and_then(|park| park.due(now, ledger, numbers, key)) {
                let (Ask::Park { ticket, .. } | Ask::Settle { ticket, .. }) = ask;
                self.tickets.insert(ticket, key);
                return Some(ask);
            }
            self.changed.remove(&key);
        }
        None
    }

    /// Records that are parked now, and their key. `None`: nobody waits for this.
    pub(crate) fn parked(&mut self, ticket: Ticket) -> Option<(Key, Vec<Sequence>)> {
        let key = *self.tickets.get(&ticket)?;
        let park = self.keys.get_mut(&key)?;
        let is_told = |parking: &Parking| parking.ticket == ticket && parking.until.is_none();
        let parking = park.parking.take_if(|parking| is_told(parking))?;
        transition!("Telling --parked--> Following");
        self.tickets.remove(&ticket);
        park.durable += parking.count;
        park.failures = 0;
        self.changed.insert(key);
        Some((key, parking.records))
    }

    /// When it is tried again. `None`: nobody waits for this.
    pub(crate) fn park_failed(
        &mut self,
        now: Millis,
        ticket: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<(Key, Millis)> {
        let key = *self.tickets.get(&ticket)?;
        let park = self.keys.get_mut(&key)?;
        let is_told = |parking: &Parking| parking.ticket == ticket && parking.until.is_none();
        park.parking.as_ref().filter(|parking| is_told(parking))?;
        let until = park.wait(now, backoff, salt);
        if park.parking.take_if(|parking| parking.records.is_empty()).is_some() {
            self.changed.insert(key);
            return Some((key, until));
        }
        let parking = park.parking.as_mut()?;
        transition!("Telling --failed--> Waiting");
        parking.until = Some(until);
        self.waits.insert((until, key));
        Some((key, until))
    }

    /// Records come back. `false`: none was taken, because they are too many or follow on some that the
    /// function failed on again.
    pub(crate) fn unpark(&mut self, key: Key, dropped: u64, records: &[RecordMeta]) -> bool {
        let park = self.keys.entry(key).or_insert_with(|| Park::new(0));
        let in_hand = park.returned.len() as u64;
        let known = dropped + in_hand + park.ended + records.len() as u64;
        if park.has_failed || in_hand + records.len() as u64 > UNPARK_RECORDS_MAX {
            return false;
        }
        transition!("Parked --unpark--> Returning");
        park.durable = park.durable.max(known) - dropped;
        for meta in records {
            let record = Sequence(self.next_returned);
            self.next_returned += 1;
            let RecordMeta { bytes, arrived_at, .. } = *meta;
            let (is_sent, has_ended) = (false, false);
            park.returned.push_back(Returned { record, bytes, arrived_at, is_sent, has_ended });
        }
        if !park.is_sent {
            self.returning.insert(key);
        }
        true
    }

    /// A key whose returned records wait for a batch, and whose lane `is_free`.
    pub(crate) fn waiting(&mut self, mut is_free: impl FnMut(Key) -> bool) -> Option<Key> {
        self.returning.iter().copied().find(|key| is_free(*key))
    }

    /// Takes returned records for a batch.
    pub(crate) fn take(&mut self, key: Key, limits: &BatchLimits) -> Vec<Sequence> {
        let Some(park) = self.keys.get_mut(&key) else { return Vec::new() };
        let (mut records, mut bytes) = (Vec::new(), 0_u64);
        for returned in park.returned.iter_mut().filter(|returned| !returned.is_sent) {
            bytes = bytes.saturating_add(returned.bytes + u64::from(!records.is_empty()));
            let full = records.len() as u64 >= u64::from(limits.records_max());
            if !records.is_empty() && (full || bytes > limits.records_bytes_max()) {
                break;
            }
            returned.is_sent = true;
            records.push(returned.record);
        }
        park.is_sent = !records.is_empty();
        self.returning.remove(&key);
        records
    }

    pub(crate) fn arrived_at(&self, key: Key, record: Sequence) -> Option<Millis> {
        let returned = &self.keys.get(&key)?.returned;
        let at = returned.binary_search_by_key(&record, |returned| returned.record).ok()?;
        Some(returned[at].arrived_at)
    }

    /// A returned record has ended.
    pub(crate) fn ended(&mut self, key: Key, record: Sequence) {
        let Some(park) = self.keys.get_mut(&key) else { return };
        if let Ok(at) = park.returned.binary_search_by_key(&record, |returned| returned.record) {
            park.returned[at].has_ended = true;
        }
        while park.returned.front().is_some_and(|returned| returned.has_ended) {
            park.returned.pop_front();
            park.ended += 1;
            self.changed.insert(key);
        }
    }

    /// The batch of returned records is over.
    pub(crate) fn batch_over(&mut self, key: Key) {
        if let Some(park) = self.keys.get_mut(&key) {
            park.is_sent = false;
            if park.returned.iter().any(|returned| !returned.is_sent) {
                self.returning.insert(key);
            }
        }
    }

    /// The function failed again on a returned record: those that have not ended stay parked.
    pub(crate) fn failed_again(&mut self, key: Key) {
        let Some(park) = self.keys.get_mut(&key) else { return };
        transition!("Returning --failed--> Parked");
        park.returned.clear();
        (park.is_sent, park.has_failed) = (false, true);
        self.returning.remove(&key);
        self.changed.insert(key);
    }

    /// The park has forgotten returned records. `None`: nobody waits for this.
    pub(crate) fn settled(&mut self, ticket: Ticket) -> Option<Key> {
        let key = *self.tickets.get(&ticket)?;
        let park = self.keys.get_mut(&key)?;
        let is_told = |settling: &Settling| settling.ticket == ticket && settling.until.is_none();
        let settling = park.settling.take_if(|settling| is_told(settling))?;
        self.tickets.remove(&ticket);
        park.durable = park.durable.saturating_sub(settling.count);
        park.failures = 0;
        self.changed.insert(key);
        Some(key)
    }

    /// When it is told again. `None`: nobody waits for this.
    pub(crate) fn settle_failed(
        &mut self,
        now: Millis,
        ticket: Ticket,
        backoff: Backoff,
        salt: u64,
    ) -> Option<Millis> {
        let key = *self.tickets.get(&ticket)?;
        let park = self.keys.get_mut(&key)?;
        let is_told = |settling: &Settling| settling.ticket == ticket && settling.until.is_none();
        park.settling.as_ref().filter(|settling| is_told(settling))?;
        let until = park.wait(now, backoff, salt);
        let settling = park.settling.as_mut()?;
        settling.until = Some(until);
        self.waits.insert((until, key));
        settling.until
    }

    /// Whether a key has come to the end of its way back, and the records that flow again if it is free.
    pub(crate) fn turn(&mut self, key: Key) -> (Turn, List) {
        let Some(park) = self.keys.get_mut(&key) else { return (Turn::Unchanged, List::EMPTY) };
        if park.is_returning() {
            return (Turn::Unchanged, List::EMPTY);
        }
        let left = park.durable + park.being_parked();
        if left > 0 {
            let done = !std::mem::take(&mut park.has_failed);
            if done {
                transition!("Returning --ended--> Parked");
            }
            return (Turn::Ended { left, done }, List::EMPTY);
        }
        transition!("Returning --free--> Free");
        let list = park.list;
        self.keys.remove(&key);
        (Turn::Ended { left, done: true }, list)
    }

    /// Takes all records out that are to be set aside and are not being.
    pub(crate) fn drain(&mut self, ledger: &Ledger) -> Vec<Sequence> {
        let mut records = Vec::new();
        for park in self.keys.values_mut() {
            while let Some(record) = ledger.pop_front(&mut park.list) {
                records.push(record);
            }
        }
        records.sort_unstable();
        records
    }

    /// Gives up what is not under way: records that wait to be set aside, and those that came back.
    pub(crate) fn give_up(&mut self, ledger: &Ledger) -> Vec<Sequence> {
        let mut records = self.drain(ledger);
        for park in self.keys.values_mut() {
            if let Some(parking) = park.parking.take_if(|parking| parking.until.is_some()) {
                transition!("Waiting --end--> Following");
                records.extend(parking.records);
            }
            park.settling = park.settling.take().filter(|settling| settling.until.is_none());
            park.returned.retain(|returned| returned.is_sent);
        }
        records.sort_unstable();
        records
    }

    /// All records of the source that wait to be set aside are void.
    pub(crate) fn forget(&mut self) {
        for park in self.keys.values_mut() {
            park.list = List::EMPTY;
            park.parking = park.parking.take().filter(|parking| parking.until.is_none());
            if let Some(parking) = &mut park.parking {
                parking.records.clear();
            }
        }
    }

    pub(crate) fn is_telling(&self) -> bool {
        let telling = |park: &Park| {
            park.parking.as_ref().is_some_and(|parking| parking.until.is_none())
                || park.settling.as_ref().is_some_and(|settling| settling.until.is_none())
        };
        self.keys.values().any(telling)
    }

    /// Records that are to be set aside, or are being.
    pub(crate) fn waiting_records(&self) -> u64 {
        let parking = |park: &Park| park.parking.as_ref().map_or(0, |p| p.records.len() as u64);
        self.keys.values().map(|park| park.list.count + parking(park)).sum()
    }

    /// Whether records wait to be set aside.
    pub(crate) fn is_parking(&self) -> bool {
        self.keys.values().any(|park| park.parking.is_some() || park.list.count > 0)
    }

    pub(crate) fn until(&self) -> Option<Millis> {
        self.waits.first().map(|(until, _)| *until)
    }
}

impl Park {
    fn due(
        &mut self,
        now: Millis,
        ledger: &Ledger,
        numbers: &mut Numbers,
        key: Key,
    ) -> Option<Ask> {
        if let Some(parking) = &mut self.parking {
            if parking.until.is_some_and(|until| until <= now) {
                transition!("Waiting --due--> Telling");
                parking.until = None;
                let records = parking.records.iter().copied().collect();
                let (ticket, failed) = (parking.ticket, parking.failed);
                return Some(Ask::Park { ticket, key, records, failed });
            }
        } else if self.list.count > 0 && !self.is_last_leg() {
            transition!("Following --park--> Telling");
            let (mut records, mut bytes) = (Vec::new(), 0);
            while (records.len() as u64) < PARK_RECORDS_MAX
                && bytes < PARK_BYTES_MAX
                && let Some(record) = ledger.pop_front(&mut self.list)
            {
                bytes += ledger.slot(record).bytes;
                records.push(record);
            }
            let (ticket, failed) = (numbers.ticket(), self.failed.take());
            let told = records.iter().copied().collect();
            self.parking =
                Some(Parking { ticket, count: records.len() as u64, records, failed, until: None });
            return Some(Ask::Park { ticket, key, records: told, failed });
        }
        if let Some(settling) = &mut self.settling {
            if settling.until.is_some_and(|until| until <= now) {
                settling.until = None;
                return Some(Ask::Settle { ticket: settling.ticket, key, count: settling.count });
            }
        } else if self.ended > 0 {
            let (ticket, count) = (numbers.ticket(), std::mem::take(&mut self.ended));
            self.settling = Some(Settling { ticket, count, until: None });
            return Some(Ask::Settle { ticket, key, count });
        }
        None
    }
}
