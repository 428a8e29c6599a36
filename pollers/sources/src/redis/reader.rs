//! Reads a group as one consumer, in this order: what the consumer has pending and the runner does not hold, what dead consumers left
//! behind, what is new.

use std::sync::{Arc, Mutex as BlockingMutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use redis::{Cmd, Pipeline, RedisError, Value, cmd};
use tokio::sync::{Mutex, watch};
use trine_poll_engine::BATCH_BYTES_MAX;

use super::config::RedisConfig;
use super::entry::{Entry, EntryId, claimed, read};
use super::event::{EventWriter, Written};
use super::group::about;
use super::link::{Link, strange, trouble};
use crate::clock::Clock;
use crate::in_hand::InHand;
use crate::{
    Content, Notice, Position, Reader, Received, Record, Settled, SourceError, Unit, Verdict, Want,
};

/// Most entries of one read.
const READ_MAX: u32 = 10_000;

/// Most ids in one command.
const IDS_MAX: usize = 1_000;

/// How often the server is asked how far behind the group is.
const LAG_EVERY_MS: u64 = 1_000;

/// The stream of one connection.
#[derive(Debug)]
pub(crate) struct StreamReader {
    config: RedisConfig,
    link: Link,
    events: EventWriter,
    in_hand: Arc<InHand<EntryId>>,
    clock: Clock,
    progress: Mutex<Progress>,
    /// The first entry that was given back and not read again yet.
    given_back: BlockingMutex<Option<EntryId>>,
    /// Why the connection that settles is of no use any more. Without this, a runner that reads nothing, because nothing can be settled,
    /// would never learn of it.
    broken: watch::Sender<Option<SourceError>>,
}

#[derive(Debug)]
struct Progress {
    next: Next,
    /// When dead consumers are looked for again.
    claim_at_ms: u64,
    lag: Option<u64>,
    lag_at_ms: u64,
    /// Of what was told since the last receive ended.
    notices: Vec<Notice>,
}

/// What is read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// What this consumer has pending after an entry.
    Pending(EntryId),
    /// What consumers have that are dead, from an entry on.
    Claim(EntryId),
    New,
}

impl StreamReader {
    pub(crate) fn new(
        config: RedisConfig,
        link: Link,
        in_hand: Arc<InHand<EntryId>>,
        clock: Clock,
    ) -> Self {
        Self {
            events: EventWriter::new(&config.stream),
            config,
            link,
            in_hand,
            clock,
            progress: Mutex::new(Progress {
                next: Next::Pending(EntryId::ZERO),
                claim_at_ms: 0,
                lag: None,
                lag_at_ms: 0,
                notices: Vec::new(),
            }),
            given_back: BlockingMutex::new(None),
            broken: watch::Sender::new(None),
        }
    }

    /// Waits until nothing can be settled over this connection, and no receive is under way: whatever one has brought is told before this.
    pub(crate) async fn broken(&self) -> SourceError {
        let mut broken = self.broken.subscribe();
        let why = broken.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        drop(self.progress.lock().await);
        why.unwrap_or_else(|| SourceError::unreachable("the Redis client has ended"))
    }

    /// One step. Whether it was the one that waits.
    async fn step(
        &self,
        progress: &mut Progress,
        want: Want,
        records: &mut Vec<Record>,
    ) -> Result<bool, SourceError> {
        let count = want.records_max.min(READ_MAX);
        let given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(first) = given_back {
            let after = match progress.next {
                Next::Pending(after) => after.min(first.before()),
                Next::Claim(_) | Next::New => first.before(),
            };
            progress.next = Next::Pending(after);
        }
        match progress.next {
            Next::Pending(after) => {
                let entries = self.pending(after, count).await?;
                progress.next = entries
                    .last()
                    .map_or(Next::Claim(EntryId::ZERO), |last| Next::Pending(last.id));
                self.take(entries, progress, records).await?;
                Ok(false)
            }
            Next::Claim(from) => {
                let (next, entries) = self.claim(from, count, progress).await?;
                progress.next = match next {
                    EntryId::ZERO => Next::New,
                    next => Next::Claim(next),
                };
                let half_ms = u64::try_from(self.config.lease.as_millis() / 2).unwrap_or(u64::MAX);
                progress.claim_at_ms = self.clock.now_ms().saturating_add(half_ms);
                self.take(entries, progress, records).await?;
                Ok(false)
            }
            Next::New if self.clock.now_ms() >= progress.claim_at_ms => {
                progress.next = Next::Claim(EntryId::ZERO);
                Ok(false)
            }
            Next::New => {
                // If nobody waits for the answer any more, it is pending by then.
                progress.next = Next::Pending(EntryId::ZERO);
                let entries = self.new_entries(count, want.wait).await?;
                progress.next = Next::New;
                self.take(entries, progress, records).await?;
                Ok(true)
            }
        }
    }

