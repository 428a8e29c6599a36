//! Fourth act: a file grows, its lines reach a function in batches.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use trine_pollers::{FilePollerOptions, start_file_poller};

use crate::demo::fact::Fact;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::demo::workers::TALLY;
use crate::failure::Failure;

/// Lines that are written at a time, one burst after the other has been seen.
const BURSTS: [u64; 4] = [1, 120, 30, 99];

/// Smaller than the largest burst, so that one has to be cut.
const BATCH_SIZE: u32 = 50;

const STOP_WAIT: Duration = Duration::from_secs(5);

pub(crate) async fn play(stage: &Stage, teller: &Teller) -> Result<Vec<Fact>, Failure> {
    teller.headline("4. Polling: a growing file, read in batches")?;
    // A name of its own for every run: in a folder from before, checkpoints of old files stay right.
    let name = format!("orders-{}", std::process::id());
    let path = stage.path(&format!("{name}.jsonl"));
    let poller = start_file_poller(
        stage.channel(),
        FilePollerOptions {
            name,
            path: path.clone(),
            function: TALLY.to_owned(),
            qualifier: None,
            batch_size: BATCH_SIZE,
            batch_window: Duration::ZERO,
            state_dir: stage.path("pollers"),
        },
    )?;
    let mut written = 0;
    for lines in BURSTS {
        append(&path, written + 1..=written + lines)?;
        written += lines;
        stage.noted(|notes| orders(&notes.batches).count() as u64 >= written).await;
    }
    let checkpoint = format!("byte {}", std::fs::metadata(&path)?.len());
    let status =
        poller.shutdown(STOP_WAIT).await.map_err(|error| Failure::Demo(error.to_string()))?;

    let notes = stage.notes.borrow();
    let batches = &notes.batches;
    let largest = batches.iter().map(Vec::len).max().unwrap_or_default() as u64;
    let sizes: Vec<String> = batches.iter().map(|batch| batch.len().to_string()).collect();
    teller.step(&format!("{written} lines in {} bursts", BURSTS.len()))?;
    teller.step(&format!("{TALLY} got {} batches of {} lines", batches.len(), sizes.join(", ")))?;
    let in_order = orders(batches).copied().eq(1..=written);
    let reached = status.checkpoint.unwrap_or_default();
    let reached = reached.split(" of ").next().unwrap_or_default();
    Ok(vec![
        Fact::equal("polling: lines that reached the function", written, orders(batches).count()),
        Fact::equal("polling: once each and in order", true, in_order),
        Fact::at_most("polling: largest batch", BATCH_SIZE.into(), largest),
        Fact::equal("polling: checkpoint", checkpoint, reached),
    ])
}

fn orders(batches: &[Vec<u64>]) -> impl Iterator<Item = &u64> {
    batches.iter().flatten()
}

fn append(path: &Path, orders: std::ops::RangeInclusive<u64>) -> Result<(), Failure> {
    let lines: String = orders.map(|order| format!("{{\"order\":{order}}}\n")).collect();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    Ok(file.write_all(lines.as_bytes())?)
}
