//! Where the records of finished asynchronous invocations go (LS 3.3), and those of mappings that gave records up (LS 4.6): another
//! function, an HTTP URL, what expects notifications of SNS, a queue of SQS or RabbitMQ, a topic of Kafka, a NATS subject or stream, a
//! file of JSON lines.
//!
//! Owns one try: what a record looks like, how each kind of destination is reached, what it may
//! reach, and what its answer means. Does not know when to try, for how long, and what becomes of a
//! record that was not taken: the engine decides that, and keeps the record until then (users.md A7).
//! A record can arrive twice; its delivery id is the same each time.
//!
//! Errors are sentences for people. They hold no credentials, no paths or queries of URLs, nothing of
//! the record and nothing of what a destination answered (S11).

mod address;
mod arn;
mod cloud_event;
mod connections;
mod connector;
mod error_object;
mod file;
mod http;
mod http_target;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "kafka")]
mod kafka_connection;
#[cfg(feature = "kafka")]
mod kafka_target;
mod lanes;
mod nats;
mod nats_connection;
mod nats_target;
#[cfg(feature = "rabbitmq")]
mod rabbitmq;
#[cfg(feature = "rabbitmq")]
mod rabbitmq_connection;
#[cfg(feature = "rabbitmq")]
mod rabbitmq_target;
mod record;
mod server_name;
mod sns;
#[cfg(feature = "sqs")]
mod sqs;
#[cfg(feature = "sqs")]
mod sqs_target;
mod target;
mod timestamp;

use std::sync::Arc;
use std::time::Duration;

use trine_engine::{Destination, FunctionName};

use self::connector::Connector;
use self::file::{FileName, Files};
use self::http::Http;
#[cfg(feature = "kafka")]
use self::kafka::Kafka;
use self::lanes::Lanes;
use self::nats::Nats;
#[cfg(feature = "rabbitmq")]
use self::rabbitmq::RabbitMq;
#[cfg(feature = "sqs")]
use self::sqs::Sqs;
use self::target::{NO_FOLDER, Target};
use crate::options::DestinationPolicy;

pub use self::connector::{Resolution, Resolver};
pub use self::error_object::error_object;
pub use self::record::{DestinationRecord, MessageKey};
pub(crate) use self::timestamp::rfc3339;

/// Longest that one try takes.
pub const TRY_WAIT: Duration = Duration::from_secs(10);

/// The ways to all destinations. A cheap handle: clones share connections.
#[derive(Debug, Clone)]
pub struct Destinations(Arc<Ways>);

#[derive(Debug)]
struct Ways {
    allow_internal: bool,
    http: Http,
    nats: Nats,
    #[cfg(feature = "sqs")]
    sqs: Sqs,
    #[cfg(feature = "kafka")]
    kafka: Kafka,
    #[cfg(feature = "rabbitmq")]
    rabbitmq: RabbitMq,
    files: Option<Files>,
    lanes: Lanes,
}

/// What came of one try.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub enum DeliveryOutcome {
    /// The destination has the record.
    Taken,
    /// Not this time; why, as a sentence. To be tried again.
    Failed(String),
    /// Never; why, as a sentence. Trying again cannot help before somebody changes something.
    Refused(String),
    /// Whoever asked invokes this function with the record: that is no business of a client of
    /// other systems.
    Function(FunctionName),
}

/// Why a destination may not be set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForbiddenDestination {
    /// It cannot be right under any configuration.
    #[error("{0}")]
    Malformed(String),
    /// This broker's configuration does not allow it.
    #[error("{0}")]
    Policy(String),
}

/// One try as the kinds of destinations tell it: whether there was an answer decides how many
/// others may try at the same time.
#[derive(Debug)]
enum Tried {
    Answered(DeliveryOutcome),
    Silent(String),
}

impl Destinations {
    /// Opens nothing yet: connections and files are opened by the deliveries that need them.
    #[must_use]
    pub fn new(policy: DestinationPolicy) -> Self {
        Self::with_resolver(policy, Resolver::system())
    }

