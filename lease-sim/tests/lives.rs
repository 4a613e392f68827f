//! Random lives of handles on virtual time: what the driver and the handle promise, whatever is called when.
//!
//! Three holders contend for one lease. Their handles are cloned, asked, awaited or not, given back and dropped at
//! random; the server, the transports, the threads for blocking work and, rarely, the drivers themselves fail at
//! random; the machine is suspended at random, often right after a release, even one that comes while the driver is
//! busy with something else. Whatever happens, two never hold at once, tokens grow, each loss is told once, work is
//! not polled without its term, every release is answered and is no loss, and in the end everything is let go.
//!
//! A life is a function of its seed, which is printed when the life fails. `LIVES=17` lives that life alone,
//! `LIVES=0..100000` many.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod lives {
    mod deeds;
    mod dice;
    mod holder;
    pub(crate) mod life;
    mod other_threads;
    mod surroundings;
    pub(crate) mod verdict;
}

use std::ops::Range;

use lives::life;
use lives::verdict::Tally;

/// What a test without optimisation does in two seconds.
const SEEDS: Range<u64> = 0..300;

/// The seeds to live, and whether somebody chose them.
fn seeds() -> (Range<u64>, bool) {
    let Ok(text) = std::env::var("LIVES") else { return (SEEDS, false) };
    let seed = |text: &str| text.parse::<u64>().expect("LIVES is a seed, or two with `..` between them");
    match text.split_once("..") {
        Some((first, end)) => (seed(first)..seed(end), true),
        None => (seed(&text)..seed(&text) + 1, true),
    }
}

/// Names the seed of a life that panics, in its own asserts or anywhere below them.
struct Named(u64);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this was the life of seed {0}: `LIVES={0}` lives it again", self.0);
        }
    }
}

#[test]
fn random_lives_keep_every_promise() {
    let (seeds, chosen) = seeds();
    let mut tally = Tally::default();
    for seed in seeds {
        let _named = Named(seed);
        tally += life::live(seed);
    }
    eprintln!("{tally:?}");
    // A single life may be a dull one.
    assert!(chosen || tally.is_worth_watching(), "nothing can go wrong in such lives: {tally:?}");
}

#[test]
fn equal_seeds_live_equal_lives() {
    assert_eq!(life::live(7), life::live(7));
}
