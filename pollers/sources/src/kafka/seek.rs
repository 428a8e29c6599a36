//! Moves the group's committed offsets, or says what that would mean. It blocks, and runs only while no connection of the mapping is
//! open.

use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::Config;
use super::connector::{close, probe};
use super::context::{Consumer, Context, Happened};
use super::offsets::{Asking, Offsets};
use super::problem;
use super::start::starts;
use crate::clock::Clock;
use crate::{SeekTo, Sought, SourceError, Target};

/// Longest wait to become a member of the group, in milliseconds: other members have to agree.
const JOIN_WAIT_MS: u64 = 30_000;

const TURN: Duration = Duration::from_millis(100);

/// What a seek is decided by, of one partition.
#[derive(Clone, Copy, Debug)]
struct Marks {
    oldest: i64,
    end: i64,
    committed: Option<i64>,
    /// Where reading would go on without the seek.
    next: i64,
}

/// Moves the group to `target`, or, as a preview, says what that would do.
pub(super) fn seek(
    config: &Config,
    target: &Target,
    preview: bool,
) -> Result<Vec<Sought>, SourceError> {
    let consumer = Consumer::from_config_and_context(&config.asking(), Context::default())
        .map_err(|error| problem::failed(config, "make a Kafka client", &error))?;
    let planned = plan(Asking { config, consumer: &consumer }, target);
    close(consumer);
    let (moves, sought) = planned?;
    if !preview {
        join_and_commit(config, &moves)?;
    }
    Ok(sought)
}

/// The offsets to go on with, and what that means.
fn plan(asking: Asking<'_>, target: &Target) -> Result<(Offsets, Vec<Sought>), SourceError> {
    let config = asking.config;
    probe(config, asking.consumer, || false)?;
    let all = asking.partitions()?;
    let partitions = match &target.shard {
        None => all,
        Some(shard) => match config.partition(shard.as_str()).filter(|one| all.contains(one)) {
            Some(partition) => vec![partition],
            None => {
                let says = format!(
                    "\"{shard}\" is no partition of the topic \"{}\": it has {} of them, named like {}",
                    config.topic,
                    all.len(),
                    config.shard(0)
                );
                return Err(SourceError::configuration(says));
            }
        },
    };
    let (oldest, ends) = (asking.starts(&partitions)?, asking.ends(&partitions)?);
    let committed = asking.committed(&partitions)?;
    let next = starts(asking, &partitions, &Offsets::new())?.next;
    let since = match target.to {
        SeekTo::Timestamp(at_ms) => asking.since(&partitions, at_ms)?,
        _ => Offsets::new(),
    };
    let of = |offsets: &Offsets, partition: i32| offsets.get(&partition).copied();
    let mut moves = Offsets::new();
    let mut sought = Vec::new();
    for &partition in &partitions {
        let marks = Marks {
            oldest: of(&oldest, partition).unwrap_or(0),
            end: of(&ends, partition).unwrap_or(0),
            committed: of(&committed, partition),
            next: of(&next, partition).unwrap_or(0),
        };
        let shard = config.shard(partition);
        let to = match &target.to {
            SeekTo::Start => marks.oldest,
            SeekTo::End => marks.end,
            SeekTo::Timestamp(_) => of(&since, partition).unwrap_or(marks.end),
            SeekTo::Position(_) if partitions.len() > 1 => {
                let says = format!("an offset needs a partition, named like {shard}");
                return Err(SourceError::configuration(says));
            }
            SeekTo::Position(text) => marks.exactly(shard.as_str(), text)?,
        };
        moves.insert(partition, to);
        sought.push(marks.sought(shard, to));
    }
    Ok((moves, sought))
}

impl Marks {
    /// The offset that a person named.
    fn exactly(&self, shard: &str, text: &str) -> Result<i64, SourceError> {
        let Self { oldest, end, .. } = *self;
        let there = |offset: &i64| (oldest..=end).contains(offset);
        text.trim().parse().ok().filter(there).ok_or_else(|| {
            let says = format!(
                "\"{text}\" is no offset of {shard}: expected {oldest}..={end}, where {end} is the next that comes"
            );
            SourceError::configuration(says)
        })
    }

