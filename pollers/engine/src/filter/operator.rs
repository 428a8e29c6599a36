//! Owns what a pattern may ask of one value: the operators of LS 4.4 and when they hold. It does not
//! know where in a record the value stands, nor how an operator is written.

use core::net::IpAddr; // addresses only: what opens sockets is in std alone

use super::wildcard::Wildcard;
use crate::json::Scalar;

/// One thing that is asked of a value. Operators on text hold for no other type; [`Operator::AnythingBut`]
/// does.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operator {
    Null,
    Bool(bool),
    /// By the text of the number: 300, 300.0 and 3.0e2 are three.
    Number(String),
    Text(String),
    Prefix(String),
    Suffix(String),
    EqualsIgnoreCase(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
    Wildcard(Wildcard),
    Numeric(Range),
    Cidr(Network),
    /// None of these holds; so a value of another type passes.
    AnythingBut(Vec<Operator>),
    /// Any value at all, null included.
    Exists,
    /// No value: never holds for one, see [`super::tree`].
    Absent,
}

impl Operator {
    pub(super) fn holds(&self, value: &Scalar<'_>) -> bool {
        match self {
            Self::Exists => true,
            Self::Absent => false,
            Self::AnythingBut(these) => !these.iter().any(|this| this.holds(value)),
            _ => match value {
                Scalar::Null => *self == Self::Null,
                Scalar::Bool(value) => *self == Self::Bool(*value),
                Scalar::Number(value) => self.holds_number(value),
                Scalar::Text(value) => self.holds_text(value),
            },
        }
    }

    fn holds_number(&self, value: &str) -> bool {
        match self {
            Self::Number(number) => number == value,
            Self::Numeric(range) => value.parse().is_ok_and(|value| range.has(value)),
            _ => false,
        }
    }

    fn holds_text(&self, value: &str) -> bool {
        match self {
            Self::Text(text) => text == value,
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => value.ends_with(suffix.as_str()),
            Self::EqualsIgnoreCase(text) => folded(text).eq(folded(value)),
            Self::PrefixIgnoreCase(prefix) => begins(folded(value), folded(prefix)),
            Self::SuffixIgnoreCase(suffix) => begins(folded(value).rev(), folded(suffix).rev()),
            Self::Wildcard(wildcard) => wildcard.matches(value),
            Self::Cidr(network) => value.parse().is_ok_and(|address| network.has(address)),
            _ => false,
        }
    }
}

/// The characters in lower case, by Unicode and without a language.
fn folded(text: &str) -> impl DoubleEndedIterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

fn begins(mut text: impl Iterator<Item = char>, mut prefix: impl Iterator<Item = char>) -> bool {
    prefix.all(|char| text.next() == Some(char))
}

/// An end of a range, and whether it belongs to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bound {
    pub(super) at: f64,
    pub(super) included: bool,
}

/// Numbers between two bounds. They compare as 64-bit floating point numbers, so beyond 15 digits two of
/// them may be one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) low: Option<Bound>,
    pub(super) high: Option<Bound>,
}

impl Range {
    pub(super) fn has(&self, value: f64) -> bool {
        let above = |low: Bound| value > low.at || low.included && value == low.at;
        let below = |high: Bound| value < high.at || high.included && value == high.at;
        self.low.is_none_or(above) && self.high.is_none_or(below)
    }
}

/// The addresses that share the first bits of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    first: u128,
    mask: u128,
    v4: bool,
}

impl Network {
    /// `address/bits`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        // `parse` would take a sign.
        let digits = bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u32 = bits.parse().ok().filter(|_| digits)?;
        let (number, width) = number(address);
        if bits > width {
            return None;
        }
        let mask = u128::MAX.checked_shl(width - bits).unwrap_or(0);
        Some(Self { first: number & mask, mask, v4: address.is_ipv4() })
    }

    fn has(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.v4 && number(address).0 & self.mask == self.first
    }
}

/// An address as a number, and of how many bits.
fn number(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}
