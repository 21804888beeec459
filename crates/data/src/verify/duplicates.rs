//! The same picture where it must not be: in two splits, or called both normal and anomalous.

use std::collections::BTreeMap;
use std::path::Path;

use super::ListedSample;
use super::picture::Finding;
use crate::content::ContentHash;
use crate::fault::{Fault, FaultKind};
use crate::sample::{Label, Split};

/// One fault for each image that is the same as one of another split or label, named after it. Of
/// several the first is the one of train, then the normal one, then the first by path.
pub(super) fn find(
    root: &Path,
    entries: &[ListedSample],
    findings: &[Option<Finding>],
) -> Vec<Fault> {
    let mut same: BTreeMap<ContentHash, Vec<Occurrence<'_>>> = BTreeMap::new();
    for (entry, finding) in entries.iter().zip(findings) {
        if let Some(content) = finding.as_ref().and_then(|finding| finding.content) {
            same.entry(content).or_default().push(Occurrence::of(entry));
        }
    }
    same.into_values().flat_map(|places| among(root, places)).collect()
}

fn among(root: &Path, mut places: Vec<Occurrence<'_>>) -> Vec<Fault> {
    places.sort();
    let Some((first, rest)) = places.split_first() else { return Vec::new() };
    let differs =
        |place: &&Occurrence<'_>| (place.split, place.label) != (first.split, first.label);
    rest.iter().filter(differs).map(|place| place.fault(first, root)).collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Occurrence<'a> {
    split: Split,
    label: Label,
    path: &'a Path,
}

impl<'a> Occurrence<'a> {
    fn of(entry: &'a ListedSample) -> Self {
        let ListedSample { split, sample } = entry;
        Self { split: *split, label: sample.label, path: &sample.image }
    }

    fn fault(&self, other: &Occurrence<'_>, root: &Path) -> Fault {
        let path = other.path.strip_prefix(root).unwrap_or(other.path).display();
        let detail = format!(
            "{}, the same picture as {path}, which is {}; remove one",
            self.role(),
            other.role()
        );
        Fault::new(FaultKind::Duplicate, self.path, detail)
    }

    fn role(&self) -> String {
        let label = match self.label {
            Label::Normal => "normal",
            Label::Anomalous => "anomalous",
        };
        format!("{label} in {}", self.split.name())
    }
}
