//! `cargo xtask bench`: ours against the named peers, in turn, in one run. Prints ratios; see `--help`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use trine_tests::bench::echo;
use trine_tests::bench::report;
use trine_tests::bench::rows::{Plan, all};

/// The allocator of the released binary, on both sides of every row.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures Trine against nats-server, JetStream and a bare tonic echo.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// Only this row.
    #[arg(long)]
    only: Option<String>,
    /// Write one JSON object a row to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Alternations of ours and the peer's, at least 3 for a claim.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

/// What this program starts itself as.
#[derive(Debug, Subcommand)]
enum Role {
    /// The bare echo server.
    #[command(hide = true)]
    Bare,
    /// The echo worker of a broker.
    #[command(hide = true)]
    Work {
        /// `host:port` of the broker.
        address: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.role {
        Some(Role::Bare) => echo::serve_bare().await,
        Some(Role::Work { address }) => echo::work(address).await,
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), String> {
    let plan =
        Plan { rounds: arguments.rounds.max(1), duration: Duration::from_secs(arguments.seconds) };
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    let specs: Vec<_> = all().into_iter().filter(|spec| wanted(spec.name)).collect();
    if specs.is_empty() {
        let names: Vec<_> = all().iter().map(|spec| spec.name).collect();
        return Err(format!("no row has that name; there are {}", names.join(", ")));
    }
    let mut rows = Vec::new();
    for spec in specs {
        eprintln!("{} ...", spec.name);
        let row = spec.measure(&plan)?;
        eprint!("{}", report::lines(std::slice::from_ref(&row)));
        rows.push(row);
    }
    print!("{}", report::table(&rows));
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::lines(&rows)).map_err(|error| error.to_string())?;
    }
    Ok(())
}
