//! The load of a torture run: events one by one and in frames, with and without a key, and synchronous calls.
//! Everything is noted before it is sent, and again when the answer came or did not.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tonic::Status;
use trine_proto::reason::name;
use trine_proto::v1::{InvokeRequest, InvokeResponse, Reason, Refusal};

use super::Draw;
use super::fleet::Payload;
use super::functions::Role;
use crate::fixture::client::{Client, call, event};
use crate::fixture::stream::Stream;
use crate::ledger::{Entry, EventId, Notes};

/// Events in one frame, at most.
const FRAME_EVENTS_MAX: u64 = 40;

/// One in so many events of a lone client is sent with a key, and again until there is an answer.
const KEYED: u64 = 4;

/// One in so many requests of a lone client is a call.
const CALLS: u64 = 6;

/// Longest wait for an answer: a broker that was killed does not always say so.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// What all of the load shares.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) address: SocketAddr,
    pub(super) notes: Notes,
    pub(super) retries: bool,
    /// The number of kills whose restart is complete; the load stops when the sender is gone.
    pub(super) up: watch::Receiver<u32>,
    next: Arc<AtomicU64>,
    acked: Acked,
}

/// The acknowledged events by the request ids that the broker gave them.
#[derive(Debug, Clone, Default)]
pub(super) struct Acked(Arc<Mutex<BTreeMap<String, EventId>>>);

impl Acked {
    fn add(&self, request_id: String, event: EventId) {
        // An insertion is whole or did not happen.
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(request_id, event);
    }

