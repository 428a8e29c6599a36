//! Questions to the brokers about offsets, one request for many partitions. Each blocks, with a bound.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::config::Config;
use super::context::Consumer;
use super::problem;
use crate::SourceError;

/// Longest wait for one answer. Below the shortest of Kafka's own session timeouts.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Offsets by partition; a partition without one is not in it.
pub(super) type Offsets = BTreeMap<i32, i64>;

/// Asks about one topic and one group.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub(super) config: &'a Config,
    pub(super) consumer: &'a Consumer,
}

impl Asking<'_> {
    /// The offsets that the group goes on with, where it has committed any.
    pub(super) fn committed(self, partitions: &[i32]) -> Result<Offsets, SourceError> {
        let asked = self.list(partitions, Offset::Invalid).and_then(|list| {
            if partitions.is_empty() {
                return Ok(list);
            }
            self.consumer.committed_offsets(list, ANSWER_WAIT)
        });
        self.read(asked, "read the committed offsets")
    }

    /// The oldest records that are there.
    pub(super) fn starts(self, partitions: &[i32]) -> Result<Offsets, SourceError> {
        // The two ends go by the same request as times do, as reserved ones.
        self.at(partitions, Offset::Beginning)
    }

    /// The offsets after the last records that can be read.
    pub(super) fn ends(self, partitions: &[i32]) -> Result<Offsets, SourceError> {
        self.at(partitions, Offset::End)
    }

    /// The first records at or after a time; a partition that has none yet is not in it.
    pub(super) fn since(self, partitions: &[i32], at_ms: i64) -> Result<Offsets, SourceError> {
        self.at(partitions, Offset::Offset(at_ms.max(0)))
    }

    /// All partitions of the topic.
    pub(super) fn partitions(self) -> Result<Vec<i32>, SourceError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.config.topic), ANSWER_WAIT);
        let metadata =
            metadata.map_err(|error| problem::failed(self.config, "describe the topic", &error))?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == &*self.config.topic);
        let ids = topic.map(|topic| topic.partitions().iter().map(|one| one.id()).collect());
        Ok(ids.unwrap_or_default())
    }

    fn at(self, partitions: &[i32], at: Offset) -> Result<Offsets, SourceError> {
        let asked = self.list(partitions, at).and_then(|list| {
            if partitions.is_empty() {
                return Ok(list);
            }
            self.consumer.offsets_for_times(list, ANSWER_WAIT)
        });
        self.read(asked, "look up offsets")
    }

    fn list(self, partitions: &[i32], offset: Offset) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for &partition in partitions {
            list.add_partition_offset(&self.config.topic, partition, offset)?;
        }
        Ok(list)
    }

    fn read(
        self,
        asked: KafkaResult<TopicPartitionList>,
        doing: &str,
    ) -> Result<Offsets, SourceError> {
        let failed = |error| problem::failed(self.config, doing, &error);
        let mut offsets = Offsets::new();
        for one in asked.map_err(failed)?.elements() {
            one.error().map_err(failed)?;
            if let Offset::Offset(offset) = one.offset() {
                offsets.insert(one.partition(), offset);
            }
        }
        Ok(offsets)
    }
}
