//! Over a real socket, in real time: what the in-memory connection leaves out.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;
use trine_worker::{Error, Worker};

use crate::peer::{Peer, Running, attempt, response};

fn echo(address: std::net::SocketAddr) -> Worker {
    Worker::connect(format!("http://{address}"))
        .function_raw("echo", |payload, _| async move { Ok::<_, Error>(payload) })
}

/// Serves a new peer on one connection of `listener`. Aborting the task breaks the connection.
async fn serve(listener: &TcpListener) -> (Peer, JoinHandle<()>) {
    let (peer, service) = Peer::service();
    let (sender, connections) = mpsc::unbounded_channel::<TcpStream>();
    let incoming = UnboundedReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
    let (socket, _) = listener.accept().await.unwrap();
    sender.send(socket).unwrap();
    let served = tokio::spawn(async move {
        let _open = sender;
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    (peer, served)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_comes_back_to_a_broker_that_was_restarted() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut running = Running::start(echo(listener.local_addr().unwrap()).slots(500));
    for round in 0..3 {
        let (mut peer, served) = serve(&listener).await;
        let mut session = peer.welcome().await;
        session.attempts((0..500).map(|entry| attempt(entry, "1"))).await;
        let outcomes = session.outcomes(500).await;
        assert!(outcomes.into_iter().all(|outcome| outcome.result == Some(response("1"))));
        if round < 2 {
            drop(session);
            served.abort();
            continue;
        }
        running.shut_down();
        assert!(session.frame().await.unwrap().draining);
        assert_eq!(session.frame().await, None);
        break;
    }
    running.result().await.unwrap();
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = tokio::spawn(echo(listener.local_addr().unwrap()).run());
    let (mut peer, _served) = serve(&listener).await;
    let mut session = peer.welcome().await;
    session.attempts([attempt(1, "1")]).await;
    assert_eq!(session.answer().await, response("1"));
    // The listener is in place: the worker set it up before it connected.
    let process = std::process::id().to_string();
    let sent = std::process::Command::new("kill").args(["-TERM", &process]).status().unwrap();
    assert!(sent.success());
    assert!(session.frame().await.unwrap().draining);
    assert_eq!(session.frame().await, None);
    drop(session);
    running.await.unwrap().unwrap();
}
