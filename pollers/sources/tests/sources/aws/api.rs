//! One request to a service of AWS over its JSON protocol. Signed only as far as stand-ins look.

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A service at an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    endpoint: String,
    service: &'static str,
    prefix: &'static str,
    json: &'static str,
}

impl Api {
    pub(crate) fn sqs(endpoint: &str) -> Self {
        Self::new(endpoint, "sqs", "AmazonSQS", "application/x-amz-json-1.0")
    }

    pub(crate) fn kinesis(endpoint: &str) -> Self {
        Self::new(endpoint, "kinesis", "Kinesis_20131202", "application/x-amz-json-1.1")
    }

    pub(crate) fn dynamodb(endpoint: &str) -> Self {
        Self::new(endpoint, "dynamodb", "DynamoDB_20120810", "application/x-amz-json-1.0")
    }

    fn new(
        endpoint: &str,
        service: &'static str,
        prefix: &'static str,
        json: &'static str,
    ) -> Self {
        Self { endpoint: endpoint.to_owned(), service, prefix, json }
    }

    /// What the service answers.
    ///
    /// # Panics
    /// When it refuses.
    pub(crate) async fn call(&self, action: &str, body: Value) -> Value {
        match self.try_call(action, body).await {
            Ok(answer) => answer,
            Err((status, says)) => panic!("{action}: {status} {says}"),
        }
    }

    /// What the service answers, or its status and refusal.
    pub(crate) async fn try_call(
        &self,
        action: &str,
        body: Value,
    ) -> Result<Value, (StatusCode, String)> {
        let host = self.endpoint.trim_start_matches("http://");
        let stream = TcpStream::connect(host).await.expect("the server is there");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        let driver = tokio::spawn(connection);
        let credential = format!("test/20260101/us-east-1/{}/aws4_request", self.service);
        let request = Request::post("/")
            .header("host", host)
            .header("content-type", self.json)
            .header("x-amz-target", format!("{}.{action}", self.prefix))
            .header("x-amz-date", "20260101T000000Z")
            .header(
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=00"
                ),
            )
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        let status = response.status();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        driver.abort();
        let text = || String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            return Err((status, text()));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{error}: {}", text())))
    }
}
