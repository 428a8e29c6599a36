//! One connection: a task that reads and one that writes, heart-beats both ways, receipts. When it ends, everybody who waits is told why,
//! and it does not begin again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::decoder::Decoder;
use super::frame::{Frame, FrameWriter};
use super::socket::{self, Reading, Tls, Writing};

/// How often each side says that it is there.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How many of them a server may leave out: ActiveMQ begins with the second.
const BEATS_MISSED_MAX: u32 = 3;

const SILENT: &str = "was silent for three heart-beats; the connection is taken for dead";

/// Longest that a server may take from the first packet to being connected.
const OPEN_MAX: Duration = Duration::from_secs(20);

/// Writes that may wait for the socket; who writes more waits too.
const WRITES_MAX: usize = 64;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection cannot be made, or has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It could not be reached, or broke off, as the sentence's second half says.
    Broken(String),
    /// The server said so: its `message` header.
    Refused(String),
    /// It does not speak STOMP 1.2.
    Foreign(String),
}

/// A connection. It is closed when it is dropped.
#[derive(Debug)]
pub(crate) struct Client {
    writes: mpsc::Sender<Vec<u8>>,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    receipts: Mutex<Receipts>,
    ended: watch::Sender<Option<Trouble>>,
}

#[derive(Debug, Default)]
struct Receipts {
    last: u64,
    waiting: HashMap<String, oneshot::Sender<()>>,
}

impl Client {
    /// Connects, with TLS if it is given, and logs in. `headers` are those of the first frame beside the protocol's own; `on_message` gets each MESSAGE, in
    /// order and after the one before, and must not wait.
    pub(crate) async fn connect(
        address: (&str, u16),
        tls: Option<&Tls>,
        headers: &[(&str, &str)],
        body_bytes_max: u64,
        on_message: impl FnMut(Frame) + Send + 'static,
    ) -> Result<Self, Trouble> {
        let opened = timeout(OPEN_MAX, open(address, tls, headers, body_bytes_max)).await;
        let opened =
            opened.map_err(|_| Trouble::Broken("does not answer within 20 seconds".to_owned()))?;
        let Opened { incoming, outgoing, beats } = opened?;
        let (ended, _) = watch::channel(None);
        let shared = Arc::new(Shared { receipts: Mutex::default(), ended });
        let (writes, written) = mpsc::channel(WRITES_MAX);
        let mut tasks = JoinSet::new();
        tasks.spawn(read(incoming, beats.incoming, Arc::clone(&shared), on_message));
        tasks.spawn(write(outgoing, written, beats.outgoing, Arc::clone(&shared)));
        Ok(Self { writes, shared, _tasks: tasks })
    }

    /// Writes frames; they are on their way when this returns.
    pub(crate) async fn send(&self, frames: FrameWriter) -> Result<(), Trouble> {
        let sent = self.writes.send(frames.bytes()).await;
        // The writer goes away when the connection has ended.
        if sent.is_err() { Err(self.ended().await) } else { Ok(()) }
    }

    /// Writes frames, the last of which was given `receipt`, and waits until the server confirms that it has dealt with them.
    pub(crate) async fn send_confirmed(
        &self,
        frames: FrameWriter,
        receipt: Receipt,
    ) -> Result<(), Trouble> {
        self.send(frames).await?;
        tokio::select! {
            biased;
            Ok(()) = receipt.confirmed => Ok(()),
            trouble = self.ended() => Err(trouble),
        }
    }

    /// A new receipt.
    pub(crate) fn receipt(&self) -> Receipt {
        let (told, confirmed) = oneshot::channel();
        let mut receipts = self.shared.receipts();
        receipts.last += 1;
        let id = receipts.last.to_string();
        receipts.waiting.retain(|_, told| !told.is_closed());
        receipts.waiting.insert(id.clone(), told);
        Receipt { id, confirmed }
    }

    /// Waits until the connection has ended, and says why.
    pub(crate) async fn ended(&self) -> Trouble {
        let mut ended = self.shared.ended.subscribe();
        let why = ended.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_else(|| Trouble::Broken("has no connection with us any more".to_owned()))
    }
}

/// A promise of the server to confirm.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// For the `receipt` header.
    pub(crate) id: String,
    confirmed: oneshot::Receiver<()>,
}

impl Shared {
    fn receipts(&self) -> MutexGuard<'_, Receipts> {
        self.receipts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, why: Trouble) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why);
            }
            first
        });
    }
}

struct Opened {
    incoming: Incoming,
    outgoing: Writing,
    beats: Beats,
}

async fn open(
    address: (&str, u16),
    tls: Option<&Tls>,
    headers: &[(&str, &str)],
    body_bytes_max: u64,
) -> Result<Opened, Trouble> {
    let (reading, mut outgoing) = socket::open(address, tls).await?;
    let decoder = Decoder::new(body_bytes_max);
    let mut incoming = Incoming { reading, decoder, buffer: BytesMut::new() };
    let mut connect = FrameWriter::default();
    let beat_ms = HEARTBEAT.as_millis().to_string();
    let heart_beat = format!("{beat_ms},{beat_ms}");
    let own = [("accept-version", "1.2"), ("host", address.0), ("heart-beat", &heart_beat)];
    connect.frame("CONNECT", &[&own, headers].concat());
    say(&mut outgoing, &connect.bytes()).await.map_err(|error| broken(&error))?;
    let answer = incoming.next().await?;
    match (answer.command.as_str(), answer.header("version")) {
        ("CONNECTED", Some("1.2")) => {}
        ("ERROR", _) => return Err(refused(&answer)),
        (command, version) => {
            let version =
                version.map_or_else(String::new, |version| format!(" of version {version}"));
            return Err(Trouble::Foreign(format!("answers with {command}{version}")));
        }
    }
    let beats = Beats::agreed(answer.header("heart-beat").unwrap_or("0,0"));
    Ok(Opened { incoming, outgoing, beats })
}

