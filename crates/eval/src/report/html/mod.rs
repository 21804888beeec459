//! Reports as pages that stand alone: blocks that turn values into markup, and the page around them.
//!
//! A page is one file. It asks nobody for anything: styles, charts and pictures are inside, there is
//! no script, and fonts are the reader's own. Charts are SVG whose colours are CSS variables, so they
//! follow a reader's light or dark setting, which the SVG of a plotting crate, with its colours
//! written in, cannot. Every number in a chart also stands in a table or a text.
//!
//! A block is a struct that implements [`Render`]; put blocks into [`html!`] and the result into a
//! [`Section`]. Whatever is put into markup is escaped.

mod cases;
mod table;

use std::io::Write;
use std::path::Path;

use maud::{DOCTYPE, PreEscaped};

use crate::EvalError;
use crate::pictures::write_atomically;

pub use maud::{Markup, Render, html};
pub use svg_charts::{Axis, Histogram, Line, LineChart, LineStyle};

pub use cases::{Case, CaseInput, Cases, Picture};
pub use table::{Bar, Bars, Facts, Mark, Stat, Table, TableBody, Tone};

/// All that decides how a page looks. It refers to nothing outside.
const STYLE: &str = include_str!("style.css");

/// A page that is one file.
#[derive(Clone, Debug)]
pub struct Page {
    /// The page's name.
    pub title: String,
    /// What stands under it, before the sections.
    pub lead: Markup,
    /// Each with a link at the top.
    pub sections: Vec<Section>,
}

/// A part of a page.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What it says.
    pub body: Markup,
}

impl Page {
    /// The whole file.
    pub fn to_html(&self) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    // Without one, browsers ask for an icon.
                    link rel="icon" href="data:,";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        (self.lead)
                        (self.contents())
                    }
                    main {
                        @for (number, section) in self.sections.iter().enumerate() {
                            section id={ "s" (number) } aria-labelledby={ "h" (number) } {
                                h2 id={ "h" (number) } { (section.title) }
                                (section.body)
                            }
                        }
                    }
                }
            }
        };
        page.into_string()
    }

    /// Writes the page, whole or not at all.
    ///
    /// # Errors
    /// [`EvalError::Write`] when it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), EvalError> {
        write_atomically(path, |file| file.write_all(self.to_html().as_bytes()))
    }

    fn contents(&self) -> Markup {
        html! {
            nav aria-label="Contents" {
                ul {
                    @for (number, section) in self.sections.iter().enumerate() {
                        li { a href={ "#s" (number) } { (section.title) } }
                    }
                }
            }
        }
    }
}
