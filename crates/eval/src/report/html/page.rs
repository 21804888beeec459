//! The page around the blocks.

use std::io::Write;
use std::path::Path;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::EvalError;
use crate::pictures::write_atomically;

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
