//! Reading the files of credentials, and keeping what was read fresh.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lease_core::credentials::{
    Change, CredentialSource, Credentials, FileContents, FileToRead, InCluster, MAX_FILE_BYTES, Rotation,
    RotationPolicy,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::blocking::try_spawn;
use crate::clock::Clock;
use crate::error::{SetupError, chain};

/// The service account of the pod that we run in.
pub(crate) fn in_cluster() -> Result<CredentialSource, SetupError> {
    let source = InCluster::from_env(|name| std::env::var(name).ok()).map_err(SetupError::Credentials)?;
    Ok(CredentialSource::InCluster(source))
}

/// The namespace of the pod that we run in, for [`ConfigBuilder::namespace`](crate::ConfigBuilder::namespace);
/// `None` when the service account names none. Reads the service account's files, here and now.
///
/// # Errors
///
/// [`SetupError::Credentials`] outside of a cluster, or when the files cannot be read.
pub fn in_cluster_namespace() -> Result<Option<String>, SetupError> {
    let source = in_cluster()?;
    let credentials = source.resolve(&read_all(&source.files())).map_err(SetupError::Credentials)?;
    Ok(credentials.namespace().map(str::to_owned))
}

/// Credentials that follow their files, and something that is built from them: the HTTP client.
pub(crate) struct Rotating<T> {
    clock: Arc<dyn Clock>,
    build: Box<Build<T>>,
    state: Mutex<State<T>>,
}

type Build<T> = dyn Fn(&Credentials) -> Result<T, SetupError> + Send + Sync;

struct State<T> {
    rotation: Rotation,
    built: T,
    /// A reading that is under way; its sender is dropped when it is done.
    reading: Option<watch::Receiver<()>>,
    problem: Option<String>,
}

impl<T: Clone + Send + 'static> Rotating<T> {
    /// Reads the files here and now, on this thread.
    pub(crate) fn start(
        source: CredentialSource,
        policy: RotationPolicy,
        clock: Arc<dyn Clock>,
        build: impl Fn(&Credentials) -> Result<T, SetupError> + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        let contents = read_all(&source.files());
        let rotation = Rotation::start(source, &contents, policy, since_origin(&*clock))
            .map_err(SetupError::Credentials)?;
        let built = build(rotation.credentials())?;
        let state = State { rotation, built, reading: None, problem: None };
        Ok(Self { clock, build: Box::new(build), state: Mutex::new(state) })
    }

    /// What is in use now.
    pub(crate) fn current(&self) -> (Credentials, T) {
        let state = self.state();
        (state.rotation.credentials().clone(), state.built.clone())
    }

    /// What could not be read, or not be used, at the last reading.
    pub(crate) fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// The server did not accept what is in use, or we did not accept the server: files are due to be read.
    pub(crate) fn doubt(&self) {
        self.state().rotation.unauthorized();
    }

    /// Reads the files if they are due, and waits for that, but not longer than `patience`: a file system that
    /// hangs must not keep us from renewing with what we have.
    pub(crate) async fn freshen(self: &Arc<Self>, patience: Duration) {
        if let Some(mut reading) = self.start_reading() {
            // Ends with an error when the sender is dropped.
            let _ = timeout(patience, reading.changed()).await;
        }
    }

    /// Reads the files as soon as they may be read again: within a second.
    pub(crate) async fn freshen_after_refusal(self: &Arc<Self>) {
        self.doubt();
        let due = self.state().rotation.due_at();
        let Some(due) = due else { return };
        let pause = due.saturating_sub(since_origin(&*self.clock));
        if !pause.is_zero() {
            sleep(pause).await;
        }
        self.freshen(Duration::MAX).await;
    }

    fn start_reading(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut state = self.state();
        if let Some(reading) = state.reading.as_ref().filter(|reading| reading.has_changed().is_ok()) {
            return Some(reading.clone());
        }
        if !state.rotation.is_due(since_origin(&*self.clock)) {
            return None;
        }
        let files = state.rotation.files();
        let (done, reading) = watch::channel(());
        state.reading = Some(reading.clone());
        drop(state);
        let rotating = Arc::clone(self);
        // Without a thread the old credentials go on: `done` is dropped, and nobody waits.
        try_spawn(&Handle::current(), move || {
            let contents = read_all(&files);
            rotating.take(&contents);
            drop(done);
        });
        Some(reading)
    }

    /// Only one reading is under way at any time, so nobody else changes what is in use meanwhile.
    fn take(&self, contents: &FileContents) {
        let reread = self.state().rotation.reread(since_origin(&*self.clock), contents);
        let problem = reread.problems().first().map(|problem| chain(problem));
        let built = match reread.change() {
            Change::Nothing | Change::Token => None,
            // A new client has no old connections. If none can be built, perhaps since a certificate lies
            // beside the key of its predecessor just now, the old one stays and the next reading is soon.
            _ => match (self.build)(reread.credentials()) {
                Ok(built) => Some(built),
                Err(error) => {
                    self.state().problem = Some(chain(&error));
                    return;
                }
            },
        };
        let mut state = self.state();
        state.problem = problem;
        state.rotation.accept(reread);
        // Dropped outside of the lock: the old client closes its connections.
        let _old = built.map(|built| mem::replace(&mut state.built, built));
        drop(state);
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn since_origin(clock: &dyn Clock) -> Duration {
    Duration::from_nanos(clock.now().mono.as_nanos())
}

fn read_all(files: &[FileToRead]) -> FileContents {
    let mut contents = FileContents::new();
    for file in files {
        contents.insert(file.role, read(file).map_err(|error| error.kind()));
    }
    contents
}

/// One byte more than is allowed shows that there is too much.
fn read(file: &FileToRead) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    File::open(&file.path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}
