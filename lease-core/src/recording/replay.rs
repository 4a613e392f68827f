//! Running a recording again.

use serde_json::Value;

use super::error::{Difference, ReplayError};
use super::{Recording, lines};
use crate::lease::Lease;

impl Recording {
    /// Runs a machine from the recorded start over the recorded inputs and compares every output. The machine
    /// as it is at the end.
    ///
    /// Events are compared by their `Debug` text, so a recording is good for the version that made it and for
    /// later ones until they rename something.
    ///
    /// # Errors
    ///
    /// [`ReplayError::Wrapped`] when inputs are missing, [`ReplayError::Differs`] with the first difference.
    pub fn replay(&self) -> Result<Lease, ReplayError> {
        if self.dropped > 0 {
            return Err(ReplayError::Wrapped { dropped: self.dropped });
        }
        let mut machine = self.start.machine();
        for (index, entry) in self.entries.iter().enumerate() {
            machine.handle(entry.now, entry.input.clone());
            // As many polls as were recorded: a recording may end in the midst of a drain.
            for (output, recorded) in entry.outputs.iter().enumerate() {
                compare(index, output, recorded, &lines::output(&machine.poll()))?;
            }
        }
        Ok(machine)
    }
}

fn compare(entry: usize, output: usize, recorded: &Value, replayed: &Value) -> Result<(), ReplayError> {
    if recorded == replayed {
        return Ok(());
    }
    let (recorded, replayed) = (recorded.to_string(), replayed.to_string());
    Err(ReplayError::Differs(Box::new(Difference { entry, output, recorded, replayed })))
}
