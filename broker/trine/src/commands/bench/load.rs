//! A closed loop of calls over some connections, and what was measured.
//!
//! It knows how to keep calls in flight, not how figures are shown. The channel of frames to send
//! holds as many as calls may be in flight and every frame holds at least one call, so sending
//! never waits and the loop always reads: two full buffers cannot wait for each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use trine_proto::FRAME_BYTES_TARGET;
use trine_proto::v1::stream_answer::Result as Answer;
use trine_proto::v1::{self, Durability, Reason, Refusal};

use crate::connection::Connection;
use crate::failure::Failure;
use crate::histogram::Histogram;

/// How long calls in flight may take to come back once no new ones are sent.
const DRAIN_WAIT: Duration = Duration::from_secs(10);

/// What to do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The call that is repeated.
    pub(crate) call: v1::InvokeRequest,
    pub(crate) connections: u32,
    /// Over all connections.
    pub(crate) in_flight: u32,
    pub(crate) bound: Bound,
    pub(crate) unary: bool,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Bound {
    Duration(Duration),
    Count(u64),
}

/// What was seen.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// Of answers, also of function errors; not of refusals.
    pub(crate) latency: Histogram,
    pub(crate) function_errors: u64,
    /// Retryable refusals; any other one ends the load.
    pub(crate) refused: BTreeMap<Reason, u64>,
    pub(crate) unfinished: u64,
    /// Of the events that were accepted last.
    pub(crate) durability: Durability,
}

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    started: Instant,
    tasks: tokio::sync::Mutex<JoinSet<Result<Measured, Failure>>>,
}

/// What the tasks of a load share.
#[derive(Debug)]
struct Shared {
    plan: Plan,
    /// Calls that may still be sent.
    tickets: AtomicU64,
    answered: AtomicU64,
    stop: watch::Sender<bool>,
}

impl Load {
    pub(crate) fn start(connections: Vec<Connection>, plan: Plan) -> Self {
        let tickets = match plan.bound {
            Bound::Count(count) => count,
            Bound::Duration(_) => u64::MAX,
        };
        let shared = Arc::new(Shared {
            tickets: AtomicU64::new(tickets),
            answered: AtomicU64::new(0),
            stop: watch::Sender::new(false),
            plan,
        });
        let mut tasks = JoinSet::new();
        let share = shared.plan.in_flight / shared.plan.connections;
        let rest = shared.plan.in_flight % shared.plan.connections;
        for (index, connection) in (0..).zip(connections) {
            let in_flight = share + u32::from(index < rest);
            if shared.plan.unary {
                for _ in 0..in_flight {
                    tasks.spawn(unary(connection.clone(), shared.clone()));
                }
            } else {
                let stream = Stream::new(connection, shared.clone(), in_flight);
                tasks.spawn(stream.run());
            }
        }
        if let Bound::Duration(duration) = shared.plan.bound {
            let shared = shared.clone();
            tokio::spawn(async move {
                tokio::time::sleep(duration).await;
                shared.stop.send_replace(true);
            });
        }
        Self { shared, started: Instant::now(), tasks: tokio::sync::Mutex::new(tasks) }
    }

    /// Sends no more; what is in flight may come back.
    pub(crate) fn stop(&self) {
        self.shared.stop.send_replace(true);
    }

    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for the end. The first task that fails ends the others.
    pub(crate) async fn finish(&self) -> Result<Measured, Failure> {
        let mut tasks = self.tasks.lock().await;
        let mut all = Measured::new();
        let mut failure = None;
        while let Some(ended) = tasks.join_next().await {
            match ended.map_err(std::io::Error::other) {
                Ok(Ok(measured)) => all.merge(&measured),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(panic) => failure = failure.or(Some(Failure::InputOutput(panic))),
            }
            if failure.is_some() {
                self.stop();
            }
        }
        match failure {
            Some(failure) => Err(failure),
            None => Ok(Measured { elapsed: self.started.elapsed(), ..all }),
        }
    }
}

impl Shared {
    /// Takes up to `wanted` calls from what may still be sent.
    fn take(&self, wanted: u64) -> u64 {
        if *self.stop.borrow() {
            return 0;
        }
        let taken = |left: u64| Some(left.saturating_sub(wanted));
        match self.tickets.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken) {
            Ok(left) | Err(left) => left.min(wanted),
        }
    }
}

impl Measured {
    fn new() -> Self {
        Self {
            elapsed: Duration::ZERO,
            latency: Histogram::new(),
            function_errors: 0,
            refused: BTreeMap::new(),
            unfinished: 0,
            durability: Durability::Unspecified,
        }
    }

    fn merge(&mut self, other: &Self) {
        self.latency.merge(&other.latency);
        self.function_errors += other.function_errors;
        self.unfinished += other.unfinished;
        for (reason, count) in &other.refused {
            *self.refused.entry(*reason).or_default() += count;
        }
        if other.durability != Durability::Unspecified {
            self.durability = other.durability;
        }
    }

    fn answer(&mut self, response: &v1::InvokeResponse, took: Duration) {
        self.latency.record(took);
        self.function_errors += u64::from(!response.function_error.is_empty());
        self.durability = response.durability();
    }

