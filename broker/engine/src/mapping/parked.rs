//! Records that are set aside behind their key, in order: what is there, what is being written, what its bounds are.
//! It does not know what the records hold; their bytes go from the edge to the store and back.
//!
//! | a key is | while | then |
//! |---|---|---|
//! | parked | its records wait, later ones join them | unparked by a user |
//! | unparking | its records are sent in portions, each settled before the next | gone; or parked again if one fails |

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::checkpoint::{NO_ROOM_ON_DISK, answer};
use super::effect::ReportOutcome;
use super::input::{ParkReport, Under};
use super::lease::PollerId;
use super::record::{MappingMutation, ParkedKeyRecord, ParkedRecordRow, Put, Row};
use super::registry::{MappingLimits, Out, Pending, Registry};
use crate::Millis;

/// By shard and key.
pub(super) type KeyName = (Arc<str>, Arc<[u8]>);

/// What is parked of one mapping.
#[derive(Debug, Default)]
pub(super) struct Parked {
    pub(super) keys: BTreeMap<KeyName, ParkedKey>,
    /// Those under way included, as all the sums here.
    pub(super) records: u64,
    pub(super) bytes: u64,
    pub(super) key_bytes: u64,
}

#[derive(Debug)]
pub(super) struct ParkedKey {
    pub(super) number: u64,
    pub(super) since: Millis,
    pub(super) error: Box<str>,
    pub(super) unparking: bool,
    /// Durable ones, in order.
    pub(super) records: VecDeque<ParkedRecordRow>,
    /// Writes of further records that are under way.
    pub(super) joining: u32,
    /// A write that takes records away is under way.
    pub(super) settling: bool,
    /// Records that the poller has and has not settled.
    pub(super) sent: usize,
    /// Records that a user dropped and of which the poller has not been told: it counts what is parked, too.
    pub(super) dropped: u64,
}

/// Records on their way to the disk.
#[derive(Debug)]
pub(super) struct Parking {
    mapping: u64,
    poller: PollerId,
    ticket: u64,
    name: KeyName,
    records: Vec<ParkedRecordRow>,
    bytes: u64,
    error: Box<str>,
}

impl Parked {
    pub(super) fn name(shard: &str, key: &[u8]) -> KeyName {
        (shard.into(), key.into())
    }

    /// Keys that have records, with them.
    pub(super) fn shown(&self) -> impl Iterator<Item = (&KeyName, &ParkedKey)> {
        self.keys.iter().filter(|(_, key)| !key.records.is_empty())
    }

    /// Nobody has any records of these any more; whoever gets them next is told how many there are.
    pub(super) fn nothing_is_sent(&mut self) {
        self.keys.values_mut().for_each(|key| (key.sent, key.dropped) = (0, 0));
    }

    /// Takes rows out until there are `max` of them.
    pub(super) fn take_rows(&mut self, max: usize, rows: &mut Vec<Row>) {
        while rows.len() < max
            && let Some(mut first) = self.keys.first_entry()
        {
            let key = first.get_mut();
            let fitting = key.records.len().min(max - rows.len());
            rows.extend(
                key.records.drain(..fitting).map(|record| Row::ParkedRecord(record.number)),
            );
            if rows.len() < max {
                rows.push(Row::ParkedKey(key.number));
                first.remove();
            }
        }
    }

    fn has_room(
        &self,
        limits: &MappingLimits,
        new_key: Option<u64>,
        records: u64,
        bytes: u64,
    ) -> bool {
        let keys = self.keys.len() + usize::from(new_key.is_some());
        self.records + records <= limits.parked_records_max
            && self.bytes + bytes <= limits.parked_bytes_max
            && keys <= limits.parked_keys_max
            && self.key_bytes + new_key.unwrap_or(0) <= limits.parked_key_bytes_max
    }

    /// Forgets a key of which nothing is left or under way.
    pub(super) fn forget_if_empty(&mut self, name: &KeyName) {
        if self.keys.get(name).is_some_and(ParkedKey::is_empty) {
            self.keys.remove(name);
            self.key_bytes -= (name.0.len() + name.1.len()) as u64;
        }
    }
}

