//! A queue of SQS, standard or FIFO.

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready, try_join_all};
use serde_json::{Value, json};
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{MappingSettings, SqsSource};

use super::Record;
use super::aws::Aws;
use super::field::{Field, Order, Producer, Trouble};

/// Message groups of a FIFO queue.
const GROUPS: u32 = 64;

/// Messages of one request.
const ENTRIES_MAX: usize = 10;

/// What was received by a broker that died comes again after this.
const VISIBILITY_TIMEOUT_SECONDS: &str = "10";

#[derive(Debug)]
pub(super) struct SqsField {
    queue: Queue,
    arn: String,
}

#[derive(Debug, Clone)]
struct Queue {
    aws: Aws,
    url: String,
    fifo: bool,
}

impl SqsField {
    pub(super) async fn standard(address: &str) -> Result<Self, Trouble> {
        Self::make(address, "records", false).await
    }

    pub(super) async fn fifo(address: &str) -> Result<Self, Trouble> {
        Self::make(address, "records.fifo", true).await
    }

    async fn make(address: &str, name: &str, fifo: bool) -> Result<Self, Trouble> {
        let aws = Aws::sqs(address);
        let mut attributes = json!({"VisibilityTimeout": VISIBILITY_TIMEOUT_SECONDS});
        if fifo {
            attributes["FifoQueue"] = "true".into();
        }
        let made = json!({"QueueName": name, "Attributes": attributes});
        let url = text(&aws.call("CreateQueue", &made).await?["QueueUrl"]);
        let asked = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
        let attributes = aws.call("GetQueueAttributes", &asked).await?;
        let arn = text(&attributes["Attributes"]["QueueArn"]);
        Ok(Self { queue: Queue { aws, url, fifo }, arn })
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

    fn order(&self) -> Order {
        if self.queue.fifo { Order::Key(GROUPS) } else { Order::None }
    }

    fn shards(&self) -> u32 {
        1
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
