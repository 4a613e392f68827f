//! Two states that differ in nothing that matters have the same fingerprint.

use std::time::Duration;

use lease_core::{Identity, MonoTime, View, WallTime};

use super::Settings;
use super::server::{Call, Object, Spec};
use super::world::{Exchange, World};
use crate::splitmix::mix;

/// Beyond every age that is a number of nanoseconds: ages of which only the order counts.
const OLD: u64 = 1 << 63;

/// 128 bits of what a state amounts to. Where holders are interchangeable, the least over all their orders.
pub(super) fn fingerprint(world: &World, settings: &Settings) -> u128 {
    let orders: &[&[usize]] = match (world.holders.len(), settings.interchangeable()) {
        (2, true) => &[&[0, 1], &[1, 0]],
        (3, true) => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        (2, false) => &[&[0, 1]],
        _ => &[&[0, 1, 2]],
    };
    let visible = visible_stamps(world, settings);
    let orders = orders.iter().map(|order| Encoder::new(world, settings, order, &visible).encode());
    orders.min().unwrap_or_default()
}

#[derive(Default)]
struct Visible {
    acquired: Vec<i64>,
    renewed: Vec<i64>,
}

/// Every stamp that a record which is yet to be read, or to be written by a request under way, can carry.
fn visible_stamps(world: &World, settings: &Settings) -> Visible {
    let mut visible = Visible::default();
    let mut add = |spec: &Spec| {
        visible.acquired.extend(spec.acquired);
        visible.renewed.extend(spec.renewed);
    };
    for object in world.server.object.iter().chain(&world.copied) {
        add(&object.spec);
    }
    for holder in &world.holders {
        match &holder.exchange {
            Exchange::Under(_, call) if !world.server.is_dead(call, settings.hostility) => {
                call.spec.iter().for_each(&mut add);
            }
            Exchange::Answered(_, answer) => answer.object.iter().for_each(|object| add(&object.spec)),
            Exchange::Under(..) | Exchange::Nothing => {}
        }
    }
    for call in &world.late {
        call.spec.iter().for_each(&mut add);
    }
    visible
}

struct Encoder<'w> {
    world: &'w World,
    settings: &'w Settings,
    /// The holders in the order in which they are named.
    order: &'w [usize],
    visible: &'w Visible,
    words: Vec<u64>,
    /// The clock of the holder that is described at present.
    now: MonoTime,
    /// The record in the answer that it waits for.
    answer: Option<&'w Object>,
    /// UIDs, nonces and stamps are named in the order in which they turn up. UIDs for each holder anew: one
    /// that only two holders know of tells them nothing of each other.
    uids: Vec<u64>,
    nonces: Vec<u128>,
    stamps: Vec<i64>,
    /// Words that hold the ages of emissions too old to count.
    old: Vec<(usize, MonoTime)>,
}

fn name<T: PartialEq>(names: &mut Vec<T>, value: T) -> u64 {
    let known = names.iter().position(|known| *known == value);
    known.unwrap_or_else(|| {
        names.push(value);
        names.len() - 1
    }) as u64
}

impl<'w> Encoder<'w> {
    fn new(world: &'w World, settings: &'w Settings, order: &'w [usize], visible: &'w Visible) -> Self {
        Self {
            world,
            settings,
            order,
            visible,
            words: Vec::with_capacity(192),
            now: MonoTime::ZERO,
            answer: None,
            uids: Vec::new(),
            nonces: Vec::with_capacity(4),
            stamps: Vec::with_capacity(16),
            old: Vec::new(),
        }
    }

    fn encode(mut self) -> u128 {
        let world = self.world;
        let meddled = world.meddled.into();
        let budgets =
            [world.drift, world.crashes, world.deletes, world.releases, meddled, world.remakes, 0, 0];
        self.words.push(u64::from_le_bytes(budgets));
        for index in self.order {
            self.holder(*index);
        }
        match &world.server.object {
            Some(object) => {
                self.spec(&object.spec);
                self.is_above_all_terms(object.version);
            }
            None => self.words.push(1),
        }
        if let Some(copied) = &world.copied {
            self.words.push(2);
            self.spec(&copied.spec);
        }
        self.late();
        hash(&self.words)
    }

