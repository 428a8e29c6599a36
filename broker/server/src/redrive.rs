//! Putting dead invocations back, at a rate, with progress (users.md A6). One walk over the engine's table; each
//! invocation is put back by an input of its own, so limits and queue bounds hold as for any other.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tonic::Status;
use trine_engine::{Answer, Engine, Input, RequestId};
use trine_proto::v1::{RedriveInvocationsResponse, RedrivenInvocation, Refusal};

use crate::edge::invocation::PAGE_PLACES;
use crate::edge::view::{Filter, redrivable};
use crate::refusal::{from_engine, invalid};
use crate::shard::message::ShardHandle;

const RATE_DEFAULT: u32 = 1_000;
const RATE_MAX: u32 = 100_000;

/// How often a batch is put back and progress is told.
const BEAT: Duration = Duration::from_millis(100);

/// Invocations that one page of the walk finds, at most.
const PAGE_SIZE: usize = 1_000;

/// A redrive, ready to run.
pub(crate) struct Redrive {
    pub(crate) shard: ShardHandle,
    /// These, or all that the filter wants.
    pub(crate) ids: Vec<RequestId>,
    pub(crate) filter: Filter,
    /// Events a second.
    pub(crate) rate: u32,
    /// How many more, at most.
    pub(crate) left: u64,
    pub(crate) dry_run: bool,
}

type Progress = mpsc::Sender<Result<RedriveInvocationsResponse, Status>>;

/// Events a second, checked; unset means the default.
pub(crate) fn checked_rate(rate: u32) -> Result<u32, Refusal> {
    match rate {
        0 => Ok(RATE_DEFAULT),
        rate if rate <= RATE_MAX => Ok(rate),
        _ => Err(invalid("rate_per_second must be 1 to 100000.")),
    }
}

impl Redrive {
    /// Runs to the end, or until nobody listens any more.
    pub(crate) async fn run(mut self, progress: &Progress) -> Result<(), Refusal> {
        let mut told = RedriveInvocationsResponse::default();
        let mut beat = interval(BEAT);
        // A slow disk must not be answered with a burst.
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut from = Some(0);
        let mut open: Vec<RequestId> = std::mem::take(&mut self.ids);
        let named = !open.is_empty();
        open.reverse();
        while self.left > 0 && (!open.is_empty() || (!named && from.is_some())) {
            if open.is_empty() {
                (open, from) = self.page(from.unwrap_or(0)).await?;
                continue;
            }
            beat.tick().await;
            for _ in 0..self.rate.div_ceil(10) {
                let Some(request_id) = open.pop().filter(|_| self.left > 0) else { break };
                self.left -= 1;
                self.put_back(request_id, &mut told).await?;
            }
            if progress.send(Ok(told.clone())).await.is_err() {
                return Ok(());
            }
            told.invocations.clear();
        }
        told.done = true;
        // The last word; the client may have gone.
        let _ = progress.send(Ok(told)).await;
        Ok(())
    }

    async fn page(&self, from: u32) -> Result<(Vec<RequestId>, Option<u32>), Refusal> {
        let filter = self.filter.clone();
        let look = move |engine: &Engine| {
            engine.invocations(from, PAGE_PLACES, PAGE_SIZE, |view| filter.wants_redrivable(view))
        };
        let (found, next) = self.shard.query(look).await?;
        let mut ids: Vec<RequestId> = found.into_iter().map(|view| view.request_id).collect();
        ids.reverse();
        Ok((ids, next))
    }

    async fn put_back(
        &self,
        request_id: RequestId,
        told: &mut RedriveInvocationsResponse,
    ) -> Result<(), Refusal> {
        told.matched += 1;
        let answer = if self.dry_run {
            self.look_at(request_id).await?
        } else {
            let redrive =
                move |caller, new_request_id| Input::Redrive { caller, request_id, new_request_id };
            self.shard.control(redrive).await?
        };
        let (new_request_id, refusal) = match answer {
            Answer::Refused(refusal) => (None, Some(from_engine(refusal, "the function"))),
            Answer::Redriven { new_request_id } => (new_request_id, None),
            _ => (None, None),
        };
        if refusal.is_some() {
            told.refused += 1;
        } else if !self.dry_run {
            told.redriven += 1;
        }
        told.invocations.push(RedrivenInvocation {
            request_id: request_id.to_string(),
            new_request_id: new_request_id.map(|id| id.to_string()).unwrap_or_default(),
            refusal,
        });
        Ok(())
    }

    /// What a redrive would say.
    async fn look_at(&self, request_id: RequestId) -> Result<Answer, Refusal> {
        let look = move |engine: &Engine| engine.invocation(request_id);
        Ok(match self.shard.query(look).await? {
            None => Answer::Refused(trine_engine::Refusal::UnknownInvocation),
            Some(view) if redrivable(&view) => Answer::Redriven { new_request_id: None },
            Some(_) => Answer::Refused(trine_engine::Refusal::NotRedrivable),
        })
    }
}
