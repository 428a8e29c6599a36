//! The `trine` binary: reads the command line, runs one command, ends with its exit code.
//!
//! Nothing is decided here but the composition; see `cli.rs` for what there is.

mod advice;
mod cli;
mod commands;
mod config;
mod connection;
mod demo;
mod destination;
mod duration;
mod exit;
mod failure;
mod histogram;
mod instant;
mod log;
mod output;
mod paint;
mod payload;
mod progress;
mod signals;
mod table;
mod view;

use std::process::ExitCode;

use clap::Parser;

/// A frame is allocated on one thread and freed on another, where the system allocator spends most in our profiles.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let output = cli.global.output();
    let end = commands::run(cli, output);
    end.unwrap_or_else(|failure| {
        failure.report(&output);
        failure.exit()
    })
    .into()
}
