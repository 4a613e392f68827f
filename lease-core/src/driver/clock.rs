//! The one module that reads clocks.
#![allow(clippy::disallowed_methods)]

use std::sync::Arc;
use std::time::SystemTime;

use crate::{MonoTime, Now, WallTime};

/// Where a [`Lease`](super::Lease) gets its time from. [`SystemClock`] unless a test says otherwise.
///
/// `now` is called by the driver for every input and by every
/// [`check_alive`](super::Lease::check_alive), from any thread: it must be quick and must not block.
pub trait Clock: Send + Sync + 'static {
    /// Both clocks, sampled together. The monotonic one must never go backwards and must count the time
    /// that the machine spends suspended.
    fn now(&self) -> Now;
}

impl<T: Clock + ?Sized> Clock for Arc<T> {
    fn now(&self) -> Now {
        (**self).now()
    }
}

/// The operating system's clocks.
///
/// The monotonic one is `CLOCK_BOOTTIME` on Linux and Android: unlike `std::time::Instant` it goes on while
/// the machine is suspended, so a holder that wakes up knows that its term is over. **Elsewhere it is
/// `std::time::Instant`**, which counts suspend on Windows in practice and does not on Apple's systems: a
/// laptop that sleeps there can believe in a term for as long as it slept. No clock helps a virtual machine
/// that was paused or restored together with its clock; fencing tokens do.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Now {
        Now { mono: monotonic(), wall: wall() }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn monotonic() -> MonoTime {
    let reading = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(reading.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(reading.tv_nsec).unwrap_or(0);
    MonoTime::from_nanos(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn monotonic() -> MonoTime {
    use std::sync::OnceLock;
    use std::time::Instant;

    // All readings of one process share this origin. It lies before every reading, since it is set first.
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    MonoTime::ZERO.saturating_add(Instant::now().saturating_duration_since(origin))
}

fn wall() -> WallTime {
    let micros = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    };
    WallTime::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_forward_and_knows_the_year() {
        let first = SystemClock.now();
        let second = SystemClock.now();
        assert!(second.mono >= first.mono);
        let year_2024 = WallTime::from_micros(1_704_067_200_000_000);
        assert!(first.wall > year_2024, "{:?}", first.wall);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_monotonic_clock_is_boot_time() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let ours = SystemClock.now().mono.as_nanos() as f64 / 1e9;
        assert!((ours - seconds).abs() < 5.0, "{ours} against {seconds}");
    }
}
