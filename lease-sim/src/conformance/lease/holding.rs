//! Keeping a lease through everything that can be survived.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Response};
use lease_core::driver::{Adapter, Events, Lease};
use lease_core::{Event, Problem};

use super::{Scene, config, patient, stored};
use crate::conformance::bench::{Bench, Seen, ms};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::{Losses, Sampler};
use crate::listener::Fault;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        a_renewal_is_one_put => "no GET on the happy path, one connection",
        storms_of_errors_are_survived => "500, 502, 503, 504 and 429 with Retry-After in mid-term",
        strange_answers_are_survived => "garbage, redirects, too much, too little: each a trouble, none a loss",
        a_server_that_hangs_for_less_than_the_term_costs_nothing => "time-outs, then it goes on",
        a_restart_within_the_term_is_survived => "nobody listens for a while",
        a_late_answer_is_nobodys => "two leases on one transport, every third renewal answered too late",
        the_servers_date_is_looked_at => "an hour ahead: the clock is suspect, the term goes on",
    ]
}

/// The same term, through this many renewals.
async fn assert_goes_on<A: Adapter>(
    scene: &Scene<A>,
    (lease, losses): (&Lease<A>, &Losses),
    events: &mut Events,
    renewals: usize,
) {
    let token = lease.held().expect("still held").token;
    for _ in 0..renewals {
        scene.bench.renewed(events).await;
    }
    assert_eq!(lease.held().map(|held| held.token), Some(token), "the same term");
    assert_eq!(losses.all(), []);
}

async fn a_renewal_is_one_put<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    let seen = Seen::by(&scene.server);
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    assert_goes_on(&scene, (&lease, &losses), &mut events, 6).await;
    let seen = seen.all();
    assert!(seen.iter().all(|request| request.method() == Method::PUT), "{seen:?}");
    // The last may be under way, and one may be told of that was sent before this counted.
    assert!((5..=7).contains(&seen.len()), "{} requests for 6 renewals", seen.len());
    assert!(scene.server.connections_made() <= 2, "{}", scene.server.connections_made());
    let sampled = sampler.stop();
    assert_eq!((sampled.nobody, sampled.terms), (0, 1), "held all along: {sampled:?}");
}

async fn storms_of_errors_are_survived<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    let answer = |code: u16| {
        let answer = Response::builder().status(code).header("retry-after", "1");
        Some(Fault::Answer(answer.body(Bytes::from_static(b"try later")).unwrap()))
    };
    let mut storm =
        vec![answer(503), answer(500), None, answer(504), answer(429), answer(502), None, answer(429)];
    storm.reverse();
    scene.server.set_fault_hook(move |_| storm.pop().flatten());
    let mut told = Vec::new();
    while told.len() < 6 {
        let problem = bench.next_event(&mut events, "trouble", |event| match event {
            Event::Trouble { problem: Problem::Timeout, .. } => None,
            Event::Trouble { problem, .. } => Some(problem.clone()),
            _ => None,
        });
        told.push(problem.await);
    }
    let overloaded = |problem: &&Problem| matches!(problem, Problem::TooManyRequests { retry_after: Some(after) } if *after == ms(1000));
    assert_eq!(told.iter().filter(overloaded).count(), 2, "{told:?}");
    let codes = told.iter().filter_map(|problem| match problem {
        Problem::Status { code, .. } => Some(*code),
        _ => None,
    });
    assert_eq!(codes.collect::<Vec<_>>(), [503, 500, 504, 502]);
    assert_goes_on(&scene, (&lease, &losses), &mut events, 2).await;
}

async fn strange_answers_are_survived<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.spawn(patient("a").max_body(64 * 1024));
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    let redirect =
        Response::builder().status(307).header("location", "/elsewhere").body(Bytes::new()).unwrap();
    let strange = [
        Fault::status(200, "garbage"),
        Fault::status(200, ""),
        Fault::status(200, "{}"),
        Fault::status(404, "<html>no such page</html>"),
        Fault::status(200, vec![b' '; 70_000]),
        Fault::Answer(redirect),
        Fault::CutBody(20),
        Fault::CloseBefore,
        Fault::CloseAfter,
        Fault::AnswerAfter(Response::new(Bytes::from_static(b"{\"kind\":\"Lease\"}"))),
    ];
    for fault in strange {
        let (mut armed, shown) = (Some(fault.clone()), format!("{fault:?}"));
        scene.server.set_fault_hook(
            move |request| {
                if request.method() == Method::PUT { armed.take() } else { None }
            },
        );
        let problem = bench.next_event(&mut events, &shown, |event| match event {
            // A machine that has other things to do.
            Event::Trouble { problem: Problem::Timeout, .. } => None,
            Event::Trouble { problem, .. } => Some(problem.clone()),
            Event::Lost { .. } => panic!("lost by {shown}: {event:?}"),
            _ => None,
        });
        let problem = problem.await;
        let fits = match &fault {
            Fault::CutBody(_) | Fault::CloseBefore | Fault::CloseAfter => {
                matches!(problem, Problem::Transport)
            }
            Fault::Answer(answer) if answer.status() == 307 => {
                matches!(problem, Problem::Redirect { code: 307 })
            }
            Fault::Answer(answer) if answer.status() == 404 => true,
            Fault::Answer(answer) if answer.body().len() > 64 * 1024 => matches!(problem, Problem::TooLarge),
            _ => matches!(problem, Problem::Malformed(_) | Problem::NotConfirmed),
        };
        assert!(fits, "{fault:?} was told as {problem:?}");
        bench.renewed(&mut events).await;
    }
    assert_goes_on(&scene, (&lease, &losses), &mut events, 1).await;
}

