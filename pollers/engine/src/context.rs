//! What a shard sees of its mapping while it is stepped. It decides nothing.

use crate::permits::Permits;
use crate::run::Run;
use crate::{BatchId, Effect, Fact, Millis, Settings, Ticket};

#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) now: Millis,
    pub(crate) settings: &'a Settings,
    pub(crate) permits: &'a mut Permits,
    pub(crate) numbers: &'a mut Numbers,
    pub(crate) run: Run,
    /// The source is connected.
    pub(crate) is_up: bool,
    pub(crate) out: &'a mut Vec<Effect>,
}

/// The next numbers that nobody has yet.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    batch: u64,
    ticket: u64,
}

impl Numbers {
    pub(crate) const fn batch(&mut self) -> BatchId {
        let batch = BatchId(self.batch);
        self.batch += 1;
        batch
    }

    pub(crate) const fn ticket(&mut self) -> Ticket {
        let ticket = Ticket(self.ticket);
        self.ticket += 1;
        ticket
    }
}

impl Context<'_> {
    pub(crate) fn fact(&mut self, fact: Fact) {
        self.out.push(Effect::Fact(fact));
    }

    pub(crate) fn out_of_turn(&mut self, input: &'static str) {
        self.fact(Fact::OutOfTurn { input });
    }
}
