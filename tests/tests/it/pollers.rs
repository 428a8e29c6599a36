//! Pollers as processes of their own that share the mappings of a broker: one dies or freezes under load, the other goes on. What was
//! read is known by the function's worker; who reads what, by the broker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use trine_proto::v1::{FunctionSettings, MappingSettings};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::Client;
use trine_tests::fixture::poller::Poller;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::tools::address;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_tests::sources::{FUNCTION, Field, FileField, RedisField, Witness};

/// Files, each with a mapping.
const FILES: u32 = 5;

/// Mappings of all sources, at most.
const MAPPINGS: u32 = FILES + 1;

/// The broker is told to ask for signs of life this often; silence for two of them ends a lease.
const HEARTBEAT: Duration = Duration::from_millis(1_500);
const LEASE: Duration = HEARTBEAT.saturating_mul(2);

/// Of every mapping.
const BATCH: u32 = 20;
const LOOKAHEAD: u32 = 100;

/// Records that are written to one field before another's turn comes.
const BURST: u64 = 10;

/// Records that wait to be read, about.
const BACKLOG: u64 = 2_000;

/// How often checkpoints are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A broker that reads nothing itself, two pollers, files and a stream of Redis that grow, and a function that sees their records.
struct Scene {
    broker: Broker,
    pollers: [Poller; 2],
    witness: Witness,
    _worker: Serving,
    /// By the number of its field.
    mappings: Vec<String>,
    load: Load,
    checkpoints: Checkpoints,
}

/// What was true when a poller went away.
struct Loss {
    at: Instant,
    /// Its mappings, by the number of their field, and the fence that each was held under.
    held: BTreeMap<u32, u64>,
}

impl Scene {
    async fn set(test: &str) -> Self {
        let setup = Setup::new().set("poller.enabled", false);
        let broker = setup.set("timing.heartbeat", "\"1500ms\"").start().await;
        let client = broker.client();
        client.create(FUNCTION, FunctionSettings::default()).await;
        let witness = Witness::new(MAPPINGS);
        let mut worker = witness.serve(&broker.url());
        worker.connected(1).await;
        let pollers = ["one", "two"].map(|name| Poller::start(&broker, name));
        until("two pollers", LIMIT, async || {
            broker.metrics().await.value("trine_poller_sessions") == 2.0
        })
        .await;
        let fields = fields(test, &broker).await;
        let mut mappings = Vec::new();
        for field in &fields {
            let settings = MappingSettings {
                batch_size: Some(BATCH),
                lookahead_records_max: Some(LOOKAHEAD),
                ..field.settings()
            };
            let mapping = client.create_mapping(FUNCTION, field.source(), settings).await;
            mappings.push(mapping.id);
        }
        let load = Load::begin(&fields, witness.clone()).await;
        let files = mappings[..FILES as usize].to_vec();
        let checkpoints = Checkpoints::watch(client, files);
        let mut scene =
            Self { broker, pollers, witness, _worker: worker, mappings, load, checkpoints };
        let held = until_all(&scene, |_, poller, _| !poller.is_empty()).await;
        assert!(held.values().any(|(poller, _)| poller == "one"), "{held:?}");
        assert!(held.values().any(|(poller, _)| poller == "two"), "{held:?}");
        scene.checkpoints.further().await;
        scene
    }

    /// Who holds which field's mapping, under which fence.
    async fn held(&self) -> BTreeMap<u32, (String, u64)> {
        let client = self.broker.client();
        let mut held = BTreeMap::new();
        for (number, id) in (0..).zip(&self.mappings) {
            let activity = client.mapping(id).await.activity.unwrap_or_default();
            held.insert(number, (activity.poller, activity.fence));
        }
        held
    }

    /// The mappings of one poller, now that it goes away.
    async fn lose(&self, poller: &str) -> Loss {
        let held = self.held().await.into_iter().filter(|(_, (holder, _))| holder == poller);
        let held = held.map(|(number, (_, fence))| (number, fence)).collect();
        Loss { at: Instant::now(), held }
    }

    /// Waits until `poller` has every mapping that was lost, under a later fence, and the function sees more of each. How long that
    /// took from the loss on.
    async fn taken_over(&self, loss: &Loss, poller: &str) -> Duration {
        until_all(self, |number, holder, fence| {
            loss.held.get(&number).is_none_or(|lost| holder == poller && fence > *lost)
        })
        .await;
        // Whatever the lost poller had sent was seen long before: from now on it is the other's.
        let before: Vec<_> = (0..MAPPINGS).map(|key| self.witness.ledger().next_of(key)).collect();
        until("more records of each field", LIMIT, async || {
            let ledger = self.witness.ledger();
            loss.held.keys().all(|key| ledger.next_of(*key) > before[*key as usize])
        })
        .await;
        loss.at.elapsed()
    }

    /// Ends the load, and judges what was seen of it after losses that had so many mappings together.
    async fn judge(mut self, lost_mappings: usize) {
        self.checkpoints.further().await;
        let written = self.load.end().await;
        until("every record", LIMIT, async || self.witness.ledger().seen_count() == written).await;
        let ledger = self.witness.ledger().clone();
        println!("{written} records, {} duplicates", ledger.duplicates());
        assert_eq!((ledger.lost(), ledger.disordered(), ledger.strange()), (0, 0, 0));
        let in_flight = lost_mappings as u64 * u64::from(LOOKAHEAD);
        assert!(ledger.duplicates() <= in_flight, "{} > {in_flight}", ledger.duplicates());
        self.checkpoints.end().await;
    }
}

