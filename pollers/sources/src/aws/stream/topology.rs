//! Which shard may be read, from where: children after their parents, so that a key stays in order over a split or merge. Pure.
//!
//! ```text
//! Waiting --(every parent is finished, ended or trimmed)--> Opened --finish--> Finished
//!    '------(it was closed before reading began)--> Finished
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::{Cursor, Listed};
use crate::{Notice, Place, Places, ShardName, SourceError};

/// Where shards begin that have no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    TrimHorizon,
    AtTimestamp(i64),
    /// With the next record; children of a shard that is read with their oldest.
    Latest,
    /// The same, as it was at this time: this is not the first connection, and what came since was not settled yet.
    LatestSince(i64),
}

/// The shards of one connection.
#[derive(Debug)]
pub(crate) struct Topology {
    begin: Begin,
    places: Places,
    shards: BTreeMap<ShardName, Shard>,
    /// Shards with a place that were not in the last list, and that nothing in it comes from.
    missing: BTreeSet<ShardName>,
    forgotten: Vec<ShardName>,
}

#[derive(Debug)]
struct Shard {
    parents: Vec<ShardName>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Opened,
    Finished {
        /// Whether anything of it was to be read.
        read: bool,
    },
}

impl Topology {
    pub(crate) fn new(begin: Begin, places: Places) -> Self {
        let (missing, forgotten) = (BTreeSet::new(), Vec::new());
        Self { begin, places, shards: BTreeMap::new(), missing, forgotten }
    }

    /// All shards that the stream has now. Those that are known keep their state.
    pub(crate) fn list(&mut self, listed: Vec<Listed>) {
        self.forget(&listed);
        let mut closed = Vec::new();
        for Listed { shard, parents, closed: is_closed } in listed {
            if self.shards.contains_key(&shard) {
                continue;
            }
            if is_closed {
                closed.push(shard.clone());
            }
            let ended = self.places.get(&shard) == Some(&Place::Ended);
            let state = if ended { State::Finished { read: true } } else { State::Waiting };
            self.shards.insert(shard, Shard { parents, state });
        }
        if self.begin == Begin::Latest {
            for shard in closed {
                let read = self.places.contains_key(&shard) || self.descends_from_read(&shard);
                if !read && let Some(known) = self.shards.get_mut(&shard) {
                    known.state = State::Finished { read: false };
                }
            }
        }
    }

    /// A place is needed as long as its shard or a child of it is there: the child begins where its parent ended. A shard must be missing
    /// twice, because a list may be older than the one before it.
    fn forget(&mut self, listed: &[Listed]) {
        let needed: BTreeSet<&ShardName> =
            listed.iter().flat_map(|one| one.parents.iter().chain([&one.shard])).collect();
        let is_open = |shard: &ShardName| {
            self.shards.get(shard).is_some_and(|known| known.state == State::Opened)
        };
        let missing = self.places.keys().filter(|shard| !needed.contains(shard) && !is_open(shard));
        let missing: BTreeSet<_> = missing.cloned().collect();
        for shard in missing.intersection(&self.missing) {
            self.places.remove(shard);
            self.shards.remove(shard);
            self.forgotten.push(shard.clone());
        }
        self.missing = missing;
    }

    /// Shards that are gone for ever, each once.
    pub(crate) fn take_forgotten(&mut self) -> Vec<ShardName> {
        std::mem::take(&mut self.forgotten)
    }

    /// A shard that may be read now and was not given before.
    ///
    /// # Errors
    /// When its place cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<(ShardName, Cursor)>, SourceError> {
        let may_open = |shard: &Shard| {
            let over = |parent| match self.shards.get(parent) {
                // Trimmed with all its records.
                None => true,
                Some(parent) => matches!(parent.state, State::Finished { .. }),
            };
            shard.state == State::Waiting && shard.parents.iter().all(over)
        };
        let found = self.shards.iter().find(|(_, shard)| may_open(shard));
        let Some(name) = found.map(|(name, _)| name.clone()) else { return Ok(None) };
        let cursor = self.cursor(&name)?;
        if let Some(shard) = self.shards.get_mut(&name) {
            shard.state = State::Opened;
        }
        Ok(Some((name, cursor)))
    }

    /// The shard has ended and everything in it is settled.
    pub(crate) fn finish(&mut self, shard: &ShardName) {
        self.places.insert(shard.clone(), Place::Ended);
        if let Some(shard) = self.shards.get_mut(shard) {
            shard.state = State::Finished { read: true };
        }
    }

    /// Shards that were not read to their end, and are not there any more.
    pub(crate) fn vanished(&self) -> Vec<(ShardName, Notice)> {
        let gone = |(shard, place): (&ShardName, &Place)| {
            let Place::After(position) = place else { return None };
            let message = format!(
                "shard {shard} is not in the stream any more, and was read to {position} only: records behind that are lost if there were any"
            );
            let vanished = !self.shards.contains_key(shard);
            vanished.then(|| (shard.clone(), Notice { message, gap: true }))
        };
        self.places.iter().filter_map(gone).collect()
    }

    fn cursor(&self, shard: &ShardName) -> Result<Cursor, SourceError> {
        if let Some(Place::After(position)) = self.places.get(shard) {
            return Cursor::parse(position);
        }
        Ok(match self.begin {
            Begin::TrimHorizon => Cursor::TrimHorizon,
            Begin::AtTimestamp(time) => Cursor::AtTimestamp(time),
            _ if self.descends_from_read(shard) => Cursor::TrimHorizon,
            Begin::Latest => Cursor::Latest,
            Begin::LatestSince(time) => Cursor::AtTimestamp(time),
        })
    }

    /// Whether a shard before it was read: then all of its own records come after that.
    fn descends_from_read(&self, shard: &ShardName) -> bool {
        let parents = self.shards.get(shard).map(|shard| &shard.parents[..]).unwrap_or_default();
        parents.iter().any(|parent| {
            let state = self.shards.get(parent).map(|parent| parent.state);
            self.places.contains_key(parent)
                || matches!(state, Some(State::Opened | State::Finished { read: true }))
                || self.descends_from_read(parent)
        })
    }
}
