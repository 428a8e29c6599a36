//! One GET over HTTP/1.0: enough to read metrics as Prometheus does, without a client library.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A page of metrics is far smaller.
const PAGE_BYTES_MAX: u64 = 16 << 20;

const GET_WAIT: Duration = Duration::from_secs(10);

/// The body of a page that is answered with 200.
pub(crate) async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let page = tokio::time::timeout(GET_WAIT, read(address, path)).await;
    let page = page.map_err(|_| std::io::Error::other(format!("no answer to GET {path}")))??;
    let (head, body) = page.split_once("\r\n\r\n").unwrap_or((&page, ""));
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status != "200" {
        return Err(std::io::Error::other(format!("GET {path} was answered with {status:?}")));
    }
    Ok(body.to_owned())
}

/// HTTP/1.0: the server closes when it is done and does not cut the body into chunks.
async fn read(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = String::new();
    stream.take(PAGE_BYTES_MAX).read_to_string(&mut page).await?;
    Ok(page)
}
