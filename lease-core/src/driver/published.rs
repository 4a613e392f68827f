//! What `check_alive` reads: the driver's latest word on the term, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{FencingToken, Held, MonoTime};

/// The current term, published by the driver and read from anywhere.
///
/// No lock: a driver that is starved, suspended in the middle of a store, panicked or gone cannot make a
/// reader wait, and what it published last ends by itself at `until`.
///
/// Three words suffice. `until` is zero while nothing is held. The token is stored only while `until` is
/// zero, and tokens strictly grow, so a reader that sees the same token before and after it read `until`
/// has a pair that belongs together. `releasing` counts the releases that were asked for and that the driver
/// has not taken up yet: while there are any, nothing is held, whatever the driver publishes meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Published {
    until: AtomicU64,
    token: AtomicU64,
    releasing: AtomicU64,
}

impl Published {
    /// The driver's word. Only the driver calls this.
    pub(crate) fn publish(&self, held: Option<Held>) {
        let Some(held) = held else {
            self.until.store(0, Ordering::SeqCst);
            return;
        };
        if self.token.load(Ordering::SeqCst) != held.token.as_u64() {
            self.until.store(0, Ordering::SeqCst);
            self.token.store(held.token.as_u64(), Ordering::SeqCst);
        }
        self.until.store(held.until.as_nanos(), Ordering::SeqCst);
    }

    /// From here on nothing is held, until the driver has taken the release up.
    pub(crate) fn release_asked(&self) {
        self.releasing.fetch_add(1, Ordering::SeqCst);
    }

    /// The driver has handed a release to the machine and published what that left.
    pub(crate) fn release_taken_up(&self) {
        self.releasing.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether a release was asked for that the driver has not taken up yet.
    pub(crate) fn is_releasing(&self) -> bool {
        self.releasing.load(Ordering::SeqCst) > 0
    }

    /// The term, unless it is over at `now()`, which is called last.
    pub(crate) fn held(&self, now: impl FnOnce() -> MonoTime) -> Option<Held> {
        if self.is_releasing() {
            return None;
        }
        let (token, until) = loop {
            let before = self.token.load(Ordering::SeqCst);
            let until = self.until.load(Ordering::SeqCst);
            if self.token.load(Ordering::SeqCst) == before {
                break (before, until);
            }
        };
        let until = MonoTime::from_nanos(until);
        (until > MonoTime::ZERO && now() < until)
            .then(|| Held { until, token: FencingToken::from_u64(token) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    fn held(until: u64, token: u64) -> Option<Held> {
        Some(Held { until: MonoTime::from_nanos(until), token: FencingToken::from_u64(token) })
    }

    #[test]
    fn a_term_is_half_open() {
        let published = Published::default();
        assert_eq!(published.held(|| MonoTime::ZERO), None);
        published.publish(held(100, 7));
        assert_eq!(published.held(|| MonoTime::from_nanos(99)), held(100, 7));
        assert_eq!(published.held(|| MonoTime::from_nanos(100)), None);
    }

    #[test]
    fn a_release_hides_what_is_published_until_it_is_taken_up() {
        let published = Published::default();
        published.publish(held(100, 7));
        published.release_asked();
        assert_eq!(published.held(|| MonoTime::ZERO), None);
        published.publish(held(200, 7));
        assert_eq!(published.held(|| MonoTime::ZERO), None, "a renewal that came in between");
        published.publish(None);
        published.release_taken_up();
        assert_eq!(published.held(|| MonoTime::ZERO), None);
        published.publish(held(300, 8));
        assert_eq!(published.held(|| MonoTime::ZERO), held(300, 8));
    }

    #[test]
    fn token_and_deadline_belong_together() {
        let published = Arc::new(Published::default());
        let writer = Arc::clone(&published);
        let thread = thread::spawn(move || {
            for term in 1..20_000 {
                writer.publish(held(term * 10, term));
                writer.publish(held(term * 10 + 1, term));
                if term % 2 == 0 {
                    writer.publish(None);
                }
            }
        });
        while !thread.is_finished() {
            if let Some(seen) = published.held(|| MonoTime::ZERO) {
                assert_eq!(seen.until.as_nanos() / 10, seen.token.as_u64());
            }
        }
        thread.join().unwrap();
    }
}