    fn holder(&mut self, index: usize) {
        let world = self.world;
        let holder = &world.holders[index];
        let Some(lease) = &holder.lease else {
            return self.words.push(2);
        };
        self.now = world.now(index, self.settings).mono;
        self.answer = match &holder.exchange {
            Exchange::Answered(_, answer) => answer.object.as_deref(),
            Exchange::Under(..) | Exchange::Nothing => None,
        };
        self.uids.clear();
        self.uids.push(world.server.object.as_ref().map_or(0, |object| object.uid));
        self.words.push(3 + u64::from(holder.campaigns));
        lease.describe(self);
        self.rank_the_old();
        match &holder.exchange {
            Exchange::Nothing => self.words.push(0),
            Exchange::Under(_, call) => {
                self.words.push(1);
                self.call(call);
            }
            Exchange::Answered(_, answer) => {
                self.words.push(2 + u64::from(answer.status));
                if let Some(object) = &answer.object {
                    self.words.push(name(&mut self.uids, object.uid));
                    self.spec(&object.spec);
                    self.is_current(object.version);
                    self.is_above_all_terms(object.version);
                }
            }
        }
    }

    fn is_current(&mut self, version: u64) {
        let current = self.world.server.object.as_ref().is_some_and(|object| object.version == version);
        self.words.push(current.into());
    }

    /// Whether a term with this token would keep to the order. With the token of a later write it will.
    fn is_above_all_terms(&mut self, version: u64) {
        let highest = self.world.highest.map_or(0, lease_core::FencingToken::as_u64);
        self.words.push((version > highest).into());
    }

    fn call(&mut self, call: &Call) {
        let server = &self.world.server;
        self.words.push(match call.method.as_str() {
            "GET" => 0,
            "POST" => 1,
            "PUT" => 2,
            _ => 3,
        });
        // What cannot be applied is answered in the same way, whatever is in it; but an absent object
        // answers a DELETE otherwise than a changed one.
        let dead = server.is_dead(call, self.settings.hostility);
        self.words.push(u64::from(dead) + 2 * u64::from(server.object.is_some()));
        if dead {
            return;
        }
        if let Some(version) = call.version {
            self.is_current(version);
        }
        if let Some(uid) = call.uid {
            let same = server.object.as_ref().is_some_and(|object| object.uid == uid);
            self.words.push(same.into());
        }
        if let Some(spec) = &call.spec {
            self.spec(spec);
        }
    }

    fn spec(&mut self, spec: &Spec) {
        let holder = spec.holder.as_deref().map_or(u64::MAX, |holder| self.slot(holder));
        self.words.push(holder);
        let nonce = spec.nonce.map_or(u64::MAX, |nonce| name(&mut self.nonces, nonce));
        self.words.push(nonce);
        match spec.acquired {
            Some(stamp) => self.acquired(WallTime::from_micros(stamp)),
            None => self.words.push(0),
        }
        match spec.renewed {
            Some(stamp) => self.stamp(WallTime::from_micros(stamp)),
            None => self.words.push(0),
        }
        let marks = u64::from(spec.quarantined) + (u64::from(spec.settled) << 62);
        self.words.push(spec.duration.unsigned_abs() * 2 + marks);
    }

    /// The first in the order of all holders that have this identity.
    fn slot(&self, identity: &str) -> u64 {
        let holders = &self.settings.holders;
        let named = |index: &usize| holders[*index].identity().as_str() == identity;
        self.order.iter().position(named).unwrap_or(usize::MAX) as u64
    }

    /// In any order: nobody is told which of two late writes was sent first.
    fn late(&mut self) {
        let mut hashes = Vec::with_capacity(self.world.late.len());
        let shared = self.words.len();
        for call in &self.world.late {
            self.call(call);
            hashes.push(hash(&self.words[shared..]));
            self.words.truncate(shared);
        }
        hashes.sort_unstable();
        for hash in hashes {
            self.words.extend([hash as u64, (hash >> 64) as u64]);
        }
    }

