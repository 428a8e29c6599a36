//! Where the partitions of an assignment begin. The decision is pure; what it needs to know is asked for before.

use super::offsets::{Asking, Offsets};
use crate::{SourceError, Start};

/// Where partitions begin.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Starts {
    /// The offset to go on with, of every partition.
    pub(super) next: Offsets,
    /// Those that are to be committed before anything is read, because the same question would have another answer later.
    pub(super) pinned: Offsets,
}

/// What is known when an assignment comes.
#[derive(Debug, Default)]
struct Known {
    /// What this process read up to, on its last connection.
    places: Offsets,
    committed: Offsets,
    /// Whether the group has committed in any partition of the topic.
    group_has_begun: bool,
    oldest: Offsets,
    ends: Offsets,
    since: Offsets,
}

/// Where `partitions` begin, with what this process last read up to in `places`. Blocks.
pub(super) fn starts(
    asking: Asking<'_>,
    partitions: &[i32],
    places: &Offsets,
) -> Result<Starts, SourceError> {
    let committed = asking.committed(partitions)?;
    let mut known = Known { places: places.clone(), committed, ..Known::default() };
    let new: Vec<i32> =
        partitions.iter().copied().filter(|one| known.place(*one).is_none()).collect();
    let start = asking.config.start;
    if !new.is_empty() {
        known.oldest = asking.starts(&new)?;
        match start {
            Start::TrimHorizon => {}
            Start::Latest => {
                known.group_has_begun = !asking.committed(&asking.partitions()?)?.is_empty();
                known.ends = asking.ends(&new)?;
            }
            Start::AtTimestamp(at_ms) => {
                known.since = asking.since(&new, at_ms)?;
                known.ends = asking.ends(&new)?;
            }
        }
    }
    Ok(known.decide(partitions, start))
}

impl Known {
    /// Where a partition goes on that was read before: after what this process has in hand, or after what the group has committed,
    /// whichever is later. Another member may have read on meanwhile.
    fn place(&self, partition: i32) -> Option<i64> {
        self.committed.get(&partition).copied().max(self.places.get(&partition).copied())
    }

    fn decide(&self, partitions: &[i32], start: Start) -> Starts {
        let mut starts = Starts::default();
        let of = |offsets: &Offsets, partition| offsets.get(&partition).copied();
        for &partition in partitions {
            let oldest = of(&self.oldest, partition).unwrap_or(0);
            let end = of(&self.ends, partition).unwrap_or(oldest);
            let next = match (self.place(partition), start) {
                (Some(place), _) => place,
                // The mapping is older than this partition, so everything in it came after the mapping's start.
                (None, Start::TrimHorizon) => oldest,
                (None, Start::Latest) if self.group_has_begun => oldest,
                (None, Start::Latest) => {
                    starts.pinned.insert(partition, end);
                    end
                }
                (None, Start::AtTimestamp(_)) => of(&self.since, partition).unwrap_or(end),
            };
            starts.next.insert(partition, next);
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(places: &Offsets) -> Known {
        Known {
            places: places.clone(),
            committed: [(0, 40)].into(),
            group_has_begun: true,
            oldest: [(1, 5), (2, 6)].into(),
            ends: [(1, 90), (2, 95)].into(),
            since: [(1, 70)].into(),
        }
    }

    #[test]
    fn what_was_read_before_goes_on_after_the_later_of_both_marks() {
        for (place, next) in [(30, 40), (50, 50)] {
            let places = [(0, place)].into();
            let starts = known(&places).decide(&[0], Start::Latest);
            assert_eq!(starts, Starts { next: [(0, next)].into(), pinned: Offsets::new() });
        }
        let places = [(2, 7)].into();
        assert_eq!(known(&places).decide(&[2], Start::TrimHorizon).next, [(2, 7)].into());
    }

    #[test]
    fn a_new_partition_begins_at_the_starting_position() {
        let none = Offsets::new();
        let begin = |start| known(&none).decide(&[1, 2], start);
        assert_eq!(begin(Start::TrimHorizon).next, [(1, 5), (2, 6)].into());
        // Nothing in partition 2 is as young as that: it begins with the next record.
        assert_eq!(begin(Start::AtTimestamp(9)).next, [(1, 70), (2, 95)].into());
    }

    #[test]
    fn latest_is_decided_once_and_never_for_a_partition_that_came_later() {
        let none = Offsets::new();
        let first = Known { group_has_begun: false, committed: Offsets::new(), ..known(&none) };
        let starts = first.decide(&[1, 2], Start::Latest);
        assert_eq!(starts.next, [(1, 90), (2, 95)].into());
        assert_eq!(starts.pinned, starts.next, "asked again it would be later");
        let starts = known(&none).decide(&[1], Start::Latest);
        assert_eq!(starts, Starts { next: [(1, 5)].into(), pinned: Offsets::new() });
    }
}
