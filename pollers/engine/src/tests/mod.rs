//! Tests of the whole mapping: scripts (one table of inputs and expected effects each, with the rule of the
//! contract that it shows), the check that the scripts ran every line of every transition table, bounds
//! in virtual time, and the seeded simulation.

mod bisect;
mod keys;
mod life;
mod queues;
mod script;
mod streams;
mod throttled;
mod throughput;
mod transitions;
mod windows;
mod world;

mod simulation;
