//! What a machine puts out, as the lines of a script.

use lease_core::{Acquisition, Held};
use lease_core::{
    AttemptOutcome, Command, Denial, DenialReason, Event, FencingToken, LostReason, MonoTime, Nonce, Problem,
    ReleaseOutcome, WakeReason,
};
use serde_json::Value;

use crate::support::Sent;
use crate::times::{relative, seconds};

/// Writes outputs relative to an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Renderer {
    pub(crate) start: MonoTime,
    pub(crate) nonce: Nonce,
}

impl Renderer {
    pub(crate) fn instant(&self, at: MonoTime) -> String {
        seconds(i128::from(at.as_nanos()) - i128::from(self.start.as_nanos()))
    }

    pub(crate) fn sent(&self, sent: &Sent) -> String {
        let what = match sent.method().as_str() {
            "GET" => "lease".to_owned(),
            "DELETE" => {
                let given = &sent.body()["preconditions"];
                format!("rv={} uid={}", word(&given["resourceVersion"]), uid(&given["uid"]))
            }
            _ => self.record(&sent.body()),
        };
        format!("{} {} {what} give-up {}", sent.id, sent.method(), self.instant(sent.give_up_at))
    }

    pub(crate) fn watch(&self, watch: &Sent) -> String {
        let query: Vec<&str> = watch.request.uri().query().unwrap_or_default().split('&').collect();
        format!("{} WATCH {} give-up {}", watch.id, query[2..].join(" "), self.instant(watch.give_up_at))
    }

    /// A record that is about to be written.
    fn record(&self, body: &Value) -> String {
        let (metadata, spec) = (&body["metadata"], &body["spec"]);
        let mut words = Vec::new();
        if let Some(version) = metadata.get("resourceVersion") {
            words.push(format!("rv={}", word(version)));
        }
        if let Some(given) = metadata.get("uid") {
            words.push(format!("uid={}", uid(given)));
        }
        words.push(format!("holder={}", word(&spec["holderIdentity"])));
        for (key, name) in [("renewTime", "renew"), ("acquireTime", "acquire")] {
            if let Some(time) = spec.get(key) {
                words.push(format!("{name}={}", time.as_str().map_or_else(|| time.to_string(), relative)));
            }
        }
        words.push(format!("duration={}", spec["leaseDurationSeconds"]));
        words.push(format!("transitions={}", spec["leaseTransitions"]));
        let annotations = &metadata["annotations"];
        if annotations.get("lease-core.rs/quarantine").is_some() {
            words.push("quarantine".to_owned());
        }
        let nonce = word(&annotations["lease-core.rs/nonce"]);
        if nonce.split(' ').next() != Some(self.nonce.to_string().as_str()) {
            words.push(format!("nonce={nonce}"));
        }
        words.join(" ")
    }

    pub(crate) fn idle(&self, wake: Option<MonoTime>, reason: WakeReason) -> String {
        let Some(wake) = wake else {
            return "idle".to_owned();
        };
        let reason = match reason {
            WakeReason::Nothing => "nothing",
            WakeReason::TermEnds => "term ends",
            WakeReason::Renewal => "renewal",
            WakeReason::Retry => "retry",
            WakeReason::GiveUp => "give up",
            WakeReason::Poll => "poll",
            WakeReason::QuarantineEnds => "quarantine ends",
            WakeReason::Watch => "watch",
        };
        format!("idle wake {} {reason}", self.instant(wake))
    }

    pub(crate) fn held(&self, held: Option<Held>) -> String {
        held.map_or_else(
            || "not held".to_owned(),
            |held| format!("held until {} token={}", self.instant(held.until), held.token),
        )
    }

