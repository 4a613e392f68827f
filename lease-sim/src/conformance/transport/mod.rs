//! What an adapter's HTTP client has to do, and what it must never do.

mod answers;
mod broken;
mod connections;
mod credentials;
mod giving_up;
mod proxies;
mod sending;
mod trust;
mod watching;

use lease_core::driver::Adapter;

use super::engine::Case;

pub(super) use proxies::run_as_child;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    let mut cases = sending::cases();
    cases.extend(trust::cases());
    cases.extend(answers::cases());
    cases.extend(broken::cases());
    cases.extend(giving_up::cases());
    cases.extend(connections::cases());
    cases.extend(credentials::cases());
    cases.extend(watching::cases());
    cases.extend(proxies::cases());
    cases
}
