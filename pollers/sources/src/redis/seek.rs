//! Moves a group. What it has pending of this mapping is let go: it is on one side of the new place or the other.

use redis::{Pipeline, Value, cmd};

use super::config::RedisConfig;
use super::entry::{EntryId, entries};
use super::group::{Stream, about, since, xgroup};
use super::link::{Link, strange, trouble};
use crate::{SeekTo, ShardName, Sought, SourceError};

/// Most entries that are read only to count them.
const COUNTED_MAX: u64 = 100_000;

/// Entries of one read of those.
const PAGE: usize = 1_000;

impl Link {
    /// Moves the group to `to`, or only says what that would mean.
    pub(super) async fn seek(
        &self,
        config: &RedisConfig,
        to: &SeekTo,
        preview: bool,
    ) -> Result<Sought, SourceError> {
        let stream = self.stream(config).await?.ok_or_else(|| {
            SourceError::configuration(format!("{} does not exist", about(config)))
        })?;
        let (after, to) = target(to, stream)?;
        let before = self.find(config).await?;
        let (mut read_again, mut skipped) = (None, None);
        if let Some(group) = before {
            let pending = group.pending;
            if after < group.delivered {
                // What is pending would come again anyway.
                let counted = match (after, group.lag) {
                    (EntryId::ZERO, Some(lag)) => Some(stream.length.saturating_sub(lag)),
                    _ => self.count(config, after, group.delivered).await?,
                };
                read_again = counted.map(|counted| counted.saturating_sub(pending));
                skipped = Some(0);
            } else {
                let counted = match group.lag.filter(|_| after == stream.last) {
                    Some(lag) => Some(lag),
                    None => self.count(config, group.delivered, after).await?,
                };
                (read_again, skipped) = (Some(0), counted.map(|counted| counted + pending));
            }
        }
        if !preview {
            match before {
                Some(_) => self.place(config, after).await?,
                None => self.create(config, after).await?,
            }
        }
        Ok(Sought {
            shard: ShardName::new(&config.stream),
            from: before.map(|group| group.delivered.to_string()).unwrap_or_default(),
            to,
            read_again,
            skipped,
            place: None,
        })
    }

    async fn place(&self, config: &RedisConfig, after: EntryId) -> Result<(), SourceError> {
        let mut move_group = xgroup("SETID", config);
        move_group.arg(after.to_string());
        let mut let_go = xgroup("DELCONSUMER", config);
        let_go.arg(&config.consumer);
        let mut both = Pipeline::new();
        both.atomic().add_command(move_group).add_command(let_go);
        let moved: Result<Vec<Value>, _> = self.ask_all(&both).await;
        moved.map(drop).map_err(|error| trouble(&about(config), &error))
    }

    /// Entries after one and up to another. `None`: too many to count.
    async fn count(
        &self,
        config: &RedisConfig,
        mut after: EntryId,
        through: EntryId,
    ) -> Result<Option<u64>, SourceError> {
        let mut counted = 0;
        while after < through {
            let mut range = cmd("XRANGE");
            range.arg(&config.stream).arg(format!("({after}")).arg(through.to_string());
            let answer = self.ask(range.arg("COUNT").arg(PAGE)).await;
            let answer = answer.map_err(|error| trouble(&about(config), &error))?;
            let page = entries(answer).ok_or_else(|| strange("XRANGE"))?;
            counted += page.len() as u64;
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.id,
                _ => break,
            }
            if counted >= COUNTED_MAX {
                return Ok(None);
            }
        }
        Ok(Some(counted))
    }
}

/// The entry after which reading goes on, and what people see of it.
fn target(to: &SeekTo, stream: Stream) -> Result<(EntryId, String), SourceError> {
    Ok(match to {
        SeekTo::Start => (EntryId::ZERO, "the oldest entry there is".to_owned()),
        SeekTo::End => (stream.last, format!("the next entry after {}", stream.last)),
        SeekTo::Timestamp(at_ms) => (since(*at_ms), format!("the first entry since {at_ms} ms")),
        SeekTo::Position(text) => {
            let id: EntryId = text.trim().parse().map_err(|()| {
                SourceError::configuration(format!(
                    "the position is {text:?}, expected the id of an entry such as 1700000000000-0"
                ))
            })?;
            if id > stream.last {
                return Err(SourceError::configuration(format!(
                    "the position is {id}, expected one up to {}, the last entry of the stream",
                    stream.last
                )));
            }
            (id.before(), id.to_string())
        }
    })
}
