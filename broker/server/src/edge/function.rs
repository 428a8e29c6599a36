//! `FunctionService`. Deleting by force is the one thing that takes several steps of the shard; each is an
//! ordinary cancel.

use std::time::Duration;

use tonic::{Request, Response, Status};
use trine_engine::{Answer, Destination, FunctionName, FunctionView, Input, Phase, RequestId};
use trine_proto::v1::function_service_server::FunctionService;
use trine_proto::v1::{
    CreateFunctionRequest, CreateFunctionResponse, DeleteFunctionRequest, DeleteFunctionResponse,
    Function, FunctionUsage, GetAccountSettingsRequest, GetAccountSettingsResponse,
    GetFunctionRequest, GetFunctionResponse, ListFunctionsRequest, ListFunctionsResponse, Reason,
    Refusal, UpdateFunctionRequest, UpdateFunctionResponse,
};

use crate::destinations::{Destinations, ForbiddenDestination};
use crate::edge::{refused, settings};
use crate::metrics::Metrics;
use crate::options::{DestinationPolicy, Limits};
use crate::refusal::{from_engine, invalid, invalid_setting, refuse};
use crate::shard::message::ShardHandle;

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1_000;

/// Rounds of cancelling that a delete by force makes, and the wait between them.
const FORCE_ROUNDS_MAX: u32 = 200;
const FORCE_WAIT: Duration = Duration::from_millis(50);
const FORCE_PAGE_PLACES: u32 = 65_536;
const FORCE_PAGE_CANCELS: usize = 1_000;

pub(crate) struct FunctionEdge {
    pub(crate) shard: ShardHandle,
    pub(crate) metrics: Metrics,
    pub(crate) policy: DestinationPolicy,
    pub(crate) limits: Limits,
}

impl FunctionEdge {
    async fn view(&self, name: &str) -> Result<FunctionView, Refusal> {
        let wanted = name.to_owned();
        let found = self.shard.query(move |engine| engine.function(&wanted)).await?;
        found.ok_or_else(|| from_engine(trine_engine::Refusal::UnknownFunction, name))
    }

    fn check_destinations(&self, given: [Option<&Destination>; 2]) -> Result<(), Refusal> {
        for destination in given.into_iter().flatten() {
            Destinations::check(&self.policy, destination).map_err(
                |forbidden| match forbidden {
                    ForbiddenDestination::Malformed(why) => invalid(why),
                    ForbiddenDestination::Policy(why) => refuse(Reason::DestinationForbidden, why),
                },
            )?;
        }
        Ok(())
    }

    async fn create(&self, request: CreateFunctionRequest) -> Result<Function, Refusal> {
        let name = FunctionName::new(&request.name).map_err(|error| invalid_setting(&error))?;
        let settings = settings::parse(request.settings.unwrap_or_default())?;
        self.check_destinations([settings.on_success.as_ref(), settings.on_failure.as_ref()])?;
        let text = name.to_string();
        let create = move |caller, _| Input::CreateFunction { caller, name, settings };
        match self.shard.control(create).await? {
            Answer::Refused(refusal) => Err(from_engine(refusal, &text)),
            _ => Ok(function(self.view(&text).await?)),
        }
    }

    async fn update(&self, request: UpdateFunctionRequest) -> Result<Function, Refusal> {
        let function_id = self.view(&request.name).await?.id;
        let change = settings::change(request.settings.unwrap_or_default(), &request.clear)?;
        self.check_destinations([change.on_success.set(), change.on_failure.set()])?;
        let change = Box::new(change);
        let update =
            move |caller, _| Input::UpdateFunction { caller, function: function_id, change };
        match self.shard.control(update).await? {
            Answer::Refused(refusal) => Err(from_engine(refusal, &request.name)),
            _ => Ok(function(self.view(&request.name).await?)),
        }
    }

    async fn delete(&self, request: DeleteFunctionRequest) -> Result<(), Refusal> {
        for round in 0.. {
            let id = self.view(&request.name).await?.id;
            let delete = move |caller, _| Input::DeleteFunction { caller, function: id };
            match self.shard.control(delete).await? {
                Answer::Refused(trine_engine::Refusal::FunctionBusy)
                    if request.force && round < FORCE_ROUNDS_MAX =>
                {
                    // What waits first: it would start as soon as what runs is gone.
                    self.cancel_all(&request.name, |phase| *phase != Phase::Running).await?;
                    self.cancel_all(&request.name, |phase| *phase == Phase::Running).await?;
                    tokio::time::sleep(FORCE_WAIT).await;
                }
                Answer::Refused(refusal) => return Err(from_engine(refusal, &request.name)),
                _ => break,
            }
        }
        Ok(())
    }