    pub(super) fn take(&self) -> BTreeMap<String, EventId> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Offer {
    pub(super) fn new(
        address: SocketAddr,
        notes: Notes,
        retries: bool,
        up: watch::Receiver<u32>,
    ) -> Self {
        Self { address, notes, retries, up, next: Arc::default(), acked: Acked::default() }
    }

    pub(super) fn acknowledged(&self) -> Acked {
        self.acked.clone()
    }

    fn id(&self) -> EventId {
        EventId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the run goes on; waits for the broker to be back, if it went away since `epoch`.
    async fn goes_on(&mut self, epoch: u32) -> bool {
        self.up.wait_for(|up| *up > epoch).await.is_ok()
    }

    fn is_over(&self) -> bool {
        self.up.has_changed().is_err()
    }

    fn epoch(&self) -> u32 {
        *self.up.borrow()
    }

    fn refused(&self, event: EventId, refusal: &Refusal) {
        let reason = name(refusal.reason()).to_owned();
        self.notes.note(Entry::Refused { event, reason });
    }

    fn acked(&self, event: EventId, response: InvokeResponse) {
        let InvokeResponse { request_id, duplicate, .. } = response;
        self.acked.add(request_id.clone(), event);
        self.notes.note(Entry::Acked { event, request_id, duplicate });
    }

    /// Notes what the answer makes of the event; false if it leaves it open.
    fn answered(&self, event: EventId, answer: Result<InvokeResponse, Status>) -> bool {
        match answer {
            Ok(response) => {
                self.acked(event, response);
                true
            }
            Err(status) => match trine_proto::reason::refusal(&status) {
                // An answer that was cut off by the kill is no refusal of the broker that follows.
                Some(refusal) if refusal.reason() != Reason::ShuttingDown => {
                    self.refused(event, &refusal);
                    true
                }
                _ => {
                    self.notes.note(Entry::Unanswered { event, why: status.to_string() });
                    false
                }
            },
        }
    }
}

/// Ticks `per_second` times a second; what was missed is not made up for.
fn pace(per_second: u32) -> Interval {
    let mut pace = interval(Duration::from_secs(1) / per_second.max(1));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}

async fn ask(client: &Client, request: InvokeRequest) -> Result<InvokeResponse, Status> {
    let mut invocations = client.invocations();
    match tokio::time::timeout(ANSWER_WAIT, invocations.invoke(request)).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer came in time")),
    }
}

/// A client that sends one request after the other.
pub(super) async fn lone(mut offer: Offer, mut draw: Draw, per_second: u32) {
    let client = Client::new(offer.address);
    let mut pace = pace(per_second);
    while !offer.is_over() {
        pace.tick().await;
        if draw.below(CALLS) == 0 {
            one_call(&mut offer, &client).await;
        } else {
            one_event(&mut offer, &mut draw, &client).await;
        }
    }
}

async fn one_event(offer: &mut Offer, draw: &mut Draw, client: &Client) {
    let id = offer.id();
    let role = Role::of_event(draw, offer.retries);
    let keyed = draw.below(KEYED) == 0;
    let mut request = event(role.name(), Payload::Event(id).json());
    if keyed {
        request.idempotency_key = id.to_string();
    }
    offer.notes.note(Entry::Attempted { event: id, function: role.name().to_owned() });
    loop {
        let epoch = offer.epoch();
        if offer.answered(id, ask(client, request.clone()).await) {
            return;
        }
        let again = offer.goes_on(epoch).await;
        if !keyed || !again {
            return;
        }
    }
}

async fn one_call(offer: &mut Offer, client: &Client) {
    let id = offer.id();
    let function = Role::Call.name();
    offer.notes.note(Entry::Called { call: id, function: function.to_owned() });
    let epoch = offer.epoch();
    match ask(client, call(function, Payload::Call(id).json())).await {
        Ok(_) => offer.notes.note(Entry::Returned { call: id }),
        Err(status) => {
            offer.notes.note(Entry::CallFailed { call: id, why: status.to_string() });
            if trine_proto::reason::refusal(&status).is_none() {
                offer.goes_on(epoch).await;
            }
        }
    }
}

/// A client that sends frames of events over one stream, as long as it lasts, and then over the next.
pub(super) async fn framed(mut offer: Offer, mut draw: Draw, per_second: u32) {
    let mut pace = pace(per_second / u32::try_from(FRAME_EVENTS_MAX / 2).unwrap_or(1));
    while !offer.is_over() {
        let epoch = offer.epoch();
        let client = Client::new(offer.address);
        let mut open = BTreeMap::new();
        if let Err(status) = frames(&offer, &mut draw, &client, &mut pace, &mut open).await {
            for event in open.into_values() {
                offer.notes.note(Entry::Unanswered { event, why: status.to_string() });
            }
            offer.goes_on(epoch).await;
        }
    }
}

async fn frames(
    offer: &Offer,
    draw: &mut Draw,
    client: &Client,
    pace: &mut Interval,
    open: &mut BTreeMap<u64, EventId>,
) -> Result<(), Status> {
    let gone = |_| Status::unavailable("the stream is over");
    let mut stream = Stream::try_open(client).await?;
    while !offer.is_over() {
        tokio::select! {
            _ = pace.tick() => {
                let frame = frame(offer, draw);
                open.extend(frame.iter().map(|(id, _)| (id.0, *id)));
                stream.try_send(frame.into_iter().map(|(id, request)| (id.0, request))).await.map_err(gone)?;
            }
            answers = stream.try_frame() => take(offer, open, answers?)?,
        }
    }
    stream.half_close();
    while !open.is_empty() {
        let frame = tokio::time::timeout(ANSWER_WAIT, stream.try_frame()).await;
        let frame = frame.map_err(|_| Status::deadline_exceeded("no answer came in time"))??;
        take(offer, open, frame)?;
    }
    Ok(())
}

/// The next events, noted.
fn frame(offer: &Offer, draw: &mut Draw) -> Vec<(EventId, InvokeRequest)> {
    let count = 1 + draw.below(FRAME_EVENTS_MAX);
    let events = (0..count).map(|_| {
        let id = offer.id();
        let role = Role::of_event(draw, offer.retries);
        offer.notes.note(Entry::Attempted { event: id, function: role.name().to_owned() });
        (id, event(role.name(), Payload::Event(id).json()))
    });
    events.collect()
}

fn take(
    offer: &Offer,
    open: &mut BTreeMap<u64, EventId>,
    frame: Option<Vec<(u64, Result<InvokeResponse, Refusal>)>>,
) -> Result<(), Status> {
    let answers = frame.ok_or_else(|| Status::unavailable("the broker ended the stream"))?;
    for (call, answer) in answers {
        let event = open.remove(&call).ok_or_else(|| Status::internal("an answer to nothing"))?;
        match answer {
            Ok(response) => offer.acked(event, response),
            Err(refusal) => offer.refused(event, &refusal),
        }
    }
    Ok(())
}
