//! What the fuzz targets share: scripts made from bytes, a server that answers, and the clauses as checks.

pub mod checks;
pub mod driver;
pub mod kubeconfig;
pub mod plans;
pub mod script;
pub mod server;
pub mod times;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use arbitrary::{Arbitrary, Unstructured};

    use crate::{driver, kubeconfig, plans, script, watch, wire};

    /// The committed corpus of a target as a plain test: needs no fuzzer.
    fn corpus(name: &str, mut run: impl FnMut(&[u8]) -> bool) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let mut ran = 0;
        for entry in fs::read_dir(folder).expect("the corpus can be listed") {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a readable file");
            ran += usize::from(run(&bytes));
        }
        assert!(ran > 0, "an empty corpus tests nothing");
    }

    fn scripts<'a, S: Arbitrary<'a>>(bytes: &'a [u8], run: impl FnOnce(&S)) -> bool {
        S::arbitrary_take_rest(Unstructured::new(bytes)).map(|script| run(&script)).is_ok()
    }

    #[test]
    fn the_corpus_keeps_the_clauses() {
        corpus("core_inputs", |bytes| scripts(bytes, |script: &script::Script| driver::run(script)));
    }

    #[test]
    fn the_corpus_of_bytes_moves_no_deadline() {
        corpus("wire_bytes", |bytes| scripts(bytes, |script: &wire::Script| wire::run(script)));
    }

    #[test]
    fn the_corpus_of_streams_tells_what_is_there() {
        corpus("watch_framing", |bytes| scripts(bytes, |script: &watch::Script| watch::run(script)));
    }

    #[test]
    fn the_corpus_of_kubeconfigs_gives_nothing_away() {
        corpus("kubeconfig", |bytes| {
            kubeconfig::run(bytes);
            true
        });
    }

    #[test]
    fn the_corpus_of_plans_breaks_nothing() {
        corpus("sim_plans", |bytes| {
            plans::run(bytes);
            true
        });
    }
}
