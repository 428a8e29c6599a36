//! Clients that want no good: whatever they send, the others are served, memory stays where it was, and
//! nothing is left behind.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use trine_proto::v1::{FunctionSettings, Reason, WorkerServiceSessionRequest};
use trine_tests::fixture::broker::{Broker, Setup};
use trine_tests::fixture::client::{Client, call, reason};
use trine_tests::fixture::raw_worker::hello;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::wait::{soon, until};
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker};

use crate::wire::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, RST_STREAM, SETTINGS, Wire, frame,
    grpc_headers, message,
};

const INVOKE: &str = "/trine.v1.InvocationService/Invoke";

/// What an attack may cost, whatever was sent.
const GROWTH_BYTES_MAX: u64 = 160 << 20;

/// A broker with one function and a worker, and what it uses.
struct Victim {
    broker: Broker,
    client: Client,
    _worker: Serving,
    before: u64,
}

impl Victim {
    async fn start() -> Self {
        Self::of(Setup::new()).await
    }

    async fn of(setup: Setup) -> Self {
        let broker = setup.start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let echo = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
        let worker = Worker::connect(broker.url()).function_raw("f", echo);
        let worker = Serving::start(worker).await;
        let before = resident(&broker);
        let victim = Self { broker, client, _worker: worker, before };
        victim.serves().await;
        victim
    }

    /// Others are served, by connections they have and by new ones.
    async fn serves(&self) {
        let fresh = self.broker.client();
        for client in [&self.client, &fresh] {
            let answer = soon("an honest call's answer", client.call("f", "1")).await;
            assert_eq!(answer.payload, "1");
        }
    }

    /// Nothing is left of the attack but our own two connections and the scraper's.
    async fn recovers(&self) {
        self.serves().await;
        until("the attacker's connections to go", LIMIT, async || {
            self.broker.metrics().await.value("trine_connections") <= 3.0
        })
        .await;
        let metrics = self.broker.metrics().await;
        assert_eq!(metrics.value("trine_slot_drift"), 0.0);
        assert_eq!(metrics.value("trine_account_concurrent_executions"), 0.0);
        assert_eq!(metrics.value("trine_account_queue_events"), 0.0);
        let after = resident(&self.broker);
        let grown = after.saturating_sub(self.before);
        assert!(grown < GROWTH_BYTES_MAX, "{grown} bytes more than before");
    }
}

fn resident(broker: &Broker) -> u64 {
    let status = Path::new("/proc").join(broker.process().id().to_string()).join("status");
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// Bytes that are random enough, the same in every run.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut noise = Vec::with_capacity(bytes + 8);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    noise.truncate(bytes);
    noise
}

/// Sends `bytes` on a connection of its own and waits until the broker closes it.
async fn sent_and_closed(victim: &Victim, bytes: &[u8]) {
    let mut stream = TcpStream::connect(victim.broker.address()).await.unwrap();
    // It may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = soon("the end of a bad connection", stream.read_to_end(&mut answer)).await;
}

