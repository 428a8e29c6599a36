//! `trine demo`: the main job in one process, told as it happens, and proved at the end.
//!
//! A broker on the embedded store, workers through the SDK, a poller on a growing file. Every act
//! promises facts and looks whether they came true; at the end the broker's own metrics are asked
//! for the same. A fact that is not as promised makes the exit code 70.

mod act;
mod fact;
mod figures;
mod http;
mod outcome;
mod stage;
mod teller;
mod workers;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::demo::outcome::DemoView;
use crate::demo::stage::Stage;
use crate::demo::teller::Teller;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::output::Output;
use crate::signals::Signals;

/// The whole demo takes about two seconds; a machine may be slow, but not this slow.
const DEMO_WAIT: Duration = Duration::from_secs(120);

/// Nothing is left behind, unless --data-dir is given. The exit code is 0 only if
/// everything was as promised.
#[derive(Debug, Args)]
pub(crate) struct DemoArguments {
    /// Leave it running until Ctrl-C, to look around with the other commands.
    #[arg(long)]
    keep: bool,
    /// Where to put the store and the files; a temporary folder by default.
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on, loopback only; by default a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0", hide_default_value = true)]
    listen: SocketAddr,
}

pub(crate) async fn run(output: &Output, arguments: DemoArguments) -> Result<Exit, Failure> {
    let teller = Teller::new(*output);
    let mut signals = Signals::listen()?;
    let stage = Stage::set(arguments.data_dir, arguments.listen).await?;
    let end = tokio::select! {
        end = show(&stage, &teller, output) => end,
        () = tokio::time::sleep(DEMO_WAIT) => {
            Err(Failure::Demo(format!("it was not done after {} s", DEMO_WAIT.as_secs())))
        }
        _ = signals.next() => Ok(Exit::Interrupted),
    };
    if arguments.keep && matches!(end, Ok(Exit::Ok | Exit::Internal)) {
        stage.invite(&teller)?;
        signals.next().await;
    }
    stage.clear().await;
    end
}

async fn show(stage: &Stage, teller: &Teller, output: &Output) -> Result<Exit, Failure> {
    stage.introduce(teller)?;
    let view = play(stage, teller).await?;
    output.show(&view)?;
    Ok(if view.kept() { Exit::Ok } else { Exit::Internal })
}

/// The acts in an order in which virtual time moves only while no function runs: a function
/// timeout is counted in it, too.
async fn play(stage: &Stage, teller: &Teller) -> Result<DemoView, Failure> {
    let started = Instant::now();
    let mut facts = Vec::new();
    facts.extend(act::synchronous::play(stage, teller).await?);
    facts.extend(act::success::play(stage, teller).await?);
    facts.extend(act::failure::play(stage, teller).await?);
    facts.extend(act::polling::play(stage, teller).await?);
    let figures = figures::read(stage).await?;
    Ok(DemoView::new(stage, facts, figures, started.elapsed()))
}
