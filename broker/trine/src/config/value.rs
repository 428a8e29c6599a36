//! The kinds of values: how each is read, shown, and described to whoever got it wrong.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::duration;
use crate::log::LogFormat;

/// A kind of value.
pub(crate) trait Value: Sized {
    /// `None` if the text is not one.
    fn read(text: &str) -> Option<Self>;
    /// In the notation that [`Value::read`] reads.
    fn show(&self) -> String;
    /// What is expected, to follow "expected".
    fn expected() -> String;
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

/// `store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StoreKind {
    Embedded,
    Memory,
}

const BYTE_UNITS: [(&str, u64); 4] =
    [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("", 1)];

impl Value for Bytes {
    fn read(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let (_, unit_bytes) = BYTE_UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        number.parse::<u64>().ok()?.checked_mul(*unit_bytes).map(Self)
    }

    fn show(&self) -> String {
        let (unit, unit_bytes) = BYTE_UNITS
            .iter()
            .find(|(_, unit_bytes)| self.0 != 0 && self.0.is_multiple_of(*unit_bytes))
            .unwrap_or(&("", 1));
        format!("{}{unit}", self.0 / unit_bytes)
    }

    fn expected() -> String {
        "a number of bytes: 1024, 64KiB, 16MiB, 8GiB".to_owned()
    }
}

impl Value for Duration {
    fn read(text: &str) -> Option<Self> {
        duration::parse(text).ok()
    }

    fn show(&self) -> String {
        duration::show(*self)
    }

    fn expected() -> String {
        format!("a duration, {}", duration::EXPECTED)
    }
}

impl Value for SocketAddr {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn expected() -> String {
        "an address and a port: 127.0.0.1:7400, [::1]:7400, or port 0 for a free one".to_owned()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Option<Self> {
        Some(text).filter(|text| !text.is_empty()).map(Self::from)
    }

    fn show(&self) -> String {
        self.display().to_string()
    }

    fn expected() -> String {
        "a path".to_owned()
    }
}

impl Value for String {
    fn read(text: &str) -> Option<Self> {
        Some(text).filter(|text| !text.is_empty()).map(Self::from)
    }

    fn show(&self) -> String {
        self.clone()
    }

    fn expected() -> String {
        "a text".to_owned()
    }
}

/// Whole numbers and booleans are what Rust reads and shows.
macro_rules! plain_values {
    ($($kind:ty, $expected:literal;)*) => {$(
        impl Value for $kind {
            fn read(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn expected() -> String {
                $expected.to_owned()
            }
        }
    )*};
}

plain_values! {
    bool, "true or false";
    u32, "a whole number";
    u64, "a whole number";
}

/// Closed sets of names, which clap knows already.
macro_rules! named_values {
    ($($kind:ty),*) => {$(
        impl Value for $kind {
            fn read(text: &str) -> Option<Self> {
                <Self as ValueEnum>::from_str(text, false).ok()
            }

            fn show(&self) -> String {
                name_of(self)
            }

            fn expected() -> String {
                let names: Vec<String> = Self::value_variants().iter().map(name_of).collect();
                names.join(" or ")
            }
        }
    )*};
}

named_values!(StoreKind, LogFormat);

fn name_of(value: &impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round<T: Value>(text: &str) -> Option<String> {
        T::read(text).map(|value| value.show())
    }

    #[test]
    fn values_are_shown_as_they_are_read() {
        assert_eq!(round::<Bytes>("8GiB").as_deref(), Some("8GiB"));
        assert_eq!(round::<Bytes>("2048 KiB").as_deref(), Some("2MiB"));
        assert_eq!(round::<Bytes>("1025").as_deref(), Some("1025"));
        assert_eq!(round::<Bytes>("0").as_deref(), Some("0"));
        assert_eq!(round::<Duration>("90s").as_deref(), Some("90s"));
        assert_eq!(round::<SocketAddr>("[::1]:7400").as_deref(), Some("[::1]:7400"));
        assert_eq!(round::<StoreKind>("memory").as_deref(), Some("memory"));
        assert_eq!(round::<bool>("true").as_deref(), Some("true"));
    }

    #[test]
    fn other_texts_are_not_values() {
        for text in ["", "GiB", "8GB", "8gib", "-1", "1.5MiB", "99999999999GiB"] {
            assert_eq!(Bytes::read(text), None, "{text}");
        }
        assert!(bool::read("yes").is_none());
        assert!(u32::read("1e3").is_none());
        assert!(StoreKind::read("disk").is_none());
        assert!(SocketAddr::read("localhost:7400").is_none());
    }
}
