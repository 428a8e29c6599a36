//! `trine invocation`.

pub(crate) mod redrive;

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use trine_proto::v1::{self, Condition, InvocationState};

use crate::commands::Context;
use crate::commands::invocation::redrive::RedriveArguments;
use crate::connection::Connection;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::invocation::{InvocationView, InvocationsView, WhyView};

/// Invocations asked for at a time.
const PAGE_SIZE_MAX: u32 = 1000;

/// One long poll; the broker allows at most 60 s.
const POLL_WAIT_MS: u64 = 30_000;

#[derive(Debug, Subcommand)]
pub(crate) enum InvocationCommand {
    /// List invocations that match a filter.
    List(ListArguments),
    /// Show one invocation: state, attempts, answer, destination.
    Show(OneArguments),
    /// Cancel a queued or a running invocation.
    Cancel(OneArguments),
    /// Put dead invocations back into their queues, and undelivered records to their destinations.
    Redrive(RedriveArguments),
    /// Name the one thing that an invocation is waiting for.
    Why(OneArguments),
}

#[derive(Debug, Args)]
pub(crate) struct OneArguments {
    /// Request id of the invocation.
    request_id: String,
}

#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    filter: FilterArguments,
    /// Only in this state; may be repeated.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<StateArgument>,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    limit: u32,
}

/// Which invocations.
#[derive(Debug, Args)]
#[command(next_help_heading = "Filter")]
pub(crate) struct FilterArguments {
    /// Only of this function.
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    function: String,
    /// Only those that ended this way.
    #[arg(long, value_enum, value_name = "CONDITION")]
    condition: Option<ConditionArgument>,
    /// Only those whose record could not be delivered.
    #[arg(long)]
    undelivered: bool,
    /// Only those accepted within this time, on the broker's clock.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    since: Option<Duration>,
    /// Only those accepted longer ago than this.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    until: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StateArgument {
    Scheduled,
    Ready,
    Running,
    Succeeded,
    Dead,
    Cancelled,
    Redriven,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ConditionArgument {
    Success,
    RetriesExhausted,
    EventAgeExceeded,
    ZeroReservedConcurrency,
    RecursiveInvocation,
}

impl From<StateArgument> for InvocationState {
    fn from(state: StateArgument) -> Self {
        match state {
            StateArgument::Scheduled => Self::Scheduled,
            StateArgument::Ready => Self::Ready,
            StateArgument::Running => Self::Running,
            StateArgument::Succeeded => Self::Succeeded,
            StateArgument::Dead => Self::Dead,
            StateArgument::Cancelled => Self::Cancelled,
            StateArgument::Redriven => Self::Redriven,
        }
    }
}

impl From<ConditionArgument> for Condition {
    fn from(condition: ConditionArgument) -> Self {
        match condition {
            ConditionArgument::Success => Self::Success,
            ConditionArgument::RetriesExhausted => Self::RetriesExhausted,
            ConditionArgument::EventAgeExceeded => Self::EventAgeExceeded,
            ConditionArgument::ZeroReservedConcurrency => Self::ZeroReservedConcurrency,
            ConditionArgument::RecursiveInvocation => Self::RecursiveInvocation,
        }
    }
}

pub(crate) async fn run(context: &Context, command: InvocationCommand) -> Result<Exit, Failure> {
    if let InvocationCommand::Redrive(arguments) = &command {
        arguments.check()?;
    }
    let connection = context.connect().await?;
    match command {
        InvocationCommand::List(arguments) => list(context, &connection, arguments).await,
        InvocationCommand::Redrive(arguments) => {
            redrive::run(context, &connection, arguments).await
        }
        InvocationCommand::Show(OneArguments { request_id }) => {
            let request = v1::GetInvocationRequest { request_id, after_revision: None, wait_ms: 0 };
            let invocation = get(&connection, request).await?;
            context.output.show(&InvocationView::from(invocation))?;
            Ok(Exit::Ok)
        }
        InvocationCommand::Cancel(OneArguments { request_id }) => {
            let request = v1::CancelInvocationRequest { request_id };
            let answer = connection.invocations().cancel_invocation(request).await;
            let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
            context.output.show(&InvocationView::from(answer.invocation.unwrap_or_default()))?;
            Ok(Exit::Ok)
        }
        InvocationCommand::Why(OneArguments { request_id }) => {
            let request = v1::ExplainInvocationRequest { request_id };
            let answer = connection.invocations().explain_invocation(request).await;
            let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
            context.output.show(&WhyView::from(answer))?;
            Ok(Exit::Ok)
        }
    }
}

impl FilterArguments {
    /// Whether it lets everything through.
    fn is_empty(&self) -> bool {
        self.function.is_empty()
            && self.condition.is_none()
            && !self.undelivered
            && self.since.is_none()
            && self.until.is_none()
    }

