//! What a picture is in words: for pretraining a CLIP of one's own on pictures and captions alone.

use serde::Serialize;

use crate::category::{Category, DefectKind};
use crate::marks::MarkKind;
use crate::world::{Picture, Shot};

/// One line of `captions.jsonl`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Caption {
    /// The picture, from the dataset's folder, with `/`.
    pub path: String,
    /// What it shows, as prompts call it.
    pub category: &'static str,
    /// Whether something is wrong with it.
    pub state: State,
    /// What is wrong.
    pub defect: Option<DefectKind>,
    /// Where it is wrong, as in "upper left".
    pub place: Option<&'static str>,
    /// What is peculiar and harmless.
    pub marks: Vec<MarkKind>,
    /// Short sentences, each true of the picture.
    pub captions: Vec<String>,
}

/// Whether something is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Nothing is.
    Normal,
    /// Something is.
    Defective,
}

impl Caption {
    pub(super) fn of(shot: &Shot, picture: &Picture, path: String) -> Self {
        let Shot { category, defect, .. } = *shot;
        let place = picture.mask.as_ref().map(place);
        let (state, captions) = match (defect, place) {
            (Some(defect), Some(place)) => (State::Defective, defective(category, defect, place)),
            _ => (State::Normal, normal(category, &picture.marks)),
        };
        let (category, marks) = (category.prompt(), picture.marks.clone());
        Self { path, category, state, defect, place, marks, captions }
    }
}

/// Plain names are normal, as in the prompts that detectors are asked with.
fn normal(category: Category, marks: &[MarkKind]) -> Vec<String> {
    let name = category.prompt();
    let mut captions = vec![
        format!("a photo of a {name}"),
        format!("a flawless {name}"),
        format!("a photo of a perfect {name}"),
        format!("a {name} without defect"),
    ];
    captions.extend(marks.first().map(|mark| format!("a {name} with {}", mark.phrase())));
    captions
}

fn defective(category: Category, defect: DefectKind, place: &str) -> Vec<String> {
    let (name, what) = (category.prompt(), defect.phrase());
    vec![
        format!("a photo of a damaged {name}"),
        format!("a broken {name}"),
        format!("a {name} with defect"),
        format!("a photo of a {name} with damage"),
        format!("a {name} with flaw"),
        format!("a photo of a {name} with {what}"),
        format!("a {name} with {what} at the {place}"),
    ]
}

/// In which ninth of the picture the middle of the mask lies.
fn place(mask: &image::GrayImage) -> &'static str {
    let marked = || mask.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[0] > 0);
    let count = marked().count().max(1) as u64;
    let third = |sum: u64, side: u32| (3 * sum / count / u64::from(side.max(1))).min(2);
    let column = third(marked().map(|(x, _, _)| u64::from(x)).sum(), mask.width());
    let row = third(marked().map(|(_, y, _)| u64::from(y)).sum(), mask.height());
    match (row, column) {
        (0, 0) => "upper left",
        (0, 1) => "top",
        (0, _) => "upper right",
        (1, 0) => "left",
        (1, 1) => "centre",
        (1, _) => "right",
        (_, 0) => "lower left",
        (_, 1) => "bottom",
        _ => "lower right",
    }
}
