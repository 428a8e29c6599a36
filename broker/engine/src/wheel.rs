//! Timers: a hierarchical wheel of milliseconds. It knows places of some table and deadlines,
//! and nothing of what is due.
//!
//! Setting and clearing a timer cost the same at one timer and at a million, which a heap does
//! not offer: nearly every timer here (a function timeout) is cleared long before it is due.
//! A timer that lies far ahead is moved to a finer level at most [`LEVELS`] - 1 times.

use crate::Millis;
use crate::slab::NONE;

const LEVELS: usize = 7;
const LEVEL_LAST: u32 = 6;
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;

/// Furthest deadline that is kept apart from others, about 137 years ahead; later ones are due then. One slot less
/// than the last level has: a timer in the slot that is now would seem to be due now.
const SPAN_MS: u64 = (SLOTS as u64 - 1) << (SLOT_BITS * LEVEL_LAST);

/// Timers that one call of [`Wheel::expire`] gives out: after a long pause many are due at once.
const EXPIRED_MAX: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Wheel {
    /// The time up to which everything has fired.
    elapsed: Millis,
    occupied: [u64; LEVELS],
    heads: [[u32; SLOTS]; LEVELS],
    /// A slot whose time has come and that was not emptied yet.
    unfinished: Option<(usize, usize)>,
    /// One node a place of the table whose timers these are.
    nodes: Vec<Node>,
    len: u32,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    deadline: Millis,
    prev: u32,
    next: u32,
    level: u8,
    slot: u8,
    set: bool,
}

const UNSET: Node = Node { deadline: 0, prev: NONE, next: NONE, level: 0, slot: 0, set: false };

impl Wheel {
    pub(crate) fn new(now: Millis) -> Self {
        Self {
            elapsed: now,
            occupied: [0; LEVELS],
            heads: [[NONE; SLOTS]; LEVELS],
            unfinished: None,
            nodes: Vec::new(),
            len: 0,
        }
    }

    /// Room for the timers of this many more places, if it can be had at once.
    pub(crate) fn reserve(&mut self, more: usize) {
        // As in the table itself, growing step by step will do.
        let _ = self.nodes.try_reserve_exact(more);
    }

    /// Sets the timer of `index`, replacing an earlier one. A deadline that has passed is due at the next
    /// [`Wheel::expire`] of a later millisecond.
    pub(crate) fn set(&mut self, index: u32, deadline: Millis) {
        self.clear(index);
        if self.nodes.len() <= index as usize {
            self.nodes.resize(index as usize + 1, UNSET);
        }
        self.len += 1;
        self.link(index, deadline.max(self.elapsed + 1));
    }

    pub(crate) fn clear(&mut self, index: u32) {
        let Some(node) = self.nodes.get_mut(index as usize).filter(|node| node.set) else { return };
        node.set = false;
        let Node { prev, next, level, slot, .. } = *node;
        self.len -= 1;
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NONE {
            self.nodes[prev as usize].next = next;
            return;
        }
        let head = &mut self.heads[level as usize][slot as usize];
        *head = next;
        if next == NONE {
            self.occupied[level as usize] &= !(1 << slot);
        }
    }

    pub(crate) fn deadline(&self, index: u32) -> Option<Millis> {
        self.nodes.get(index as usize).filter(|node| node.set).map(|node| node.deadline)
    }

    /// When [`Wheel::expire`] has something to do: never after the first deadline, possibly before it.
    pub(crate) fn next(&self) -> Option<Millis> {
        self.next_slot().map(|(_, _, at)| at)
    }

    /// The first deadline exactly. Unlike [`Wheel::next`] it costs a look at every timer of the first slot: for
    /// people who ask, not for the loop.
    pub(crate) fn first(&self) -> Option<Millis> {
        let (level, slot, _) = self.next_slot()?;
        let node = |index: u32| self.nodes.get(index as usize);
        let head = node(self.heads[level][slot]);
        let list = std::iter::successors(head, |before| node(before.next));
        list.map(|timer| timer.deadline).min()
    }

