//! What the program tells about its own work: `tracing` to stderr.
//!
//! It knows levels and formats; results never go this way.

use std::io::IsTerminal;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Human,
    Json,
}

/// What a server logs unless it is told otherwise. lapin tells each trouble of a connection several times over, and we tell it once.
pub(crate) const SERVER: &str = "info,lapin=off";

/// What a client command logs unless `-v` says more.
const QUIET: &str = "warn";

/// What `-v` logs, and what `-vv` does.
const VERBOSE: &str = "info,trine=debug,trine_broker=debug,trine_pollers=debug,trine_worker=debug";
const VERY_VERBOSE: &str =
    "debug,trine_pollers=trace,h2=info,hyper=info,hyper_util=info,tower=info";

/// Whether `filter` is in the notation of `tracing_subscriber::EnvFilter`.
pub(crate) fn check(filter: &str) -> Result<(), String> {
    let expected = "expected levels, for all or by crate: info, or warn,trine_broker=debug";
    EnvFilter::try_new(filter).map(drop).map_err(|error| format!("{expected} ({error})"))
}

/// The log of a command that is not configured: warnings, or what `-v` says.
pub(crate) fn start_quiet(verbose: u8) -> std::io::Result<()> {
    start(LogFormat::Human, QUIET, verbose)
}

/// Logs what `filter` lets through; `-v` is a flag and wins over it.
pub(crate) fn start(format: LogFormat, filter: &str, verbose: u8) -> std::io::Result<()> {
    let filter = match verbose {
        0 => filter,
        1 => VERBOSE,
        _ => VERY_VERBOSE,
    };
    let filter = EnvFilter::try_new(filter).map_err(std::io::Error::other)?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    match format {
        LogFormat::Human => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    }
    .map_err(std::io::Error::other)
}
