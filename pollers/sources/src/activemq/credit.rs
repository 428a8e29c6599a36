//! How many records the server may send, and to which subscription. Pure.
//!
//! STOMP has no way to change the prefetch of a subscription or to give a single record back: a subscription that ends gives back all
//! that it was sent and that was not acknowledged. So a receive adds a subscription with what is missing, and one ends when it
//! is not needed and nothing of it is in anybody's hand.

use std::collections::BTreeMap;

/// Most subscriptions of a connection: the server goes through them for each record.
const SUBSCRIPTIONS_MAX: usize = 256;

/// Most records that may be asked for at once (LS 4.2).
const PREFETCH_MAX: u32 = 10_000;

/// A subscription's number on its connection.
pub(crate) type Id = u32;

/// A subscription to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscribe {
    pub(crate) id: Id,
    pub(crate) prefetch: u32,
}

/// The subscriptions of one connection.
#[derive(Debug, Default)]
pub(crate) struct Credit {
    subscriptions: BTreeMap<Id, Subscription>,
    last: Id,
    /// What the receive that runs wants.
    wanted: u32,
    /// The most that was needed since the last look.
    needed: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Subscription {
    prefetch: u32,
    /// Records of it that are here and not handed out.
    waiting: u32,
    /// Records of it that the runner has.
    in_hand: u32,
}

impl Credit {
    /// A receive wants so many. Gives the subscription that is missing for that, if one is.
    pub(crate) fn want(&mut self, records: u32) -> Option<Subscribe> {
        self.wanted = records.clamp(1, PREFETCH_MAX);
        self.needed = self.needed.max(self.in_hand() + self.wanted);
        let free = self.prefetch().saturating_sub(self.in_hand());
        if free >= self.wanted || self.subscriptions.len() == SUBSCRIPTIONS_MAX {
            return None;
        }
        self.last += 1;
        let prefetch = self.wanted - free;
        let subscription = Subscription { prefetch, ..Subscription::default() };
        self.subscriptions.insert(self.last, subscription);
        Some(Subscribe { id: self.last, prefetch })
    }

    /// The receive is over.
    pub(crate) fn rest(&mut self) {
        self.wanted = 0;
    }

    /// A record came. False if its subscription has ended: the server gives it to somebody else.
    pub(crate) fn came(&mut self, id: Id) -> bool {
        let found = self.subscriptions.get_mut(&id);
        found.map(|subscription| subscription.waiting += 1).is_some()
    }

    /// A record that waited was handed out.
    pub(crate) fn handed_out(&mut self, id: Id) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.waiting -= 1;
            subscription.in_hand += 1;
        }
    }

    /// A record that was handed out is here again.
    pub(crate) fn handed_back(&mut self, id: Id) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.in_hand -= 1;
            subscription.waiting += 1;
        }
    }

    /// A record that was handed out is settled.
    pub(crate) fn settled(&mut self, id: Id) {
        if let Some(subscription) = self.subscriptions.get_mut(&id) {
            subscription.in_hand -= 1;
        }
    }

    /// A look, now and then: ends subscriptions without which there would have been enough since the last one. The records of theirs
    /// that wait here go back to the server.
    pub(crate) fn end_unneeded(&mut self) -> Vec<Id> {
        let now = self.in_hand() + self.wanted;
        let needed = self.needed.max(now);
        let mut total = self.prefetch();
        let mut ended = Vec::new();
        for (id, subscription) in &self.subscriptions {
            if subscription.in_hand == 0 && total - subscription.prefetch >= needed {
                total -= subscription.prefetch;
                ended.push(*id);
            }
        }
        for id in &ended {
            self.subscriptions.remove(id);
        }
        self.needed = now;
        ended
    }

    fn prefetch(&self) -> u32 {
        self.subscriptions.values().map(|subscription| subscription.prefetch).sum()
    }

    fn in_hand(&self) -> u32 {
        self.subscriptions.values().map(|subscription| subscription.in_hand).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hand_out(credit: &mut Credit, id: Id, records: u32) {
        for _ in 0..records {
            assert!(credit.came(id));
            credit.handed_out(id);
        }
        credit.rest();
    }

    #[test]
    fn what_is_missing_is_asked_for_and_no_more() {
        let mut credit = Credit::default();
        assert_eq!(credit.want(10), Some(Subscribe { id: 1, prefetch: 10 }));
        assert_eq!(credit.want(4), None);
        hand_out(&mut credit, 1, 8);
        assert_eq!(credit.want(2), None);
        assert_eq!(credit.want(10), Some(Subscribe { id: 2, prefetch: 8 }));
        // What comes back counts as here.
        credit.handed_back(1);
        assert_eq!(credit.want(11), None);
    }

    #[test]
    fn what_nobody_needs_ends_after_a_while() {
        let mut credit = Credit::default();
        credit.want(10);
        hand_out(&mut credit, 1, 10);
        credit.want(10);
        hand_out(&mut credit, 2, 10);
        for _ in 0..3 {
            assert!(credit.end_unneeded().is_empty(), "both are in hand");
        }
        for _ in 0..10 {
            credit.settled(2);
        }
        assert!(credit.end_unneeded().is_empty(), "it was needed a moment ago");
        assert_eq!(credit.end_unneeded(), [2]);
        assert!(!credit.came(2), "it is somebody else's");
        credit.settled(1);
        for _ in 0..3 {
            let ended = credit.end_unneeded();
            assert!(ended.is_empty(), "ending it would give back what is in hand");
        }
    }

    #[test]
    fn a_receive_that_waits_keeps_what_it_needs() {
        let mut credit = Credit::default();
        credit.want(10);
        for _ in 0..5 {
            assert!(credit.end_unneeded().is_empty());
        }
        credit.rest();
        assert_eq!((credit.end_unneeded(), credit.end_unneeded()), (vec![], vec![1]));
        assert_eq!(credit.want(3), Some(Subscribe { id: 2, prefetch: 3 }));
    }

    #[test]
    fn the_number_of_subscriptions_has_a_bound() {
        let mut credit = Credit::default();
        let made = (1..=300).filter(|_| {
            let made = credit.want(1);
            if let Some(Subscribe { id, .. }) = made {
                hand_out(&mut credit, id, 1);
            }
            made.is_some()
        });
        assert_eq!(made.count(), SUBSCRIPTIONS_MAX);
    }
}
