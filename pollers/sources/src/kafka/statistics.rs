//! The one number that is taken from the client library's statistics: where each partition ends.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct Statistics {
    #[serde(default)]
    topics: BTreeMap<String, Topic>,
}

#[derive(Deserialize)]
struct Topic {
    #[serde(default)]
    partitions: BTreeMap<String, Partition>,
}

#[derive(Deserialize)]
struct Partition {
    /// Negative: not known.
    #[serde(default)]
    hi_offset: i64,
}

/// The offset after the last record of each partition. A client has one topic only. Empty if this is no such text.
pub(super) fn ends(statistics: &[u8]) -> Vec<(i32, i64)> {
    let Ok(statistics) = serde_json::from_slice::<Statistics>(statistics) else {
        return Vec::new();
    };
    let partitions = statistics.topics.into_values().flat_map(|topic| topic.partitions);
    let known = partitions.filter_map(|(number, partition)| {
        let number: i32 = number.parse().ok()?;
        (number >= 0 && partition.hi_offset >= 0).then_some((number, partition.hi_offset))
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_and_unknown_ones_left_out() {
        let text = br#"{"name":"a","ts":1,"topics":{"t":{"topic":"t","partitions":{
            "0":{"partition":0,"lo_offset":1,"hi_offset":42,"consumer_lag":-1},
            "1":{"hi_offset":-1001},"-1":{"hi_offset":0}}}},"cgrp":{}}"#;
        assert_eq!(ends(text), [(0, 42)]);
        assert_eq!(ends(b"{}"), []);
        assert_eq!(ends(b"no"), []);
    }
}
