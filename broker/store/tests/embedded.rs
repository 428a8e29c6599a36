//! The embedded backend keeps the contract.

use std::sync::Arc;

use trine_store::conformance::{Home, Scratch};
use trine_store::{Embedded, Options, Store, StoreError};

struct OnDisk(Scratch);

impl Home for OnDisk {
    fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(Arc::new(Embedded::open(self.0.path(), Options::default())?))
    }
}

trine_store::conformance!(OnDisk(Scratch::new()));
