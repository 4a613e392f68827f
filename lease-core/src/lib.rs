//! A Kubernetes Lease holder as a pure, deterministic state machine.
//!
//! [`Lease`] turns clock ticks and HTTP responses into requests and events. It does no I/O, reads no clock,
//! draws no randomness and spawns nothing, so the very code that runs in production is the code that is
//! simulated, fuzzed and replayed. Most applications want an adapter (`lease-tokio`) and never see it. Take
//! this crate to embed the protocol in an event loop of your own, or to test code on virtual time.
//!
//! # The loop
//!
//! There are four kinds of methods. *Inputs*: [`Lease::handle`] is the only mutator; it takes the two clocks,
//! read together, and what happened. *Outputs*: [`Lease::poll`] is the only way out; drain it until
//! [`Output::Idle`]. *Time*: [`Lease::poll_timeout`] says when [`Input::Tick`] is due. *Looks*:
//! [`Lease::check_alive`] and the getters change nothing and can be asked at any moment.
//!
//! ```text
//!              Now + Input                          Output
//!   commands ─┐                                ┌─ Action::Send ──────▶ HTTP client
//!   responses ├─▶  Lease::handle ─▶ Lease::poll ├─ Action::Abort
//!   failures ─┤                                ├─ Event ─────────────▶ application
//!   ticks ────┘                                └─ Idle { wake } ─────▶ timer
//! ```
//!
//! ```
//! use std::time::Duration;
//! use bytes::Bytes;
//! use lease_core::{Action, Config, Event, Input, Lease, MonoTime, Now, Output, Seed, WallTime};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let config = Config::builder()
//!     .namespace("default")
//!     .name("nightly-job")
//!     .identity("pod-1")
//!     .ttl(Duration::from_secs(15))
//!     .build()?;
//! let now = Now { mono: MonoTime::from_nanos(0), wall: WallTime::from_micros(1_767_225_600_000_000) };
//! let mut lease = Lease::new(config, Seed(42), now); // A real seed comes from the operating system.
//!
//! lease.handle(now, Input::TryAcquire);
//! loop {
//!     match lease.poll() {
//!         Output::Action(Action::Send { id, request, .. }) => {
//!             assert_eq!(request.uri(), "/apis/coordination.k8s.io/v1/namespaces/default/leases/nightly-job");
//!             // Send it, and hand in what came back: here, nothing ever does.
//!             lease.handle(now, Input::Failed { id, failure: lease_core::Failure::NotSent });
//!         }
//!         Output::Action(_) => {}
//!         Output::Event(event) => println!("{event:?}"),
//!         Output::Idle { wake, .. } => break assert!(wake > Some(now.mono)),
//!     }
//! }
//! assert!(lease.check_alive(now.mono).is_none());
//! # Ok(())
//! # }
//! ```
//!
//! # The contract
//!
//! Each clause has a test of its name in `tests/clauses.rs`, and laws over random inputs in `tests/laws.rs`.
//!
//! 1. **Deadline first.** `handle(now, x)` first fires every deadline up to `now.mono`, in time order, then
//!    looks at `x`. A reply that arrives at or after *held until* cannot revive a term; an acquiring reply at
//!    or after its emission + V starts none. V is [`Config::validity`].
//! 2. **Half-open terms.** At `now == until` the lease is not held. `until` counts from the emission of the
//!    confirmed write, which is the `now` of the `handle` that queued it, and never from its reply.
//! 3. **One request in flight**, at most, plus one watch. Ids grow and are never reused; unknown, stale or not
//!    yet polled ids are counted and ignored. A request that nobody answers ends itself at `give_up_at`, as an
//!    unknown outcome.
//! 4. **Every beginning has one end.** Every [`Event::Acquired`] is followed by exactly one [`Event::Lost`] or
//!    [`Event::Released`], at the local end, queued before any later action. Commands are answered once each:
//!    an attempt ends acquired, already held, denied, failed or cancelled; a release ends confirmed, not ours,
//!    nothing, or unconfirmed. Commands that join one under way share its answer, and so do
//!    commands whose equal answers wait to be polled. Tokens strictly grow.
//! 5. **Clocks are not trusted.** A `now.mono` that goes backwards is clamped and counted. No jump of a
//!    holder's own wall clock revives or extends its term.
//! 6. **The watch is a hint.** It can wake and speed up, or end a term. It never extends or begins one, and
//!    nothing is written for it without a read. Without [`watch`](ConfigBuilder::watch) there is none.
//! 7. **Progress.** Any number of inputs may precede a drain; the queue is bounded; after a drain `wake > now`,
//!    or `None`.
//! 8. **Determinism.** The same inputs and seed give the same outputs, on every platform and under any feature
//!    set of `serde_json`.
//!
//! # Safety
//!
//! Let ρ bound the rate error of every monotonic clock. A holder's term ends V after the *emission* of its last
//! confirmed write. A contender writes no earlier than W after it *received* that write, which is later than
//! its commit, which is later than its emission; and compare-and-set on UID and resource version makes sure
//! that the record it judged is the latest. So terms exclude each other exactly if V/(1−ρ) ≤ W/(1+ρ). W is at
//! least ⌈ttl⌉ and V is `ttl - safety_margin`: with the default margin of ttl / 10 that holds for ρ up to 5 %.
//! Delay, loss, reordering, duplication, stale reads, pauses, suspends that the clock counts, crashes and
//! retries need no assumption.
//!
//! What is assumed beyond that: wall clocks within [`Config::max_clock_skew`]` / 2` of true time (or `None`),
//! no live holder's ttl above [`Config::max_foreign_ttl`], one live process per identity (or
//! [`SameIdentity::Contend`]), and nobody who edits or deletes the record of a live term.
//!
//! Of deletes and objects made again [`ReleasePolicy`] and the next section say more.
//!
//! What no lease can exclude is a process that passes [`Lease::check_alive`], sleeps, and then acts: hand the
//! [`FencingToken`] to the protected resource, and let it refuse older ones.
//!
//! # An object that others make
//!
//! An [`existing_only`](ConfigBuilder::existing_only) holder finds its object. Whoever made it may have deleted
//! another one of its name a moment ago (`kubectl replace --force`, a deployment that is synchronised, a backup
//! put back), whose holder believes until its next answered request: V after its last confirmed write, at
//! worst. Nothing that the new object says is evidence. It can be blank, and it can be a copy of any record
//! that the old one ever was: vacant, long expired, or our own. Only its UID is certain to be new. Hence:
//!
//! *An object is held only if somebody has kept it for [`quarantine`](ConfigBuilder::quarantine), and the object
//! says so of itself: its annotation `lease-core.rs/settled` is its own UID.* Who finds another one that is free
//! to take by all other rules writes its name and a mark, renews as usual, and begins its term with the write
//! that turns the mark into that annotation, `quarantine` after its first write was acknowledged.
//!
//! Every write to the old object was emitted before that was deleted, so before the new one was made, so before
//! our first write to the new one was acknowledged. A term on the old one ends V after such an emission, ours
//! begins a `quarantine` after that acknowledgement; `quarantine` is at least every contender's ttl, so it is
//! the inequality above once more. Our writes name the UID: the object that was kept is the one that is held,
//! and after another delete all of it begins anew. And nobody else can have begun a term on the object in the
//! meantime but by a write that ours conflicts with.
//!
//! That is one wait in the life of an object. To strip the annotation costs another wait, and never safety. It
//! asks that all contenders are `existing_only`: others hold a blank object at once. `lease-sim explore
//! existing-remake` goes through all schedules of two holders and an administrator who copies, deletes and makes.
//!
//! # Features
//!
//! - `driver`: the module `driver`, which runs a machine on an asynchronous runtime; for adapters.
//! - `rustls`: a rustls configuration from credentials; for adapters.
//! - `kubeconfig`: kubeconfig files as a source of credentials.
//! - `explore`: how a model checker looks into a machine.
//!
//! `mutants` compiles deliberate bugs in, each behind a switch of its own, for `lease-sim` to find. All of
//! them are off unless a configuration names one. **Never in a release build.**
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod attempts;
mod config;
pub mod credentials;
#[cfg(feature = "driver")]
pub mod driver;
mod event;
mod identifiers;
mod input;
mod lease;
pub mod manual;
#[cfg(feature = "mutants")]
pub mod mutants;
mod mutated;
mod observation;
mod output;
mod problem;
pub mod recording;
mod rng;
mod server_clock;
mod time;
mod timestamp;
mod wire;

pub use config::{Config, ConfigBuilder, ConfigError, OwnerReference, ReleasePolicy, SameIdentity};
pub use event::{
    Acquisition, AttemptOutcome, Command, Denial, DenialReason, Event, LostReason, ReleaseOutcome,
};
pub use identifiers::{FencingToken, Identity, Nonce, RequestId, Seed};
pub use input::{Failure, Input};
#[cfg(feature = "explore")]
pub use lease::View;
pub use lease::{Lease, Stats, Status};
pub use output::{Action, Held, Output, WakeReason};
pub use problem::{Malformation, Message, Problem, Verb};
pub use time::{MonoTime, Now, WallTime};
