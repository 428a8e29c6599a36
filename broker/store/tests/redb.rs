//! The engine that lost keeps the contract too; what tells the two apart is in the ADR.

use std::sync::Arc;

use trine_store::conformance::{Home, Scratch};
use trine_store::{Directory, Options, RedbFile, Store, StoreError};

struct OnDisk(Scratch);

impl Home for OnDisk {
    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Directory::<RedbFile>::open(self.0.path(), Options::default())?))
    }
}

trine_store::conformance!(OnDisk(Scratch::new()));
