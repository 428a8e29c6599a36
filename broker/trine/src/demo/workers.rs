//! The workers of the demo: an ordinary use of the SDK, with a notebook of what they saw.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use trine_worker::{Context, Error, Worker, WorkerHandle};

use crate::failure::Failure;

pub(crate) const GREET: &str = "greet";
pub(crate) const RESIZE: &str = "resize";
pub(crate) const NOTIFY: &str = "notify";
pub(crate) const CHARGE: &str = "charge";
pub(crate) const TALLY: &str = "tally";

/// Workers, and slots of each.
pub(crate) const WORKERS: u32 = 2;
pub(crate) const SLOTS: u32 = 4;

/// What the workers saw, in the order in which they saw it.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    /// Attempts of `charge`, by number.
    pub(crate) charges: Vec<u32>,
    /// Records that `notify` got as the destination of `resize`.
    pub(crate) notices: Vec<Value>,
    /// The numbers of the orders in each batch of `tally`.
    pub(crate) batches: Vec<Vec<u64>>,
}

pub(crate) type Notes = Arc<watch::Sender<Notebook>>;

/// Running workers.
#[derive(Debug)]
pub(crate) struct Workers(Vec<WorkerHandle>);

impl Workers {
    /// Starts them and waits until the broker has welcomed all.
    pub(crate) async fn start(url: &str, notes: &Notes) -> Result<Self, Failure> {
        let mut started = Vec::new();
        for number in 1..=WORKERS {
            let worker = worker(url, notes).name(format!("demo-{number}")).slots(SLOTS);
            let ended = |error| Failure::Demo(format!("a worker did not start: {error}"));
            started.push(worker.start().await.map_err(ended)?);
        }
        Ok(Self(started))
    }

    /// Lets them finish what runs.
    pub(crate) async fn stop(self) {
        for worker in self.0 {
            if let Err(error) = worker.shutdown().await {
                tracing::warn!(%error, "a worker did not end cleanly");
            }
        }
    }
}

/// A worker that serves all functions of the demo.
fn worker(url: &str, notes: &Notes) -> Worker {
    let (charges, notices, batches) = (notes.clone(), notes.clone(), notes.clone());
    Worker::connect(url)
        .function(GREET, |guest: Guest, _: Context| async move {
            Ok::<_, Error>(format!("Hello, {}!", guest.name))
        })
        .function(RESIZE, |image: Image, _: Context| async move {
            Ok::<_, Error>(format!("{}-small.png", image.image.trim_end_matches(".png")))
        })
        .function(CHARGE, move |order: Value, context: Context| {
            charges.send_modify(|notes| notes.charges.push(context.attempt()));
            async move {
                let message = format!("order {}: insufficient funds", order["order"]);
                Err::<(), _>(Error::new("CardDeclined", message))
            }
        })
        .function(NOTIFY, move |record: Value, _: Context| {
            notices.send_modify(|notes| notes.notices.push(record));
            async move { Ok::<_, Error>(()) }
        })
        .function(TALLY, move |batch: Batch, _: Context| {
            let orders: Vec<u64> = batch.records.iter().map(|record| record.line.order).collect();
            let count = orders.len();
            batches.send_modify(|notes| notes.batches.push(orders));
            async move { Ok::<_, Error>(count) }
        })
}

#[derive(Debug, Deserialize)]
struct Guest {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Image {
    image: String,
}

/// What a poller sends.
#[derive(Debug, Deserialize)]
struct Batch {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    line: Order,
}

#[derive(Debug, Deserialize)]
struct Order {
    order: u64,
}
