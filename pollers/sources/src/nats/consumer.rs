//! The durable consumer of a mapping: made if it is not there, checked as it comes back, and what it allows. It reads no messages.

use std::time::Duration;

use async_nats::datetime;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, Info, PriorityPolicy};
use async_nats::jetstream::{ErrorCode, stream};
use serde_json::json;

use super::config::NatsConfig;
use super::link::{Link, refused};
use crate::{Notice, SourceError, Start};

/// How long the server leaves a message to whoever received it, of a consumer that is made here.
pub(crate) const ACK_WAIT: Duration = Duration::from_secs(30);

/// Messages that may be out and not acknowledged, of a consumer that is made here: as many as a mapping may ever have read beyond its
/// checkpoint, so that this bound is never the one that counts.
const ACK_PENDING_MAX: i64 = 100_000;

/// A consumer that can be read.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) info: Info,
    /// How long the server leaves a message to whoever received it.
    pub(crate) lease: Duration,
    pub(crate) notices: Vec<Notice>,
}

/// The configuration of the consumer of a mapping, as it is made.
pub(crate) fn made_for(config: &NatsConfig, deliver: DeliverPolicy) -> Config {
    Config {
        durable_name: Some(config.durable.clone()),
        name: Some(config.durable.clone()),
        description: Some("made by Trine for an event source mapping".to_owned()),
        deliver_policy: deliver,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_deliver: -1,
        max_ack_pending: ACK_PENDING_MAX,
        filter_subjects: config.filter_subjects.clone(),
        ..Config::default()
    }
}

/// Where a consumer begins that nobody has read with.
pub(crate) fn beginning(start: Start) -> Result<DeliverPolicy, SourceError> {
    Ok(match start {
        Start::TrimHorizon => DeliverPolicy::All,
        Start::Latest => DeliverPolicy::New,
        Start::AtTimestamp(at_ms) => since(at_ms)?,
    })
}

/// From the first message at or after a time.
pub(crate) fn since(at_ms: i64) -> Result<DeliverPolicy, SourceError> {
    let start_time = datetime::from_nanos(i128::from(at_ms) * 1_000_000).map_err(|_| {
        SourceError::configuration(format!("{at_ms} is no time, expected milliseconds since 1970"))
    })?;
    Ok(DeliverPolicy::ByStartTime { start_time })
}

impl Link {
    /// The consumer of the mapping. `read_through` is the last message that was read with it by this process: if it is gone since, it is
    /// made anew to go on after that.
    pub(crate) async fn consumer(
        &self,
        config: &NatsConfig,
        read_through: Option<u64>,
    ) -> Result<Consumer, SourceError> {
        let stream = self.stream(config).await?;
        let mut notices = Vec::new();
        let info = match self.consumer_info(&config.stream, &config.durable).await? {
            Some(info) => info,
            None => {
                let deliver = match read_through {
                    None => beginning(config.start)?,
                    Some(last) => gone(config, last, &stream, &mut notices),
                };
                self.create(config, made_for(config, deliver)).await?
            }
        };
        check(config, &info.config)?;
        notices.extend(told(&info));
        Ok(Consumer { lease: lease(&info.config), info, notices })
    }

    pub(crate) async fn stream(&self, config: &NatsConfig) -> Result<stream::Info, SourceError> {
        let name = &config.stream;
        let asked = self.ask(format!("STREAM.INFO.{name}"), &json!({})).await?;
        asked.map_err(|error| match error.error_code() {
            ErrorCode::STREAM_NOT_FOUND => SourceError::configuration(format!(
                "there is no stream {name:?} in JetStream: create it, or name one that is there"
            )),
            _ => refused(format_args!("the stream {name:?} cannot be used"), &error),
        })
    }

    /// `None`: there is none.
    pub(crate) async fn consumer_info(
        &self,
        stream: &str,
        durable: &str,
    ) -> Result<Option<Info>, SourceError> {
        match self.ask(format!("CONSUMER.INFO.{stream}.{durable}"), &json!({})).await? {
            Ok(info) => Ok(Some(info)),
            Err(error) if error.error_code() == ErrorCode::CONSUMER_NOT_FOUND => Ok(None),
            Err(error) => {
                Err(refused(format_args!("the consumer {durable:?} cannot be used"), &error))
            }
        }
    }

