//! What every case works with: the adapter's runtime, servers, calls, credentials, folders, clocks.

use std::fs;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use lease_core::credentials::{
    AuthenticationSource, BearerToken, CaBundle, CredentialSource, Explicit, Piece,
};
use lease_core::driver::{
    Adapter, Call, Clock, Runtime, SendError, SetupError, SystemClock, Transport, TransportSetup, timeout,
};
use lease_core::{Failure, Now};
use tokio::sync::oneshot;

use super::engine::guarded;
use crate::listener::EmbeddedServer;

/// The longest that anything is waited for that has to come, unless the suite was told otherwise.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what somebody else does.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// What must never be seen anywhere but in an `Authorization` header.
pub(super) const TOKEN: &str = "s3cr3t.t0ken";
/// The object that most calls are about.
pub(super) const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases/job";

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A case's place to work.
pub(crate) struct Bench<A> {
    adapter: Arc<str>,
    patience: Duration,
    runtime: Option<Arc<dyn Runtime>>,
    skipped: Arc<Mutex<Option<String>>>,
    tasks: Arc<Tasks>,
    stands_for: PhantomData<fn() -> A>,
}

impl<A> Clone for Bench<A> {
    fn clone(&self) -> Self {
        Self {
            adapter: Arc::clone(&self.adapter),
            patience: self.patience,
            runtime: self.runtime.clone(),
            skipped: Arc::clone(&self.skipped),
            tasks: Arc::clone(&self.tasks),
            stands_for: PhantomData,
        }
    }
}

impl<A: Adapter> Bench<A> {
    pub(super) fn new(adapter: &str, patience: Duration) -> Self {
        Self {
            adapter: adapter.into(),
            patience,
            runtime: None,
            skipped: Arc::default(),
            tasks: Arc::default(),
            stands_for: PhantomData,
        }
    }

    /// On the adapter's runtime from here on.
    pub(super) fn enter(&mut self, runtime: Arc<dyn Runtime>) {
        self.runtime = Some(runtime);
    }

    pub(super) fn skipped(&self) -> Arc<Mutex<Option<String>>> {
        Arc::clone(&self.skipped)
    }

    /// What was spawned, to be ended with the case.
    pub(super) fn tasks(&self) -> Arc<Tasks> {
        Arc::clone(&self.tasks)
    }

    /// The longest that anything is waited for that has to come.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Says why the case cannot be tried here. It returns after that.
    pub(super) fn skip(&self, why: impl Into<String>) {
        *self.skipped.lock().unwrap() = Some(why.into());
    }

    /// The adapter's name, as it was given.
    pub(super) fn adapter(&self) -> &str {
        &self.adapter
    }

