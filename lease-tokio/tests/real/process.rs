//! The API server's process: stopped, woken up, killed, started again.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What is known about the process. None of it on a cluster that is somebody else's.
#[derive(Clone)]
pub struct Process {
    pub pid_file: PathBuf,
    pub restart: Option<PathBuf>,
}

impl Process {
    fn signal(&self, name: &str) {
        let pid =
            std::fs::read_to_string(&self.pid_file).expect("LEASE_TEST_APISERVER_PID names a readable file");
        let pid: u32 = pid.trim().parse().expect("the file holds a process id");
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap();
        assert!(status.success(), "kill -{name} {pid}: {status}");
    }

    /// SIGSTOP. It answers nothing and closes nothing until the result is dropped.
    pub fn freeze(&self) -> Frozen<'_> {
        self.signal("STOP");
        Frozen(self)
    }

    /// SIGKILL. It is started again at [`Killed::restart`] or, if a test fails before, when the result is dropped.
    pub fn kill(&self) -> Killed {
        let restart = self.restart.clone().expect("the caller has asked for it");
        self.signal("KILL");
        Killed(Some(restart))
    }
}

/// Wakes the process up when dropped.
pub struct Frozen<'a>(&'a Process);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.signal("CONT");
    }
}

pub struct Killed(Option<PathBuf>);

impl Killed {
    /// Starts the process again and waits until it is ready.
    pub async fn restart(mut self) {
        let program = self.0.take().unwrap();
        tokio::task::spawn_blocking(move || start(&program)).await.unwrap();
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(program) = self.0.take() {
            start(&program);
        }
    }
}

fn start(program: &PathBuf) {
    let status =
        Command::new(program).stdin(Stdio::null()).status().expect("LEASE_TEST_APISERVER_RESTART runs");
    assert!(status.success(), "the API server did not start again: {status}");
}
