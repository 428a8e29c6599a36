//! The data folder: one broker a folder, damage that is found and named, disks that are full or fail.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use trine_proto::v1::source_config::Source;
use trine_proto::v1::{
    FileSource, FunctionSettings, InvocationState, InvokeRequest, MappingSettings, Reason,
    StartingPosition,
};
use trine_tests::fixture::broker::{Broker, NotStarted, Setup};
use trine_tests::fixture::client::{Client, event, reason, refusal};
use trine_tests::fixture::folder::Folder;
use trine_tests::fixture::puppet::Puppet;
use trine_tests::fixture::serving::Serving;
use trine_tests::fixture::tools::{skip, tool};
use trine_tests::fixture::wait::until;
use trine_tests::fixture::{LIMIT, run};
use trine_worker::{Context, Error, Worker};

#[test]
fn a_folder_belongs_to_one_broker() {
    run(async {
        let broker = Broker::start().await;
        let data = broker.data();
        let refused = Setup::new().data(&data).try_start().await.unwrap_err();
        assert_eq!(refused.status.code(), Some(74), "{refused:?}");
        let holder = broker.process().id().to_string();
        for word in [data.to_str().unwrap(), holder.as_str()] {
            assert!(refused.said.contains(word), "{word} is not in: {}", refused.said);
        }
        broker.client().create("f", FunctionSettings::default()).await;
        assert!(broker.is_ready().await);
    });
}