    /// Cancels the invocations of `name` in a phase that `wanted` chooses.
    async fn cancel_all(
        &self,
        name: &str,
        wanted: impl Fn(&Phase) -> bool + Copy + Send + 'static,
    ) -> Result<(), Refusal> {
        let mut from = Some(0);
        while let Some(place) = from {
            let name = name.to_owned();
            let (found, next) = self
                .shard
                .query(move |engine| {
                    engine.invocations(place, FORCE_PAGE_PLACES, FORCE_PAGE_CANCELS, |view| {
                        view.function.as_str() == name
                            && !matches!(view.phase, Phase::Ended { .. })
                            && wanted(&view.phase)
                    })
                })
                .await?;
            for view in found {
                let request_id: RequestId = view.request_id;
                // One that ended meanwhile is what is wanted.
                let _ = self
                    .shard
                    .control(move |caller, _| Input::Cancel { caller, request_id })
                    .await?;
            }
            from = next;
        }
        Ok(())
    }

    async fn list(&self, request: ListFunctionsRequest) -> Result<ListFunctionsResponse, Refusal> {
        let size = match request.page_size {
            0 => PAGE_SIZE_DEFAULT,
            size if size <= PAGE_SIZE_MAX => size,
            _ => return Err(invalid("page_size must be 1 to 1000.")),
        };
        let mut all: Vec<FunctionView> =
            self.shard.query(|engine| engine.functions().collect()).await?;
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let after = request.page_token;
        let mut page: Vec<_> =
            all.into_iter().filter(|view| view.name.as_str() > after.as_str()).collect();
        let more = page.len() > size as usize;
        page.truncate(size as usize);
        let last = page.last().map(|view| view.name.to_string());
        Ok(ListFunctionsResponse {
            next_page_token: last.filter(|_| more).unwrap_or_default(),
            functions: page.into_iter().map(function).collect(),
        })
    }

    async fn account(&self) -> Result<GetAccountSettingsResponse, Refusal> {
        let account = self.shard.query(trine_engine::Engine::account).await?;
        Ok(GetAccountSettingsResponse {
            concurrent_executions: account.concurrency,
            unreserved_concurrent_executions: account.unreserved,
            function_count: account.functions,
            running: account.running,
            unreserved_running: account.unreserved_running,
            queued: account.queued,
            queued_bytes: account.queued_bytes,
            queued_max: self.limits.queue_count_max,
            queued_bytes_max: self.limits.queue_bytes_max,
        })
    }

    fn answer<T>(&self, outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
        outcome.map(Response::new).map_err(|refusal| refused(&self.metrics, &refusal))
    }
}

fn function(view: FunctionView) -> Function {
    let time = |ms: u64| i64::try_from(ms).unwrap_or(i64::MAX);
    Function {
        arn: format!("trine:function:{}", view.name),
        name: view.name.to_string(),
        effective: settings::effective(&view.settings),
        settings: Some(settings::as_set(&view.settings)),
        created_at_ms: time(view.created_at),
        modified_at_ms: time(view.modified_at),
        usage: Some(FunctionUsage {
            running: view.usage.running,
            queued: view.usage.queued,
            queued_bytes: view.usage.queued_bytes,
            oldest_ready_age_ms: view.usage.oldest_ready_age_ms,
            workers: view.usage.workers,
            free_slots: view.usage.free_slots,
        }),
    }
}

#[tonic::async_trait]
impl FunctionService for FunctionEdge {
    async fn create_function(
        &self,
        request: Request<CreateFunctionRequest>,
    ) -> Result<Response<CreateFunctionResponse>, Status> {
        let created = self.create(request.into_inner()).await;
        self.answer(created.map(|function| CreateFunctionResponse { function: Some(function) }))
    }

    async fn get_function(
        &self,
        request: Request<GetFunctionRequest>,
    ) -> Result<Response<GetFunctionResponse>, Status> {
        let found = self.view(&request.into_inner().name).await;
        self.answer(found.map(|view| GetFunctionResponse { function: Some(function(view)) }))
    }

    async fn update_function(
        &self,
        request: Request<UpdateFunctionRequest>,
    ) -> Result<Response<UpdateFunctionResponse>, Status> {
        let updated = self.update(request.into_inner()).await;
        self.answer(updated.map(|function| UpdateFunctionResponse { function: Some(function) }))
    }

    async fn delete_function(
        &self,
        request: Request<DeleteFunctionRequest>,
    ) -> Result<Response<DeleteFunctionResponse>, Status> {
        let deleted = self.delete(request.into_inner()).await;
        self.answer(deleted.map(|()| DeleteFunctionResponse {}))
    }

    async fn list_functions(
        &self,
        request: Request<ListFunctionsRequest>,
    ) -> Result<Response<ListFunctionsResponse>, Status> {
        let listed = self.list(request.into_inner()).await;
        self.answer(listed)
    }

    async fn get_account_settings(
        &self,
        _request: Request<GetAccountSettingsRequest>,
    ) -> Result<Response<GetAccountSettingsResponse>, Status> {
        let account = self.account().await;
        self.answer(account)
    }
}
