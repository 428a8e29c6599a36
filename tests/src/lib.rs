//! Proof that needs more than one crate: fixtures, simulation, torture, black-box tests, benches.

pub mod bench;
pub mod fixture;
pub mod ledger;
pub mod sim;
pub mod sources;
pub mod torture;
