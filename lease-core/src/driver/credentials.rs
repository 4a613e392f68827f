//! Reading the files of credentials, and keeping what was read fresh.

use std::fs::File;
use std::io::{self, Read};
use std::mem;
use std::path::Path;
#[cfg(feature = "kubeconfig")]
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use event_listener::Event;

use super::clock::Clock;
use super::error::{SetupError, chain};
use super::exec;
use super::runtime::{Runtime, timeout};
#[cfg(feature = "kubeconfig")]
use crate::credentials::kubeconfig::{Kubeconfig, KubeconfigFiles, KubeconfigOptions};
use crate::credentials::{
    Change, CredentialSource, CredentialWarning, Credentials, FileContents, FileToRead, InCluster,
    MAX_FILE_BYTES, Rotation, RotationPolicy,
};

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
    let contents = read_all(&source.files());
    let credentials = source.resolve(&contents).map_err(SetupError::Credentials)?;
    Ok(credentials.namespace().map(str::to_owned))
}

/// The kubeconfig that kubectl would take: the files that `KUBECONFIG` lists, or `.kube/config` in the home
/// folder. Reads them, here and now. With the feature `kubeconfig`.
///
/// # Errors
///
/// [`SetupError::Credentials`]: no file, one that cannot be read or parsed, no such context, or something in it
/// that cannot be used.
#[cfg(feature = "kubeconfig")]
pub fn kubeconfig(options: &KubeconfigOptions) -> Result<CredentialSource, SetupError> {
    let variable = std::env::var_os("KUBECONFIG");
    let home = std::env::home_dir();
    let files = KubeconfigFiles::from_env(variable.as_deref(), home.as_deref());
    from_kubeconfig(&files.map_err(SetupError::Credentials)?, options)
}

/// This kubeconfig file. Reads it, here and now. With the feature `kubeconfig`.
///
/// # Errors
///
/// As for [`kubeconfig`]; and the file must exist.
#[cfg(feature = "kubeconfig")]
pub fn kubeconfig_file(
    path: impl Into<PathBuf>,
    options: &KubeconfigOptions,
) -> Result<CredentialSource, SetupError> {
    from_kubeconfig(&KubeconfigFiles::explicit(path), options)
}

#[cfg(feature = "kubeconfig")]
fn from_kubeconfig(
    files: &KubeconfigFiles,
    options: &KubeconfigOptions,
) -> Result<CredentialSource, SetupError> {
    let reads = files.paths().iter().map(|path| read(path).map_err(|error| error.kind()));
    let kubeconfig = Kubeconfig::from_files(files, reads, options).map_err(SetupError::Credentials)?;
    Ok(CredentialSource::Kubeconfig(kubeconfig))
}

/// Credentials that follow their files and plugins, and something that is built from them: the HTTP client.
///
/// For those who write a [`Transport`](super::Transport): [`freshen`](Self::freshen) before a request,
/// [`current`](Self::current) for it, [`doubt`](Self::doubt) when a connection failed, and
/// [`freshen_after_refusal`](Self::freshen_after_refusal) as `refresh_credentials`.
pub struct Rotating<T> {
    clock: Arc<dyn Clock>,
    runtime: Arc<dyn Runtime>,
    build: Box<Build<T>>,
    state: Mutex<State<T>>,
}

type Build<T> = dyn Fn(&Credentials) -> Result<T, SetupError> + Send + Sync;

struct State<T> {
    rotation: Rotation,
    built: T,
    /// The latest reading, which may be under way.
    reading: Option<Arc<Reading>>,
    problem: Option<String>,
}

/// A reading that others wait for.
#[derive(Default)]
struct Reading {
    over: AtomicBool,
    changed: Event,
}

impl Reading {
    async fn over(&self) {
        loop {
            let changed = self.changed.listen();
            if self.over.load(Ordering::SeqCst) {
                return;
            }
            changed.await;
        }
    }
}

/// Ends a reading when it is dropped, also when the work that would have done it never ran.
struct Done(Arc<Reading>);

impl Drop for Done {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
        self.0.changed.notify(usize::MAX);
    }
}

