//! Reads one queue over one connection: subscribes for what is wanted, hands out what comes, and says verdicts. Which subscriptions
//! there are is decided in `credit`, what becomes of records in `desk`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use super::config::Config;
use super::credit::{Id, Subscribe};
use super::desk::{Desk, Held, Word};
use super::event::{BODY_BYTES_MAX, record};
use super::stomp::{Client, Frame, FrameWriter, Tls, Trouble};
use super::trouble::told;
use crate::clock::{salt, wall_ms};
use crate::{Position, Reader, Received, Settled, SourceError, Unit, Want};

/// How often it is looked whether there are subscriptions that nobody needs: what waits here for nobody goes back after two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a receive that has something waits for the rest, which the server sends right behind it.
const LINGER: Duration = Duration::from_millis(2);

/// One connection and its queue.
pub(crate) struct QueueReader {
    client: Arc<Client>,
    pub(crate) config: Arc<Config>,
    desk: Arc<Shared>,
    _looking: JoinSet<()>,
}

/// The desk, and a bell for what comes to it.
#[derive(Debug)]
struct Shared {
    desk: Mutex<Desk>,
    came: Notify,
}

impl QueueReader {
    /// Connects and logs in.
    pub(crate) async fn connect(config: Arc<Config>) -> Result<Self, SourceError> {
        let password = config.password()?;
        let user = config.username.as_deref();
        let login = user.map(|user| [("login", user), ("passcode", password.as_str())]);
        let login: &[(&str, &str)] = login.as_ref().map_or(&[], |login| login);
        let desk = Mutex::new(Desk::new(format!("{:x}", salt())));
        let desk = Arc::new(Shared { desk, came: Notify::new() });
        let to = Arc::clone(&desk);
        let address = (config.address.host.as_str(), config.address.port);
        let tls = if config.tls { Some(Tls::new(&config.ca_file).await?) } else { None };
        let on_message = move |frame: Frame| to.take(&frame);
        let client = Client::connect(address, tls.as_ref(), login, BODY_BYTES_MAX, on_message);
        let client = Arc::new(client.await.map_err(|trouble| told(&config, &trouble))?);
        let mut looking = JoinSet::new();
        looking.spawn(look(Arc::clone(&client), Arc::clone(&desk)));
        Ok(Self { client, config, desk, _looking: looking })
    }

    /// Waits until the connection ends, and says why it did.
    pub(crate) async fn ended(&self) -> SourceError {
        self.told(&self.client.ended().await)
    }

    async fn fetch(&self, want: Want) -> Result<Received, SourceError> {
        let _asking = Asking(&self.desk);
        let missing = self.desk.lock().want(want);
        if let Some(subscribe) = missing {
            self.subscribe(subscribe).await.map_err(|trouble| self.told(&trouble))?;
        }
        let waited = timeout(want.wait, self.desk.wait_for(1));
        let waited = tokio::select! {
            biased;
            waited = waited => waited,
            trouble = self.client.ended() => return Err(self.told(&trouble)),
        };
        if waited.is_ok() {
            // As much as has come until then is enough.
            let _ = timeout(LINGER, self.desk.wait_for(want.records_max as usize)).await;
        }
        let records = self.desk.lock().take(want);
        Ok(Received { records, ..Received::default() })
    }

    async fn subscribe(&self, Subscribe { id, prefetch }: Subscribe) -> Result<(), Trouble> {
        let mut frames = FrameWriter::default();
        let headers = [
            ("id", id.to_string()),
            ("destination", self.config.destination()),
            ("ack", "client-individual".to_owned()),
            ("activemq.prefetchSize", prefetch.to_string()),
        ];
        frames.frame("SUBSCRIBE", &headers.each_ref().map(|(name, value)| (*name, value.as_str())));
        self.client.send(frames).await
    }

    async fn settle(&self, verdicts: Vec<Settled>) -> Result<(), SourceError> {
        let words: Vec<_> = {
            let mut desk = self.desk.lock();
            let said = |settled: &Settled| desk.settle(&settled.position, settled.verdict);
            verdicts.iter().filter_map(said).collect()
        };
        // Something may have been given back.
        self.desk.came.notify_waiters();
        let Some((last, before)) = words.split_last() else { return Ok(()) };
        let receipt = self.client.receipt();
        let mut frames = FrameWriter::default();
        let mut say = |word: &Word, receipt: Option<&str>| {
            let (command, ack) = match word {
                Word::Ack(ack) => ("ACK", ack),
                Word::Nack(ack) => ("NACK", ack),
            };
            match receipt {
                Some(receipt) => frames.frame(command, &[("id", ack), ("receipt", receipt)]),
                None => frames.frame(command, &[("id", ack)]),
            }
        };
        for word in before {
            say(word, None);
        }
        // The server goes through frames in their order, and ends the connection with the first that it refuses.
        say(last, Some(&receipt.id));
        let confirmed = self.client.send_confirmed(frames, receipt).await;
        confirmed.map_err(|trouble| self.told(&trouble))
    }

    fn told(&self, trouble: &Trouble) -> SourceError {
        told(&self.config, trouble)
    }
}

impl Reader for QueueReader {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(self.fetch(want))
    }

    fn settle(&self, verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(self.settle(verdicts))
    }

    fn commit(&self, _: Position) -> Unit<'_, ()> {
        let says = "an ActiveMQ queue has no mark to commit: its records are settled one by one";
        Box::pin(std::future::ready(Err(SourceError::configuration(says))))
    }

    fn finish(&self) {}
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message from the server.
    fn take(&self, frame: &Frame) {
        let subscription = frame.header("subscription").and_then(|id| id.parse::<Id>().ok());
        let (Some(subscription), Some(ack)) = (subscription, frame.header("ack")) else { return };
        let now_ms = u64::try_from(wall_ms()).unwrap_or(0);
        let held = Held { subscription, ack: ack.to_owned(), record: record(frame, now_ms) };
        self.lock().came(held);
        self.came.notify_waiters();
    }

    /// Waits until so many records wait.
    async fn wait_for(&self, records: usize) {
        loop {
            let mut came = std::pin::pin!(self.came.notified());
            came.as_mut().enable();
            if self.lock().waiting() >= records {
                return;
            }
            came.await;
        }
    }
}

/// Ends subscriptions that nobody needs, until the connection ends.
async fn look(client: Arc<Client>, desk: Arc<Shared>) {
    let mut look = interval(LOOK_EVERY);
    loop {
        look.tick().await;
        let ended = desk.lock().end_unneeded();
        if ended.is_empty() {
            continue;
        }
        let mut frames = FrameWriter::default();
        for id in ended {
            frames.frame("UNSUBSCRIBE", &[("id", &id.to_string())]);
        }
        if client.send(frames).await.is_err() {
            return;
        }
    }
}

/// A receive, which may be given up.
struct Asking<'a>(&'a Shared);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.lock().rest();
    }
}
