//! Names and what they stand for.

use maud::{Markup, Render, html};

/// A list of names and values.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// In the order in which they are shown.
    pub entries: Vec<[String; 2]>,
}

impl Render for Facts {
    fn render(&self) -> Markup {
        html! {
            dl {
                @for [name, value] in &self.entries {
                    dt { (name) }
                    dd { (value) }
                }
            }
        }
    }
}
