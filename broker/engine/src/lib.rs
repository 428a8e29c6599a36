//! Every decision of the broker: who may run, where, when again, and when not.
//!
//! ```text
//! step(now, Input) -> Effects        next_deadline() -> when to send Input::Tick
//! ```
//!
//! The engine is pure: it reads no clock, draws no random number, opens nothing and never waits. The same state
//! and input give the same effects, so a seed replays a run. It handles ids, lengths and handles; payload
//! bytes stay with the shell. What must be durable before somebody is told is an [`Effect::Persist`];
//! the reply, dispatch or delivery that depends on it comes out when [`Input::Persisted`] goes in.
//!
//! Rules carry their source: `LS n` is a section of Lambda's invocation semantics, `I n` a ledger invariant,
//! `INV-n` an invariant of [`Engine::check`].

mod cancel;
mod change;
mod delivery;
mod dispatch;
mod effect;
mod engine;
mod entry;
mod event;
mod fact;
mod function;
mod functions;
mod history;
mod ids;
mod index;
mod input;
mod invariants;
mod invoke;
mod list;
pub mod mapping;
mod outcome;
mod permit;
mod persist;
mod record;
mod redrive;
mod restore;
mod retry;
mod settings;
mod slab;
mod slot;
mod view;
mod wheel;
mod worker;
mod workers;

pub use change::{Change, SettingsChange};
pub use effect::{
    Answer, Blocker, Deliver, Dispatch, Effect, FunctionError, InvocationView, Phase, Refusal,
};
pub use engine::Engine;
pub use fact::{Fact, Throttle};
pub use ids::{
    Caller, EntryId, EventSeq, FunctionId, Lease, Millis, PersistNumber, RequestId, WorkerId,
};
pub use input::{AttemptResult, DeliveryResult, Input, Invoke, Mode};
pub use persist::HOPS_MAX;
pub use record::{
    Death, Delivery, End, Ended, EventRecord, EventStage, FunctionRecord, Idempotency, Mutation,
    OnRejection, ResponseAtHand,
};
pub use settings::{
    Destination, EngineLimits, FunctionName, FunctionSettings, InvalidSetting, MaxEventAgeSeconds,
    MaxRetries, MemoryMb, Qualifier, TimeoutSeconds,
};
pub use view::{AccountView, FunctionUsage, FunctionView};
