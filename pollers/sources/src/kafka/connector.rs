//! Makes connections: starts a member's thread, which first makes sure that brokers, credentials and topic are there.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use super::batch_info::{batch_info, record_info};
use super::config::{Config, ahead_kib};
use super::connection::{Connection, KafkaConnection};
use super::context::{Consumer, Context, Happened};
use super::member::Member;
use super::offsets::Offsets;
use super::seek::seek;
use super::{event, problem};
use crate::clock::Clock;
use crate::trust::advised;
use crate::{
    Change, Connect, Descriptor, Envelope, Keeper, Ordering, Place, Places, Record, Redelivery,
    Settling, ShardName, Sought, Source, SourceError, Target, Unit,
};

/// Longest wait for brokers that neither answer nor refuse, in milliseconds.
const PROBE_WAIT_MS: u64 = 10_000;

/// How long one question of the probe waits, before what the library has told meanwhile is looked at.
const PROBE_TURN: Duration = Duration::from_millis(500);

/// Longest wait of one receive: bounds how late the runner sees what it does not wait for.
const RECEIVE_WAIT: Duration = Duration::from_secs(5);

/// The member of on-failure records that says which records they are about.
const BATCH_INFO: &str = "KafkaBatchInfo";

/// Makes connections to one topic for one mapping.
#[derive(Debug)]
pub(super) struct KafkaConnector {
    config: Arc<Config>,
}

impl KafkaConnector {
    pub(super) fn new(config: Config) -> Self {
        Self { config: Arc::new(config) }
    }

    /// The offsets that `places` of this topic mean.
    fn next_offsets(&self, places: &Places) -> Result<Offsets, SourceError> {
        let mut next = Offsets::new();
        for (shard, place) in places {
            let Some(partition) = self.config.partition(shard.as_str()) else { continue };
            // A partition has no end.
            let Place::After(position) = place else { continue };
            let offset = position.as_str().parse::<i64>().map_err(|_| {
                SourceError::configuration(format!("\"{position}\" is no offset of {shard}"))
            })?;
            next.insert(partition, offset + 1);
        }
        Ok(next)
    }

    fn envelope(&self, shard: &ShardName) -> Envelope {
        let partition = self.config.partition(shard.as_str()).unwrap_or_default();
        event::envelope(&self.config, partition)
    }

    async fn connect_now(&self, places: Places) -> Result<Arc<dyn Source>, SourceError> {
        let places = self.next_offsets(&places)?;
        self.config.check_authorities().await?;
        let connection = Arc::new(Connection::new(Arc::clone(&self.config)));
        let (changes, changed) = mpsc::unbounded_channel();
        let (told, probed) = oneshot::channel();
        // From here on the thread ends by itself if nobody wants the connection any more.
        let source = KafkaConnection::new(Arc::clone(&connection), changed);
        spawn("kafka", move || run(&connection, changes, places, told))?;
        let defect = || SourceError::unreachable("a defect of the kafka source: its thread ended");
        probed.await.unwrap_or_else(|_| Err(defect()))?;
        Ok(Arc::new(source))
    }
}

impl Connect for KafkaConnector {
    fn descriptor(&self) -> Descriptor {
        Descriptor {
            kind: "kafka",
            ordering: Ordering::Shard,
            settling: Settling::LowWater(Keeper::Source),
            redelivery: Redelivery::Poller,
            outlives_connection: true,
            receive_wait: RECEIVE_WAIT,
            shard_concurrency_max: None,
        }
    }

    fn connect(&self, places: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(self.connect_now(places))
    }

    fn seek(&self, _places: Places, target: Target, preview: bool) -> Unit<'_, Vec<Sought>> {
        // The group's offsets are the places: what the runner last saw of them adds nothing.
        let config = Arc::clone(&self.config);
        Box::pin(async move {
            let sought = spawn_blocking(move || seek(&config, &target, preview)).await;
            let defect =
                |error| SourceError::unreachable(format!("a defect of the kafka source: {error}"));
            sought.map_err(defect)?
        })
    }

    fn batch_member(&self, shard: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let envelope = self.envelope(shard);
        (BATCH_INFO, batch_info(&self.config, shard, &envelope, given_up))
    }

    fn record_member(&self, shard: &ShardName, given_up: &Record) -> Option<(&'static str, Value)> {
        Some((BATCH_INFO, record_info(&self.config, &self.envelope(shard), given_up)))
    }
}

