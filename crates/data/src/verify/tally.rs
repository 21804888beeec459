//! How many images each class has, and how many it should have.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::ListedSample;
use crate::descriptor::{Class, Descriptor};
use crate::fault::{Fault, FaultKind};
use crate::sample::{Label, Sample, Split};

/// The images of one class in the test split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClassTally {
    /// The class; one of several folders counts all of them.
    pub class: String,
    /// The class as it stands in a prompt.
    pub prompt: String,
    /// Normal images.
    pub normal: usize,
    /// Anomalous images.
    pub anomalous: usize,
    /// Images that have a mask.
    pub masks: usize,
    /// What the descriptor says; `None` where it lists no classes.
    pub expected: Option<ExpectedCount>,
}

/// How many images a class should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ExpectedCount {
    /// Normal images.
    pub normal: usize,
    /// Anomalous images.
    pub anomalous: usize,
}

/// Counts the test split; the faults are classes with too many, too few, or no images.
pub(super) fn tally(
    descriptor: &Descriptor,
    root: &Path,
    entries: &[ListedSample],
) -> (Vec<ClassTally>, Vec<Fault>) {
    let samples = entries.iter().filter(|entry| entry.split == Split::Test);
    let samples = samples.map(|entry| &entry.sample);
    if descriptor.classes.is_empty() {
        return (found(samples), Vec::new());
    }
    let mut tallies: Vec<ClassTally> =
        descriptor.classes.iter().map(ClassTally::expecting).collect();
    for sample in samples {
        // The only class has every sample, whatever its folder is called.
        let class = descriptor.class(&sample.class).or(descriptor.classes.first());
        let tally = tallies.iter_mut().find(|t| class.is_some_and(|class| class.name == t.class));
        tally.into_iter().for_each(|tally| tally.count(sample));
    }
    let faults = descriptor.classes.iter().zip(&tallies);
    let faults = faults.filter_map(|(class, tally)| tally.fault(folder(class, root))).collect();
    (tallies, faults)
}

/// The classes that are there, by name.
fn found<'a>(samples: impl Iterator<Item = &'a Sample>) -> Vec<ClassTally> {
    let mut tallies: BTreeMap<&str, ClassTally> = BTreeMap::new();
    for sample in samples {
        let tally = tallies.entry(&sample.class);
        tally.or_insert_with(|| ClassTally::new(&sample.class, &sample.prompt)).count(sample);
    }
    tallies.into_values().collect()
}

/// Where the class lies in a tree.
fn folder(class: &Class, root: &Path) -> PathBuf {
    match class.folders.as_slice() {
        [folder] => root.join(folder),
        _ => root.join(&class.name),
    }
}

impl ClassTally {
    fn new(class: &str, prompt: &str) -> Self {
        let (class, prompt) = (class.to_owned(), prompt.to_owned());
        Self { class, prompt, normal: 0, anomalous: 0, masks: 0, expected: None }
    }

    fn expecting(class: &Class) -> Self {
        let expected = ExpectedCount { normal: class.normal, anomalous: class.anomalous };
        Self { expected: Some(expected), ..Self::new(&class.name, &class.prompt()) }
    }

    fn count(&mut self, sample: &Sample) {
        match sample.label {
            Label::Normal => self.normal += 1,
            Label::Anomalous => self.anomalous += 1,
        }
        self.masks += usize::from(!sample.masks.is_empty());
    }

    fn fault(&self, folder: PathBuf) -> Option<Fault> {
        let ExpectedCount { normal, anomalous } = self.expected?;
        if (self.normal, self.anomalous) == (normal, anomalous) {
            return None;
        }
        let class = &self.class;
        let expected = format!("{normal} normal and {anomalous} anomalous test images");
        if self.normal + self.anomalous == 0 {
            let detail = format!("class {class} is not there; it has {expected}: copy it again");
            return Some(Fault::new(FaultKind::MissingClass, folder, detail));
        }
        let detail = format!(
            "class {class} has {} normal and {} anomalous test images, not {normal} and \
             {anomalous}; copy it again",
            self.normal, self.anomalous
        );
        Some(Fault::new(FaultKind::WrongCount, folder, detail))
    }
}
