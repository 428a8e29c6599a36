//! `trine mapping`.

mod parked;
mod seek;
mod settings;
mod source;

use clap::{Args, Subcommand, ValueEnum};
use trine_proto::v1::{self, MappingMode};

use crate::commands::Context;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::mapping::{MappingView, MappingsView, WhyView};

use parked::{ParkedArguments, UnparkArguments};
use seek::SeekArguments;
use settings::{SettingName, SettingsArguments};
use source::SourceArguments;

/// Mappings asked for at a time.
const PAGE_SIZE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum MappingCommand {
    /// Read a source and invoke a function with its records.
    Create(Box<CreateArguments>),
    /// List mappings, what they do and what they have done.
    List {
        /// Only those of this function.
        #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
        function: String,
    },
    /// Show the settings in force, where each came from, and what goes on in every shard.
    Describe(OneArguments),
    /// Change what is given and nothing else.
    Update(Box<UpdateArguments>),
    /// Delete a mapping, with its place and what is parked of it.
    Delete(OneArguments),
    /// Let a mapping read again.
    Enable(OneArguments),
    /// Let go of the source; the place is kept.
    Disable(OneArguments),
    /// Send nothing new, and keep the source, the place and what was read.
    Pause(OneArguments),
    /// Let a paused mapping go on.
    Resume(OneArguments),
    /// Move the place from which a mapping reads on.
    Seek(SeekArguments),
    /// Name the one thing that a mapping is waiting for.
    Why(OneArguments),
    /// List the keys that are parked, the oldest first.
    Parked(ParkedArguments),
    /// Send the records of a parked key again, in order.
    Unpark(UnparkArguments),
}

#[derive(Debug, Args)]
pub(crate) struct OneArguments {
    /// Id of the mapping.
    id: String,
}

#[derive(Debug, Args)]
#[command(after_help = CREATE_EXAMPLES)]
pub(crate) struct CreateArguments {
    /// Name of the function that is invoked.
    function: String,
    /// Version or alias of it.
    #[arg(long, value_name = "QUALIFIER", default_value = "", hide_default_value = true)]
    qualifier: String,
    #[command(flatten)]
    source: SourceArguments,
    #[command(flatten)]
    settings: SettingsArguments,
    /// What it does from the beginning.
    #[arg(long, value_enum, value_name = "MODE", default_value_t = ModeArgument::Enabled)]
    mode: ModeArgument,
}

const CREATE_EXAMPLES: &str = "Examples:
  trine mapping create resize --kafka localhost:9092 --topic pictures --starting-position trim-horizon
  trine mapping create mail --sqs arn:aws:sqs:eu-west-1:123456789012:mails --endpoint-url http://localhost:4566
  trine mapping create audit --nats nats://localhost:4222 --stream AUDIT --batch-size 500 --batching-window 2s
  trine mapping create index --file /var/log/orders.jsonl --maximum-retry-attempts 3 --on-failure file:bad.jsonl
  trine mapping create bill --nats nats://localhost:4222 --stream ORDERS --maximum-retry-attempts 3 --exhausted-policy park-key
  trine mapping create plc --custom modbus --configuration '{\"host\":\"10.0.0.7\"}'";

#[derive(Debug, Args)]
#[command(after_help = UPDATE_EXAMPLES)]
pub(crate) struct UpdateArguments {
    /// Id of the mapping.
    id: String,
    /// Invoke this function instead.
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Invoke this version or alias instead; $LATEST for none.
    #[arg(long, value_name = "QUALIFIER")]
    qualifier: Option<String>,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Set a setting back to its default; may be repeated.
    #[arg(long, value_enum, value_name = "SETTING")]
    clear: Vec<SettingName>,
}

const UPDATE_EXAMPLES: &str = "Examples:
  trine mapping update ID --batch-size 10 --maximum-concurrency 1
  trine mapping update ID --on-failure file:failed.jsonl --clear maximum-retry-attempts";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ModeArgument {
    Enabled,
    Disabled,
    Paused,
}

impl From<ModeArgument> for MappingMode {
    fn from(mode: ModeArgument) -> Self {
        match mode {
            ModeArgument::Enabled => Self::Enabled,
            ModeArgument::Disabled => Self::Disabled,
            ModeArgument::Paused => Self::Paused,
        }
    }
}

