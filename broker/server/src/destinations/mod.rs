//! Where the records of finished asynchronous invocations go (LS 3.3): another function, an HTTP
//! URL, a NATS subject or stream, a file of JSON lines.
//!
//! Owns one try: what a record looks like, how each kind of destination is reached, what it may
//! reach, and what its answer means. Does not know when to try, for how long, and what becomes of a
//! record that was not taken: the engine decides that, and keeps the record until then (users.md A7).
//! A record can arrive twice; its delivery id is the same each time.
//!
//! Errors are sentences for people. They hold no credentials, no paths or queries of URLs, nothing of
//! the record and nothing of what a destination answered (S11).

mod address;
mod cloud_event;
mod connector;
mod error_object;
mod file;
mod http;
mod http_target;
mod lanes;
mod nats;
mod nats_connection;
mod nats_target;
mod record;
mod timestamp;

use std::sync::Arc;
use std::time::Duration;

use trine_engine::{Destination, FunctionName};

use self::connector::Connector;
use self::file::{FileName, Files};
use self::http::Http;
use self::http_target::HttpTarget;
use self::lanes::Lanes;
use self::nats::Nats;
use self::nats_target::NatsTarget;
use crate::options::DestinationPolicy;

pub use self::connector::{Resolution, Resolver};
pub use self::error_object::error_object;
pub use self::record::DestinationRecord;
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

/// A destination, read and allowed.
enum Target {
    Function(FunctionName),
    Http(HttpTarget),
    Nats { target: NatsTarget, jetstream: bool },
    File(FileName),
}

impl Destinations {
    /// Opens nothing yet: connections and files are opened by the deliveries that need them.
    #[must_use]
    pub fn new(policy: DestinationPolicy) -> Self {
        Self::with_resolver(policy, Resolver::system())
    }

    /// As [`Destinations::new`], with another way to resolve the host names of HTTP destinations.
    #[must_use]
    pub fn with_resolver(policy: DestinationPolicy, resolver: Resolver) -> Self {
        let allow_internal = policy.allow_internal_addresses;
        Self(Arc::new(Ways {
            allow_internal,
            http: Http::new(Connector { resolver, allow_internal }),
            nats: Nats::new(policy.nats_credentials),
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

const NO_FOLDER: &str = "file destinations are off: the broker's configuration names no folder for \
                         them (destinations.file_dir)";

impl Target {
    fn read(
        target: &Destination,
        allow_internal: bool,
        has_folder: bool,
    ) -> Result<Self, ForbiddenDestination> {
        use ForbiddenDestination::{Malformed, Policy};
        Ok(match target {
            Destination::Function(name) => Self::Function(name.clone()),
            Destination::Http { url } => {
                let target = HttpTarget::parse(url).map_err(Malformed)?;
                match target.internal().filter(|_| !allow_internal) {
                    None => Self::Http(target),
                    Some(internal) => {
                        let host = target.host().to_owned();
                        let forbidden = connector::InternalAddress { host, internal };
                        return Err(Policy(forbidden.to_string()));
                    }
                }
            }
            Destination::Nats { url, subject, jetstream } => {
                let target = NatsTarget::parse(url, subject).map_err(Malformed)?;
                Self::Nats { target, jetstream: *jetstream }
            }
            Destination::File { name } => {
                let name = FileName::parse(name).map_err(Malformed)?;
                if !has_folder {
                    return Err(Policy(NO_FOLDER.to_owned()));
                }
                Self::File(name)
            }
        })
    }
}
