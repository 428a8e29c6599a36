//! Makes ids. Request ids are UUIDs of version 7, ordered by time, with the shard's number inside. It does not
//! know what they name.
//!
//! Own code instead of the uuid crate's generator because an id is made for every call: one system
//! call for entropy a process, not one an id. They name; they do not authorise.

use std::hash::{BuildHasher, RandomState};

use trine_engine::{Millis, RequestId};

#[derive(Debug)]
pub(crate) struct RequestIds {
    shard: u16,
    state: u64,
}

impl RequestIds {
    /// For one shard of this process. Seeded from the entropy that the standard library draws for its maps.
    pub(crate) fn new(shard: u16) -> Self {
        Self { shard: shard & 0x0fff, state: RandomState::new().hash_one(shard) }
    }

    pub(crate) fn next(&mut self, now: Millis) -> RequestId {
        let random = u128::from(self.random() >> 2);
        let time = u128::from(now & 0xffff_ffff_ffff);
        let version_and_shard = 0x7000 | u128::from(self.shard);
        RequestId(time << 80 | version_and_shard << 64 | 0b10 << 62 | random)
    }

    /// SplitMix64: every value once in 2^64.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A UUID of version 4, for what is made so rarely that a draw of the standard library's entropy for each does not
/// matter.
pub(crate) fn random_uuid() -> u128 {
    let draw = || u128::from(RandomState::new().hash_one(0_u8));
    let random = draw() << 64 | draw();
    random & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62
}

/// The usual spelling. Several times as fast as formatting through `Display`, and made twice for every invocation.
pub(crate) fn text(id: RequestId) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    /// Where the two digits of each byte stand.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    let mut text = [b'-'; 36];
    for (byte, place) in id.0.to_be_bytes().into_iter().zip(PLACES) {
        text[place] = DIGITS[usize::from(byte >> 4)];
        text[place + 1] = DIGITS[usize::from(byte & 15)];
    }
    // Twice a call: character by character it was a thirtieth of what a call costs.
    String::from_utf8(text.to_vec()).expect("digits and dashes are UTF-8")
}

/// Reads a request id in its usual spelling.
pub(crate) fn parse(text: &str) -> Option<RequestId> {
    let bytes = text.as_bytes();
    let dashes = [8, 13, 18, 23];
    if bytes.len() != 36 || dashes.iter().any(|place| bytes[*place] != b'-') {
        return None;
    }
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || digits.starts_with('+') {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(RequestId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_ordered_by_time_and_read_back() {
        let mut ids = RequestIds::new(5);
        let (first, second) = (ids.next(1_000), ids.next(1_001));
        assert!(first < second);
        let text = first.to_string();
        assert_eq!((text.len(), &text[14..18]), (36, "7005"));
        assert!(matches!(&text[19..20], "8" | "9" | "a" | "b"));
        assert_eq!(parse(&text), Some(first));
        assert_eq!(super::text(first), text);
        for bad in
            ["", "0", &text[1..], &text.replace('-', "x"), "+0000000-0000-0000-0000-000000000000"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
