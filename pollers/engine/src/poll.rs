//! One mapping.

use crate::{Effect, Input, Millis, Phase, Sequence, Settings, ShardId};

/// The poll engine of one mapping.
#[derive(Debug)]
pub struct Poll {
    settings: Settings,
}

impl Poll {
    /// A mapping that is not connected and has no shards. It wants an [`Input::Tick`] to begin.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings: settings.normal() }
    }

    /// Takes one input and appends what follows from it. Total: every input is allowed in every
    /// state, and the same state and input always give the same effects.
    ///
    /// `now` must not be smaller than in the step before. A step looks at what its input touches and at all
    /// deadlines, so an [`Input::Tick`] is needed only when nothing else happens.
    pub fn step(&mut self, now: Millis, input: Input<'_>, out: &mut Vec<Effect>) {
        let _ = (now, input, out, self.settings);
    }

    /// When the mapping wants an [`Input::Tick`] if nothing happens before. `None`: never. Always later than
    /// the `now` of the last step.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        None
    }

    /// What a shard does or waits for now, for people.
    #[must_use]
    pub fn phase(&self, shard: ShardId) -> Phase {
        let _ = shard;
        Phase::Gone
    }

    /// The sequence that the next record read of this shard will have. `None`: it is not open.
    #[must_use]
    pub fn next_record(&self, shard: ShardId) -> Option<Sequence> {
        let _ = shard;
        None
    }

    /// The first record of this shard that the engine may still speak of; what the shell holds of earlier
    /// ones can go. `None`: the shard is not open.
    #[must_use]
    pub fn first_held(&self, shard: ShardId) -> Option<Sequence> {
        let _ = shard;
        None
    }

    /// The first numbered invariant that does not hold, `None` if all do.
    #[must_use]
    pub fn broken_invariant(&self) -> Option<&'static str> {
        None
    }
}