impl<T: Clone + Send + 'static> Rotating<T> {
    /// Reads the files and runs the plugin here and now, on this thread. `build` makes the client, now and
    /// whenever CA, certificate or key have changed.
    ///
    /// # Errors
    ///
    /// [`SetupError::Credentials`], and what `build` says.
    pub fn start(
        source: CredentialSource,
        policy: RotationPolicy,
        clock: Arc<dyn Clock>,
        runtime: Arc<dyn Runtime>,
        build: impl Fn(&Credentials) -> Result<T, SetupError> + Send + Sync + 'static,
    ) -> Result<Self, SetupError> {
        let mut contents = read_all(&source.files());
        if let Some(command) = source.command(&contents).map_err(SetupError::Credentials)? {
            contents.insert_exec(exec::run(&command, &*clock, || true));
        }
        let rotation =
            Rotation::start(source, &contents, policy, clock.now()).map_err(SetupError::Credentials)?;
        for warning in rotation.credentials().warnings() {
            report(&warning);
        }
        let built = build(rotation.credentials())?;
        let state = State { rotation, built, reading: None, problem: None };
        Ok(Self { clock, runtime, build: Box::new(build), state: Mutex::new(state) })
    }

    /// What is in use now.
    pub fn current(&self) -> (Credentials, T) {
        let state = self.state();
        (state.rotation.credentials().clone(), state.built.clone())
    }

    /// What could not be read, or not be used, at the last reading.
    pub fn problem(&self) -> Option<String> {
        self.state().problem.clone()
    }

    /// A connection failed, and perhaps our certificates are out of date: files are due to be read.
    pub fn doubt(&self) {
        self.state().rotation.doubt();
    }

    /// Reads the files if they are due, and waits for that, but not longer than `patience`: a file system that
    /// hangs must not keep us from renewing with what we have.
    pub async fn freshen(self: &Arc<Self>, patience: Duration) {
        if let Some(reading) = self.start_reading() {
            timeout(&*self.runtime, patience, reading.over()).await;
        }
    }

    /// The server said 401: reads the files and runs the plugin as soon as that may be done again, which is
    /// within a second. Does not wait for a plugin that ran for another 401 a moment ago and may run again only
    /// later, before another request: what it gave then may be newer than what was refused.
    pub async fn freshen_after_refusal(self: &Arc<Self>) {
        let due = {
            let mut state = self.state();
            state.rotation.unauthorized();
            state.rotation.due_at()
        };
        let Some(due) = due else { return };
        let pause = due.saturating_sub(since_origin(&*self.clock));
        if pause > RotationPolicy::MIN_GAP {
            return;
        }
        if !pause.is_zero() {
            self.runtime.sleep(pause).await;
        }
        self.freshen(Duration::MAX).await;
    }

    fn start_reading(self: &Arc<Self>) -> Option<Arc<Reading>> {
        let mut state = self.state();
        if let Some(reading) = state.reading.as_ref().filter(|reading| !reading.over.load(Ordering::SeqCst)) {
            return Some(Arc::clone(reading));
        }
        if !state.rotation.is_due(self.clock.now()) {
            return None;
        }
        let files = state.rotation.files();
        let reading = Arc::new(Reading::default());
        state.reading = Some(Arc::clone(&reading));
        drop(state);
        // Weakly: when nobody has this any more, the plugin is ended, and whoever waits for its thread goes on.
        let rotating = Arc::downgrade(self);
        let clock = Arc::clone(&self.clock);
        let done = Done(Arc::clone(&reading));
        // Without a thread the old credentials go on: `done` is dropped, and nobody waits.
        self.runtime.spawn_blocking(Box::new(move || {
            let mut contents = read_all(&files);
            let command = rotating
                .upgrade()
                .and_then(|rotating| rotating.state().rotation.command(clock.now(), &contents));
            if let Some(command) = command {
                contents.insert_exec(exec::run(&command, &*clock, || rotating.strong_count() > 0));
            }
            if let Some(rotating) = rotating.upgrade() {
                rotating.take(&contents);
            }
            drop(done);
        }));
        Some(reading)
    }

    /// Only one reading is under way at any time, so nobody else changes what is in use meanwhile.
    fn take(&self, contents: &FileContents) {
        let reread = self.state().rotation.reread(self.clock.now(), contents);
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
        contents.insert(file.role, read(&file.path).map_err(|error| error.kind()));
    }
    contents
}

/// One byte more than is allowed shows that there is too much.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_FILE_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let mut content = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// Once, when the credentials first come into use. Whoever runs the application has to hear of it even if the
/// application has no log: this is the one thing that is ever printed.
#[allow(clippy::print_stderr, reason = "loud on purpose")]
fn report(warning: &CredentialWarning) {
    eprintln!("WARNING: {warning}");
}
