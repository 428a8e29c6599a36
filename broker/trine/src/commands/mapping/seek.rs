//! `trine mapping seek`: another place, or what it would mean.

use clap::Args;
use trine_proto::v1;
use trine_proto::v1::seek_target::Target;

use crate::commands::Context;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::instant;
use crate::view::mapping::SeekView;

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("to").required(true).multiple(false))]
pub(crate) struct SeekArguments {
    /// Id of the mapping.
    id: String,
    /// Read on with this record: an offset, a sequence number or an entry id, as describe shows it.
    #[arg(long, group = "to", value_name = "POSITION")]
    to_position: Option<String>,
    /// Read on with the first record at or after this time: 2026-01-31T23:59:59Z, or milliseconds since the Unix epoch.
    #[arg(long, group = "to", value_name = "TIME", value_parser = instant::parse)]
    to_time: Option<i64>,
    /// Read on with the oldest record that is there.
    #[arg(long, group = "to")]
    to_start: bool,
    /// Read on with what comes from now on.
    #[arg(long, group = "to")]
    to_end: bool,
    /// Only this shard.
    #[arg(long, value_name = "SHARD", default_value = "", hide_default_value = true)]
    shard: String,
    /// Only say what would be read again or skipped.
    #[arg(long)]
    preview: bool,
}

const EXAMPLES: &str = "Examples:
  trine mapping seek ID --to-time 2026-01-31T08:00:00Z --preview
  trine mapping seek ID --to-position 4711 --shard pictures-0
  trine mapping seek ID --to-start";

impl SeekArguments {
    pub(super) fn request(self) -> Result<v1::SeekMappingRequest, Failure> {
        let target = match (self.to_position, self.to_time) {
            (Some(position), _) => Target::Position(position),
            (None, Some(at)) => Target::TimestampMs(at),
            (None, None) if self.to_start => Target::Edge(v1::StartingPosition::TrimHorizon.into()),
            (None, None) => Target::Edge(v1::StartingPosition::Latest.into()),
        };
        let target = v1::SeekTarget { target: Some(target), shard: self.shard };
        let (id, preview) = (self.id, self.preview);
        Ok(v1::SeekMappingRequest { id, target: Some(target), preview })
    }
}

pub(super) async fn run(
    context: &Context,
    connection: &Connection,
    request: v1::SeekMappingRequest,
) -> Result<Exit, Failure> {
    let answer = connection.mappings().seek_mapping(request).await;
    let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
    context.output.show(&SeekView::from(answer))?;
    Ok(Exit::Ok)
}
