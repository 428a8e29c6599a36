//! The `file` source to the runner: waits, and keeps off the runtime's threads whatever blocks. How a file is read is in `tail`;
//! the broker keeps how far.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::config::{Begin, FileConfig};
use super::event::EventWriter;
use super::position::FilePosition;
use super::seek::Measured;
use super::tail::{Pass, Tail};
use crate::clock::Clock;
use crate::timestamp::rfc3339;
use crate::{
    Change, Connect, Descriptor, Envelope, Keeper, Opened, Ordering, Place, Places, Position,
    Problem, Reader, Received, Record, Redelivery, Settled, Settling, ShardName, Sought, Source,
    SourceError, Target, Unit, Want,
};

/// How often a file is looked at that has nothing new. Asking the file system for changes instead was
/// rejected: it is silent on network mounts, and one call ten times a second costs nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The name of the only shard.
const SHARD: &str = "file";

/// What a file source can do.
const DESCRIPTOR: Descriptor = Descriptor {
    kind: "file",
    ordering: Ordering::Shard,
    settling: Settling::LowWater(Keeper::Broker),
    redelivery: Redelivery::Poller,
    // The next connection reads on after what is in hand.
    outlives_connection: true,
    // The longest that a stop waits for a quiet file.
    receive_wait: Duration::from_millis(500),
    shard_concurrency_max: None,
};

/// Makes the sources of one file, one after the other.
#[derive(Debug)]
pub(crate) struct FileConnector {
    file: Arc<Watched>,
}

#[derive(Debug)]
struct Watched {
    config: FileConfig,
    path_text: Arc<str>,
    events: EventWriter,
    clock: Clock,
    begun: Mutex<Begun>,
}

/// Where the file was begun, as long as the broker has no place of it: decided once, so that a second connection does not skip what
/// came meanwhile.
#[derive(Clone, Debug)]
enum Begun {
    NotYet,
    /// It was looked for and was not there: whatever it has when it comes is new.
    Awaited,
    At(FilePosition),
}

impl FileConnector {
    pub(crate) fn new(config: FileConfig, mapping_id: &str) -> Self {
        let path_text = config.path_text.as_str().into();
        let events = EventWriter::new(mapping_id, &config.path_text);
        let begun = Mutex::new(Begun::NotYet);
        Self { file: Arc::new(Watched { config, path_text, events, clock: Clock::start(), begun }) }
    }
}

impl Watched {
    /// The file, open where reading goes on.
    fn open(&self, place: Option<&Place>) -> Result<Tail, SourceError> {
        if let Some(settled) = self.settled(place)? {
            return self.tail(Some(&settled));
        }
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = match (&*begun, self.config.begin) {
            (Begun::At(position), _) => self.tail(Some(position)),
            (Begun::Awaited, _) | (Begun::NotYet, Begin::Start) => self.tail(None),
            (Begun::NotYet, Begin::End) => Measured::open(&self.config.path)
                .and_then(|file| file.end())
                .and_then(|end| self.tail(Some(&end))),
        };
        *begun = match (&opened, &*begun) {
            (Ok(_), Begun::At(position)) => Begun::At(position.clone()),
            (Ok(tail), _) => Begun::At(tail.position()),
            (Err(error), Begun::NotYet) if error.problem == Problem::Configuration => {
                Begun::Awaited
            }
            (Err(_), before) => before.clone(),
        };
        opened
    }

    fn tail(&self, after: Option<&FilePosition>) -> Result<Tail, SourceError> {
        Tail::open(&self.config.path, &self.path_text, self.events.clone(), after)
    }

    /// How far the file is settled; `None` if it never was.
    fn settled(&self, place: Option<&Place>) -> Result<Option<FilePosition>, SourceError> {
        let text = match place {
            None => return Ok(None),
            Some(Place::After(text)) => text.as_str(),
            Some(Place::Ended) => "its end",
        };
        match FilePosition::from_line(text) {
            Some((path, position)) if path == self.config.path_text => Ok(Some(position)),
            Some((path, _)) => Err(SourceError::configuration(format!(
                "the checkpoint is one of {path}, expected one of {}; seek to the start or the end",
                self.config.path_text
            ))),
            None => Err(SourceError::configuration(format!(
                "the checkpoint {text:?} is no place in a file that this version understands; seek to the start or the end"
            ))),
        }
    }

    fn sought(&self, places: &Places, target: &Target) -> Result<Sought, SourceError> {
        let shard = ShardName::new(SHARD);
        if let Some(other) = target.shard.as_ref().filter(|named| **named != shard) {
            let says = format!("there is no shard {other}: the only one of a file is {SHARD}");
            return Err(SourceError::configuration(says));
        }
        let before = self.settled(places.get(&shard))?;
        let file = Measured::open(&self.config.path)?;
        let to = file.find(&target.to)?;
        let from = match (&before, self.config.begin) {
            (Some(before), _) => (before.file == file.identity()).then_some(before.offset),
            (None, Begin::Start) => Some(0),
            (None, Begin::End) => None,
        };
        let (read_again, skipped) = match from {
            Some(from) => (file.records(to.offset, from)?, file.records(from, to.offset)?),
            None => (None, None),
        };
        Ok(Sought {
            shard,
            from: before.map(|before| before.to_string()).unwrap_or_default(),
            to: to.to_string(),
            read_again,
            skipped,
            place: Some(Place::After(Position::new(&to.to_line(&self.path_text)))),
        })
    }
}

