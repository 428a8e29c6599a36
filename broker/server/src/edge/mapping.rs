//! `MappingService`: definitions are checked here, once, and decided upon in the registry.

use tonic::{Request, Response, Status};
use trine_engine::mapping::{
    MappingAnswer, MappingId, MappingInput, MappingMode, MappingRefusal, MappingView, ShardSeek,
};
use trine_engine::{FunctionName, FunctionView, Qualifier};
use trine_proto::v1;
use trine_proto::v1::mapping_service_server::MappingService;
use trine_proto::v1::{
    CreateMappingRequest, CreateMappingResponse, DeleteMappingRequest, DeleteMappingResponse,
    ExplainMappingRequest, ExplainMappingResponse, GetMappingRequest, GetMappingResponse,
    ListMappingsRequest, ListMappingsResponse, ListParkedKeysRequest, ListParkedKeysResponse,
    Mapping, MappingSettings, ParkedKey, Refusal, SeekMappingRequest, SeekMappingResponse,
    SeekTarget, SetMappingModeRequest, SetMappingModeResponse, StartingPosition, UnparkKeyRequest,
    UnparkKeyResponse, UpdateMappingRequest, UpdateMappingResponse,
};

use super::mapping_view::{mapping, time};
use super::{mapping_explain, mapping_settings, mapping_source, refused};
use crate::clock::Clock;
use crate::destinations::{Destinations, ForbiddenDestination};
use crate::mappings::definition;
use crate::mappings::message::MappingsHandle;
use crate::metrics::Metrics;
use crate::options::DestinationPolicy;
use crate::refusal::{from_engine, from_registry, invalid, invalid_setting, refuse};
use crate::request_id;
use crate::shard::message::ShardHandle;

const PAGE_SIZE_DEFAULT: u32 = 100;
const PAGE_SIZE_MAX: u32 = 1_000;

/// Rounds of reading, changing and writing that an update makes while others change the same mapping.
const UPDATE_ROUNDS_MAX: u32 = 5;

/// Longest position, name of a shard, and key, in bytes.
pub(crate) const POSITION_BYTES_MAX: usize = 4_096;
pub(crate) const SHARD_BYTES_MAX: usize = 1_024;
pub(crate) const KEY_BYTES_MAX: usize = 64 << 10;

pub(crate) struct MappingEdge {
    pub(crate) mappings: MappingsHandle,
    pub(crate) shard: ShardHandle,
    pub(crate) clock: Clock,
    pub(crate) metrics: Metrics,
    pub(crate) policy: DestinationPolicy,
}

impl MappingEdge {
    async fn view(&self, id: MappingId) -> Result<MappingView, Refusal> {
        let found = self.mappings.query(move |registry| registry.mapping(id)).await?;
        found.ok_or_else(|| from_registry(MappingRefusal::Unknown, &id.to_string()))
    }

    async fn function(&self, name: &str) -> Result<Option<FunctionView>, Refusal> {
        let name = name.to_owned();
        self.shard.query(move |engine| engine.function(&name)).await
    }

    /// The function and qualifier of a request; they must exist when a mapping is made or moved to them. A function that
    /// is deleted later leaves its mappings: their invocations are refused until it is back, as on Lambda.
    async fn target(&self, name: &str, qualifier: &str) -> Result<FunctionName, Refusal> {
        let function = FunctionName::new(name).map_err(|error| invalid_setting(&error))?;
        let parsed = Qualifier::parse(qualifier).map_err(|error| invalid_setting(&error))?;
        let wanted = name.to_owned();
        let found = self.shard.query(move |engine| engine.resolve(&wanted, &parsed)).await?;
        found.map_err(|refusal| from_engine(refusal, name))?;
        Ok(function)
    }

    fn check(&self, source: &v1::SourceConfig, given: &MappingSettings) -> Result<(), Refusal> {
        mapping_settings::check(source, given, self.clock.now())?;
        let Some(target) = given.on_failure.clone() else { return Ok(()) };
        let target = definition::destination(source, target)?;
        Destinations::check(&self.policy, &target).map_err(|forbidden| match forbidden {
            ForbiddenDestination::Malformed(why) => invalid(why),
            ForbiddenDestination::Policy(why) => refuse(v1::Reason::DestinationForbidden, why),
        })
    }

