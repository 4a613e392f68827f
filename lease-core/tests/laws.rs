//! Laws over random inputs, one test each: what no clock, no network and no server may make a machine do.
//!
//! `laws::clauses` and `laws::terms` have the numbered clauses of the crate documentation, `laws::writes`
//! what may ever leave a machine, all against a thoroughly hostile world (any time steps, any answer, outputs
//! drained or not); `laws::fleets` lets two or three machines contend for one object of a small API server
//! with compare-and-set, over a bad network and with clocks that drift as much as the default margin covers.
//!
//! Failing cases are shrunk and printed; nothing is stored. `PROPTEST_CASES` sets the number of cases,
//! for all laws alike.

mod support;

mod laws {
    mod clauses;
    mod fleet;
    mod fleets;
    mod plan;
    mod scenario;
    mod server;
    mod terms;
    mod world;
    mod writes;

    use proptest::test_runner::Config;

    /// `cases` random cases, or as many as `PROPTEST_CASES` says.
    fn cases(cases: u32) -> Config {
        let from_environment = std::env::var_os("PROPTEST_CASES").is_some();
        let default = Config::default();
        Config {
            cases: if from_environment { default.cases } else { cases },
            failure_persistence: None,
            max_shrink_iters: 20_000,
            ..default
        }
    }
}