    /// Appends to `due` the timers with a deadline up to `now`, earlier ones first, at most [`EXPIRED_MAX`] of them. If
    /// there are more, [`Wheel::next`] says that they are due.
    pub(crate) fn expire(&mut self, now: Millis, due: &mut Vec<u32>) {
        while let Some((level, slot, at)) = self.next_slot() {
            if at > now {
                break;
            }
            self.elapsed = at;
            self.unfinished = Some((level, slot));
            while self.heads[level][slot] != NONE {
                if due.len() >= EXPIRED_MAX {
                    return;
                }
                let index = self.heads[level][slot];
                let deadline = self.nodes[index as usize].deadline;
                self.clear(index);
                if deadline <= at {
                    due.push(index);
                } else {
                    self.len += 1;
                    self.link(index, deadline);
                }
            }
            self.unfinished = None;
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// Level and slot of the first timers and the time at which that slot begins.
    fn next_slot(&self) -> Option<(usize, usize, Millis)> {
        if self.len == 0 {
            return None;
        }
        if let Some((level, slot)) = self.unfinished
            && self.heads[level][slot] != NONE
        {
            return Some((level, slot, self.elapsed));
        }
        let level = (0..LEVELS).find(|level| self.occupied[*level] != 0)?;
        let shift = SLOT_BITS * u32::try_from(level).unwrap_or(0);
        let now_slot = (self.elapsed >> shift) & (SLOTS as u64 - 1);
        let ahead = u64::from(
            self.occupied[level]
                .rotate_right(u32::try_from(now_slot).unwrap_or(0))
                .trailing_zeros(),
        );
        let slot = (now_slot + ahead) & (SLOTS as u64 - 1);
        let begin = ((self.elapsed >> shift) + ahead) << shift;
        Some((level, usize::try_from(slot).unwrap_or(0), begin.max(self.elapsed)))
    }

    fn link(&mut self, index: u32, deadline: Millis) {
        let deadline = deadline.min(self.elapsed.saturating_add(SPAN_MS - 1));
        let differing = (self.elapsed ^ deadline) | (SLOTS as u64 - 1);
        let level = ((63 - differing.leading_zeros()) / SLOT_BITS).min(LEVEL_LAST);
        let slot = (deadline >> (SLOT_BITS * level)) & (SLOTS as u64 - 1);
        let (level, slot) = (level as usize, usize::try_from(slot).unwrap_or(0));
        let next = std::mem::replace(&mut self.heads[level][slot], index);
        if next != NONE {
            self.nodes[next as usize].prev = index;
        }
        self.occupied[level] |= 1 << slot;
        self.nodes[index as usize] = Node {
            deadline,
            prev: NONE,
            next,
            level: u8::try_from(level).unwrap_or(0),
            slot: u8::try_from(slot).unwrap_or(0),
            set: true,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A wheel and a sorted map under the same random commands say the same.
    #[test]
    fn the_wheel_agrees_with_a_sorted_map() {
        for seed in 1..=300u64 {
            let mut state = seed;
            let mut random = move |below: u64| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 33) % below
            };
            let mut now = 1_000_000 + random(1_000_000);
            let mut wheel = Wheel::new(now);
            let mut model = BTreeMap::new();
            for _ in 0..400 {
                let index = u32::try_from(random(50)).unwrap();
                match random(4) {
                    0 | 1 => {
                        let ahead = match random(6) {
                            0 => random(3),
                            1 => random(70),
                            2 => random(5_000),
                            3 => random(400_000),
                            4 => random(40_000_000),
                            _ => SPAN_MS - 1 - random(40_000_000),
                        };
                        wheel.set(index, now + ahead);
                        model.insert(index, (now + ahead).max(now + 1));
                    }
                    2 => {
                        wheel.clear(index);
                        model.remove(&index);
                    }
                    _ => {
                        now += match random(5) {
                            0 => random(2),
                            1 => random(100),
                            2 => random(10_000),
                            3 => random(1_000_000),
                            _ => random(3) * (SPAN_MS / 7),
                        };
                        let mut due = Vec::new();
                        wheel.expire(now, &mut due);
                        due.sort_unstable();
                        let expected: Vec<u32> =
                            model.iter().filter(|(_, at)| **at <= now).map(|(i, _)| *i).collect();
                        assert_eq!(due, expected, "seed {seed} at {now}");
                        model.retain(|_, at| *at > now);
                    }
                }
                let first = model.values().min().copied();
                assert!(wheel.next() <= first && wheel.next().is_some() == first.is_some());
                assert_eq!(wheel.first(), first, "seed {seed}");
                assert_eq!(wheel.deadline(index), model.get(&index).copied(), "seed {seed}");
            }
        }
    }

    #[test]
    fn a_deadline_beyond_the_span_is_due_at_its_end() {
        for now in [0, 1, 1_700_000_000_000] {
            let mut wheel = Wheel::new(now);
            wheel.set(0, u64::MAX);
            let mut due = Vec::new();
            wheel.expire(now + 1_000, &mut due);
            assert_eq!(due, []);
            wheel.expire(now + SPAN_MS - 1, &mut due);
            assert_eq!(due, [0]);
        }
    }

    #[test]
    fn many_that_are_due_at_once_come_in_parts_and_none_is_forgotten() {
        let mut wheel = Wheel::new(0);
        let count = u32::try_from(EXPIRED_MAX).unwrap() * 2 + 7;
        (0..count).for_each(|index| wheel.set(index, 5_000 + u64::from(index % 3)));
        let (mut seen, mut parts) = (Vec::new(), 0);
        while wheel.next().is_some_and(|at| at <= 10_000) {
            let mut due = Vec::new();
            wheel.expire(10_000, &mut due);
            assert!(due.len() <= EXPIRED_MAX);
            parts += 1;
            if parts == 1 {
                // Timers come and go between the parts.
                wheel.clear(due[0]);
                wheel.set(due[0], 20_000);
                due.remove(0);
            }
            seen.extend(due);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!((seen.len(), parts, wheel.next().is_some()), (count as usize - 1, 3, true));
    }

    #[test]
    fn walking_from_next_to_next_reaches_every_deadline_on_time() {
        let mut wheel = Wheel::new(0);
        for (index, at) in [(0, 1), (1, 64), (2, 65), (3, 4_096), (4, 86_400_000)] {
            wheel.set(index, at);
        }
        let mut seen = Vec::new();
        while let Some(at) = wheel.next() {
            let mut due = Vec::new();
            wheel.expire(at, &mut due);
            seen.extend(due.into_iter().map(|index| (index, at)));
        }
        assert_eq!(seen, [(0, 1), (1, 64), (2, 65), (3, 4_096), (4, 86_400_000)]);
    }
}