    async fn create(&self, request: CreateMappingRequest) -> Result<Mapping, Refusal> {
        let source = request.source.unwrap_or_default();
        mapping_source::check(&source)?;
        let settings = request.settings.unwrap_or_default();
        self.check(&source, &settings)?;
        let function = self.target(&request.function, &request.qualifier).await?;
        let mode = wanted_mode(request.mode)?.unwrap_or(MappingMode::Enabled);
        let subject = subject(&source, &request.function);
        let id = MappingId(request_id::random_uuid());
        let definition = definition::write(function, &request.qualifier, id, source, settings);
        let create = move |caller| MappingInput::Create { caller, id, definition, mode };
        self.changed(self.mappings.control(create).await?, &subject)
    }

    async fn update(&self, request: UpdateMappingRequest) -> Result<Mapping, Refusal> {
        let id = id(&request.id)?;
        for _ in 0..UPDATE_ROUNDS_MAX {
            let view = self.view(id).await?;
            let document = definition::read(&view.definition).map_err(invalid)?;
            let source = document.source.unwrap_or_default();
            let given = request.settings.clone().unwrap_or_default();
            let stored = document.settings.unwrap_or_default();
            let settings = mapping_settings::changed(stored, given, &request.clear)?;
            self.check(&source, &settings)?;
            let moved = !request.function.is_empty() || request.qualifier.is_some();
            let name = match request.function.as_str() {
                "" => view.definition.function.to_string(),
                name => name.to_owned(),
            };
            let qualifier =
                request.qualifier.clone().unwrap_or_else(|| view.definition.qualifier.to_string());
            let function = if moved {
                self.target(&name, &qualifier).await?
            } else {
                view.definition.function.clone()
            };
            let subject = subject(&source, &name);
            let definition = definition::write(function, &qualifier, id, source, settings);
            let revision = view.revision;
            let update = move |caller| MappingInput::Update { caller, id, revision, definition };
            match self.mappings.control(update).await? {
                MappingAnswer::Refused(MappingRefusal::Changed) => {}
                answer @ MappingAnswer::Refused(MappingRefusal::Exists { .. }) => {
                    return self.changed(answer, &subject);
                }
                answer => return self.changed(answer, &request.id),
            }
        }
        Err(from_registry(MappingRefusal::Busy, &request.id))
    }

    async fn set_mode(&self, request: SetMappingModeRequest) -> Result<Mapping, Refusal> {
        let id = id(&request.id)?;
        let mode = wanted_mode(request.mode)?;
        let mode = mode.ok_or_else(|| invalid("mode must be ENABLED, DISABLED or PAUSED."))?;
        let set = move |caller| MappingInput::SetMode { caller, id, mode };
        self.changed(self.mappings.control(set).await?, &request.id)
    }

    async fn delete(&self, request: DeleteMappingRequest) -> Result<Mapping, Refusal> {
        let id = id(&request.id)?;
        let delete = move |caller| MappingInput::Delete { caller, id };
        self.changed(self.mappings.control(delete).await?, &request.id)
    }

    fn changed(&self, answer: MappingAnswer, subject: &str) -> Result<Mapping, Refusal> {
        match answer {
            MappingAnswer::Changed(view) => Ok(mapping(&view)),
            other => Err(astray(other, subject)),
        }
    }