    /// Counts a refusal that may go away; any other one ends the load.
    fn refusal(&mut self, refusal: Refusal) -> Result<(), Failure> {
        let reason = refusal.reason();
        if !trine_proto::reason::row(reason).retryable {
            return Err(Failure::Refused(refusal));
        }
        *self.refused.entry(reason).or_default() += 1;
        Ok(())
    }
}

/// One caller of the unary path.
async fn unary(connection: Connection, shared: Arc<Shared>) -> Result<Measured, Failure> {
    let mut measured = Measured::new();
    let mut client = connection.invocations();
    let mut stop = shared.stop.subscribe();
    while shared.take(1) == 1 {
        let started = Instant::now();
        let call = client.invoke(shared.plan.call.clone());
        let answer = tokio::select! {
            answer = call => answer,
            () = drained(&mut stop) => { measured.unfinished += 1; break; }
        };
        match answer {
            Ok(response) => measured.answer(response.get_ref(), started.elapsed()),
            Err(status) => match connection.failure(&status) {
                Failure::Refused(refusal) => measured.refusal(refusal)?,
                other => return Err(other),
            },
        }
        shared.answered.fetch_add(1, Ordering::Relaxed);
    }
    Ok(measured)
}

/// When waiting for calls in flight is over.
async fn drained(stop: &mut watch::Receiver<bool>) {
    // The sender lives in `Shared`, which the caller holds: an error cannot come.
    let _ = stop.wait_for(|stop| *stop).await;
    tokio::time::sleep(DRAIN_WAIT).await;
}

/// One stream and its calls.
#[derive(Debug)]
struct Stream {
    connection: Connection,
    shared: Arc<Shared>,
    /// When the open call with this id was sent.
    sent: Vec<Instant>,
    /// Ids without an open call.
    idle: Vec<usize>,
    frame_calls_max: usize,
    measured: Measured,
}

impl Stream {
    fn new(connection: Connection, shared: Arc<Shared>, in_flight: u32) -> Self {
        let in_flight = in_flight as usize;
        let frame_calls_max = (FRAME_BYTES_TARGET / shared.plan.call.payload.len().max(1)).max(1);
        Self {
            connection,
            shared,
            sent: vec![Instant::now(); in_flight],
            idle: (0..in_flight).collect(),
            frame_calls_max,
            measured: Measured::new(),
        }
    }

    async fn run(mut self) -> Result<Measured, Failure> {
        let (frames, outgoing) = mpsc::channel(self.sent.len());
        // Before the stream is opened: a server may answer its headers only with the first frame.
        self.send(&frames);
        let opened =
            self.connection.invocations().invoke_stream(ReceiverStream::new(outgoing)).await;
        let mut answers = opened.map_err(|status| self.connection.failure(&status))?.into_inner();
        let mut stop = self.shared.stop.subscribe();
        let over = drained(&mut stop);
        tokio::pin!(over);
        while self.idle.len() < self.sent.len() {
            let frame = tokio::select! {
                frame = answers.message() => frame,
                () = &mut over => break,
            };
            let Some(frame) = frame.map_err(|status| self.connection.failure(&status))? else {
                break;
            };
            self.receive(frame)?;
            self.send(&frames);
        }
        self.measured.unfinished = (self.sent.len() - self.idle.len()) as u64;
        Ok(self.measured)
    }

    /// Sends a call for every idle id, in frames of a sensible size.
    fn send(&mut self, frames: &mpsc::Sender<v1::InvokeStreamRequest>) {
        let wanted = self.idle.len();
        let taken = usize::try_from(self.shared.take(wanted as u64)).unwrap_or(wanted);
        let ids = self.idle.split_off(wanted - taken);
        let now = Instant::now();
        for chunk in ids.chunks(self.frame_calls_max) {
            let mut calls = Vec::with_capacity(chunk.len());
            for id in chunk {
                self.sent[*id] = now;
                calls.push(self.call(*id, calls.is_empty()));
            }
            if frames.try_send(v1::InvokeStreamRequest { calls }).is_err() {
                // The stream is broken: the next read says why.
                return;
            }
        }
    }

    /// Within a frame only the first call names the function.
    fn call(&self, id: usize, first: bool) -> v1::StreamCall {
        let call = &self.shared.plan.call;
        let function = if first { call.function.clone() } else { String::new() };
        let request = v1::InvokeRequest {
            function,
            r#type: call.r#type,
            payload: call.payload.clone(),
            ..Default::default()
        };
        v1::StreamCall { call_id: id as u64, request: Some(request) }
    }

    fn receive(&mut self, frame: v1::InvokeStreamResponse) -> Result<(), Failure> {
        let now = Instant::now();
        let count = frame.answers.len() as u64;
        for answer in frame.answers {
            let id = usize::try_from(answer.call_id).unwrap_or(usize::MAX);
            let Some(sent) = self.sent.get(id) else {
                return Err(Failure::Foreign {
                    broker: "the broker".to_owned(),
                    cause: format!("an answer to call {id}, which was not made"),
                });
            };
            match answer.result {
                Some(Answer::Response(response)) => {
                    self.measured.answer(&response, now.duration_since(*sent));
                }
                Some(Answer::Refusal(refusal)) => self.measured.refusal(refusal)?,
                None => {}
            }
            self.idle.push(id);
        }
        self.shared.answered.fetch_add(count, Ordering::Relaxed);
        Ok(())
    }
}
