//! The written form of an event. Tags are for ever: a field that goes leaves its tag reserved.

use prost::{Enumeration, Message, Oneof};
use trine_engine::{
    Death, Delivery, End, Ended, EventRecord, EventSeq, EventStage, FunctionName, Idempotency,
    RequestId,
};

use super::BadField;

/// A waiting event takes about 45 bytes and the length of the function's name; a million of them
/// are read at start.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(message, optional, tag = "2")]
    request_id: Option<Uuid>,
    #[prost(string, tag = "3")]
    function: String,
    /// Milliseconds since the Unix epoch, as all times here.
    #[prost(uint64, tag = "4")]
    accepted_at: u64,
    /// Unset: `accepted_at`.
    #[prost(uint64, optional, tag = "5")]
    age_from: Option<u64>,
    /// Unset: `seq`.
    #[prost(uint64, optional, tag = "6")]
    payload_seq: Option<u64>,
    #[prost(uint32, tag = "7")]
    payload_bytes: u32,
    #[prost(uint32, tag = "8")]
    attempts: u32,
    #[prost(uint32, tag = "9")]
    hops: u32,
    #[prost(bool, tag = "10")]
    failed: bool,
    #[prost(oneof = "Stage", tags = "11, 12")]
    stage: Option<Stage>,
    #[prost(message, optional, tag = "13")]
    idempotency: Option<IdempotencyKey>,
    #[prost(message, optional, tag = "14")]
    redriven_from: Option<Uuid>,
}

/// A request id. Two numbers instead of bytes: no allocation to read one.
#[derive(Clone, Copy, PartialEq, Message)]
struct Uuid {
    #[prost(fixed64, tag = "1")]
    high: u64,
    #[prost(fixed64, tag = "2")]
    low: u64,
}

#[derive(Clone, PartialEq, Oneof)]
enum Stage {
    #[prost(message, tag = "11")]
    Waiting(Waiting),
    #[prost(message, tag = "12")]
    Ended(EndedEvent),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Waiting {
    #[prost(uint64, tag = "1")]
    due_at: u64,
    #[prost(bool, tag = "2")]
    retry: bool,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct EndedEvent {
    #[prost(enumeration = "EndKind", tag = "1")]
    end: i32,
    #[prost(uint64, tag = "2")]
    at: u64,
    #[prost(enumeration = "DeliveryKind", tag = "3")]
    delivery: i32,
    /// Set with `EndKind::Redriven` only.
    #[prost(message, optional, tag = "4")]
    redriven_to: Option<Uuid>,
}

#[derive(Clone, PartialEq, Message)]
struct IdempotencyKey {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(fixed64, tag = "2")]
    digest: u64,
}

/// 0 is never written: it is what a field that was not written reads as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum EndKind {
    Unset = 0,
    Succeeded = 1,
    RetriesExhausted = 2,
    EventAgeExceeded = 3,
    ZeroReservedConcurrency = 4,
    RecursiveInvocation = 5,
    Cancelled = 6,
    Redriven = 7,
}

/// 0 is never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
enum DeliveryKind {
    Unset = 0,
    None = 1,
    Pending = 2,
    Delivered = 3,
    Undelivered = 4,
}

impl From<&EventRecord> for Event {
    fn from(record: &EventRecord) -> Self {
        Self {
            seq: record.seq.0,
            request_id: Some(record.request_id.into()),
            function: record.function.as_str().to_owned(),
            accepted_at: record.accepted_at,
            age_from: (record.age_from != record.accepted_at).then_some(record.age_from),
            payload_seq: (record.payload_seq != record.seq).then_some(record.payload_seq.0),
            payload_bytes: record.payload_bytes,
            attempts: record.attempts,
            hops: u32::from(record.hops),
            failed: record.failed,
            stage: Some(Stage::from(&record.stage)),
            idempotency: record.idempotency.as_deref().map(IdempotencyKey::from),
            redriven_from: record.redriven_from.map(Uuid::from),
        }
    }
}

impl TryFrom<Event> for EventRecord {
    type Error = BadField;

    fn try_from(event: Event) -> Result<Self, BadField> {
        let missing = BadField::missing;
        Ok(Self {
            seq: EventSeq(event.seq),
            request_id: event.request_id.ok_or_else(|| missing("request_id"))?.into(),
            function: FunctionName::new(&event.function)
                .map_err(|bad| BadField::setting("function", bad))?,
            accepted_at: event.accepted_at,
            age_from: event.age_from.unwrap_or(event.accepted_at),
            payload_seq: EventSeq(event.payload_seq.unwrap_or(event.seq)),
            payload_bytes: event.payload_bytes,
            attempts: event.attempts,
            hops: u8::try_from(event.hops).map_err(|_| BadField::new("hops", "is above 255"))?,
            failed: event.failed,
            stage: event.stage.ok_or_else(|| missing("stage"))?.try_into()?,
            idempotency: event.idempotency.map(|key| Box::new(key.into())),
            redriven_from: event.redriven_from.map(RequestId::from),
        })
    }
}

