//! A plan as text, for files and reports. A plan from a file is checked before anything runs it.

use lease_core::ConfigError;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fmt;

use super::{Deed, Edit, Fate, Fault, FaultKind, Plan, SECOND};

/// What the text says that it is.
const FORMAT: &str = "lease-sim-plan";
/// The newest version that is understood.
const VERSION: u64 = 1;

/// The longest run, and the longest span in it.
const LONGEST: u64 = 24 * 3600 * SECOND;
/// The most faults, and the most fates.
const MOST: usize = 100_000;
/// The most seats: holders and twins.
const SEATS: usize = 64;
/// How far a wall clock may be off, in microseconds: about 31 years.
const FARTHEST: i64 = 1_000_000_000_000_000;

/// Why a text is no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TapeError {
    /// It ends in the middle.
    Truncated,
    /// It is no JSON at all, or of some other format.
    Foreign {
        /// What was found.
        found: String,
    },
    /// It was written by a newer version of this program.
    TooNew {
        /// Its version.
        version: u64,
    },
    /// It has the right format, but fields or values that no plan has.
    Malformed {
        /// What is wrong, and where.
        about: String,
    },
    /// It says what cannot be run.
    Invalid(PlanError),
}

/// Why a plan cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlanError {
    /// Fewer than 1 or more than 16 holders, or more than 48 twins.
    Holders {
        /// How many there are, twins included.
        count: usize,
    },
    /// The machine refuses a holder's settings.
    Settings {
        /// Which holder.
        holder: usize,
        /// Why.
        error: ConfigError,
    },
    /// A holder that does not exist.
    NoSuchHolder {
        /// Its index.
        holder: u8,
    },
    /// A number that is too small or too large.
    OutOfRange {
        /// Where.
        what: &'static str,
        /// What was given.
        given: i128,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Faults that are not in the order of time.
    Unordered {
        /// The first fault that is earlier than the one before.
        index: usize,
    },
    /// A fault that goes on when all faults have ended.
    Unhealed {
        /// Which.
        index: usize,
    },
    /// Two faults at once that exclude each other.
    Overlapping {
        /// The later one.
        index: usize,
    },
}

impl fmt::Display for TapeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => write!(formatter, "the plan ends in the middle"),
            Self::Foreign { found } => write!(formatter, "this is no {FORMAT}: {found}"),
            Self::TooNew { version } => {
                write!(formatter, "the plan has version {version}, this program knows up to {VERSION}")
            }
            Self::Malformed { about } => write!(formatter, "the plan cannot be read: {about}"),
            Self::Invalid(error) => write!(formatter, "the plan cannot be run: {error}"),
        }
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holders { count } => {
                write!(formatter, "{count} holders; 1 to 16, and up to {SEATS} with their twins")
            }
            Self::Settings { holder, error } => write!(formatter, "holder {holder}: {error}"),
            Self::NoSuchHolder { holder } => write!(formatter, "there is no holder {holder}"),
            Self::OutOfRange { what, given, allowed } => {
                write!(formatter, "{what} is {given}, allowed is {allowed}")
            }
            Self::Unordered { index } => {
                write!(formatter, "fault {index} is earlier than the one before it")
            }
            Self::Unhealed { index } => write!(formatter, "fault {index} lasts beyond `heals_at`"),
            Self::Overlapping { index } => {
                write!(formatter, "fault {index} begins while one lasts that excludes it")
            }
        }
    }
}

impl Error for TapeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Invalid(error) => Some(error),
            _ => None,
        }
    }
}

impl Error for PlanError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Settings { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What is looked at first, whatever else there is.
#[derive(Deserialize)]
struct Header {
    format: Option<String>,
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reading {
    #[serde(rename = "format")]
    _format: String,
    #[serde(rename = "version")]
    _version: u64,
    about: Option<String>,
    plan: Plan,
}

#[derive(Serialize)]
struct Writing<'a> {
    format: &'static str,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    about: Option<&'a str>,
    plan: &'a Plan,
}

impl Plan {
    /// The plan as JSON, for a file. [`Plan::from_tape`] reads it back.
    #[must_use]
    pub fn to_tape(&self) -> String {
        self.to_tape_about(None)
    }

