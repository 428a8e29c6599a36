//! `sim`: plays seeds of the simulation, the one that failed or many new ones.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use trine_tests::sim::{Counts, Options, run};

/// Play the seeded simulation: the engine among simulated clients, workers, disks and clocks
#[derive(Debug, Parser)]
#[command(name = "sim")]
struct Arguments {
    /// Play this seed, twice
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Play this many seeds, from --from on
    #[arg(long, value_name = "COUNT", default_value_t = 2_000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of many seeds
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "seed")]
    from: u64,
    /// Print every input and effect
    #[arg(long)]
    trace: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let seeds = match arguments.seed {
        Some(seed) => seed..=seed,
        None => arguments.from..=arguments.from.saturating_add(arguments.seeds.saturating_sub(1)),
    };
    let begin = Instant::now();
    let (mut total, mut played, mut failed) = (Counts::default(), 0u64, 0u64);
    for seed in seeds {
        played += 1;
        match play(seed, arguments.trace) {
            Ok(counts) => total.add(&counts),
            Err(why) => {
                failed += 1;
                println!("{why}");
            }
        }
    }
    println!("{total:#?}");
    println!("{played} seeds, each twice, {failed} failed, {:.1} s", begin.elapsed().as_secs_f64());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn play(seed: u64, lines: bool) -> Result<Counts, String> {
    let print = |lines: &[String]| lines.iter().for_each(|line| println!("{line}"));
    let report = run(seed, Options { sabotage: None, lines }).map_err(|failure| {
        print(&failure.lines);
        failure.to_string()
    })?;
    print(&report.lines);
    let again = run(seed, Options::default()).map_err(|failure| failure.to_string())?;
    if again.hash != report.hash {
        return Err(format!("seed {seed}: two runs differ"));
    }
    Ok(report.counts)
}
