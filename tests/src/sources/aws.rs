//! A call of AWS's JSON protocol to a stand-in, on a connection of its own. The signature is a made-up one, which these servers take.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trine_proto::v1::AwsAccess;

use super::field::{Trouble, trouble};

pub(super) const REGION: &str = "us-east-1";

/// The stand-ins take any.
pub(super) const CREDENTIALS: &[(&str, &str)] =
    &[("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];

/// One service at one address.
#[derive(Debug, Clone)]
pub(super) struct Aws {
    /// `host:port`.
    address: String,
    /// As signatures name it.
    service: &'static str,
    /// Before the name of a call.
    target: &'static str,
    /// Version of the JSON protocol; services insist on theirs.
    protocol: &'static str,
}

impl Aws {
    pub(super) fn sqs(url: &str) -> Self {
        Self::new(url, "sqs", "AmazonSQS", "1.0")
    }

    pub(super) fn kinesis(url: &str) -> Self {
        Self::new(url, "kinesis", "Kinesis_20131202", "1.1")
    }

    pub(super) fn dynamodb(url: &str) -> Self {
        Self::new(url, "dynamodb", "DynamoDB_20120810", "1.0")
    }

    fn new(url: &str, service: &'static str, target: &'static str, protocol: &'static str) -> Self {
        let address = url.strip_prefix("http://").unwrap_or(url).to_owned();
        Self { address, service, target, protocol }
    }

    /// How a mapping gets here.
    pub(super) fn access(&self) -> AwsAccess {
        AwsAccess { region: REGION.to_owned(), endpoint_url: format!("http://{}", self.address) }
    }

    /// Calls `name`; its answer.
    ///
    /// # Errors
    /// What the server says if it is not 200.
    pub(super) async fn call(&self, name: &str, parameters: &Value) -> Result<Value, Trouble> {
        let answer = self.exchange(name, &parameters.to_string()).await;
        let answer = answer.map_err(|error| trouble(name)(&error))?;
        let text = String::from_utf8_lossy(&answer);
        let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| format!("{name}: no HTTP"))?;
        let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(body) } else { body.to_owned() };
        match head.split(' ').nth(1) {
            Some("200") if body.is_empty() => Ok(Value::Null),
            Some("200") => serde_json::from_str(&body).map_err(|error| trouble(name)(&error)),
            status => Err(format!("{name}: {} {body}", status.unwrap_or_default())),
        }
    }

    async fn exchange(&self, name: &str, body: &str) -> std::io::Result<Vec<u8>> {
        let Self { address, service, target, protocol } = self;
        let request = format!(
            "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {}\r\n\
             Content-Type: application/x-amz-json-{protocol}\r\nX-Amz-Target: {target}.{name}\r\n\
             X-Amz-Date: 20260101T000000Z\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/{REGION}/{service}/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature=00\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

/// The text of chunks, each with its length in hexadecimal before it.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = body.split_once("\r\n") {
        let Some(chunk) = usize::from_str_radix(length, 16).ok().and_then(|n| rest.get(..n)) else {
            break;
        };
        whole.push_str(chunk);
        body = rest[chunk.len()..].trim_start_matches("\r\n");
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        assert_eq!(unchunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), "abc0123456789");
    }
}
