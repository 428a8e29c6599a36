//! `cargo xtask torture`: kills the broker under load, again and again, and prints what the ledger says.
//!
//! Exit code 0 if the ledger holds, 1 if it does not.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::{Parser, Subcommand};
use trine_tests::fixture::folder::Folder;
use trine_tests::ledger::{Verdict, judge, read};
use trine_tests::torture::{Plan, run};

/// Kill the broker under load and judge what is left.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    /// How often the broker is killed.
    #[arg(long, default_value_t = 100)]
    kills: u32,
    /// Requests a second, about: events one by one and in frames, and calls.
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// Workers, with 16 slots each.
    #[arg(long, default_value_t = 4)]
    workers: u32,
    /// Repeats what an earlier run offered; by default another one every time.
    #[arg(long)]
    seed: Option<u64>,
    /// Shortest and longest life of the broker, in milliseconds.
    #[arg(long, num_args = 2, value_names = ["FROM", "TO"], default_values_t = [200, 3_000])]
    life_ms: Vec<u64>,
    /// No event that is retried: saves the minute that the last one waits.
    #[arg(long)]
    no_retries: bool,
    /// Keep the history in this file, which must not exist.
    #[arg(long, value_name = "FILE")]
    history: Option<PathBuf>,
    /// Write the figures there as one JSON object.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Judge the history of an earlier run.
    Judge { history: PathBuf },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let verdict = match &cli.verb {
        Some(Verb::Judge { history }) => match read(history) {
            Ok(lines) => judge(&lines),
            Err(error) => {
                eprintln!("torture: {error}");
                return ExitCode::FAILURE;
            }
        },
        None => tortured(&cli),
    };
    println!("{verdict}");
    if let Some(file) = &cli.json
        && let Err(error) = std::fs::write(file, format!("{:#}\n", verdict.json()))
    {
        eprintln!("torture: {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if verdict.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn tortured(cli: &Cli) -> Verdict {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = cli.seed.unwrap_or(now.as_secs());
    let folder = Folder::new();
    let life = Duration::from_millis(cli.life_ms[0])..=Duration::from_millis(cli.life_ms[1]);
    let plan = Plan {
        kills: cli.kills,
        life,
        rate: cli.rate,
        workers: cli.workers,
        retries: !cli.no_retries,
        seed,
        history: cli.history.clone().unwrap_or_else(|| folder.join("history.jsonl")),
    };
    println!("torture: {} kills, {} requests a second, seed {seed}", plan.kills, plan.rate);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    runtime.block_on(run(&plan, |said| println!("{said}")))
}