    async fn list(&self, request: ListMappingsRequest) -> Result<ListMappingsResponse, Refusal> {
        let size = page_size(request.page_size)?;
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(id(token).map_err(|_| invalid("page_token is not one of this list."))?),
        };
        let function = request.function;
        let mut views = self
            .mappings
            .query(move |registry| {
                registry.mappings(after, size + 1, |definition| {
                    function.is_empty() || definition.function.as_str() == function
                })
            })
            .await?;
        let known = views.len();
        views.truncate(size);
        let mut bytes = 0;
        let mappings: Vec<_> = views
            .iter()
            .map(mapping)
            .take_while(|mapping| {
                let first = bytes == 0;
                bytes += prost::Message::encoded_len(mapping);
                first || bytes <= PAGE_BYTES_MAX
            })
            .collect();
        views.truncate(mappings.len());
        let more = known > views.len();
        let last = views.last().map(|view| view.id.to_string());
        Ok(ListMappingsResponse {
            next_page_token: last.filter(|_| more).unwrap_or_default(),
            mappings,
        })
    }

    async fn seek(&self, request: SeekMappingRequest) -> Result<SeekMappingResponse, Refusal> {
        let id = id(&request.id)?;
        let target = request.target.unwrap_or_default();
        check_target(&target)?;
        let preview = request.preview;
        let seek = move |caller| MappingInput::Seek { caller, id, preview };
        match self.mappings.control_with(seek, Some(target)).await? {
            MappingAnswer::Sought { shards, done } => Ok(SeekMappingResponse {
                shards: shards.into_iter().map(shard_seek).collect(),
                done,
            }),
            other => Err(astray(other, &request.id)),
        }
    }

    async fn explain(
        &self,
        request: ExplainMappingRequest,
    ) -> Result<ExplainMappingResponse, Refusal> {
        let view = self.view(id(&request.id)?).await?;
        let function = self.function(view.definition.function.as_str()).await?;
        let account = self.shard.query(trine_engine::Engine::account).await?;
        let told = mapping_explain::explain(&view, function.as_ref(), &account);
        Ok(ExplainMappingResponse {
            message: told.message,
            until_ms: told.until.map(time),
            mapping: Some(mapping(&view)),
        })
    }

    async fn parked(
        &self,
        request: ListParkedKeysRequest,
    ) -> Result<ListParkedKeysResponse, Refusal> {
        let id = id(&request.id)?;
        let size = page_size(request.page_size)?;
        let after: u64 = match request.page_token.as_str() {
            "" => 0,
            token => token.parse().map_err(|_| invalid("page_token is not one of this list."))?,
        };
        let found = self.mappings.query(move |registry| registry.parked_keys(id)).await?;
        let unknown = || from_registry(MappingRefusal::Unknown, &request.id);
        let mut keys = found.ok_or_else(unknown)?;
        keys.retain(|key| key.number > after);
        keys.sort_unstable_by_key(|key| key.number);
        let more = keys.len() > size;
        keys.truncate(size);
        let last = keys.last().map(|key| key.number.to_string());
        let keys = keys.into_iter().map(|key| ParkedKey {
            shard: key.shard.to_string(),
            key: key.key.to_vec().into(),
            records: key.records,
            since_ms: time(key.since),
            error: key.error.to_string(),
            unparking: key.unparking,
        });
        Ok(ListParkedKeysResponse {
            keys: keys.collect(),
            next_page_token: last.filter(|_| more).unwrap_or_default(),
        })
    }

    async fn unpark(&self, request: UnparkKeyRequest) -> Result<UnparkKeyResponse, Refusal> {
        let id = id(&request.id)?;
        let UnparkKeyRequest { shard, key, skip_first, .. } = request;
        let (shard, key) = (shard.into_boxed_str(), key.to_vec().into_boxed_slice());
        let unpark = move |caller| MappingInput::Unpark { caller, id, shard, key, skip_first };
        match self.mappings.control(unpark).await? {
            MappingAnswer::Unparked { records } => Ok(UnparkKeyResponse { records }),
            other => Err(astray(other, &request.id)),
        }
    }

    fn answer<T>(&self, outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
        outcome.map(Response::new).map_err(|refusal| refused(&self.metrics, &refusal))
    }
}

/// A refusal as it is, and any other answer as the defect that it is.
fn astray(answer: MappingAnswer, subject: &str) -> Refusal {
    match answer {
        MappingAnswer::Refused(refusal) => from_registry(refusal, subject),
        _ => refuse(v1::Reason::Internal, "The request got another answer than its own."),
    }
}

fn id(text: &str) -> Result<MappingId, Refusal> {
    let read = request_id::parse(text).map(|id| MappingId(id.0));
    read.ok_or_else(|| invalid(format!("{text:?} is not the id of a mapping, which is a UUID.")))
}

/// Bytes of a page, unless one mapping alone has more: filters and shards can make a thousand mappings larger than a message may be.
const PAGE_BYTES_MAX: usize = 4 << 20;

fn page_size(given: u32) -> Result<usize, Refusal> {
    match given {
        0 => Ok(PAGE_SIZE_DEFAULT as usize),
        size if size <= PAGE_SIZE_MAX => Ok(size as usize),
        _ => Err(invalid("page_size must be 1 to 1000.")),
    }
}

fn wanted_mode(number: i32) -> Result<Option<MappingMode>, Refusal> {
    match v1::MappingMode::try_from(number) {
        Ok(v1::MappingMode::Unspecified) => Ok(None),
        Ok(v1::MappingMode::Enabled) => Ok(Some(MappingMode::Enabled)),
        Ok(v1::MappingMode::Disabled) => Ok(Some(MappingMode::Disabled)),
        Ok(v1::MappingMode::Paused) => Ok(Some(MappingMode::Paused)),
        Err(_) => Err(invalid("mode must be ENABLED, DISABLED or PAUSED.")),
    }
}

/// A source and a function in Lambda's words (LS 4.1).
fn subject(source: &v1::SourceConfig, function: &str) -> String {
    let (kind, identity) = definition::identity(source);
    let what = match kind.as_str() {
        "sqs" => "SQS arn",
        "kinesis" => "Kinesis arn",
        "dynamodb_streams" => "DynamoDB arn",
        "kafka" => "Kafka topic",
        "rabbitmq" | "activemq" => "MQ queue",
        "nats" => "NATS stream",
        "redis" => "Redis stream",
        "file" => "file",
        _ => "source",
    };
    format!("{what} (\" {identity} \") and function (\" {function} \")")
}

