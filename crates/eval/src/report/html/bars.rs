//! Shares as bars in a table: they are as wide as the reader's window allows, and a reader who cannot
//! see them has the numbers.

use maud::{Markup, Render, html};

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