    /// The same with a line that says what it is.
    #[must_use]
    pub fn to_tape_about(&self, about: Option<&str>) -> String {
        let writing = Writing { format: FORMAT, version: VERSION, about, plan: self };
        // Numbers, text and enums: nothing that JSON could not carry.
        let mut text = serde_json::to_string_pretty(&writing).unwrap_or_default();
        text.push('\n');
        text
    }

    /// A plan from a file. What it accepts can be run.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_tape(text: &str) -> Result<Self, TapeError> {
        Self::from_tape_about(text).map(|(plan, _)| plan)
    }

    /// The same, and what the file says that it is.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn from_tape_about(text: &str) -> Result<(Self, Option<String>), TapeError> {
        let header: Header = serde_json::from_str(text).map_err(|error| {
            if error.is_eof() && text.trim_start().starts_with('{') {
                TapeError::Truncated
            } else {
                TapeError::Foreign { found: error.to_string() }
            }
        })?;
        if header.format.as_deref() != Some(FORMAT) {
            let found = match header.format {
                Some(format) => format!("its format is {format:?}"),
                None => "it has no `format`".to_owned(),
            };
            return Err(TapeError::Foreign { found });
        }
        match header.version {
            Some(1..=VERSION) => {}
            Some(version @ 2..) => return Err(TapeError::TooNew { version }),
            _ => return Err(TapeError::Malformed { about: "it has no version".to_owned() }),
        }
        let reading: Reading =
            serde_json::from_str(text).map_err(|error| TapeError::Malformed { about: error.to_string() })?;
        reading.plan.check().map_err(TapeError::Invalid)?;
        Ok((reading.plan, reading.about))
    }

    /// Whether it can be run: every world is made of a plan that passes.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with it.
    pub fn check(&self) -> Result<(), PlanError> {
        let twins = self.faults.iter().filter(|fault| matches!(fault.what, FaultKind::Twin { .. })).count();
        let seats = self.holders.len() + twins;
        if self.holders.is_empty() || self.holders.len() > 16 || seats > SEATS {
            return Err(PlanError::Holders { count: seats });
        }
        span("length", self.length)?;
        span("heals_at", self.heals_at)?;
        for (index, holder) in self.holders.iter().enumerate() {
            self.check_holder(index, holder)?;
        }
        self.check_network()?;
        self.check_faults()?;
        let fates = self.fates.as_deref().unwrap_or_default();
        range("fates", fates.len() as i128, MOST as i128, "up to 100000")?;
        for (key, fate) in fates {
            if usize::from(key.holder) >= seats {
                return Err(PlanError::NoSuchHolder { holder: key.holder });
            }
            check_fate(fate)?;
        }
        Ok(())
    }

    fn check_holder(&self, index: usize, holder: &super::HolderPlan) -> Result<(), PlanError> {
        const DAY: i128 = 24 * 3600 * 1000;
        // Shorter ones make more requests than a run has room for.
        if !(1_000..=3_600_000).contains(&holder.ttl) {
            let (given, allowed) = (holder.ttl.into(), "1000 to 3600000 ms");
            return Err(PlanError::OutOfRange { what: "ttl", given, allowed });
        }
        let built = holder.settings(index as u8).build();
        built.map_err(|error| PlanError::Settings { holder: index, error })?;
        span("starts_at", holder.starts_at)?;
        span("lateness", holder.lateness)?;
        if let super::Drive::TryAcquire(every) | super::Drive::Impatient(every) = holder.drive {
            range("drive", every.into(), DAY, "up to a day")?;
        }
        let clock = &holder.clock;
        range("rate", i128::from(clock.rate).abs(), 900_000, "-900000 to 900000")?;
        range("origin", clock.origin.into(), 1 << 60, "up to 2^60")?;
        span("wave", clock.wave)?;
        offset(clock.wall_offset)
    }

    fn check_network(&self) -> Result<(), PlanError> {
        let network = &self.network;
        for (what, given) in [
            ("least_delay", network.least_delay),
            ("more_delay", network.more_delay),
            ("slow_span", network.slow_span),
            ("late_span", network.late_span),
            ("stale_span", network.stale_span),
            ("pause_span", network.pause_span),
            ("stall_span", self.watches.stall_span),
            ("short_span", self.watches.short_span),
            ("late_span", self.watches.late_span),
        ] {
            span(what, given)?;
        }
        Ok(())
    }

    fn check_faults(&self) -> Result<(), PlanError> {
        range("faults", self.faults.len() as i128, MOST as i128, "up to 100000")?;
        let mut suspended = [0_u64; 16];
        let mut before = 0;
        for (index, fault) in self.faults.iter().enumerate() {
            if fault.at < before {
                return Err(PlanError::Unordered { index });
            }
            before = fault.at;
            span("at", fault.at)?;
            let lasts = fault.what.span().unwrap_or(0);
            span("span", lasts)?;
            // A storm of labels may go on for ever: nobody has to starve of it.
            let storm = matches!(fault.what, FaultKind::LabelStorm { .. });
            if lasts > 0 && !storm && fault.at + lasts > self.heals_at {
                return Err(PlanError::Unhealed { index });
            }
            if let Some(holder) = fault.what.holder() {
                if usize::from(holder) >= self.holders.len() {
                    return Err(PlanError::NoSuchHolder { holder });
                }
                // A clock that stands still cannot stop again, and no process starts on a machine that does.
                let until = &mut suspended[usize::from(holder)];
                match fault.what {
                    FaultKind::Suspend { span, .. } => {
                        if fault.at < *until || self.restarts_in(fault, holder, span) {
                            return Err(PlanError::Overlapping { index });
                        }
                        *until = fault.at + span;
                    }
                    FaultKind::Crash { .. } | FaultKind::Replace { .. } if fault.at < *until => {
                        return Err(PlanError::Overlapping { index });
                    }
                    _ => {}
                }
            }
            check_fault(fault)?;
        }
        Ok(())
    }

    /// Whether a process starts again on a machine while that is suspended.
    fn restarts_in(&self, suspend: &Fault, holder: u8, span: u64) -> bool {
        self.faults.iter().take_while(|fault| fault.at <= suspend.at).any(|fault| match fault.what {
            FaultKind::Crash { holder: whose, span: down }
            | FaultKind::Replace { holder: whose, span: down }
                if whose == holder =>
            {
                let back = fault.at + down;
                back >= suspend.at && back < suspend.at + span
            }
            _ => false,
        })
    }
}