    /// Of emissions that grant nothing any more only the order counts.
    fn rank_the_old(&mut self) {
        let mut times: Vec<MonoTime> = self.old.iter().map(|(_, at)| *at).collect();
        times.sort_unstable();
        times.dedup();
        for (position, at) in self.old.drain(..) {
            let rank = times.iter().position(|time| *time == at).unwrap_or_default();
            self.words[position] = OLD + rank as u64;
        }
    }

    fn nanos(duration: Duration) -> u64 {
        u64::try_from(duration.as_nanos()).unwrap_or(OLD - 1)
    }
}

impl View for Encoder<'_> {
    fn number(&mut self, number: u64) {
        self.words.push(number);
    }

    fn deadline(&mut self, at: MonoTime) {
        self.words.push(Self::nanos(at.saturating_since(self.now)));
    }

    fn is_due(&self, at: MonoTime) -> bool {
        at <= self.now
    }

    fn emission(&mut self, at: MonoTime, lasts: Duration) {
        let age = self.now.saturating_since(at);
        if age >= lasts {
            self.old.push((self.words.len(), at));
        }
        self.words.push(Self::nanos(age));
    }

    fn stamp(&mut self, stamp: WallTime) {
        if self.settings.frozen_walls {
            // Stamps of different writers coincide: which ones is told by their values.
            return self.words.push(stamp.as_micros() as u64);
        }
        let class = name(&mut self.stamps, stamp.as_micros());
        self.words.push(class);
        if let Some(oldest) = self.settings.oldest_stamp()
            && self.can_show(stamp)
        {
            // Rule (b) asks for the age, up to where every record has expired.
            let age = self.world.true_wall(self.settings).micros_since(stamp);
            self.words.push(age.min(oldest) as u64);
        }
    }

    fn highest_stamp(&mut self, stamp: Option<WallTime>) {
        if self.settings.frozen_walls {
            self.words.push(stamp.map_or(0, WallTime::as_micros) as u64);
        }
    }

    fn version(&mut self, version: &str) {
        // Every record that is yet to be read is the one in the answer, the present one or a newer one.
        let version: u64 = version.parse().unwrap_or_default();
        let against = self.answer.map_or(3, |answer| match version.cmp(&answer.version) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => 1,
            std::cmp::Ordering::Greater => 2,
        });
        self.words.push(against);
        self.is_current(version);
    }

    fn uid(&mut self, uid: &str) {
        let uid = name(&mut self.uids, uid.parse().unwrap_or_default());
        self.words.push(uid);
    }

    fn nonce(&mut self, nonce: u128) {
        let nonce = name(&mut self.nonces, nonce);
        self.words.push(nonce);
    }

    fn identity(&mut self, identity: &Identity) {
        let slot = self.slot(identity.as_str());
        self.words.push(slot);
    }

    fn acquired(&mut self, stamp: WallTime) {
        // Nobody strips annotations here, and what is written under one nonce at one `renewTime` has one
        // `acquireTime`.
        if self.can_release() || self.settings.frozen_walls {
            self.stamp(stamp);
        }
    }

    fn can_show(&self, stamp: WallTime) -> bool {
        self.visible.renewed.contains(&stamp.as_micros())
    }

    fn can_show_acquired(&self, stamp: WallTime) -> bool {
        self.visible.acquired.contains(&stamp.as_micros())
    }

    fn can_release(&self) -> bool {
        self.world.releases > 0
    }
}

/// Two lanes of multiply and rotate, mixed at the end. Own, because counts are pinned in tests and library
/// hashers are free to change.
fn hash(words: &[u64]) -> u128 {
    const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f];
    let mut lanes = [words.len() as u64, !(words.len() as u64)];
    for word in words {
        lanes[0] = mix(lanes[0] ^ word.wrapping_mul(ODD[1]));
        lanes[1] = (lanes[1].rotate_left(29) ^ mix(*word ^ ODD[1])).wrapping_mul(ODD[0]);
    }
    (u128::from(mix(lanes[0])) << 64) | u128::from(mix(lanes[1]))
}