async fn a_server_that_hangs_for_less_than_the_term_costs_nothing<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.spawn(patient("a").request_timeout(ms(400)));
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    scene.hang();
    for _ in 0..3 {
        bench
            .next_event(&mut events, "a time-out", |event| {
                matches!(event, Event::Trouble { problem: Problem::Timeout, .. }).then_some(())
            })
            .await;
    }
    scene.server.resume();
    assert_goes_on(&scene, (&lease, &losses), &mut events, 2).await;
    assert_eq!(sampler.stop().nobody, 0, "held all along");
}

async fn a_restart_within_the_term_is_survived<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    let sampler = Sampler::start(std::slice::from_ref(&lease));
    for _ in 0..2 {
        scene.server.stop();
        for _ in 0..2 {
            bench
                .next_event(&mut events, "nobody listens", |event| {
                    matches!(event, Event::Trouble { problem: Problem::Transport, .. }).then_some(())
                })
                .await;
        }
        assert!(lease.last_transport_error().is_some(), "said in words");
        scene.server.restart().unwrap();
        assert_goes_on(&scene, (&lease, &losses), &mut events, 2).await;
    }
    assert_eq!(sampler.stop().nobody, 0, "held all along");
}

async fn a_late_answer_is_nobodys<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let transport = bench.transport(scene.source());
    let holders = ["one", "two"].map(|name| {
        let config = config("a", ms(20_000)).name(name);
        let config = config.renew_interval(ms(200)).request_timeout(ms(400)).retry_delay(ms(50));
        let lease = Lease::<A>::builder(config.build().unwrap()).transport(Arc::clone(&transport));
        lease.spawn().unwrap()
    });
    for lease in &holders {
        bench.soon("both hold", lease.campaign()).await.unwrap();
    }
    let losses = holders.each_ref().map(Losses::of);
    let tokens = holders.each_ref().map(|lease| lease.held().map(|held| held.token));
    let mut events = holders.each_ref().map(Lease::events);
    let mut count = 0;
    let late = Arc::new(Mutex::new(0));
    let noted = Arc::clone(&late);
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    scene.server.set_fault_hook(move |request| {
        count += 1;
        if stopped.load(Ordering::SeqCst) || request.method() != Method::PUT || count % 3 != 0 {
            return None;
        }
        *noted.lock().unwrap() += 1;
        // Applied, and answered when the next request may be under way already.
        Some(Fault::DelayAfter(ms(500)))
    });
    bench.until("eight late answers", || *late.lock().unwrap() >= 8).await;
    stop.store(true, Ordering::SeqCst);
    for (lease, events) in holders.iter().zip(&mut events) {
        for event in bench.told(events).await {
            assert!(
                !matches!(event, Event::Trouble { problem: Problem::Malformed(_) | Problem::NotThisApi, .. }),
                "{}: another's answer: {event:?}",
                lease.config().name()
            );
        }
        bench.renewed(events).await;
        let record = stored(&scene.server, lease.config().name()).unwrap();
        assert_eq!(record["spec"]["holderIdentity"], "a");
    }
    assert_eq!(holders.each_ref().map(|lease| lease.held().map(|held| held.token)), tokens, "the same terms");
    assert!(losses.iter().all(|losses| losses.all().is_empty()));
}

async fn the_servers_date_is_looked_at<A: Adapter>(bench: Bench<A>) {
    let scene = Scene::new(bench.clone());
    let lease = scene.patient("a");
    let losses = Losses::of(&lease);
    let mut events = lease.events();
    scene.acquired(&lease).await;
    scene.server.set_clock_offset(3_600_000_000);
    let offset = bench
        .next_event(&mut events, "the clock is suspect", |event| match event {
            Event::ClockSuspect { offset_micros } => Some(*offset_micros),
            _ => None,
        })
        .await;
    assert!((offset - 3_600_000_000).abs() < 60_000_000, "{offset} µs");
    assert_goes_on(&scene, (&lease, &losses), &mut events, 2).await;
}
