//! Owns what a function says of a batch: the whole taken, some items failed, or an answer that counts as
//! a failure (LS 4.5, 4.6, 4.8), and the state of a tumbling window. It does not know what follows from
//! that; that differs from source to source.
//!
//! An answer is only read if the function did not fail: an error of its own is a failed batch already.

use std::borrow::Cow;
use std::fmt;

use crate::WINDOW_STATE_BYTES_MAX;
use crate::json::{Kind, Malformed, Reader, Scalar};

/// Characters of an identifier that are repeated in a message.
const QUOTED_CHARS_MAX: usize = 100;

/// What names a record of a batch in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemId<'a> {
    /// The messageId of SQS, the sequence number of Kinesis and DynamoDB Streams, and of other sources
    /// what their event has as id.
    Text(&'a str),
    /// A record of Kafka.
    Offset {
        /// Topic and partition, as the event has them: `topic-0`.
        partition: &'a str,
        /// Its place there.
        offset: i64,
    },
}

impl fmt::Display for ItemId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = |text: &str| text.chars().take(QUOTED_CHARS_MAX).collect::<String>();
        match self {
            Self::Text(id) => write!(f, "{:?}", quoted(id)),
            Self::Offset { partition, offset } => {
                write!(f, "{{\"partition\":{:?},\"offset\":{offset}}}", quoted(partition))
            }
        }
    }
}

/// What became of a batch by the function's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchAnswer {
    /// All records are done.
    Succeeded,
    /// These failed, as places in the batch: ascending, each once, at least one. On SQS the others are
    /// done; on a stream all before the first are, and the first and all after it come again, those that
    /// succeeded among them (LS 4.6). A function of a FIFO queue has to name everything after its first
    /// failure itself (LS 4.5).
    Partial(Vec<usize>),
    /// The whole batch failed, because of what the answer looks like. The sentence says what was expected.
    Failed(String),
}

impl BatchAnswer {
    /// Reads the `payload` that a function answered with to the records `batch`, in the order of the
    /// batch. An id may occur twice there: SQS can deliver a message twice; both have failed then.
    ///
    /// Without `report_item_failures` (ReportBatchItemFailures) any answer is a success.
    #[must_use]
    pub fn read(payload: &[u8], report_item_failures: bool, batch: &[ItemId<'_>]) -> Self {
        if !report_item_failures {
            return Self::Succeeded;
        }
        match Answered::read(payload, true) {
            Ok(answered) => answered.about(batch),
            Err(why) => Self::Failed(why),
        }
    }
}

/// What a function says of a batch in a tumbling window (LS 4.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowAnswer<'a> {
    /// As without a window. Without a state it is failed.
    pub batch: BatchAnswer,
    /// What the next batch of the window is to be given; none if `batch` is failed.
    pub state: Option<WindowState<'a>>,
}

impl<'a> WindowAnswer<'a> {
    /// As [`BatchAnswer::read`]; the payload has to be an object with an object at `state`.
    #[must_use]
    pub fn read(payload: &'a [u8], report_item_failures: bool, batch: &[ItemId<'_>]) -> Self {
        let failed = |why| Self { batch: BatchAnswer::Failed(why), state: None };
        let answered = match Answered::read(payload, report_item_failures) {
            Ok(answered) => answered,
            Err(why) => return failed(why),
        };
        let Some(state) = answered.state else {
            let says = "the answer has no object at \"state\"; with a tumbling window, expected \
                        {\"state\": {…}}";
            return failed(says.to_owned());
        };
        match answered.about(batch) {
            BatchAnswer::Failed(why) => failed(why),
            batch => Self { batch, state: Some(WindowState { json: state }) },
        }
    }
}

/// The state of a tumbling window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowState<'a> {
    /// A JSON object, as the function wrote it.
    pub json: &'a str,
}

impl WindowState<'_> {
    /// Over 1 MiB: the window ends early (LS 4.6).
    #[must_use]
    pub const fn is_oversized(&self) -> bool {
        self.json.len() as u64 > WINDOW_STATE_BYTES_MAX
    }
}

const EXPECTED: &str = "expected {\"batchItemFailures\": [{\"itemIdentifier\": …}]}";

/// What an answer says, before it is held against a batch.
#[derive(Default)]
struct Answered<'a> {
    failures: Vec<Identifier<'a>>,
    state: Option<&'a str>,
}

/// What stands at `itemIdentifier`.
enum Identifier<'a> {
    Text(Cow<'a, str>),
    Offset {
        partition: Cow<'a, str>,
        offset: i64,
    },
    /// Null, of another type, or nothing at all.
    None,
}

impl<'a> Answered<'a> {
    /// Says what is wrong with an answer that cannot be understood. `with_failures`: failures are
    /// looked for.
    fn read(payload: &'a [u8], with_failures: bool) -> Result<Self, String> {
        let text = std::str::from_utf8(payload)
            .map_err(|_| format!("the answer is no valid JSON: it is not UTF-8; {EXPECTED}"))?;
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(text);
        let answered = Self::next(&mut reader, with_failures).and_then(|answered| {
            reader.end()?;
            Ok(answered)
        });
        answered.map_err(|wrong| match wrong {
            Wrong::Json(malformed) => format!("the answer is {malformed}; {EXPECTED}"),
            Wrong::Shape(is) => format!("{is}; {EXPECTED}"),
        })
    }

