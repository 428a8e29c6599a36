//! Delivery by HTTP: one POST, one answer, judged by its status alone. What else is spoken over HTTP uses the same clients.
//!
//! hyper's client and not a higher one: those that follow redirects, read proxies from the
//! environment or bring a resolver of their own would have to be told not to, one by one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Request, Response, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::OnceCell;

use super::connector::{Connector, InternalAddress};
use super::http_target::HttpTarget;
use super::{DeliveryOutcome, DestinationRecord, Tried, cloud_event};

/// Idle connections that are kept to one host.
const IDLE_PER_HOST_MAX: usize = 4;

/// How long they are kept.
const IDLE_WAIT: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read, and how long for. They are never shown: an answer may repeat what it was sent.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
const ANSWER_WAIT: Duration = Duration::from_millis(500);

const AGENT: &str = concat!("trine/", env!("CARGO_PKG_VERSION"));

/// What a server answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// Its beginning.
    #[cfg_attr(not(feature = "sqs"), expect(dead_code, reason = "only SQS looks into it"))]
    pub(super) body: Vec<u8>,
}

type Encrypted = Client<HttpsConnector<Connector>, Full<Bytes>>;

/// The HTTP clients, one for each scheme.
#[derive(Debug)]
pub(super) struct Http {
    connector: Connector,
    plain: Client<Connector, Full<Bytes>>,
    /// Made when it is first needed: reading the machine's certificates takes milliseconds.
    encrypted: OnceCell<Encrypted>,
}

impl Http {
    pub(super) fn new(connector: Connector) -> Self {
        let plain = client_builder().build(connector.clone());
        Self { connector, plain, encrypted: OnceCell::new() }
    }

    /// Offers `record` once, as a CloudEvent.
    pub(super) async fn post(&self, target: &HttpTarget, record: &DestinationRecord) -> Tried {
        self.offer(target, cloud_event_request(target, record)).await
    }

    /// Sends a request that has a record in it; the status of the answer is all that counts.
    pub(super) async fn offer(&self, target: &HttpTarget, request: Request<Full<Bytes>>) -> Tried {
        match self.send(target, request).await {
            Ok(answer) => Tried::Answered(judge(target, answer.status)),
            Err(tried) => tried,
        }
    }

    /// Sends a request to `target` and reads the beginning of its answer.
    ///
    /// # Errors
    /// What the try came to, if there is no answer.
    pub(super) async fn send(
        &self,
        target: &HttpTarget,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Tried> {
        let answer = if target.is_https() {
            let client = self.encrypted.get_or_try_init(|| self.encrypted()).await;
            let client = client.map_err(|why| Tried::Answered(DeliveryOutcome::Failed(why)))?;
            client.request(request).await
        } else {
            self.plain.request(request).await
        };
        match answer {
            Ok(answer) => Ok(Answer { status: answer.status(), body: beginning(answer).await }),
            Err(error) => Err(failure(target, &error)),
        }
    }

    /// Trusts what the machine trusts: an operator's own authority counts, a list compiled into the
    /// binary would not know it.
    async fn encrypted(&self) -> Result<Encrypted, String> {
        let connector = self.connector.clone();
        let build = tokio::task::spawn_blocking(move || {
            let provider = rustls::crypto::ring::default_provider();
            let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)?;
            let connector = builder.https_only().enable_http1().wrap_connector(connector);
            Ok::<_, std::io::Error>(client_builder().build(connector))
        });
        let built = build.await.map_err(|error| error.to_string())?;
        built.map_err(|error| {
            format!(
                "https is not possible on this machine: {error}; install its certificate \
                 authorities (ca-certificates) or set SSL_CERT_FILE"
            )
        })
    }
}

fn client_builder() -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_WAIT)
        .pool_max_idle_per_host(IDLE_PER_HOST_MAX);
    builder
}

/// A POST of `body` to `target`.
pub(super) fn post_request(target: &HttpTarget, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = target.uri().clone();
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

fn cloud_event_request(target: &HttpTarget, record: &DestinationRecord) -> Request<Full<Bytes>> {
    let mut request = post_request(target, record.json.clone());
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(cloud_event::CONTENT_TYPE));
    for (name, value) in
        cloud_event::attributes(record).into_iter().chain(cloud_event::trace(record))
    {
        // Names of functions, UUIDs, times and checked text: all of them are header values.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    request
}

/// What an answer means for the record.
///
/// Most refusals (401, 404, a redirect) end when somebody mends the receiver or the URL, and the
/// next try reads the URL anew: they are failures, tried again until the record's age runs out.
/// Two are final: 413, because the record will not shrink, and 410, which says in so many words
/// that nobody should ask again. Redirects are not followed: most turn a POST into a GET, and where
/// records go is the function owner's decision, not the receiver's.
fn judge(target: &HttpTarget, status: StatusCode) -> DeliveryOutcome {
    let origin = target.origin();
    match status {
        status if status.is_success() => DeliveryOutcome::Taken,
        StatusCode::GONE | StatusCode::PAYLOAD_TOO_LARGE => {
            DeliveryOutcome::Refused(format!("{origin} answered {status}"))
        }
        status if status.is_redirection() => DeliveryOutcome::Failed(format!(
            "{origin} answered {status}; redirects are not followed, set the destination to where \
             it leads"
        )),
        status => DeliveryOutcome::Failed(format!("{origin} answered {status}")),
    }
}

/// The first bytes of an answer: so that the connection can be used again, and for those that look into them.
async fn beginning(answer: Response<Incoming>) -> Vec<u8> {
    let mut body = answer.into_body();
    let mut bytes = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            bytes.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref));
            if bytes.len() > ANSWER_BYTES_MAX {
                return;
            }
        }
    };
    // Whether it ended does not matter: without its end the connection is closed, that is all.
    let _ = tokio::time::timeout(ANSWER_WAIT, read).await;
    bytes
}

fn failure(target: &HttpTarget, error: &ClientError) -> Tried {
    let mut cause: &dyn std::error::Error = error;
    loop {
        if let Some(internal) = cause.downcast_ref::<InternalAddress>() {
            return Tried::Answered(DeliveryOutcome::Refused(internal.to_string()));
        }
        // An I/O error does not name what it wraps as its source, but holds it.
        let held = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match held.map(|held| held as &dyn std::error::Error).or_else(|| cause.source()) {
            Some(next) => cause = next,
            None => return Tried::Silent(format!("{}: {cause}", target.origin())),
        }
    }
}
