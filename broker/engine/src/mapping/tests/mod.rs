//! Proof of the registry: scripts that say what happens and what comes of it, and a simulation of pollers that die,
//! disks that refuse and brokers that crash.

mod house;
mod lifecycle;
mod parking;
mod pollers;
mod simulation;
