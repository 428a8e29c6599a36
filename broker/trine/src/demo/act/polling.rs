//! Fourth act: a file grows, its lines reach a function in batches.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use trine_pollers::{PollerOptions, start_poller};
use trine_proto::v1;
use trine_proto::v1::source_config::Source;

use crate::demo::fact::Fact;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::demo::workers::TALLY;
use crate::failure::Failure;

/// Lines that are written at a time, one burst after the other has been seen.
const BURSTS: [u64; 4] = [1, 120, 30, 99];

/// Smaller than the largest burst, so that one has to be cut.
const BATCH_SIZE: u32 = 50;

/// How long the poller may take to tell of its checkpoint.
const LOOKS_MAX: u32 = 100;
const LOOK_EVERY: Duration = Duration::from_millis(100);

const STOP_WAIT: Duration = Duration::from_secs(5);

pub(crate) async fn play(stage: &Stage, teller: &Teller) -> Result<Vec<Fact>, Failure> {
    teller.headline("4. Polling: a growing file, read in batches")?;
    // A name of its own for every run: in a folder from before, checkpoints of old files stay right.
    let name = format!("orders-{}", std::process::id());
    let path = stage.path(&format!("{name}.jsonl"));
    let poller = start_poller(stage.channel(), PollerOptions::named("demo"));
    let mapping = create_mapping(stage, &path).await?;
    let mut written = 0;
    for lines in BURSTS {
        append(&path, written + 1..=written + lines)?;
        written += lines;
        stage.noted(|notes| orders(&notes.batches).count() as u64 >= written).await;
    }
    let checkpoint = std::fs::metadata(&path)?.len();
    let reached = settled(stage, &mapping, checkpoint).await?;
    poller.shutdown(STOP_WAIT).await;

    let notes = stage.notes.borrow();
    let batches = &notes.batches;
    let largest = batches.iter().map(Vec::len).max().unwrap_or_default() as u64;
    let sizes: Vec<String> = batches.iter().map(|batch| batch.len().to_string()).collect();
    teller.step(&format!("{written} lines in {} bursts", BURSTS.len()))?;
    teller.step(&format!("{TALLY} got {} batches of {} lines", batches.len(), sizes.join(", ")))?;
    let in_order = orders(batches).copied().eq(1..=written);
    Ok(vec![
        Fact::equal("polling: lines that reached the function", written, orders(batches).count()),
        Fact::equal("polling: once each and in order", true, in_order),
        Fact::at_most("polling: largest batch", BATCH_SIZE.into(), largest),
        Fact::equal("polling: checkpoint", checkpoint, reached),
    ])
}

/// A mapping of the file, as `trine mapping create` makes one; returns its id.
async fn create_mapping(stage: &Stage, path: &Path) -> Result<String, Failure> {
    let file = v1::FileSource { path: path.display().to_string() };
    let request = v1::CreateMappingRequest {
        function: TALLY.to_owned(),
        source: Some(v1::SourceConfig { source: Some(Source::File(file)) }),
        settings: Some(v1::MappingSettings { batch_size: Some(BATCH_SIZE), ..Default::default() }),
        ..Default::default()
    };
    let answer = stage.connection.mappings().create_mapping(request).await;
    let created = answer.map_err(|status| stage.connection.failure(&status))?.into_inner();
    Ok(created.mapping.unwrap_or_default().id)
}

/// Waits until the broker keeps this checkpoint, a place in the file, in bytes; or gives back the one that it has.
async fn settled(stage: &Stage, mapping: &str, wanted: u64) -> Result<u64, Failure> {
    let mut looked = 0;
    loop {
        let request = v1::GetMappingRequest { id: mapping.to_owned() };
        let answer = stage.connection.mappings().get_mapping(request).await;
        let found = answer.map_err(|status| stage.connection.failure(&status))?.into_inner();
        let activity = found.mapping.and_then(|mapping| mapping.activity).unwrap_or_default();
        let place = activity.shards.first().map(|shard| shard.checkpoint.as_str());
        let place: Option<Place> = place.and_then(|place| serde_json::from_str(place).ok());
        let reached = place.map_or(0, |place| place.offset);
        looked += 1;
        if reached == wanted || looked == LOOKS_MAX {
            return Ok(reached);
        }
        // A poller tells how far it is once a second.
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// What is looked at in a checkpoint of a file.
#[derive(serde::Deserialize)]
struct Place {
    offset: u64,
}

fn orders(batches: &[Vec<u64>]) -> impl Iterator<Item = &u64> {
    batches.iter().flatten()
}

fn append(path: &Path, orders: std::ops::RangeInclusive<u64>) -> Result<(), Failure> {
    let lines: String = orders.map(|order| format!("{{\"order\":{order}}}\n")).collect();
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    Ok(file.write_all(lines.as_bytes())?)
}
