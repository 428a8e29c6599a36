//! Reads the shard of mappings into a new registry at start. It does not repair: what cannot be read stops the start,
//! with its place.

use trine_engine::mapping::{MappingLimits, Orphan, Registry};
use trine_store::record::{
    RecordError, decode_checkpoint, decode_mapping, decode_parked_key, decode_parked_record,
};
use trine_store::{Fence, Key, Place, Store, StoreError, Table};

use super::MAPPING_SHARD;
use super::definition;

/// The registry as it was when the last commit was durable.
///
/// # Errors
/// The store's, or `Corrupt` for a row that cannot be read or belongs to none.
pub(crate) fn recover(
    store: &dyn Store,
    limits: MappingLimits,
) -> Result<(Registry, Fence), StoreError> {
    let fence = store.acquire(MAPPING_SHARD)?;
    let mut registry = Registry::new(limits, fence.0);
    // Owners are scanned before what belongs to them: the order of the tables.
    store.scan(MAPPING_SHARD, &mut |key, bytes| {
        let bad = |error: RecordError| error.at("the store", key);
        match key.table {
            Table::Mapping => {
                let mut record = decode_mapping(bytes).map_err(bad)?;
                let document =
                    definition::read(&record.definition).map_err(|why| corrupt(key, &why))?;
                let source = document.source.unwrap_or_default();
                record.definition.reader = definition::reader(&source, record.id);
                registry.restore_mapping(record);
            }
            Table::Checkpoint => {
                let record = decode_checkpoint(bytes).map_err(bad)?;
                registry.restore_checkpoint(record).map_err(|orphan| lost(key, orphan))?;
            }
            Table::ParkedKey => {
                let record = decode_parked_key(bytes).map_err(bad)?;
                registry.restore_parked_key(record).map_err(|orphan| lost(key, orphan))?;
            }
            Table::ParkedRecord => {
                let row = decode_parked_record(bytes).map_err(bad)?;
                registry.restore_parked_record(row).map_err(|orphan| lost(key, orphan))?;
            }
            Table::Meta
            | Table::Function
            | Table::Event
            | Table::Payload
            | Table::Response
            | Table::ParkedPayload => {}
        }
        Ok(())
    })?;
    registry.restored();
    Ok((registry, fence))
}

fn lost(key: Key, orphan: Orphan) -> StoreError {
    corrupt(key, &format!("the row {} that it belongs to is missing", orphan.owner))
}

fn corrupt(key: Key, why: &str) -> StoreError {
    StoreError::Corrupt { place: Place::row("the store", key), detail: why.to_owned() }
}
