//! Deterministic jitter and the nonce. Nothing here is a secret.

use std::time::Duration;

use crate::identifiers::{Nonce, Seed};
use crate::time::Now;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). Own, because
/// recorded seeds must stay valid for ever and library generators are free to change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Rng(u64);

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Rng {
    /// A generator and the incarnation's nonce, both from the seed, the identity and the first reading of
    /// the clocks: a seed that is reused by mistake after a restart still gives another nonce.
    pub(crate) fn start(seed: Seed, identity: &str, now: Now) -> (Self, Nonce) {
        let mut state = [(seed.0 >> 64) as u64, seed.0 as u64];
        let mut absorb = |word: u64| {
            state[0] = mix(state[0].wrapping_add(word).wrapping_add(GAMMA));
            state[1] = mix(state[1] ^ state[0].rotate_left(23)).wrapping_add(word);
        };
        absorb(now.mono.as_nanos());
        absorb(now.wall.as_micros() as u64);
        for chunk in identity.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            absorb(u64::from_le_bytes(word));
        }
        absorb(identity.len() as u64);
        let nonce = Nonce((u128::from(mix(state[0])) << 64) | u128::from(mix(state[1])));
        (Self(state[0] ^ state[1].rotate_left(32)), nonce)
    }

    /// A generator whose next draw cuts nothing off a pause.
    #[cfg(feature = "explore")]
    pub(crate) fn without_jitter() -> Self {
        // `mix` maps 0 to 0.
        Self(GAMMA.wrapping_neg())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// `duration`, cut by up to half: spreads retries without ever making them later than asked.
    pub(crate) fn jitter(&mut self, duration: Duration) -> Duration {
        let half = duration / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
        if span == 0 {
            return duration;
        }
        duration - Duration::from_nanos(self.next() % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{MonoTime, WallTime};

    #[test]
    fn nonces_differ_by_seed_identity_and_first_now() {
        let now = Now { mono: MonoTime::from_nanos(5), wall: WallTime::from_micros(7) };
        let later = Now { mono: MonoTime::from_nanos(6), ..now };
        let nonce = |seed, name, now| Rng::start(Seed(seed), name, now).1;
        let base = nonce(1, "a", now);
        assert_eq!(base, nonce(1, "a", now));
        for other in [nonce(2, "a", now), nonce(1, "b", now), nonce(1, "a", later), nonce(1 << 64, "a", now)]
        {
            assert_ne!(base, other);
        }
    }

    #[test]
    fn jitter_stays_in_the_upper_half() {
        let mut rng = Rng::start(Seed(3), "a", Now::default()).0;
        for _ in 0..1000 {
            let drawn = rng.jitter(Duration::from_millis(100));
            assert!(drawn > Duration::from_millis(50) && drawn <= Duration::from_millis(100), "{drawn:?}");
        }
        assert_eq!(rng.jitter(Duration::ZERO), Duration::ZERO);
    }

    #[cfg(feature = "explore")]
    #[test]
    fn without_jitter_nothing_is_cut_off() {
        let whole = Duration::from_secs(3);
        assert_eq!(Rng::without_jitter().jitter(whole), whole);
    }
}
