//! Traces made by hand: what a run may look like, for whoever works on pages and texts.

use lease_sim::trace::{Entry, Lane, Trace, What};

const MILLISECOND: u64 = 1_000_000;
/// How long a holder believes after a confirmed write, and how long the others wait.
const VALIDITY: u64 = 13_500;
const TTL: u64 = 15_000;

/// Three holders, two and a half minutes: a crash, takeovers, a lost reply, a pause, a late write, an
/// administrator's delete that makes two believe at once.
pub(crate) fn sample() -> Trace {
    let mut script = Script::new(&["worker-a", "worker-b", "worker-c"]);
    script.starts();
    script.first_term();
    script.crash_and_takeover();
    script.pause_and_late_write();
    script.delete_and_overlap();
    script.release();
    let mut trace = script.finish(150_000);
    trace.title = "sample 1: a crash, a pause, a late write, an administrator".to_owned();
    trace.command = Some("cargo run -p lease-sim --example sample_page".to_owned());
    trace.healed_at = Some(120_000 * MILLISECOND);
    trace
}

/// Many entries: `holders` that take turns of half a minute for as long as `terms` last.
pub(crate) fn large(holders: usize, terms: usize) -> Trace {
    let names: Vec<String> = (0..holders).map(|holder| format!("holder-{holder}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut script = Script::new(&names);
    script.starts();
    for term in 0..terms {
        let (holder, at) = (term % holders, 1_000 + 31_000 * term as u64);
        script.acquire(holder, at, "PUT");
        script.renewals(holder, at + 5_000, 4);
        for other in (0..holders).filter(|other| *other != holder) {
            script.polls(other, at + 700 * (1 + other as u64), 6);
        }
        if term % 3 == 1 {
            script.fault(
                at + 9_000,
                Some(holder),
                "slow_reply",
                "replies take 3 s longer",
                Some(at + 12_000),
            );
        }
        if term % 4 == 2 {
            script.fault(at + 16_000, None, "storm_429", "every request is answered with 429", None);
        }
        script.let_go(holder, at + 29_000);
    }
    let mut trace = script.finish(1_000 + 31_000 * terms as u64);
    trace.title = format!("sample 2: {holders} holders, {terms} terms");
    trace
}

/// A trace in which every text is hostile.
pub(crate) fn hostile() -> Trace {
    let words = || HOSTILE.to_owned();
    let whats = vec![
        What::Command { holder: 0, command: words() },
        What::Sent { holder: 0, request: 1, verb: words(), about: words(), fate: Some(words()) },
        What::Answered { holder: 0, request: 1, outcome: words() },
        What::Told { holder: 0, event: words() },
        What::Belief { holder: 0, until: Some(u64::MAX), token: Some(u64::MAX), state: Some(words()) },
        What::Truth { holder: Some(words()), version: Some(u64::MAX), expires: Some(u64::MAX), by: Some(9) },
        What::Fault { holder: Some(7), kind: words(), about: words(), until: Some(u64::MAX) },
        What::Crashed { holder: 3 },
        What::Violation { invariant: words(), about: words() },
    ];
    let entries = whats.into_iter().map(|what| Entry { at: 5, what }).collect();
    Trace {
        title: words(),
        command: Some(words()),
        lanes: vec![Lane { identity: words(), about: words() }],
        entries,
        ..Trace::default()
    }
}

/// Everything that breaks out of somewhere: elements, attributes, comments, the template's own names, lines,
/// terminals, the reading direction.
pub(crate) const HOSTILE: &str = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)><!--<!--@trace-->&amp;{{x}}\u{1b}[2J\r\n\u{202e}";

/// Instants are milliseconds here.
struct Script {
    entries: Vec<Entry>,
    lanes: Vec<Lane>,
    requests: u32,
    version: u64,
    tokens: Vec<u64>,
}

impl Script {
    fn new(names: &[&str]) -> Self {
        let about = "lease-core, ttl 15 s, Delete";
        let lane = |name: &&str| Lane { identity: (*name).to_owned(), about: about.to_owned() };
        let lanes: Vec<Lane> = names.iter().map(lane).collect();
        Self { entries: Vec::new(), requests: 0, version: 100, tokens: vec![0; lanes.len()], lanes }
    }

    fn finish(mut self, length: u64) -> Trace {
        self.entries.retain(|entry| entry.at <= length * MILLISECOND);
        self.entries.sort_by_key(|entry| entry.at);
        let (entries, lanes, length) = (self.entries, self.lanes, length * MILLISECOND);
        Trace { length, lanes, entries, ..Trace::default() }
    }

    fn starts(&mut self) {
        for holder in 0..self.lanes.len() {
            let at = 100 + 240 * holder as u64;
            self.push(at, What::Started { holder, incarnation: 1 });
            self.push(at + 60, What::Command { holder, command: "campaign".to_owned() });
        }
    }

    fn first_term(&mut self) {
        self.exchange(0, 180, "GET", 404, false);
        self.acquire(0, 320, "POST");
        self.renewals(0, 5_320, 3);
        self.polls(1, 900, 9);
        self.polls(2, 1_300, 14);
        self.guarded(0, 2_000, true, 13);
        // The fourth renewal is applied, but its reply is lost: a read settles it.
        self.fault(20_320, Some(0), "reply_lost", "the reply to a renewal is dropped", None);
        let request = self.send(0, 20_320, "PUT", Some("reply lost"));
        self.arrive(request, 20_370, 200, true);
        self.write(Some(0), 20_370, Some(0));
        self.answer(0, request, 23_320, "unknown");
        self.told(0, 23_320, "Trouble: the API server did not answer in time");
        self.exchange(0, 23_420, "GET", 200, false);
        self.believe(0, 23_520, 20_320 + VALIDITY);
        self.renewals(0, 25_320, 2);
    }

    fn crash_and_takeover(&mut self) {
        self.fault(33_800, Some(0), "crash", "the process is killed", Some(44_000));
        self.push(33_800, What::Crashed { holder: 0 });
        self.push(44_000, What::Started { holder: 0, incarnation: 2 });
        self.push(44_050, What::Command { holder: 0, command: "campaign".to_owned() });
        self.polls(0, 44_100, 11);
        self.acquire(1, 45_900, "PUT");
        self.renewals(1, 50_900, 2);
        self.guarded(1, 46_500, true, 6);
        // Two read that it has expired; one write wins.
        let request = self.send(2, 45_960, "PUT", None);
        self.arrive(request, 46_030, 409, false);
        self.answer(2, request, 46_090, "409");
        self.polls(2, 51_400, 5);
    }

    fn pause_and_late_write(&mut self) {
        self.fault(61_000, Some(1), "pause", "the process stands still", Some(84_000));
        let late = self.send(1, 60_900, "PUT", Some("arrives 21.0 s later"));
        self.push(61_000, What::Paused { holder: 1, until: 84_000 * MILLISECOND });
        self.fault(60_900, None, "delay", "a renewal is held up in the network", Some(81_900));
        self.push(69_400, What::Belief { holder: 1, until: None, token: None, state: None });
        self.acquire(2, 76_200, "PUT");
        self.arrive(late, 81_900, 409, false);
        self.answer(1, late, 84_000, "unknown");
        self.told(1, 84_000, "Lost: no renewal was confirmed in time");
        self.guarded_with(1, 84_010, self.tokens[1], false);
        self.polls(1, 84_200, 4);
        self.renewals(2, 81_200, 4);
        self.guarded(2, 77_000, true, 10);
    }

    fn delete_and_overlap(&mut self) {
        self.fault(100_200, None, "admin_delete", "kubectl delete lease", None);
        self.write(None, 100_200, None);
        self.acquire(0, 100_900, "POST");
        self.push(
            101_051,
            What::Violation {
                invariant: "S1".to_owned(),
                about: "worker-a and worker-c believe to hold the lease, after an administrator deleted the record"
                    .to_owned(),
            },
        );
        let request = self.send(2, 101_200, "PUT", None);
        self.arrive(request, 101_260, 409, false);
        self.answer(2, request, 101_330, "409");
        self.exchange(2, 101_340, "GET", 200, false);
        self.told(2, 101_450, "Lost: deleted");
        self.disbelieve(2, 101_450);
        self.guarded_with(2, 101_400, self.tokens[2], true);
        self.guarded_with(2, 101_440, self.tokens[2], false);
        self.renewals(0, 105_900, 4);
        self.guarded(0, 102_000, true, 14);
        self.polls(1, 104_300, 2);
        self.fault(112_000, Some(1), "partition", "nothing reaches the API server", Some(119_500));
        for at in [113_000, 116_500] {
            let request = self.send(1, at, "GET", Some("lost"));
            self.answer(1, request, at + 3_000, "unknown");
        }
        self.told(1, 116_000, "Trouble: the API server did not answer in time");
        self.polls(1, 120_000, 2);
        self.polls(2, 106_400, 5);
    }

    fn release(&mut self) {
        self.push(130_000, What::Command { holder: 0, command: "release".to_owned() });
        self.let_go(0, 130_000);
        self.exchange(2, 131_000, "GET", 404, false);
        self.acquire(2, 131_120, "POST");
        self.renewals(2, 136_120, 3);
        self.guarded(2, 132_000, true, 8);
        self.polls(1, 132_300, 4);
    }

    fn push(&mut self, at: u64, what: What) {
        self.entries.push(Entry { at: at * MILLISECOND, what });
    }

    fn fault(&mut self, at: u64, holder: Option<usize>, kind: &str, about: &str, until: Option<u64>) {
        let until = until.map(|until| until * MILLISECOND);
        self.push(at, What::Fault { holder, kind: kind.to_owned(), about: about.to_owned(), until });
    }

    fn told(&mut self, holder: usize, at: u64, event: &str) {
        self.push(at, What::Told { holder, event: event.to_owned() });
    }

    fn send(&mut self, holder: usize, at: u64, verb: &str, fate: Option<&str>) -> u32 {
        self.requests += 1;
        let request = self.requests;
        let about = match verb {
            "GET" => String::new(),
            "POST" => format!("holder {}", self.lanes[holder].identity),
            _ => format!("rv {}, holder {}", self.version, self.lanes[holder].identity),
        };
        let fate = fate.map(str::to_owned);
        self.push(at, What::Sent { holder, request, verb: verb.to_owned(), about, fate });
        request
    }

    fn arrive(&mut self, request: u32, at: u64, code: u16, applied: bool) {
        self.version += u64::from(applied);
        let version = Some(self.version).filter(|_| code != 404);
        self.push(at, What::Arrived { request, code, applied, version });
    }

    fn answer(&mut self, holder: usize, request: u32, at: u64, outcome: &str) {
        self.push(at, What::Answered { holder, request, outcome: outcome.to_owned() });
    }

    /// A request and its answer; how long they take differs a little from one to the next.
    fn exchange(&mut self, holder: usize, at: u64, verb: &str, code: u16, applied: bool) -> u64 {
        let request = self.send(holder, at, verb, None);
        let wobble = u64::from(request) * 37 % 90;
        self.arrive(request, at + 30 + wobble, code, applied);
        self.answer(holder, request, at + 70 + wobble, &code.to_string());
        at + 30 + wobble
    }

    /// The record's new state; its version is that of the write before.
    fn write(&mut self, named: Option<usize>, at: u64, by: Option<usize>) {
        self.version += u64::from(by.is_none());
        let holder = named.map(|holder| self.lanes[holder].identity.clone());
        let version = named.map(|_| self.version);
        let expires = named.map(|_| (at + TTL) * MILLISECOND);
        self.push(at, What::Truth { holder, version, expires, by });
    }

    fn believe(&mut self, holder: usize, at: u64, until: u64) {
        let state = format!("{{\"status\":\"Holding\",\"conflicts\":0,\"unknown_outcomes\":{}}}", holder % 2);
        let (until, token) = (Some(until * MILLISECOND), Some(self.tokens[holder]));
        self.push(at, What::Belief { holder, until, token, state: Some(state) });
    }

    fn disbelieve(&mut self, holder: usize, at: u64) {
        self.push(at, What::Belief { holder, until: None, token: None, state: None });
    }

    fn acquire(&mut self, holder: usize, at: u64, verb: &str) {
        let arrived = self.exchange(holder, at, verb, if verb == "POST" { 201 } else { 200 }, true);
        self.write(Some(holder), arrived, Some(holder));
        self.tokens[holder] = self.version;
        self.told(holder, arrived + 40, &format!("Acquired: token {}", self.version));
        self.believe(holder, arrived + 40, at + VALIDITY);
    }

    fn renewals(&mut self, holder: usize, from: u64, count: u64) {
        for at in (0..count).map(|index| from + 5_000 * index) {
            let arrived = self.exchange(holder, at, "PUT", 200, true);
            self.write(Some(holder), arrived, Some(holder));
            self.told(holder, arrived + 40, "Renewed");
            self.believe(holder, arrived + 40, at + VALIDITY);
        }
    }

    fn polls(&mut self, holder: usize, from: u64, count: u64) {
        for at in (0..count).map(|index| from + 4_600 * index) {
            self.exchange(holder, at, "GET", 200, false);
        }
    }

    fn guarded(&mut self, holder: usize, from: u64, accepted: bool, count: u64) {
        for at in (0..count).map(|index| from + 2_200 * index) {
            self.guarded_with(holder, at, self.tokens[holder], accepted);
        }
    }

    fn guarded_with(&mut self, holder: usize, at: u64, token: u64, accepted: bool) {
        self.push(at, What::Guarded { holder, token, accepted });
    }

    fn let_go(&mut self, holder: usize, at: u64) {
        self.told(holder, at, "Released");
        self.disbelieve(holder, at);
        let arrived = self.exchange(holder, at + 1, "DELETE", 200, true);
        self.write(None, arrived, Some(holder));
    }
}
