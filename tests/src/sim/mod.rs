//! A whole broker in one thread: the real engine, a model of everything around it, and chance from one seed.
//!
//! - *plan*: what a seed makes of a world before it begins
//! - *world*: moves time, picks what happens next, carries out the engine's effects
//! - *clients*, *worker*, *network*, *store*, *faults*: those around the engine, each with a stream of chance of its own
//! - *ledger*: keeps a history of its own and holds every effect against it
//! - *trace*: what two runs of one seed are compared by
//!
//! A failure names its seed; `cargo xtask sim --seed N` plays it again.

mod calm;
mod clients;
mod faults;
mod ledger;
mod network;
mod plan;
mod random;
mod store;
mod trace;
mod worker;
mod world;

use std::fmt;

pub use self::faults::Sabotage;
pub use self::ledger::Counts;
pub use self::random::Random;
use self::world::World;

/// How to play a seed.
#[derive(Debug, Default, Clone, Copy)]
pub struct Options {
    /// Break something outside the engine: the ledger has to notice.
    pub sabotage: Option<Sabotage>,
    /// Keep the inputs and effects as text.
    pub lines: bool,
}

/// A run in which every rule held.
#[derive(Debug)]
pub struct Report {
    /// Hash over all inputs and effects.
    pub hash: u64,
    /// Inputs.
    pub steps: u64,
    /// Effects.
    pub effects: u64,
    /// What it came through.
    pub counts: Counts,
    /// Whether the sabotage found its occasion.
    pub sabotaged: bool,
    /// Inputs and effects, if wanted.
    pub lines: Vec<String>,
}

/// A run in which a rule was broken.
#[derive(Debug)]
pub struct Failure {
    /// Plays it again.
    pub seed: u64,
    /// The rule, and how.
    pub why: String,
    /// Inputs and effects, if wanted.
    pub lines: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed {}: {}\nplay it again: cargo xtask sim --seed {}",
            self.seed, self.why, self.seed
        )
    }
}

/// Plays one seed to its end.
///
/// # Errors
/// If a rule was broken.
pub fn run(seed: u64, options: Options) -> Result<Report, Failure> {
    let mut world = World::new(seed, options);
    let judged = world.play();
    let sabotaged = world.is_sabotaged();
    let (trace, counts) = world.close();
    let (hash, (steps, effects)) = (trace.hash(), trace.counts());
    let lines = trace.into_lines();
    match judged {
        Ok(()) => Ok(Report { hash, steps, effects, counts, sabotaged, lines }),
        Err(why) => Err(Failure { seed, why, lines }),
    }
}
