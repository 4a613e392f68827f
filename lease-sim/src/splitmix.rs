//! SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014), for everything here
//! that is drawn. Own, because seeds in reports must stay valid for ever and library generators are free to
//! change.

/// What the state grows by.
pub(crate) const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's output function: a good 64-bit hash of a number.
#[must_use]
pub const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The next number of a sequence.
pub(crate) const fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(GAMMA);
    mix(*state)
}
