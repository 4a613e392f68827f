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
