//! A source whose function has no concurrency for minutes: what it held meanwhile, and whether the source noticed. Real time, so that the
//! source's own clocks are what is tried: Kafka's session and poll interval at their defaults, a queue that gives each message out once.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;
use trine_proto::v1::{FunctionSettings, MappingCounts};
use xtask::repo::Repo;
use xtask::servers::{Product, Server};

use super::field::{Field, Trouble, trouble};
use super::kafka::KafkaField;
use super::sqs::SqsField;
use super::witness::FUNCTION;
use super::{Kind, Ledger, Witness};
use crate::fixture::LIMIT;
use crate::fixture::broker::Setup;
use crate::fixture::folder::Folder;
use crate::fixture::wait::until;

const RECORDS: u64 = 1_000;
const PARTITIONS: u32 = 4;

/// As SQS has it by default.
const LEASE_SECONDS: u32 = 30;

/// What Kafka's coordinator writes into its log when it makes a group anew.
const REBALANCE: &str = "Preparing to rebalance group";

/// What came of it.
#[derive(Debug)]
pub struct Held {
    kind: Kind,
    version: String,
    seconds: u64,
    counts: MappingCounts,
    ledger: Ledger,
    /// Messages that became dead letters; rebalances of the group.
    noticed: u64,
}

impl Held {
    /// Whether the source noticed nothing and the function saw everything once.
    #[must_use]
    pub fn holds(&self) -> bool {
        let Self { counts, ledger, .. } = self;
        let harm = [ledger.lost(), ledger.duplicates(), ledger.strange(), self.noticed];
        harm == [0; 4] && counts.failed_invoke_events == 0 && counts.dropped_events == 0
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { counts, ledger, .. } = self;
        let what = if self.kind == Kind::Kafka { "rebalances" } else { "dead letters" };
        write!(
            f,
            "{} {} {}: {RECORDS} records waited {} s: {} throttles, {} failed attempts, {} {what}, {} lost, {} duplicates",
            if self.holds() { "ok  " } else { "FAIL" },
            self.kind.name(),
            self.version,
            self.seconds,
            counts.throttles,
            counts.failed_invoke_events,
            self.noticed,
            ledger.lost(),
            ledger.duplicates(),
        )
    }
}

enum Source {
    Kafka(KafkaField),
    Sqs(SqsField),
}

impl Source {
    async fn open(kind: Kind, address: &str) -> Result<Self, Trouble> {
        match kind {
            Kind::Kafka => KafkaField::open(address, PARTITIONS).await.map(Self::Kafka),
            Kind::Sqs => {
                let made = SqsField::with_dead_letters(address, "held", LEASE_SECONDS).await;
                made.map(Self::Sqs)
            }
            other => Err(format!("{} is not held; kafka and sqs are", other.name())),
        }
    }

    fn field(&self) -> &dyn Field {
        match self {
            Self::Kafka(field) => field,
            Self::Sqs(field) => field,
        }
    }

    /// What the source has done that it does only with records or members that it takes for dead.
    async fn noticed(&self, folder: &Path) -> Result<u64, Trouble> {
        match self {
            Self::Sqs(field) => field.dead_letters().await,
            Self::Kafka(_) => {
                let log = fs::read_to_string(folder.join("log")).map_err(|e| trouble("log")(&e))?;
                Ok(log.matches(REBALANCE).count() as u64)
            }
        }
    }
}

/// Lets the records of a source wait for so long, and then lets them run.
///
/// # Errors
/// If the source cannot be started or written to, or there is nothing of this kind to hold.
///
/// # Panics
/// If the broker does not start, or records do not come once they may.
pub async fn hold(kind: Kind, seconds: u64) -> Result<Held, Trouble> {
    let folder = Folder::new();
    let place = folder.path().join("server");
    let product = kind.product().unwrap_or(Product::Kafka);
    let started = {
        let place = place.clone();
        move || Server::start(product, &Repo::find()?, &place)
    };
    let server = tokio::task::spawn_blocking(started).await.map_err(|e| trouble("start")(&e))?;
    let server = server.map_err(|e| trouble("start")(&e))?;
    let source = Source::open(kind, &server.address()).await?;
    let field = source.field();
    let environment = field.environment().iter();
    let setup =
        environment.fold(Setup::new(), |setup, (name, value)| setup.environment(name, value));
    let broker = setup.start().await;
    let client = broker.client();
    let none = FunctionSettings { reserved_concurrency: Some(0), ..FunctionSettings::default() };
    client.create(FUNCTION, none).await;
    let witness = Witness::new(field.order().keys());
    let _worker = witness.serve(&broker.url());
    write(field, &witness).await?;
    let mapping = client.create_mapping(FUNCTION, field.source(), field.settings()).await.id;
    let counts = async || {
        let activity = client.mapping(&mapping).await.activity;
        activity.and_then(|now| now.counts).unwrap_or_default()
    };
    until("a throttle", LIMIT, async || counts().await.throttles > 0).await;
    let before = source.noticed(&place).await?;
    tokio::time::sleep(Duration::from_secs(seconds)).await; // tidy: allow sleeps: the source's clocks are what is tried
    let freed = FunctionSettings::default();
    let updated = client.try_update(FUNCTION, freed, &["reserved_concurrency"]).await;
    updated.map_err(|refusal| refusal.message)?;
    let mut seen = witness.progress();
    let all = timeout(LIMIT, seen.wait_for(|seen| *seen == RECORDS)).await;
    all.map_err(|_| "the records did not come".to_owned())?.map_err(|e| e.to_string())?;
    let noticed = source.noticed(&place).await? - before;
    let (counts, ledger) = (counts().await, witness.ledger().clone());
    Ok(Held { kind, version: server.version().to_owned(), seconds, counts, ledger, noticed })
}

async fn write(field: &dyn Field, witness: &Witness) -> Result<(), Trouble> {
    let keys = field.order().keys();
    let offered = (0..keys).cycle().zip(0..RECORDS);
    let records: Vec<_> = offered.map(|(key, _)| witness.ledger().offer(key)).collect();
    let mut producer = field.producer().await?;
    for burst in records.chunks(100) {
        producer.send(burst).await?;
    }
    records.into_iter().for_each(|record| witness.ledger().produced(record));
    Ok(())
}
