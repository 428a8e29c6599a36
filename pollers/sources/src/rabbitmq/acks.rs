//! Which deliveries of one channel are not settled, and with which few frames verdicts on them are said. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::Verdict;

/// A delivery's number on its channel, counted from 1 without gaps.
pub(crate) type Tag = u64;

/// A frame of the protocol that settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// Taken: this one, or all up to it that are not settled.
    Ack { tag: Tag, multiple: bool },
    /// Refused: back into the queue, or else to its dead-letter exchange or nowhere.
    Nack { tag: Tag, requeue: bool },
}

/// What came over a channel and is not settled.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    tags: BTreeSet<Tag>,
    last: Tag,
}

impl Unsettled {
    /// A delivery came. Those between the last one and this one came to nobody: a queue whose leader is on another node may
    /// deliver after it has confirmed the end of a consumer. They are given back with [`Verdict::Released`], or would stay with this
    /// channel for ever.
    pub(crate) fn came(&mut self, tag: Tag) -> Range<Tag> {
        let lost = self.last + 1..tag;
        self.tags.extend(lost.clone());
        self.tags.insert(tag);
        self.last = self.last.max(tag);
        lost
    }

    /// Takes verdicts and says them in frames, to be sent in this order and before those of a later call. What is not here was settled
    /// before and is passed over: a second word on a tag closes the channel.
    pub(crate) fn settle(&mut self, verdicts: impl Iterator<Item = (Tag, Verdict)>) -> Vec<Frame> {
        let mut done = BTreeSet::new();
        let mut frames = Vec::new();
        for (tag, verdict) in verdicts {
            if !self.tags.contains(&tag) {
                continue;
            }
            let requeue = match verdict {
                Verdict::Done => {
                    done.insert(tag);
                    continue;
                }
                // Held as long as the channel lives.
                Verdict::Held => continue,
                Verdict::Rejected => false,
                Verdict::Failed | Verdict::Released => true,
            };
            self.tags.remove(&tag);
            frames.push(Frame::Nack { tag, requeue });
        }
        frames.extend(self.acks(done));
        frames
    }

    /// One frame for all that are done with nothing open before them, and one for each other.
    fn acks(&mut self, mut done: BTreeSet<Tag>) -> Vec<Frame> {
        let first: Vec<_> =
            self.tags.iter().copied().take_while(|tag| done.contains(tag)).collect();
        let through = first.last().map(|&tag| Frame::Ack { tag, multiple: first.len() > 1 });
        self.tags.retain(|tag| !done.contains(tag));
        for tag in &first {
            done.remove(tag);
        }
        let others = done.into_iter().map(|tag| Frame::Ack { tag, multiple: false });
        through.into_iter().chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(tag: Tag) -> Frame {
        Frame::Ack { tag, multiple: false }
    }

    fn ack_through(tag: Tag) -> Frame {
        Frame::Ack { tag, multiple: true }
    }

    fn unsettled(count: Tag) -> Unsettled {
        let mut unsettled = Unsettled::default();
        for tag in 1..=count {
            assert!(unsettled.came(tag).is_empty());
        }
        unsettled
    }

    fn settle(unsettled: &mut Unsettled, verdict: Verdict, tags: &[Tag]) -> Vec<Frame> {
        unsettled.settle(tags.iter().map(|&tag| (tag, verdict)))
    }

    #[test]
    fn what_is_done_from_the_first_one_on_is_one_frame() {
        let mut unsettled = unsettled(6);
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[5, 3]), [ack(3), ack(5)]);
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[2, 1, 6]), [ack_through(2), ack(6)]);
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[4]), [ack(4)]);
    }

    #[test]
    fn a_second_word_is_not_sent() {
        let mut unsettled = unsettled(2);
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[1, 2]), [ack_through(2)]);
        assert_eq!(settle(&mut unsettled, Verdict::Rejected, &[1, 2, 3]), []);
    }

    #[test]
    fn each_verdict_has_its_frame() {
        let mut unsettled = unsettled(5);
        let verdicts = [
            (1, Verdict::Rejected),
            (2, Verdict::Failed),
            (3, Verdict::Released),
            (4, Verdict::Held),
            (5, Verdict::Done),
        ];
        let nack = |tag, requeue| Frame::Nack { tag, requeue };
        assert_eq!(
            unsettled.settle(verdicts.into_iter()),
            [nack(1, false), nack(2, true), nack(3, true), ack(5)]
        );
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[4]), [ack(4)]);
    }

    #[test]
    fn an_ack_of_many_never_covers_one_that_is_open_or_refused() {
        let mut unsettled = unsettled(4);
        let verdicts =
            [(1, Verdict::Done), (2, Verdict::Rejected), (3, Verdict::Done), (4, Verdict::Done)];
        assert_eq!(
            unsettled.settle(verdicts.into_iter()),
            [Frame::Nack { tag: 2, requeue: false }, ack_through(4)]
        );
    }

    #[test]
    fn deliveries_that_came_to_nobody_are_given_back() {
        let mut unsettled = unsettled(2);
        assert_eq!(unsettled.came(5), 3..5);
        // Until that is said, no ack covers them.
        assert_eq!(settle(&mut unsettled, Verdict::Done, &[1, 2, 5]), [ack_through(2), ack(5)]);
        let back = |tag| Frame::Nack { tag, requeue: true };
        assert_eq!(settle(&mut unsettled, Verdict::Released, &[3, 4]), [back(3), back(4)]);
    }
}