    /// What this consumer has pending.
    async fn pending(&self, after: EntryId, count: u32) -> Result<Vec<Entry>, SourceError> {
        let mut command = self.xreadgroup(count, None);
        command.arg("STREAMS").arg(&self.config.stream).arg(after.to_string());
        let answer = self.link.read(&command, Duration::ZERO).await;
        self.entries(answer)
    }

    /// What nobody was given yet.
    async fn new_entries(&self, count: u32, wait: Duration) -> Result<Vec<Entry>, SourceError> {
        let mut command = self.xreadgroup(count, Some(wait));
        command.arg("STREAMS").arg(&self.config.stream).arg(">");
        let answer = self.link.read(&command, wait).await;
        self.entries(answer)
    }

    fn entries(&self, answer: Result<Value, RedisError>) -> Result<Vec<Entry>, SourceError> {
        let answer = answer.map_err(|error| trouble(&about(&self.config), &error))?;
        read(answer).ok_or_else(|| strange("XREADGROUP"))
    }

    fn xreadgroup(&self, count: u32, wait: Option<Duration>) -> Cmd {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(&self.config.group).arg(&self.config.consumer);
        command.arg("COUNT").arg(count);
        // 0 would mean for ever.
        let wait_ms = wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(0));
        if wait_ms > 0 {
            command.arg("BLOCK").arg(wait_ms);
        }
        command
    }

    /// Takes over what consumers have pending that gave no sign of life for the length of the lease.
    async fn claim(
        &self,
        from: EntryId,
        count: u32,
        progress: &mut Progress,
    ) -> Result<(EntryId, Vec<Entry>), SourceError> {
        let RedisConfig { stream, group, consumer, lease, .. } = &self.config;
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let mut command = cmd("XAUTOCLAIM");
        command.arg(stream).arg(group).arg(consumer).arg(lease_ms).arg(from.to_string());
        command.arg("COUNT").arg(count);
        let answer = self.link.ask(&command).await;
        let answer = answer.map_err(|error| trouble(&about(&self.config), &error))?;
        let (next, entries, gone) = claimed(answer).ok_or_else(|| strange("XAUTOCLAIM"))?;
        // The server has removed them from what is pending.
        self.tell_gone(gone.len(), progress);
        Ok((next, entries))
    }

    /// Makes records of entries, and an end of those that are gone.
    async fn take(
        &self,
        entries: Vec<Entry>,
        progress: &mut Progress,
        records: &mut Vec<Record>,
    ) -> Result<(), SourceError> {
        let mut gone = Vec::new();
        for Entry { id, fields } in entries {
            match fields {
                _ if self.in_hand.holds(id, self.clock.now_ms()) => {}
                Some(fields) => records.push(self.record(id, &fields)),
                None => gone.push(id),
            }
        }
        self.tell_gone(gone.len(), progress);
        self.send(self.with_ids("XACK", &[], &gone, &[])).await
    }

    fn tell_gone(&self, gone: usize, progress: &mut Progress) {
        if gone > 0 {
            let stream = &self.config.stream;
            let message = format!(
                "{gone} entries of the stream {stream:?} were trimmed or deleted before they were settled: they are lost"
            );
            progress.notices.push(Notice { message, gap: true });
        }
    }

    fn record(&self, id: EntryId, fields: &[(Vec<u8>, Vec<u8>)]) -> Record {
        let text = id.to_string();
        let Written { event, body } = self.events.event(id, &text, fields);
        let (body, content) = match event.len() as u64 {
            bytes if bytes > BATCH_BYTES_MAX => (Bytes::new(), Content::TooLarge(bytes)),
            _ => (body, Content::Event(event)),
        };
        Record {
            position: Position::new(&text),
            identifier: text.into(),
            arrived_at_ms: i64::try_from(id.at_ms).ok(),
            key: None,
            body,
            content,
        }
    }

    /// Entries that the group was not given yet.
    async fn lag(
        &self,
        progress: &mut Progress,
        brought: usize,
    ) -> Result<Option<u64>, SourceError> {
        let now_ms = self.clock.now_ms();
        if now_ms >= progress.lag_at_ms {
            progress.lag_at_ms = now_ms.saturating_add(LAG_EVERY_MS);
            progress.lag = self.link.find(&self.config).await?.and_then(|group| group.lag);
        } else {
            progress.lag = progress.lag.map(|lag| lag.saturating_sub(brought as u64));
        }
        Ok(progress.lag)
    }

    /// Commands with at most so many ids each.
    fn with_ids(&self, name: &str, before: &[&str], ids: &[EntryId], after: &[&str]) -> Pipeline {
        let mut commands = Pipeline::new();
        for ids in ids.chunks(IDS_MAX) {
            let command = commands.cmd(name).arg(&self.config.stream).arg(&self.config.group);
            command.arg(before);
            for id in ids {
                command.arg(id.to_string());
            }
            command.arg(after);
        }
        commands
    }

    async fn send(&self, commands: Pipeline) -> Result<(), SourceError> {
        if commands.is_empty() {
            return Ok(());
        }
        let sent = self.link.ask_all(&commands).await;
        sent.map(drop).map_err(|error| {
            let error = trouble(&about(&self.config), &error);
            self.broken.send_replace(Some(error.clone()));
            error
        })
    }
}

