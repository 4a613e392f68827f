//! Where a plan's choices come from: a seed, or bytes that a fuzzer or a shrinker made up.

use std::time::Duration;

use crate::splitmix::{self, GAMMA, mix};

/// Numbers that decide. A source that has run dry answers zero, which is always the plainest choice.
pub trait Source {
    /// The next number.
    fn next(&mut self) -> u64;

    /// A number below `end`; zero when `end` is zero.
    fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { ((u128::from(self.next()) * u128::from(end)) >> 64) as u64 }
    }

    /// A number from `first` to `last`, both included.
    fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last.saturating_sub(first).saturating_add(1))
    }

    /// True in that many of a million cases.
    fn chance(&mut self, millionths: u32) -> bool {
        // The upper end, so that a source that has run dry says no.
        self.below(1_000_000) >= 1_000_000 - u64::from(millionths.min(1_000_000)) && millionths > 0
    }

    /// One of these.
    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Between two durations, short ones as likely as long ones on a scale of powers of two.
    fn spread(&mut self, least: Duration, most: Duration) -> u64 {
        let (least, most) = (least.as_nanos() as u64, most.as_nanos() as u64);
        let span = most.saturating_sub(least);
        if span == 0 {
            return least;
        }
        let cut = self.below(u64::from(64 - span.leading_zeros()) + 1) as u32;
        least + self.below((span >> cut.min(63)).max(1))
    }
}

/// Numbers drawn from a seed.
#[derive(Clone, Debug)]
pub struct Seeded(u64);

impl Seeded {
    /// A source of its own for each `domain`: what is drawn in one leaves the others as they are.
    #[must_use]
    pub const fn new(seed: u64, domain: u64) -> Self {
        Self(mix(seed.wrapping_add(GAMMA)) ^ mix(domain.wrapping_mul(GAMMA).wrapping_add(1)))
    }
}

impl Source for Seeded {
    fn next(&mut self) -> u64 {
        splitmix::next(&mut self.0)
    }
}

/// Bytes as choices, two for each number; zero when they are used up.
#[derive(Clone, Debug)]
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// Reads from the front.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }
}

impl Source for Tape<'_> {
    fn next(&mut self) -> u64 {
        let (taken, rest) = self.0.split_at(self.0.len().min(2));
        self.0 = rest;
        let number = taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        let number = if taken.len() == 1 { number << 8 } else { number };
        // In the upper bits, which `below` looks at; the lower ones follow, so that spans are filled.
        if number == 0 { 0 } else { number << 48 | mix(number) >> 16 }
    }
}
