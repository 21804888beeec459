//! Small blocks of facts, and numbers in rows and columns, wider than a phone if they must be: then
//! the table scrolls, not the page. Shares as bars in a table are as wide as the reader's window
//! allows, and a reader who cannot see them has the numbers.

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

/// Bars from 0 to 100 percent.
#[derive(Clone, Debug)]
pub struct Bars {
    /// What they show.
    pub title: String,
    /// One below the other.
    pub bars: Vec<Bar>,
    /// What all are held against.
    pub mark: Option<Mark>,
}

/// A bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is of.
    pub name: String,
    /// As a fraction of 1; `None` where undefined.
    pub value: Option<f64>,
    /// Whether it is the page's own.
    pub is_own: bool,
}

/// A line across all bars.
#[derive(Clone, Debug)]
pub struct Mark {
    /// As a fraction of 1.
    pub value: f64,
    /// What it stands for.
    pub name: String,
}

impl Render for Bars {
    fn render(&self) -> Markup {
        html! {
            figure {
                figcaption {
                    strong { (self.title) }
                    @if let Some(mark) = &self.mark {
                        " Line: " (mark.name) ", " (format!("{:.1}", 100.0 * mark.value)) "."
                    }
                }
                table.bars {
                    tbody {
                        @for bar in &self.bars {
                            tr class=[bar.is_own.then_some("own")] {
                                th scope="row" { (bar.name) }
                                td.track aria-hidden="true" { (self.track(bar)) }
                                td { (bar.text()) }
                                @if let Some(mark) = &self.mark {
                                    td.none { (bar.difference(mark)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl Bars {
    fn track(&self, bar: &Bar) -> Markup {
        let percent = |value: f64| format!("{:.2}%", 100.0 * value.clamp(0.0, 1.0));
        html! {
            span {
                @if let Some(value) = bar.value {
                    span.fill style={ "width:" (percent(value)) } {}
                }
                @if let Some(mark) = &self.mark {
                    span.tick style={ "left:" (percent(mark.value)) } {}
                }
            }
        }
    }
}

impl Bar {
    fn text(&self) -> String {
        self.value.map_or_else(|| "n/a".into(), |value| format!("{:.1}", 100.0 * value))
    }

    fn difference(&self, mark: &Mark) -> String {
        // A minus sign is as wide as a plus; a hyphen is not.
        let text =
            |value: f64| format!("{:+.1}", 100.0 * (value - mark.value)).replace('-', "\u{2212}");
        self.value.map(text).unwrap_or_default()
    }
}
