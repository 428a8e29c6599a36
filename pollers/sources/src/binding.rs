//! What an adapter is told of its mapping, checked once; and the secrets that a mapping only names. It does not know batches.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use trine_poll_engine::Start;

use crate::SourceError;

/// What an adapter is made with, beside the configuration of its own source.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The mapping's id, a UUID: names consumer groups and durable consumers where the user did not.
    pub mapping_id: Arc<str>,
    /// Where a shard begins that has no place.
    pub start: Start,
    /// Where passwords are looked up.
    pub secrets: Secrets,
}

/// Passwords by name: what the embedding program gave, or else the environment variable `TRINE_SECRET_NAME`.
#[derive(Clone, Default)]
pub struct Secrets {
    configured: Arc<BTreeMap<String, String>>,
}

impl Secrets {
    /// With those that the embedding program gives.
    #[must_use]
    pub fn new(configured: BTreeMap<String, String>) -> Self {
        Self { configured: Arc::new(configured) }
    }

    /// The secret of this name; `None` for the empty name, which means that there is none.
    ///
    /// # Errors
    /// [`Problem::Authentication`](crate::Problem::Authentication) if nothing is known under the name.
    pub fn get(&self, name: &str) -> Result<Option<String>, SourceError> {
        if name.is_empty() {
            return Ok(None);
        }
        let variable = format!("TRINE_SECRET_{}", name.to_ascii_uppercase().replace('-', "_"));
        let found = self.configured.get(name).cloned().or_else(|| std::env::var(&variable).ok());
        found.map(Some).ok_or_else(|| {
            let says = format!(
                "the secret \"{name}\" is not known to this poller: set the environment variable {variable}"
            );
            SourceError::new(crate::Problem::Authentication, says)
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.configured.keys()).finish()
    }
}
