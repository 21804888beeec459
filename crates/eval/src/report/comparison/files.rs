//! The comparison as files for whoever comes later: text, numbers and a picture.

use std::io::{self, Write};
use std::path::Path;

use super::Comparison;
use crate::EvalError;
use crate::pictures::{comparison_chart, write_atomically};

impl Comparison {
    /// Writes `table.md`, `table.csv`, `table.json` and `table.svg` into a folder, each whole or not
    /// at all. The same results give the same bytes.
    ///
    /// # Errors
    /// [`EvalError::Write`] naming the file.
    pub fn write(&self, folder: &Path) -> Result<(), EvalError> {
        let json = folder.join("table.json");
        let text = serde_json::to_string_pretty(self);
        let text = text.map_err(|error| EvalError::write(&json, io::Error::other(error)))?;
        write(&json, &(text + "\n"))?;
        write(&folder.join("table.md"), &self.markdown())?;
        write(&folder.join("table.csv"), &self.csv()?)?;
        write(&folder.join("table.svg"), &comparison_chart(self)?)
    }
}

fn write(path: &Path, text: &str) -> Result<(), EvalError> {
    write_atomically(path, |file| file.write_all(text.as_bytes()))
}
