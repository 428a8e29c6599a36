//! A change of a function's settings: what it keeps, clears and sets. It does not know what is in force, nor when
//! the change is made.

use crate::{
    Destination, FunctionSettings, MaxEventAgeSeconds, MaxRetries, MemoryMb, TimeoutSeconds,
};

/// What a change does to one setting.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// Back to the default.
    Clear,
    /// This from now on.
    Set(T),
}

/// What a change does to each setting of a function. [`SettingsChange::default`] keeps them all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// See [`FunctionSettings::description`].
    pub description: Change<Box<str>>,
    /// See [`FunctionSettings::timeout`].
    pub timeout: Change<TimeoutSeconds>,
    /// See [`FunctionSettings::memory`].
    pub memory: Change<MemoryMb>,
    /// See [`FunctionSettings::reserved_concurrency`].
    pub reserved_concurrency: Change<u32>,
    /// See [`FunctionSettings::max_retries`].
    pub max_retries: Change<MaxRetries>,
    /// See [`FunctionSettings::max_event_age`].
    pub max_event_age: Change<MaxEventAgeSeconds>,
    /// See [`FunctionSettings::on_success`].
    pub on_success: Change<Destination>,
    /// See [`FunctionSettings::on_failure`].
    pub on_failure: Change<Destination>,
}

impl<T> Change<T> {
    /// The setting after the change.
    fn of(self, before: Option<T>) -> Option<T> {
        match self {
            Self::Keep => before,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }

    /// What it is set to, if it is set.
    pub fn set(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }
}

impl<T> From<Option<T>> for Change<T> {
    /// What is not given stays as it is.
    fn from(given: Option<T>) -> Self {
        given.map_or(Self::Keep, Self::Set)
    }
}

impl From<FunctionSettings> for SettingsChange {
    /// Sets what is set in `given` and keeps the rest.
    fn from(given: FunctionSettings) -> Self {
        Self {
            description: given.description.into(),
            timeout: given.timeout.into(),
            memory: given.memory.into(),
            reserved_concurrency: given.reserved_concurrency.into(),
            max_retries: given.max_retries.into(),
            max_event_age: given.max_event_age.into(),
            on_success: given.on_success.into(),
            on_failure: given.on_failure.into(),
        }
    }
}

impl SettingsChange {
    /// The settings after the change.
    #[must_use]
    pub fn of(self, before: FunctionSettings) -> FunctionSettings {
        FunctionSettings {
            description: self.description.of(before.description),
            timeout: self.timeout.of(before.timeout),
            memory: self.memory.of(before.memory),
            reserved_concurrency: self.reserved_concurrency.of(before.reserved_concurrency),
            max_retries: self.max_retries.of(before.max_retries),
            max_event_age: self.max_event_age.of(before.max_event_age),
            on_success: self.on_success.of(before.on_success),
            on_failure: self.on_failure.of(before.on_failure),
        }
    }
}
