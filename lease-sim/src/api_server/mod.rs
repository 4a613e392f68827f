//! A pure model of the Kubernetes Lease API: no I/O, no clock, no randomness.
//!
//! [`ApiServer::handle`] takes a request and the time, and answers as kube-apiserver 1.20.2 answers: the same
//! status, reason, message, causes and stored object. 91 recorded exchanges with a real server are replayed
//! against it (`tests/facts.rs`), and seeded random requests run against both (`tests/differential.rs`).
//!
//! # What is modelled
//! * Leases: GET, POST, PUT, DELETE with preconditions and finalizers, merge patches, LIST, WATCH with field
//!   selectors, tables for `kubectl get`.
//! * Namespaces: missing, active, terminating, finalised; a namespace that is deleted stays *terminating*
//!   until [`ApiServer::finish_namespace`], as on a cluster whose controllers do not run.
//! * Bearer tokens, access rights, `SelfSubjectAccessReview`, discovery, `/metrics`, `/version`, `/healthz`.
//!
//! # What is not
//! Label selectors, paging (a LIST answers everything), dry runs, JSON patches, protobuf, OpenAPI, and the
//! history of `managedFields` (one entry owns all fields). A server-side apply is a merge that conflicts with
//! every field it would change. What would change the meaning of a request is refused, never ignored.
//!
//! # Use
//! Kinds of methods, in the order in which a driver calls them: [`ApiServer::handle`] for each request;
//! [`ApiServer::expire_watches`] when time has passed; [`ApiServer::poll_watch`] until it returns `None`;
//! [`ApiServer::close_watch`] when the client hangs up. The methods of `admin.rs` do what an administrator
//! would, without credentials and without being counted.

mod access;
mod admin;
mod config;
mod delete;
mod documents;
mod encode;
mod leases;
mod metrics;
mod namespaces;
mod object;
mod patch;
mod path;
mod status;
mod table;
pub(crate) mod time;
mod validate;
mod watch;

pub(crate) use object::LeaseObject;
pub(crate) use time::micro_time;

pub use config::{ApiServerConfig, LeaseRule, Rights, User, Verb};
pub use time::UnixMicros;
pub use watch::{WatchId, WatchItem};

use bytes::Bytes;
use encode::Manager;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use namespaces::Namespace;
use path::{Query, Target};
use status::{Failure, LEASES, Refusal};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use watch::{Change, Watcher};

// Constants, because each is checked byte by byte where it is made.
const NOT_CACHED: HeaderValue = HeaderValue::from_static("no-cache, private");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Bodies beyond this are refused with 413, as on the real server.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// A modelled API server. Cheap to clone: objects are shared between clones until they change.
#[derive(Clone, Debug)]
pub struct ApiServer {
    config: ApiServerConfig,
    /// The resource version of the last change, whatever it changed.
    revision: u64,
    random: u64,
    namespaces: BTreeMap<String, Namespace>,
    leases: BTreeMap<String, BTreeMap<String, Stored>>,
    log: VecDeque<Change>,
    /// The sequence number of the first change in `log`.
    log_start: u64,
    /// Changes after this resource version are all in `log`.
    oldest_watchable: u64,
    watches: BTreeMap<WatchId, Watcher>,
    next_watch: u64,
    counts: metrics::Counts,
    date: (i64, HeaderValue),
    /// The tokens of the configuration, shared with the requests that show them.
    users: BTreeMap<String, Arc<User>>,
}

/// A Lease in the store.
#[derive(Clone, Debug)]
struct Stored {
    object: Arc<LeaseObject>,
    revision: u64,
    manager: Manager,
    /// The object as GET answers it, with a newline at the end.
    json: Bytes,
}

/// What a request is answered with.
#[derive(Debug)]
pub enum Answer {
    /// A whole response.
    Response(Response<Bytes>),
    /// A stream: the head now, the lines by [`ApiServer::poll_watch`].
    Watch {
        /// The name of the stream.
        id: WatchId,
        /// Status and headers.
        head: Response<()>,
    },
}

impl Answer {
    /// The whole response, if it is one.
    #[must_use]
    pub fn into_response(self) -> Option<Response<Bytes>> {
        match self {
            Self::Response(response) => Some(response),
            Self::Watch { .. } => None,
        }
    }
}

