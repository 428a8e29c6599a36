//! Waiting for what a test wants to see of a poller, with a bound.

use std::time::Duration;

use tokio::time::timeout;

use crate::{PollerHandle, PollerStatus};

/// Longest that a test waits, mostly of the paused clock.
const WAIT: Duration = Duration::from_secs(120);

/// The first status from now on of which this is true.
pub(crate) async fn until(
    poller: &PollerHandle,
    what: &str,
    mut is_so: impl FnMut(&PollerStatus) -> bool,
) -> PollerStatus {
    let mut watch = poller.watch();
    let seen = timeout(WAIT, watch.wait_for(|status| is_so(status))).await;
    match seen {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => panic!("the poller ended before {what}: {:?}", poller.status()),
        Err(_) => panic!("no {what}: {:?}", poller.status()),
    }
}
