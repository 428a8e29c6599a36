//! A queue of SQS, standard or FIFO, perhaps with one for what nobody could process.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready, try_join_all};
use serde_json::{Value, json};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, SqsSource};

use super::Record;
use super::aws::{Aws, CREDENTIALS};
use super::field::{Field, Order, Producer, Reading, Trouble, trouble};

/// Message groups of a FIFO queue.
const GROUPS: u32 = 64;

/// Messages of one request.
const ENTRIES_MAX: usize = 10;

/// What was received by a broker that died comes again after this.
const VISIBILITY_TIMEOUT_SECONDS: u32 = 10;

#[derive(Debug)]
pub struct SqsField {
    queue: Queue,
    arn: String,
    dead_letters: Option<Queue>,
}

#[derive(Debug, Clone)]
struct Queue {
    aws: Aws,
    url: String,
    fifo: bool,
}

impl SqsField {
    pub(super) async fn standard(address: &str) -> Result<Self, Trouble> {
        Self::make(address, "records", VISIBILITY_TIMEOUT_SECONDS, None).await
    }

    pub(super) async fn fifo(address: &str) -> Result<Self, Trouble> {
        Self::make(address, "records.fifo", VISIBILITY_TIMEOUT_SECONDS, None).await
    }

    /// A standard queue called `name` that gives each message out once: received a second time, it is moved to a dead-letter queue.
    ///
    /// # Errors
    /// What the server at `address` did not do.
    pub async fn with_dead_letters(
        address: &str,
        name: &str,
        visibility_timeout_seconds: u32,
    ) -> Result<Self, Trouble> {
        let dead = format!("{name}-dead");
        let dead = Self::make(address, &dead, visibility_timeout_seconds, None).await?;
        Self::make(address, name, visibility_timeout_seconds, Some(dead)).await
    }

    async fn make(
        address: &str,
        name: &str,
        visibility_timeout_seconds: u32,
        dead: Option<Self>,
    ) -> Result<Self, Trouble> {
        let aws = Aws::sqs(address);
        let fifo = name.ends_with(".fifo");
        let visibility_timeout = visibility_timeout_seconds.to_string();
        let mut attributes = json!({"VisibilityTimeout": visibility_timeout});
        if fifo {
            attributes["FifoQueue"] = "true".into();
        }
        if let Some(dead) = &dead {
            let policy = json!({"deadLetterTargetArn": dead.arn, "maxReceiveCount": 1});
            attributes["RedrivePolicy"] = policy.to_string().into();
        }
        let made = json!({"QueueName": name, "Attributes": attributes});
        let url = text(&aws.call("CreateQueue", &made).await?["QueueUrl"]);
        let queue = Queue { aws, url, fifo };
        let arn = queue.attribute("QueueArn").await?;
        Ok(Self { queue, arn, dead_letters: dead.map(|dead| dead.queue) })
    }

    /// Messages in the dead-letter queue.
    ///
    /// # Errors
    /// What the server did not do.
    pub async fn dead_letters(&self) -> Result<u64, Trouble> {
        let Some(queue) = &self.dead_letters else { return Ok(0) };
        let count = queue.attribute("ApproximateNumberOfMessages").await?;
        count.parse().map_err(|error| trouble("ApproximateNumberOfMessages")(&error))
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Field for SqsField {
    fn source(&self) -> Source {
        Source::Sqs(SqsSource {
            queue_arn: self.arn.clone(),
            access: Some(self.queue.aws.access()),
            queue_url: self.queue.url.clone(),
        })
    }

    fn settings(&self) -> MappingSettings {
        // The most that Lambda allows; a standard queue only with a window (LS 4.2).
        let batch_size = Some(if self.queue.fifo { 10 } else { 100 });
        let batching_window_ms = (!self.queue.fifo).then_some(1_000);
        MappingSettings { batch_size, batching_window_ms, ..MappingSettings::default() }
    }

    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        CREDENTIALS
    }

    fn order(&self) -> Order {
        if self.queue.fifo { Order::Key(GROUPS) } else { Order::None }
    }

    fn reading(&self) -> Reading {
        Reading::Queue
    }

    fn producer(&self) -> BoxFuture<'_, Result<Box<dyn Producer>, Trouble>> {
        let producer: Box<dyn Producer> = Box::new(self.queue.clone());
        ready(Ok(producer)).boxed()
    }
}

impl Producer for Queue {
    fn send<'a>(&'a mut self, records: &'a [Record]) -> BoxFuture<'a, Result<(), Trouble>> {
        async move {
            let requests = records.chunks(ENTRIES_MAX).map(|chunk| self.send_batch(chunk));
            if !self.fifo {
                return try_join_all(requests).await.map(drop);
            }
            // One request after the other: their order is that of the groups.
            for request in requests {
                request.await?;
            }
            Ok(())
        }
        .boxed()
    }
}

impl Queue {
    async fn attribute(&self, name: &str) -> Result<String, Trouble> {
        let asked = json!({"QueueUrl": self.url, "AttributeNames": [name]});
        let attributes = self.aws.call("GetQueueAttributes", &asked).await?;
        Ok(text(&attributes["Attributes"][name]))
    }

    async fn send_batch(&self, records: &[Record]) -> Result<(), Trouble> {
        let entry = |(id, record): (usize, &Record)| {
            let mut entry = json!({"Id": id.to_string(), "MessageBody": record.text()});
            if self.fifo {
                entry["MessageGroupId"] = record.key_text().into();
                let id = format!("{}-{}", record.key, record.sequence);
                entry["MessageDeduplicationId"] = id.into();
            }
            entry
        };
        let entries: Vec<_> = records.iter().enumerate().map(entry).collect();
        let parameters = json!({"QueueUrl": self.url, "Entries": entries});
        let answer = self.aws.call("SendMessageBatch", &parameters).await?;
        match answer["Failed"].as_array() {
            Some(failed) if !failed.is_empty() => Err(format!("SendMessageBatch: {failed:?}")),
            _ => Ok(()),
        }
    }
}