/// A success, before it gets its headers.
enum Reply {
    Json(StatusCode, Bytes),
    Text(Bytes),
    Watch(WatchId),
}

/// What the parts of the model need to know about a request.
struct Call<'a> {
    now: UnixMicros,
    user: access::Sender<'a>,
    method: &'a Method,
    query: &'a Query,
    headers: &'a HeaderMap,
    body: &'a [u8],
}

impl Call<'_> {
    fn header(&self, name: HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The media type of the body, lower case, without parameters.
    fn content_type(&self) -> Cow<'_, str> {
        let whole = self.header(header::CONTENT_TYPE);
        let media_type = whole.split(';').next().unwrap_or_default().trim();
        if media_type.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(media_type.to_ascii_lowercase())
        } else {
            Cow::Borrowed(media_type)
        }
    }

    fn wants_table(&self) -> bool {
        self.header(header::ACCEPT).contains("as=Table")
    }

    /// Whom `managedFields` names after this request.
    fn manager(&self) -> Manager {
        let agent = self.header(header::USER_AGENT).split('/').next().filter(|agent| !agent.is_empty());
        let name = match self.query.field_manager.as_str() {
            "" => agent.unwrap_or("unknown"),
            named => named,
        };
        Manager { name: name.to_owned(), time: self.now }
    }
}

impl ApiServer {
    /// A server with no Leases in it.
    #[must_use]
    pub fn new(config: ApiServerConfig) -> Self {
        let mut server = Self {
            revision: config.initial_resource_version,
            random: config.seed,
            namespaces: BTreeMap::new(),
            leases: BTreeMap::new(),
            log: VecDeque::new(),
            log_start: 0,
            oldest_watchable: config.initial_resource_version,
            watches: BTreeMap::new(),
            next_watch: 1,
            counts: metrics::Counts::default(),
            date: (i64::MIN, HeaderValue::from_static("")),
            users: config
                .tokens
                .iter()
                .map(|(token, user)| (token.clone(), Arc::new(user.clone())))
                .collect(),
            config,
        };
        let names: Vec<String> = ["default", "kube-system"]
            .map(str::to_owned)
            .into_iter()
            .chain(server.config.namespaces.clone())
            .collect();
        for name in names {
            server.add_namespace(server.config.started, &name);
        }
        server.oldest_watchable = server.revision;
        server
    }

    /// Answers one request. The token in `Authorization` says who sends it.
    ///
    /// Never panics, whatever is in the request; what is wrong with it stands in the answer.
    pub fn handle(&mut self, now: UnixMicros, request: &Request<Bytes>) -> Answer {
        self.handle_as(now, None, request)
    }

    /// Answers one request of a client that showed a certificate; the certificate goes before any token.
    pub fn handle_as(
        &mut self,
        now: UnixMicros,
        certificate: Option<&User>,
        request: &Request<Bytes>,
    ) -> Answer {
        let target = path::target(request.uri().path());
        let (parsed, unreadable) = match request.uri().query().map(Query::parse) {
            None => (None, None),
            Some(Ok(query)) => (Some(query), None),
            Some(Err(refusal)) => (None, Some(refusal)),
        };
        let query = parsed.as_ref().unwrap_or(&path::NO_QUERY);
        let counted = match &target {
            Target::Leases { namespace, name } => path::verb(request.method(), name.is_some(), query.watch)
                .map(|verb| (verb, metrics::Scope::of(verb, namespace.is_some()))),
            _ => None,
        };
        let outcome = self.respond(now, certificate, request, &target, query, unreadable);
        let code = match &outcome {
            Ok(Reply::Json(code, _)) => *code,
            Ok(Reply::Text(_) | Reply::Watch(_)) => StatusCode::OK,
            Err(failure) => failure.code,
        };
        if let Some((verb, scope)) = counted {
            let refused = outcome.as_ref().is_err_and(|failure| failure.by_access_control());
            self.counts.add(metrics::Counted { verb, scope, code: code.as_u16(), refused });
        }
        self.finish(now, code, outcome)
    }

