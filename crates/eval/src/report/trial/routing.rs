//! Which experts the patches asked.

use crate::report::html::{Markup, Picture, Table, TableBody, html};

/// What the experts of one tap did, mean over some images.
#[derive(Clone, Debug, PartialEq)]
pub struct TapRouting {
    /// The layer, counted from 1.
    pub layer: usize,
    /// Its experts.
    pub experts: Vec<ExpertShare>,
    /// Mean cosine between the outputs of two experts.
    pub similarity: f64,
}

/// What one expert did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertShare {
    /// The number that it started with, counted from 1.
    pub number: usize,
    /// Its mean routing weight; the experts' weights sum to 1.
    pub weight: f64,
    /// The share of the patches that trust it most.
    pub first_choices: f64,
}

/// An image whose experts are shown.
#[derive(Clone, Debug)]
pub struct ExpertView {
    /// What it is, in a few words.
    pub text: String,
    /// The sheet: for each tap the experts' maps.
    pub sheet: Picture,
}

pub(super) fn body(taps: &[TapRouting], views: &[ExpertView]) -> Markup {
    html! {
        p {
            "Behind each of these layers a router sends every patch to the experts that it trusts most. "
            "Weight: mean routing weight. First: share of the patches that trust the expert most. Cosine: "
            "how alike the outputs of two experts are, 0 where they have nothing in common."
        }
        (table(taps))
        @for view in views {
            figure.sheet {
                figcaption { (view.text) }
                (view.sheet)
            }
        }
    }
}

fn table(taps: &[TapRouting]) -> Table {
    let most = taps.iter().map(|tap| tap.experts.len()).max().unwrap_or(0);
    let heads = (0..most).flat_map(|place| {
        let number = taps.iter().find_map(|tap| Some(tap.experts.get(place)?.number));
        let number = number.unwrap_or(place + 1);
        [format!("expert {number}, weight"), "first".to_owned()]
    });
    let rows = taps.iter().map(|tap| {
        let shares = (0..most).flat_map(|place| match tap.experts.get(place) {
            Some(expert) => {
                [format!("{:.2}", expert.weight), format!("{:.0} %", 100.0 * expert.first_choices)]
            }
            None => ["n/a".to_owned(), "n/a".to_owned()],
        });
        let cells = shares.chain([format!("{:.2}", tap.similarity)]);
        TableBody::of_texts(&format!("layer {}", tap.layer), false, cells)
    });
    Table {
        caption: "Routing of anomalous test images".into(),
        heads: ["tap".to_owned()].into_iter().chain(heads).chain(["cosine".to_owned()]).collect(),
        own: 0..0,
        rows: rows.collect(),
    }
}
