//! `cargo xtask`: the command line of the development commands. Owns the verbs and their options;
//! what a verb does is in the library beside this file.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use xtask::failure::Outcome;
use xtask::repo::Repo;
use xtask::tools::{Tool, Toolbox};
use xtask::{ci, programs, servers, steps, test, tidy};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Development commands of Trine")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Fetch the tools, run all checks, build everything, run every test
    Test {
        /// Run only tests whose name contains one of these, and no checks
        filter: Vec<String>,
        /// Count a tool or a server that cannot be had as a skip, not as a failure
        #[arg(long)]
        allow_missing: bool,
        /// Run only stages whose name starts with this (repeatable)
        #[arg(long, value_name = "STAGE")]
        only: Vec<String>,
    },
    /// Run the checks that need no test run: fmt, tidy, graph, buf, clippy, doc
    Ci {
        /// Run only stages whose name starts with this (repeatable)
        #[arg(long, value_name = "STAGE")]
        only: Vec<String>,
    },
    /// Check the house rules over all tracked files
    Tidy,
    /// Start and end servers for trying things by hand
    Servers {
        #[command(subcommand)]
        verb: ServersVerb,
    },
    /// Fetch tools and print where they are
    Tools {
        /// Which tools; all if none is named
        names: Vec<String>,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Measure, against other systems, in one run
    Bench(Pass),
    /// Kill, pause, fill and flip, then check the ledger
    Torture(Pass),
    /// Run the seeded simulation
    Sim(Pass),
    /// Kill the broker and take each source away while records run through it
    Sources(Pass),
    /// Count the instructions of the engine's step, from one live invocation to a million
    Steps(Pass),
}

#[derive(Debug, Subcommand)]
enum ServersVerb {
    /// Start servers on free loopback ports; they are fetched if they are not here yet
    Up {
        /// kafka, rabbitmq, activemq, redis, ministack, elasticmq, kinesis-local, dynamodb-local, nats,
        /// nats-sync-always, nats-old
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// End the servers that `up` started
    Down {
        /// Which of them; all if none is named
        names: Vec<String>,
    },
    /// Print `export` lines for the servers that are up
    Env,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Output {
    /// `export` lines for a shell
    Text,
    Json,
}

/// Arguments that the program itself understands.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
struct Pass {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(Cli::parse().verb) {
        Ok(true) => ExitCode::SUCCESS,
        // The report has said what failed, and its last line is the last line.
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether everything passed, for the verbs that report on many things.
fn run(verb: Verb) -> Outcome<bool> {
    let repo = Repo::find()?;
    let done = match verb {
        Verb::Test { filter, allow_missing, only } => {
            return test::run(&repo, only, &filter, allow_missing);
        }
        Verb::Ci { only } => return ci::run(&repo, only),
        Verb::Tidy => tidy::run(&repo),
        Verb::Servers { verb: ServersVerb::Up { names } } => servers::up(&repo, &names),
        Verb::Servers { verb: ServersVerb::Down { names } } => servers::down(&repo, &names),
        Verb::Servers { verb: ServersVerb::Env } => servers::env(&repo),
        Verb::Tools { names, output } => tools(&repo, &names, output),
        Verb::Bench(pass) => programs::run(&repo, "bench", &pass.arguments),
        Verb::Torture(pass) => programs::run(&repo, "torture", &pass.arguments),
        Verb::Sim(pass) => programs::run(&repo, "sim", &pass.arguments),
        Verb::Sources(pass) => programs::run(&repo, "sources", &pass.arguments),
        Verb::Steps(pass) => steps::run(&repo, &pass.arguments),
    };
    done.map(|()| true)
}

fn tools(repo: &Repo, names: &[String], output: Output) -> Outcome {
    let mut wanted = names.iter().map(|name| Tool::named(name)).collect::<Outcome<Vec<_>>>()?;
    if wanted.is_empty() {
        wanted.extend(Tool::ALL);
    }
    let tools = Toolbox::gather(repo, &wanted)?;
    for (tool, why) in tools.missing() {
        eprintln!("SKIP {}: {why}", tool.name());
    }
    match output {
        Output::Text => print!("{}", tools.exports()),
        Output::Json => print!("{}", tools.json()),
    }
    // Who names a tool needs it.
    wanted.into_iter().filter(|_| !names.is_empty()).try_for_each(|t| tools.path(t).map(drop))
}