    fn respond(
        &mut self,
        now: UnixMicros,
        certificate: Option<&User>,
        request: &Request<Bytes>,
        target: &Target<'_>,
        query: &Query,
        unreadable: Option<Refusal>,
    ) -> Result<Reply, Refusal> {
        let user = self.authenticate(certificate, request.headers())?;
        if request.body().len() > MAX_BODY {
            let message = format!("Request entity too large: limit is {MAX_BODY}");
            return Err(Failure::plain(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message));
        }
        match (target, unreadable) {
            // A document has no query.
            (Target::Document(_), _) | (_, None) => {}
            // The access check comes first.
            (Target::Leases { namespace, name }, Some(refusal)) => {
                let verb = path::verb(request.method(), name.is_some(), false).ok_or_else(not_allowed)?;
                self.authorize(&user, verb, LEASES, namespace.as_deref(), name.as_deref())?;
                return Err(refusal);
            }
            (_, Some(refusal)) => return Err(refusal),
        }
        let (method, headers, body) = (request.method(), request.headers(), request.body());
        let call = Call { now, user, method, query, headers, body };
        match target {
            Target::Leases { namespace, name } => {
                self.lease_request(&call, namespace.as_deref(), name.as_deref())
            }
            Target::Namespaces { name, finalize } => {
                self.namespace_request(&call, name.as_deref(), *finalize)
            }
            Target::AccessReviews => self.access_review(&call),
            Target::Document(path) => self.document(&call, path),
        }
    }

    /// Puts the headers on that every response has.
    fn finish(&mut self, now: UnixMicros, code: StatusCode, outcome: Result<Reply, Refusal>) -> Answer {
        if self.date.0 != now.seconds() {
            // A date consists of printable ASCII.
            let date = time::http_date(now);
            let value = HeaderValue::from_bytes(&date).unwrap_or(HeaderValue::from_static(""));
            self.date = (now.seconds(), value);
        }
        let mut content_type = JSON;
        let (watch, body) = match outcome {
            Ok(Reply::Json(_, body)) => (None, body),
            Ok(Reply::Text(body)) => {
                content_type = TEXT;
                (None, body)
            }
            Ok(Reply::Watch(id)) => (Some(id), Bytes::new()),
            Err(failure) => (None, Bytes::from(failure.body())),
        };
        let mut response = Response::new(body);
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.reserve(3);
        headers.insert(header::CACHE_CONTROL, NOT_CACHED);
        headers.insert(header::CONTENT_TYPE, content_type);
        headers.insert(header::DATE, self.date.1.clone());
        if code == StatusCode::FORBIDDEN {
            headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        }
        match watch {
            None => Answer::Response(response),
            Some(id) => Answer::Watch { id, head: response.map(|_| ()) },
        }
    }

    /// The resource version of the last change.
    #[must_use]
    pub const fn resource_version(&self) -> u64 {
        self.revision
    }

    /// The settings, for reading.
    #[must_use]
    pub const fn config(&self) -> &ApiServerConfig {
        &self.config
    }

    /// Lets a token stand for a user from now on, and says what the user may do.
    pub fn set_token(&mut self, token: &str, user: &str, rights: Rights) {
        self.config.tokens.insert(token.to_owned(), User::named(user));
        self.users.insert(token.to_owned(), Arc::new(User::named(user)));
        self.set_rights(user, rights);
    }

    /// Forgets a token: requests with it are answered with 401. Whether there was one.
    pub fn remove_token(&mut self, token: &str) -> bool {
        self.users.remove(token);
        self.config.tokens.remove(token).is_some()
    }

    /// Says what a user or a group may do from now on.
    pub fn set_rights(&mut self, user_or_group: &str, rights: Rights) {
        self.config.rights.insert(user_or_group.to_owned(), rights);
    }

    /// The next number of a splitmix64 sequence: unlike its neighbours, the same for the same seed.
    fn next_random(&mut self) -> u64 {
        crate::splitmix::next(&mut self.random)
    }

    /// A UID in the shape of a random (version 4) UUID.
    fn next_uid(&mut self) -> String {
        let (high, low) = (self.next_random(), self.next_random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48) & 0x3fff,
            low & 0xffff_ffff_ffff
        )
    }

    pub(crate) fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }
}

/// The refusal of a method that a resource does not have.
fn not_allowed() -> Refusal {
    let message = "the server does not allow this method on the requested resource";
    let mut failure = Failure::plain(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message);
    failure.details = Some(status::Details::default());
    failure
}
