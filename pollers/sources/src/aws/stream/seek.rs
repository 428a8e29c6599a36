//! Where the shards of a stream would be read on, and what that would repeat or skip. It moves nothing.

use futures_util::{StreamExt as _, TryStreamExt as _};

use super::connector::SKEW_MAX_MS;
use super::cursor::is_sequence_number;
use super::reader::is_older;
use super::topology::Begin;
use super::{Api, Cursor, Listed, Refusal};
use crate::{Place, Places, SeekTo, ShardName, Sought, SourceError, Target};

/// Most reads to count the records of a shard with: beyond that nobody is told a number.
const READS_MAX: usize = 10;
/// Shards that are counted at a time.
const CALLS_MAX: usize = 8;

/// What a shard is read on with: a cursor, or nothing any more.
type Next = Option<Cursor>;

/// What `target` means for each shard.
pub(super) async fn seek<A: Api>(
    api: &A,
    begin: Begin,
    places: &Places,
    target: &Target,
    now_ms: i64,
) -> Result<Vec<Sought>, SourceError> {
    let listed = api.shards().await;
    let listed = listed.map_err(|refusal| refusal.into_error("the list of shards"))?;
    let chosen = choose(listed, target)?;
    // Where a mapping begins that nobody has read yet. A clock that is ahead must not leave records out, so the last seconds count as new.
    let begins = begin == Begin::Latest && places.is_empty();
    let end_ms = if begins { now_ms - SKEW_MAX_MS } else { now_ms };
    let sought = chosen.into_iter().map(|shard| async move {
        let old = old(begin, places, &shard)?;
        let new = new(&target.to, shard.closed, end_ms)?;
        if let Some(cursor @ Cursor::At(number)) = &new {
            is_there(api, &shard.shard, cursor, number).await?;
        }
        let (before, after) =
            (remaining(api, &shard.shard, &old).await?, remaining(api, &shard.shard, &new).await?);
        let more = |one: Option<u64>, than: Option<u64>| Some(one?.saturating_sub(than?));
        Ok(Sought {
            from: places.get(&shard.shard).map(to_text).unwrap_or_default(),
            to: new.as_ref().map_or_else(|| "the end".to_owned(), Cursor::text),
            read_again: more(after, before),
            skipped: more(before, after),
            place: Some(new.map_or(Place::Ended, |cursor| Place::After(cursor.position()))),
            shard: shard.shard,
        })
    });
    let sought: Vec<_> = sought.collect();
    futures_util::stream::iter(sought).buffered(CALLS_MAX).try_collect().await
}

fn choose(listed: Vec<Listed>, target: &Target) -> Result<Vec<Listed>, SourceError> {
    let Some(wanted) = &target.shard else {
        if matches!(target.to, SeekTo::Position(_)) && listed.len() != 1 {
            let says = format!(
                "a sequence number belongs to one shard, and this stream has {}: say which",
                listed.len()
            );
            return Err(SourceError::configuration(says));
        }
        return Ok(listed);
    };
    let names: Vec<_> = listed.iter().map(|listed| listed.shard.to_string()).collect();
    let found = listed.into_iter().find(|listed| listed.shard == *wanted);
    found.map(|listed| vec![listed]).ok_or_else(|| {
        let says = format!("there is no shard {wanted}; the stream has {}", names.join(", "));
        SourceError::configuration(says)
    })
}

fn old(begin: Begin, places: &Places, shard: &Listed) -> Result<Next, SourceError> {
    Ok(match (places.get(&shard.shard), begin) {
        (Some(Place::Ended), _) => None,
        (Some(Place::After(position)), _) => Some(Cursor::parse(position)?),
        (None, Begin::TrimHorizon) => Some(Cursor::TrimHorizon),
        (None, Begin::AtTimestamp(time) | Begin::LatestSince(time)) => {
            Some(Cursor::AtTimestamp(time))
        }
        (None, Begin::Latest) => None,
    })
}

fn new(to: &SeekTo, closed: bool, end_ms: i64) -> Result<Next, SourceError> {
    Ok(match to {
        SeekTo::Start => Some(Cursor::TrimHorizon),
        SeekTo::Timestamp(time) => Some(Cursor::AtTimestamp(*time)),
        SeekTo::End if closed => None,
        // Not "latest": that would be wherever the end is each time somebody connects.
        SeekTo::End => Some(Cursor::AtTimestamp(end_ms)),
        SeekTo::Position(number) if is_sequence_number(number) => Some(Cursor::At(number.clone())),
        SeekTo::Position(text) => {
            let says = format!("\"{text}\" is not a sequence number; expected digits");
            return Err(SourceError::configuration(says));
        }
    })
}

/// Looks the record up: a service may take any number, and go on with the next one that there is.
async fn is_there<A: Api>(
    api: &A,
    shard: &ShardName,
    at: &Cursor,
    number: &str,
) -> Result<(), SourceError> {
    let call = |refusal: Refusal| refusal.into_error("the sequence number was looked up");
    let iterator = api.iterator(shard, at).await.map_err(call)?;
    let portion = api.read(&iterator, 1).await.map_err(call)?;
    let next = match portion.raw.first().map(A::sequence_number) {
        Some(found) if found == number => return Ok(()),
        // Further on: nobody knows yet.
        None if portion.more => return Ok(()),
        Some(found) => format!("the next one is {found}"),
        None => "there is none behind it either".to_owned(),
    };
    let says = format!("shard {shard} has no record with the sequence number {number}; {next}");
    Err(SourceError::configuration(says))
}

/// Records from `from` on to the end as it is now. `None`: too many to count.
async fn remaining<A: Api>(
    api: &A,
    shard: &ShardName,
    from: &Next,
) -> Result<Option<u64>, SourceError> {
    let Some(from) = from else { return Ok(Some(0)) };
    let mut iterator = match api.iterator(shard, from).await {
        Err(Refusal::Lost(_)) => api.iterator(shard, &Cursor::TrimHorizon).await,
        iterator => iterator,
    }
    .map(Some)
    .map_err(|refusal| refusal.into_error("GetShardIterator"))?;
    let since = match from {
        Cursor::AtTimestamp(time) if !A::ITERATES_BY_TIME => Some(*time),
        _ => None,
    };
    let mut count = 0;
    for _ in 0..READS_MAX {
        let Some(at) = iterator.take() else { return Ok(Some(count)) };
        let portion = match api.read(&at, A::READ_RECORDS_MAX).await {
            Ok(portion) => portion,
            Err(Refusal::Throttled) => return Ok(None),
            Err(refusal) => return Err(refusal.into_error("GetRecords")),
        };
        let old = |raw| since.is_some_and(|since| is_older(A::arrived_at_ms(raw), since));
        count += portion.raw.iter().filter(|raw| !old(raw)).count() as u64;
        if portion.raw.is_empty() && !portion.more {
            return Ok(Some(count));
        }
        iterator = portion.next;
    }
    Ok(None)
}

fn to_text(place: &Place) -> String {
    match place {
        Place::After(position) => position.to_string(),
        Place::Ended => "the end".to_owned(),
    }
}
