//! What the program tells about its own work: `tracing` to stderr.
//!
//! It knows levels and formats; results never go this way.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// Overrides the level, in the notation of `tracing_subscriber::EnvFilter`.
pub(crate) const FILTER_VARIABLE: &str = "TRINE_LOG_FILTER";

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

/// What is logged: level 0 is `quiet`, each `-v` one step more.
pub(crate) fn start(format: LogFormat, quiet: &str, verbose: u8) {
    let level = match verbose {
        0 => quiet,
        1 => "info,trine=debug,trine_broker=debug,trine_pollers=debug,trine_worker=debug",
        _ => "debug,h2=info,hyper=info,hyper_util=info,tower=info",
    };
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Human => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
    // A second start in one process keeps the first: nothing is lost by it.
    drop(started);
}
