//! Reads the store into a new engine at start. It does not repair: what cannot be read stops the start, with its
//! place.

use trine_engine::{Engine, EngineLimits, Millis};
use trine_store::record::{RecordError, decode_event, decode_function};
use trine_store::{Fence, Shard, Store, StoreError, Table};

/// The engine as it was when the last commit was durable.
///
/// # Errors
/// The store's, or `Corrupt` for a record that cannot be decoded.
pub(crate) fn recover(
    store: &dyn Store,
    shard: Shard,
    limits: EngineLimits,
    now: Millis,
) -> Result<(Engine, Fence), StoreError> {
    let fence = store.acquire(shard)?;
    let mut engine = Engine::new(limits, fence.0, now);
    let events = store.count(shard, Table::Event)?;
    engine.reserve_events(usize::try_from(events).unwrap_or(0));
    // Functions are scanned before events: the order of the tables.
    store.scan(shard, &mut |key, bytes| {
        let bad = |error: RecordError| error.at("the store", key);
        match key.table {
            Table::Function => {
                let record = decode_function(bytes).map_err(bad)?;
                engine.restore_function(record);
            }
            Table::Event => {
                let record = decode_event(bytes).map_err(bad)?;
                engine.restore_event(record);
            }
            // What is left is read by number, or belongs to the shard of mappings.
            _ => {}
        }
        Ok(())
    })?;
    engine.restored();
    Ok((engine, fence))
}