/// A data folder with events in it, of a broker that has ended.
async fn filled(events: u32, orderly: bool) -> Folder {
    let folder = Folder::new();
    let mut broker = Setup::new().data(&folder.join("data")).start().await;
    let client = broker.client();
    client.create("f", FunctionSettings::default()).await;
    for n in 0..events {
        client.event("f", format!("\"{n} {}\"", "x".repeat(3_000))).await;
    }
    if orderly {
        broker.terminate();
        broker.ended(LIMIT).await;
    } else {
        broker.kill();
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

/// The files of a data folder that hold something, the lock aside.
fn files(data: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.ends_with("LOCK"))
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    files.sort();
    files
}

/// How a start in the folder went: refused, or with this many events.
async fn start_in(data: &Path) -> Result<u64, NotStarted> {
    let broker = Setup::new().data(data).try_start().await?;
    Ok(broker.client().account().await.queued)
}

fn names(refused: &NotStarted, file: &Path) -> bool {
    let folder = file.parent().unwrap().to_str().unwrap();
    refused.said.contains(folder)
}

/// R4: a truncated file is refused or made good; nothing is ever silently missing.
#[test]
fn a_truncated_file_is_never_read_as_shorter() {
    const EVENTS: u32 = 40;
    run(async {
        for orderly in [true, false] {
            let original = filled(EVENTS, orderly).await;
            let data = original.join("data");
            let scratch = Folder::new();
            let damaged = scratch.join("data");
            let mut refusals = 0;
            for file in files(&data) {
                let length = fs::metadata(&file).unwrap().len();
                for keep in [0, length / 2, length - 1] {
                    copy(&data, &damaged);
                    let target = damaged.join(file.file_name().unwrap());
                    let open = fs::File::options().write(true).open(&target).unwrap();
                    open.set_len(keep).unwrap();
                    drop(open);
                    match start_in(&damaged).await {
                        Ok(queued) => assert_eq!(
                            queued,
                            u64::from(EVENTS),
                            "{} cut to {keep} of {length}",
                            file.display()
                        ),
                        Err(refused) => {
                            refusals += 1;
                            assert_eq!(refused.status.code(), Some(74), "{refused:?}");
                            assert!(names(&refused, &target), "{refused:?}");
                        }
                    }
                }
            }
            assert!(refusals > 0, "no damage at all was found");
        }
    });
}

#[test]
fn a_missing_file_is_not_an_empty_one() {
    run(async {
        let original = filled(10, true).await;
        let data = original.join("data");
        let scratch = Folder::new();
        let damaged = scratch.join("data");
        for file in files(&data) {
            copy(&data, &damaged);
            let target = damaged.join(file.file_name().unwrap());
            fs::remove_file(&target).unwrap();
            match start_in(&damaged).await {
                Ok(queued) => assert_eq!(queued, 10, "without {}", file.display()),
                Err(refused) => assert!(names(&refused, &target), "{refused:?}"),
            }
        }
    });
}

/// Flipped bits, spread over every file: found and named, or harmless.
#[test]
fn a_flipped_bit_is_found_or_harmless() {
    const EVENTS: u32 = 40;
    const PLACES: usize = 8;
    run(async {
        let original = filled(EVENTS, true).await;
        let data = original.join("data");
        let scratch = Folder::new();
        let damaged = scratch.join("data");
        for file in files(&data) {
            let bytes = fs::read(&file).unwrap();
            for place in 0..PLACES {
                copy(&data, &damaged);
                let target = damaged.join(file.file_name().unwrap());
                let at = bytes.len() * place / PLACES + 20;
                let at = at.min(bytes.len() - 1);
                let mut flipped = bytes.clone();
                flipped[at] ^= 0x10;
                fs::write(&target, &flipped).unwrap();
                match start_in(&damaged).await {
                    Ok(queued) => {
                        assert_eq!(queued, u64::from(EVENTS), "{} at {at}", file.display());
                    }
                    Err(refused) => assert!(names(&refused, &target), "{refused:?}"),
                }
            }
        }
    });
}

/// R24: what a newer release wrote is refused before it is touched.
#[test]
fn a_newer_format_is_refused_untouched() {
    run(async {
        let original = filled(3, true).await;
        let data = original.join("data");
        let manifest = data.join("MANIFEST");
        let text = fs::read_to_string(&manifest).unwrap();
        let newer = text.replacen("trine-store 1", "trine-store 999", 1);
        assert_ne!(newer, text, "{text}");
        fs::write(&manifest, &newer).unwrap();
        let before: Vec<_> = files(&data).iter().map(|file| fs::read(file).unwrap()).collect();
        let refused = start_in(&data).await.unwrap_err();
        assert!(refused.said.contains("999") && refused.said.contains("newer"), "{refused:?}");
        let after: Vec<_> = files(&data).iter().map(|file| fs::read(file).unwrap()).collect();
        assert!(before == after, "it was touched");
        fs::write(&manifest, text).unwrap();
        assert_eq!(start_in(&data).await.unwrap(), 3);
    });
}

/// A file system in memory of a few MiB, taken away with the test.
struct SmallDisk {
    folder: Folder,
}

impl SmallDisk {
    fn mount(test: &str, mib: u32) -> Option<Self> {
        let folder = Folder::new();
        let size = format!("size={mib}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(folder.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder }),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                skip(test, &format!("a small file system cannot be mounted: {}", said.trim()));
                None
            }
            Err(error) => {
                skip(test, &format!("a small file system cannot be mounted: {error}"));
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a broker that a failing test left may still have it open.
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).output();
    }
}

async fn call_for_ever(client: Client) {
    loop {
        client.call("f", "1").await;
    }
}

/// R5.
#[test]
fn a_full_disk_refuses_events_and_nothing_else() {
    run(async {
        let test = "a_full_disk_refuses_events_and_nothing_else";
        let Some(disk) = SmallDisk::mount(test, 48) else { return };
        let filler = disk.folder.join("filler");
        // More than the log's 16 MiB, which the file must have room for before the log is used again.
        fs::write(&filler, vec![1; 24 << 20]).unwrap();
        let mut broker = Setup::new().data(&disk.folder.join("data")).start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        client.create("idle", FunctionSettings::default()).await;
        client.create("ends", FunctionSettings::default()).await;
        let echo = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
        let (mut puppet, strings) = Puppet::new();
        let worker = Worker::connect(broker.url()).function_raw("f", echo);
        let worker = worker.function_raw("ends", strings.handler());
        let _worker = Serving::start(worker).await;
        let payload = Bytes::from(format!("\"{}\"", "x".repeat(256 << 10)));
        let ends = client.event("ends", "1").await;
        let running = puppet.next().await;
        let mut acked = vec![ends.clone()];
        let refused = loop {
            assert!(acked.len() < 200, "the disk does not fill up");
            match client.invoke(event("idle", payload.clone())).await {
                Ok(accepted) => acked.push(accepted.request_id),
                Err(refused) => break refused,
            }
        };
        assert_eq!(refused.reason(), Reason::StoreUnavailable);
        assert!(refused.retry_after_ms.is_some());
        assert!(acked.len() > 4, "{} events fit", acked.len());
        for _ in 0..20 {
            assert_eq!(client.call("f", "1").await.payload, "1", "calls need no disk");
        }
        let refused = client.try_create("g", FunctionSettings::default()).await;
        assert!(matches!(reason(&refused), None | Some(Reason::StoreUnavailable)), "{refused:?}");
        let still = client.invoke(event("idle", payload.clone())).await;
        assert_eq!(reason(&still), Some(Reason::StoreUnavailable));
        assert!(broker.is_ready().await);
        assert!(broker.metrics().await.value("trine_store_rejections_total") > 0.0);
        let log = broker.process().log();
        assert_eq!(log.matches("until there is room").count(), 1, "once, however often: {log}");
        assert_eq!(client.account().await.queued, acked.len() as u64);
        // What ends now is not seen to have ended before the disk has it.
        let rejections = async || broker.metrics().await.value("trine_store_rejections_total");
        let before = rejections().await;
        running.answer(format!("\"{}\"", "y".repeat(1 << 20)));
        until("a refused end", LIMIT, async || rejections().await > before).await;
        assert_eq!(client.get(&ends).await.finished_at_ms, None);

        fs::remove_file(&filler).unwrap();
        // The broker stays busy: that must not put off what waits for the disk.
        let busy = tokio::spawn(call_for_ever(broker.client()));
        client.until(&ends, |one| one.finished_at_ms.is_some()).await;
        busy.abort();
        acked.remove(0);
        let mut after = None;
        until("room on the disk", LIMIT, async || {
            let again = client.invoke(event("idle", payload.clone())).await;
            after = again.ok();
            after.is_some()
        })
        .await;
        acked.push(after.unwrap().request_id);
        assert_eq!(client.account().await.queued, acked.len() as u64);
        broker.crash().await;
        let client = broker.client();
        assert_eq!(client.account().await.queued, acked.len() as u64);
        for id in &acked {
            client.get(id).await;
        }
        assert_eq!(client.get(&ends).await.state(), InvocationState::Succeeded);
    });
}

/// R5: records of a mapping flow on while nothing of it can be kept, and would come again; somebody has to be told.
#[test]
fn a_full_disk_is_what_a_mapping_says_it_waits_for() {
    run(async {
        let test = "a_full_disk_is_what_a_mapping_says_it_waits_for";
        let Some(disk) = SmallDisk::mount(test, 48) else { return };
        let filler = disk.folder.join("filler");
        fs::write(&filler, vec![1; 24 << 20]).unwrap();
        let broker = Setup::new().data(&disk.folder.join("data")).start().await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        client.create("idle", FunctionSettings::default()).await;
        let echo = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
        let _worker = Serving::start(Worker::connect(broker.url()).function_raw("f", echo)).await;
        let lines = broker.folder().join("lines.jsonl");
        fs::write(&lines, "1\n").unwrap();
        let source = Source::File(FileSource { path: lines.display().to_string() });
        let settings = MappingSettings {
            starting_position: Some(StartingPosition::TrimHorizon.into()),
            ..MappingSettings::default()
        };
        let id = client.create_mapping("f", source, settings).await.id;
        let activity = async || client.mapping(&id).await.activity.unwrap_or_default();
        let kept = async || activity().await.counts.unwrap_or_default().committed_events;
        until("the first line", LIMIT, async || kept().await == 1).await;
        for payload_bytes in [256 << 10, 4 << 10] {
            let payload = Bytes::from(format!("\"{}\"", "x".repeat(payload_bytes)));
            while client.invoke(event("idle", payload.clone())).await.is_ok() {}
        }

        const SAYS: &str = "what has ended is not kept";
        let mut written = 1;
        until("word of the disk", LIMIT, async || {
            let mut file = fs::File::options().append(true).open(&lines).unwrap();
            writeln!(file, "2").unwrap();
            written += 1;
            activity().await.waiting_for.contains(SAYS)
        })
        .await;
        fs::remove_file(&filler).unwrap();
        until("all lines kept", LIMIT, async || kept().await == written).await;
        until("nothing to wait for", LIMIT, async || !activity().await.waiting_for.contains(SAYS))
            .await;
    });
}

/// R6: a sync that fails is not tried again: what was not acknowledged is not claimed, and the process ends.
#[test]
fn a_failed_sync_ends_the_broker_without_a_false_word() {
    run(async {
        let test = "a_failed_sync_ends_the_broker_without_a_false_word";
        let Some(strace) = tool(test, "TRINE_STRACE", "strace") else { return };
        for when in [6, 9, 14] {
            let data = Folder::new();
            // The files are made by a broker that is well.
            let mut first = Setup::new().data(&data.join("data")).start().await;
            first.client().create("f", FunctionSettings::default()).await;
            first.terminate();
            first.ended(LIMIT).await;
            drop(first);
            let inject = format!("inject=fdatasync,fsync:error=EIO:when={when}");
            let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", &inject];
            let setup = Setup::new().data(&data.join("data")).under(&strace, &arguments);
            let mut broker = match setup.try_start().await {
                Ok(broker) => broker,
                Err(refused) => {
                    assert_ne!(refused.status.code(), Some(0), "{refused:?}");
                    continue;
                }
            };
            let client = broker.client();
            let mut acked = Vec::new();
            let mut failed = None;
            for n in 0..200 {
                let request =
                    InvokeRequest { idempotency_key: format!("k{n}"), ..event("f", n.to_string()) };
                match client.invocations().invoke(request).await {
                    Ok(accepted) => acked.push(accepted.into_inner().request_id),
                    Err(status) => {
                        // Not "try again": it may be on the disk.
                        assert_eq!(refusal(status.clone()).reason(), Reason::StoreUnknown);
                        failed = Some(status);
                        break;
                    }
                }
            }
            assert!(failed.is_some(), "sync {when} failed and nobody noticed");
            let status = broker.ended(LIMIT).await;
            let failed_by_itself = status.code().is_some_and(|code| code != 0);
            assert!(failed_by_itself || status.signal().is_some(), "{status:?}");
            assert_ne!(status.code(), Some(0));
            drop(broker);
            let broker = Setup::new().data(&data.join("data")).start().await;
            let client = broker.client();
            for id in &acked {
                client.get(id).await;
            }
            let queued = client.account().await.queued;
            let acked = acked.len() as u64;
            assert!((acked..=acked + 1).contains(&queued), "{acked} acknowledged, {queued} there");
        }
    });
}

/// R7: a slow disk slows down what needs it and nothing else.
#[test]
fn a_slow_disk_does_not_hold_up_calls() {
    run(async {
        let test = "a_slow_disk_does_not_hold_up_calls";
        let Some(strace) = tool(test, "TRINE_STRACE", "strace") else { return };
        let inject = "inject=fdatasync,fsync:delay_enter=200000";
        let arguments = ["-f", "-qq", "-o", "/dev/null", "-e", inject];
        let broker = Setup::new()
            .set("timing.heartbeat", "\"500ms\"")
            .under(&strace, &arguments)
            .start()
            .await;
        let client = broker.client();
        client.create("f", FunctionSettings::default()).await;
        let echo = |payload: Bytes, _: Context| async move { Ok::<_, Error>(payload) };
        let worker = Worker::connect(broker.url()).function_raw("f", echo);
        let mut serving = Serving::start(worker).await;
        let events = {
            let client = client.clone();
            tokio::spawn(async move {
                for n in 0..8 {
                    client.event("f", n.to_string()).await;
                }
            })
        };
        let mut calls = 0;
        while !events.is_finished() {
            client.call("f", "1").await;
            calls += 1;
        }
        events.await.unwrap();
        // Eight syncs one after the other are 1.6 s; calls do not wait for them.
        assert!(calls > 40, "{calls} calls were answered meanwhile");
        serving.connected(1).await;
        assert_eq!(broker.metrics().await.value("trine_worker_sessions_lost_total"), 0.0);
        // strace does not hand a kill on: ask it to end.
        broker.terminate();
        let mut broker = broker;
        broker.ended(Duration::from_secs(60)).await;
    });
}
