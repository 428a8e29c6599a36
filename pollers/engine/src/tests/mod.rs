//! Tests of the whole shard: scripts (one table of inputs and expected effects each), the check that
//! the scripts ran every line of every transition table, and the seeded simulation.

mod script;
mod scripts;
mod simulation;
mod transitions;
