//! Reports as pages that stand alone: blocks that turn values into markup, and the page around them.
//!
//! A page is one file. It asks nobody for anything: styles, charts and pictures are inside, there is
//! no script, and fonts are the reader's own. Charts are SVG whose colours are CSS variables, so they
//! follow a reader's light or dark setting, which the SVG of a plotting crate, with its colours
//! written in, cannot. Every number in a chart also stands in a table or a text.
//!
//! A block is a struct that implements [`Render`]; put blocks into [`html!`] and the result into a
//! [`Section`]. Whatever is put into markup is escaped.

mod bars;
mod cases;
mod histogram;
mod line_chart;
mod page;
mod picture;
mod plane;
mod table;

pub use bars::{Bar, Bars, Mark};
pub use cases::{Case, CaseInput, Cases};
pub use histogram::Histogram;
pub use line_chart::{Line, LineChart, LineStyle};
pub use maud::{Markup, Render, html};
pub use page::{Page, Section};
pub use picture::Picture;
pub use plane::Axis;
pub use table::{Facts, Stat, Table, TableBody, Tone};
