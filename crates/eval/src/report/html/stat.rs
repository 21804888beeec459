//! A number to be seen first.

use maud::{Markup, Render, html};

/// A large number with its name above and a remark below.
#[derive(Clone, Debug)]
pub struct Stat {
    /// What it is.
    pub name: String,
    /// As it is to be read.
    pub value: String,
    /// What it is to be held against.
    pub note: String,
}

impl Render for Stat {
    fn render(&self) -> Markup {
        html! {
            div.stat {
                (self.name)
                span.value { (self.value) }
                span.note { (self.note) }
            }
        }
    }
}