fn range(what: &'static str, given: i128, most: i128, allowed: &'static str) -> Result<(), PlanError> {
    if given > most { Err(PlanError::OutOfRange { what, given, allowed }) } else { Ok(()) }
}

fn span(what: &'static str, given: u64) -> Result<(), PlanError> {
    range(what, given.into(), LONGEST.into(), "up to a day, in ns")
}

fn offset(given: i64) -> Result<(), PlanError> {
    range("offset", i128::from(given).abs(), FARTHEST.into(), "up to 10^15 us, either way")
}

fn check_fault(fault: &Fault) -> Result<(), PlanError> {
    let at_least = |what, given: i128, least: i128, allowed| {
        if given < least { Err(PlanError::OutOfRange { what, given, allowed }) } else { Ok(()) }
    };
    match fault.what {
        FaultKind::WallStep { offset: given, .. } => offset(given),
        FaultKind::ClockBack { by, .. } | FaultKind::AnswerFromPast { by, .. } => span("by", by),
        FaultKind::LabelStorm { every, .. } => {
            at_least("every", every.into(), 100_000_000, "at least 100 ms")?;
            span("every", every)
        }
        // The API server refuses others.
        FaultKind::Admin { edit: Edit::Stranger { seconds } | Edit::Duration { seconds } } => {
            at_least("seconds", seconds.into(), 1, "at least 1")
        }
        _ => Ok(()),
    }
}

fn check_fate(fate: &Fate) -> Result<(), PlanError> {
    span("there", fate.there)?;
    span("back", fate.back)?;
    span("pause_after", fate.pause_after)?;
    span("pause_before", fate.pause_before)?;
    match fate.deed {
        Deed::Copy(after)
        | Deed::Echo(after)
        | Deed::Late(after)
        | Deed::LateError(after)
        | Deed::Stale(after) => span("after", after),
        // Another status would be a definite answer, and a lie.
        Deed::Error(code) | Deed::Masked(code) if !(500..600).contains(&code) => {
            Err(PlanError::OutOfRange { what: "code", given: code.into(), allowed: "500 to 599" })
        }
        _ => Ok(()),
    }
}