    pub(super) fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::clone(self.runtime.as_ref().unwrap())
    }

    pub(super) async fn sleep(&self, time: Duration) {
        self.runtime().sleep(time).await;
    }

    pub(super) async fn timeout<T>(&self, time: Duration, work: impl Future<Output = T>) -> Option<T> {
        timeout(&*self.runtime(), time, work).await
    }

    /// The future's output, which has to come.
    #[track_caller]
    pub(super) fn soon<T>(&self, what: &str, work: impl Future<Output = T>) -> impl Future<Output = T> {
        let at = std::panic::Location::caller();
        async move {
            match self.timeout(self.patience, work).await {
                Some(output) => output,
                None => panic!("not within {:?}: {what} (asked for at {at})", self.patience),
            }
        }
    }

    /// Waits for something that somebody else does.
    #[track_caller]
    pub(super) fn until(&self, what: &str, mut holds: impl FnMut() -> bool) -> impl Future<Output = ()> {
        self.soon(what, async move {
            while !holds() {
                self.sleep(LOOK_AGAIN).await;
            }
        })
    }

    /// Runs a future beside the case, until the case is over. Dropping the result does not stop it.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Task<T> {
        let (sender, receiver) = oneshot::channel();
        let tasks = self.tasks();
        self.runtime().spawn(Box::pin(async move {
            if let Some(came) = tasks.unless_over(guarded(|| work)).await {
                // Nobody may wait for it.
                let _ = sender.send(came);
            }
        }));
        Task(receiver)
    }

    /// Runs what may block on a thread of the runtime.
    pub(super) async fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = oneshot::channel();
        let started = self.runtime().spawn_blocking(Box::new(move || {
            let _ = sender.send(work());
        }));
        assert!(started, "the runtime has no thread for blocking work");
        self.soon("blocking work is done", receiver).await.expect("blocking work is done")
    }

    /// Drops the request once `given_up` holds. It must not be done before.
    pub(super) async fn give_up_when<T>(
        &self,
        work: impl Future<Output = T>,
        mut given_up: impl FnMut() -> bool,
    ) {
        let mut work = pin!(work);
        let mut waited = pin!(self.soon("the moment to give up", async {
            while !given_up() {
                self.sleep(LOOK_AGAIN).await;
            }
        }));
        poll_fn(|context| {
            assert!(work.as_mut().poll(context).is_pending(), "answered, though nobody did");
            waited.as_mut().poll(context)
        })
        .await;
    }

    pub(super) fn setup(&self, source: CredentialSource) -> TransportSetup {
        TransportSetup::new(source, Arc::new(SystemClock), self.runtime())
    }

    /// The adapter's transport.
    #[track_caller]
    pub(super) fn transport(&self, source: CredentialSource) -> Arc<dyn Transport> {
        made(A::transport(self.setup(source)))
    }

    /// The adapter's transport, by a clock that can be put forward.
    #[track_caller]
    pub(super) fn transport_by(&self, clock: &ShiftedClock, source: CredentialSource) -> Arc<dyn Transport> {
        made(A::transport(TransportSetup::new(source, Arc::new(clock.clone()), self.runtime())))
    }

    /// A transport that trusts this server and shows nothing.
    #[track_caller]
    pub(super) fn anonymous(&self, server: &EmbeddedServer) -> Arc<dyn Transport> {
        self.transport(explicit(&server.url(), ca(server), AuthenticationSource::None))
    }

    /// Sends one call, with plenty of time. No answer at all is a failed case.
    pub(super) async fn send(&self, transport: &Arc<dyn Transport>, request: Request<Bytes>) -> Sent {
        self.send_at_most(transport, request, 1 << 20).await
    }

    pub(super) async fn send_at_most(
        &self,
        transport: &Arc<dyn Transport>,
        request: Request<Bytes>,
        max_body: usize,
    ) -> Sent {
        let what = format!("an answer, or an error, to {} {}", request.method(), request.uri());
        self.soon(&what, transport.send(Call::new(request, PATIENCE, max_body))).await
    }

    pub(super) async fn get(&self, transport: &Arc<dyn Transport>) -> Sent {
        self.send(transport, get(LEASE)).await
    }

    /// The status of the answer to a GET, which has to be answered.
    pub(super) async fn status(&self, transport: &Arc<dyn Transport>) -> u16 {
        answered(self.get(transport).await).status().as_u16()
    }
}

/// What came of a call.
pub(super) type Sent = Result<Response<Bytes>, SendError>;

#[track_caller]
fn made(transport: Result<Arc<dyn Transport>, SetupError>) -> Arc<dyn Transport> {
    transport.unwrap_or_else(|error| panic!("no transport: {}", chain(&error)))
}

#[track_caller]
pub(super) fn answered(sent: Sent) -> Response<Bytes> {
    sent.unwrap_or_else(|error| panic!("no answer ({:?}): {}", error.failure(), chain(&error)))
}

/// What the error says happened, after a look at whether it tells the token.
#[track_caller]
pub(super) fn failed(sent: Sent) -> Failure {
    match sent {
        Ok(response) => panic!("answered {}: {:?}", response.status(), response.body()),
        Err(error) => {
            assert_no_secret(&error);
            error.failure()
        }
    }
}

