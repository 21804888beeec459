//! What a person or a script looks at: the map itself as 16-bit PNG or `.npy`, the map over its
//! image, a sheet of a dataset's images, what the experts did with one, and a comparison of methods as
//! bars.
//!
//! A file appears under its name only when it is whole.

use std::io;
use std::path::Path;

use whole_file::WholeFile;

use crate::EvalError;

mod bars;
mod experts;
mod font;
mod legend;
mod npy;
mod overlay;
mod png_file;
mod sheet;

pub use bars::comparison_chart;
pub use experts::ExpertSheet;
pub use npy::write_npy_f32;
pub use overlay::Overlay;
pub(crate) use overlay::{heat, tint};
pub use png_file::{write_map_png, write_png};
pub use sheet::{SheetOptions, contact_sheet};

/// Puts what `fill` writes in place of `path` once it is whole. On any error `path` stays as it was.
pub(crate) fn write_atomically(
    path: &Path,
    fill: impl FnOnce(&mut WholeFile) -> io::Result<()>,
) -> Result<(), EvalError> {
    let write = || {
        let mut file = WholeFile::create(path)?;
        fill(&mut file)?;
        file.commit_unsynced()
    };
    write().map_err(|cause| EvalError::write(path, cause))
}
