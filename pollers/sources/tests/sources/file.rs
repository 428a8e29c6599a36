//! The `file` source on real files.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trine_pollers::conformance::Subject;
use trine_pollers::{
    Binding, Change, Connect, Content, Place, Places, Problem, Reader, Received, Record, Secrets,
    SeekTo, ShardName, Sought, Start, Target, Want, conformance_suite,
};
use trine_proto::v1::FileSource;

const WANT: Want = Want { records_max: 100, bytes_max: u64::MAX, wait: Duration::from_millis(500) };

/// A folder with a file to read.
struct Folder {
    folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn with_file() -> Self {
        let folder = Self::new();
        folder.append("");
        folder
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("app.log")
    }

    fn append(&self, text: impl AsRef<[u8]>) {
        let mut file =
            OpenOptions::new().create(true).append(true).open(self.path()).expect("open");
        file.write_all(text.as_ref()).expect("written");
    }

    fn connector(&self, start: Start) -> Arc<dyn Connect> {
        let binding =
            Binding { mapping_id: "a-mapping".into(), start, secrets: Secrets::default() };
        let path = self.path().to_str().expect("UTF-8").to_owned();
        trine_pollers::file::connector(&FileSource { path }, &binding).expect("a good path")
    }
}

impl Subject for Folder {
    fn connector(&mut self) -> Arc<dyn Connect> {
        Self::connector(self, Start::TrimHorizon)
    }

    async fn produce(&mut self, _key: &str, text: &str) {
        self.append(format!("{text}\n"));
    }

    fn text(&self, event: &[u8]) -> String {
        serde_json::from_slice::<Value>(event).expect("JSON")["line"].to_string()
    }

    fn record_bytes_max(&self) -> usize {
        usize::MAX
    }
}

conformance_suite!(
    #[tokio::test(flavor = "multi_thread")]
    Some(Folder::with_file())
);

fn shard() -> ShardName {
    ShardName::new("file")
}

fn after(record: &Record) -> Places {
    Places::from([(shard(), Place::After(record.position.clone()))])
}

async fn open(connector: &Arc<dyn Connect>, places: Places) -> Arc<dyn Reader> {
    let source = connector.connect(places).await.expect("the file is there");
    match source.next_change().await.expect("a change") {
        Change::Opened(opened) => {
            assert_eq!((opened.shard, opened.lease), (shard(), None));
            opened.reader
        }
        other => panic!("{other:?}"),
    }
}

async fn receive(reader: &Arc<dyn Reader>) -> Received {
    reader.receive(WANT).await.expect("the file can be read")
}

fn lines(received: &Received) -> Vec<Value> {
    let line = |record: &Record| match &record.content {
        Content::Event(event) => {
            serde_json::from_slice::<Value>(event).expect("JSON")["line"].take()
        }
        Content::TooLarge(bytes) => json!(bytes),
    };
    received.records.iter().map(line).collect()
}

async fn seek(connector: &Arc<dyn Connect>, places: &Places, to: SeekTo) -> Sought {
    let target = Target { shard: None, to };
    let mut sought = connector.seek(places.clone(), target, true).await.expect("a seek");
    assert_eq!(sought.len(), 1);
    sought.remove(0)
}

#[tokio::test]
async fn an_event_is_documented() {
    let folder = Folder::new();
    folder.append("{\"n\":1}\nplain \"text\"\n");
    let received = receive(&open(&folder.connector(Start::TrimHorizon), Places::new()).await).await;
    let events: Vec<Value> = received
        .records
        .iter()
        .map(|record| match &record.content {
            Content::Event(event) => serde_json::from_slice(event).expect("JSON"),
            Content::TooLarge(_) => panic!("it is small"),
        })
        .collect();
    let (path, id) = (folder.path(), |at: usize| received.records[at].identifier.to_string());
    let expected = [
        json!({"eventSource": "trine:file", "eventSourceName": "a-mapping", "path": path, "id": id(0),
               "offset": 0, "format": "json", "line": {"n": 1}}),
        json!({"eventSource": "trine:file", "eventSourceName": "a-mapping", "path": path, "id": id(1),
               "offset": 8, "format": "text", "line": "plain \"text\""}),
    ];
    assert_eq!(events, expected);
    assert_eq!(received.records[0].body, "{\"n\":1}");
    assert_eq!(received.lag_records, Some(0));
}

#[tokio::test]
async fn a_missing_file_is_named_and_read_whole_once_it_is_there() {
    for start in [Start::TrimHorizon, Start::Latest] {
        let folder = Folder::new();
        let connector = folder.connector(start);
        let error = connector.connect(Places::new()).await.err().expect("it is not there");
        assert_eq!(error.problem, Problem::Configuration);
        assert!(error.to_string().contains("app.log does not exist yet"), "{error}");
        folder.append("1\n");
        let reader = open(&connector, Places::new()).await;
        assert_eq!(lines(&receive(&reader).await), [json!(1)], "{start:?}");
    }
}

