//! What a person or a script looks at: the map itself as 16-bit PNG or `.npy`, the map over its
//! image, a sheet of a dataset's images, what the experts did with one, and a comparison of methods as
//! bars.
//!
//! A file appears under its name only when it is whole.

pub(crate) mod atomic;
mod bars;
mod experts;
mod font;
mod legend;
mod npy;
mod overlay;
mod png_file;
mod sheet;

pub(crate) use atomic::write_atomically;
pub use bars::comparison_chart;
pub use experts::ExpertSheet;
pub use npy::write_npy_f32;
pub use overlay::Overlay;
pub(crate) use overlay::{heat, tint};
pub use png_file::{write_map_png, write_png};
pub use sheet::{SheetOptions, contact_sheet};
