//! Data-driven scripts: what goes into a machine, and what has to come out.
//!
//! `tests/golden/*.txt` are lines of inputs, each followed by the outputs (`=> …`) that it must bring. Times
//! are relative to the start; `~` marks one that was rounded to milliseconds (pauses are jittered). A
//! machine has ttl=15s and the identity `a` unless `config` says otherwise:
//!
//! ```text
//! config ttl=15s policy=vacate …   a new machine, with settings of `ConfigBuilder`, `seed=N`
//! pass 3s                          both clocks move, the machine is not told
//! at 10s / tick / wake             … and it is: at that time, now, when it asked to be woken
//! wall +1h / mono -5s / date +1h   one clock steps; from now on replies have a `Date`, that far off (`off`)
//! acquire / campaign / release     commands
//! reply 200 lease rv=7 holder=b renew=-20s …   a record: duration= transitions= acquire= uid=DIGIT
//!                  nonce=own|none|HEX|HEX/OF label terminating quarantine key:=JSON (raw) no-uid
//! reply 200 written rv=8 …         the record as our last write (written=#3: that one) would have stored it
//! accept rv=8                      the answer of a server that did what the last request asked for
//! reply CODE absent|conflict|deleted|namespace|namespace-terminating|bare|(a Status) retry-after=3
//! reply raw CODE BODY              whatever
//! reply to=#3 … / fail unknown|not-sent|too-large / credentials
//! open / closed                    the last watch opens with nothing to tell; it ends
//! event ADDED|MODIFIED|DELETED|ERROR lease|written …   it tells of a record as in `reply`, or of a Status
//! chunk TEXT                       it brings these bytes; \n is a newline (to=#3 with the others: that watch)
//! alive                            asks `check_alive`, changes nothing
//! ```
//!
//! `BLESS=1 cargo test -p lease-core --test golden` writes what came out into the files. Read the diff: the
//! scripts are the specification, not the machine.

#[path = "golden/machine.rs"]
mod machine;
#[path = "golden/render.rs"]
mod render;
#[path = "golden/replies.rs"]
mod replies;
mod support;
#[path = "golden/times.rs"]
mod times;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use machine::{Machine, default_machine};

const HOW_TO_BLESS: &str = "If the new outputs are right, `BLESS=1 cargo test -p lease-core --test golden` \
                            writes them into the scripts.";

/// One script after its run.
struct Outcome {
    /// The whole file as it should be.
    text: String,
    /// What differs, readable.
    complaints: Vec<String>,
}

fn is_input(line: &str) -> bool {
    !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with("=>")
}

fn expected(lines: &[&str]) -> Vec<String> {
    let outputs = lines.iter().take_while(|line| line.starts_with("=>"));
    outputs.map(|line| line.trim_start_matches("=>").trim().to_owned()).collect()
}

/// Runs a script; an error is a mistake in it.
fn run(name: &str, script: &str) -> Result<Outcome, String> {
    let lines: Vec<&str> = script.lines().map(str::trim_end).collect();
    let mut machine = default_machine();
    let mut outcome = Outcome { text: String::new(), complaints: Vec::new() };
    let mut may_expect = false;
    for (index, line) in lines.iter().enumerate() {
        let place = format!("{name}:{}", index + 1);
        if line.starts_with("=>") {
            if !may_expect {
                return Err(format!("{place}: outputs that follow no input"));
            }
            continue;
        }
        let _ = writeln!(outcome.text, "{line}");
        may_expect = is_input(line);
        if !may_expect {
            continue;
        }
        let got = if let Some(settings) = line.strip_prefix("config") {
            let settings: Vec<&str> = settings.split_whitespace().collect();
            machine = Machine::new(&settings).map_err(|error| format!("{place}: {error}"))?;
            Vec::new()
        } else {
            let before = &outcome.text;
            machine.run(line).map_err(|error| format!("{place}: {line}: {error}\n{}", tail(before)))?
        };
        for output in &got {
            let _ = writeln!(outcome.text, "=> {output}");
        }
        let wanted = expected(&lines[index + 1..]);
        if wanted != got {
            outcome.complaints.push(complaint(&place, line, &wanted, &got));
        }
    }
    Ok(outcome)
}

/// The last lines of what happened so far.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(6)..].iter().map(|line| format!("  {line}\n")).collect()
}

fn complaint(place: &str, input: &str, wanted: &[String], got: &[String]) -> String {
    let mut text = format!("{place}: {input}\n");
    for line in wanted {
        let mark = if got.contains(line) { ' ' } else { '-' };
        let _ = writeln!(text, "  expected {mark} {line}");
    }
    for line in got {
        let mark = if wanted.contains(line) { ' ' } else { '+' };
        let _ = writeln!(text, "  got      {mark} {line}");
    }
    text
}

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = fs::read_dir(&folder).expect("tests/golden can be listed");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    paths
}

