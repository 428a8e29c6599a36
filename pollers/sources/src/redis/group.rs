//! The consumer group of a mapping: made if it is not there, and what the server says of it and of the stream. It reads no entries.

use redis::{Cmd, Value, cmd};

use super::config::RedisConfig;
use super::entry::{EntryId, bytes, named, named_id, named_number};
use super::link::{Link, strange, trouble};
use crate::{Notice, SourceError, Start};

/// What the server says of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream {
    pub(crate) length: u64,
    /// The last id that it ever gave.
    pub(crate) last: EntryId,
}

/// What the server says of a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group {
    /// The last entry that was given to any consumer of it.
    pub(crate) delivered: EntryId,
    /// Entries that are out and not acknowledged.
    pub(crate) pending: u64,
    /// Entries after the last delivered one. Servers before 7.0 do not say; later ones cannot after some deletions.
    pub(crate) lag: Option<u64>,
}

/// What is known of the group from before this connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    /// The last entry that this process read.
    pub(crate) read_through: Option<EntryId>,
    /// This process has looked for the stream, and it was not there: whatever it has is new.
    pub(crate) was_absent: bool,
}

impl Link {
    /// The group, ready to be read, and what people should know of it.
    pub(crate) async fn group(
        &self,
        config: &RedisConfig,
        before: Before,
    ) -> Result<Vec<Notice>, SourceError> {
        let Some(stream) = self.stream(config).await? else { return Err(absent(config, before)) };
        let group = self.find(config).await?;
        let mut notices = Vec::new();
        match (group, before.read_through) {
            (Some(group), Some(read)) if group.delivered < read => notices.push(format!(
                "the group {:?} went back from {read} to {}: Redis lost the last entries or somebody moved it; some may come twice",
                config.group, group.delivered
            )),
            (Some(_), _) => {}
            (None, Some(read)) => {
                let lost = stream.last < read;
                let from = if lost { EntryId::ZERO } else { read };
                let why = if lost {
                    "with the stream: Redis was restarted without its data, or somebody removed it"
                } else {
                    "by somebody"
                };
                notices.push(format!(
                    "the group {:?} was removed {why}; it is made anew and goes on after {from}; what was not read of the old one is lost",
                    config.group
                ));
                self.create(config, from).await?;
            }
            (None, None) => self.create(config, begin(config.start, stream, before)).await?,
        }
        Ok(notices.into_iter().map(|message| Notice { message, gap: true }).collect())
    }

    /// `None`: there is no such key.
    pub(crate) async fn stream(&self, config: &RedisConfig) -> Result<Option<Stream>, SourceError> {
        let asked = self.ask(cmd("XINFO").arg("STREAM").arg(&config.stream)).await;
        let answer = match asked {
            Ok(answer) => answer,
            Err(error) if error.to_string().contains("no such key") => return Ok(None),
            Err(error) => return Err(trouble(&about(config), &error)),
        };
        let stream = || {
            let length = named_number(&answer, "length")?;
            Some(Stream { length, last: named_id(&answer, "last-generated-id")? })
        };
        stream().map(Some).ok_or_else(|| strange("XINFO STREAM"))
    }

    /// `None`: there is no such group.
    pub(crate) async fn find(&self, config: &RedisConfig) -> Result<Option<Group>, SourceError> {
        let asked = self.ask(cmd("XINFO").arg("GROUPS").arg(&config.stream)).await;
        let answer = asked.map_err(|error| trouble(&about(config), &error))?;
        let Value::Array(groups) = answer else { return Err(strange("XINFO GROUPS")) };
        let named =
            |group: &&Value| named(group, "name").and_then(bytes) == Some(config.group.as_bytes());
        let Some(found) = groups.iter().find(named) else { return Ok(None) };
        let group = || {
            let delivered = named_id(found, "last-delivered-id")?;
            let pending = named_number(found, "pending")?;
            Some(Group { delivered, pending, lag: named_number(found, "lag") })
        };
        group().map(Some).ok_or_else(|| strange("XINFO GROUPS"))
    }

    /// Makes the group, to go on after an entry. One that is there by now is as good.
    pub(crate) async fn create(
        &self,
        config: &RedisConfig,
        after: EntryId,
    ) -> Result<(), SourceError> {
        let mut create = xgroup("CREATE", config);
        match self.ask(create.arg(after.to_string())).await {
            Err(error) if error.code() != Some("BUSYGROUP") => Err(trouble(&about(config), &error)),
            _ => Ok(()),
        }
    }
}

/// A command on the group.
pub(crate) fn xgroup(subcommand: &str, config: &RedisConfig) -> Cmd {
    let mut command = cmd("XGROUP");
    command.arg(subcommand).arg(&config.stream).arg(&config.group);
    command
}

/// What errors on the stream are about.
pub(crate) fn about(config: &RedisConfig) -> String {
    format!("the stream {:?} in Redis at {}", config.stream, config.shown)
}

/// The entry after which a group begins that nobody has read with.
fn begin(start: Start, stream: Stream, before: Before) -> EntryId {
    match start {
        Start::Latest if !before.was_absent => stream.last,
        Start::TrimHorizon | Start::Latest => EntryId::ZERO,
        Start::AtTimestamp(at_ms) => since(at_ms),
    }
}

/// The id before the first entry at or after a time.
pub(crate) fn since(at_ms: i64) -> EntryId {
    EntryId { at_ms: u64::try_from(at_ms).unwrap_or(0), number: 0 }.before()
}

fn absent(config: &RedisConfig, before: Before) -> SourceError {
    let about = about(config);
    SourceError::configuration(if before.read_through.is_some() {
        format!(
            "{about} is gone, which was there: Redis was restarted without its data, or somebody removed it; waiting for it"
        )
    } else {
        format!("{about} does not exist yet: it is made by the first XADD; waiting for it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_begins_where_the_mapping_says() {
        let last = EntryId { at_ms: 9, number: 1 };
        let stream = Stream { length: 3, last };
        let before = |was_absent| Before { read_through: None, was_absent };
        for (start, was_absent, expected) in [
            (Start::TrimHorizon, false, EntryId::ZERO),
            (Start::Latest, false, last),
            (Start::Latest, true, EntryId::ZERO),
            (Start::AtTimestamp(5), false, EntryId { at_ms: 4, number: u64::MAX }),
            (Start::AtTimestamp(-5), true, EntryId::ZERO),
        ] {
            assert_eq!(begin(start, stream, before(was_absent)), expected, "{start:?}");
        }
    }
}
