//! Development commands of this repository as a library, so that programs of `trine-tests` can start
//! the same servers. Knows cargo, git and the tool cache; knows nothing of what Trine does.

pub mod ci;
pub mod contract;
pub mod failure;
pub mod graph;
pub mod libtest;
pub mod process;
pub mod programs;
pub mod repo;
pub mod report;
pub mod servers;
pub mod steps;
pub mod test;
pub mod tidy;
pub mod tools;
