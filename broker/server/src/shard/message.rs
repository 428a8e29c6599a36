//! What the shard's task can be told, and the handle through which edges tell it. The handle hides the channel; it
//! decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trine_engine::{
    Answer, Caller, DeliveryResult, Dispatch, Engine, EntryId, FunctionName, Input, Lease, Millis,
    RequestId, WorkerId,
};
use trine_proto::v1::{Outcome, Refusal};

use crate::refusal;
use crate::shard::PARCEL_INPUTS;
use crate::shard::call::{Call, CallFrame, Extra, Reply, Target};
use crate::shard::streams::StreamId;

/// Messages that wait for the shard, at most; then edges wait, and with them their clients.
pub(crate) const INBOX_MESSAGES_MAX: usize = 4_096;

pub(crate) enum Message {
    /// One call whose answer goes to a channel of its own.
    Call {
        target: Target,
        call: Call,
        reply: oneshot::Sender<Reply>,
    },
    /// The client of the call with this tag went away.
    CallerGone {
        tag: u64,
    },
    /// The calls of one frame of a stream.
    Calls {
        stream: StreamId,
        frame: CallFrame,
    },
    StreamOpened {
        outbox: mpsc::UnboundedSender<Vec<Reply>>,
        reply: oneshot::Sender<Option<StreamId>>,
    },
    StreamClosed {
        stream: StreamId,
    },
    /// Any other input that answers.
    Control {
        input: Box<dyn FnOnce(Caller, RequestId) -> Input + Send>,
        reply: oneshot::Sender<Answer>,
    },
    /// A look at the engine.
    Query(Box<dyn FnOnce(&Engine) + Send>),
    /// Tell when the invocation has changed.
    Watch {
        request_id: RequestId,
        after_revision: u64,
        reply: oneshot::Sender<()>,
    },
    Join {
        functions: Vec<FunctionName>,
        slots: u32,
        outbox: mpsc::UnboundedSender<SessionNews>,
        reply: oneshot::Sender<Answer>,
    },
    Worker {
        worker: WorkerId,
        frame: WorkerFrame,
    },
    Left {
        worker: WorkerId,
    },
    /// Payloads that were read from the store for attempts.
    Loaded(Vec<(Dispatch, Result<Loaded, String>)>),
    Delivered {
        entry: EntryId,
        request_id: RequestId,
        result: DeliveryResult,
        error: String,
    },
    /// A record whose destination is another function.
    DeliverToFunction(Box<FunctionDelivery>),
    /// Publish gauges.
    Scrape {
        reply: oneshot::Sender<()>,
    },
    Advance {
        to: Advance,
        reply: oneshot::Sender<(Millis, u64)>,
    },
    /// Start nothing more; tell when nothing runs.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Finish what was submitted to the store and end.
    Stop,
}

impl Message {
    /// Inputs that it brings, roughly.
    pub(crate) fn weight(&self) -> usize {
        match self {
            // A long frame lets go by itself.
            Self::Calls { frame, .. } => frame.calls.len() % PARCEL_INPUTS,
            Self::Worker { frame, .. } => frame.outcomes.len(),
            _ => 1,
        }
    }
}

/// A record on its way into the queue of another function.
#[derive(Debug)]
pub(crate) struct FunctionDelivery {
    pub(crate) entry: EntryId,
    pub(crate) request_id: RequestId,
    pub(crate) target: FunctionName,
    pub(crate) record: Bytes,
    /// Length of the chain that the new event continues (LS 3.5).
    pub(crate) hops: u8,
    pub(crate) extra: Option<Box<Extra>>,
}

/// How far virtual time is to move.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Advance {
    By(Millis),
    ToNextTimer,
}

/// A payload as it lay in the store.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) payload: Bytes,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) qualified: bool,
}

/// What a worker says in one frame after its hello.
#[derive(Debug, Default)]
pub(crate) struct WorkerFrame {
    pub(crate) started_through: Option<u64>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) slots: Option<u32>,
    pub(crate) draining: bool,
}

/// What one batch of the shard has for one worker.
#[derive(Debug, Default)]
pub(crate) struct SessionNews {
    pub(crate) attempts: Vec<Sent>,
    pub(crate) stops: Vec<Lease>,
    pub(crate) draining: bool,
}

/// An attempt with all that the worker is to know of it.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) dispatch: Dispatch,
    pub(crate) payload: Bytes,
    pub(crate) extra: Option<Box<Extra>>,
    pub(crate) log_tail: bool,
    pub(crate) invoked_function: Option<String>,
    pub(crate) memory_mb: u32,
}

/// The way to a shard.
#[derive(Clone, Debug)]
pub(crate) struct ShardHandle {
    inbox: mpsc::Sender<Message>,
    /// Tags of calls that came by themselves.
    next_tag: Arc<AtomicU64>,
}

/// A call whose client waits; dropped before the answer came, it tells that the client went away.
struct Waiting<'h> {
    shard: &'h ShardHandle,
    tag: u64,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.shard.tell(Message::CallerGone { tag: self.tag });
        }
    }
}

impl ShardHandle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES_MAX);
        (Self { inbox, next_tag: Arc::default() }, messages)
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), Refusal> {
        self.inbox.send(message).await.map_err(|_| refusal::gone())
    }

    /// For threads of the shard's own.
    pub(crate) fn blocking_send(&self, message: Message) -> Result<(), Refusal> {
        self.inbox.blocking_send(message).map_err(|_| refusal::gone())
    }

    /// For destructors: tells if there is room, without waiting.
    pub(crate) fn tell(&self, message: Message) {
        if let Err(mpsc::error::TrySendError::Full(message)) = self.inbox.try_send(message) {
            let inbox = self.inbox.clone();
            tokio::spawn(async move { inbox.send(message).await });
        }
    }

    pub(crate) async fn call(&self, target: Target, mut call: Call) -> Result<Reply, Refusal> {
        let (reply, answer) = oneshot::channel();
        let tag = self.next_tag.fetch_add(1, Ordering::Relaxed);
        call.tag = tag;
        self.send(Message::Call { target, call, reply }).await?;
        let mut waiting = Waiting { shard: self, tag, answered: false };
        let answer = answer.await;
        waiting.answered = true;
        answer.map_err(|_| refusal::gone())
    }

    pub(crate) async fn control(
        &self,
        input: impl FnOnce(Caller, RequestId) -> Input + Send + 'static,
    ) -> Result<Answer, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Control { input: Box::new(input), reply }).await?;
        answer.await.map_err(|_| refusal::gone())
    }

    /// Runs `look` beside the engine, between two steps. It must be quick: everybody waits for it.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Engine) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let look = move |engine: &Engine| {
            // The asker may be gone; then nobody wants to know.
            let _ = reply.send(look(engine));
        };
        self.send(Message::Query(Box::new(look))).await?;
        answer.await.map_err(|_| refusal::gone())
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message")
    }
}
