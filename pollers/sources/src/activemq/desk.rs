//! The records of one connection: those that wait for a receive, and those that the runner has. Pure.

use std::collections::{HashMap, VecDeque};

use super::credit::{Credit, Id, Subscribe};
use crate::{Position, Record, Verdict, Want};

/// What a record is taken for before the first one came, so that a queue of large records does not fill the memory.
const RECORD_BYTES_GUESS: u64 = 64 * 1024;

/// Share of the newest record in the mean of sizes: one of so many.
const MEAN_OF: u64 = 16;

/// A record, and what the server wants to hear of it.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) subscription: Id,
    /// What names it in an ACK.
    pub(crate) ack: String,
    pub(crate) record: Record,
}

/// What is said to the server of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Ack(String),
    Nack(String),
}

/// The records of one connection.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Of the connection: positions of another one mean nothing here.
    name: String,
    credit: Credit,
    waiting: VecDeque<Held>,
    in_hand: HashMap<u64, Held>,
    handed_out: u64,
    record_bytes: u64,
}

impl Desk {
    pub(crate) fn new(name: String) -> Self {
        Self {
            name,
            credit: Credit::default(),
            waiting: VecDeque::new(),
            in_hand: HashMap::new(),
            handed_out: 0,
            record_bytes: RECORD_BYTES_GUESS,
        }
    }

    /// A receive runs. Gives the subscription that is missing for it.
    pub(crate) fn want(&mut self, want: Want) -> Option<Subscribe> {
        let fitting = u32::try_from(want.bytes_max / self.record_bytes.max(1)).unwrap_or(u32::MAX);
        self.credit.want(want.records_max.min(fitting))
    }

    /// The receive is over.
    pub(crate) fn rest(&mut self) {
        self.credit.rest();
    }

    /// A record came.
    pub(crate) fn came(&mut self, held: Held) {
        let bytes = held.record.content.bytes();
        self.record_bytes = (self.record_bytes * (MEAN_OF - 1) + bytes) / MEAN_OF;
        if self.credit.came(held.subscription) {
            self.waiting.push_back(held);
        }
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Hands out what waits, as much as is wanted.
    pub(crate) fn take(&mut self, want: Want) -> Vec<Record> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while records.len() < want.records_max as usize
            && let Some(held) = self.waiting.front()
        {
            bytes += held.record.content.bytes();
            if bytes > want.bytes_max && !records.is_empty() {
                break;
            }
            let Some(mut held) = self.waiting.pop_front() else { break };
            // A new one each time: a late word on the last time must not be taken for one on this time.
            self.handed_out += 1;
            held.record.position = Position::new(&format!("{}-{}", self.name, self.handed_out));
            records.push(held.record.clone());
            self.credit.handed_out(held.subscription);
            self.in_hand.insert(self.handed_out, held);
        }
        records
    }

    /// Takes a verdict and says what the server has to hear, if anything. What is not here was settled before, or on another
    /// connection.
    pub(crate) fn settle(&mut self, position: &Position, verdict: Verdict) -> Option<Word> {
        if verdict == Verdict::Held {
            return None;
        }
        let (connection, number) = position.as_str().split_once('-')?;
        if connection != self.name {
            return None;
        }
        let held = self.in_hand.remove(&number.parse().ok()?)?;
        match verdict {
            Verdict::Done => {
                self.credit.settled(held.subscription);
                Some(Word::Ack(held.ack))
            }
            Verdict::Rejected => {
                self.credit.settled(held.subscription);
                Some(Word::Nack(held.ack))
            }
            // The server has no word for it but the one that ends in the dead-letter queue.
            Verdict::Failed | Verdict::Released | Verdict::Held => {
                self.credit.handed_back(held.subscription);
                self.waiting.push_front(held);
                None
            }
        }
    }

    /// A look, now and then. Gives the subscriptions that are to end; what waits of them is the server's again.
    pub(crate) fn end_unneeded(&mut self) -> Vec<Id> {
        let ended = self.credit.end_unneeded();
        if !ended.is_empty() {
            self.waiting.retain(|held| !ended.contains(&held.subscription));
        }
        ended
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Content;

    const WANT: Want = Want { records_max: 10, bytes_max: u64::MAX, wait: Duration::ZERO };

    fn held(ack: &str, bytes: u64) -> Held {
        let record = Record {
            position: Position::new(""),
            identifier: ack.into(),
            arrived_at_ms: None,
            key: None,
            body: bytes::Bytes::new(),
            content: Content::TooLarge(bytes),
        };
        Held { subscription: 1, ack: ack.to_owned(), record }
    }

    fn desk() -> Desk {
        let mut desk = Desk::new("c".to_owned());
        assert!(desk.want(WANT).is_some());
        desk
    }

    fn names(records: &[Record]) -> Vec<&str> {
        records.iter().map(|record| &*record.identifier).collect()
    }

    #[test]
    fn records_are_handed_out_as_wanted_and_settled_once() {
        let mut desk = desk();
        for name in ["a", "b", "c"] {
            desk.came(held(name, 1));
        }
        let records = desk.take(Want { records_max: 2, ..WANT });
        assert_eq!((names(&records), desk.waiting()), (vec!["a", "b"], 1));
        let [a, b] = [0, 1].map(|at| &records[at].position);
        assert_eq!(desk.settle(a, Verdict::Held), None);
        assert_eq!(desk.settle(a, Verdict::Done), Some(Word::Ack("a".to_owned())));
        assert_eq!(desk.settle(a, Verdict::Done), None, "it was said");
        assert_eq!(desk.settle(b, Verdict::Rejected), Some(Word::Nack("b".to_owned())));
        assert_eq!(desk.settle(&Position::new("d-3"), Verdict::Done), None);
        assert_eq!(names(&desk.take(WANT)), ["c"]);
    }

    #[test]
    fn what_is_given_back_is_handed_out_again_first() {
        let mut desk = desk();
        desk.came(held("a", 1));
        desk.came(held("b", 1));
        let first = desk.take(Want { records_max: 1, ..WANT });
        assert_eq!(desk.settle(&first[0].position, Verdict::Released), None);
        let again = desk.take(WANT);
        assert_eq!(names(&again), ["a", "b"]);
        assert_eq!(desk.settle(&first[0].position, Verdict::Done), None, "a word too late");
        assert!(desk.settle(&again[0].position, Verdict::Done).is_some());
    }

    #[test]
    fn bytes_bound_what_is_handed_out_and_what_is_asked_for() {
        let mut desk = desk();
        for name in ["a", "b", "c"] {
            desk.came(held(name, 1000));
        }
        let want = Want { bytes_max: 2000, ..WANT };
        assert_eq!(names(&desk.take(want)), ["a", "b"]);
        assert_eq!(names(&desk.take(Want { bytes_max: 1, ..WANT })), ["c"], "one, however large");
        // Sizes of these are not known: one record is asked for at least, and one is free yet.
        let mut desk = Desk::new("c".to_owned());
        let asked = desk.want(Want { bytes_max: 3 * RECORD_BYTES_GUESS, ..WANT });
        assert_eq!(asked.map(|asked| asked.prefetch), Some(3));
    }

    #[test]
    fn what_waits_for_nobody_goes_back() {
        let mut desk = desk();
        desk.came(held("a", 1));
        desk.rest();
        assert_eq!((desk.end_unneeded(), desk.end_unneeded()), (vec![], vec![1]));
        assert_eq!(desk.waiting(), 0);
        desk.came(held("b", 1));
        assert_eq!(desk.waiting(), 0, "it was on its way when the subscription ended");
    }
}
