//! `cargo xtask sources`: records through each source while the broker is killed and the source goes away, and what the ledger says.
//!
//! Exit code 0 if every run holds, 1 if one does not or a source could not be had.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use futures_util::future::join_all;
use serde_json::Value;
use trine_tests::sources::{Kind, Plan, hold, run};

/// Kill the broker and take the source away while records run through it.
#[derive(Debug, Parser)]
struct Cli {
    /// Only these, by comma: file, redis, nats, kafka, sqs, sqs-fifo, kinesis, dynamodb-streams, rabbitmq, activemq.
    #[arg(long, value_delimiter = ',', value_parser = Kind::named)]
    only: Vec<Kind>,
    /// Records of 1 KiB for each source.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// How often the broker is killed.
    #[arg(long, default_value_t = 10)]
    kills: u32,
    /// How often the source goes away: its server is killed and started again; a server that would forget everything is
    /// cut off instead, and a file is rotated.
    #[arg(long, default_value_t = 3)]
    restarts: u32,
    /// Run the keys of a shard in parallel, where records have keys.
    #[arg(long)]
    lanes: bool,
    /// Instead, let the records of kafka and sqs wait this many seconds for a function that has no concurrency.
    #[arg(long, value_name = "SECONDS")]
    held: Option<u64>,
    /// Write the figures there as a JSON array.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let kinds = if cli.only.is_empty() { Kind::ALL.to_vec() } else { cli.only.clone() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be started");
    if let Some(seconds) = cli.held {
        return held(&runtime, &cli.only, seconds);
    }
    let mut figures = Vec::new();
    let mut fine = true;
    for kind in kinds {
        let plan = Plan {
            kind,
            records: cli.records,
            kills: cli.kills,
            outages: cli.restarts,
            lanes: cli.lanes,
        };
        let tell = move |said: &str| eprintln!("  {}: {said}", kind.name());
        // A run that ends in a panic must not take the others with it.
        let running = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(&plan, tell))));
        match running.unwrap_or_else(|_| Err("it ended in a panic".to_owned())) {
            Ok(verdict) => {
                println!("{verdict}");
                fine &= verdict.holds();
                figures.push(verdict.json());
            }
            Err(error) => {
                println!("FAIL {}: {error}", kind.name());
                fine = false;
            }
        }
    }
    if let Some(file) = &cli.json
        && let Err(error) = std::fs::write(file, format!("{:#}\n", Value::from(figures)))
    {
        eprintln!("sources: {}: {error}", file.display());
        return ExitCode::FAILURE;
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All of them at once: they only wait.
fn held(runtime: &tokio::runtime::Runtime, only: &[Kind], seconds: u64) -> ExitCode {
    let kinds = if only.is_empty() { &[Kind::Kafka, Kind::Sqs] } else { only };
    let mut fine = true;
    let all = runtime.block_on(join_all(kinds.iter().map(|kind| hold(*kind, seconds))));
    for (kind, held) in kinds.iter().zip(all) {
        match held {
            Ok(held) => {
                println!("{held}");
                fine &= held.holds();
            }
            Err(error) => {
                println!("FAIL {}: {error}", kind.name());
                fine = false;
            }
        }
    }
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
