//! Reads one shard: keeps its iterator, paces its reads, hands out what was read ahead. Which shard is decided elsewhere.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Mutex;
use tokio::time::sleep_until;
use trine_poll_engine::BATCH_BYTES_MAX;

use super::cursor::compare;
use super::pace::Went;
use super::source::Shards;
use super::{Api, Cursor, Portion, Refusal};
use crate::clock::Clock;
use crate::{
    Content, Envelope, Notice, Position, Reader, Received, Record, Settled, ShardName, SourceError,
    Unit, Want,
};

/// Records of a read, if fewer are wanted: services count reads, and what is read ahead is in nobody's way.
const READ_RECORDS_MIN: u32 = 1000;
/// What dates of arrival are rounded to, at worst. DynamoDB Local rounds to minutes.
const MINUTE_MS: i64 = 60_000;
const SECOND_MS: i64 = 1_000;

/// Reads one shard.
pub(crate) struct ShardReader<A: Api> {
    api: Arc<A>,
    shard: ShardName,
    shards: Arc<Shards>,
    clock: Clock,
    state: Mutex<State<A::Raw>>,
}

struct State<R> {
    /// Behind everything that was read, given out or not.
    cursor: Cursor,
    iterator: Option<String>,
    /// Whether the place of the cursor is still there is not known yet.
    unchecked: bool,
    /// Leave out what is older, if the service cannot.
    since: Option<i64>,
    /// Read and not given out.
    ahead: VecDeque<R>,
    /// The next one, made already, because it did not fit into what was wanted.
    made: Option<Record>,
    /// There is nothing behind `ahead`, as far as the last read knows.
    at_tip: bool,
    ended: bool,
    /// By the reader's clock.
    read_next_ms: u64,
    notices: Vec<Notice>,
}

impl<A: Api> ShardReader<A> {
    /// From `cursor` on; `iterator` is the one of it, if there is one already.
    pub(crate) fn new(
        api: Arc<A>,
        shards: Arc<Shards>,
        shard: ShardName,
        cursor: Cursor,
        iterator: Option<String>,
    ) -> Self {
        let since = match cursor {
            Cursor::AtTimestamp(time) if !A::ITERATES_BY_TIME => Some(time),
            _ => None,
        };
        let state = State {
            unchecked: matches!(cursor, Cursor::After(_)),
            cursor,
            iterator,
            since,
            ahead: VecDeque::new(),
            made: None,
            at_tip: false,
            ended: false,
            read_next_ms: 0,
            notices: Vec::new(),
        };
        Self { api, shard, shards, clock: Clock::start(), state: Mutex::new(state) }
    }

    async fn next(&self, want: Want) -> Result<Received, SourceError> {
        let until_ms = self.clock.now_ms().saturating_add(millis(want.wait));
        let mut state = self.state.lock().await;
        loop {
            let some = state.made.is_some() || !state.ahead.is_empty();
            if some || state.ended || !state.notices.is_empty() {
                return Ok(self.give(&mut state, want));
            }
            if state.read_next_ms > until_ms {
                sleep_until(self.clock.at(until_ms)).await;
                return Ok(self.give(&mut state, want));
            }
            sleep_until(self.clock.at(state.read_next_ms)).await;
            let limit = want.records_max.max(READ_RECORDS_MIN).min(A::READ_RECORDS_MAX);
            self.read(&mut state, limit).await?;
            if self.clock.now_ms() >= until_ms {
                return Ok(self.give(&mut state, want));
            }
        }
    }

    /// One read. Changes nothing before it is answered, so that it may be given up.
    async fn read(&self, state: &mut State<A::Raw>, limit: u32) -> Result<(), SourceError> {
        let asked_ms = self.clock.now_ms();
        let rest_ms = |went| asked_ms + millis(A::PACE.rest(went));
        let Some(iterator) = self.iterator(state).await? else {
            state.read_next_ms = rest_ms(Went::Throttled);
            return Ok(());
        };
        match self.api.read(&iterator, limit).await {
            Ok(portion) => {
                let brought = portion.raw.len();
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let went = Went::of(limit, brought, portion.more);
                state.read_next_ms = rest_ms(went);
                state.at_tip = matches!(went, Went::All | Went::Nothing);
                state.add::<A>(portion);
            }
            Err(Refusal::Throttled) => {
                state.iterator = Some(iterator);
                state.read_next_ms = rest_ms(Went::Throttled);
            }
            Err(Refusal::Expired) => {
                // Not at once: an iterator that is born expired would be asked for without end.
                state.read_next_ms = rest_ms(Went::All);
                state.iterator = None;
                state.unchecked = true;
            }
            Err(Refusal::Lost(why)) => {
                state.iterator = None;
                self.lose(state, &why);
            }
            Err(Refusal::Broken(error)) => return Err(error),
        }
        Ok(())
    }

