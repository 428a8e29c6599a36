//! `serve` itself: ready, show, drain, and what it leaves on the disk.

use std::cell::RefCell;

use crate::program::{Run, Served, Serving, command};

#[test]
fn the_ready_line_says_where_it_listens() {
    let served = Served::start();
    assert!(served.url.starts_with("http://127.0.0.1:"), "{}", served.url);
    assert_eq!(served.ready["virtual_time"], true);
    assert_eq!(served.ready["store"], "embedded");
    assert_eq!(served.ready["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn broker_show_has_the_configuration_with_its_origins() {
    let served = Served::with(&["--store", "memory"], "[timing]\ndrain = '7s'\n");
    let shown = served.json("broker show");
    assert_eq!(shown["virtual_time"], false);
    assert_eq!(shown["store"], "memory");
    let settings = shown["configuration"].as_array().expect("a list");
    let origin = |name: &str| {
        let setting = settings.iter().find(|setting| setting["name"] == name);
        setting.map(|setting| setting["origin"].clone()).unwrap_or_default()
    };
    assert_eq!(origin("timing.drain"), "file");
    assert_eq!(origin("store"), "flag");
    assert_eq!(origin("timing.heartbeat"), "default");
}

#[test]
fn signals_drain_and_end_with_0() {
    for signal in ["TERM", "INT"] {
        let (exit, rest, _) = Served::start().end(signal);
        assert_eq!(exit, Some(0), "{signal}");
        assert!(rest.is_empty(), "stdout holds the ready line and nothing else: {rest}");
    }
}

#[test]
fn a_drain_waits_for_what_runs() {
    let served = Served::start();
    served.json("function create gate");
    let worker = Serving::start(&served);
    let call = served.spawn("invoke gate 5");
    worker.entered();
    served.drain();
    worker.open();
    let run = Run::of(call.wait_with_output().expect("it ends"));
    assert_eq!((run.exit, run.stdout.as_str()), (0, "5\n"), "{run:?}");
    assert_eq!(served.ended().0, Some(0));
}

#[test]
fn a_drain_has_a_deadline() {
    let served = Served::with(&["--set", "timing.drain=100ms"], "");
    served.json("function create gate");
    let worker = Serving::start(&served);
    let mut call = served.spawn("invoke gate 5");
    worker.entered();
    assert_eq!(served.end("TERM").0, Some(0));
    assert_ne!(call.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let served = Served::start();
    served.json("function create gate");
    let worker = Serving::start(&served);
    let mut call = served.spawn("invoke gate 5");
    worker.entered();
    served.drain();
    assert_eq!(served.end("TERM").0, Some(130));
    assert_ne!(call.wait().expect("it ends").code(), Some(0));
}

/// The poller waits for the function, in threads of its own.
#[test]
fn a_second_signal_ends_a_poller_at_once() {
    let served = Served::with(&[], "");
    served.json("function create gate");
    let worker = Serving::start(&served);
    let lines = served.path("orders.jsonl");
    std::fs::write(&lines, "{}\n").expect("written");
    let lines = lines.display();
    served.json(&format!("mapping create gate --file {lines} --starting-position trim-horizon"));
    worker.entered();
    // Two of one kind would be one if the second came before the first was seen.
    served.signal("TERM");
    assert_eq!(served.end("INT").0, Some(130));
}

/// A server that says nothing holds nothing: nobody waits for it.
#[test]
fn a_silent_source_holds_up_no_end() {
    let served = Served::with(&["--set", "timing.drain=15m"], "");
    served.json("function create f");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("redis://{}", silent.local_addr().expect("it is bound"));
    let created = served.json(&format!("mapping create f --redis {url} --stream s"));
    let why = format!("mapping why {}", created["id"].as_str().expect("an id"));
    silent.set_nonblocking(true).expect("it can be");
    let connections = RefCell::new(Vec::new());
    let connected = || {
        connections.borrow_mut().extend(silent.accept());
        // A binary that was built with files alone reads no Redis.
        let unread = || served.trine(&why).stdout.contains("No connected poller");
        (!connections.borrow().is_empty() || unread()).then_some(())
    };
    served.soon(connected, "a connection");
    assert_eq!(served.end("TERM").0, Some(0));
}

#[test]
fn what_was_accepted_is_there_after_a_restart() {
    let served = Served::start();
    served.json("function create echo");
    let accepted = served.json("invoke echo 1 --event");
    assert_eq!(accepted["durability"], "local_disk");
    let id = accepted["request_id"].as_str().expect("an id").to_owned();
    let (exit, _, dir) = served.end("TERM");
    assert_eq!(exit, Some(0));
    let again = Served::on(dir, &["--virtual-time"], "");
    assert_eq!(again.json(&format!("invocation show {id}"))["state"], "ready");
    let _worker = Serving::start(&again);
    assert_eq!(again.until_ended(&id)["state"], "succeeded");
}

#[test]
fn a_folder_belongs_to_one_broker() {
    let served = Served::start();
    let data = served.path("data");
    let second = command(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(&data).output();
    let second = second.expect("it runs");
    assert_ne!(second.status.code(), Some(0));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(text.contains("data"), "{text}");
    assert_eq!(served.trine("function list").exit, 0);
}

#[test]
fn a_file_is_tailed_into_its_function() {
    let served = Served::start();
    assert_eq!(served.ready["poller"], true);
    served.json("function create echo");
    let _worker = Serving::start(&served);
    std::fs::write(served.path("orders.jsonl"), "{\"order\":1}\n").expect("written");
    let path = served.path("orders.jsonl");
    served.json(&format!("mapping create echo --file {}", path.display()));
    served.until_metric("trine_invocations_total{function=\"echo\"} 1");
}
