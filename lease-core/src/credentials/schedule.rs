//! When an exec plugin is to be run again.

use std::time::Duration;

use super::rotation::{RotationPolicy, RotationTime};
use crate::WallTime;
use crate::time::micros;

/// The longest time before an expiry at which new credentials are fetched. It leaves room for a slow plugin and
/// a second try.
const MAX_MARGIN: Duration = Duration::from_secs(120);
/// The same as a share of the life that is left when they come: a fifth.
const MARGIN_SHARE: u32 = 5;

/// When to run the plugin of a source again.
///
/// It runs before what it gave expires, and when the server refuses that. Two runs are at least
/// [`RotationPolicy::RETRY`] apart, but the first after a refusal comes at once: a plugin may be a slow program
/// that asks a rate-limited service.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    last_run: Duration,
    renewal: Option<Renewal>,
    state: State,
    /// The server had refused what was there before the last run.
    ran_for_refusal: bool,
}

/// When to fetch new credentials, on both clocks: the one that comes first counts. A wall clock that was set
/// right meanwhile knows better than the time that has passed.
#[derive(Clone, Copy, Debug)]
struct Renewal {
    mono: Duration,
    wall: WallTime,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What the last run gave is in use.
    InUse,
    /// The last run gave nothing, or nothing that is in use.
    Unsettled,
    /// The server refused what is in use, and the plugin did not run since.
    Refused,
}

impl Schedule {
    /// The plugin ran, and what it gave is in use.
    pub(super) fn start(now: RotationTime, expires_at: Option<WallTime>) -> Self {
        let renewal = renewal(now, expires_at);
        Self { last_run: now.mono, renewal, state: State::InUse, ran_for_refusal: false }
    }

    /// The instant from which on it should run; none when nothing is known to expire.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let retry = self.last_run.saturating_add(RotationPolicy::RETRY);
        match self.state {
            State::InUse => self.renewal.map(|renewal| renewal.mono.max(retry)),
            State::Refused if !self.ran_for_refusal => {
                Some(self.last_run.saturating_add(RotationPolicy::MIN_GAP))
            }
            State::Unsettled | State::Refused => Some(retry),
        }
    }

    /// Whether it should run now.
    pub(super) fn is_due(&self, now: RotationTime) -> bool {
        let retry = self.last_run.saturating_add(RotationPolicy::RETRY);
        let expires = self.renewal.zip(now.wall).is_some_and(|(renewal, wall)| renewal.wall <= wall);
        self.due_at().is_some_and(|due| due <= now.mono)
            || (self.state == State::InUse && expires && retry <= now.mono)
    }

    /// The server answered 401.
    pub(super) fn refused(&mut self) {
        self.state = State::Refused;
    }

    /// It ran.
    pub(super) fn ran(&mut self, now: RotationTime) {
        self.ran_for_refusal = self.state == State::Refused;
        self.state = State::Unsettled;
        self.last_run = self.last_run.max(now.mono);
    }

    /// What it gave when it ran, at `now`, is in use.
    pub(super) fn in_use(&mut self, now: RotationTime, expires_at: Option<WallTime>) {
        if self.state == State::Unsettled {
            self.state = State::InUse;
        }
        self.renewal = renewal(now, expires_at);
    }
}

fn renewal(now: RotationTime, expires_at: Option<WallTime>) -> Option<Renewal> {
    let (wall, expiry) = now.wall.zip(expires_at)?;
    let left = expiry.saturating_since(wall);
    let margin = (left / MARGIN_SHARE).min(MAX_MARGIN);
    Some(Renewal { mono: now.mono.saturating_add(left - margin), wall: expiry.offset_by(-micros(margin)) })
}
