//! When to read files or run a plugin again, and what that changed.

use std::time::Duration;

use super::error::CredentialError;
use super::exec::ExecCommand;
use super::files::{FileContents, FileToRead};
use super::resolved::Credentials;
use super::schedule::Schedule;
use super::source::CredentialSource;
use crate::{Now, WallTime};

/// How often files are read again. Every instant here is a [`Duration`] since an arbitrary origin, one and
/// the same for all calls, on a clock that does not go backwards.
///
/// ```
/// use std::time::Duration;
/// use lease_core::credentials::RotationPolicy;
///
/// assert_eq!(RotationPolicy::default().interval(), Duration::from_secs(60));
/// assert_eq!(RotationPolicy::every(Duration::from_secs(3600)).interval(), Duration::from_secs(60));
/// assert_eq!(RotationPolicy::every(Duration::ZERO).interval(), Duration::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RotationPolicy {
    interval: Duration,
}

impl RotationPolicy {
    /// The longest time that a token is used without looking for a newer one, and the default: 60 s.
    ///
    /// The kubelet replaces a projected token when 80 % of its life, or 24 h, are over (lives are 10 min at
    /// least), so a token from a file read a minute ago is valid. Other clients read as often.
    pub const MAX_INTERVAL: Duration = Duration::from_secs(60);
    /// The time after a read that failed, or whose result was not [accepted](Rotation::accept), until the
    /// next: 10 s, or the interval if that is shorter.
    pub const RETRY: Duration = Duration::from_secs(10);
    /// The least time between two reads, whatever happens: 1 s.
    pub const MIN_GAP: Duration = Duration::from_secs(1);

    /// A policy that reads every `interval`, brought into the range from [`MIN_GAP`](Self::MIN_GAP) to
    /// [`MAX_INTERVAL`](Self::MAX_INTERVAL). Shorter costs file reads, longer keeps a replaced token or
    /// certificate authority in use for longer.
    #[must_use]
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.clamp(Self::MIN_GAP, Self::MAX_INTERVAL) }
    }

    /// The time between two reads while nothing goes wrong.
    pub fn interval(self) -> Duration {
        self.interval
    }
}

impl Default for RotationPolicy {
    /// Every [`MAX_INTERVAL`](RotationPolicy::MAX_INTERVAL).
    fn default() -> Self {
        Self { interval: Self::MAX_INTERVAL }
    }
}

/// A reading of the clock, or of both: anything that takes one takes a [`Now`] or a [`Duration`].
///
/// An exec plugin says on the wall clock when its credentials expire. With a [`Now`] they are renewed before
/// that. With a [`Duration`], the monotonic clock alone, nothing can be said of that, and they are used until
/// the server refuses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationTime {
    pub(super) mono: Duration,
    pub(super) wall: Option<WallTime>,
}

impl From<Duration> for RotationTime {
    fn from(mono: Duration) -> Self {
        Self { mono, wall: None }
    }
}

impl From<Now> for RotationTime {
    fn from(now: Now) -> Self {
        Self { mono: Duration::from_nanos(now.mono.as_nanos()), wall: Some(now.wall) }
    }
}

/// What a re-read changed, as to what an adapter has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Change {
    /// Nothing.
    Nothing,
    /// The token only: the next request carries a new header, the HTTP client stays.
    Token,
    /// The certificate authority or the client certificate (and perhaps the token): the HTTP client must be
    /// built anew, and its old connections closed.
    Client,
}

impl Change {
    /// What is different in `new`, of the same source as `old`.
    fn between(old: &Credentials, new: &Credentials) -> Self {
        let client = old.ca() != new.ca() || old.client_certificate() != new.client_certificate();
        match (client, old.token() != new.token()) {
            (true, _) => Self::Client,
            (false, true) => Self::Token,
            (false, false) => Self::Nothing,
        }
    }
}

/// What came of a re-read. Hand it back to [`Rotation::accept`] once it is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "new credentials come into use by Rotation::accept"]
pub struct Reread {
    credentials: Credentials,
    change: Change,
    problems: Vec<CredentialError>,
    /// When the plugin's part came, if it ran and gave something.
    ran: Option<RotationTime>,
}

impl Reread {
    /// The credentials with all that could be had; what could not be had is as before.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What is different from the credentials in use.
    pub fn change(&self) -> Change {
        self.change
    }

