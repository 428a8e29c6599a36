//! Runs one command: one file a noun below.
//!
//! A command asks the broker and hands what it got to `Output`; it decides nothing that the
//! broker decides.

pub(crate) mod bench;
pub(crate) mod broker;
pub(crate) mod completions;
pub(crate) mod function;
pub(crate) mod invocation;
pub(crate) mod invoke;
pub(crate) mod mapping;
pub(crate) mod poller;
pub(crate) mod serve;

use crate::cli::{Cli, Command};
use crate::connection::{BrokerUrl, Connection};
use crate::demo;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::log;
use crate::output::Output;

/// What a client command works with.
#[derive(Debug)]
pub(crate) struct Context {
    broker: BrokerUrl,
    pub(crate) output: Output,
}

impl Context {
    pub(crate) async fn connect(&self) -> Result<Connection, Failure> {
        Connection::open(&self.broker).await
    }
}

pub(crate) fn run(cli: Cli, output: Output) -> Result<Exit, Failure> {
    let verbose = cli.global.verbose;
    match cli.command {
        // It starts its log itself: that is configured, too.
        Command::Serve(_) => {}
        // Nobody looks at what it prints: what it does goes into its log.
        Command::Poller(_) => log::start(log::LogFormat::Human, log::SERVER, verbose)?,
        _ => log::start_quiet(verbose)?,
    }
    let context = Context { broker: cli.global.broker, output };
    match cli.command {
        Command::Serve(arguments) => serve::run(&output, verbose, arguments),
        Command::Poller(arguments) => block_on(poller::run(&context, arguments)),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Demo(arguments) => block_on(demo::run(&output, arguments)),
        Command::Function(command) => block_on(function::run(&context, command)),
        Command::Invoke(arguments) => block_on(invoke::run(&context, arguments)),
        Command::Invocation(command) => block_on(invocation::run(&context, command)),
        Command::Mapping(command) => block_on(mapping::run(&context, command)),
        Command::Broker(command) => block_on(broker::run(&context, command)),
        Command::Bench(arguments) => block_on(bench::run(&context, arguments)),
    }
}

fn block_on(command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    tokio::runtime::Runtime::new()?.block_on(command)
}