#[test]
fn noise_is_closed() {
    run(async {
        let victim = Victim::start().await;
        sent_and_closed(&victim, &noise(100_000)).await;
        sent_and_closed(&victim, b"GET / HTTP/9.9\r\n\r\n").await;
        sent_and_closed(&victim, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await;
        sent_and_closed(&victim, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\r\n\r\n").await;
        let mut opened = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        opened.extend(noise(50_000));
        sent_and_closed(&victim, &opened).await;
        victim.recovers().await;
    });
}

#[test]
fn a_frame_of_16_mib_is_not_waited_for() {
    run(async {
        let victim = Victim::start().await;
        let mut wire = Wire::connect(victim.broker.address()).await;
        wire.push(&[0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]).await;
        assert!(wire.closes(LIMIT).await);
        victim.recovers().await;
    });
}

#[test]
fn a_message_that_claims_4_gib_is_refused_without_room_for_it() {
    run(async {
        let victim = Victim::start().await;
        for (compressed, length) in [(0, u32::MAX), (1, u32::MAX), (0, 1 << 30), (9, 4)] {
            let mut wire = Wire::connect(victim.broker.address()).await;
            let mut call = frame(HEADERS, END_HEADERS, 1, &grpc_headers(INVOKE));
            call.extend(frame(DATA, 0, 1, &message(compressed, length, &[0; 64])));
            assert!(wire.push(&call).await);
            // The answer to the stream, whatever it is; then the connection goes.
            let mut answer = vec![0; 1 << 14];
            let read = soon("an answer", wire.stream.read(&mut answer)).await.unwrap();
            assert!(read > 0);
        }
        victim.recovers().await;
    });
}

#[test]
fn what_is_no_protobuf_is_refused_and_not_believed() {
    run(async {
        let victim = Victim::start().await;
        for path in [
            INVOKE,
            "/trine.v1.InvocationService/InvokeStream",
            "/trine.v1.FunctionService/CreateFunction",
            "/trine.v1.WorkerService/Session",
            "/trine.v1.Nothing/AtAll",
            "//trine.v1.InvocationService/Invoke",
            "/trine.v1.InvocationService/Invoke/",
        ] {
            for body in [noise(1_000), vec![0x0a; 1_000], vec![0x0b; 5_000]] {
                let mut wire = Wire::connect(victim.broker.address()).await;
                let mut call = frame(HEADERS, END_HEADERS, 1, &grpc_headers(path));
                let length = u32::try_from(body.len()).unwrap();
                call.extend(frame(DATA, END_STREAM, 1, &message(0, length, &body)));
                assert!(wire.push(&call).await, "{path}");
            }
        }
        victim.recovers().await;
        assert_eq!(victim.client.account().await.function_count, 1);
        assert_eq!(victim.broker.metrics().await.value("trine_worker_sessions"), 1.0);
    });
}

/// S1: streams that are opened and reset at once (CVE-2023-44487).
#[test]
fn rapid_resets_are_cut_off() {
    run(async {
        let victim = Victim::start().await;
        let mut wire = Wire::connect(victim.broker.address()).await;
        let headers = grpc_headers(INVOKE);
        let mut closed = false;
        for batch in 0..500_u32 {
            let mut pairs = Vec::new();
            for n in 0..100 {
                let stream = 1 + 2 * (batch * 100 + n);
                pairs.extend(frame(HEADERS, END_HEADERS, stream, &headers));
                pairs.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
            if !wire.push(&pairs).await {
                closed = true;
                break;
            }
        }
        assert!(closed || wire.closes(Duration::from_secs(20)).await, "50 000 resets were taken");
        victim.recovers().await;
    });
}

/// S2: headers without an end (CVE-2024-27316).
#[test]
fn headers_without_an_end_are_cut_off() {
    run(async {
        let victim = Victim::start().await;
        let mut wire = Wire::connect(victim.broker.address()).await;
        wire.push(&frame(HEADERS, 0, 1, &grpc_headers(INVOKE))).await;
        // A literal header of 16 KiB, and again.
        let mut block = vec![0x00, 0x01, b'x', 0x7f, 0x81, 0x7f];
        block.resize(16_000, b'y');
        let more = frame(CONTINUATION, 0, 1, &block);
        assert!(wire.flood(more, 20_000).await, "320 MB of headers were taken");
        victim.recovers().await;
    });
}

/// S3: floods of what must be answered, with nobody reading.
#[test]
fn floods_of_control_frames_cost_nothing() {
    run(async {
        let victim = Victim::start().await;
        for flood in
            [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[]), frame(DATA, 0, 1, &[])]
        {
            let mut wire = Wire::connect(victim.broker.address()).await;
            wire.push(&frame(HEADERS, END_HEADERS, 1, &grpc_headers(INVOKE))).await;
            let many = flood.repeat(1_000);
            // Nobody reads the answers: either it stops reading us, or it closes.
            let pushing = async {
                for _ in 0..1_000 {
                    if wire.stream.write_all(&many).await.is_err() {
                        break;
                    }
                }
            };
            let _ = tokio::time::timeout(Duration::from_secs(2), pushing).await;
            victim.serves().await;
        }
        victim.recovers().await;
    });
}

/// S4: a connection that does not say what it wants is given up, wherever it stops; it holds up nobody meanwhile.
#[test]
fn silent_and_slow_connections_are_bounded() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    run(async {
        let victim = Victim::start().await;
        let mut held = Vec::new();
        for beginning in [
            &b""[..],
            b"P",
            b"PRI * HT",
            &PREFACE[..23],
            b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-A: ",
            b"GE",
        ] {
            let mut stream = TcpStream::connect(victim.broker.address()).await.unwrap();
            stream.write_all(beginning).await.unwrap();
            held.push((beginning, stream));
        }
        victim.serves().await;
        // They all wait at the same time.
        for (beginning, stream) in &mut held {
            let mut answer = Vec::new();
            let said = String::from_utf8_lossy(beginning);
            // An end or a reset: both are one. HTTP/1 may be told why.
            let _ = soon(&format!("the end after {said:?}"), stream.read_to_end(&mut answer)).await;
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{said:?}: {answer:?}");
        }
        victim.recovers().await;
    });
}

/// Workers that go while they are being welcomed: none of them is taken for one that serves.
#[test]
fn workers_that_go_while_they_join_are_gone() {
    const PATH: &str = "/trine.v1.WorkerService/Session";
    run(async {
        let broker = Broker::start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let hello = Some(hello(&["f"], 3));
        let body = WorkerServiceSessionRequest { hello, ..Default::default() }.encode_to_vec();
        let body = message(0, u32::try_from(body.len()).unwrap(), &body);
        for round in 0..60 {
            let mut wire = Wire::connect(broker.address()).await;
            let (mut joining, mut leaving) = (Vec::new(), Vec::new());
            for stream in (1..40).step_by(2) {
                joining.extend(frame(HEADERS, END_HEADERS, stream, &grpc_headers(PATH)));
                joining.extend(frame(DATA, 0, stream, &body));
                leaving.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            }
            assert!(wire.push(&joining).await);
            // Some are reset, some lose their connection.
            if round % 2 == 0 {
                assert!(wire.push(&leaving).await);
            }
        }
        until("all of them to be gone", LIMIT, async || {
            let metrics = broker.metrics().await;
            let connected = metrics.value("trine_connections") > 2.0;
            !connected
                && metrics.value("trine_worker_sessions") == 0.0
                && metrics.value("trine_slots") == 0.0
        })
        .await;
        assert_eq!(reason(&client.invoke(call("f", "1")).await), Some(Reason::NoWorker));
        assert_eq!(broker.metrics().await.value("trine_slot_drift"), 0.0);
    });
}

#[test]
fn a_thousand_idle_connections_are_held_and_let_go() {
    run(async {
        let victim = Victim::start().await;
        let mut idle = Vec::new();
        for _ in 0..1_000 {
            idle.push(Wire::connect(victim.broker.address()).await);
        }
        until("a thousand connections", LIMIT, async || {
            victim.broker.metrics().await.value("trine_connections") >= 1_000.0
        })
        .await;
        victim.serves().await;
        drop(idle);
        victim.recovers().await;
    });
}

#[test]
fn connections_beyond_the_bound_are_refused_at_once() {
    run(async {
        let victim = Victim::of(Setup::new().set("limits.connections_max", 20)).await;
        let mut held = Vec::new();
        for _ in 0..40 {
            held.push(TcpStream::connect(victim.broker.address()).await.unwrap());
        }
        let mut refused = TcpStream::connect(victim.broker.address()).await.unwrap();
        let mut nothing = Vec::new();
        let read = soon("the refusal", refused.read_to_end(&mut nothing)).await;
        assert_eq!(read.unwrap_or(0), 0);
        // Whoever was connected is served all the time.
        let answer = soon("an answer", victim.client.call("f", "1")).await;
        assert_eq!(answer.payload, "1");
        drop(held);
        victim.recovers().await;
        let metrics = victim.broker.metrics().await;
        assert!(metrics.value("trine_connections_refused_total") >= 20.0);
    });
}

/// S5: no descriptors left; the listener survives that (RUSTSEC-2024-0376).
#[test]
fn a_broker_without_descriptors_comes_back() {
    run(async {
        let few = Setup::new().under(Path::new("sh"), &["-c", "ulimit -n 64; exec \"$0\" \"$@\""]);
        let victim = Victim::of(few).await;
        let mut held = Vec::new();
        for _ in 0..200 {
            held.push(TcpStream::connect(victim.broker.address()).await.unwrap());
        }
        let answer = soon("an answer", victim.client.call("f", "1")).await;
        assert_eq!(answer.payload, "1");
        drop(held);
        victim.recovers().await;
    });
}

#[test]
fn a_thousand_streams_that_say_nothing_are_held_and_let_go() {
    run(async {
        let victim = Victim::start().await;
        let mut wire = Wire::connect(victim.broker.address()).await;
        let headers = grpc_headers("/trine.v1.InvocationService/InvokeStream");
        let mut opening = Vec::new();
        for n in 0..1_000 {
            opening.extend(frame(HEADERS, END_HEADERS, 1 + 2 * n, &headers));
        }
        assert!(wire.push(&opening).await);
        victim.serves().await;
        drop(wire);
        victim.recovers().await;
    });
}
