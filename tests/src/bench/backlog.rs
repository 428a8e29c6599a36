//! A broker that was killed with a million events in its queue: how long until it is ready again, and how much memory it
//! takes. Seen from outside: `/readyz` and the kernel's count.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bytes::Bytes;
use trine_proto::v1::InvocationType;
use trine_proto::v1::function_service_client::FunctionServiceClient;
use trine_proto::v1::{CreateFunctionRequest, GetAccountSettingsRequest};

use crate::bench::echo::UNSERVED;
use crate::bench::process::{Process, scratch};
use crate::bench::rows::payload;
use crate::bench::stream::{self, Load, channel};

/// Events in the queue.
pub const EVENTS: u64 = 1_000_000;

/// What a restart took.
#[derive(Debug, Clone, Copy)]
pub struct Restart {
    /// From the start of the process to a `/readyz` that says ready, in seconds.
    pub ready_s: f64,
    /// Resident memory then, in MiB.
    pub resident_mib: f64,
}

/// Fills a queue, kills the broker, starts it again on the same folder.
///
/// # Errors
/// If an event is refused, or is missing after the restart.
pub async fn restart() -> Result<Restart, String> {
    let folder = scratch("backlog")?;
    let restarted = restart_in(&folder).await;
    // A leftover is no reason to fail.
    let _ = std::fs::remove_dir_all(&folder);
    restarted
}

async fn restart_in(folder: &std::path::Path) -> Result<Restart, String> {
    let broker = Process::broker_in(folder)?;
    fill(&broker.address, payload()).await?;
    let queued = queued(&broker.address).await?;
    broker.kill();
    let start = Instant::now();
    let broker = Process::broker_in(folder)?;
    while !ready(&broker.address) {
        if start.elapsed() > Duration::from_secs(60) {
            return Err("the broker is not ready after a minute".to_owned());
        }
        tokio::task::yield_now().await;
    }
    let ready_s = start.elapsed().as_secs_f64();
    let resident_mib = broker.resident_bytes() as f64 / f64::from(1 << 20);
    let found = self::queued(&broker.address).await?;
    if found < queued {
        return Err(format!("{queued} events were acknowledged, {found} were found"));
    }
    Ok(Restart { ready_s, resident_mib })
}

async fn fill(address: &str, payload: Bytes) -> Result<(), String> {
    let url = format!("http://{address}");
    let mut functions = FunctionServiceClient::new(channel(&url)?);
    let request = CreateFunctionRequest { name: UNSERVED.to_owned(), settings: None };
    functions.create_function(request).await.map_err(|status| status.to_string())?;
    let load = Load {
        address: url,
        function: UNSERVED.to_owned(),
        payload,
        kind: InvocationType::Event,
        in_flight: 1_024,
        connections: 1,
        duration: Duration::from_secs(1),
    };
    while queued(address).await? < EVENTS {
        stream::throughput(&load).await?;
    }
    Ok(())
}

async fn queued(address: &str) -> Result<u64, String> {
    let mut functions = FunctionServiceClient::new(channel(&format!("http://{address}"))?);
    let account = functions.get_account_settings(GetAccountSettingsRequest {}).await;
    Ok(account.map_err(|status| status.to_string())?.into_inner().queued)
}

fn ready(address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: trine\r\nconnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}