fn check_target(target: &SeekTarget) -> Result<(), Refusal> {
    use v1::seek_target::Target;
    if target.shard.len() > SHARD_BYTES_MAX {
        return Err(invalid(format!("target.shard must have at most {SHARD_BYTES_MAX} bytes.")));
    }
    match &target.target {
        None => Err(invalid("target must be a position, a time, the start or the end.")),
        Some(Target::Position(position))
            if position.is_empty() || position.len() > POSITION_BYTES_MAX =>
        {
            Err(invalid(format!("target.position must have 1 to {POSITION_BYTES_MAX} bytes.")))
        }
        Some(Target::TimestampMs(at)) if *at < 0 => {
            Err(invalid("target.timestamp_ms must not lie before 1970."))
        }
        Some(Target::Edge(edge)) => match StartingPosition::try_from(*edge) {
            Ok(StartingPosition::TrimHorizon | StartingPosition::Latest) => Ok(()),
            _ => Err(invalid("target.edge must be TRIM_HORIZON or LATEST.")),
        },
        Some(_) => Ok(()),
    }
}

fn shard_seek(seek: ShardSeek) -> v1::ShardSeek {
    v1::ShardSeek {
        shard: seek.shard.into(),
        from: seek.from.into(),
        to: seek.to.into(),
        read_again: seek.read_again,
        skipped: seek.skipped,
    }
}

#[tonic::async_trait]
impl MappingService for MappingEdge {
    async fn create_mapping(
        &self,
        request: Request<CreateMappingRequest>,
    ) -> Result<Response<CreateMappingResponse>, Status> {
        let created = self.create(request.into_inner()).await;
        self.answer(created.map(|mapping| CreateMappingResponse { mapping: Some(mapping) }))
    }

    async fn get_mapping(
        &self,
        request: Request<GetMappingRequest>,
    ) -> Result<Response<GetMappingResponse>, Status> {
        let found = match id(&request.into_inner().id) {
            Ok(id) => self.view(id).await,
            Err(refusal) => Err(refusal),
        };
        self.answer(found.map(|view| GetMappingResponse { mapping: Some(mapping(&view)) }))
    }

    async fn list_mappings(
        &self,
        request: Request<ListMappingsRequest>,
    ) -> Result<Response<ListMappingsResponse>, Status> {
        let listed = self.list(request.into_inner()).await;
        self.answer(listed)
    }

    async fn update_mapping(
        &self,
        request: Request<UpdateMappingRequest>,
    ) -> Result<Response<UpdateMappingResponse>, Status> {
        let updated = self.update(request.into_inner()).await;
        self.answer(updated.map(|mapping| UpdateMappingResponse { mapping: Some(mapping) }))
    }

    async fn delete_mapping(
        &self,
        request: Request<DeleteMappingRequest>,
    ) -> Result<Response<DeleteMappingResponse>, Status> {
        let deleted = self.delete(request.into_inner()).await;
        self.answer(deleted.map(|mapping| DeleteMappingResponse { mapping: Some(mapping) }))
    }

    async fn set_mapping_mode(
        &self,
        request: Request<SetMappingModeRequest>,
    ) -> Result<Response<SetMappingModeResponse>, Status> {
        let set = self.set_mode(request.into_inner()).await;
        self.answer(set.map(|mapping| SetMappingModeResponse { mapping: Some(mapping) }))
    }

    async fn seek_mapping(
        &self,
        request: Request<SeekMappingRequest>,
    ) -> Result<Response<SeekMappingResponse>, Status> {
        let sought = self.seek(request.into_inner()).await;
        self.answer(sought)
    }

    async fn explain_mapping(
        &self,
        request: Request<ExplainMappingRequest>,
    ) -> Result<Response<ExplainMappingResponse>, Status> {
        let explained = self.explain(request.into_inner()).await;
        self.answer(explained)
    }

    async fn list_parked_keys(
        &self,
        request: Request<ListParkedKeysRequest>,
    ) -> Result<Response<ListParkedKeysResponse>, Status> {
        let listed = self.parked(request.into_inner()).await;
        self.answer(listed)
    }

    async fn unpark_key(
        &self,
        request: Request<UnparkKeyRequest>,
    ) -> Result<Response<UnparkKeyResponse>, Status> {
        let unparked = self.unpark(request.into_inner()).await;
        self.answer(unparked)
    }
}
