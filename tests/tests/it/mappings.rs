//! Event source mappings as their users and their pollers see them. The poller is the test's: it reads no source, and
//! says what no honest one would where a rule is to be broken.

use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    CreateMappingRequest, DeleteMappingRequest, ExplainMappingRequest, GetMappingRequest,
    ListMappingsRequest, ListParkedKeysRequest, Mapping, MappingCounts, MappingMode,
    MappingSettings, MappingState, ParkReport, ParkedRecord, PollerServiceSessionRequest, Reason,
    Refusal, ReportOutcome, SeekMappingRequest, SeekMappingResponse, SeekReport, SeekTarget,
    SetMappingModeRequest, ShardActivity, ShardCheckpoint, ShardSeek, SourceConfig, SqsSource,
    StatusReport, UnparkKeyRequest, UpdateMappingRequest, seek_target,
};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, file, reason, refusal};
use trine_tests::fixture::raw_poller::{RawPoller, at, hello};
use trine_tests::fixture::wait::until;
use trine_tests::fixture::{LIMIT, run};

use crate::scene::patient;

const ARN: &str = "arn:aws:sqs:eu-central-1:123456789012:orders";

fn sqs(name: &str) -> SourceConfig {
    let queue_arn = format!("arn:aws:sqs:eu-central-1:123456789012:{name}");
    SourceConfig { source: Some(Source::Sqs(SqsSource { queue_arn, ..SqsSource::default() })) }
}

fn custom(number: usize) -> SourceConfig {
    let custom = trine_proto::v1::CustomSource {
        kind: "puppet".to_owned(),
        configuration: format!("{{\"number\": {number}}}"),
    };
    SourceConfig { source: Some(Source::Custom(custom)) }
}

async fn try_create(
    client: &Client,
    function: &str,
    source: SourceConfig,
    settings: MappingSettings,
) -> Result<Mapping, Refusal> {
    let request = CreateMappingRequest {
        function: function.to_owned(),
        source: Some(source),
        settings: Some(settings),
        ..CreateMappingRequest::default()
    };
    let created = client.mappings().create_mapping(request).await.map_err(refusal)?;
    Ok(created.into_inner().mapping.unwrap())
}

async fn create(client: &Client, source: SourceConfig) -> Mapping {
    try_create(client, "f", source, MappingSettings::default()).await.unwrap()
}

async fn try_get(client: &Client, id: &str) -> Result<Mapping, Refusal> {
    let request = GetMappingRequest { id: id.to_owned() };
    let got = client.mappings().get_mapping(request).await.map_err(refusal)?;
    Ok(got.into_inner().mapping.unwrap())
}

async fn get(client: &Client, id: &str) -> Mapping {
    try_get(client, id).await.unwrap()
}

async fn set_mode(client: &Client, id: &str, mode: MappingMode) -> Result<Mapping, Refusal> {
    let request = SetMappingModeRequest { id: id.to_owned(), mode: mode.into() };
    let set = client.mappings().set_mapping_mode(request).await.map_err(refusal)?;
    Ok(set.into_inner().mapping.unwrap())
}

async fn delete(client: &Client, id: &str) -> Result<Mapping, Refusal> {
    let request = DeleteMappingRequest { id: id.to_owned() };
    let deleted = client.mappings().delete_mapping(request).await.map_err(refusal)?;
    Ok(deleted.into_inner().mapping.unwrap())
}

async fn why(client: &Client, id: &str) -> String {
    let request = ExplainMappingRequest { id: id.to_owned() };
    client.mappings().explain_mapping(request).await.unwrap().into_inner().message
}

#[test]
fn a_poller_is_given_a_mapping_and_its_checkpoints_are_kept() {
    run(async {
        let mut broker = Broker::start().await;
        let client = broker.client();
        client.create("f", patient()).await;
        let mapping = create(&client, custom(1)).await;
        let id = mapping.id.as_str();
        assert_eq!(mapping.state(), MappingState::Creating);
        assert_eq!(get(&client, id).await.state(), MappingState::Enabled);
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let given = poller.assignment().await;
        assert!(given.checkpoints.is_empty() && !given.paused && !given.more);
        let first = given.fence;
        assert_eq!(poller.checkpoint((id, first), at("s", "7")).await, ReportOutcome::Done);
        assert_eq!(
            poller.checkpoint((id, first - 1), at("s", "1")).await,
            ReportOutcome::StaleFence
        );
        broker.crash().await;
        let mut poller = RawPoller::join(&client, "p", &["puppet"], 10).await;
        let given = poller.assignment().await;
        assert!(given.fence > first, "{} after {first}", given.fence);
        assert_eq!(given.checkpoints, [at("s", "7")]);
    });
}
