//! `trine poller`: reads streams and queues for a broker that runs elsewhere, until a signal ends it. Several of them share the
//! broker's mappings.

use std::time::Duration;

use clap::Args;
use trine_pollers::{PollerOptions, start_poller};

use crate::commands::Context;
use crate::config::poller_name_fits;
use crate::duration;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::signals::Signals;

/// The broker assigns mappings under a lease and takes them back when this process is silent for too long; then another poller goes on
/// from the last checkpoint. Secrets that mappings name are looked up in environment variables TRINE_SECRET_NAME. SIGTERM and SIGINT
/// finish what is in flight; a second one ends at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trine poller\n  trine --broker http://10.0.0.1:7400 poller --name rack-7 --mappings-max 20"
)]
pub(crate) struct PollerArguments {
    /// A name for people; the default is the machine's.
    #[arg(long, value_name = "NAME", env = "TRINE_POLLER_NAME", value_parser = name)]
    name: Option<String>,
    /// Mappings to take at most, 1 to 10000.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    mappings_max: u32,
    /// Time to finish what is in flight when a signal comes.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration::parse)]
    drain: Duration,
}

pub(crate) async fn run(context: &Context, arguments: PollerArguments) -> Result<Exit, Failure> {
    let mut signals = Signals::listen()?;
    let connection = context.connect().await?;
    let options = PollerOptions {
        mappings_max: arguments.mappings_max,
        ..PollerOptions::named(arguments.name.unwrap_or_else(machine))
    };
    let poller = start_poller(connection.channel(), options);
    let signal = signals.next().await;
    tracing::info!(signal, deadline = ?arguments.drain, "finishing what is in flight; a second signal ends at once");
    tokio::select! {
        complete = poller.shutdown(arguments.drain) => {
            if !complete {
                tracing::warn!("the deadline cut off what was in flight; it comes again from its sources");
            }
            Ok(Exit::Ok)
        }
        signal = signals.next() => {
            tracing::warn!(signal, "ended at once by a second signal");
            Ok(Exit::Interrupted)
        }
    }
}

fn name(text: &str) -> Result<String, String> {
    poller_name_fits(text).map(|()| text.to_owned())
}

/// The machine's name, or a plain word where it has none.
fn machine() -> String {
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let name: String = name.trim().chars().take(128).collect();
    if name.is_empty() { "poller".to_owned() } else { name }
}