impl ParkedKey {
    /// There is nothing of it, and nothing comes.
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.joining == 0 && !self.settling
    }

    pub(super) fn record(&self, mapping: u64, name: &KeyName) -> ParkedKeyRecord {
        ParkedKeyRecord {
            number: self.number,
            mapping,
            shard: Arc::clone(&name.0),
            key: Arc::clone(&name.1),
            since: self.since,
            error: self.error.clone(),
            unparking: self.unparking,
        }
    }
}

impl Registry {
    pub(super) fn park(&mut self, under: Under, report: ParkReport, out: Out<'_>) {
        let Some(number) = self.fenced(under, report.ticket, out) else { return };
        if report.records.is_empty() {
            return self.settle_parked(number, under.poller, report, out);
        }
        let (poller, ticket) = (under.poller, report.ticket);
        let Some((parking, key)) = self.make_room(number, poller, report) else {
            let error = "As many records or keys are parked of the mapping as may be; unpark some.";
            return answer(poller, ticket, ReportOutcome::Full, error, out);
        };
        let mut mutation = MappingMutation::put(Put::ParkedKey(key));
        mutation.puts.extend(parking.records.iter().map(|record| Put::ParkedRecord(*record)));
        self.persist(mutation, Pending::Park(Box::new(parking)), out);
    }

    /// Takes the room for records; `None` if there is none.
    fn make_room(
        &mut self,
        number: u64,
        poller: PollerId,
        report: ParkReport,
    ) -> Option<(Parking, ParkedKeyRecord)> {
        let ParkReport { ticket, shard, key, records, error, .. } = report;
        let mapping = self.mappings.get_mut(&number)?;
        let name = Parked::name(&shard, &key);
        let bytes: u64 = records.iter().map(|bytes| u64::from(*bytes)).sum();
        let name_bytes = (name.0.len() + name.1.len()) as u64;
        let new_key = (!mapping.parked.keys.contains_key(&name)).then_some(name_bytes);
        if !mapping.parked.has_room(&self.limits, new_key, records.len() as u64, bytes) {
            return None;
        }
        let parked = &mut mapping.parked;
        parked.records += records.len() as u64;
        parked.bytes += bytes;
        parked.key_bytes += new_key.unwrap_or(0);
        mapping.writing += 1;
        let (next_key, since) = (&mut self.next_parked_key, self.now.clock);
        let key = parked.keys.entry(name.clone()).or_insert_with(|| {
            *next_key += 1;
            ParkedKey {
                number: *next_key - 1,
                since,
                error: Box::default(),
                unparking: false,
                records: VecDeque::new(),
                joining: 0,
                settling: false,
                sent: 0,
                dropped: 0,
            }
        });
        key.joining += 1;
        let mut record = key.record(number, &name);
        if !error.is_empty() {
            record.error = error.clone();
        }
        let records = records.into_iter().map(|bytes| {
            self.next_parked_record += 1;
            ParkedRecordRow { number: self.next_parked_record - 1, key: key.number, bytes }
        });
        let records = records.collect();
        Some((Parking { mapping: number, poller, ticket, name, records, bytes, error }, record))
    }

    pub(super) fn parked(&mut self, parking: Parking, out: Out<'_>) {
        let Parking { mapping: number, poller, ticket, name, records, error, .. } = parking;
        if let Some(mapping) = self.mappings.get_mut(&number)
            && let Some(key) = mapping.parked.keys.get_mut(&name)
        {
            key.joining -= 1;
            key.records.extend(records);
            if !error.is_empty() {
                key.error = error;
            }
        }
        answer(poller, ticket, ReportOutcome::Done, "", out);
        self.write_ended(number, out);
        self.send_parked(number, out);
    }

    pub(super) fn park_refused(&mut self, parking: Parking, out: Out<'_>) {
        let Parking { mapping: number, poller, ticket, name, records, bytes, .. } = parking;
        if let Some(mapping) = self.mappings.get_mut(&number) {
            mapping.parked.records -= records.len() as u64;
            mapping.parked.bytes -= bytes;
            if let Some(key) = mapping.parked.keys.get_mut(&name) {
                key.joining -= 1;
            }
            mapping.parked.forget_if_empty(&name);
        }
        answer(poller, ticket, ReportOutcome::Failed, NO_ROOM_ON_DISK, out);
        self.write_ended(number, out);
    }
}