    /// What could not be had, to be reported. A file that is missing for a moment while it is rotated is
    /// normal.
    pub fn problems(&self) -> &[CredentialError] {
        &self.problems
    }
}

/// The credentials in use, and when their files are to be read, or their exec plugin to be run, again.
///
/// - [`due_at`](Self::due_at) says when, [`files`](Self::files) and [`command`](Self::command) say what.
///   Looking before each request is enough; no timer is needed.
/// - [`unauthorized`](Self::unauthorized) tells of a 401: files and plugin are due at once, but not within a
///   second of the last time. [`doubt`](Self::doubt) tells of a connection that failed: files are due.
/// - [`reread`](Self::reread) takes what came of it. It never fails: what is missing or malformed
///   stays as it was, and is reported. A certificate and its key only change together.
/// - [`accept`](Self::accept) brings the result into use. When the HTTP client cannot be built from it (a new
///   certificate beside its old key, in the midst of a rotation), drop it: the old credentials stay, and the
///   next read, due soon, reports the change again.
///
/// ```
/// use std::time::Duration;
/// use lease_core::credentials::*;
///
/// # let path = "/etc/lease/token".into();
/// # let token = AuthenticationSource::Token(Piece::File(path));
/// # let explicit = Explicit::new("https://10.0.0.1".parse()?, None, token)?;
/// # let source = CredentialSource::Explicit(explicit);
/// # let contents = |token: &'static str| {
/// #     let mut contents = FileContents::new();
/// #     contents.insert(FileRole::Token, Ok(token));
/// #     contents
/// # };
/// let at = Duration::from_secs;
/// let mut rotation = Rotation::start(source, &contents("old"), RotationPolicy::default(), at(100))?;
/// assert_eq!(rotation.due_at(), Some(at(160)));
/// rotation.unauthorized();
/// assert_eq!(rotation.due_at(), Some(at(101)));
/// let reread = rotation.reread(at(101), &contents("new"));
/// assert_eq!(reread.change(), Change::Token);
/// rotation.accept(reread);
/// assert_eq!(rotation.due_at(), Some(at(161)));
/// # Ok::<(), CredentialError>(())
/// ```
///
/// An exec plugin is asked for after the files were read, since it may be told of the certificate authority:
///
/// ```
/// use lease_core::credentials::*;
/// use lease_core::{MonoTime, Now, WallTime};
///
/// fn read_and_run(
///     rotation: &Rotation,
///     now: Now,
///     read: impl Fn(&FileToRead) -> Result<Vec<u8>, std::io::ErrorKind>,
///     run: impl Fn(&ExecCommand) -> Result<Vec<u8>, ExecFailure>,
/// ) -> FileContents {
///     let mut contents = FileContents::new();
///     for file in rotation.files() {
///         contents.insert(file.role, read(&file));
///     }
///     if let Some(command) = rotation.command(now, &contents) {
///         contents.insert_exec(run(&command));
///     }
///     contents // for Rotation::reread, with the time when this is done
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Rotation {
    source: CredentialSource,
    current: Credentials,
    policy: RotationPolicy,
    last_read: Duration,
    state: State,
    plugin: Option<Schedule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last read went well and is in use.
    Settled,
    /// The last read failed in part, or is not in use.
    Unsettled,
    /// The server refused the credentials in use, and nothing was read since.
    Refused,
}

impl Rotation {
    /// Starts with what `source` [resolves](CredentialSource::resolve) to from its
    /// [files](CredentialSource::files) and its [command](CredentialSource::command), read and run at `now`.
    ///
    /// # Errors
    /// As [`CredentialSource::resolve`]: without first credentials there is nothing to go on with. The same for
    /// a plugin's that have expired by `now`.
    pub fn start(
        source: CredentialSource,
        contents: &FileContents,
        policy: RotationPolicy,
        now: impl Into<RotationTime>,
    ) -> Result<Self, CredentialError> {
        let now = now.into();
        let current = source.resolve_at(now.wall, contents)?;
        let plugin = source.plugin().map(|_| Schedule::start(now, current.expires_at()));
        Ok(Self { source, current, policy, last_read: now.mono, state: State::Settled, plugin })
    }

