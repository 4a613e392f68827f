//! One interface for every lease: what code that only wants *a* lease takes.

use super::builder::Adapter;
use super::error::{AcquireError, Stopped};
use super::handle::{self, Attempt};
use super::runtime::BoxFuture;
use super::subscribers::Subscription;
use crate::{FencingToken, Held, LostReason, ReleaseOutcome};

/// A lease, whichever adapter holds it: object-safe, so that an `Arc<dyn Lease>` can stand for the handle of
/// `lease-tokio`, for that of `lease-async-std`, and for `lease-sim`'s in-memory one in a unit test.
///
/// Every method does what the [handle](super::Lease)'s of the same name does.
///
/// ```
/// use std::sync::Arc;
///
/// use lease_core::driver::interface::Lease;
///
/// struct Reports {
///     lease: Arc<dyn Lease>,
/// }
///
/// impl Reports {
///     async fn run(&self) -> Result<(), Box<dyn std::error::Error>> {
///         if self.lease.acquire().await? {
///             // …
///             self.lease.release().await?;
///         }
///         Ok(())
///     }
/// }
/// ```
///
/// # One of your own
///
/// For unit tests `lease-sim` has a lease that behaves like a real one, with terms, losses and a server that
/// fails; take that where you can. Where a test wants to say itself what the lease answers, the trait can be
/// implemented; [`Subscription::new`] makes what [`on_lost`](Self::on_lost) returns. A lease that is held
/// until the test takes it away:
///
/// ```
/// use std::collections::BTreeMap;
/// use std::future::{pending, ready};
/// use std::sync::{Arc, Mutex};
///
/// use lease_core::driver::interface::Lease;
/// use lease_core::driver::{AcquireError, Attempt, BoxFuture, Stopped, Subscription};
/// use lease_core::{FencingToken, Held, LostReason, MonoTime, ReleaseOutcome};
///
/// const TERM: Held = Held { until: MonoTime::from_nanos(u64::MAX), token: FencingToken::from_u64(1) };
///
/// type Handler = Box<dyn FnMut(&LostReason) + Send>;
///
/// #[derive(Default)]
/// struct Fake {
///     held: Mutex<bool>,
///     handlers: Arc<Mutex<BTreeMap<usize, Handler>>>,
/// }
///
/// impl Fake {
///     fn take_away(&self) {
///         if std::mem::take(&mut *self.held.lock().unwrap()) {
///             // Good enough for handlers that do not unregister themselves.
///             self.handlers.lock().unwrap().values_mut().for_each(|handler| handler(&LostReason::Deleted));
///         }
///     }
/// }
///
/// impl Lease for Fake {
///     fn acquire(&self) -> BoxFuture<'_, Result<bool, AcquireError>> {
///         *self.held.lock().unwrap() = true;
///         Box::pin(ready(Ok(true)))
///     }
///
///     fn held(&self) -> Option<Held> {
///         self.held.lock().unwrap().then_some(TERM)
///     }
///
///     fn on_lost(&self, handler: Handler) -> Subscription {
///         let handlers = Arc::clone(&self.handlers);
///         let mut list = handlers.lock().unwrap();
///         let id = list.last_key_value().map_or(0, |(last, _)| last + 1);
///         list.insert(id, handler);
///         drop(list);
///         Subscription::new(move || drop(handlers.lock().unwrap().remove(&id)))
///     }
///
///     fn release(&self) -> BoxFuture<'static, Result<ReleaseOutcome, Stopped>> {
///         *self.held.lock().unwrap() = false;
///         Box::pin(ready(Ok(ReleaseOutcome::Confirmed)))
///     }
///
///     // What the code under test does not call can stay like this.
///     fn acquire_with_token(&self) -> BoxFuture<'_, Result<Attempt, AcquireError>> {
///         Box::pin(ready(Err(AcquireError::Stopped)))
///     }
///     fn campaign(&self) -> BoxFuture<'_, Result<FencingToken, AcquireError>> {
///         Box::pin(ready(Err(AcquireError::Stopped)))
///     }
///     fn lost(&self) -> BoxFuture<'static, LostReason> {
///         Box::pin(pending())
///     }
/// }
///
/// let fake = Arc::new(Fake::default());
/// let lease: Arc<dyn Lease> = fake.clone();
/// let losses = Arc::new(Mutex::new(0));
/// let subscription = lease.on_lost({
///     let losses = Arc::clone(&losses);
///     Box::new(move |_| *losses.lock().unwrap() += 1)
/// });
/// for _ in 0..2 {
///     drop(lease.acquire());
///     assert!(lease.check_alive());
///     fake.take_away();
///     assert!(!lease.check_alive());
/// }
/// assert_eq!(*losses.lock().unwrap(), 2);
/// subscription.unregister();
/// drop(lease.acquire());
/// fake.take_away();
/// assert_eq!(*losses.lock().unwrap(), 2);
/// ```
pub trait Lease: Send + Sync {
    /// See [`Lease::acquire`](super::Lease::acquire).
    fn acquire(&self) -> BoxFuture<'_, Result<bool, AcquireError>>;

    /// See [`Lease::acquire_with_token`](super::Lease::acquire_with_token).
    fn acquire_with_token(&self) -> BoxFuture<'_, Result<Attempt, AcquireError>>;

    /// See [`Lease::campaign`](super::Lease::campaign).
    fn campaign(&self) -> BoxFuture<'_, Result<FencingToken, AcquireError>>;

    /// See [`Lease::check_alive`](super::Lease::check_alive).
    fn check_alive(&self) -> bool {
        self.held().is_some()
    }

    /// See [`Lease::held`](super::Lease::held).
    fn held(&self) -> Option<Held>;

    /// See [`Lease::on_lost`](super::Lease::on_lost).
    fn on_lost(&self, handler: Box<dyn FnMut(&LostReason) + Send>) -> Subscription;

    /// See [`Lease::lost`](super::Lease::lost).
    fn lost(&self) -> BoxFuture<'static, LostReason>;

    /// See [`Lease::release`](super::Lease::release): begins at this call.
    fn release(&self) -> BoxFuture<'static, Result<ReleaseOutcome, Stopped>>;
}

impl<A: Adapter> Lease for handle::Lease<A> {
    fn acquire(&self) -> BoxFuture<'_, Result<bool, AcquireError>> {
        Box::pin(handle::Lease::acquire(self))
    }

    fn acquire_with_token(&self) -> BoxFuture<'_, Result<Attempt, AcquireError>> {
        Box::pin(handle::Lease::acquire_with_token(self))
    }

    fn campaign(&self) -> BoxFuture<'_, Result<FencingToken, AcquireError>> {
        Box::pin(handle::Lease::campaign(self))
    }

    fn held(&self) -> Option<Held> {
        handle::Lease::held(self)
    }

    fn on_lost(&self, handler: Box<dyn FnMut(&LostReason) + Send>) -> Subscription {
        handle::Lease::on_lost(self, handler)
    }

    fn lost(&self) -> BoxFuture<'static, LostReason> {
        Box::pin(handle::Lease::lost(self))
    }

    fn release(&self) -> BoxFuture<'static, Result<ReleaseOutcome, Stopped>> {
        Box::pin(handle::Lease::release(self))
    }
}