impl Connect for FileConnector {
    fn descriptor(&self) -> Descriptor {
        DESCRIPTOR
    }

    fn connect(&self, places: Places) -> Unit<'_, Arc<dyn Source>> {
        Box::pin(async move {
            let file = Arc::clone(&self.file);
            let open = move || file.open(places.get(&ShardName::new(SHARD)));
            let tail = spawn_blocking(open).await.map_err(broken)??;
            let file = Arc::clone(&self.file);
            let reader = Arc::new(FileReader { file, tail: AsyncMutex::new(Some(tail)) });
            let source: Arc<dyn Source> = Arc::new(OpenFile { reader: Mutex::new(Some(reader)) });
            Ok(source)
        })
    }

    fn seek(&self, places: Places, target: Target, _preview: bool) -> Unit<'_, Vec<Sought>> {
        // The broker keeps the place, so there is nothing to move here.
        Box::pin(async move {
            let file = Arc::clone(&self.file);
            let sought = spawn_blocking(move || file.sought(&places, &target));
            Ok(vec![sought.await.map_err(broken)??])
        })
    }

    fn batch_member(&self, _shard: &ShardName, given_up: &[&Record]) -> (&'static str, Value) {
        let (first, last) = (given_up.first(), given_up.last());
        let id = |record: Option<&&Record>| record.map(|record| record.identifier.to_string());
        let written = |record: Option<&&Record>| record?.arrived_at_ms.map(rfc3339);
        let member = json!({
            "path": self.file.config.path_text,
            "startId": id(first),
            "endId": id(last),
            "approximateArrivalOfFirstRecord": written(first),
            "approximateArrivalOfLastRecord": written(last),
            "batchSize": given_up.len(),
        });
        ("FileBatchInfo", member)
    }
}

/// One connection: its only shard, until it has been taken.
#[derive(Debug)]
struct OpenFile {
    reader: Mutex<Option<Arc<FileReader>>>,
}

impl Source for OpenFile {
    fn next_change(&self) -> Unit<'_, Change> {
        Box::pin(async {
            let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner).take();
            let Some(reader) = reader else { return std::future::pending().await };
            Ok(Change::Opened(Opened {
                shard: ShardName::new(SHARD),
                reader,
                envelope: Envelope::records(),
                lease: None,
            }))
        })
    }
}

/// One open file.
#[derive(Debug)]
struct FileReader {
    file: Arc<Watched>,
    /// Held by the one receive that runs; empty once a receive was given up halfway.
    tail: AsyncMutex<Option<Tail>>,
}

impl FileReader {
    async fn pass(&self, want: Want) -> Result<Pass, SourceError> {
        let mut place = self.tail.lock().await;
        let mut tail = place.take().ok_or_else(given_up)?;
        let now = self.file.clock.now_ms();
        let read = move || {
            let pass = tail.read(now, want);
            (tail, pass)
        };
        let (tail, pass) = spawn_blocking(read).await.map_err(broken)?;
        *place = Some(tail);
        pass
    }
}

impl Reader for FileReader {
    fn receive(&self, want: Want) -> Unit<'_, Received> {
        Box::pin(async move {
            let wait_ms = u64::try_from(want.wait.as_millis()).unwrap_or(u64::MAX);
            let until = self.file.clock.now_ms().saturating_add(wait_ms);
            loop {
                let Pass { received, cut_short } = self.pass(want).await?;
                let now = self.file.clock.now_ms();
                let brought = !received.records.is_empty() || !received.notices.is_empty();
                if brought || now >= until {
                    return Ok(received);
                }
                if !cut_short {
                    sleep(LOOK_EVERY.min(Duration::from_millis(until - now))).await;
                }
            }
        })
    }

    fn settle(&self, _verdicts: Vec<Settled>) -> Unit<'_, ()> {
        Box::pin(async { Err(kept_by_the_broker()) })
    }

    fn commit(&self, _through: Position) -> Unit<'_, ()> {
        Box::pin(async { Err(kept_by_the_broker()) })
    }

    fn finish(&self) {}
}

fn kept_by_the_broker() -> SourceError {
    SourceError::configuration(
        "a file keeps no place: the broker does; this is a defect of the runner",
    )
}

fn broken(error: JoinError) -> SourceError {
    SourceError::unreachable(format!("a defect of the file source: {error}"))
}

fn given_up() -> SourceError {
    SourceError::unreachable("an earlier read of the file did not end in time")
}
