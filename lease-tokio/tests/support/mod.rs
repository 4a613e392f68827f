//! What the suites share: configurations, waiting for something, and noting what a holder tells.
#![allow(dead_code, reason = "every suite uses another part of it")]

pub mod counting;
pub mod sampler;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::adapter::{Config, ConfigBuilder, Event, Events, Lease, LostReason, Subscription};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// How often a condition is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub fn config(namespace: &str, name: &str, identity: &str, ttl: Duration) -> ConfigBuilder {
    Config::builder().namespace(namespace).name(name).identity(identity).ttl(ttl)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Looks until there is something, or panics.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        sleep(LOOK_AGAIN).await;
    }
}

/// Waits for a condition that needs no waiting of its own.
pub async fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    eventually(what, within, || std::future::ready(holds().then_some(()))).await;
}

/// The next event that `pick` picks; those before it are dropped.
pub async fn next_event<T>(
    events: &mut Events,
    what: &str,
    within: Duration,
    mut pick: impl FnMut(&Event) -> Option<T>,
) -> T {
    let picked = timeout(within, async {
        loop {
            let event = events.next().await.expect("the holder goes on telling");
            if let Some(picked) = pick(&event) {
                return picked;
            }
        }
    });
    picked.await.unwrap_or_else(|_| panic!("not told within {within:?}: {what}"))
}

/// The next confirmed renewal.
pub async fn renewed(events: &mut Events, within: Duration) {
    next_event(events, "a renewal", within, |event| matches!(event, Event::Renewed { .. }).then_some(()))
        .await;
}

/// Everything that was told and is not read yet.
pub async fn told(events: &mut Events) -> Vec<Event> {
    let mut all = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::ZERO, events.next()).await {
        all.push(event);
    }
    all
}

/// The losses that the handlers of `on_lost` were told of.
pub struct Losses {
    reasons: Arc<Mutex<Vec<LostReason>>>,
    _subscription: Subscription,
}

impl Losses {
    pub fn of(lease: &Lease) -> Self {
        let reasons = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&reasons);
        let subscription = lease.on_lost(move |reason| noted.lock().unwrap().push(reason.clone()));
        Self { reasons, _subscription: subscription }
    }

    /// Where they are noted, also after this is dropped.
    pub fn reasons(&self) -> Arc<Mutex<Vec<LostReason>>> {
        Arc::clone(&self.reasons)
    }

    pub fn all(&self) -> Vec<LostReason> {
        self.reasons.lock().unwrap().clone()
    }

    /// Waits for the one loss. That there is no second one is for the caller to see, with [`all`](Self::all).
    pub async fn one(&self, within: Duration) -> LostReason {
        until("a handler of on_lost is called", within, || !self.all().is_empty()).await;
        let all = self.all();
        assert_eq!(all.len(), 1, "one loss is told once: {all:?}");
        all[0].clone()
    }
}

/// A text field of a JSON object, by its path; empty when there is none.
pub fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The annotation that tells one incarnation of a holder from another.
pub const NONCE: &str = "lease-core.rs/nonce";
/// The annotation of an object that was created and that nobody may hold yet.
pub const QUARANTINE: &str = "lease-core.rs/quarantine";

/// The nonce annotation: 32 hexadecimal digits, a blank, and the holder's identity.
pub fn assert_nonce_of(object: &Value, identity: &str) {
    let annotation = object["metadata"]["annotations"][NONCE].as_str().unwrap_or_default();
    let (nonce, who) = annotation.split_once(' ').unwrap_or_default();
    let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    assert!(nonce.len() == 32 && nonce.bytes().all(hexadecimal), "a nonce: {annotation:?}");
    assert_eq!(who, identity, "{annotation:?}");
}

/// `2026-01-01T00:00:00.000000Z`: what the API server takes, and nothing else.
pub fn assert_six_fraction_digits(time: &str) {
    let pattern = "dddd-dd-ddTdd:dd:dd.ddddddZ";
    let same = |(byte, wanted): (u8, u8)| match wanted {
        b'd' => byte.is_ascii_digit(),
        _ => byte == wanted,
    };
    let fits = time.len() == pattern.len() && time.bytes().zip(pattern.bytes()).all(same);
    assert!(fits, "not a timestamp with six fraction digits: {time:?}");
}