#[test]
fn scripts_bring_what_they_say() {
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let paths = scripts();
    assert!(paths.len() >= 20, "only {} scripts: is the folder complete?", paths.len());
    let mut complaints = Vec::new();
    for path in paths {
        let name = path.file_name().map(|name| format!("tests/golden/{}", name.to_string_lossy()));
        let name = name.unwrap_or_default();
        let script = fs::read_to_string(&path).expect("a readable script");
        match run(&name, &script) {
            Err(mistake) => complaints.push(mistake),
            Ok(outcome) if bless => {
                if outcome.text != script {
                    fs::write(&path, outcome.text).expect("a writable script");
                }
            }
            Ok(outcome) => complaints.extend(outcome.complaints),
        }
    }
    let many = complaints.len();
    assert!(many == 0, "{many} differences\n\n{}\n{HOW_TO_BLESS}\n", complaints.join("\n"));
}

/// No mutant is equal to the machine as it should be: the scripts notice each, or another test does.
#[cfg(feature = "mutants")]
#[test]
fn every_mutant_but_a_few_shows_in_some_script() {
    use lease_core::mutants::Mutant;

    // What scripts do not show, and what shows it.
    let elsewhere = [
        Mutant::DurationRoundedDown, // `rounding_down_shows_where_the_ttl_has_a_fraction`
        Mutant::DropsLabels,         // `labels_of_others_survive_our_writes`
        Mutant::DropsAnnotations,    // `laws::writes::unknown_fields_survive`
        Mutant::QuarantineOfAnotherObject, // `the_quarantine_of_one_object_counts_for_no_other`
        Mutant::ClockRegressionAccepted, // `clause_5_clocks_are_not_trusted`
        Mutant::EventKeepsWait,      // the simulator's S4: `lease-sim mutants`
    ];
    let read = |path: PathBuf| fs::read_to_string(path).expect("a readable script");
    let scripts: Vec<String> = scripts().into_iter().map(read).collect();
    let shows = |mutant: &Mutant, script: &String| {
        let config = format!("config mutant={mutant}");
        let lines = script.lines().map(|line| match line.strip_prefix("config") {
            Some(settings) => format!("{config}{settings}\n"),
            None => format!("{line}\n"),
        });
        let mutated: String = std::iter::once(format!("{config}\n")).chain(lines).collect();
        run("x", &mutated).map_or(true, |outcome| !outcome.complaints.is_empty())
    };
    let mut hidden = Mutant::ALL.to_vec();
    hidden.retain(|mutant| !scripts.iter().any(|script| shows(mutant, script)));
    assert_eq!(hidden, elsewhere);
}

#[test]
fn every_script_says_what_it_shows() {
    for path in scripts() {
        let script = fs::read_to_string(&path).expect("a readable script");
        assert!(script.starts_with("# "), "{}: begin with a comment", path.display());
        assert!(script.ends_with('\n') && !script.contains('\t'), "{}", path.display());
    }
}

#[test]
fn a_difference_is_told_with_its_place_and_both_sides() {
    let outcome = run("x.txt", "# shows\nacquire\n=> idle\n").expect("a script");
    let [complaint] = &outcome.complaints[..] else { panic!("{:?}", outcome.complaints) };
    assert!(complaint.starts_with("x.txt:2: acquire\n"), "{complaint}");
    assert!(complaint.contains("expected - idle\n"), "{complaint}");
    assert!(complaint.contains("got      + #1 GET lease give-up 3s\n"), "{complaint}");
    let blessed = run("x.txt", &outcome.text).expect("a script");
    assert!(blessed.complaints.is_empty() && blessed.text == outcome.text, "blessing settles it");
}

#[test]
fn mistakes_in_a_script_are_told_with_their_place() {
    for (script, wanted) in [
        ("dance", "x:1: dance: dance is no input"),
        ("\n=> idle", "x:2: outputs that follow no input"),
        ("config ttl=long", "x:1: long is no duration"),
        ("reply 200 lease", "x:1: reply 200 lease: no such request"),
        ("acquire\nreply 200 lease rv=1 what", "x:2: reply 200 lease rv=1 what: what is no edit"),
        ("pass 5s\nat 3s", "x:2: at 3s: the clock is past that"),
    ] {
        let mistake = run("x", script).err().unwrap_or_default();
        assert!(mistake.starts_with(wanted), "{mistake}");
    }
}
