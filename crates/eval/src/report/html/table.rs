//! Small blocks of facts, and numbers in rows and columns, wider than a phone if they must be: then the table scrolls, not the
//! page.

use std::ops::Range;

use maud::{Markup, Render, html};

/// A table.
#[derive(Clone, Debug)]
pub struct Table {
    /// What it shows.
    pub caption: String,
    /// The heads of all columns; the first is that of the rows' names.
    pub heads: Vec<String>,
    /// The columns, of those behind the names, whose numbers are the page's own.
    pub own: Range<usize>,
    /// Its rows.
    pub rows: Vec<TableBody>,
}

/// A row.
#[derive(Clone, Debug)]
pub struct TableBody {
    /// Its name.
    pub name: String,
    /// Whether it sums up the rows above.
    pub is_total: bool,
    /// What stands in it.
    pub cells: Vec<Markup>,
    /// How each cell is to be seen; plain where there are fewer.
    pub tones: Vec<Tone>,
}

/// How a cell is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// A value.
    Plain,
    /// There is no value.
    None,
}

impl Render for Table {
    fn render(&self) -> Markup {
        let own = |column: usize| self.own.contains(&column);
        // A caption inside the table would be as wide as the table, and scroll away with it.
        html! {
            figure {
                figcaption { (self.caption) }
                div.scroll tabindex="0" role="region" aria-label=(self.caption) {
                    table { (self.head(&own)) (self.body(&own)) }
                }
            }
        }
    }
}

impl Table {
    fn head(&self, own: &impl Fn(usize) -> bool) -> Markup {
        html! {
            thead {
                tr {
                    @for (number, head) in self.heads.iter().enumerate() {
                        @let is_own = number.checked_sub(1).is_some_and(own);
                        th scope="col" class=[is_own.then_some("own")] { (head) }
                    }
                }
            }
        }
    }

    fn body(&self, own: &impl Fn(usize) -> bool) -> Markup {
        html! {
            tbody {
                @for row in &self.rows {
                    tr class=[row.is_total.then_some("total")] {
                        th scope="row" { (row.name) }
                        @for (number, cell) in row.cells.iter().enumerate() {
                            td class=[row.class(number, own(number))] { (cell) }
                        }
                    }
                }
            }
        }
    }
}

impl TableBody {
    /// A row of plain texts.
    pub fn of_texts(name: &str, is_total: bool, texts: impl Iterator<Item = String>) -> Self {
        let texts: Vec<String> = texts.collect();
        let none = |text: &String| if text == "n/a" { Tone::None } else { Tone::Plain };
        let tones = texts.iter().map(none).collect();
        let cells = texts.iter().map(|text| html! { (text) }).collect();
        Self { name: name.to_owned(), is_total, cells, tones }
    }

    fn class(&self, number: usize, is_own: bool) -> Option<&'static str> {
        match (self.tones.get(number), is_own) {
            (Some(Tone::None), true) => Some("own none"),
            (Some(Tone::None), false) => Some("none"),
            (_, true) => Some("own"),
            (_, false) => None,
        }
    }
}

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
