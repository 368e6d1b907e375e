//! Random numbers from a seed, the same in every run and on every machine (splitmix64). They are good enough for
//! choices, and unfit for secrets.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Makes a source of its own, so that who draws from it cannot change what others draw.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    #[expect(
        clippy::should_implement_trait,
        reason = "it has no end, and is called by hand"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// Draws a number of a range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = range.into_inner();
        low + self.next() % (high - low + 1)
    }

    /// Draws a length of a range.
    pub fn len(&mut self, range: RangeInclusive<usize>) -> usize {
        let (low, high) = range.into_inner();
        low + self.below(high - low + 1)
    }

    /// Draws a number below a limit, which is not zero.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).expect("a usize fits");
        usize::try_from(self.next() % limit).expect("less than a usize")
    }

    /// Says yes once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.next() % times == 0
    }

    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Draws a time, in milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> Duration {
        Duration::from_millis(self.within(range))
    }
}

/// Spreads every bit of a number over all of them.
pub fn mix(mut number: u64) -> u64 {
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}
