//! `trine function`.

use clap::{Args, Subcommand, ValueEnum};
use trine_proto::v1;

use crate::commands::Context;
use crate::connection::Connection;
use crate::destination::DestinationArgument;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::function::{FunctionView, FunctionsView};
use crate::{destination, duration};

/// Functions asked for at a time.
const PAGE_SIZE: u32 = 1000;

#[derive(Debug, Subcommand)]
pub(crate) enum FunctionCommand {
    /// Create a function; what is not given stays at its default.
    Create(CreateArguments),
    /// List all functions and what goes on in them.
    List,
    /// Show the settings in force, where each came from, and what goes on.
    Describe {
        /// Name of the function.
        name: String,
    },
    /// Change what is given and nothing else.
    Update(UpdateArguments),
    /// Delete a function.
    Delete(DeleteArguments),
}

#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// Name: 1 to 64 of a-z A-Z 0-9 - _.
    name: String,
    #[command(flatten)]
    settings: SettingsArguments,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArguments {
    /// Name of the function.
    name: String,
    #[command(flatten)]
    settings: SettingsArguments,
    /// Set a setting back to its default; may be repeated.
    #[arg(long, value_enum, value_name = "SETTING")]
    clear: Vec<SettingName>,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Name of the function.
    name: String,
    /// Cancel what is queued and running first; without it a busy function is not deleted.
    #[arg(long)]
    force: bool,
}

/// The settings of a function.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
struct SettingsArguments {
    /// For people, at most 256 characters.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Longest run of an attempt, 1s to 15m [default: 3s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    timeout: Option<u32>,
    /// Memory in MB that workers are told, 128 to 10240 [default: 128].
    #[arg(long, value_name = "MB")]
    memory: Option<u32>,
    /// Concurrency kept for this function and its ceiling; 0 switches it off, none takes the
    /// reservation away [default: none].
    #[arg(long, value_name = "COUNT|none", value_parser = reservation)]
    reserved_concurrency: Option<Reservation>,
    /// Retries of an asynchronous invocation after function errors, 0 to 2 [default: 2].
    #[arg(long, value_name = "COUNT")]
    max_retries: Option<u32>,
    /// Age at which an event is given up, 1m to 6h [default: 6h].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_seconds)]
    max_event_age: Option<u32>,
    /// Where the record of a succeeded asynchronous invocation goes: function:NAME, http(s)://…,
    /// nats://HOST:PORT/SUBJECT, jetstream://HOST:PORT/SUBJECT, file:NAME, sqs:ARN or sqs:URL,
    /// sns:URL#TOPIC_ARN, kafka://HOST:PORT/TOPIC, rabbitmq://HOST:PORT/QUEUE or
    /// rabbitmq://HOST:PORT/EXCHANGE/KEY, none.
    #[arg(long, value_name = "DESTINATION", value_parser = destination::parse)]
    on_success: Option<DestinationArgument>,
    /// Where the record of a failed one goes; written like --on-success.
    #[arg(long, value_name = "DESTINATION", value_parser = destination::parse)]
    on_failure: Option<DestinationArgument>,
}

/// `--reserved-concurrency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reservation {
    None,
    Of(u32),
}

/// What `--clear` takes: the names of the contract, with hyphens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SettingName {
    Description,
    Timeout,
    Memory,
    ReservedConcurrency,
    MaxRetries,
    MaxEventAge,
    OnSuccess,
    OnFailure,
}

impl SettingName {
    /// The field of `FunctionSettings`.
    const fn field(self) -> &'static str {
        match self {
            Self::Description => "description",
            Self::Timeout => "timeout_seconds",
            Self::Memory => "memory_mb",
            Self::ReservedConcurrency => "reserved_concurrency",
            Self::MaxRetries => "max_retries",
            Self::MaxEventAge => "max_event_age_seconds",
            Self::OnSuccess => "on_success",
            Self::OnFailure => "on_failure",
        }
    }
}

pub(crate) async fn run(context: &Context, command: FunctionCommand) -> Result<Exit, Failure> {
    let request = Request::parse(command)?;
    let connection = context.connect().await?;
    let mut client = connection.functions();
    let failed = |status| connection.failure(&status);
    let function = match request {
        Request::List => {
            let functions = list(&connection).await?;
            context.output.show(&FunctionsView { functions })?;
            return Ok(Exit::Ok);
        }
        Request::Delete(request) => {
            let name = request.name.clone();
            client.delete_function(request).await.map_err(failed)?;
            context.output.show(&Deleted { deleted: name })?;
            return Ok(Exit::Ok);
        }
        Request::Create(request) => {
            client.create_function(request).await.map_err(failed)?.into_inner().function
        }
        Request::Get(request) => {
            client.get_function(request).await.map_err(failed)?.into_inner().function
        }
        Request::Update(request) => {
            client.update_function(request).await.map_err(failed)?.into_inner().function
        }
    };
    context.output.show(&FunctionView::from(function.unwrap_or_default()))?;
    Ok(Exit::Ok)
}

