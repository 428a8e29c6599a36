//! Over real sockets, by the real clock: a broker that dies in the middle of a call, and the next one.

use std::net::TcpListener;
use std::time::Duration;

use tonic::transport::Endpoint;

use super::broker::Broker;
use super::runner::{numbers, produce, start};
use super::watching::until;
use crate::memory::MemoryStream;

#[tokio::test]
async fn a_broker_that_dies_in_the_middle_of_a_call_gets_the_batch_again_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (mut broker, life) = Broker::listen(&listener);
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
    let stream = MemoryStream::new();
    produce(&stream, 0..2);
    let poller = start(channel, &stream);
    let call = broker.call().await;
    life.shutdown_background();
    drop(call);
    let status = until(&poller, "the loss", |s| s.counts.lost_batches > 0).await;
    assert!(status.last_error.is_some());
    let (mut broker, life) = Broker::listen(&listener);
    let call = broker.call().await;
    assert_eq!(call.records(), numbers(0..2));
    call.succeed();
    let settled = until(&poller, "settled", |s| s.checkpoint.is_some()).await;
    assert_eq!((settled.counts.invoked_events, settled.last_error), (2, None));
    poller.shutdown(Duration::from_secs(10)).await.unwrap();
    life.shutdown_background();
}