pub(crate) async fn run(context: &Context, command: MappingCommand) -> Result<Exit, Failure> {
    // Usage errors are found before a connection is made.
    let command = Request::parse(command)?;
    let connection = context.connect().await?;
    let mut client = connection.mappings();
    let failed = |status| connection.failure(&status);
    let mapping = match command {
        Request::List(function) => {
            let mappings = list(&connection, function).await?;
            context.output.show(&MappingsView { mappings })?;
            return Ok(Exit::Ok);
        }
        Request::Seek(request) => return seek::run(context, &connection, request).await,
        Request::Parked(arguments) => {
            return parked::list(context, &connection, arguments).await;
        }
        Request::Unpark(request) => return parked::unpark(context, &connection, request).await,
        Request::Why(request) => {
            let answer = client.explain_mapping(request).await.map_err(failed)?.into_inner();
            context.output.show(&WhyView::from(answer))?;
            return Ok(Exit::Ok);
        }
        Request::Create(request) => {
            client.create_mapping(*request).await.map_err(failed)?.into_inner().mapping
        }
        Request::Get(request) => {
            client.get_mapping(request).await.map_err(failed)?.into_inner().mapping
        }
        Request::Update(request) => {
            client.update_mapping(*request).await.map_err(failed)?.into_inner().mapping
        }
        Request::Delete(request) => {
            client.delete_mapping(request).await.map_err(failed)?.into_inner().mapping
        }
        Request::SetMode(request) => {
            client.set_mapping_mode(request).await.map_err(failed)?.into_inner().mapping
        }
    };
    context.output.show(&MappingView::from(mapping.unwrap_or_default()))?;
    Ok(Exit::Ok)
}

/// A command as the contract has it.
#[derive(Debug, PartialEq)]
enum Request {
    Create(Box<v1::CreateMappingRequest>),
    List(String),
    Get(v1::GetMappingRequest),
    Update(Box<v1::UpdateMappingRequest>),
    Delete(v1::DeleteMappingRequest),
    SetMode(v1::SetMappingModeRequest),
    Seek(v1::SeekMappingRequest),
    Why(v1::ExplainMappingRequest),
    Parked(v1::ListParkedKeysRequest),
    Unpark(v1::UnparkKeyRequest),
}

impl Request {
    fn parse(command: MappingCommand) -> Result<Self, Failure> {
        let mode = |OneArguments { id }, mode: MappingMode| {
            Self::SetMode(v1::SetMappingModeRequest { id, mode: mode.into() })
        };
        Ok(match command {
            MappingCommand::Create(arguments) => Self::Create(Box::new(create(*arguments)?)),
            MappingCommand::List { function } => Self::List(function),
            MappingCommand::Describe(OneArguments { id }) => {
                Self::Get(v1::GetMappingRequest { id })
            }
            MappingCommand::Update(arguments) => Self::Update(Box::new(update(*arguments)?)),
            MappingCommand::Delete(OneArguments { id }) => {
                Self::Delete(v1::DeleteMappingRequest { id })
            }
            MappingCommand::Enable(one) | MappingCommand::Resume(one) => {
                mode(one, MappingMode::Enabled)
            }
            MappingCommand::Disable(one) => mode(one, MappingMode::Disabled),
            MappingCommand::Pause(one) => mode(one, MappingMode::Paused),
            MappingCommand::Seek(arguments) => Self::Seek(arguments.request()?),
            MappingCommand::Why(OneArguments { id }) => Self::Why(v1::ExplainMappingRequest { id }),
            MappingCommand::Parked(arguments) => Self::Parked(arguments.request()),
            MappingCommand::Unpark(arguments) => Self::Unpark(arguments.request()?),
        })
    }
}

fn create(arguments: CreateArguments) -> Result<v1::CreateMappingRequest, Failure> {
    let CreateArguments { function, qualifier, source, settings, mode } = arguments;
    // On a new mapping `none` is what is there anyway.
    let (settings, _) = settings.split()?;
    Ok(v1::CreateMappingRequest {
        function,
        qualifier,
        source: Some(source.config()?),
        settings: Some(settings),
        mode: MappingMode::from(mode).into(),
    })
}

fn update(arguments: UpdateArguments) -> Result<v1::UpdateMappingRequest, Failure> {
    let UpdateArguments { id, function, qualifier, settings, clear } = arguments;
    let (settings, none) = settings.split()?;
    let mut clear: Vec<String> =
        clear.iter().chain(&none).map(|name| name.field().to_owned()).collect();
    clear.sort_unstable();
    clear.dedup();
    let moved = function.is_some() || qualifier.is_some();
    if clear.is_empty() && !moved && settings == v1::MappingSettings::default() {
        return Err(Failure::Usage(
            "nothing to change: give at least one setting, --function, or --clear".to_owned(),
        ));
    }
    let function = function.unwrap_or_default();
    Ok(v1::UpdateMappingRequest { id, function, qualifier, settings: Some(settings), clear })
}

