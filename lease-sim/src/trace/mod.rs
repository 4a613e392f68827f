//! What happened in one run, in the order of true time: for people, pages and programs.

mod html;
mod text;
mod watched;

pub(crate) use watched::watched;

use crate::plan::Assumption;
use serde::Serialize;

/// One run. All instants are nanoseconds of true time since its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Trace {
    /// What was run, for a headline: `seed 42`, or a file's name.
    pub title: String,
    /// The command that shows it again, if there is one.
    pub command: Option<String>,
    /// When it ended.
    pub length: u64,
    /// From when on no fault is injected any more, if it was a run with faults.
    pub healed_at: Option<u64>,
    /// The assumptions that the run breaks on purpose: two may believe at once, and only what needs none of
    /// them has to hold.
    pub broken_assumptions: Vec<Assumption>,
    /// The holders, in order; [`Entry`] names them by their index.
    pub lanes: Vec<Lane>,
    /// What happened, oldest first.
    pub entries: Vec<Entry>,
}

/// One holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Its identity.
    pub identity: String,
    /// The protocol that it follows, and the settings that matter: `lease-core, ttl 15 s, Delete`.
    pub about: String,
}

/// Something that happened at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// When.
    pub at: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "snake_case")]
#[non_exhaustive]
pub enum What {
    /// A process started; its first incarnation is 1.
    Started {
        /// Which holder.
        holder: usize,
        /// Which incarnation of it.
        incarnation: u32,
    },
    /// A process died: nothing of it goes on, its requests may.
    Crashed {
        /// Which holder.
        holder: usize,
    },
    /// A process stands still until then; what arrives meanwhile waits.
    Paused {
        /// Which holder.
        holder: usize,
        /// Until when.
        until: u64,
    },
    /// The application told its holder something.
    Command {
        /// Which holder.
        holder: usize,
        /// `campaign`, `try_acquire` or `release`.
        command: String,
    },
    /// A request left a holder.
    Sent {
        /// Which holder.
        holder: usize,
        /// The request, by a number that is unique in the run.
        request: u32,
        /// `GET`, `POST`, `PUT`, `DELETE`, `PATCH`.
        verb: String,
        /// What it carries: the resource version that it was made for, the holder and time that it writes.
        about: String,
        /// What the network will do to it, if not simply carry it: `reply lost`, `applied 3.2 s later`.
        fate: Option<String>,
    },
    /// A request reached the API server and was answered there.
    Arrived {
        /// Which request.
        request: u32,
        /// The status.
        code: u16,
        /// Whether it changed the object.
        applied: bool,
        /// The object's resource version after that.
        version: Option<u64>,
    },
    /// A holder got the answer to a request, or an error in its place.
    Answered {
        /// Which holder.
        holder: usize,
        /// Which request.
        request: u32,
        /// `200`, `409`, `garbage`, `unknown`, `not sent`.
        outcome: String,
    },
    /// Something became of a holder's watch.
    Watch {
        /// Which holder's.
        holder: usize,
        /// The watch, by a number that is unique in the run.
        watch: u32,
        /// What, for people: `MODIFIED 171`.
        about: String,
    },
    /// A holder told its application something.
    Told {
        /// Which holder.
        holder: usize,
        /// What, as text.
        event: String,
    },
    /// What a holder believes has changed.
    Belief {
        /// Which holder.
        holder: usize,
        /// Until when it believes to hold the lease, in true time; `None`: it does not.
        until: Option<u64>,
        /// The fencing token.
        token: Option<u64>,
        /// The holder's machine at this instant, for people who debug: JSON or text.
        state: Option<String>,
    },
    /// The object on the API server has changed.
    Truth {
        /// Whom it names; `None`: nobody, or there is no object.
        holder: Option<String>,
        /// Its resource version; `None`: there is no object.
        version: Option<u64>,
        /// When its holder's time is over for those who wait: `renewTime` + duration, in true time.
        expires: Option<u64>,
        /// Who changed it: the index of a holder; `None`: an administrator or another client.
        by: Option<usize>,
    },
    /// A fault was injected.
    Fault {
        /// Whom it hits; `None`: the API server or everybody.
        holder: Option<usize>,
        /// Its kind: `partition`, `admin_delete`.
        kind: String,
        /// What it does, for people.
        about: String,
        /// When it ends, if it lasts.
        until: Option<u64>,
    },
    /// A resource that checks fencing tokens was written to.
    Guarded {
        /// By which holder.
        holder: usize,
        /// With which token.
        token: u64,
        /// Whether it was accepted.
        accepted: bool,
    },
    /// What runs beside a holder did something, or something was done for it.
    Component {
        /// Beside which holder.
        holder: usize,
        /// What, for people.
        about: String,
        /// It is what happens all the time: short texts leave it out.
        routine: bool,
    },
    /// Something that must not happen has happened.
    Violation {
        /// The invariant's name: `S1`.
        invariant: String,
        /// What was seen.
        about: String,
    },
}
