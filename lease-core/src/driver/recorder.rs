//! The flight recorder: the latest inputs and outputs, and when they are written to a file.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::runtime::Runtime;
use crate::recording::{Ring, Start};
use crate::{Input, Now, Output};

/// A lease that is lost again and again must not fill the disk.
const MOST_FILES: u32 = 16;

/// What the flight recorder keeps, and when it writes it to a file. Default: the latest 4096 inputs with
/// their outputs, 8 MiB at most, and no files.
///
/// A recording can be [replayed](crate::recording::Recording::replay) bit for bit as long as it starts
/// where the holder started. In the steady state two inputs come per `renew_interval`, so the default reaches
/// back almost three hours with a ttl of 15 s; later it is a listing of the latest inputs and outputs, and
/// says how many are missing. Give it more room to keep a longer life replayable.
///
/// There are no secrets in a recording: see [`crate::recording`].
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    inputs: usize,
    bytes: usize,
    on_loss: Option<PathBuf>,
    on_panic: Option<PathBuf>,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self { inputs: 4096, bytes: 8 << 20, on_loss: None, on_panic: None }
    }
}

impl RecorderConfig {
    /// Keeps nothing.
    pub fn off() -> Self {
        Self { inputs: 0, ..Self::default() }
    }

    /// How many inputs are kept. Default 4096; 0 is [`off`](Self::off).
    #[must_use]
    pub fn inputs(mut self, most: usize) -> Self {
        self.inputs = most;
        self
    }

    /// How many bytes they take together, roughly. Default 8 MiB.
    #[must_use]
    pub fn bytes(mut self, most: usize) -> Self {
        self.bytes = most;
        self
    }

    /// Writes a new file into this directory whenever the lease is lost, the first 16 times.
    /// Default: never.
    #[must_use]
    pub fn dump_on_loss(mut self, directory: impl Into<PathBuf>) -> Self {
        self.on_loss = Some(directory.into());
        self
    }

    /// Writes a new file into this directory if the holder's task panics. Default: never.
    #[must_use]
    pub fn dump_on_panic(mut self, directory: impl Into<PathBuf>) -> Self {
        self.on_panic = Some(directory.into());
        self
    }
}

pub(crate) struct Recorder {
    /// `None`: off.
    ring: Option<Mutex<Ring>>,
    config: RecorderConfig,
    /// The beginning of every file's name.
    name: String,
    files: AtomicU32,
}

impl Recorder {
    pub(crate) fn new(config: RecorderConfig, start: Start) -> Self {
        let name = format!("lease-{}-{}", start.config.namespace(), start.config.name());
        let name = format!("{name}-{}", start.now.wall.as_micros());
        let ring = (config.inputs > 0).then(|| Mutex::new(Ring::new(start, config.inputs, config.bytes)));
        Self { ring, config, name, files: AtomicU32::new(0) }
    }

    pub(crate) fn input(&self, now: Now, input: &Input) {
        self.with_ring(|ring| ring.input(now, input));
    }

    pub(crate) fn output(&self, output: &Output) {
        self.with_ring(|ring| ring.output(output));
    }

    pub(crate) fn lost(self: &Arc<Self>, runtime: &dyn Runtime) {
        self.write_file(runtime, self.config.on_loss.as_deref(), "loss");
    }

    pub(crate) fn panicked(self: &Arc<Self>, runtime: &dyn Runtime) {
        self.write_file(runtime, self.config.on_panic.as_deref(), "panic");
    }

    pub(crate) fn dump(&self, mut writer: impl Write) -> io::Result<()> {
        // The driver waits for the copy, not for the text and not for the writer.
        let Some(ring) = self.with_ring(|ring| ring.clone()) else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the flight recorder is off"));
        };
        writer.write_all(ring.to_text().as_bytes())?;
        writer.flush()
    }

    fn with_ring<T>(&self, work: impl FnOnce(&mut Ring) -> T) -> Option<T> {
        let mut ring = self.ring.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        Some(work(&mut ring))
    }

    fn write_file(self: &Arc<Self>, runtime: &dyn Runtime, directory: Option<&Path>, cause: &str) {
        let Some(directory) = directory else {
            return;
        };
        let number = self.files.fetch_add(1, Ordering::Relaxed);
        if number >= MOST_FILES {
            return;
        }
        let path = directory.join(format!("{}-{number}-{cause}.jsonl", self.name));
        let recorder = Arc::clone(self);
        runtime.spawn_blocking(Box::new(move || {
            // A recorder that cannot write must not be one more thing that goes wrong.
            if let Ok(file) = OpenOptions::new().write(true).create_new(true).open(path) {
                let _ = recorder.dump(file);
            }
        }));
    }
}