    /// Nothing and what is empty is a success (LS 4.5, 4.6); other values that are no object say nothing
    /// that is known, and the safe reading is that the batch failed.
    fn next(reader: &mut Reader<'a>, with_failures: bool) -> Result<Self, Wrong> {
        let mut answered = Self::default();
        match reader.kind()? {
            Kind::Object => reader.object(|reader, key| {
                match key.as_ref() {
                    "batchItemFailures" if with_failures => {
                        answered.failures = read_failures(reader)?;
                    }
                    "state" => {
                        let is_object = reader.kind()? == Kind::Object;
                        answered.state = Some(reader.raw()?).filter(|_| is_object);
                    }
                    _ => reader.skip()?,
                }
                Ok::<_, Wrong>(())
            })?,
            Kind::Array => reader.array(|_| Err(Wrong::Shape("the answer is an array")))?,
            Kind::Scalar => match reader.scalar()? {
                Scalar::Null => {}
                Scalar::Text(text) if text.is_empty() => {}
                _ => return Err(Wrong::Shape("the answer is no object")),
            },
        }
        Ok(answered)
    }

    fn about(&self, batch: &[ItemId<'_>]) -> BatchAnswer {
        if self.failures.is_empty() {
            return BatchAnswer::Succeeded;
        }
        let mut places: Vec<_> = batch.iter().enumerate().map(|(at, id)| (*id, at)).collect();
        // Sorted and not hashed: a hash at which nobody can aim needs randomness.
        places.sort_unstable();
        let mut failed = vec![false; batch.len()];
        for identifier in &self.failures {
            let id = match identifier {
                Identifier::Text(id) => ItemId::Text(id),
                Identifier::Offset { partition, offset } => {
                    ItemId::Offset { partition, offset: *offset }
                }
                Identifier::None => {
                    let says = "an item of batchItemFailures has no itemIdentifier";
                    return BatchAnswer::Failed(format!("{says}; {EXPECTED}"));
                }
            };
            let first = places.partition_point(|(known, _)| *known < id);
            let same = places[first..].iter().take_while(|(known, _)| *known == id);
            let mut found = false;
            for (_, at) in same {
                failed[*at] = true;
                found = true;
            }
            if !found {
                let says = "expected identifiers of records of the batch";
                return BatchAnswer::Failed(format!("itemIdentifier {id} is unknown; {says}"));
            }
        }
        let places = failed.iter().enumerate().filter(|(_, failed)| **failed);
        BatchAnswer::Partial(places.map(|(at, _)| at).collect())
    }
}

enum Wrong {
    Json(Malformed),
    Shape(&'static str),
}

impl From<Malformed> for Wrong {
    fn from(malformed: Malformed) -> Self {
        Self::Json(malformed)
    }
}

fn read_failures<'a>(reader: &mut Reader<'a>) -> Result<Vec<Identifier<'a>>, Wrong> {
    let mut failures = Vec::new();
    match reader.kind()? {
        Kind::Array => reader.array(|reader| {
            failures.push(read_failure(reader)?);
            Ok::<_, Wrong>(())
        })?,
        _ if reader.raw()? == "null" => {}
        _ => return Err(Wrong::Shape("batchItemFailures is no array")),
    }
    Ok(failures)
}

fn read_failure<'a>(reader: &mut Reader<'a>) -> Result<Identifier<'a>, Wrong> {
    let mut identifier = Identifier::None;
    if reader.kind()? != Kind::Object {
        return Err(Wrong::Shape("an item of batchItemFailures is no object"));
    }
    reader.object(|reader, key| {
        if key != "itemIdentifier" {
            return reader.skip();
        }
        identifier = match reader.kind()? {
            Kind::Object => read_offset(reader)?,
            Kind::Array => {
                reader.skip()?;
                Identifier::None
            }
            Kind::Scalar => match reader.scalar()? {
                Scalar::Text(id) => Identifier::Text(id),
                _ => Identifier::None,
            },
        };
        Ok(())
    })?;
    Ok(identifier)
}

/// `{"partition": "topic-0", "offset": 100}` (LS 4.8).
fn read_offset<'a>(reader: &mut Reader<'a>) -> Result<Identifier<'a>, Malformed> {
    let (mut partition, mut offset) = (None, None);
    reader.object(|reader, key| {
        match (key.as_ref(), reader.kind()?) {
            ("partition", Kind::Scalar) => match reader.scalar()? {
                Scalar::Text(text) => partition = Some(text),
                _ => partition = None,
            },
            ("offset", Kind::Scalar) => match reader.scalar()? {
                Scalar::Number(number) => offset = number.parse().ok(),
                _ => offset = None,
            },
            _ => reader.skip()?,
        }
        Ok::<_, Malformed>(())
    })?;
    Ok(match (partition, offset) {
        (Some(partition), Some(offset)) => Identifier::Offset { partition, offset },
        _ => Identifier::None,
    })
}

#[cfg(test)]
mod tests;