    /// As [`Destinations::new`], with another way to resolve the host names of what is spoken to over HTTP.
    #[must_use]
    pub fn with_resolver(policy: DestinationPolicy, resolver: Resolver) -> Self {
        let allow_internal = policy.allow_internal_addresses;
        Self(Arc::new(Ways {
            allow_internal,
            #[cfg(feature = "sqs")]
            sqs: Sqs::new(policy.aws_credential, resolver.clone()),
            http: Http::new(Connector { resolver, allow_internal }),
            nats: Nats::new(policy.nats_credentials),
            #[cfg(feature = "kafka")]
            kafka: Kafka::new(policy.kafka_credentials),
            #[cfg(feature = "rabbitmq")]
            rabbitmq: RabbitMq::new(policy.rabbitmq_credentials),
            files: policy.file_dir.map(Files::new),
            lanes: Lanes::default(),
        }))
    }

    /// Whether `target` may be set as a destination, as far as it can be told without reaching out.
    /// A name may still turn out to have an internal address when it is connected to.
    ///
    /// # Errors
    /// If not; the sentence names what is wrong, and for [`ForbiddenDestination::Policy`] the
    /// setting that decides.
    pub fn check(
        policy: &DestinationPolicy,
        target: &Destination,
    ) -> Result<(), ForbiddenDestination> {
        Target::read(target, policy.allow_internal_addresses, policy.file_dir.is_some()).map(drop)
    }

    /// Offers `record` to `target` once. Takes at most [`TRY_WAIT`] and the wait for a place among
    /// the deliveries to the same server; dropping it leaves nothing behind but perhaps a record
    /// that was taken.
    pub async fn deliver(
        &self,
        target: &Destination,
        record: DestinationRecord,
    ) -> DeliveryOutcome {
        let ways = &*self.0;
        // Settings in force may be older than this broker's configuration.
        match Target::read(target, ways.allow_internal, ways.files.is_some()) {
            Ok(target) => Box::pin(ways.deliver(target, record)).await,
            Err(forbidden) => DeliveryOutcome::Refused(forbidden.to_string()),
        }
    }
}

impl Ways {
    async fn deliver(&self, target: Target, record: DestinationRecord) -> DeliveryOutcome {
        match target {
            Target::Function(name) => DeliveryOutcome::Function(name),
            Target::Http(target) => {
                self.in_lane(target.origin(), self.http.post(&target, &record)).await
            }
            Target::Nats { target, jetstream } => {
                let publish = self.nats.publish(&target, jetstream, &record);
                self.in_lane(target.server(), publish).await
            }
            Target::File(name) => self.append(&name, record).await,
            Target::Sns(target) => {
                let post = self.http.offer(&target.http, target.request(&record));
                self.in_lane(target.http.origin(), post).await
            }
            #[cfg(feature = "sqs")]
            Target::Sqs(target) => {
                let send = self.sqs.send(&target, &self.http, &record);
                self.in_lane(target.endpoint.origin(), send).await
            }
            #[cfg(feature = "kafka")]
            Target::Kafka(target) => {
                self.in_lane(&target.cluster, self.kafka.produce(&target, &record)).await
            }
            #[cfg(feature = "rabbitmq")]
            Target::RabbitMq(target) => {
                self.in_lane(&target.server, self.rabbitmq.publish(&target, &record)).await
            }
        }
    }

    /// One try at a server, in its lane and in its time.
    async fn in_lane(&self, server: &str, tried: impl Future<Output = Tried>) -> DeliveryOutcome {
        let place = match self.lanes.enter(server).await {
            Ok(place) => place,
            Err(busy) => return DeliveryOutcome::Failed(busy),
        };
        let tried = tokio::time::timeout(TRY_WAIT, tried).await;
        let tried = tried.unwrap_or_else(|_| {
            Tried::Silent(format!("{server}: no answer within {} s", TRY_WAIT.as_secs()))
        });
        place.leave(matches!(tried, Tried::Answered(_)));
        match tried {
            Tried::Answered(outcome) => outcome,
            Tried::Silent(why) => DeliveryOutcome::Failed(why),
        }
    }

    async fn append(&self, name: &FileName, record: DestinationRecord) -> DeliveryOutcome {
        let Some(files) = &self.files else {
            return DeliveryOutcome::Refused(NO_FOLDER.to_owned());
        };
        match tokio::time::timeout(TRY_WAIT, files.append(name, record.json)).await {
            Ok(Ok(())) => DeliveryOutcome::Taken,
            Ok(Err(why)) => DeliveryOutcome::Failed(why),
            Err(_) => DeliveryOutcome::Failed("the disk did not answer in time".to_owned()),
        }
    }
}
