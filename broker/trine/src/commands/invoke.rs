//! `trine invoke`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use trine_proto::v1::{self, Durability, InvocationType, LogType, Reason, Refusal};
use trine_proto::{ASYNC_PAYLOAD_BYTES_MAX, SYNC_PAYLOAD_BYTES_MAX};

use crate::commands::Context;
use crate::commands::invocation::{follow, now_ms};
use crate::connection::Connection;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::payload::{PayloadLimit, PayloadSource};
use crate::progress::Progress;
use crate::view::{Json, short};

/// How much longer than the deadline we wait for the broker to say that it has passed: its answer
/// says why.
const DEADLINE_GRACE: Duration = Duration::from_secs(1);

/// Prints the function's answer on stdout. If the function fails, its error object is printed
/// instead and the exit code is 1.
#[derive(Debug, Args)]
pub(crate) struct InvokeArguments {
    /// Name of the function.
    function: String,
    /// Payload: a JSON text, or - for stdin. Without one the function gets {}.
    #[arg(conflicts_with = "file", allow_negative_numbers = true)]
    payload: Option<String>,
    /// Read the payload from this file.
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Version or alias [default: $LATEST].
    #[arg(long, value_name = "QUALIFIER", default_value = "", hide_default_value = true)]
    qualifier: String,
    /// Invoke asynchronously: print the request id as soon as the event is durable.
    #[arg(long, conflicts_with_all = ["dry_run", "log"])]
    event: bool,
    /// Check the request and do nothing.
    #[arg(long, conflicts_with = "log")]
    dry_run: bool,
    /// Wait for the end of the event, over all its attempts, and print its answer.
    #[arg(long, requires = "event")]
    wait: bool,
    /// A second event with this key and the same payload is the first one.
    #[arg(
        long,
        requires = "event",
        value_name = "KEY",
        default_value = "",
        hide_default_value = true
    )]
    idempotency_key: String,
    /// Start the event this much later, on the broker's clock; at most 15 days.
    #[arg(long, requires = "event", value_name = "DURATION", value_parser = duration::parse)]
    delay: Option<Duration>,
    /// How long to wait for the answer; with --wait, for the end [default: no limit].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    deadline: Option<Duration>,
    /// Print the last 4 KiB of the invocation's log on stderr.
    #[arg(long)]
    log: bool,
    /// JSON that is handed to the function beside the payload, at most 3583 bytes.
    #[arg(
        long,
        conflicts_with = "event",
        value_name = "JSON",
        default_value = "",
        hide_default_value = true
    )]
    client_context: String,
}

pub(crate) async fn run(context: &Context, arguments: InvokeArguments) -> Result<Exit, Failure> {
    let (deadline, delay, wait) = (arguments.deadline, arguments.delay, arguments.wait);
    let mut request = arguments.request()?;
    let connection = context.connect().await?;
    if let Some(delay) = delay {
        let delay_ms = i64::try_from(duration::millis(delay)).unwrap_or(i64::MAX);
        request.not_before_ms = Some(now_ms(&connection).await?.saturating_add(delay_ms));
    }
    let (function, kind) = (request.function.clone(), request.r#type());
    let started = tokio::time::Instant::now();
    let answer = invoke(&connection, request, deadline).await?;
    match kind {
        InvocationType::DryRun => dry_run_passed(context, &function),
        InvocationType::Event if wait => {
            let deadline = deadline.map(|deadline| started + deadline);
            accepted_remarks(context, &answer);
            wait_for_end(context, &connection, &answer.request_id, deadline).await
        }
        InvocationType::Event => accepted(context, &answer),
        _ => answered(context, &answer),
    }
}

impl InvokeArguments {
    const fn kind(&self) -> InvocationType {
        match (self.event, self.dry_run) {
            (true, _) => InvocationType::Event,
            (_, true) => InvocationType::DryRun,
            _ => InvocationType::RequestResponse,
        }
    }

    /// The request, with everything that can be read and checked without a broker.
    fn request(self) -> Result<v1::InvokeRequest, Failure> {
        let kind = self.kind();
        let limit = if self.event {
            PayloadLimit { bytes_max: ASYNC_PAYLOAD_BYTES_MAX, kind: "asynchronous" }
        } else {
            PayloadLimit { bytes_max: SYNC_PAYLOAD_BYTES_MAX, kind: "synchronous" }
        };
        let log_type = if self.log { LogType::Tail } else { LogType::Unspecified };
        Ok(v1::InvokeRequest {
            payload: PayloadSource::choose(self.payload, self.file).read(limit)?,
            function: self.function,
            qualifier: self.qualifier,
            r#type: kind.into(),
            client_context: self.client_context.into(),
            idempotency_key: self.idempotency_key,
            log_type: log_type.into(),
            deadline_ms: self.deadline.map(duration::millis),
            ..Default::default()
        })
    }
}

async fn invoke(
    connection: &Connection,
    request: v1::InvokeRequest,
    deadline: Option<Duration>,
) -> Result<v1::InvokeResponse, Failure> {
    let mut request = tonic::Request::new(request);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline.saturating_add(DEADLINE_GRACE));
    }
    let answer = connection.invocations().invoke(request).await;
    Ok(answer.map_err(|status| connection.failure(&status))?.into_inner())
}

