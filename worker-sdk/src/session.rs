//! One session with the broker, from its welcome to its end.
//!
//! | phase | attempts | leaves on | to |
//! |---|---|---|---|
//! | serving | started | the broker drains | broker draining |
//! | serving, broker draining | started | the worker drains | draining |
//! | broker draining | started | nothing runs | closed: broker drained |
//! | draining | go back | nothing runs | closed: drained |
//! | draining | go back | the grace is over | cutting |
//! | cutting | go back | nothing runs, or [`STOP_WAIT`] | closed: cut off |
//! | any | | the stream ends, or the broker is silent for two intervals | lost |
//!
//! It does not connect and does not reconnect.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};
use trine_proto::v1::WorkerServiceSessionResponse;
use trine_proto::v1::worker_service_client::WorkerServiceClient;

use crate::book::OpenBook;
use crate::intake::Intake;
use crate::shutdown::Shutdown;

/// How long stopped handlers have to be gone before the session closes without their outcomes. A
/// handler that computes without ever awaiting can be asked, not forced.
const STOP_WAIT: Duration = Duration::from_secs(1);

/// How long the broker has to end its side after the worker has closed its own.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// A welcomed session.
pub(crate) struct Session {
    pub(crate) inbound: Streaming<WorkerServiceSessionResponse>,
    pub(crate) book: OpenBook,
    pub(crate) intake: Intake,
    /// Longest silence that either side allows itself.
    pub(crate) heartbeat: Duration,
    /// Held, not used: without a handle its connection would end.
    pub(crate) _client: WorkerServiceClient<tonic::transport::Channel>,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The worker shut down and everything that ran has finished.
    Drained,
    /// The worker shut down and so many handlers did not finish within its grace.
    CutOff(usize),
    /// The broker shut down in good order.
    BrokerDrained,
    /// The session broke, and so many handlers were stopped.
    Lost { cause: Loss, stopped: usize },
}

/// Why a session broke.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Loss {
    #[error("the broker closed the session")]
    Closed,
    #[error("the session broke: {}: {}", .0.code().description(), .0.message())]
    Broken(Status),
    #[error("the broker was silent for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the broker sent more attempts than there are slots and took no outcomes")]
    Overrun,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Serving,
    BrokerDraining,
    Draining,
    Cutting { running: usize, until: Instant },
}

impl Session {
    /// Serves until the session ends, one way or another.
    pub(crate) async fn run(mut self, shutdown: &Shutdown) -> Ended {
        match self.serve(shutdown).await {
            Ok(phase) => {
                self.close().await;
                match phase {
                    Phase::Serving | Phase::BrokerDraining => Ended::BrokerDrained,
                    Phase::Draining | Phase::Cutting { running: 0, .. } => Ended::Drained,
                    Phase::Cutting { running, .. } => Ended::CutOff(running),
                }
            }
            Err(cause) => Ended::Lost { cause, stopped: self.book.abandon() },
        }
    }

    async fn serve(&mut self, shutdown: &Shutdown) -> Result<Phase, Loss> {
        let book = Arc::clone(&self.book);
        let mut phase = Phase::Serving;
        let mut heard = Instant::now();
        let mut draining = pin!(shutdown.draining());
        let mut cutting = pin!(shutdown.cutting());
        let mut alarm = pin!(sleep_until(heard + self.heartbeat));
        loop {
            // In this order: the shutdown is noticed under any load, and what the broker has sent is
            // read before its silence is judged, also after the process itself was frozen.
            tokio::select! {
                biased;
                () = &mut draining, if phase.before_draining() => {
                    phase = Phase::Draining;
                    self.intake.stop_taking();
                    book.drain();
                }
                () = &mut cutting, if phase == Phase::Draining => {
                    phase = Phase::Cutting {
                        running: book.stop_all(),
                        until: Instant::now() + STOP_WAIT,
                    };
                    alarm.as_mut().reset(Instant::now() + STOP_WAIT);
                }
                message = self.inbound.message() => {
                    let frame = message.map_err(Loss::Broken)?.ok_or(Loss::Closed)?;
                    heard = Instant::now();
                    self.apply(frame, &mut phase).await?;
                }
                // Nothing more has arrived: the turn is over.
                () = std::future::ready(()), if self.intake.is_unsettled() => {
                    self.intake.settle().map_err(|_| Loss::Overrun)?;
                }
                () = book.idle(), if phase != Phase::Serving => return Ok(phase),
                () = &mut alarm => match phase.patience_over() {
                    true => return Ok(phase),
                    false => {
                        let next = self.watch(heard)?;
                        alarm.as_mut().reset(phase.bounded(next));
                    }
                }
            }
        }
    }

    async fn apply(
        &mut self,
        frame: WorkerServiceSessionResponse,
        phase: &mut Phase,
    ) -> Result<(), Loss> {
        self.intake.take(frame.attempts).await.map_err(|_| Loss::Overrun)?;
        for stop in frame.stops {
            self.book.stop(stop.into());
        }
        if frame.draining && *phase == Phase::Serving {
            tracing::info!("the broker shuts down; finishing what runs, then reconnecting");
            *phase = Phase::BrokerDraining;
        }
        Ok(())
    }

    /// Beats if the worker was silent for an interval, fails if the broker was for two. Says when to
    /// look again. One timer for both, moved when it fires: a busy session never touches it.
    fn watch(&self, heard: Instant) -> Result<Instant, Loss> {
        let now = Instant::now();
        let silent_at = heard + 2 * self.heartbeat;
        if now >= silent_at {
            return Err(Loss::Silent(now - heard));
        }
        let beat_at = self.book.last_frame() + self.heartbeat;
        if now < beat_at {
            return Ok(beat_at.min(silent_at));
        }
        self.book.beat();
        Ok((now + self.heartbeat).min(silent_at))
    }

    /// Ends this side after its last frame, and waits for the broker to end the other: then it has
    /// read every outcome.
    async fn close(&mut self) {
        self.book.close();
        let broker_ends = async { while let Ok(Some(_)) = self.inbound.message().await {} };
        if timeout(CLOSE_WAIT, broker_ends).await.is_err() {
            tracing::warn!("the broker did not end the session; outcomes may be lost");
        }
    }
}

impl Phase {
    fn before_draining(self) -> bool {
        matches!(self, Self::Serving | Self::BrokerDraining)
    }

    fn patience_over(self) -> bool {
        matches!(self, Self::Cutting { until, .. } if Instant::now() >= until)
    }

    fn bounded(self, next: Instant) -> Instant {
        match self {
            Self::Cutting { until, .. } => next.min(until),
            Self::Serving | Self::BrokerDraining | Self::Draining => next,
        }
    }
}
