//! Owns the question whether a stand-in for AWS is ready: one call of its JSON protocol. The signature is a made-up one,
//! which these servers take.

use std::net::SocketAddr;

use super::conversation;
use crate::failure::{Failure, Outcome};

/// A call without parameters that every account may make.
pub(super) struct Call {
    service: &'static str,
    target: &'static str,
    /// Of the JSON protocol; services insist on theirs.
    protocol: &'static str,
}

pub(super) const QUEUES: Call =
    Call { service: "sqs", target: "AmazonSQS.ListQueues", protocol: "1.0" };
pub(super) const TABLES: Call =
    Call { service: "dynamodb", target: "DynamoDB_20120810.ListTables", protocol: "1.0" };
pub(super) const STREAMS: Call =
    Call { service: "kinesis", target: "Kinesis_20131202.ListStreams", protocol: "1.1" };

/// Ready is who answers 200.
pub(super) fn ask(address: SocketAddr, call: &Call) -> Outcome {
    let words = request(address, call);
    let status = conversation::hear(address, words.as_bytes(), |heard| {
        conversation::between(heard, "HTTP/1.1 ", '\n')
    })?;
    match status.starts_with("200") {
        true => Ok(()),
        false => Err(Failure::new(format!("{} is answered with {status}", call.target))),
    }
}

fn request(address: SocketAddr, call: &Call) -> String {
    let Call { service, target, protocol } = call;
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: 2\r\n\
         Content-Type: application/x-amz-json-{protocol}\r\nX-Amz-Target: {target}\r\n\
         X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
         Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host;x-amz-date, Signature=00\r\n\r\n{{}}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_ends_with_an_empty_object() {
        let request = request(SocketAddr::from(([127, 0, 0, 1], 1)), &QUEUES);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert_eq!(body, "{}");
        assert!(head.contains("\r\nX-Amz-Target: AmazonSQS.ListQueues\r\n"), "{head}");
    }
}
