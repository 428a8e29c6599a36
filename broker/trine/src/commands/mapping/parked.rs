//! `trine mapping parked` and `unpark`: keys whose records are set aside.

use clap::Args;
use trine_proto::v1;

use crate::commands::Context;
use crate::connection::Connection;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::view::base64;
use crate::view::mapping::parked::{ParkedKeyView, ParkedView, UnparkedView};

/// Keys asked for at a time.
const PAGE_SIZE_MAX: u32 = 1000;

#[derive(Debug, Args)]
pub(crate) struct ParkedArguments {
    /// Id of the mapping.
    id: String,
    /// At most this many.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("which").required(true).multiple(false))]
pub(crate) struct UnparkArguments {
    /// Id of the mapping.
    id: String,
    /// Shard in which the key was parked.
    shard: String,
    /// The key, if it is text.
    #[arg(long, group = "which", value_name = "TEXT")]
    key: Option<String>,
    /// The key, in base64.
    #[arg(long, group = "which", value_name = "BASE64")]
    key_base64: Option<String>,
    /// Drop the first record, the one that failed, and send the rest.
    #[arg(long)]
    skip_first: bool,
}

const EXAMPLES: &str = "Examples:
  trine mapping unpark ID pictures-0 --key customer-4711
  trine mapping unpark ID pictures-0 --key customer-4711 --skip-first";

impl ParkedArguments {
    pub(super) fn request(self) -> v1::ListParkedKeysRequest {
        let page_size = self.limit.min(PAGE_SIZE_MAX);
        v1::ListParkedKeysRequest { id: self.id, page_size, page_token: String::new() }
    }
}

impl UnparkArguments {
    pub(super) fn request(self) -> Result<v1::UnparkKeyRequest, Failure> {
        let key = match (self.key, self.key_base64) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(text)) => base64::read(&text)
                .ok_or_else(|| Failure::Usage("--key-base64 is not base64".to_owned()))?,
            (None, None) => Vec::new(),
        };
        let (id, shard, skip_first) = (self.id, self.shard, self.skip_first);
        Ok(v1::UnparkKeyRequest { id, shard, key: key.into(), skip_first })
    }
}

pub(super) async fn list(
    context: &Context,
    connection: &Connection,
    request: v1::ListParkedKeysRequest,
) -> Result<Exit, Failure> {
    let answer = connection.mappings().list_parked_keys(request).await;
    let answer = answer.map_err(|status| connection.failure(&status))?.into_inner();
    let more = !answer.next_page_token.is_empty();
    let keys = answer.keys.into_iter().map(ParkedKeyView::from).collect();
    context.output.show(&ParkedView { keys, more })?;
    Ok(Exit::Ok)
}

pub(super) async fn unpark(
    context: &Context,
    connection: &Connection,
    request: v1::UnparkKeyRequest,
) -> Result<Exit, Failure> {
    let answer = connection.mappings().unpark_key(request).await;
    let records = answer.map_err(|status| connection.failure(&status))?.into_inner().records;
    context.output.show(&UnparkedView { records })?;
    Ok(Exit::Ok)
}
