//! Delivery to a queue of SQS: one SendMessage, signed, over the HTTP client that is here already (LS 3.3).
//!
//! The request is three fields of JSON. AWS's own client would bring a second HTTP stack with it, which resolves names and follows a
//! policy of its own; so only the signature is somebody else's.

use std::borrow::Cow;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::connector::{Connector, Resolver};
use super::http::{Answer, Http, post_request};
use super::sqs_target::SqsTarget;
use super::{DeliveryOutcome, DestinationRecord, Tried};
use crate::clock;
use crate::credentials::AwsCredential;

/// Largest message of any queue, in bytes: SQS's own bound.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// AWS's JSON protocol, as SQS speaks it.
const JSON: &str = "application/x-amz-json-1.0";
const ACTION: &str = "AmazonSQS.SendMessage";

/// Clients and keys.
#[derive(Debug)]
pub(super) struct Sqs {
    credential: Option<AwsCredential>,
    /// For AWS's own hosts: which those are nobody can choose, and within a private network they have private addresses.
    aws: Http,
}

impl Sqs {
    pub(super) fn new(credential: Option<AwsCredential>, resolver: Resolver) -> Self {
        Self { credential, aws: Http::new(Connector { resolver, allow_internal: true }) }
    }

    /// Offers `record` once; `elsewhere` is the way to all hosts but AWS's own.
    pub(super) async fn send(
        &self,
        target: &SqsTarget,
        elsewhere: &Http,
        record: &DestinationRecord,
    ) -> Tried {
        let Some(credential) = &self.credential else {
            return Tried::Answered(DeliveryOutcome::Failed(
                "the broker has no keys for SQS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in \
                 its environment and start it again"
                    .to_owned(),
            ));
        };
        if record.json.len() > MESSAGE_BYTES_MAX {
            return Tried::Answered(DeliveryOutcome::Refused(format!(
                "the record has {} bytes; no queue takes more than {MESSAGE_BYTES_MAX}",
                record.json.len()
            )));
        }
        let request = match request(target, credential, record) {
            Ok(request) => request,
            Err(why) => return Tried::Answered(DeliveryOutcome::Refused(why)),
        };
        let http = if target.of_aws { &self.aws } else { elsewhere };
        match http.send(&target.endpoint, request).await {
            Ok(answer) => judge(target, &answer),
            Err(tried) => tried,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SendMessage<'a> {
    queue_url: &'a str,
    message_body: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_system_attributes: Option<SystemAttributes>,
}

#[derive(Serialize)]
struct SystemAttributes {
    #[serde(rename = "AWSTraceHeader")]
    trace_header: Attribute,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    data_type: &'static str,
    string_value: String,
}

fn request(
    target: &SqsTarget,
    credential: &AwsCredential,
    record: &DestinationRecord,
) -> Result<Request<Full<Bytes>>, String> {
    let message = SendMessage {
        queue_url: &target.queue_url,
        // Records are JSON that was written here.
        message_body: String::from_utf8_lossy(&record.json),
        message_system_attributes: trace_header(record).map(|string_value| SystemAttributes {
            trace_header: Attribute { data_type: "String", string_value },
        }),
    };
    // Texts only: nothing here can fail to be written.
    let body = Bytes::from(serde_json::to_vec(&message).expect("a message is JSON"));
    let mut request = post_request(&target.endpoint, body.clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(HeaderName::from_static("x-amz-target"), HeaderValue::from_static(ACTION));
    sign_request(&mut request, &body, &target.region, credential).map_err(|why| {
        format!("{}: the request cannot be signed: {why}", target.endpoint.origin())
    })?;
    Ok(request)
}

/// Signature Version 4 (LS 9.3). The time is the machine's, also under virtual time: AWS compares it with its own.
fn sign_request(
    request: &mut Request<Full<Bytes>>,
    body: &[u8],
    region: &str,
    credential: &AwsCredential,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let AwsCredential { access_key_id, secret_access_key, session_token } = credential.clone();
    let identity =
        Credentials::new(access_key_id, secret_access_key, session_token, None, "trine").into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("sqs")
        .time(clock::wall())
        .settings(SigningSettings::default())
        .build()?
        .into();
    let uri = request.uri().to_string();
    let headers = request.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let signable =
        SignableRequest::new(request.method().as_str(), &uri, headers, SignableBody::Bytes(body))?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    instructions.apply_to_request_http1x(request);
    Ok(())
}

/// The trace context in X-Ray's words, if it has a trace and a parent: `00-TRACE-PARENT-FLAGS` (W3C) is
/// `Root=1-TRACE[..8]-TRACE[8..];Parent=PARENT;Sampled=FLAG`.
fn trace_header(record: &DestinationRecord) -> Option<String> {
    let parts: Vec<&str> = record.traceparent.split('-').collect();
    // Later versions of the format may have more parts after these.
    let [version, trace, parent, flags, ..] = parts[..] else { return None };
    let hex = |text: &str, length| {
        let fine = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == length && text.bytes().all(fine)
    };
    let set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let fine = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16);
    if !fine || !hex(flags, 2) || !set(trace) || !set(parent) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let (time, rest) = trace.split_at(8);
    Some(format!("Root=1-{time}-{rest};Parent={parent};Sampled={sampled}"))
}

#[derive(Deserialize)]
struct Sent {
    #[serde(rename = "MessageId")]
    message_id: String,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(rename = "__type")]
    kind: String,
}

/// What an answer means. A success is one that names the message: any web server answers 200 to something.
fn judge(target: &SqsTarget, answer: &Answer) -> Tried {
    let origin = target.endpoint.origin();
    if answer.status.is_success() {
        let sent = serde_json::from_slice::<Sent>(&answer.body);
        return Tried::Answered(match sent {
            Ok(sent) if !sent.message_id.is_empty() => DeliveryOutcome::Taken,
            _ => DeliveryOutcome::Failed(format!(
                "{origin} answered {}, but not as SQS does: the answer names no message",
                answer.status
            )),
        });
    }
    let complaint = serde_json::from_slice::<Complaint>(&answer.body).ok();
    let kind = complaint.as_ref().map_or("", |complaint| {
        complaint.kind.rsplit_once('#').map_or(complaint.kind.as_str(), |(_, kind)| kind)
    });
    let said = |what: &str| format!("{origin} answered {}: {what}", answer.status);
    Tried::Answered(match explain(kind) {
        Some((false, what)) => DeliveryOutcome::Failed(said(what)),
        Some((true, what)) => DeliveryOutcome::Refused(said(what)),
        None => DeliveryOutcome::Failed(format!("{origin} answered {}", answer.status)),
    })
}

/// What SQS complains about, in words of our own, and whether that is final: the record will not change.
fn explain(kind: &str) -> Option<(bool, &'static str)> {
    Some(match kind {
        "QueueDoesNotExist" | "NonExistentQueue" | "AWS.SimpleQueueService.NonExistentQueue" => {
            (false, "there is no such queue; create it or correct the destination")
        }
        "AccessDenied" | "AccessDeniedException" => {
            (false, "the broker's keys may not send to the queue; allow them sqs:SendMessage")
        }
        "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidSecurity"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature"
        | "MissingAuthenticationToken" => {
            (false, "it does not accept the broker's keys (AWS_ACCESS_KEY_ID)")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            (false, "the broker's keys, or its clock, are out of date")
        }
        "RequestThrottled" | "ThrottlingException" | "OverLimit" => {
            (false, "it has too much to do")
        }
        name if name.starts_with("Kms") => {
            (false, "the queue's encryption key cannot be used with the broker's keys")
        }
        "InvalidMessageContents" => (true, "the record has characters that SQS does not take"),
        // Of what was sent only the size can be wrong.
        "InvalidParameterValue" | "InvalidParameterValueException" => {
            (true, "the record is larger than the queue takes (MaximumMessageSize)")
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::MessageKey;
    use super::*;

    fn traced(traceparent: &str) -> Option<String> {
        let record = DestinationRecord {
            delivery_id: String::new(),
            function: String::new(),
            function_arn: String::new(),
            success: false,
            timestamp: String::new(),
            json: Bytes::new(),
            key: MessageKey::Id,
            traceparent: traceparent.to_owned(),
            tracestate: String::new(),
        };
        trace_header(&record)
    }

    #[test]
    fn a_trace_context_is_said_in_x_rays_words_or_not_at_all() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        let header = |sampled| {
            Some(format!(
                "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736;Parent=00f067aa0ba902b7;Sampled={sampled}"
            ))
        };
        assert_eq!(traced(&format!("00-{trace}-00f067aa0ba902b7-01")), header(1));
        assert_eq!(traced(&format!("00-{trace}-00f067aa0ba902b7-02")), header(0));
        assert_eq!(traced(&format!("01-{trace}-00f067aa0ba902b7-03-more")), header(1));
        for odd in [
            "",
            "00-1-1-01",
            &format!("ff-{trace}-00f067aa0ba902b7-01"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{trace}-00f067aa0ba902b7-0;Sampled=1"),
            &format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        ] {
            assert_eq!(traced(odd), None, "{odd}");
        }
    }
}
