//! The model of the API server as a transport: what is sent is answered in memory.

use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use lease_core::Failure;
use lease_core::driver::{BoxFuture, Call, Clock, SendError, SystemClock, Transport};

use crate::api_server::{ApiServer, ApiServerConfig, Rights, UnixMicros};

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

struct Inner {
    model: Mutex<ApiServer>,
    hook: Mutex<Option<Hook>>,
    clock: Box<dyn Clock>,
}

/// An API server in memory, and the [`Transport`] that leads to it. It lets everybody do everything. Clones are
/// the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

impl Server {
    /// A server that goes by this clock's wall time. With [`SystemClock`] (the default's) it serves any adapter.
    pub fn new(clock: impl Clock) -> Self {
        let config = ApiServerConfig {
            anonymous: Rights::All,
            unknown_tokens_are_anonymous: true,
            ..ApiServerConfig::default()
        };
        Self(Arc::new(Inner {
            model: Mutex::new(ApiServer::new(config)),
            hook: Mutex::default(),
            clock: Box::new(clock),
        }))
    }

    /// Reads or changes the model: what is stored, namespaces, counters.
    pub fn with_model<T>(&self, action: impl FnOnce(&mut ApiServer) -> T) -> T {
        action(&mut lock(&self.0.model))
    }

    /// Makes a namespace if it is missing. At first there are `default` and `kube-system`.
    pub fn ensure_namespace(&self, name: &str) {
        let now = self.now();
        self.with_model(|model| model.ensure_namespace(now, name));
    }

    /// Asks this for the fate of every request from now on. Must not call methods of this server.
    pub fn decide(&self, hook: impl FnMut(&Request<Bytes>) -> Fate + Send + 'static) {
        *lock(&self.0.hook) = Some(Box::new(hook));
    }

    /// Loses every request from now on.
    pub fn take_away(&self) {
        self.decide(|_| Fate::RequestLost);
    }

    /// Answers every request from now on, as at the beginning.
    pub fn bring_back(&self) {
        *lock(&self.0.hook) = None;
    }

    /// Sends a request as an administrator would: nothing happens to it.
    pub fn send_directly(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let now = self.now();
        lock(&self.0.model).handle(now, request).into_response()
    }

    fn now(&self) -> UnixMicros {
        UnixMicros(self.0.clock.now().wall.as_micros())
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
            let fate = lock(&self.0.hook).as_mut().map_or(Fate::Answered, |hook| hook(&call.request));
            match fate {
                Fate::Answered => {}
                Fate::RequestLost => pending().await,
                Fate::Refused => return Err(Failure::NotSent.into()),
                Fate::Status(status) => {
                    let mut response = Response::new(Bytes::new());
                    *response.status_mut() = status;
                    return Ok(response);
                }
                Fate::ReplyLost => {
                    self.send_directly(&call.request);
                    pending().await
                }
            }
            let response = self.send_directly(&call.request).ok_or(Failure::Unknown)?;
            if response.body().len() > call.max_body {
                return Err(Failure::TooLarge.into());
            }
            Ok(response)
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
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
