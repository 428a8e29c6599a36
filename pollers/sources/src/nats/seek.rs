//! Moves a consumer: JetStream has no such thing, so it is made anew elsewhere, with the settings that it had.

use std::time::Duration;

use async_nats::jetstream::consumer::{Config, DeliverPolicy, Info};
use async_nats::jetstream::stream::{self, RetentionPolicy};

use super::config::NatsConfig;
use super::consumer::{made_for, since};
use super::delivery::Delivery;
use super::link::Link;
use crate::{SeekTo, ShardName, Sought, SourceError};

/// How long the server keeps the consumer that only counts, should it not be removed.
const COUNTING_WAIT: Duration = Duration::from_secs(10);

impl Link {
    /// Moves the consumer to `to`, or only says what that would mean.
    pub(super) async fn seek(
        &self,
        config: &NatsConfig,
        to: &SeekTo,
        preview: bool,
    ) -> Result<Sought, SourceError> {
        let stream = self.stream(config).await?;
        refuse_what_forgets(config, &stream)?;
        let (deliver_policy, to) = target(to, &stream)?;
        let before = self.consumer_info(&config.stream, &config.durable).await?;
        let moved = Config {
            deliver_policy,
            ..before.as_ref().map_or_else(|| made_for(config, deliver_policy), kept)
        };
        let left_then = self.count(config, &moved).await?;
        if !preview {
            self.delete(config, &config.durable).await?;
            self.create(config, moved).await?;
        }
        let left_now = before.as_ref().map(|info| info.num_pending + info.num_ack_pending as u64);
        let from = before.map(|info| info.ack_floor.stream_sequence).filter(|&floor| floor > 0);
        Ok(Sought {
            shard: ShardName::new(&config.stream),
            from: from.map(|floor| format!("sequence {floor}")).unwrap_or_default(),
            to,
            read_again: left_now.map(|now| left_then.saturating_sub(now)),
            skipped: left_now.map(|now| now.saturating_sub(left_then)),
            place: None,
        })
    }

    /// Messages that the consumer would be given: another one with the same filters is made and asked.
    async fn count(&self, config: &NatsConfig, moved: &Config) -> Result<u64, SourceError> {
        let name = format!("{}-seek", config.durable);
        self.delete(config, &name).await?;
        let counting = Config {
            durable_name: None,
            name: Some(name.clone()),
            description: Some("counts what a seek of Trine would read".to_owned()),
            inactive_threshold: COUNTING_WAIT,
            memory_storage: true,
            num_replicas: 1,
            ..moved.clone()
        };
        let info = self.create(config, counting).await?;
        self.delete(config, &name).await?;
        Ok(info.num_pending)
    }
}

/// The settings of a consumer without what the server adds.
fn kept(info: &Info) -> Config {
    let mut kept = info.config.clone();
    kept.metadata.retain(|name, _| !name.starts_with("_nats."));
    kept
}

/// Streams that remove messages on account of their consumers: some are gone already, and others would go with the consumer.
fn refuse_what_forgets(config: &NatsConfig, stream: &stream::Info) -> Result<(), SourceError> {
    if stream.config.retention == RetentionPolicy::Limits {
        return Ok(());
    }
    let (name, retention) = (&config.stream, stream.config.retention);
    Err(SourceError::configuration(format!(
        "the stream {name:?} has the retention policy {retention:?} and removes what was acknowledged: only in one with Limits a \
         mapping can seek"
    )))
}

fn target(to: &SeekTo, stream: &stream::Info) -> Result<(DeliverPolicy, String), SourceError> {
    let (first, last) = (stream.state.first_sequence, stream.state.last_sequence);
    Ok(match to {
        SeekTo::Start => (DeliverPolicy::All, format!("sequence {first}, the oldest there is")),
        SeekTo::End => (DeliverPolicy::New, format!("sequence {}, the next that comes", last + 1)),
        SeekTo::Timestamp(at_ms) => (since(*at_ms)?, format!("the first message since {at_ms} ms")),
        SeekTo::Position(text) => {
            let number = text.trim().parse().ok();
            let shown = || Delivery::of(text).map(|delivery| delivery.stream_sequence);
            let sequence: u64 = number.or_else(shown).unwrap_or(0);
            if sequence == 0 || sequence < first || sequence > last + 1 {
                return Err(SourceError::configuration(format!(
                    "the position is {text:?}, expected a sequence of the stream, {first} to {}",
                    last + 1
                )));
            }
            let deliver = DeliverPolicy::ByStartSequence { start_sequence: sequence };
            (deliver, format!("sequence {sequence}"))
        }
    })
}