    /// The credentials in use.
    pub fn credentials(&self) -> &Credentials {
        &self.current
    }

    /// The files to read again. Empty when none is in a file: then only a plugin can change anything.
    pub fn files(&self) -> Vec<FileToRead> {
        self.source.rotating_files()
    }

    /// The exec plugin to run again, after the [`files`](Self::files) were read into `contents`; hand what
    /// comes of it in there as well. None when there is no plugin, or when it is not due at `now`.
    ///
    /// It is due before its credentials expire: when a fifth of the life that they had when they came is left,
    /// but at most two minutes; and when the server refused them. After a run that failed it is due again in
    /// [`RETRY`](RotationPolicy::RETRY).
    #[must_use]
    pub fn command(&self, now: impl Into<RotationTime>, contents: &FileContents) -> Option<ExecCommand> {
        let due = self.plugin.as_ref().is_some_and(|plugin| plugin.is_due(now.into()));
        let read = self.source.ca(contents).ok().flatten();
        due.then(|| self.source.command_with(read.as_ref().or(self.current.ca()))).flatten()
    }

    /// The instant from which on files should be read or the plugin be run again; none when there is nothing
    /// to read and nothing is known to expire.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
        let plugin = self.plugin.as_ref().and_then(Schedule::due_at);
        self.files_due_at().into_iter().chain(plugin).min()
    }

    /// Whether files should be read or the plugin be run again now.
    #[must_use]
    pub fn is_due(&self, now: impl Into<RotationTime>) -> bool {
        let now = now.into();
        self.files_due_at().is_some_and(|due| due <= now.mono)
            || self.plugin.as_ref().is_some_and(|plugin| plugin.is_due(now))
    }

    fn files_due_at(&self) -> Option<Duration> {
        if self.files().is_empty() {
            return None;
        }
        let gap = match self.state {
            State::Settled => self.policy.interval,
            State::Unsettled => self.policy.interval.min(RotationPolicy::RETRY),
            State::Refused => RotationPolicy::MIN_GAP,
        };
        Some(self.last_read.saturating_add(gap))
    }

    /// The server answered 401 to the credentials in use.
    pub fn unauthorized(&mut self) {
        self.state = State::Refused;
        if let Some(plugin) = &mut self.plugin {
            plugin.refused();
        }
    }

    /// A connection failed, and perhaps our certificates are out of date: files are due at once, but not within
    /// a second of the last read. An exec plugin is not run for it: servers fail more often than certificates.
    pub fn doubt(&mut self) {
        self.state = State::Refused;
    }

    /// Takes what came, by `now`, of reading [`files`](Self::files) and of running the
    /// [`command`](Self::command). The credentials in use stay until [`accept`](Self::accept).
    pub fn reread(&mut self, now: impl Into<RotationTime>, contents: &FileContents) -> Reread {
        let now = now.into();
        let (credentials, problems) = self.source.resolve_again(now.wall, contents, &self.current);
        let change = Change::between(&self.current, &credentials);
        self.last_read = self.last_read.max(now.mono);
        let settled = change == Change::Nothing && problems.is_empty();
        self.state = if settled { State::Settled } else { State::Unsettled };
        let ran = match &mut self.plugin {
            Some(plugin) if contents.exec().is_some() => {
                plugin.ran(now);
                let gave = |problem: &CredentialError| !matches!(problem, CredentialError::Exec { .. });
                problems.iter().all(gave).then_some(now)
            }
            _ => None,
        };
        let reread = Reread { credentials, change, problems, ran };
        if change == Change::Nothing {
            // Nobody has to do anything to have this in use: only the expiry may be new.
            self.bring_into_use(&reread);
        }
        reread
    }

    /// Brings the result of the last [`reread`](Self::reread) into use. One of another server's rotation is
    /// ignored.
    pub fn accept(&mut self, reread: Reread) {
        if reread.credentials.server() != self.current.server() {
            return;
        }
        if reread.problems.is_empty() && self.state == State::Unsettled {
            self.state = State::Settled;
        }
        self.bring_into_use(&reread);
    }

    fn bring_into_use(&mut self, reread: &Reread) {
        self.current = reread.credentials.clone();
        if let (Some(plugin), Some(now)) = (&mut self.plugin, reread.ran) {
            plugin.in_use(now, self.current.expires_at());
        }
    }
}