    /// The iterator to read at. `None`: the service wants to be asked later.
    async fn iterator(&self, state: &mut State<A::Raw>) -> Result<Option<String>, SourceError> {
        if let Some(iterator) = &state.iterator {
            return Ok(Some(iterator.clone()));
        }
        let made = match self.api.iterator(&self.shard, &state.cursor).await {
            Err(Refusal::Lost(why)) if state.cursor != Cursor::TrimHorizon => {
                self.lose(state, &why);
                self.api.iterator(&self.shard, &state.cursor).await
            }
            made => made,
        };
        let iterator = match made {
            Ok(iterator) => iterator,
            Err(Refusal::Throttled) => return Ok(None),
            Err(refusal) => return Err(refusal.into_error("GetShardIterator")),
        };
        if state.unchecked && !A::TELLS_TRIMMED {
            self.check(state).await;
        }
        state.iterator = Some(iterator.clone());
        Ok(Some(iterator))
    }

    /// Tells if the record of the cursor is not there any more: Kinesis gives an iterator for it all the same.
    async fn check(&self, state: &mut State<A::Raw>) {
        state.unchecked = false;
        let Cursor::After(number) = &state.cursor else { return };
        // Nothing is told where nothing is known: reading goes on either way.
        let Ok(oldest) = self.api.iterator(&self.shard, &Cursor::TrimHorizon).await else { return };
        let Ok(portion) = self.api.read(&oldest, 1).await else { return };
        let Some(oldest) = portion.raw.first().map(A::sequence_number) else { return };
        if compare(oldest, number) == Ordering::Greater {
            let why = format!("the oldest record of the shard is {oldest}");
            self.tell_lost(state, &why);
        }
    }

    /// Goes on with the oldest record.
    fn lose(&self, state: &mut State<A::Raw>, why: &str) {
        self.tell_lost(state, why);
        state.cursor = Cursor::TrimHorizon;
        state.unchecked = false;
    }

    fn tell_lost(&self, state: &mut State<A::Raw>, why: &str) {
        let (shard, cursor) = (&self.shard, state.cursor.text());
        let message = format!(
            "shard {shard} was read to {cursor}, which is not there any more ({why}): records between are lost if there were any; reading goes on with the oldest"
        );
        if self.shards.is_new(&format!("{shard} {cursor}")) {
            state.notices.push(Notice { message, gap: true });
        }
    }

    fn give(&self, state: &mut State<A::Raw>, want: Want) -> Received {
        let mut records = Vec::new();
        let mut bytes = 0;
        let records_max = usize::try_from(want.records_max).unwrap_or(usize::MAX);
        while records.len() < records_max {
            let ahead = || state.ahead.pop_front().map(|raw| self.record(raw));
            let Some(record) = state.made.take().or_else(ahead) else { break };
            let more = bytes + record.content.bytes();
            if more > want.bytes_max && !records.is_empty() {
                state.made = Some(record);
                break;
            }
            bytes = more;
            records.push(record);
        }
        let left = state.ahead.len() + usize::from(state.made.is_some());
        Received {
            records,
            ended: state.ended && left == 0,
            lag_records: (state.at_tip || state.ended).then_some(left as u64),
            notices: std::mem::take(&mut state.notices),
        }
    }

    fn record(&self, raw: A::Raw) -> Record {
        let mut record = self.api.record(&self.shard, raw);
        let bytes = record.content.bytes();
        if bytes + Envelope::records().bytes() > BATCH_BYTES_MAX {
            record.content = Content::TooLarge(bytes);
            record.body = Bytes::new();
        }
        record
    }
}

impl<R> State<R> {
    fn add<A: Api<Raw = R>>(&mut self, portion: Portion<R>) {
        if let Some(last) = portion.raw.last() {
            self.cursor = Cursor::After(A::sequence_number(last).to_owned());
        }
        self.ended = portion.next.is_none();
        self.iterator = portion.next;
        let since = self.since;
        let old = |raw: &R| since.is_some_and(|since| is_older(A::arrived_at_ms(raw), since));
        self.ahead.extend(portion.raw.into_iter().filter(|raw| !old(raw)));
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Whether something arrived before `since`. Dates are rounded down: what may have arrived later is not older.
pub(super) fn is_older(arrived_at_ms: Option<i64>, since: i64) -> bool {
    let older = |arrived: i64| {
        let rounded = if arrived % MINUTE_MS == 0 { MINUTE_MS } else { SECOND_MS };
        arrived < since - since.rem_euclid(rounded)
    };
    arrived_at_ms.is_some_and(older)
}

impl<A: Api> Reader for ShardReader<A> {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(self.next(want))
    }

    fn settle(&self, _: Vec<Settled>) -> Unit<'_, ()> {
        // Never called: the broker keeps a mark.
        Box::pin(async { Ok(()) })
    }

    fn commit(&self, _: Position) -> Unit<'_, ()> {
        // Never called: the broker keeps the mark.
        Box::pin(async { Ok(()) })
    }

    fn finish(&self) {
        self.shards.finish(&self.shard);
    }
}
