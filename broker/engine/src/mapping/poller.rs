//! A connected poller. It does not know what its mappings are.

use std::collections::BTreeSet;
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Poller {
    /// For people.
    pub(super) name: Arc<str>,
    pub(super) kinds: BTreeSet<Arc<str>>,
    pub(super) mappings_max: u32,
    /// It gets nothing more.
    pub(super) draining: bool,
    /// Numbers of the mappings that it holds, those that were asked back included.
    pub(super) held: BTreeSet<u64>,
    /// Of those, how many are on their way to somebody else.
    pub(super) leaving: u32,
    /// Mappings that are on their way here.
    pub(super) coming: u32,
}

impl Poller {
    /// Mappings that it will have once all moves have ended.
    pub(super) fn load(&self) -> usize {
        (self.held.len() + self.coming as usize).saturating_sub(self.leaving as usize)
    }

    /// Whether it could have a mapping of this kind, or one more of it.
    pub(super) fn takes(&self, kind: &str) -> bool {
        let having = self.held.len() + self.coming as usize;
        !self.draining && self.reads(kind) && having < self.mappings_max as usize
    }

    pub(super) fn reads(&self, kind: &str) -> bool {
        self.kinds.contains(kind)
    }
}