/// How often something comes, and how often something has to be sent. `None`: nobody promised or wants it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Beats {
    incoming: Option<Duration>,
    outgoing: Option<Duration>,
}

impl Beats {
    /// Out of the server's header: what it can send, and what it wants.
    fn agreed(header: &str) -> Self {
        let (can, wants) = header.split_once(',').unwrap_or_default();
        let agreed = |their: &str| {
            let their_ms = their.trim().parse().ok().filter(|ms| *ms > 0)?;
            Some(Duration::from_millis(their_ms).max(HEARTBEAT))
        };
        Self { incoming: agreed(can), outgoing: agreed(wants) }
    }
}

/// The socket's reading half, in frames.
struct Incoming {
    reading: Reading,
    decoder: Decoder,
    buffer: BytesMut,
}

impl Incoming {
    async fn next(&mut self) -> Result<Frame, Trouble> {
        loop {
            if let Some(frame) = self.here()? {
                return Ok(frame);
            }
            self.more().await?;
        }
    }

    fn here(&mut self) -> Result<Option<Frame>, Trouble> {
        let frame = self.decoder.next(&mut self.buffer);
        frame.map_err(|error| Trouble::Foreign(format!("sends what is not STOMP: {error}")))
    }

    async fn more(&mut self) -> Result<(), Trouble> {
        self.buffer.reserve(READ_BYTES);
        match self.reading.read_buf(&mut self.buffer).await {
            Ok(0) => Err(Trouble::Broken("closed the connection".to_owned())),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(&error)),
        }
    }
}

async fn read(
    mut incoming: Incoming,
    beat: Option<Duration>,
    shared: Arc<Shared>,
    mut on_message: impl FnMut(Frame),
) {
    let why = loop {
        match incoming.here() {
            Ok(None) => {}
            Ok(Some(frame)) => match frame.command.as_str() {
                "MESSAGE" => {
                    on_message(frame);
                    continue;
                }
                "RECEIPT" => {
                    let waiting = frame
                        .header("receipt-id")
                        .and_then(|id| shared.receipts().waiting.remove(id));
                    if let Some(told) = waiting {
                        // Who asked may have stopped waiting.
                        let _ = told.send(());
                    }
                    continue;
                }
                "ERROR" => break refused(&frame),
                other => break Trouble::Foreign(format!("sends a frame {other}")),
            },
            Err(why) => break why,
        }
        let more = match beat {
            Some(beat) => {
                let more = timeout(beat * BEATS_MISSED_MAX, incoming.more()).await;
                more.unwrap_or_else(|_| Err(Trouble::Broken(SILENT.to_owned())))
            }
            None => incoming.more().await,
        };
        if let Err(why) = more {
            break why;
        }
    };
    shared.end(why);
}

async fn write(
    mut outgoing: Writing,
    mut writes: mpsc::Receiver<Vec<u8>>,
    beat: Option<Duration>,
    shared: Arc<Shared>,
) {
    let mut ended = shared.ended.subscribe();
    loop {
        // Half of what was promised, because ours may be late too.
        let quiet = async {
            match beat {
                Some(beat) => sleep(beat / 2).await,
                None => std::future::pending().await,
            }
        };
        let bytes = tokio::select! {
            write = writes.recv() => match write {
                Some(bytes) => bytes,
                None => return,
            },
            () = quiet => b"\n".to_vec(),
            _ = ended.wait_for(Option::is_some) => return,
        };
        let written = tokio::select! {
            written = say(&mut outgoing, &bytes) => written,
            _ = ended.wait_for(Option::is_some) => return,
        };
        if let Err(error) = written {
            shared.end(broken(&error));
            return;
        }
    }
}

/// Writes all of it, and what TLS keeps back.
async fn say(outgoing: &mut Writing, bytes: &[u8]) -> std::io::Result<()> {
    outgoing.write_all(bytes).await?;
    outgoing.flush().await
}

fn broken(error: &std::io::Error) -> Trouble {
    Trouble::Broken(format!("broke off: {error}"))
}

fn refused(frame: &Frame) -> Trouble {
    let message = frame.header("message").unwrap_or_default();
    // The body begins with the same, with the name of an exception, and goes on with where it was thrown.
    let text = frame.text();
    let detail = text.lines().next().unwrap_or_default();
    Trouble::Refused(if message.is_empty() { detail.to_owned() } else { message.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heart_beats_are_the_slower_sides() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (header, incoming, outgoing) in [
            ("0,0", None, None),
            ("", None, None),
            ("1000,30000", seconds(5), seconds(30)),
            ("10000, 0", seconds(10), None),
        ] {
            assert_eq!(Beats::agreed(header), Beats { incoming, outgoing }, "{header}");
        }
    }
}