    /// Makes a consumer; changes none that is there.
    pub(crate) async fn create(
        &self,
        config: &NatsConfig,
        consumer: Config,
    ) -> Result<Info, SourceError> {
        let stream = &config.stream;
        let name = consumer.name.clone().unwrap_or_default();
        let asked = json!({ "stream_name": stream, "config": consumer, "action": "create" });
        let made = self.ask(format!("CONSUMER.CREATE.{stream}.{name}"), &asked).await?;
        made.map_err(|error| {
            let about = format!("the consumer {name:?} cannot be made on the stream {stream:?}");
            refused(about, &error)
        })
    }

    /// Removes a consumer if it is there.
    pub(crate) async fn delete(&self, config: &NatsConfig, name: &str) -> Result<(), SourceError> {
        let stream = &config.stream;
        let asked: Result<serde_json::Value, _> =
            self.ask(format!("CONSUMER.DELETE.{stream}.{name}"), &json!({})).await?;
        match asked {
            Err(error) if error.error_code() != ErrorCode::CONSUMER_NOT_FOUND => {
                Err(refused(format_args!("the consumer {name:?} cannot be removed"), &error))
            }
            _ => Ok(()),
        }
    }
}

/// What is wrong with a consumer as it came back from the server: one that the user made, or one whose making a server did not understand.
fn check(config: &NatsConfig, consumer: &Config) -> Result<(), SourceError> {
    let durable = &config.durable;
    let wrong = |what: String| {
        Err(SourceError::configuration(format!(
            "the consumer {durable:?} {what}; name another one, or remove it and it is made as it should be"
        )))
    };
    if consumer.deliver_subject.is_some() {
        return wrong("is a push consumer, expected a pull consumer".to_owned());
    }
    if consumer.ack_policy != AckPolicy::Explicit {
        let policy = consumer.ack_policy;
        return wrong(format!("has the ack policy {policy:?}, expected Explicit"));
    }
    if consumer.priority_policy != PriorityPolicy::None {
        return wrong("has priority groups, expected none".to_owned());
    }
    let filters = filters(consumer);
    let as_it_is = config.named_by_user && config.filter_subjects.is_empty();
    if !as_it_is && filters != config.filter_subjects {
        let expected = &config.filter_subjects;
        return wrong(format!("has the filter subjects {filters:?}, expected {expected:?}"));
    }
    Ok(())
}

fn filters(consumer: &Config) -> Vec<String> {
    let mut filters = consumer.filter_subjects.clone();
    if !consumer.filter_subject.is_empty() {
        filters.push(consumer.filter_subject.clone());
    }
    filters.sort();
    filters
}

/// The shortest time after which a message comes again that is not acknowledged: a backoff overrides the wait.
fn lease(consumer: &Config) -> Duration {
    consumer.backoff.iter().copied().min().unwrap_or(consumer.ack_wait)
}

/// What people should know of a consumer that they made.
fn told(info: &Info) -> Vec<Notice> {
    let mut notices = Vec::new();
    let name = &info.name;
    if info.config.max_deliver > 0 {
        let times = info.config.max_deliver;
        notices.push(format!(
            "the consumer {name:?} gives up a message after {times} deliveries (max_deliver): one that was in flight in as many crashes, stops or \
             reconnects never comes again, and after a crash the order is the server's"
        ));
    }
    if info.paused {
        notices.push(format!("the consumer {name:?} is paused: nothing comes until it is resumed"));
    }
    notices.into_iter().map(|message| Notice { message, gap: false }).collect()
}

/// How a consumer is made anew that somebody removed while it was being read.
fn gone(
    config: &NatsConfig,
    read_through: u64,
    stream: &stream::Info,
    notices: &mut Vec<Notice>,
) -> DeliverPolicy {
    let durable = &config.durable;
    let last = stream.state.last_sequence;
    let (deliver, to) = if read_through <= last {
        let start_sequence = read_through + 1;
        (DeliverPolicy::ByStartSequence { start_sequence }, format!("sequence {start_sequence}"))
    } else {
        (DeliverPolicy::All, "the start, because the stream is another one too".to_owned())
    };
    let message = format!(
        "the consumer {durable:?} was removed by somebody: it is made anew and goes on at {to}; what was in flight may have run or not"
    );
    notices.push(Notice { message, gap: true });
    deliver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lease_is_the_shortest_wait() {
        let seconds = Duration::from_secs;
        let plain = Config { ack_wait: seconds(30), ..Config::default() };
        assert_eq!(lease(&plain), seconds(30));
        let stepped = Config { backoff: vec![seconds(5), seconds(1)], ..plain };
        assert_eq!(lease(&stepped), seconds(1));
    }

    #[test]
    fn a_time_that_is_none_is_refused() {
        assert!(since(i64::MAX).is_err());
        assert!(matches!(since(0), Ok(DeliverPolicy::ByStartTime { .. })));
    }
}
