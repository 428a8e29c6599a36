//! What tests ask a server that speaks SQS, in its JSON protocol and without its keys.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

/// A queue of the test's own.
#[derive(Debug)]
pub(crate) struct Queue {
    endpoint: String,
    pub(crate) url: String,
    pub(crate) arn: String,
}

impl Queue {
    pub(crate) async fn create(endpoint: &str, name: &str) -> Self {
        Self::with(endpoint, name, json!({})).await
    }

    pub(crate) async fn with(endpoint: &str, name: &str, attributes: Value) -> Self {
        let wanted = json!({ "QueueName": name, "Attributes": attributes });
        let created = ask(endpoint, "CreateQueue", wanted).await;
        let url = created["QueueUrl"].as_str().unwrap().to_owned();
        let wanted = json!({ "QueueUrl": url, "AttributeNames": ["QueueArn"] });
        let attributes = ask(endpoint, "GetQueueAttributes", wanted).await;
        let arn = attributes["Attributes"]["QueueArn"].as_str().unwrap().to_owned();
        Self { endpoint: endpoint.to_owned(), url, arn }
    }

    /// The next message: its body and its trace header. Waits for one, for a while.
    pub(crate) async fn receive(&self) -> (String, Option<String>) {
        let wanted = json!({
            "QueueUrl": self.url,
            "WaitTimeSeconds": 10,
            "MessageSystemAttributeNames": ["All"],
            "AttributeNames": ["All"],
        });
        let received = ask(&self.endpoint, "ReceiveMessage", wanted).await;
        let message = &received["Messages"][0];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let body = text(&message["Body"]).unwrap_or_else(|| panic!("no message: {received}"));
        (body, text(&message["Attributes"]["AWSTraceHeader"]))
    }
}

async fn ask(endpoint: &str, action: &str, request: Value) -> Value {
    let host = endpoint.strip_prefix("http://").unwrap().trim_end_matches('/');
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut client, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    // A server may read region and service out of it; this is what an unchecked one looks like.
    let authorization = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/sqs/aws4_request, \
                         SignedHeaders=host, Signature=0";
    let request = Request::post("/")
        .header("host", host)
        .header("content-type", "application/x-amz-json-1.0")
        .header("x-amz-target", format!("AmazonSQS.{action}"))
        .header("authorization", authorization)
        .body(Full::new(Bytes::from(request.to_string())))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(status.is_success(), "{action}: {status} {}", String::from_utf8_lossy(&body));
    serde_json::from_slice(&body).unwrap_or_else(|_| panic!("{action}: {body:?}"))
}
