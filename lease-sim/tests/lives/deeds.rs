//! What is done with handles.

use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lease_core::FencingToken;
use lease_core::driver::{BoxFuture, Interrupted, Runtime as _, timeout};
use lease_sim::memory::{Lease, VirtualTime};

use super::dice::Dice;
use super::holder::{Holder, Notes, Waiter};

/// How long the machine is suspended right after a release at most: two terms.
const LONG: u64 = 30_000;

/// Who does it, and where.
pub(crate) struct Doer {
    pub(crate) time: VirtualTime,
    pub(crate) dice: Dice,
}

impl Doer {
    /// Does something with the holder's latest handle, or nothing.
    pub(crate) fn act(&self, holder: &mut Holder) {
        let Some(lease) = holder.handles.last().cloned() else { return };
        match self.dice.below(16) {
            0..=2 => self.attempt(holder, lease),
            3 | 4 => self.release(holder, &lease),
            5 => self.wait_for_the_loss(holder, &lease),
            6 | 7 => self.work(holder, lease),
            8 => holder.handles.push(lease),
            9 if holder.handles.len() > 1 => drop(holder.handles.pop()),
            10 if self.dice.percent(15) => self.shut_down(holder, lease),
            11 if self.dice.percent(10) => holder.handles.clear(),
            12 if self.dice.percent(10) => holder.unregister(),
            13 => self.release_meanwhile(holder, lease),
            14 if self.dice.percent(10) => self.panic(holder, lease),
            _ => {}
        }
    }

    /// Wants the lease, sometimes not for long. What was begun goes on without the future.
    fn attempt(&self, holder: &Holder, lease: Lease) {
        let campaigns = self.dice.percent(40);
        let patience = if self.dice.percent(30) { self.dice.millis(5000) } else { Duration::MAX };
        let (time, open) = (self.time.clone(), Arc::clone(&holder.open.attempts));
        self.time.spawn(Box::pin(async move {
            let _open = open;
            let attempt = async {
                if campaigns {
                    drop(lease.campaign().await);
                } else {
                    drop(lease.acquire().await);
                }
            };
            timeout(&time, patience, attempt).await;
        }));
    }

    fn release(&self, holder: &Holder, lease: &Lease) {
        let follow_up = self.follow_up(holder);
        note_what_is_held(lease, &holder.given_back);
        let release = lease.release();
        assert!(!lease.check_alive(), "{} is alive after a release", holder.name);
        follow_up(Box::pin(async move { drop(release.await) }));
    }

    fn shut_down(&self, holder: &mut Holder, lease: Lease) {
        holder.handles.pop();
        holder.stops = true;
        let follow_up = self.follow_up(holder);
        note_what_is_held(&lease, &holder.given_back);
        let watched = lease.clone();
        let shutdown = lease.shutdown();
        assert!(!watched.check_alive(), "{} is alive after a shutdown", holder.name);
        let also = self.dice.percent(50).then(|| watched.release());
        follow_up(Box::pin(async move {
            let answer = shutdown.await;
            if let Some(also) = also {
                assert_eq!(also.await, answer, "a release joins the shutdown before it");
            }
        }));
    }

    /// A release while the driver is busy, with something that it is asked for at the same time or with what comes
    /// next.
    fn release_meanwhile(&self, holder: &Holder, lease: Lease) {
        let follow_up = self.follow_up(holder);
        let given_back = Arc::clone(&holder.given_back);
        let asks = self.dice.percent(50).then(|| lease.clone());
        holder.others.plan(self.dice.below(6), move || {
            note_what_is_held(&lease, &given_back);
            let release = lease.release();
            follow_up(Box::pin(async move { drop(release.await) }));
        });
        if let Some(lease) = asks {
            self.attempt(holder, lease);
        }
    }

    /// The driver panics soon, once: what is promised then is what is promised when the last handle goes. This one
    /// is kept until then, so that the driver is still there.
    fn panic(&self, holder: &mut Holder, lease: Lease) {
        if !std::mem::replace(&mut holder.stops, true) {
            holder.others.plan(self.dice.below(20), move || {
                drop(lease);
                std::panic::resume_unwind(Box::new(()));
            });
        }
    }

    /// What happens right after a release, whose term ended at the call. The machine may be suspended before anybody
    /// else gets to run: the holder then hears of the release after the deadline. Whether somebody waits for the
    /// answer must make no difference.
    fn follow_up(&self, holder: &Holder) -> impl FnOnce(BoxFuture<'static, ()>) + Send + 'static {
        let (time, open) = (self.time.clone(), Arc::clone(&holder.open.releases));
        let suspended = if self.dice.percent(40) { self.dice.millis(LONG) } else { Duration::ZERO };
        let waits = self.dice.percent(70);
        move |answer| {
            time.suspend(suspended);
            if waits {
                time.spawn(Box::pin(async move {
                    let _open = open;
                    answer.await;
                }));
            }
        }
    }

    fn wait_for_the_loss(&self, holder: &mut Holder, lease: &Lease) {
        let Some(held) = lease.held() else { return };
        let lost = lease.lost();
        let reason = Arc::new(Mutex::new(None));
        holder.waiters.push(Waiter { token: held.token, reason: Arc::clone(&reason) });
        self.time.spawn(Box::pin(async move {
            let lost = lost.await;
            *reason.lock().unwrap() = Some(lost);
        }));
    }

    /// Works in the term that is held when the work gets to begin, or in the one that is held now and no other.
    fn work(&self, holder: &Holder, lease: Lease) {
        let pause = Duration::from_millis(1) + self.dice.millis(3000);
        let delay = if self.dice.percent(50) { self.dice.millis(40_000) } else { Duration::ZERO };
        let token = lease.held().map(|held| held.token).filter(|_| self.dice.percent(50));
        let (time, open, works) =
            (self.time.clone(), Arc::clone(&holder.open.works), Arc::clone(&holder.works));
        self.time.spawn(Box::pin(async move {
            let _open = open;
            time.sleep(delay).await;
            let current = lease.held().map(|held| held.token);
            let fits = current.filter(|current| token.is_none_or(|token| token == *current));
            let rounds = work_in(&lease, fits, &time, pause);
            let ended = match token {
                Some(token) => lease.while_held_with_token(token, rounds).await,
                None => lease.while_held(rounds).await,
            };
            match fits {
                Some(term) => works.lock().unwrap().push((term, ended)),
                None => assert_eq!(ended, Err(Interrupted::NotHeld)),
            }
        }));
    }
}

fn note_what_is_held(lease: &Lease, given_back: &Notes<FencingToken>) {
    given_back.lock().unwrap().extend(lease.held().map(|held| held.token));
}

/// Ten pauses. Looks at each poll whether it may be polled: in this term, or never.
async fn work_in(lease: &Lease, term: Option<FencingToken>, time: &VirtualTime, pause: Duration) {
    for _ in 0..10 {
        let mut sleep = time.sleep(pause);
        poll_fn(|context| {
            let current = lease.held().map(|held| held.token);
            assert!(
                current.is_some() && current == term,
                "work of {term:?} was polled while {current:?} was held"
            );
            sleep.as_mut().poll(context)
        })
        .await;
    }
}
