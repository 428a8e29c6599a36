//! The calls to one queue, each as one request. It does not know when they are made.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, QueueAttributeName,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::config::SqsConfig;
use super::event::EventWriter;
use crate::aws::{code, is_throttle, trouble};
use crate::clock;
use crate::{Problem, SourceError};

/// Most messages of one request, of any kind.
pub(super) const BATCH_MAX: usize = 10;
/// Longest wait that SQS takes, in seconds.
const WAIT_SECONDS_MAX: u64 = 20;
/// A lease is not shorter than this, whatever the queue says: one of 0 could not be extended before it ends.
const LEASE_SECONDS_MIN: i32 = 2;
/// What SQS takes if nobody sets a visibility timeout.
const LEASE_SECONDS_DEFAULT: i32 = 30;

/// An open queue.
#[derive(Debug)]
pub(super) struct Queue {
    client: Client,
    url: String,
    fifo: bool,
    lease_seconds: i32,
    pub(super) events: EventWriter,
    /// Names receives of a FIFO queue, so that one that is tried again brings what the first one took.
    attempts: AtomicU64,
    salt: u64,
}

/// What a receive brought, if the service did not want to be asked less often.
pub(super) enum Answer {
    Messages(Vec<Message>),
    Throttled(String),
}

impl Queue {
    /// Asks for the queue's address and visibility timeout.
    pub(super) async fn open(client: Client, config: &SqsConfig) -> Result<Self, SourceError> {
        let url = match &config.queue_url {
            Some(url) => url.clone(),
            None => address(&client, config).await?,
        };
        let mut queue = Self {
            client,
            url,
            fifo: config.is_fifo(),
            lease_seconds: LEASE_SECONDS_DEFAULT,
            events: EventWriter::new(config),
            attempts: AtomicU64::new(0),
            salt: clock::salt(),
        };
        let visibility = queue.attribute(QueueAttributeName::VisibilityTimeout).await?;
        let seconds = visibility.and_then(|text| text.parse().ok());
        queue.lease_seconds = seconds.unwrap_or(LEASE_SECONDS_DEFAULT).max(LEASE_SECONDS_MIN);
        Ok(queue)
    }

    /// How long a message is hidden from others.
    pub(super) fn lease(&self) -> Duration {
        Duration::from_secs(u64::from(self.lease_seconds.unsigned_abs()))
    }

    /// Up to ten messages; waits so many seconds for the first.
    pub(super) async fn receive(
        &self,
        messages_max: usize,
        wait_seconds: u64,
    ) -> Result<Answer, SourceError> {
        // Both are at most 20.
        let number = |number: usize| i32::try_from(number).unwrap_or(1);
        let seconds = usize::try_from(wait_seconds.min(WAIT_SECONDS_MAX)).unwrap_or(0);
        let mut call = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(number(messages_max.min(BATCH_MAX)))
            .wait_time_seconds(number(seconds))
            // Not left to the queue: who lowers its timeout while messages are held would have them sent twice.
            .visibility_timeout(self.lease_seconds)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        if self.fifo {
            let attempt = self.attempts.fetch_add(1, Ordering::Relaxed);
            call = call.receive_request_attempt_id(format!("trine-{:016x}-{attempt}", self.salt));
        }
        match call.send().await {
            Ok(answer) => Ok(Answer::Messages(answer.messages.unwrap_or_default())),
            Err(error) if code(&error).is_some_and(is_throttle) => {
                Ok(Answer::Throttled(trouble("ReceiveMessage", &error).to_string()))
            }
            Err(error) => Err(refused("ReceiveMessage", &error)),
        }
    }

    /// Messages that wait in the queue; `None` if it does not say.
    pub(super) async fn waiting(&self) -> Result<Option<u64>, SourceError> {
        let text = self.attribute(QueueAttributeName::ApproximateNumberOfMessages).await?;
        Ok(text.and_then(|text| text.parse().ok()))
    }

    /// Deletes up to ten messages. Gives the entries that failed, by their place in `handles`.
    pub(super) async fn delete(
        &self,
        handles: &[&str],
    ) -> Result<Vec<BatchResultErrorEntry>, SourceError> {
        let mut call = self.client.delete_message_batch().queue_url(&self.url);
        for (at, handle) in handles.iter().enumerate() {
            let entry = DeleteMessageBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(*handle)
                .build();
            call = call.entries(entry.map_err(incomplete)?);
        }
        let answer = call.send().await.map_err(|error| refused("DeleteMessageBatch", &error))?;
        Ok(answer.failed)
    }

    /// Hides up to ten messages for so many seconds from now on. Gives the entries that failed, by their place in `handles`.
    pub(super) async fn hide(
        &self,
        handles: &[&str],
        seconds: i32,
    ) -> Result<Vec<BatchResultErrorEntry>, SourceError> {
        let mut call = self.client.change_message_visibility_batch().queue_url(&self.url);
        for (at, handle) in handles.iter().enumerate() {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(at.to_string())
                .receipt_handle(*handle)
                .visibility_timeout(seconds)
                .build();
            call = call.entries(entry.map_err(incomplete)?);
        }
        let answer = call.send().await;
        let answer = answer.map_err(|error| refused("ChangeMessageVisibilityBatch", &error))?;
        Ok(answer.failed)
    }

    /// The lease in whole seconds, as [`hide`](Self::hide) takes it.
    pub(super) fn lease_seconds(&self) -> i32 {
        self.lease_seconds
    }

    async fn attribute(&self, name: QueueAttributeName) -> Result<Option<String>, SourceError> {
        let call = self.client.get_queue_attributes().queue_url(&self.url);
        match call.attribute_names(name.clone()).send().await {
            Ok(answer) => Ok(answer.attributes.and_then(|mut all| all.remove(&name))),
            Err(error) => Err(refused("GetQueueAttributes", &error)),
        }
    }
}

async fn address(client: &Client, config: &SqsConfig) -> Result<String, SourceError> {
    let call = client
        .get_queue_url()
        .queue_name(config.queue())
        .queue_owner_aws_account_id(&config.arn.account);
    match call.send().await {
        Ok(answer) => answer.queue_url.ok_or_else(no_queue),
        Err(error) => Err(refused("GetQueueUrl", &error)),
    }
}

fn refused<E>(call: &str, error: &SdkError<E, HttpResponse>) -> SourceError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match code(error) {
        // The code of the older protocol, and that of the newer one.
        Some("NonExistentQueue" | "QueueDoesNotExist") => no_queue(),
        _ => trouble(call, error),
    }
}

/// Lambda's own text (LS 4.1), whichever call found out.
fn no_queue() -> SourceError {
    SourceError::new(
        Problem::Configuration,
        "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. \
         SQS Error Message: The specified queue does not exist for this wsdl version.",
    )
}

fn incomplete(error: aws_sdk_sqs::error::BuildError) -> SourceError {
    SourceError::unreachable(format!("a defect of the sqs source: {error}"))
}