/// The life of a member's thread.
fn run(
    connection: &Arc<Connection>,
    changes: mpsc::UnboundedSender<Change>,
    places: Offsets,
    told: oneshot::Sender<Result<(), SourceError>>,
) {
    let probed = consumer_for(connection).and_then(|consumer| {
        serve_commits(connection, &consumer)?;
        Ok(consumer)
    });
    let consumer = match probed {
        Ok(consumer) => consumer,
        // Whoever no longer listens does not want to know; here and below.
        Err(error) => return drop(told.send(Err(error))),
    };
    let member = Member::new(Arc::clone(connection), consumer, changes, places);
    if told.send(Ok(())).is_ok() {
        member.run();
    }
}

/// A client that has found the topic, made for as many partitions as that has.
fn consumer_for(connection: &Connection) -> Result<Arc<Consumer>, SourceError> {
    let config = &connection.config;
    let mut made_for = 1;
    loop {
        let made = Consumer::from_config_and_context(&config.member(made_for), Context::default());
        let consumer = made.map_err(|error| problem::failed(config, "make a client", &error))?;
        let partitions = probe(config, &consumer, || connection.is_dropped());
        let partitions = match partitions {
            Ok(partitions) if ahead_kib(partitions) < ahead_kib(made_for) => partitions,
            Ok(_) => return Ok(Arc::new(consumer)),
            Err(error) => {
                close(consumer);
                return Err(error);
            }
        };
        close(consumer);
        made_for = partitions;
    }
}

/// Drops a client where nobody waits for it: that may block, even for ever (rust-rdkafka issue 453).
pub(super) fn close(consumer: Consumer) {
    consumer.context().close();
    if spawn("kafka-close", move || drop(consumer)).is_err() {
        tracing::warn!("no thread to close a Kafka client on");
    }
}

fn serve_commits(
    connection: &Arc<Connection>,
    consumer: &Arc<Consumer>,
) -> Result<(), SourceError> {
    let (connection, consumer) = (Arc::clone(connection), Arc::clone(consumer));
    spawn("kafka-commits", move || connection.commits.serve(&consumer))
}

/// A thread that nobody waits for.
fn spawn(name: &str, does: impl FnOnce() + Send + 'static) -> Result<(), SourceError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(does);
    let failed = |error| SourceError::unreachable(format!("no thread for Kafka: {error}"));
    spawned.map(drop).map_err(failed)
}

/// Makes sure that the topic is there, which the library would wait for silently and for ever, and says how many partitions it has.
pub(super) fn probe(
    config: &Config,
    consumer: &Consumer,
    unwanted: impl Fn() -> bool,
) -> Result<usize, SourceError> {
    let clock = Clock::start();
    let until_ms = clock.now_ms() + PROBE_WAIT_MS;
    let mut reason = String::from("no answer");
    loop {
        let metadata = consumer.fetch_metadata(Some(&config.topic), PROBE_TURN);
        match &metadata {
            Ok(metadata) => {
                let topic = metadata.topics().iter().find(|topic| topic.name() == &*config.topic);
                let code = topic.and_then(|topic| topic.error()).map(RDKafkaErrorCode::from);
                let partitions = topic.map_or(0, |topic| topic.partitions().len());
                match code {
                    Some(code) => known(config, code, &code.to_string())?,
                    None if partitions > 0 => return Ok(partitions),
                    None => {}
                }
            }
            Err(error) => {
                let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
                known(config, code, &error.to_string())?;
            }
        }
        // Serves what was told meanwhile; a client that has not subscribed gets no records.
        while consumer.poll(Duration::from_millis(20)).is_some() {}
        for happened in consumer.context().take() {
            let Happened::Failed(code, says) = happened else { continue };
            if code == RDKafkaErrorCode::AllBrokersDown {
                return Err(known(config, code, &reason)
                    .err()
                    .unwrap_or_else(|| SourceError::unreachable(reason.clone())));
            }
            known(config, code, &says)?;
            reason = says;
        }
        if unwanted() || clock.now_ms() >= until_ms {
            let says = format!("the brokers at {} do not answer: {reason}", config.bootstrap);
            return Err(SourceError::unreachable(advised(says)));
        }
    }
}

fn known(config: &Config, code: RDKafkaErrorCode, reason: &str) -> Result<(), SourceError> {
    problem::of(config, code, reason).map_or(Ok(()), Err)
}
