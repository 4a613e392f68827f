//! When to read files again, and what a re-read changed.

use std::time::Duration;

use super::error::CredentialError;
use super::files::{FileContents, FileToRead};
use super::resolved::{Authentication, Credentials};
use super::source::CredentialSource;

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
        let token = |credentials: &Credentials| match credentials.authentication() {
            Authentication::Token(token) => Some(token.clone()),
            Authentication::None | Authentication::ClientCertificate(_) => None,
        };
        let client = old.ca() != new.ca() || old.client_certificate() != new.client_certificate();
        match (client, token(old) != token(new)) {
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
}

impl Reread {
    /// The credentials with all that could be read; what could not be read is as before.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// What is different from the credentials in use.
    pub fn change(&self) -> Change {
        self.change
    }

    /// What could not be read, to be reported. A file that is missing for a moment while it is rotated is
    /// normal.
    pub fn problems(&self) -> &[CredentialError] {
        &self.problems
    }
}

/// The credentials in use, and when their files are to be read again.
///
/// - [`due_at`](Self::due_at) says when, [`files`](Self::files) says what. Looking before each request is
///   enough; no timer is needed.
/// - [`unauthorized`](Self::unauthorized) tells of a 401: the next read is due at once, but not within a
///   second of the last one.
/// - [`reread`](Self::reread) takes what came of reading. It never fails: what is missing or malformed
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
#[derive(Clone, Debug)]
pub struct Rotation {
    source: CredentialSource,
    current: Credentials,
    policy: RotationPolicy,
    last_read: Duration,
    state: State,
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
    /// [files](CredentialSource::files), read at `now`.
    ///
    /// # Errors
    /// As [`CredentialSource::resolve`]: without first credentials there is nothing to go on with.
    pub fn start(
        source: CredentialSource,
        contents: &FileContents,
        policy: RotationPolicy,
        now: Duration,
    ) -> Result<Self, CredentialError> {
        let current = source.resolve(contents)?;
        Ok(Self { source, current, policy, last_read: now, state: State::Settled })
    }

    /// The credentials in use.
    pub fn credentials(&self) -> &Credentials {
        &self.current
    }

    /// The files to read again. Empty when everything is inline: then nothing ever changes.
    pub fn files(&self) -> Vec<FileToRead> {
        self.source.rotating_files()
    }

    /// The instant from which on the files should be read again; none when there are no files.
    #[must_use]
    pub fn due_at(&self) -> Option<Duration> {
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

    /// Whether the files should be read again now.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|due| due <= now)
    }

    /// The server answered 401 to the credentials in use.
    pub fn unauthorized(&mut self) {
        self.state = State::Refused;
    }

    /// Takes what came of reading [`files`](Self::files) at `now`. The credentials in use stay until
    /// [`accept`](Self::accept).
    pub fn reread(&mut self, now: Duration, contents: &FileContents) -> Reread {
        let (credentials, problems) = self.source.resolve_again(contents, &self.current);
        let change = Change::between(&self.current, &credentials);
        self.last_read = self.last_read.max(now);
        let settled = change == Change::Nothing && problems.is_empty();
        self.state = if settled { State::Settled } else { State::Unsettled };
        Reread { credentials, change, problems }
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
        self.current = reread.credentials;
    }
}
