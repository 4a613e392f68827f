//! A script: a configuration, then steps of time and input. Every list of bytes is one.

use std::time::Duration;

use arbitrary::Arbitrary;
use lease_core::{Config, ReleasePolicy, SameIdentity};

/// One whole run.
#[derive(Arbitrary, Debug)]
pub struct Script {
    /// How the machine is configured.
    pub config: ConfigChoice,
    /// Its seed.
    pub seed: u8,
    /// What happens.
    pub steps: Vec<Step>,
}

/// Settings that change what the machine does.
#[derive(Arbitrary, Debug)]
pub struct ConfigChoice {
    vacate: bool,
    contend: bool,
    ttl: Ttl,
    skew: Skew,
    retries: u8,
    grace: bool,
    delay: bool,
    watch: bool,
}

#[derive(Arbitrary, Debug)]
enum Ttl {
    Usual,
    Second,
    Shortest,
    Hour,
}

#[derive(Arbitrary, Debug)]
enum Skew {
    Usual,
    Off,
    Tight,
}

/// Time passes, then something happens.
#[derive(Arbitrary, Debug)]
pub struct Step {
    /// How the clocks move.
    pub time: Time,
    /// What happens then.
    pub input: Choice,
    /// Whether the outputs are left in the queue.
    pub skip_drain: bool,
}

/// How the clocks move.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Time {
    /// Not at all.
    Stand,
    /// Both forward.
    Nanos(u16),
    /// Both forward.
    Millis(u16),
    /// Both forward, in tenths of the ttl.
    Tenths(u8),
    /// Both forward to when the machine wants to be woken.
    ToWake,
    /// One nanosecond before.
    BeforeWake,
    /// The monotonic clock goes back.
    MonoBack(u16),
    /// The monotonic clock leaps.
    MonoLeap(u64),
    /// The wall clock steps.
    WallSeconds(i16),
    /// The wall clock leaps.
    WallLeap(i64),
}

/// What happens.
#[derive(Arbitrary, Debug)]
pub enum Choice {
    /// The machine is told the time.
    Tick,
    /// A command.
    TryAcquire,
    /// A command.
    Campaign,
    /// A command.
    Release,
    /// The server does what it was asked for and says so.
    Serve {
        /// Seconds by which its `Date` is off, if it sends one.
        date: Option<i16>,
    },
    /// The server does it, and the answer is lost.
    ServeSilently(Lost),
    /// The server does it later: the next step that serves does this one first.
    Delay,
    /// The server says something else.
    Say(Saying),
    /// The request fails.
    Fail(Lost),
    /// An answer with an old or unknown id.
    Stray(u8),
    /// The credentials were read.
    Credentials,
    /// The watch brings something; without one, whatever has the first id does.
    Watch(Told),
    /// Somebody edits the object.
    Admin(Edit),
}

/// What a watch brings.
#[derive(Arbitrary, Debug)]
pub enum Told {
    /// Nothing yet.
    Head,
    /// An event about the object as it is.
    Event {
        /// Its type.
        kind: u8,
        /// How the object differs from what is there.
        edit: Option<Edit>,
        /// How much the version moves.
        version: i8,
        /// Where the bytes are cut in two.
        cut: Option<u16>,
    },
    /// Bytes.
    Bytes(Vec<u8>),
    /// Another answer than a stream, with this code.
    Status(u16),
    /// No answer.
    Lost(Lost),
    /// The end.
    Closed,
}

/// How a request fails.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Lost {
    /// Outcome unknown.
    Unknown,
    /// It never left; nothing was served.
    NotSent,
    /// The body was too long.
    TooLarge,
}

/// Answers that no honest server gives for this request now.
#[derive(Arbitrary, Debug)]
pub enum Saying {
    /// The lease is absent.
    Absent,
    /// A conflict.
    Conflict,
    /// A `Status` with this code.
    Status {
        /// Any code; below 100 counts from 400.
        code: u16,
        /// Seconds.
        retry_after: Option<u32>,
        /// Whether the body is a `Status`.
        bare: bool,
    },
    /// The namespace is terminating or missing.
    Namespace(bool),
    /// A record as some earlier write of ours would have left it.
    Written {
        /// Counted from the last.
        back: u8,
        /// How much the version moves.
        version: u8,
    },
    /// The record as it is, edited for this one answer.
    Edited(Edit),
    /// Bytes.
    Garbage {
        /// 200 or this.
        code: Option<u16>,
        /// Any.
        body: Vec<u8>,
    },
}

/// An edit of the object.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Edit {
    /// Deleted.
    Delete,
    /// Held by another from now on.
    Foreign {
        /// Seconds from now.
        renewed: i16,
        /// Seconds.
        duration: i32,
    },
    /// Held by our identity, written by another incarnation.
    Twin,
    /// The holder is cleared.
    Clear,
    /// A label is set.
    Label,
    /// Our annotation is removed.
    Strip,
    /// The quarantine's mark is set or removed.
    Quarantine(bool),
    /// A finalizer keeps the object, which is being deleted.
    Terminate,
    /// A spec field gets a value of the wrong type or size.
    Odd {
        /// Which field.
        field: u8,
        /// Which value.
        value: u8,
    },
    /// The storage was restored: versions count from here.
    Restore(u8),
    /// The resource version is not a number.
    Unordered,
    /// The UID goes missing.
    NoUid,
}

impl ConfigChoice {
    /// A valid configuration.
    pub fn build(&self) -> Config {
        let ttl = match self.ttl {
            Ttl::Usual => Duration::from_secs(15),
            Ttl::Second => Duration::from_secs(1),
            Ttl::Shortest => Duration::from_millis(100),
            Ttl::Hour => Duration::from_secs(3600),
        };
        let mut builder = Config::builder()
            .namespace("default")
            .name("job")
            .identity("a")
            .ttl(ttl)
            .acquire_retries(u32::from(self.retries % 5));
        if self.vacate {
            builder = builder.release_policy(ReleasePolicy::Vacate);
        }
        if self.contend {
            builder = builder.same_identity(SameIdentity::Contend);
        }
        match self.skew {
            Skew::Usual => {}
            Skew::Off => builder = builder.max_clock_skew(None),
            Skew::Tight => builder = builder.max_clock_skew(Some(Duration::from_secs(1))),
        }
        if self.grace {
            builder = builder.foreign_holder_grace(Duration::from_secs(2));
        }
        if self.delay {
            builder = builder.takeover_delay(Duration::from_secs(5));
        }
        builder.watch(self.watch).build().expect("every choice is valid")
    }
}
