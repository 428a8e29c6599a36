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
        /// For the place that it gets.
        shard: ShardHandle,
        reply: oneshot::Sender<Option<StreamPlace>>,
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
        joining: Joining,
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

/// A session that just joins.
#[derive(Debug)]
pub(crate) struct Joining {
    pub(crate) outbox: mpsc::UnboundedSender<SessionNews>,
    /// For the membership that it gets.
    pub(crate) shard: ShardHandle,
    pub(crate) reply: oneshot::Sender<Result<Joined, Refusal>>,
}

/// A session that has joined.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) member: Member,
    pub(crate) unknown: Vec<FunctionName>,
}

/// A worker's membership. Dropped, the worker has left: also if the reply that carries it is never read, because the
/// client went away before.
#[derive(Debug)]
pub(crate) struct Member {
    shard: ShardHandle,
    pub(crate) worker: WorkerId,
}

impl Member {
    pub(crate) fn new(shard: ShardHandle, worker: WorkerId) -> Self {
        Self { shard, worker }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.shard.tell(Message::Left { worker: self.worker });
    }
}

/// A stream's place. Dropped, it is given back: also if the reply that carries it is never read.
#[derive(Debug)]
pub(crate) struct StreamPlace {
    shard: ShardHandle,
    pub(crate) stream: StreamId,
}

impl StreamPlace {
    pub(crate) fn new(shard: ShardHandle, stream: StreamId) -> Self {
        Self { shard, stream }
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.shard.tell(Message::StreamClosed { stream: self.stream });
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
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { inbox.send(message).await })),
                // A broker may be dropped by a thread that is in no runtime.
                Err(_) => drop(std::thread::spawn(move || drop(inbox.blocking_send(message)))),
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_inbox_is_told_also_from_outside_of_a_runtime() {
        let (shard, mut inbox) = ShardHandle::new();
        (0..INBOX_MESSAGES_MAX).for_each(|_| shard.tell(Message::Stop));
        shard.tell(Message::StreamClosed { stream: 7 });
        let found = std::iter::from_fn(|| inbox.blocking_recv())
            .position(|message| matches!(message, Message::StreamClosed { stream: 7 }));
        assert_eq!(found, Some(INBOX_MESSAGES_MAX));
    }

    /// The client may go at any moment: before its reply is sent, and after it was sent and before it was read.
    #[tokio::test]
    async fn what_a_reply_gave_is_given_back_if_nobody_reads_it() {
        let worker = WorkerId { index: 7, generation: 3 };
        for early in [true, false] {
            let (shard, mut inbox) = ShardHandle::new();
            let (reply, answer) = oneshot::channel();
            let mut answer = Some(answer);
            if early {
                answer = None;
            }
            let _ = reply.send(Member::new(shard.clone(), worker));
            drop(answer);
            assert!(
                matches!(inbox.try_recv(), Ok(Message::Left { worker: left }) if left == worker)
            );

            let (reply, answer) = oneshot::channel();
            let mut answer = Some(answer);
            if early {
                answer = None;
            }
            let _ = reply.send(Some(StreamPlace::new(shard, 9)));
            drop(answer);
            assert!(matches!(inbox.try_recv(), Ok(Message::StreamClosed { stream: 9 })));
            assert!(inbox.try_recv().is_err(), "once each");
        }
    }
}
