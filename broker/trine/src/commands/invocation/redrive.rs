//! `trine invocation redrive`.

use clap::Args;
use serde::Serialize;
use trine_proto::reason;
use trine_proto::v1::{self, Refusal};

use crate::commands::Context;
use crate::commands::invocation::FilterArguments;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::View;
use crate::paint::Paint;
use crate::progress::Progress;
use crate::table::Table;

/// Invocations that are named in the result, at most; all are counted.
const NAMED_MAX: usize = 1000;

/// Dead invocations come back as new ones that are linked to the old ones. Undelivered records
/// are sent to their destinations again.
#[derive(Debug, Args)]
pub(crate) struct RedriveArguments {
    /// Request ids; or give a filter, or --all.
    #[arg(value_name = "REQUEST_ID", conflicts_with_all = ["all", "function", "condition", "undelivered", "since", "until"])]
    request_ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArguments,
    /// All that are dead or undelivered.
    #[arg(long)]
    all: bool,
    /// At most this many.
    #[arg(long, value_name = "COUNT")]
    count_max: Option<u64>,
    /// Invocations a second, 1 to 100000 [default: 1000].
    #[arg(long, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Count and name them, change nothing.
    #[arg(long)]
    dry_run: bool,
}

impl RedriveArguments {
    /// Nothing named must not mean everything.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.request_ids.is_empty() && self.filter.is_empty() && !self.all {
            return Err(Failure::Usage(
                "which invocations? Give request ids, a filter such as --function NAME, or --all"
                    .to_owned(),
            ));
        }
        Ok(())
    }
}

pub(crate) async fn run(
    context: &Context,
    connection: &Connection,
    arguments: RedriveArguments,
) -> Result<Exit, Failure> {
    let dry_run = arguments.dry_run;
    let request = v1::RedriveInvocationsRequest {
        filter: Some(arguments.filter.resolve(connection).await?),
        request_ids: arguments.request_ids,
        count_max: arguments.count_max,
        rate_per_second: arguments.rate.unwrap_or_default(),
        dry_run,
    };
    let (view, refused) = redrive(context, connection, request).await?;
    context.output.show(&view)?;
    Ok(refused.map_or(Exit::Ok, |refusal| Exit::of(refusal.reason())))
}

/// What came of it, and the first refusal.
async fn redrive(
    context: &Context,
    connection: &Connection,
    request: v1::RedriveInvocationsRequest,
) -> Result<(RedriveView, Option<Refusal>), Failure> {
    let failed = |status: tonic::Status| connection.failure(&status);
    let mut view = RedriveView { dry_run: request.dry_run, ..Default::default() };
    let mut refused = None;
    let progress = Progress::count(&context.output);
    let mut messages =
        connection.invocations().redrive_invocations(request).await.map_err(failed)?.into_inner();
    while let Some(message) = messages.message().await.map_err(failed)? {
        (view.matched, view.redriven, view.refused) =
            (message.matched, message.redriven, message.refused);
        progress.say(view.counts());
        for invocation in message.invocations {
            if refused.is_none() {
                refused.clone_from(&invocation.refusal);
            }
            if view.invocations.len() < NAMED_MAX {
                view.invocations.push(RedrivenView::from(invocation));
            }
        }
        if message.done {
            return Ok((view, refused));
        }
    }
    Err(Failure::Foreign {
        broker: "the broker".to_owned(),
        cause: "the answer ended before its last message; see `trine invocation list`".to_owned(),
    })
}

/// What a redrive did.
#[derive(Debug, Default, Serialize)]
struct RedriveView {
    dry_run: bool,
    matched: u64,
    redriven: u64,
    refused: u64,
    /// The first thousand.
    invocations: Vec<RedrivenView>,
}

#[derive(Debug, Serialize)]
struct RedrivenView {
    request_id: String,
    new_request_id: Option<String>,
    reason: Option<&'static str>,
    message: Option<String>,
}

impl From<v1::RedrivenInvocation> for RedrivenView {
    fn from(invocation: v1::RedrivenInvocation) -> Self {
        Self {
            request_id: invocation.request_id,
            new_request_id: Some(invocation.new_request_id).filter(|id| !id.is_empty()),
            reason: invocation.refusal.as_ref().map(|refusal| reason::name(refusal.reason())),
            message: invocation.refusal.map(|refusal| refusal.message),
        }
    }
}

impl RedriveView {
    fn counts(&self) -> String {
        let verb = if self.dry_run { "would be redriven" } else { "redriven" };
        let count = if self.dry_run { self.matched - self.refused } else { self.redriven };
        format!("{} matched, {count} {verb}, {} refused", self.matched, self.refused)
    }
}

impl View for RedriveView {
    fn text(&self, paint: Paint) -> String {
        if self.invocations.is_empty() {
            return self.counts();
        }
        let mut table = Table::new(&["REQUEST ID", "NEW REQUEST ID", "REFUSED"]);
        for invocation in &self.invocations {
            let refused = match (invocation.reason, &invocation.message) {
                (Some(reason), Some(message)) => format!("{reason}: {message}"),
                _ => String::new(),
            };
            table.row([
                invocation.request_id.as_str().into(),
                invocation.new_request_id.clone().unwrap_or_default().into(),
                refused.into(),
            ]);
        }
        format!("{}\n{}", table.text(paint), self.counts())
    }
}
