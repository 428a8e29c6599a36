//! What the task of mappings can be told, and the handle through which edges tell it. It decides nothing.

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use trine_engine::Caller;
use trine_engine::mapping::{
    CheckpointReport, Counts, MappingAnswer, MappingInput, NewPoller, ParkReport, PollerId,
    Registry, SeekReport, Status, Under,
};
use trine_proto::v1::{Refusal, SeekTarget};

use super::sessions::{PollerNews, UnparkNews};
use crate::destinations::MessageKey;
use crate::refusal;

/// Messages that wait for the task, at most; then edges wait, and with them their clients.
const INBOX_MESSAGES_MAX: usize = 1_024;

/// The registry's answer; a refusal comes from the shell.
pub(crate) type Answered = Result<MappingAnswer, Refusal>;

pub(crate) enum Message {
    /// An input that answers.
    Control {
        input: Box<dyn FnOnce(Caller) -> MappingInput + Send>,
        /// Of a seek.
        seek: Option<SeekTarget>,
        reply: oneshot::Sender<Answered>,
    },
    /// A look at the registry.
    Query(Box<dyn FnOnce(&Registry) + Send>),
    Join {
        hello: NewPoller,
        outbox: mpsc::UnboundedSender<PollerNews>,
        reply: oneshot::Sender<Result<Member, Refusal>>,
        /// For the membership that it gets.
        member: MappingsHandle,
    },
    Frame {
        poller: PollerId,
        frame: PollerFrame,
    },
    Left {
        poller: PollerId,
    },
    /// Parked records that were read from the store.
    Loaded {
        poller: PollerId,
        news: Box<UnparkNews>,
    },
    /// A try to deliver a failure record has ended; an empty error: well.
    Delivered {
        poller: PollerId,
        ticket: u64,
        error: String,
    },
    /// Publish gauges.
    Scrape {
        reply: oneshot::Sender<()>,
    },
    /// Give nothing away any more; tell when no poller is left.
    Drain {
        reply: oneshot::Sender<()>,
    },
    /// Finish what was submitted to the store and end.
    Stop,
}

/// What a poller says in one frame after its hello. Tickets are the edge's.
#[derive(Debug, Default)]
pub(crate) struct PollerFrame {
    pub(crate) checkpoints: Vec<(Under, CheckpointReport)>,
    /// With what is to be stored of each record.
    pub(crate) parks: Vec<(Under, ParkReport, Vec<Bytes>)>,
    pub(crate) failures: Vec<(Under, u64, FailureRecord)>,
    pub(crate) statuses: Vec<(Under, Status, Counts)>,
    pub(crate) releases: Vec<Under>,
    pub(crate) seeks: Vec<(u64, SeekReport)>,
    pub(crate) draining: bool,
}

/// A record for the on-failure destination.
#[derive(Debug, Default)]
pub(crate) struct FailureRecord {
    pub(crate) json: Bytes,
    pub(crate) key: MessageKey,
}

/// A poller's membership. Dropped, the poller has left: also if the reply that carries it is never read.
#[derive(Debug)]
pub(crate) struct Member {
    mappings: MappingsHandle,
    pub(crate) poller: PollerId,
}

impl Member {
    pub(crate) fn new(mappings: MappingsHandle, poller: PollerId) -> Self {
        Self { mappings, poller }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.mappings.tell(Message::Left { poller: self.poller });
    }
}

/// The way to the task.
#[derive(Debug, Clone)]
pub(crate) struct MappingsHandle {
    inbox: mpsc::Sender<Message>,
}

impl MappingsHandle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Message>) {
        let (inbox, messages) = mpsc::channel(INBOX_MESSAGES_MAX);
        (Self { inbox }, messages)
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), Refusal> {
        self.inbox.send(message).await.map_err(|_| refusal::gone())
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

    pub(crate) async fn control(
        &self,
        input: impl FnOnce(Caller) -> MappingInput + Send + 'static,
    ) -> Answered {
        self.control_with(input, None).await
    }

    pub(crate) async fn control_with(
        &self,
        input: impl FnOnce(Caller) -> MappingInput + Send + 'static,
        seek: Option<SeekTarget>,
    ) -> Answered {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Control { input: Box::new(input), seek, reply }).await?;
        answer.await.map_err(|_| refusal::gone())?
    }

    /// Runs `look` beside the registry, between two steps. It must be quick: everybody waits for it.
    pub(crate) async fn query<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Registry) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        let look = move |registry: &Registry| {
            // The asker may be gone; then nobody wants to know.
            let _ = reply.send(look(registry));
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