/// A command as the contract has it; usage errors are found before a connection is made.
#[derive(Debug, PartialEq)]
enum Request {
    Create(v1::CreateFunctionRequest),
    List,
    Get(v1::GetFunctionRequest),
    Update(v1::UpdateFunctionRequest),
    Delete(v1::DeleteFunctionRequest),
}

impl Request {
    fn parse(command: FunctionCommand) -> Result<Self, Failure> {
        Ok(match command {
            FunctionCommand::List => Self::List,
            FunctionCommand::Describe { name } => Self::Get(v1::GetFunctionRequest { name }),
            FunctionCommand::Create(CreateArguments { name, settings }) => {
                // On a new function `none` is what is there anyway.
                let (settings, _) = settings.split();
                Self::Create(v1::CreateFunctionRequest { name, settings: Some(settings) })
            }
            FunctionCommand::Update(arguments) => Self::Update(update(arguments)?),
            FunctionCommand::Delete(DeleteArguments { name, force }) => {
                Self::Delete(v1::DeleteFunctionRequest { name, force })
            }
        })
    }
}

fn update(arguments: UpdateArguments) -> Result<v1::UpdateFunctionRequest, Failure> {
    let (settings, none) = arguments.settings.split();
    let mut clear: Vec<String> =
        arguments.clear.iter().chain(&none).map(|name| name.field().to_owned()).collect();
    clear.sort_unstable();
    clear.dedup();
    if clear.is_empty() && settings == v1::FunctionSettings::default() {
        return Err(Failure::Usage(
            "nothing to change: give at least one setting, or --clear".to_owned(),
        ));
    }
    Ok(v1::UpdateFunctionRequest { name: arguments.name, settings: Some(settings), clear })
}

impl SettingsArguments {
    /// What is to be set, and what was given as `none`.
    fn split(self) -> (v1::FunctionSettings, Vec<SettingName>) {
        let mut none = Vec::new();
        let mut destination = |argument, name| match argument {
            Some(DestinationArgument::To(destination)) => Some(destination),
            Some(DestinationArgument::None) => {
                none.push(name);
                None
            }
            None => None,
        };
        let on_success = destination(self.on_success, SettingName::OnSuccess);
        let on_failure = destination(self.on_failure, SettingName::OnFailure);
        let reserved_concurrency = match self.reserved_concurrency {
            Some(Reservation::Of(count)) => Some(count),
            Some(Reservation::None) => {
                none.push(SettingName::ReservedConcurrency);
                None
            }
            None => None,
        };
        let settings = v1::FunctionSettings {
            description: self.description,
            timeout_seconds: self.timeout,
            memory_mb: self.memory,
            reserved_concurrency,
            max_retries: self.max_retries,
            max_event_age_seconds: self.max_event_age,
            on_success,
            on_failure,
        };
        (settings, none)
    }
}

fn reservation(text: &str) -> Result<Reservation, &'static str> {
    match text {
        "none" => Ok(Reservation::None),
        _ => text.parse().map(Reservation::Of).map_err(|_| "expected a whole number, or none"),
    }
}

async fn list(connection: &Connection) -> Result<Vec<FunctionView>, Failure> {
    let mut functions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListFunctionsRequest { page_size: PAGE_SIZE, page_token };
        let page = connection.functions().list_functions(request).await;
        let page = page.map_err(|status| connection.failure(&status))?.into_inner();
        functions.extend(page.functions.into_iter().map(FunctionView::from));
        if page.next_page_token.is_empty() {
            return Ok(functions);
        }
        page_token = page.next_page_token;
    }
}

#[derive(Debug, serde::Serialize)]
struct Deleted {
    deleted: String,
}

impl crate::output::View for Deleted {
    fn text(&self, paint: crate::paint::Paint) -> String {
        format!("deleted {}", paint.strong(&self.deleted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: FunctionCommand,
    }

    fn parse(line: &str) -> Result<Request, String> {
        let line = Line::try_parse_from(line.split(' ')).map_err(|error| error.to_string())?;
        Request::parse(line.command).map_err(|failure| failure.to_string())
    }

    #[test]
    fn none_takes_a_setting_away() {
        let line = "function update f --on-failure none --reserved-concurrency none --timeout 1m";
        let Ok(Request::Update(request)) = parse(line) else { panic!("refused") };
        assert_eq!(request.clear, ["on_failure", "reserved_concurrency"]);
        assert_eq!(request.settings.and_then(|settings| settings.timeout_seconds), Some(60));
    }

    #[test]
    fn clear_takes_the_names_of_the_options() {
        let line = "function update f --clear timeout --clear max-event-age --clear timeout";
        let Ok(Request::Update(request)) = parse(line) else { panic!("refused") };
        assert_eq!(request.clear, ["max_event_age_seconds", "timeout_seconds"]);
    }

    #[test]
    fn what_makes_no_sense_is_refused_here() {
        for (line, part) in [
            ("function update f", "nothing to change"),
            ("function create f --timeout 500ms", "whole seconds"),
            ("function create f --timeout 5", "500ms, 3s, 5m, 1h"),
            ("function create f --on-success s3:bucket", "unknown kind"),
            ("function create f --reserved-concurrency many", "whole number, or none"),
            ("function update f --clear size", "possible values"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
