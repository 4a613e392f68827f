//! What the fuzz targets share: scripts made from bytes, a server that answers, and the clauses as checks.

pub mod checks;
pub mod driver;
pub mod script;
pub mod server;
pub mod times;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use arbitrary::{Arbitrary, Unstructured};

    use crate::driver::run;
    use crate::script::Script;

    /// The committed corpus as a plain test: needs no fuzzer.
    #[test]
    fn the_corpus_keeps_the_clauses() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/core_inputs");
        let mut ran = 0;
        for entry in fs::read_dir(folder).expect("the corpus can be listed") {
            let bytes = fs::read(entry.expect("an entry").path()).expect("a readable file");
            if let Ok(script) = Script::arbitrary_take_rest(Unstructured::new(&bytes)) {
                run(&script);
                ran += 1;
            }
        }
        assert!(ran > 0, "an empty corpus tests nothing");
    }
}
