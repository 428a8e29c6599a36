//! What SNS sends to an HTTP subscriber, with a record as the message (LS 3.3). It knows the shape and not how it travels.
//!
//! It is not signed. SNS's signature is made with a key that only SNS has, and a receiver checks it against a certificate that it
//! fetches from AWS; one of our own making would only look as if somebody had checked it. So the fields of a signature are absent, and a
//! receiver that insists on them refuses the record, which is the honest outcome.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, Request};
use serde::Serialize;

use super::arn::Arn;
use super::http_target::HttpTarget;
use super::{DestinationRecord, cloud_event, http};

/// Longest name of a topic, in bytes: SNS's own bound.
const TOPIC_BYTES_MAX: usize = 256;

const NOTIFICATION: &str = "Notification";

/// The content type that SNS announces its JSON with.
const TEXT: &str = "text/plain; charset=UTF-8";

/// Where to POST, and what the receiver is told about the topic.
#[derive(Debug, Clone)]
pub(super) struct SnsTarget {
    pub(super) http: HttpTarget,
    topic_arn: String,
}

impl SnsTarget {
    pub(super) fn parse(url: &str, topic_arn: &str) -> Result<Self, String> {
        Arn::parse(topic_arn, "sns", TOPIC_BYTES_MAX)
            .map_err(|expected| format!("an SNS destination's topic is {expected}"))?;
        Ok(Self { http: HttpTarget::parse(url)?, topic_arn: topic_arn.to_owned() })
    }

    /// The notification of `record`. Its id and time are the same for every try.
    pub(super) fn request(&self, record: &DestinationRecord) -> Request<Full<Bytes>> {
        let notification = Notification {
            kind: NOTIFICATION,
            message_id: &record.delivery_id,
            topic_arn: &self.topic_arn,
            // Records are JSON that was written here.
            message: String::from_utf8_lossy(&record.json),
            timestamp: &record.timestamp,
        };
        // Texts only: nothing here can fail to be written.
        let body = serde_json::to_vec(&notification).expect("a notification is JSON");
        let mut request = http::post_request(&self.http, body.into());
        headers(request.headers_mut(), &self.topic_arn, record);
        request
    }
}

fn headers(headers: &mut HeaderMap, topic_arn: &str, record: &DestinationRecord) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    let own = [
        ("x-amz-sns-message-type", NOTIFICATION),
        ("x-amz-sns-message-id", &record.delivery_id),
        ("x-amz-sns-topic-arn", topic_arn),
    ];
    for (name, value) in own.into_iter().chain(cloud_event::trace(record)) {
        // Ids, a checked ARN and checked text: all of them are header values.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Notification<'a> {
    #[serde(rename = "Type")]
    kind: &'static str,
    message_id: &'a str,
    topic_arn: &'a str,
    message: std::borrow::Cow<'a, str>,
    timestamp: &'a str,
}
