//! A service of AWS that answers as it was told: for what no stand-in does. It speaks the JSON protocol.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What is answered to an action and its request.
pub(crate) type Answer = Result<Value, (u16, &'static str)>;
type Answers = dyn FnMut(&str, Value) -> Answer + Send;

/// A service that somebody decides for.
#[derive(Clone)]
pub(crate) struct Stub {
    pub(crate) endpoint: String,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

#[derive(Clone)]
struct Service {
    answers: Arc<Mutex<Box<Answers>>>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Stub {
    /// With `answers` to each action (`GetRecords`); an error is a status and a code.
    pub(crate) async fn start(answers: impl FnMut(&str, Value) -> Answer + Send + 'static) -> Self {
        let calls = Arc::default();
        let service =
            Service { answers: Arc::new(Mutex::new(Box::new(answers))), calls: Arc::clone(&calls) };
        let router = Router::new().fallback(answer).with_state(service);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { endpoint, calls }
    }

    /// The requests of one action, in order.
    pub(crate) fn calls(&self, action: &str) -> Vec<Value> {
        let calls = self.calls.lock().expect("unpoisoned");
        calls.iter().filter(|(name, _)| name == action).map(|(_, body)| body.clone()).collect()
    }
}

async fn answer(State(service): State<Service>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers["x-amz-target"].to_str().expect("text");
    let action = target.rsplit('.').next().expect("an action").to_owned();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    service.calls.lock().expect("unpoisoned").push((action.clone(), body.clone()));
    let answer = (service.answers.lock().expect("unpoisoned"))(&action, body);
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err((status, code)) => {
            let status = StatusCode::from_u16(status).expect("a status");
            (status, json!({"__type": code, "message": format!("the stub says {code}")}))
        }
    };
    (status, [("content-type", "application/x-amz-json-1.1")], body.to_string()).into_response()
}