    pub(crate) fn event(&self, event: &Event) -> String {
        let text = match event {
            Event::Acquired { token, until, acquisition } => {
                format!(
                    "acquired token={token} until {} {}",
                    self.instant(*until),
                    acquired_from(acquisition)
                )
            }
            Event::Renewed { until } => format!("renewed until {}", self.instant(*until)),
            Event::Lost { token, reason } => lost(*token, reason),
            Event::Released { token } => format!("released token={token}"),
            Event::AttemptEnded { command, outcome } => {
                let command = match command {
                    Command::TryAcquire => "acquire",
                    Command::Campaign => "campaign",
                };
                format!("{command}: {}", self.attempt(outcome))
            }
            Event::ReleaseEnded { outcome } => format!("release: {}", self.release(outcome)),
            Event::HolderChanged { holder } => {
                format!("holder is {}", holder.as_ref().map_or("nobody", |holder| holder.as_str()))
            }
            Event::Trouble { problem, retry_at } => match retry_at {
                Some(at) => format!("trouble, retry {} ({problem})", self.instant(*at)),
                None => format!("trouble, no retry ({problem})"),
            },
            Event::WatchTrouble { problem, retry_at } => {
                format!("watch trouble, retry {} ({problem})", self.instant(*retry_at))
            }
            Event::DuplicateIdentity => "duplicate identity".to_owned(),
            Event::ForeignTtlCut { claimed } => format!("foreign ttl cut, claimed {}s", claimed.as_secs()),
            Event::ClockSuspect { offset_micros } => {
                format!("clock suspect, off by {}", seconds(i128::from(*offset_micros) * 1000))
            }
            Event::ClockTrusted => "clock trusted".to_owned(),
            Event::QuarantineStarted { ends_at } => format!("quarantine until {}", self.instant(*ends_at)),
            other => format!("{other:?}"),
        };
        format!("event {text}")
    }

    fn attempt(&self, outcome: &AttemptOutcome) -> String {
        match outcome {
            AttemptOutcome::Acquired { token } => format!("acquired token={token}"),
            AttemptOutcome::AlreadyHeld { token } => format!("already held token={token}"),
            AttemptOutcome::Denied(denial) => self.denial(denial),
            AttemptOutcome::Failed(problem) => format!("failed ({problem})"),
            AttemptOutcome::Cancelled => "cancelled".to_owned(),
            other => format!("{other:?}"),
        }
    }

    fn denial(&self, denial: &Denial) -> String {
        let reason = match denial.reason {
            DenialReason::Held => "held",
            DenialReason::DuplicateIdentity => "duplicate identity",
            DenialReason::Terminating => "terminating",
            DenialReason::Contended => "contended",
            _ => "for another reason",
        };
        let by = denial.holder.as_ref().map_or_else(String::new, |holder| format!(" by {holder}"));
        format!("denied {reason}{by}, retry {}", self.instant(denial.retry_at))
    }

    fn release(&self, outcome: &ReleaseOutcome) -> String {
        match outcome {
            ReleaseOutcome::Confirmed => "confirmed".to_owned(),
            ReleaseOutcome::NotOurs => "not ours".to_owned(),
            ReleaseOutcome::Nothing => "nothing".to_owned(),
            ReleaseOutcome::Unconfirmed { expires_at, last } => {
                format!("unconfirmed, expires {}{}", self.instant(*expires_at), in_brackets(last.as_ref()))
            }
            other => format!("{other:?}"),
        }
    }
}

fn acquired_from(acquisition: &Acquisition) -> String {
    match acquisition {
        Acquisition::Created => "created".to_owned(),
        Acquisition::Vacant => "vacant".to_owned(),
        Acquisition::Own => "own".to_owned(),
        Acquisition::Reclaimed => "reclaimed".to_owned(),
        Acquisition::TakenOver { previous } => {
            let previous = previous.as_ref().map_or("an unreadable holder", |holder| holder.as_str());
            format!("taken over from {previous}")
        }
        other => format!("{other:?}"),
    }
}

fn lost(token: FencingToken, reason: &LostReason) -> String {
    let reason = match reason {
        LostReason::TakenOver { by: Some(by) } => format!("taken over by {by}"),
        LostReason::TakenOver { by: None } => "taken over by an unreadable holder".to_owned(),
        LostReason::Cleared => "cleared".to_owned(),
        LostReason::Twin => "twin".to_owned(),
        LostReason::Deleted => "deleted".to_owned(),
        LostReason::Expired { last } => format!("expired{}", in_brackets(last.as_ref())),
        LostReason::Clock => "clock".to_owned(),
        other => format!("{other:?}"),
    };
    format!("lost token={token} {reason}")
}

fn in_brackets(problem: Option<&Problem>) -> String {
    problem.map_or_else(String::new, |problem| format!(" ({problem})"))
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

/// `1` for `11111111-…`: scripts write UIDs as one digit.
fn uid(value: &Value) -> String {
    let text = word(value);
    match text.chars().next() {
        Some(digit) if text == crate::replies::uid(digit) => digit.to_string(),
        _ => text.to_owned(),
    }
}
