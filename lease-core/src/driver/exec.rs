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

/// Runs it to its end, or kills it when it takes too long or says too much.
pub(super) fn run(command: &ExecCommand, clock: &dyn Clock) -> Result<Vec<u8>, ExecFailure> {
    let mut child = Command::new(command.program())
        .args(command.args())
        .envs(command.env().iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| ExecFailure::NotStarted(error.kind()))?;
    let outcome = supervise(&mut child, command.timeout(), clock);
    if outcome.is_err() {
        // It may have ended by itself meanwhile. Waiting for it is what keeps it from staying as a zombie.
        let _ = child.kill();
        let _ = child.wait();
    }
    outcome
}

fn supervise(child: &mut Child, time: Duration, clock: &dyn Clock) -> Result<Vec<u8>, ExecFailure> {
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
            let _ = child.kill();
            let _ = child.wait();
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
        if clock.now().mono >= deadline {
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
