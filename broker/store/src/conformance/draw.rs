//! Numbers that look random and repeat exactly for a seed.
//!
//! Does not know what they are for.

/// A stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Draw(u64);

impl Draw {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub const fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `0..end`; `end` must not be 0.
    pub const fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Bytes that do not repeat.
    #[must_use]
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.number().to_le_bytes());
        words.take(length.div_ceil(8)).flatten().take(length).collect()
    }
}