async fn list(connection: &Connection, function: String) -> Result<Vec<MappingView>, Failure> {
    let mut mappings = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListMappingsRequest {
            function: function.clone(),
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = connection.mappings().list_mappings(request).await;
        let page = page.map_err(|status| connection.failure(&status))?.into_inner();
        mappings.extend(page.mappings.into_iter().map(MappingView::from));
        if page.next_page_token.is_empty() {
            return Ok(mappings);
        }
        page_token = page.next_page_token;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use trine_proto::v1::source_config::Source;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: MappingCommand,
    }

    fn parse(line: &str) -> Result<Request, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Request::parse(line.command).map_err(|failure| failure.to_string())
    }

    fn source(options: &str) -> Source {
        match parse(&format!("mapping create f {options}")) {
            Ok(Request::Create(request)) => request.source.unwrap().source.unwrap(),
            other => panic!("{options}: {other:?}"),
        }
    }

    #[test]
    fn every_source_can_be_written() {
        let Source::Kafka(kafka) = source("--kafka a:1,b:2 --topic t --group g") else { panic!() };
        assert_eq!(kafka.bootstrap_servers, ["a:1", "b:2"]);
        assert_eq!((kafka.topic.as_str(), kafka.consumer_group_id.as_str()), ("t", "g"));
        let arn = "arn:aws:sqs:r:1:q";
        let Source::Sqs(sqs) = source(&format!("--sqs {arn} --endpoint-url http://l:1")) else {
            panic!()
        };
        assert_eq!((sqs.queue_arn.as_str()), arn);
        assert_eq!(sqs.access.unwrap().endpoint_url, "http://l:1");
        assert!(matches!(source("--kinesis arn:aws:kinesis:r:1:s"), Source::Kinesis(_)));
        assert!(matches!(source("--dynamodb-streams a"), Source::DynamodbStreams(_)));
        assert!(matches!(source("--rabbitmq amqp://h --queue q"), Source::Rabbitmq(_)));
        assert!(matches!(source("--activemq stomp://h --queue q"), Source::Activemq(_)));
        let Source::Nats(nats) = source("--nats nats://h --stream S --subject a.* --subject b")
        else {
            panic!()
        };
        assert_eq!(nats.filter_subjects, ["a.*", "b"]);
        assert!(matches!(source("--redis redis://h --stream k"), Source::Redis(_)));
        assert!(matches!(source("--file /a"), Source::File(_)));
        let Source::Custom(custom) = source("--custom modbus --configuration {}") else { panic!() };
        assert_eq!((custom.kind.as_str(), custom.configuration.as_str()), ("modbus", "{}"));
    }

    #[test]
    fn none_and_clear_take_settings_away() {
        let line = "mapping update x --on-failure none --filter none --clear batch-size";
        let Ok(Request::Update(request)) = parse(line) else { panic!("refused") };
        assert_eq!(request.clear, ["batch_size", "filters", "on_failure"]);
    }

    #[test]
    fn a_place_is_one_place() {
        let target = |line: &str| match parse(line) {
            Ok(Request::Seek(request)) => request.target.unwrap().target.unwrap(),
            other => panic!("{line}: {other:?}"),
        };
        use trine_proto::v1::seek_target::Target;
        assert_eq!(target("mapping seek x --to-position 7"), Target::Position("7".to_owned()));
        let time = target("mapping seek x --to-time 2000-02-29T00:00:00Z");
        assert_eq!(time, Target::TimestampMs(951_782_400_000));
        assert!(matches!(target("mapping seek x --to-end --preview"), Target::Edge(2)));
    }

    #[test]
    fn what_makes_no_sense_is_refused_here() {
        for (line, part) in [
            ("mapping update x", "nothing to change"),
            ("mapping create f", "--kafka"),
            ("mapping create f --kafka a:1", "--topic"),
            ("mapping create f --rabbitmq amqp://h", "--queue"),
            ("mapping create f --nats nats://h", "--stream"),
            ("mapping create f --file a --sqs b", "cannot be used with"),
            ("mapping create f --file a --topic t", "--topic"),
            ("mapping create f --custom k", "--configuration"),
            ("mapping create f --file a --batching-window 5", "500ms"),
            ("mapping create f --file a --maximum-retry-attempts lots", "for-ever"),
            ("mapping create f --file a --starting-position soon", "possible values"),
            ("mapping seek x", "--to-position"),
            ("mapping seek x --to-start --to-end", "cannot be used with"),
            ("mapping seek x --to-time yesterday", "2026-"),
            ("mapping unpark x s", "--key"),
            ("mapping unpark x s --key-base64 ?", "base64"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
