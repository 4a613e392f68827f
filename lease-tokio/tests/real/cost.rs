//! What holding costs, by the server's own count.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::adapter::{Clock, SystemClock};
use http::Method;
use tokio::time::sleep;

use crate::admin::Admin;
use crate::cluster::{Fixture, skipped};
use crate::support::{eventually, ms, renewed};

const RENEWALS: u64 = 10;

type Counts = BTreeMap<String, u64>;

/// Requests for leases by verb and status; none where the server does not show its metrics.
async fn counts(admin: &Admin) -> Option<Counts> {
    let answer = admin.get("/metrics").await;
    if answer.status != 200 {
        return None;
    }
    let label = |line: &str, name: &str| {
        let (_, rest) = line.split_once(&format!("{name}=\""))?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    let mut counts = Counts::new();
    let ours =
        |line: &&str| line.starts_with("apiserver_request_total{") && line.contains("resource=\"leases\"");
    for line in answer.text.lines().filter(ours) {
        let key = format!("{} {}", label(line, "verb")?, label(line, "code")?);
        let value: f64 = line.rsplit(' ').next()?.parse().ok()?;
        *counts.entry(key).or_default() += value as u64;
    }
    Some(counts)
}

/// The counts once they stand still: the server counts a request after it has answered it.
async fn settled(admin: &Admin) -> Option<Counts> {
    let mut last = counts(admin).await?;
    let still = eventually("the counts stand still", ms(5000), async || {
        sleep(ms(60)).await;
        let now = counts(admin).await?;
        let still = (now == last).then(|| now.clone());
        last = now;
        still
    });
    Some(still.await)
}

fn since(before: &Counts, after: &Counts) -> Counts {
    let grown = after.iter().map(|(key, count)| (key.clone(), count - before.get(key).unwrap_or(&0)));
    grown.filter(|(_, count)| *count > 0).collect()
}

pub async fn holding_costs_exactly_one_put_per_renew_interval() {
    let fixture = Fixture::alone("cost").await;
    let admin = &fixture.cluster.admin;
    let interval = ms(600);
    let config = fixture.config("a", Duration::from_secs(4)).renew_interval(interval);
    let (lease, log) = fixture.logged(config);
    // Is anybody else busy with leases here?
    let Some(quiet) = settled(admin).await else {
        return skipped("this server does not show /metrics to the administrator");
    };
    sleep(ms(1500)).await;
    let noise = since(&quiet, &settled(admin).await.unwrap());

    let mut events = lease.events();
    assert!(lease.acquire().await.unwrap());
    renewed(&mut events, ms(2000)).await;
    let before = settled(admin).await.unwrap();
    log.clear();
    renewed(&mut events, ms(2000)).await;
    let began = SystemClock.now().mono;
    for _ in 1..RENEWALS {
        renewed(&mut events, ms(2000)).await;
    }
    let took = SystemClock.now().mono.saturating_since(began);
    let cost = since(&before, &settled(admin).await.unwrap());

    let intervals = took.as_secs_f64() / interval.as_secs_f64();
    println!(
        "{RENEWALS} renewals, {intervals:.2} renew intervals of {interval:?} from the first to the last of them"
    );
    println!("apiserver_request_total{{resource=\"leases\"}} grew by {cost:?}; sent: {}", log.line());
    assert_eq!(log.all().len() as u64, RENEWALS, "what was sent: {}", log.line());
    assert_eq!(log.count(&Method::PUT) as u64, RENEWALS);
    assert!(
        (intervals - (RENEWALS - 1) as f64).abs() < 0.5,
        "{intervals} intervals for {} renewals",
        RENEWALS - 1
    );
    if noise.is_empty() {
        assert_eq!(cost, Counts::from([("PUT 200".to_owned(), RENEWALS)]), "nothing else: no GET above all");
    } else {
        skipped(&format!(
            "only what was sent was checked: others use leases on this server, {noise:?} in 1.5 s"
        ));
    }
    lease.shutdown().await.unwrap();
    fixture.clean_up().await;
}

crate::on_every_runtime! {
    holding_costs_exactly_one_put_per_renew_interval
}
