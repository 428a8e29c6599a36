//! The written form of mappings, checkpoints and what is parked.

use bytes::Bytes;
use trine_engine::FunctionName;
use trine_engine::mapping::{
    Checkpoint, CheckpointRecord, Count, Counts, Definition, MappingId, MappingMode, MappingRecord,
    ParkedKeyRecord, ParkedRecordRow, Window,
};
use trine_store::record::{
    Kind, ParkedEnvelope, RecordError, decode_checkpoint, decode_mapping, decode_parked,
    decode_parked_key, decode_parked_record, encode_checkpoint, encode_mapping, encode_parked,
    encode_parked_key, encode_parked_record,
};

use crate::Fixture;

fn mapping() -> MappingRecord {
    let mut counts = Counts::default();
    counts.set(Count::PolledEvents, 1_000);
    counts.set(Count::SourceGaps, 1);
    MappingRecord {
        number: 7,
        id: MappingId(0x0199_f2a4_b1c2_4def_8123_4567_89ab_cdef),
        definition: Definition {
            function: FunctionName::new("resize").unwrap(),
            qualifier: "$LATEST".into(),
            kind: "kafka".into(),
            source: "pictures on localhost:9092".into(),
            reader: None,
            document: b"a document".as_slice().into(),
        },
        mode: MappingMode::Paused,
        deleting: false,
        created_at: 1_793_000_000_000,
        modified_at: 1_793_000_000_001,
        counts,
    }
}

fn checkpoint() -> CheckpointRecord {
    let window = Window { state: b"{\"sum\":3}".as_slice().into(), start_ms: 1_793_000_000_000 };
    CheckpointRecord {
        number: 9,
        mapping: 7,
        shard: "pictures-0".into(),
        checkpoint: Checkpoint { position: "4711".into(), ended: true, window: Some(window) },
    }
}

fn parked_key() -> ParkedKeyRecord {
    ParkedKeyRecord {
        number: 3,
        mapping: 7,
        shard: "pictures-0".into(),
        key: b"customer-4711".as_slice().into(),
        since: 1_793_000_000_000,
        error: "it broke".into(),
        unparking: true,
    }
}

const PARKED_ROW: ParkedRecordRow = ParkedRecordRow { number: 5, key: 3, bytes: 128 };

fn parked() -> ParkedEnvelope {
    ParkedEnvelope {
        event: Bytes::from_static(b"{\"offset\":4711}"),
        identifier: "pictures-0:4711".to_owned(),
        position: "4711".to_owned(),
        arrived_at_ms: 1_793_000_000_000,
    }
}

macro_rules! fixture {
    ($name:literal, $record:expr, $encode:ident, $decode:ident) => {{
        let record = $record;
        let written = $encode(&record);
        let reads =
            Box::new(move |bytes: Vec<u8>| $decode(bytes.as_slice()).as_ref() == Ok(&record));
        Fixture { name: $name, written, reads }
    }};
}

fn decode_parked_slice(bytes: &[u8]) -> Result<ParkedEnvelope, RecordError> {
    decode_parked(Bytes::copy_from_slice(bytes))
}

pub(crate) fn fixtures() -> Vec<Fixture> {
    let leaving = MappingRecord { deleting: true, mode: MappingMode::Disabled, ..mapping() };
    let plain = CheckpointRecord {
        checkpoint: Checkpoint { position: "4712".into(), ..Checkpoint::default() },
        ..checkpoint()
    };
    vec![
        fixture!("mapping-full", mapping(), encode_mapping, decode_mapping),
        fixture!("mapping-leaving", leaving, encode_mapping, decode_mapping),
        fixture!("checkpoint-full", checkpoint(), encode_checkpoint, decode_checkpoint),
        fixture!("checkpoint-plain", plain, encode_checkpoint, decode_checkpoint),
        fixture!("parked-key", parked_key(), encode_parked_key, decode_parked_key),
        fixture!("parked-row", PARKED_ROW, encode_parked_record, decode_parked_record),
        fixture!("parked-record", parked(), encode_parked, decode_parked_slice),
    ]
}

#[test]
fn a_mapping_that_is_not_understood_is_named() {
    let error = decode_mapping(&[1]).unwrap_err();
    assert!(
        matches!(error, RecordError::Field { kind: Kind::Mapping, field: "mode", .. }),
        "{error:?}"
    );
    let mut later = encode_mapping(&mapping()).to_vec();
    later[0] = 2;
    let version = RecordError::Version { kind: Kind::Mapping, found: 2 };
    assert_eq!(decode_mapping(&later), Err(version));
    assert_eq!(decode_checkpoint(&[]), Err(RecordError::Empty { kind: Kind::Checkpoint }));
}