    fn sought(&self, shard: crate::ShardName, to: i64) -> Sought {
        // What retention has removed is neither read again nor skipped.
        let next = self.next.clamp(self.oldest, self.end.max(self.oldest));
        let settled = self.committed.filter(|committed| *committed > 0);
        let count = |from: i64, until: i64| Some(u64::try_from(until - from).unwrap_or(0));
        Sought {
            shard,
            from: settled.map(|committed| (committed - 1).to_string()).unwrap_or_default(),
            to: to.to_string(),
            read_again: count(to, next),
            skipped: count(next, to),
            place: None,
        }
    }
}

/// Commits as a member, in the place that the mapping's last connection had: the brokers hold it for a while after that has gone, and
/// take offsets from nobody else meanwhile.
fn join_and_commit(config: &Config, moves: &Offsets) -> Result<(), SourceError> {
    let context = Context::default();
    let consumer = Consumer::from_config_and_context(&config.member(1), context)
        .map_err(|error| problem::failed(config, "make a Kafka client", &error))?;
    let ended = join(config, &consumer, moves).and_then(|()| {
        let mut list = TopicPartitionList::new();
        for (&partition, &next) in moves {
            list.add_partition_offset(&config.topic, partition, Offset::Offset(next))
                .map_err(|error| problem::failed(config, "list offsets", &error))?;
        }
        consumer
            .commit(&list, CommitMode::Sync)
            .map_err(|error| problem::failed(config, "commit the new offsets", &error))
    });
    // Answers the assignment, which is never followed.
    if let Err(error) = consumer.unassign() {
        tracing::debug!(%error, "unassigning after a seek");
    }
    close(consumer);
    ended
}

/// Waits for an assignment that has all partitions which are to be moved: one that somebody else reads would not follow.
fn join(config: &Config, consumer: &Consumer, moves: &Offsets) -> Result<(), SourceError> {
    let clock = Clock::start();
    let until_ms = clock.now_ms() + JOIN_WAIT_MS;
    consumer
        .subscribe(&[&config.topic])
        .map_err(|error| problem::failed(config, "subscribe", &error))?;
    while clock.now_ms() < until_ms {
        // Errors come to the context too. Nothing is assigned, so no record comes.
        drop(consumer.poll(TURN));
        for happened in consumer.context().take() {
            match happened {
                Happened::Assigned(ours) => return all_ours(config, &ours, moves),
                Happened::Revoked => {}
                Happened::Failed(code, reason) => {
                    problem::of(config, code, &reason).map_or(Ok(()), Err)?;
                }
            }
        }
    }
    let says = format!(
        "the consumer group \"{}\" did not let this poller in within {} s",
        config.group,
        JOIN_WAIT_MS / 1000
    );
    Err(SourceError::unreachable(says))
}

fn all_ours(config: &Config, ours: &[i32], moves: &Offsets) -> Result<(), SourceError> {
    let foreign = moves.keys().filter(|partition| !ours.contains(partition));
    let foreign: Vec<_> = foreign.map(|partition| config.shard(*partition).to_string()).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let says = format!(
        "{} is read by another member of the consumer group \"{}\", which would not follow: stop it first",
        foreign.join(", "),
        config.group
    );
    Err(SourceError::configuration(says))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardName;

    const MARKS: Marks = Marks { oldest: 10, end: 100, committed: Some(60), next: 60 };

    fn counts(marks: Marks, to: i64) -> (String, Option<u64>, Option<u64>) {
        let sought = marks.sought(ShardName::new("t-0"), to);
        assert_eq!((sought.to, sought.place), (to.to_string(), None));
        (sought.from, sought.read_again, sought.skipped)
    }

    #[test]
    fn what_is_read_again_or_skipped_is_counted() {
        assert_eq!(counts(MARKS, 10), ("59".to_owned(), Some(50), Some(0)));
        assert_eq!(counts(MARKS, 100), ("59".to_owned(), Some(0), Some(40)));
        let never = Marks { committed: None, next: 10, ..MARKS };
        assert_eq!(counts(never, 15), (String::new(), Some(0), Some(5)));
        let expired = Marks { committed: Some(3), next: 3, ..MARKS };
        assert_eq!(counts(expired, 12), ("2".to_owned(), Some(0), Some(2)));
    }

    #[test]
    fn an_offset_that_is_not_there_is_refused_with_those_that_are() {
        assert_eq!(MARKS.exactly("t-0", " 10 "), Ok(10));
        assert_eq!(MARKS.exactly("t-0", "100"), Ok(100));
        for wrong in ["9", "101", "x", "", "-1"] {
            let error = MARKS.exactly("t-0", wrong).unwrap_err();
            assert!(error.to_string().contains("expected 10..=100"), "{error}");
        }
    }
}