/// A synchronous answer. Only the payload goes to stdout, so that it can be piped on.
fn answered(context: &Context, answer: &v1::InvokeResponse) -> Result<Exit, Failure> {
    let failed = !answer.function_error.is_empty();
    let log_tail = String::from_utf8_lossy(&answer.log_tail);
    if context.output.is_json() {
        context.output.json(&AnswerView {
            request_id: &answer.request_id,
            executed_version: &answer.executed_version,
            function_error: failed.then_some(answer.function_error.as_str()),
            payload: Json(&answer.payload),
            log_tail: (!log_tail.is_empty()).then_some(&log_tail),
        })?;
    } else {
        context.output.line(&String::from_utf8_lossy(&answer.payload))?;
        if !log_tail.is_empty() {
            context.output.remark(log_tail.trim_end());
        }
    }
    if failed {
        let paint = context.output.stderr_paint();
        let (error, id) = (&answer.function_error, &answer.request_id);
        context.output.remark(&format!(
            "{} the function failed ({error}), request {id}",
            paint.bad("error:")
        ));
        return Ok(Exit::FunctionError);
    }
    Ok(Exit::Ok)
}

/// An accepted event. Only its request id goes to stdout, so that a script can keep it.
fn accepted(context: &Context, answer: &v1::InvokeResponse) -> Result<Exit, Failure> {
    if context.output.is_json() {
        context.output.json(&AcceptedView {
            request_id: &answer.request_id,
            duplicate: answer.duplicate,
            durability: short(answer.durability().as_str_name(), "DURABILITY_"),
            warnings: &answer.warnings,
        })?;
    } else {
        context.output.line(&answer.request_id)?;
        accepted_remarks(context, answer);
    }
    Ok(Exit::Ok)
}

fn accepted_remarks(context: &Context, answer: &v1::InvokeResponse) {
    let durability = match answer.durability() {
        Durability::LocalDisk => "on the broker's disk, synced",
        Durability::Memory => "in the broker's memory only",
        Durability::Unspecified => "durability not told",
    };
    let again = if answer.duplicate { ", known already by its idempotency key" } else { "" };
    let paint = context.output.stderr_paint();
    context.output.remark(&paint.quiet(&format!("accepted ({durability}{again})")));
    for warning in &answer.warnings {
        context.output.warning(warning);
    }
}

fn dry_run_passed(context: &Context, function: &str) -> Result<Exit, Failure> {
    if context.output.is_json() {
        context.output.json(&serde_json::json!({ "dry_run": true, "function": function }))?;
    } else {
        context.output.line(&format!("{function} would be invoked"))?;
    }
    Ok(Exit::Ok)
}

/// Follows an accepted event to its end and prints what a synchronous call would have printed.
async fn wait_for_end(
    context: &Context,
    connection: &Connection,
    request_id: &str,
    deadline: Option<tokio::time::Instant>,
) -> Result<Exit, Failure> {
    let progress = Progress::count(&context.output);
    let end = follow(connection, request_id, |invocation| progress.say(invocation.summary()));
    let ended = match deadline {
        None => end.await?,
        Some(deadline) => tokio::time::timeout_at(deadline, end)
            .await
            .map_err(|_| Failure::Refused(not_ended(request_id)))??,
    };
    drop(progress);
    if context.output.is_json() {
        context.output.json(&ended)?;
    } else {
        context.output.line(&ended.response().line())?;
    }
    if ended.succeeded() {
        return Ok(Exit::Ok);
    }
    let paint = context.output.stderr_paint();
    let summary = ended.summary();
    context.output.remark(&format!("{} {summary}, request {request_id}", paint.bad("error:")));
    Ok(Exit::FunctionError)
}

fn not_ended(request_id: &str) -> Refusal {
    Refusal {
        reason: Reason::DeadlineExpired.into(),
        message: format!(
            "invocation {request_id} has not ended within the deadline; it goes on, and \
             `trine invocation why {request_id}` says what it waits for"
        ),
        retry_after_ms: None,
    }
}

/// A synchronous answer for programs.
#[derive(Debug, Serialize)]
struct AnswerView<'a> {
    request_id: &'a str,
    executed_version: &'a str,
    function_error: Option<&'a str>,
    payload: Json<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    log_tail: Option<&'a str>,
}

/// An accepted event for programs.
#[derive(Debug, Serialize)]
struct AcceptedView<'a> {
    request_id: &'a str,
    duplicate: bool,
    durability: String,
    warnings: &'a [String],
}