#[tokio::test]
async fn latest_means_the_end_at_the_first_look_and_stays_there() {
    let folder = Folder::new();
    folder.append("1\n2\nhal");
    let connector = folder.connector(Start::Latest);
    let reader = open(&connector, Places::new()).await;
    folder.append("f\n4\n");
    assert_eq!(lines(&receive(&reader).await), [json!("half"), json!(4)]);
    // Nothing was settled: the same again, nothing skipped.
    let reader = open(&connector, Places::new()).await;
    assert_eq!(lines(&receive(&reader).await), [json!("half"), json!(4)]);
}

#[tokio::test]
async fn rotation_loses_nothing_and_truncation_is_told() {
    let folder = Folder::new();
    folder.append("1\n");
    let reader = open(&folder.connector(Start::TrimHorizon), Places::new()).await;
    assert_eq!(lines(&receive(&reader).await), [json!(1)]);
    folder.append("2\n");
    fs::rename(folder.path(), folder.folder.path().join("app.log.1")).expect("moved");
    folder.append("3\n");
    let (mut came, mut notices) = (Vec::new(), Vec::new());
    while came.len() < 2 {
        let received = receive(&reader).await;
        came.extend(lines(&received));
        notices.extend(received.notices);
    }
    assert_eq!(came, [json!(2), json!(3)]);
    assert!(notices.iter().any(|notice| notice.message.contains("moved away") && !notice.gap));
    fs::write(folder.path(), "").expect("truncated");
    let received = receive(&reader).await;
    assert!(received.notices[0].message.contains("shrank") && received.notices[0].gap);
    folder.append("4\n");
    assert_eq!(lines(&receive(&reader).await), [json!(4)]);
}

#[tokio::test]
async fn a_seek_counts_what_is_read_again_or_skipped() {
    let folder = Folder::new();
    folder.append("1\n\n22\n333\n");
    let connector = folder.connector(Start::TrimHorizon);
    let records = receive(&open(&connector, Places::new()).await).await.records;
    let middle = after(&records[1]);
    for (to, again, skipped, left) in [
        (SeekTo::Start, 2, 0, vec![json!(1), json!(22), json!(333)]),
        (SeekTo::Position("3".to_owned()), 1, 0, vec![json!(22), json!(333)]),
        (SeekTo::End, 0, 1, vec![]),
    ] {
        let sought = seek(&connector, &middle, to).await;
        assert_eq!((sought.read_again, sought.skipped), (Some(again), Some(skipped)), "{sought:?}");
        assert!(sought.from.starts_with("byte 6 of inode"), "{sought:?}");
        let places = Places::from([(shard(), sought.place.expect("the broker keeps it"))]);
        assert_eq!(lines(&receive(&open(&connector, places).await).await), left);
    }
}

#[tokio::test]
async fn a_seek_to_what_is_no_line_is_refused_by_name() {
    let folder = Folder::new();
    folder.append("1\n22\n");
    let connector = folder.connector(Start::TrimHorizon);
    let position = |text: &str| SeekTo::Position(text.to_owned());
    for (to, says) in [
        (position("1"), "no line of"),
        (position("6"), "has 5 bytes"),
        (position("the end"), "expected the number of the byte"),
        (SeekTo::Timestamp(0), "carry no time"),
    ] {
        let target = Target { shard: None, to };
        let error = connector.seek(Places::new(), target, true).await.expect_err("no such place");
        assert_eq!(error.problem, Problem::Configuration);
        assert!(error.to_string().contains(says), "{error}");
    }
    let target = Target { shard: Some(ShardName::new("other")), to: SeekTo::End };
    let error = connector.seek(Places::new(), target, true).await.expect_err("no such shard");
    assert!(error.to_string().contains("there is no shard other"), "{error}");
}

#[tokio::test]
async fn a_checkpoint_of_another_file_is_refused() {
    let (folder, other) = (Folder::new(), Folder::new());
    folder.append("1\n");
    other.append("1\n");
    let records =
        receive(&open(&other.connector(Start::TrimHorizon), Places::new()).await).await.records;
    let connector = folder.connector(Start::TrimHorizon);
    let error = connector.connect(after(&records[0])).await.err().expect("it is foreign");
    assert!(error.to_string().contains("the checkpoint is one of"), "{error}");
    let strange = Places::from([(shard(), Place::After(trine_pollers::Position::new("what")))]);
    let error = connector.connect(strange).await.err().expect("it is no place");
    assert!(error.to_string().contains("is no place in a file"), "{error}");
}

#[tokio::test]
async fn what_was_given_up_is_named() {
    let folder = Folder::new();
    folder.append("1\n2\n");
    let connector = folder.connector(Start::TrimHorizon);
    let records = receive(&open(&connector, Places::new()).await).await.records;
    let given_up: Vec<_> = records.iter().collect();
    let (name, member) = connector.batch_member(&shard(), &given_up);
    assert_eq!(name, "FileBatchInfo");
    assert_eq!(member["path"], json!(folder.path()));
    assert_eq!(member["startId"], *records[0].identifier);
    assert_eq!(member["endId"], *records[1].identifier);
    assert!(member["approximateArrivalOfLastRecord"].as_str().expect("a time").ends_with('Z'));
}
