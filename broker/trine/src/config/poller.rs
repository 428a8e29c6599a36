//! The keys of the poller: how this process reads streams and queues. Which ones, mappings say.

use std::ops::RangeInclusive;

use crate::config::broker::cores;
use crate::config::resolver::Resolver;

/// Mappings that one poller takes at most.
const MAPPINGS_MAX: RangeInclusive<u32> = 1..=10_000;
const MAPPINGS_DEFAULT: u32 = 1_000;

/// How this process polls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PollerConfiguration {
    /// `trine serve` reads sources itself. If not, `trine poller` processes do.
    pub(crate) enabled: bool,
    pub(crate) name: String,
    pub(crate) mappings_max: u32,
    /// Threads that read sources and build batches.
    pub(crate) threads: usize,
}

pub(crate) fn resolve(resolver: &mut Resolver) -> PollerConfiguration {
    let enabled = resolver.value("poller.enabled", true);
    let name = resolver.checked("poller.name", "serve".to_owned(), |name: &String| fits(name));
    let mappings_max = resolver.within("poller.mappings_max", MAPPINGS_DEFAULT, MAPPINGS_MAX);
    let threads = resolver.within("poller.threads", cores(), 1..=256);
    PollerConfiguration { enabled, name, mappings_max, threads: threads as usize }
}

/// What a broker takes as a poller's name.
pub(crate) fn fits(name: &str) -> Result<(), String> {
    match name.chars().count() {
        1..=128 => Ok(()),
        _ => Err("expected a name of 1 to 128 characters".to_owned()),
    }
}
