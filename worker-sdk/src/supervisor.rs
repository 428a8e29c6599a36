//! Keeps one session up for as long as the worker lives.
//!
//! It does not know what happens within a session.

use tokio::sync::watch;
use tokio::time::{Duration, Instant, sleep};

use crate::backoff::Backoff;
use crate::link::{Link, LinkError};
use crate::run_error::RunError;
use crate::session::Ended;
use crate::shutdown::Shutdown;

/// Age at which a session proves that the broker is well. One that breaks sooner counts as a failed
/// try: a broker that welcomes and dies at once must not be stormed.
const HEALTHY_AFTER: Duration = Duration::from_secs(1);

/// Opens sessions one after the other until the shutdown. Says how many attempts it cut off.
pub(crate) async fn keep_up(
    link: Link,
    shutdown: Shutdown,
    connected: watch::Sender<u32>,
) -> Result<usize, RunError> {
    let mut backoff = Backoff::default();
    let mut random = fastrand::Rng::new();
    loop {
        let opened = tokio::select! {
            biased;
            () = shutdown.draining() => return Ok(0),
            opened = link.open() => opened,
        };
        match opened {
            Ok(session) => {
                let since = Instant::now();
                let ended = {
                    let _counted = Counted::new(&connected);
                    session.run(&shutdown).await
                };
                if since.elapsed() >= HEALTHY_AFTER {
                    backoff.reset();
                }
                match ended {
                    Ended::Drained => return Ok(0),
                    Ended::CutOff(attempts) => return Ok(attempts),
                    Ended::Lost { cause, stopped } if shutdown.is_draining() => {
                        tracing::warn!(stopped, "session lost while draining: {cause}");
                        return Ok(stopped);
                    }
                    Ended::Lost { cause, stopped } => {
                        tracing::warn!(stopped, "session lost: {cause}");
                    }
                    Ended::BrokerDrained => tracing::info!("the broker went away"),
                }
            }
            Err(LinkError::Final(error)) => return Err(error),
            Err(LinkError::Passing(why)) => tracing::warn!("{why}"),
        }
        let wait = backoff.next(&mut random);
        tracing::debug!("reconnecting in {} ms", wait.as_millis());
        tokio::select! {
            biased;
            () = shutdown.draining() => return Ok(0),
            () = sleep(wait) => {}
        }
    }
}

/// Counts a session as connected for as long as it lives.
struct Counted<'a> {
    connected: &'a watch::Sender<u32>,
}

impl<'a> Counted<'a> {
    fn new(connected: &'a watch::Sender<u32>) -> Self {
        connected.send_modify(|count| *count += 1);
        Self { connected }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.connected.send_modify(|count| *count -= 1);
    }
}
