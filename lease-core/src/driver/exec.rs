//! Running an exec plugin. Blocks: for threads that may.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::clock::Clock;
use crate::credentials::{ExecCommand, ExecFailure, MAX_EXEC_BYTES};

/// How often a plugin that has closed its output, or has not yet, is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Runs it to its end, or kills it when it takes too long, says too much, or is not `wanted` any more.
pub(super) fn run(
    command: &ExecCommand,
    clock: &dyn Clock,
    wanted: impl Fn() -> bool,
) -> Result<Vec<u8>, ExecFailure> {
    let mut process = Command::new(command.program());
    process
        .args(command.args())
        .envs(command.env().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut process, 0);
    let mut child = process.spawn().map_err(|error| ExecFailure::NotStarted(error.kind()))?;
    let outcome = supervise(&mut child, command.timeout(), clock, wanted);
    // Whoever has ended by itself was waited for: its number may be another's by now.
    if !matches!(outcome, Ok(_) | Err(ExecFailure::Exit(_))) {
        end(&mut child);
    }
    outcome
}

/// Kills a plugin that was not waited for yet, and whatever it has started: a script is killed while the program
/// that it waits for stays, with our pipe in its hands, and there would be one more after every try.
fn end(child: &mut Child) {
    #[cfg(unix)]
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    // This is what keeps it from staying as a zombie.
    let _ = child.wait();
}

fn supervise(
    child: &mut Child,
    time: Duration,
    clock: &dyn Clock,
    wanted: impl Fn() -> bool,
) -> Result<Vec<u8>, ExecFailure> {
    let output = read(child).map_err(|error| ExecFailure::NotStarted(error.kind()))?;
    let deadline = clock.now().mono.saturating_add(time);
    let mut said = None;
    loop {
        if said.is_none() {
            match output.recv_timeout(LOOK) {
                Ok(read) => said = Some(read.map_err(|error| ExecFailure::NotStarted(error.kind()))?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(ExecFailure::NotStarted(io::ErrorKind::BrokenPipe));
                }
            }
        } else {
            thread::park_timeout(LOOK);
        }
        if let Some(said) = said.take_if(|said| said.len() > MAX_EXEC_BYTES) {
            end(child);
            return Ok(said);
        }
        if said.is_some()
            && let Some(status) = child.try_wait().map_err(|error| ExecFailure::NotStarted(error.kind()))?
        {
            return match status.success() {
                true => Ok(said.unwrap_or_default()),
                false => Err(ExecFailure::Exit(status.code())),
            };
        }
        // Nobody hears what came of one that is not wanted.
        if clock.now().mono >= deadline || !wanted() {
            return Err(ExecFailure::TimedOut);
        }
    }
}

/// Reads on a thread of its own: a process that was killed can have left its output to a child that was not.
fn read(child: &mut Child) -> io::Result<Receiver<io::Result<Vec<u8>>>> {
    let (sender, receiver) = mpsc::channel();
    let Some(stdout) = child.stdout.take() else {
        return Ok(receiver);
    };
    let limit = u64::try_from(MAX_EXEC_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    thread::Builder::new().name("exec-plugin".to_owned()).spawn(move || {
        let mut said = Vec::new();
        let read = stdout.take(limit).read_to_end(&mut said);
        let _ = sender.send(read.map(|_| said));
    })?;
    Ok(receiver)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::credentials::{
        AuthenticationSource, CredentialSource, ExecApiVersion, ExecPlugin, Explicit, FileContents,
    };
    use crate::{MonoTime, Now, WallTime};

    /// Stands still until a file is there, and has then passed every deadline.
    struct Until(PathBuf, AtomicBool);

    impl Clock for Until {
        fn now(&self) -> Now {
            let there = fs::read_to_string(&self.0).is_ok_and(|text| text.ends_with('\n'));
            let past = self.1.fetch_or(there, Ordering::SeqCst) || there;
            let mono = if past { MonoTime::from_nanos(u64::MAX / 4) } else { MonoTime::ZERO };
            Now { mono, wall: WallTime::from_micros(0) }
        }
    }

    fn command(script: String) -> ExecCommand {
        let plugin = ExecPlugin::new(ExecApiVersion::V1, "sh").args(["-c".to_owned(), script]);
        let server = "https://127.0.0.1:1".parse().unwrap();
        let source = Explicit::new(server, None, AuthenticationSource::Exec(plugin)).unwrap();
        CredentialSource::Explicit(source).command(&FileContents::new()).unwrap().unwrap()
    }

    /// Not there, or dead and only waiting for its parent to look.
    fn is_gone(pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
        stat.map_or(true, |stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z")))
    }

    #[test]
    fn what_a_plugin_started_ends_with_it() {
        let file = std::env::temp_dir().join(format!("lease-exec-{}", std::process::id()));
        let _ = fs::remove_file(&file);
        let script = format!("sleep 1000 & echo $! > {}; wait", file.display());
        let outcome = run(&command(script), &Until(file.clone(), AtomicBool::new(false)), || true);
        assert_eq!(outcome, Err(ExecFailure::TimedOut));
        let pid = fs::read_to_string(&file).unwrap();
        fs::remove_file(&file).unwrap();
        // A signal is delivered before long; without one it sleeps for a quarter of an hour.
        let gone = (0..500).any(|_| {
            thread::park_timeout(LOOK);
            is_gone(&pid)
        });
        assert!(gone, "{pid} is still there");
    }
}