impl Reader for StreamReader {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(async move {
            let mut progress = self.progress.lock().await;
            let mut records = Vec::new();
            loop {
                let waited = self.step(&mut progress, want, &mut records).await?;
                if waited || !records.is_empty() || !progress.notices.is_empty() {
                    break;
                }
            }
            let lag_records = self.lag(&mut progress, records.len()).await?;
            // Somebody may act on that already, and expect nothing of this connection any more.
            if let Some(why) = &*self.broken.borrow() {
                return Err(why.clone());
            }
            // From here on nothing is waited for: what is noted as given is given.
            let notices = std::mem::take(&mut progress.notices);
            let now_ms = self.clock.now_ms();
            records.retain(|record| {
                record.position.as_str().parse().is_ok_and(|id| self.in_hand.give(id, now_ms))
            });
            Ok(Received { records, ended: false, lag_records, notices })
        })
    }

    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(async move {
            let now_ms = self.clock.now_ms();
            let (mut ended, mut held, mut back) = (Vec::new(), Vec::new(), Vec::new());
            for Settled { position, verdict } in verdicts {
                let id: EntryId = position.as_str().parse().map_err(|()| {
                    SourceError::configuration(format!("{position} is no id of a Redis entry"))
                })?;
                match verdict {
                    Verdict::Done | Verdict::Rejected => ended.push(id),
                    Verdict::Held => held.push(id),
                    Verdict::Failed | Verdict::Released => back.push(id),
                }
            }
            self.send(self.with_ids("XACK", &[], &ended, &[])).await?;
            self.in_hand.take_back(ended);
            // Claimed by whoever has them: their idle time starts anew, and nothing else changes.
            let claim = [self.config.consumer.as_str(), "0"];
            self.send(self.with_ids("XCLAIM", &claim, &held, &["JUSTID"])).await?;
            self.in_hand.extended(held, now_ms);
            // Redis takes nothing back: they stay pending, and are read again.
            if let Some(first) = back.iter().min().copied() {
                self.in_hand.take_back(back);
                let mut given_back = self.given_back.lock().unwrap_or_else(PoisonError::into_inner);
                *given_back = Some(given_back.map_or(first, |before| before.min(first)));
            }
            Ok(())
        })
    }

    fn commit(&self, _through: Position) -> Unit<'_, ()> {
        Box::pin(async {
            Err(SourceError::configuration(
                "a group is settled entry by entry; this is a defect of the runner",
            ))
        })
    }

    fn finish(&self) {}
}
