//! The model of the API server as a transport: what is sent is answered in memory.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use lease_core::Failure;
use lease_core::driver::{BoxFuture, Call, Chunks, Clock, Runtime, SendError, SystemClock, Transport};

use super::watch::{Readers, Watch};
use crate::api_server::{Answer, ApiServer, ApiServerConfig, Rights, UnixMicros};

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fate {
    /// It is applied and answered.
    Answered,
    /// It is lost on its way: not applied, and nobody answers.
    RequestLost,
    /// It is applied, and its answer is lost.
    ReplyLost,
    /// It is not applied, and the client is told so: no connection.
    Refused,
    /// It is not applied and answered with this status and an empty body.
    Status(StatusCode),
}

type Hook = Box<dyn FnMut(&Request<Bytes>) -> Fate + Send>;

pub(super) struct Inner {
    pub(super) model: Mutex<ApiServer>,
    hook: Mutex<Option<Hook>>,
    clock: Box<dyn Clock>,
    /// Tell when a watch is over that nothing happens to.
    pub(super) timers: Option<Box<dyn Runtime>>,
    pub(super) readers: Readers,
}

impl Inner {
    pub(super) fn now(&self) -> UnixMicros {
        UnixMicros(self.clock.now().wall.as_micros())
    }
}

/// An API server in memory, and the [`Transport`] that leads to it. It lets everybody do everything. Clones are
/// the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

impl Server {
    /// A server that goes by this clock's wall time. With [`SystemClock`] (the default's) it serves any adapter.
    ///
    /// It has no timers: a watch whose `timeoutSeconds` are over ends when the next request or edit comes. See
    /// [`with_timers`](Self::with_timers).
    pub fn new(clock: impl Clock) -> Self {
        Self::start(Box::new(clock), None)
    }

    /// The same, with a runtime whose timers end watches in time.
    pub fn with_timers(clock: impl Clock, runtime: impl Runtime) -> Self {
        Self::start(Box::new(clock), Some(Box::new(runtime)))
    }

    fn start(clock: Box<dyn Clock>, timers: Option<Box<dyn Runtime>>) -> Self {
        let config = ApiServerConfig {
            anonymous: Rights::All,
            unknown_tokens_are_anonymous: true,
            ..ApiServerConfig::default()
        };
        Self(Arc::new(Inner {
            model: Mutex::new(ApiServer::new(config)),
            hook: Mutex::default(),
            clock,
            timers,
            readers: Readers::default(),
        }))
    }

    /// Reads or changes the model: what is stored, namespaces, counters.
    pub fn with_model<T>(&self, action: impl FnOnce(&mut ApiServer) -> T) -> T {
        let output = action(&mut lock(&self.0.model));
        self.0.readers.wake();
        output
    }

    /// Makes a namespace if it is missing. At first there are `default` and `kube-system`.
    pub fn ensure_namespace(&self, name: &str) {
        let now = self.0.now();
        self.with_model(|model| model.ensure_namespace(now, name));
    }

    /// Asks this for the fate of every request from now on. Must not call methods of this server. Watches that are
    /// open go on.
    pub fn decide(&self, hook: impl FnMut(&Request<Bytes>) -> Fate + Send + 'static) {
        *lock(&self.0.hook) = Some(Box::new(hook));
        self.0.readers.set_away(false);
    }

    /// Loses every request from now on. Watches that are open tell nothing, and do not end.
    pub fn take_away(&self) {
        self.decide(|_| Fate::RequestLost);
        self.0.readers.set_away(true);
    }

    /// Answers every request from now on, as at the beginning. Watches tell what happened meanwhile.
    pub fn bring_back(&self) {
        *lock(&self.0.hook) = None;
        self.0.readers.set_away(false);
    }

    /// Sends a request as an administrator would: nothing happens to it. `None` if it opens a watch.
    pub fn send_directly(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        match self.apply(request) {
            Answer::Response(response) => Some(response),
            Answer::Watch { id, .. } => {
                lock(&self.0.model).close_watch(id);
                None
            }
        }
    }

    fn apply(&self, request: &Request<Bytes>) -> Answer {
        let now = self.0.now();
        self.with_model(|model| model.handle(now, request))
    }

    /// What becomes of a request on its way: applied and answered, or an answer of somebody else, or none.
    async fn carry(&self, request: &Request<Bytes>) -> Result<Answer, SendError> {
        let fate = lock(&self.0.hook).as_mut().map_or(Fate::Answered, |hook| hook(request));
        match fate {
            Fate::Answered => Ok(self.apply(request)),
            Fate::RequestLost => pending().await,
            Fate::Refused => Err(Failure::NotSent.into()),
            Fate::Status(status) => {
                let mut response = Response::new(Bytes::new());
                *response.status_mut() = status;
                Ok(Answer::Response(response))
            }
            Fate::ReplyLost => {
                self.send_directly(request);
                pending().await
            }
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new(SystemClock)
    }
}

impl Transport for Server {
    fn send(&self, call: Call) -> BoxFuture<'_, Result<Response<Bytes>, SendError>> {
        Box::pin(async move {
            let response = match self.carry(&call.request).await? {
                Answer::Response(response) => response,
                Answer::Watch { id, .. } => {
                    lock(&self.0.model).close_watch(id);
                    return Err(Failure::Unknown.into());
                }
            };
            if response.body().len() > call.max_body {
                return Err(Failure::TooLarge.into());
            }
            Ok(response)
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Response<Chunks>, SendError>> {
        Box::pin(async move {
            Ok(match self.carry(&call.request).await? {
                Answer::Response(response) => response.map(|body| {
                    let mut body = Some(body);
                    Chunks::from_fn(move |_| Poll::Ready(body.take().map(Ok)))
                }),
                Answer::Watch { id, head } => {
                    let mut watch = Watch::new(Arc::clone(&self.0), id);
                    head.map(|()| Chunks::from_fn(move |context| watch.poll(context)))
                }
            })
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Server").finish_non_exhaustive()
    }
}

/// Locks; a panic of another thread does not make the data unusable.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
