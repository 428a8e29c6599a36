//! `AdminService`: the broker about itself, and the clock of a broker with virtual time.

use tokio::sync::oneshot;
use tonic::{Request, Response, Status};
use trine_proto::v1::admin_service_server::AdminService;
use trine_proto::v1::advance_time_request::Amount;
use trine_proto::v1::{
    AdvanceTimeRequest, AdvanceTimeResponse, ConfigurationValue, GetBrokerRequest,
    GetBrokerResponse, Reason, Refusal,
};

use crate::clock::Clock;
use crate::edge::refused;
use crate::metrics::Metrics;
use crate::refusal::{gone, invalid, refuse};
use crate::shard::message::{Advance, Message, ShardHandle};

/// Longest step of virtual time, in milliseconds: 30 days.
const ADVANCE_MS_MAX: u64 = 30 * 24 * 3_600_000;

pub(crate) struct AdminEdge {
    pub(crate) shard: ShardHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) store: &'static str,
    pub(crate) configuration: Vec<(String, String, String)>,
}

impl AdminEdge {
    async fn broker(&self) -> Result<GetBrokerResponse, Refusal> {
        let look =
            |engine: &trine_engine::Engine| (engine.account().workers, engine.first_deadline());
        let (workers, next) = self.shard.query(look).await?;
        let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
        let value = |(name, value, origin): &(String, String, String)| ConfigurationValue {
            name: name.clone(),
            value: value.clone(),
            origin: origin.clone(),
        };
        Ok(GetBrokerResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_ms: time(self.clock.now()),
            virtual_time: self.clock.is_virtual(),
            store: self.store.to_owned(),
            workers,
            next_timer_ms: next.map(time),
            configuration: self.configuration.iter().map(value).collect(),
        })
    }

    async fn advance(&self, request: AdvanceTimeRequest) -> Result<AdvanceTimeResponse, Refusal> {
        if !self.clock.is_virtual() {
            return Err(refuse(
                Reason::VirtualTimeOff,
                "This broker lives in real time; start it with --virtual-time to move its clock.",
            ));
        }
        let to = match request.amount {
            Some(Amount::ByMs(by)) if by <= ADVANCE_MS_MAX => Advance::By(by),
            Some(Amount::ByMs(_)) => return Err(invalid("by_ms must be at most 30 days.")),
            Some(Amount::ToNextTimer(true)) => Advance::ToNextTimer,
            Some(Amount::ToNextTimer(false)) | None => {
                return Err(invalid("amount must be by_ms, or to_next_timer set to true."));
            }
        };
        let (reply, arrived) = oneshot::channel();
        self.shard.send(Message::Advance { to, reply }).await?;
        let (now, timers_fired) = arrived.await.map_err(|_| gone())?;
        Ok(AdvanceTimeResponse { now_ms: i64::try_from(now).unwrap_or(i64::MAX), timers_fired })
    }
}

#[tonic::async_trait]
impl AdminService for AdminEdge {
    async fn get_broker(
        &self,
        _request: Request<GetBrokerRequest>,
    ) -> Result<Response<GetBrokerResponse>, Status> {
        let broker = self.broker().await;
        broker.map(Response::new).map_err(|refusal| refused(&self.metrics, &refusal))
    }

    async fn advance_time(
        &self,
        request: Request<AdvanceTimeRequest>,
    ) -> Result<Response<AdvanceTimeResponse>, Status> {
        let advanced = self.advance(request.into_inner()).await;
        advanced.map(Response::new).map_err(|refusal| refused(&self.metrics, &refusal))
    }
}
