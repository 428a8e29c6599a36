//! The command line: what there is and the options that every command has.
//!
//! The options of a command are in its file under `commands/`.

use clap::{Args, Parser, Subcommand};

use crate::commands::bench::BenchArguments;
use crate::commands::broker::BrokerCommand;
use crate::commands::completions::CompletionsArguments;
use crate::commands::function::FunctionCommand;
use crate::commands::invocation::InvocationCommand;
use crate::commands::invoke::InvokeArguments;
use crate::commands::mapping::MappingCommand;
use crate::commands::poller::PollerArguments;
use crate::commands::serve::ServeArguments;
use crate::connection::BrokerUrl;
use crate::demo::DemoArguments;
use crate::exit::Exit;
use crate::output::{Color, Format, Output};

/// Where `trine serve` listens if nothing else is configured.
pub(crate) const BROKER_DEFAULT: &str = "http://127.0.0.1:7400";

/// Trine runs functions on workers that connect to it: synchronously, asynchronously with retries
/// and destinations, and from streams and queues.
#[derive(Debug, Parser)]
#[command(name = "trine", version, after_help = Exit::table(), max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// The broker to talk to.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "TRINE_BROKER",
        default_value = BROKER_DEFAULT
    )]
    pub(crate) broker: BrokerUrl,
    /// How results are printed.
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t = Format::Human)]
    output: Format,
    /// When to use colour.
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Color::Auto)]
    color: Color,
    /// Say more on stderr; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    pub(crate) fn output(&self) -> Output {
        Output::new(self.output, self.color)
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a broker until a signal ends it.
    Serve(ServeArguments),
    /// Show everything in one process: a broker, workers, all three ways of invoking, and proof.
    Demo(DemoArguments),
    /// Create, change and look at functions.
    #[command(subcommand)]
    Function(FunctionCommand),
    /// Invoke a function and print its answer.
    Invoke(InvokeArguments),
    /// Look after what was invoked.
    #[command(subcommand)]
    Invocation(InvocationCommand),
    /// Read streams and queues: create, change and look at event source mappings.
    #[command(subcommand)]
    Mapping(MappingCommand),
    /// Look at a running broker; move its virtual time.
    #[command(subcommand)]
    Broker(BrokerCommand),
    /// Read streams and queues for a broker that runs elsewhere, until a signal ends it.
    Poller(PollerArguments),
    /// Load a function and print throughput and latency.
    Bench(BenchArguments),
    /// Print completions for a shell.
    Completions(CompletionsArguments),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
