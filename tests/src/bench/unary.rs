//! Unary calls: h2load for throughput, a client with one call in flight for latency, a crowd of callers for accepting
//! events. It knows the published contract and h2load's output.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message as _;
use trine_proto::v1::invocation_service_client::InvocationServiceClient;
use trine_proto::v1::{InvocationType, InvokeRequest};

use crate::bench::process::{scratch, tool};
use crate::bench::stream::channel;

/// What every unary row sends.
#[must_use]
pub fn request(function: &str, kind: InvocationType, payload: &Bytes) -> InvokeRequest {
    InvokeRequest {
        function: function.to_owned(),
        r#type: kind.into(),
        payload: payload.clone(),
        ..InvokeRequest::default()
    }
}

/// `h2load -c 8 -m STREAMS`: answers a second.
///
/// # Errors
/// If h2load fails, or any answer is not a success.
pub fn h2load(
    address: &str,
    request: &InvokeRequest,
    streams: u32,
    duration: Duration,
) -> Result<f64, String> {
    let folder = scratch("h2load")?;
    let body = folder.join("request");
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(request.encoded_len()).map_err(|error| error.to_string())?);
    request.encode(&mut framed).map_err(|error| error.to_string())?;
    std::fs::write(&body, &framed).map_err(|error| error.to_string())?;
    let output = Command::new(tool("TRINE_H2LOAD")?)
        .args(["-c", "8", "-t", "1", "-m"])
        .arg(streams.to_string())
        .arg("-D")
        .arg(duration.as_secs().max(1).to_string())
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers", "-d"])
        .arg(&body)
        .arg(format!("http://{address}/trine.v1.InvocationService/Invoke"))
        .stdin(Stdio::null())
        .output();
    // A leftover folder of a few bytes is no reason to fail.
    let _ = std::fs::remove_dir_all(&folder);
    let output = output.map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    read_h2load(&text).ok_or_else(|| format!("h2load did not succeed:\n{text}"))
}

/// The rate in `finished in 3.00s, 88123.00 req/s, 12.34MB/s`, if nothing failed.
fn read_h2load(text: &str) -> Option<f64> {
    let failed = text.lines().find(|line| line.starts_with("requests:"))?;
    if !failed.contains(" 0 failed, 0 errored, 0 timeout") {
        return None;
    }
    let finished = text.lines().find(|line| line.starts_with("finished in"))?;
    finished.split(", ").nth(1)?.strip_suffix(" req/s")?.parse().ok()
}

/// One call in flight, over and over: the median time to the answer, in microseconds.
///
/// # Errors
/// If a call is refused.
pub async fn latency_p50_us(
    address: &str,
    request: &InvokeRequest,
    duration: Duration,
) -> Result<f64, String> {
    let mut client = InvocationServiceClient::new(channel(&format!("http://{address}"))?);
    let mut times = Vec::new();
    let start = Instant::now();
    while start.elapsed() < duration {
        let sent = Instant::now();
        client.invoke(request.clone()).await.map_err(|status| status.to_string())?;
        times.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    times.get(times.len() / 2).copied().ok_or_else(|| "no call was answered".to_owned())
}

#[cfg(test)]
mod tests {
    use super::read_h2load;

    #[test]
    fn a_rate_is_read_only_from_a_run_without_failures() {
        let good = "finished in 2.00s, 91234.50 req/s, 9.1MB/s\nrequests: 9 total, 9 started, 9 done, 9 succeeded, 0 failed, 0 errored, 0 timeout";
        assert_eq!(read_h2load(good), Some(91_234.5));
        assert_eq!(read_h2load(&good.replace("0 errored", "1 errored")), None);
        assert_eq!(read_h2load(""), None);
    }
}