/// Nothing that people read shows the token.
#[track_caller]
pub(super) fn assert_no_secret(error: &(dyn std::error::Error + 'static)) {
    let text = format!("{error:?} {error:#?} {}", chain(error));
    assert!(!text.contains(TOKEN), "the token is in the error: {text}");
}

/// An error with all of its causes.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

pub(super) fn get(path: &str) -> Request<Bytes> {
    request(Method::GET, path, Bytes::new())
}

/// A request as the state machine makes them.
pub(super) fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Bytes> {
    let mut builder =
        Request::builder().method(method.clone()).uri(path).header("accept", "application/json");
    if method != Method::GET {
        builder = builder.header("content-type", "application/json");
    }
    builder.body(body.into()).unwrap()
}

pub(super) fn ca(server: &EmbeddedServer) -> Option<Piece<CaBundle>> {
    server.ca_pem().map(|pem| bundle(&pem))
}

pub(super) fn bundle(pem: &str) -> Piece<CaBundle> {
    Piece::Inline(CaBundle::from_pem(pem.as_bytes()).unwrap())
}

/// [`TOKEN`], as a value.
pub(super) fn token() -> AuthenticationSource {
    AuthenticationSource::Token(Piece::Inline(BearerToken::parse(TOKEN.as_bytes()).unwrap()))
}

pub(super) fn token_file(path: PathBuf) -> AuthenticationSource {
    AuthenticationSource::Token(Piece::File(path))
}

pub(super) fn explicit(
    url: &str,
    ca: Option<Piece<CaBundle>>,
    how: AuthenticationSource,
) -> CredentialSource {
    CredentialSource::Explicit(Explicit::new(url.parse().unwrap(), ca, how).unwrap())
}

/// Everybody may do everything there.
pub(super) fn open(tls: bool) -> EmbeddedServer {
    EmbeddedServer::builder().open().tls(tls).start().unwrap()
}

/// Every request that a server got.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Vec<Request<Bytes>>>>);

impl Seen {
    /// From now on. Takes the place of the server's fault hook.
    pub(super) fn by(server: &EmbeddedServer) -> Self {
        let seen = Self::default();
        let writer = seen.clone();
        server.set_fault_hook(move |request| {
            writer.note(request);
            None
        });
        seen
    }

    pub(super) fn note(&self, request: &Request<Bytes>) {
        self.0.lock().unwrap().push(request.clone());
    }

    pub(super) fn all(&self) -> Vec<Request<Bytes>> {
        self.0.lock().unwrap().clone()
    }

    pub(super) fn count(&self, path: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|request| request.uri().path() == path).count()
    }
}

/// A future that runs beside the case.
pub(super) struct Task<T>(oneshot::Receiver<Result<T, String>>);

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        Pin::new(&mut self.0).poll(context).map(|came| match came {
            Ok(Ok(output)) => output,
            Ok(Err(panic)) => panic!("a task of the case: {panic}"),
            Err(_) => panic!("the runtime dropped a task before it was done"),
        })
    }
}

/// What a case has spawned: nothing of it goes on when the case is over, whatever came of it.
#[derive(Default)]
pub(super) struct Tasks {
    over: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Tasks {
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
        let wakers = std::mem::take(&mut *self.wakers.lock().unwrap());
        wakers.into_iter().for_each(Waker::wake);
    }

    async fn unless_over<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            {
                let mut wakers = self.wakers.lock().unwrap();
                if !wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    wakers.push(context.waker().clone());
                }
            }
            if self.over.load(Ordering::SeqCst) {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }
}

/// All of them at once; outputs in the same order.
pub(super) fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> impl Future<Output = Vec<F::Output>> {
    let mut futures: Vec<_> = futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    async move {
        poll_fn(|context| {
            let mut pending = false;
            for (future, output) in &mut futures {
                if output.is_none() {
                    match future.as_mut().poll(context) {
                        Poll::Ready(ready) => *output = Some(ready),
                        Poll::Pending => pending = true,
                    }
                }
            }
            if pending { Poll::Pending } else { Poll::Ready(()) }
        })
        .await;
        futures.into_iter().filter_map(|(_, output)| output).collect()
    }
}

/// The smallest executor there is, which knows nothing of any runtime.
pub(super) fn bare_block_on<T>(work: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(output) = work.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

/// The system's clock and what a case adds to it.
#[derive(Clone, Default)]
pub(super) struct ShiftedClock(Arc<AtomicU64>);

impl ShiftedClock {
    pub(super) fn put_forward(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ShiftedClock {
    fn now(&self) -> Now {
        let now = SystemClock.now();
        let shift = Duration::from_nanos(self.0.load(Ordering::SeqCst));
        Now { mono: now.mono.saturating_add(shift), wall: now.wall }
    }
}

/// A folder that goes when it is dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let unique = COUNT.fetch_add(1, Ordering::SeqCst);
        let name = format!("lease-sim-{name}-{}-{unique}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes as the kubelet does: beside, then over.
    pub(super) fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.0.join(name);
        let beside = self.0.join(format!("{name}.new"));
        fs::write(&beside, content).unwrap();
        fs::rename(beside, &path).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