impl From<&EventStage> for Stage {
    fn from(stage: &EventStage) -> Self {
        match stage {
            EventStage::Waiting { due_at, retry } => {
                Self::Waiting(Waiting { due_at: *due_at, retry: *retry })
            }
            EventStage::Ended(ended) => Self::Ended(ended.into()),
        }
    }
}

impl TryFrom<Stage> for EventStage {
    type Error = BadField;

    fn try_from(stage: Stage) -> Result<Self, BadField> {
        Ok(match stage {
            Stage::Waiting(Waiting { due_at, retry }) => Self::Waiting { due_at, retry },
            Stage::Ended(ended) => Self::Ended(ended.try_into()?),
        })
    }
}

impl From<&Ended> for EndedEvent {
    fn from(ended: &Ended) -> Self {
        let (end, redriven_to) = match ended.end {
            End::Succeeded => (EndKind::Succeeded, None),
            End::Dead(Death::RetriesExhausted) => (EndKind::RetriesExhausted, None),
            End::Dead(Death::EventAgeExceeded) => (EndKind::EventAgeExceeded, None),
            End::Dead(Death::ZeroReservedConcurrency) => (EndKind::ZeroReservedConcurrency, None),
            End::Dead(Death::RecursiveInvocation) => (EndKind::RecursiveInvocation, None),
            End::Cancelled => (EndKind::Cancelled, None),
            End::Redriven { to } => (EndKind::Redriven, Some(to.into())),
        };
        let delivery = match ended.delivery {
            Delivery::None => DeliveryKind::None,
            Delivery::Pending => DeliveryKind::Pending,
            Delivery::Delivered => DeliveryKind::Delivered,
            Delivery::Undelivered => DeliveryKind::Undelivered,
        };
        Self { end: end.into(), at: ended.at, delivery: delivery.into(), redriven_to }
    }
}

impl TryFrom<EndedEvent> for Ended {
    type Error = BadField;

    fn try_from(ended: EndedEvent) -> Result<Self, BadField> {
        let end = match EndKind::try_from(ended.end) {
            Ok(EndKind::Succeeded) => End::Succeeded,
            Ok(EndKind::RetriesExhausted) => End::Dead(Death::RetriesExhausted),
            Ok(EndKind::EventAgeExceeded) => End::Dead(Death::EventAgeExceeded),
            Ok(EndKind::ZeroReservedConcurrency) => End::Dead(Death::ZeroReservedConcurrency),
            Ok(EndKind::RecursiveInvocation) => End::Dead(Death::RecursiveInvocation),
            Ok(EndKind::Cancelled) => End::Cancelled,
            Ok(EndKind::Redriven) => {
                let to = ended.redriven_to.ok_or_else(|| BadField::missing("ended.redriven_to"))?;
                End::Redriven { to: to.into() }
            }
            Ok(EndKind::Unset) | Err(_) => return Err(BadField::unknown("ended.end", ended.end)),
        };
        let delivery = match DeliveryKind::try_from(ended.delivery) {
            Ok(DeliveryKind::None) => Delivery::None,
            Ok(DeliveryKind::Pending) => Delivery::Pending,
            Ok(DeliveryKind::Delivered) => Delivery::Delivered,
            Ok(DeliveryKind::Undelivered) => Delivery::Undelivered,
            Ok(DeliveryKind::Unset) | Err(_) => {
                return Err(BadField::unknown("ended.delivery", ended.delivery));
            }
        };
        Ok(Self { end, at: ended.at, delivery })
    }
}

impl From<RequestId> for Uuid {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of one number")]
    fn from(id: RequestId) -> Self {
        Self { high: (id.0 >> 64) as u64, low: id.0 as u64 }
    }
}

impl From<Uuid> for RequestId {
    fn from(id: Uuid) -> Self {
        Self(u128::from(id.high) << 64 | u128::from(id.low))
    }
}

impl From<&Idempotency> for IdempotencyKey {
    fn from(idempotency: &Idempotency) -> Self {
        Self { key: idempotency.key.to_string(), digest: idempotency.digest }
    }
}

impl From<IdempotencyKey> for Idempotency {
    fn from(idempotency: IdempotencyKey) -> Self {
        Self { key: idempotency.key.into(), digest: idempotency.digest }
    }
}