    /// The filter of the contract. "Ago" is counted on the broker's clock, which may be virtual.
    async fn resolve(self, connection: &Connection) -> Result<v1::InvocationFilter, Failure> {
        let now_ms = if self.since.is_some() || self.until.is_some() {
            now_ms(connection).await?
        } else {
            0
        };
        let ago = |ago: Duration| {
            now_ms.saturating_sub(i64::try_from(duration::millis(ago)).unwrap_or(i64::MAX))
        };
        Ok(v1::InvocationFilter {
            function: self.function,
            states: Vec::new(),
            condition: self.condition.map_or(Condition::Unspecified, Condition::from).into(),
            undelivered: self.undelivered,
            accepted_from_ms: self.since.map(ago),
            accepted_until_ms: self.until.map(ago),
        })
    }
}

async fn list(
    context: &Context,
    connection: &Connection,
    arguments: ListArguments,
) -> Result<Exit, Failure> {
    let limit = arguments.limit as usize;
    let mut filter = arguments.filter.resolve(connection).await?;
    filter.states =
        arguments.state.into_iter().map(|state| InvocationState::from(state).into()).collect();
    let mut invocations = Vec::new();
    let mut page_token = String::new();
    let more = loop {
        let missing = u32::try_from(limit - invocations.len()).unwrap_or(PAGE_SIZE_MAX);
        let request = v1::ListInvocationsRequest {
            filter: Some(filter.clone()),
            page_size: missing.clamp(1, PAGE_SIZE_MAX),
            page_token,
        };
        let page = connection.invocations().list_invocations(request).await;
        let page = page.map_err(|status| connection.failure(&status))?.into_inner();
        let room = limit - invocations.len();
        let cut = page.invocations.len() > room;
        invocations.extend(page.invocations.into_iter().take(room).map(InvocationView::from));
        if page.next_page_token.is_empty() || invocations.len() >= limit {
            break cut || !page.next_page_token.is_empty();
        }
        page_token = page.next_page_token;
    };
    context.output.show(&InvocationsView { invocations, more })?;
    Ok(Exit::Ok)
}

async fn get(
    connection: &Connection,
    request: v1::GetInvocationRequest,
) -> Result<v1::Invocation, Failure> {
    let answer = connection.invocations().get_invocation(request).await;
    let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
    Ok(answer.invocation.unwrap_or_default())
}

/// Long polls until an invocation has ended; `changed` hears of every step on the way.
pub(crate) async fn follow(
    connection: &Connection,
    request_id: &str,
    mut changed: impl FnMut(&InvocationView),
) -> Result<InvocationView, Failure> {
    let mut after_revision = None;
    loop {
        let request = v1::GetInvocationRequest {
            request_id: request_id.to_owned(),
            after_revision,
            wait_ms: POLL_WAIT_MS,
        };
        let invocation = get(connection, request).await?;
        let ended = matches!(
            invocation.state(),
            InvocationState::Succeeded
                | InvocationState::Dead
                | InvocationState::Cancelled
                | InvocationState::Redriven
        );
        after_revision = Some(invocation.revision);
        let view = InvocationView::from(invocation);
        if ended {
            return Ok(view);
        }
        changed(&view);
    }
}

/// The broker's clock. Not ours: the two may differ, and the broker's may be virtual.
pub(crate) async fn now_ms(connection: &Connection) -> Result<i64, Failure> {
    let answer = connection.admin().get_broker(v1::GetBrokerRequest {}).await;
    Ok(answer.map_err(|status| connection.failure(&status))?.into_inner().now_ms)
}
