//! A transport that notes what passes through it.

use std::sync::{Arc, Mutex};

use crate::adapter::{BoxFuture, Call, Chunks, SendError, Transport};
use bytes::Bytes;
use http::{HeaderMap, Method};
use tokio::time::Instant;

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// `WATCH` for a watch.
    pub method: Method,
    pub path: String,
    pub body: Bytes,
    /// When the holder handed it out.
    pub sent: Instant,
    /// None while it is under way, and when it brought no response.
    pub status: Option<u16>,
}

/// The requests of one holder, in order.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Exchange>>>);

impl Log {
    pub fn all(&self) -> Vec<Exchange> {
        self.0.lock().unwrap().clone()
    }

    pub fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub fn count(&self, method: &Method) -> usize {
        self.0.lock().unwrap().iter().filter(|exchange| exchange.method == *method).count()
    }

    /// `GET 404, POST 201, …`: pleasant to compare. `PUT -` brought no response.
    pub fn line(&self) -> String {
        let line: Vec<_> = self
            .all()
            .iter()
            .map(|exchange| {
                let status = exchange.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
                format!("{} {status}", exchange.method)
            })
            .collect();
        line.join(", ")
    }

    pub fn is_watch(exchange: &Exchange) -> bool {
        exchange.method.as_str() == "WATCH"
    }

    fn begin(&self, method: Method, call: &Call) -> usize {
        let mut log = self.0.lock().unwrap();
        log.push(Exchange {
            method,
            path: call.request.uri().to_string(),
            body: call.request.body().clone(),
            sent: Instant::now(),
            status: None,
        });
        log.len() - 1
    }

    fn end(&self, at: usize, status: u16) {
        // Cleared meanwhile: nobody asks any more.
        if let Some(exchange) = self.0.lock().unwrap().get_mut(at) {
            exchange.status = Some(status);
        }
    }
}

/// Hands everything on to `inner`, notes it, and adds headers if asked to.
pub struct Counting<T> {
    inner: T,
    log: Log,
    headers: HeaderMap,
}

impl<T: Transport> Counting<T> {
    pub fn new(inner: T, log: &Log) -> Self {
        Self { inner, log: log.clone(), headers: HeaderMap::new() }
    }

    /// Adds these to every request.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }
}

impl<T: Transport> Transport for Counting<T> {
    fn send(&self, mut call: Call) -> BoxFuture<'_, Result<http::Response<Bytes>, SendError>> {
        let at = self.log.begin(call.request.method().clone(), &call);
        call.request.headers_mut().extend(self.headers.clone());
        Box::pin(async move {
            let response = self.inner.send(call).await?;
            self.log.end(at, response.status().as_u16());
            Ok(response)
        })
    }

    fn watch(&self, mut call: Call) -> BoxFuture<'_, Result<http::Response<Chunks>, SendError>> {
        let at = self.log.begin(Method::from_bytes(b"WATCH").unwrap(), &call);
        call.request.headers_mut().extend(self.headers.clone());
        Box::pin(async move {
            let response = self.inner.watch(call).await?;
            self.log.end(at, response.status().as_u16());
            Ok(response)
        })
    }

    fn refresh_credentials(&self) -> BoxFuture<'_, ()> {
        self.inner.refresh_credentials()
    }
}