/// Waits until `is` is true of every field's number, its mapping's holder and fence; who holds what then.
async fn until_all(
    scene: &Scene,
    is: impl Fn(u32, &str, u64) -> bool,
) -> BTreeMap<u32, (String, u64)> {
    let mut held = BTreeMap::new();
    until("every mapping with its holder", LIMIT, async || {
        held = scene.held().await;
        held.iter().all(|(number, (poller, fence))| is(*number, poller, *fence))
    })
    .await;
    held
}

/// Files, and a stream of the shared Redis if there is one.
async fn fields(test: &str, broker: &Broker) -> Vec<Arc<dyn Field>> {
    let mut fields: Vec<Arc<dyn Field>> = Vec::new();
    for number in 0..FILES {
        let folder = broker.folder().join(number.to_string());
        std::fs::create_dir(&folder).unwrap();
        fields.push(Arc::new(FileField::new(&folder)));
    }
    if let Some(address) = address(test, "TRINE_REDIS") {
        let stream = format!("{test}-{}", std::process::id());
        fields.push(Arc::new(RedisField::open(&address, &stream).await.unwrap()));
    }
    fields
}

/// Records into fields, until it is ended.
struct Load {
    over: Arc<AtomicBool>,
    writing: JoinHandle<u64>,
}

impl Load {
    async fn begin(fields: &[Arc<dyn Field>], witness: Witness) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let until_over = Arc::clone(&over);
        let mut producers = Vec::new();
        for field in fields {
            producers.push(field.producer().await.unwrap());
        }
        let writing = tokio::spawn(async move {
            let mut seen = witness.progress();
            let mut written = 0;
            while !until_over.load(Ordering::SeqCst) {
                // Its sender is the witness, which lives as long as this does.
                let _ = seen.wait_for(|seen| *seen + BACKLOG > written).await;
                for (number, producer) in (0..).zip(&mut producers) {
                    let records: Vec<_> =
                        (0..BURST).map(|_| witness.ledger().offer(number)).collect();
                    producer.send(&records).await.unwrap();
                    records.into_iter().for_each(|record| witness.ledger().produced(record));
                    written += BURST;
                }
            }
            written
        });
        Self { over, writing }
    }

    /// Records that were written.
    async fn end(self) -> u64 {
        self.over.store(true, Ordering::SeqCst);
        self.writing.await.unwrap()
    }
}

/// Looks at the checkpoints all the while: none may ever go back.
struct Checkpoints {
    /// The highest of each mapping, in bytes.
    highest: watch::Receiver<Vec<u64>>,
    watching: JoinHandle<()>,
}

impl Checkpoints {
    fn watch(client: Client, mappings: Vec<String>) -> Self {
        let (told, highest) = watch::channel(vec![0; mappings.len()]);
        let watching = tokio::spawn(async move {
            let mut looks = tokio::time::interval(LOOK);
            while !told.is_closed() {
                looks.tick().await;
                for (number, id) in mappings.iter().enumerate() {
                    let Some(offset) = offset(&client, id).await else { continue };
                    let highest = told.borrow()[number];
                    assert!(offset >= highest, "a checkpoint went back from {highest} to {offset}");
                    told.send_modify(|all| all[number] = offset);
                }
            }
        });
        Self { highest, watching }
    }

    /// Waits until each is further than it is now.
    async fn further(&mut self) {
        let before = self.highest.borrow().clone();
        let further = |now: &Vec<u64>| now.iter().zip(&before).all(|(now, before)| now > before);
        soon("further checkpoints", self.highest.wait_for(further)).await.expect("none went back");
    }

    /// Whether all went well so far.
    async fn end(self) {
        drop(self.highest);
        self.watching.await.unwrap();
    }
}

/// How far a file was settled, in bytes. `None`: nobody has told yet.
async fn offset(client: &Client, mapping: &str) -> Option<u64> {
    let activity = client.mapping(mapping).await.activity?;
    let place: Value = serde_json::from_str(&activity.shards.first()?.checkpoint).ok()?;
    place["offset"].as_u64()
}

#[test]
fn the_mappings_of_a_killed_poller_are_read_by_another_within_the_lease() {
    run(async {
        let test = "the_mappings_of_a_killed_poller_are_read_by_another_within_the_lease";
        let mut scene = Scene::set(test).await;
        let loss = scene.lose("one").await;
        scene.pollers[0].kill();
        let took = scene.taken_over(&loss, "two").await;
        println!("{} mappings were read on after {took:?}", loss.held.len());
        assert!(took <= LEASE, "{took:?}");
        scene.judge(loss.held.len()).await;
    });
}

#[test]
fn a_poller_that_wakes_after_its_lease_changes_nothing_any_more() {
    run(async {
        let test = "a_poller_that_wakes_after_its_lease_changes_nothing_any_more";
        let scene = Scene::set(test).await;
        let loss = scene.lose("one").await;
        scene.pollers[0].freeze();
        let took = scene.taken_over(&loss, "two").await;
        println!("{} mappings were read on after {took:?}", loss.held.len());
        assert!(took <= LEASE + HEARTBEAT, "{took:?}");
        scene.pollers[0].thaw();
        // It comes back as a poller like any other, and gets what it is given under fences of its own.
        let mut given = BTreeMap::new();
        until("a share for the one that woke", LIMIT, async || {
            given = scene.held().await;
            given.values().any(|(poller, _)| poller == "one")
        })
        .await;
        for (number, (poller, fence)) in &given {
            let lost = loss.held.get(number).copied().unwrap_or_default();
            assert!(poller != "one" || *fence > lost, "{given:?}");
        }
        let lost = broker_lost(&scene.broker).await;
        assert!(lost >= 1.0, "{lost}");
        scene.judge(2 * MAPPINGS as usize).await;
    });
}

async fn broker_lost(broker: &Broker) -> f64 {
    broker.metrics().await.value("trine_poller_sessions_lost_total")
}
