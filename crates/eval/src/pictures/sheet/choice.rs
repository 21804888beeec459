//! Which images of a class stand for it: as many kinds of defects as can be, and of each kind images
//! from all over the list.

use std::collections::BTreeMap;

use moeclip_data::{Label, Sample};

/// `count` samples of one label, defect by defect in the order of their names.
pub(super) fn choose<'a>(samples: &[&'a Sample], label: Label, count: usize) -> Vec<&'a Sample> {
    let mut defects: BTreeMap<&str, Vec<&Sample>> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.label == label) {
        defects.entry(&sample.defect).or_default().push(sample);
    }
    let mut defects: Vec<Vec<&Sample>> = defects.into_values().collect();
    if defects.len() > count {
        defects = evenly(&defects, count);
    }
    let shares = shares(&defects, count);
    let chosen = defects.iter_mut().zip(shares).flat_map(|(defect, share)| {
        defect.sort_by(|a, b| a.image.cmp(&b.image));
        evenly(defect, share)
    });
    chosen.collect()
}

/// How many of each defect: the same number, but for those that have no more.
fn shares(defects: &[Vec<&Sample>], count: usize) -> Vec<usize> {
    let mut shares = vec![0; defects.len()];
    let mut left = count.min(defects.iter().map(Vec::len).sum());
    while left > 0 {
        for (share, defect) in shares.iter_mut().zip(defects) {
            if left > 0 && *share < defect.len() {
                *share += 1;
                left -= 1;
            }
        }
    }
    shares
}

/// `count` items, each from the middle of its stretch of the list; all where there are no more.
fn evenly<T: Clone>(items: &[T], count: usize) -> Vec<T> {
    let count = count.min(items.len());
    let middle = |stretch: usize| (2 * stretch + 1) * items.len() / (2 * count);
    (0..count).filter_map(|stretch| items.get(middle(stretch)).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(defects: &[(&'static str, usize)]) -> Vec<Sample> {
        let label = |defect| if defect == "good" { Label::Normal } else { Label::Anomalous };
        let of = |&(defect, count): &(&'static str, usize)| {
            let image = move |number| format!("{defect}{number}").into();
            let sample = move |number| Sample::new(image(number), "bolt", label(defect), defect);
            // Backwards: the choice must not depend on the order.
            (0..count).rev().map(sample)
        };
        defects.iter().flat_map(of).collect()
    }

    fn check(defects: &[(&'static str, usize)], label: Label, count: usize, expected: &[&str]) {
        let samples = samples(defects);
        let samples: Vec<&Sample> = samples.iter().collect();
        let chosen = choose(&samples, label, count);
        let names: Vec<_> = chosen.iter().map(|s| s.image.to_str().unwrap()).collect();
        assert_eq!(names, expected, "{count} of {defects:?}");
    }

    #[test]
    fn images_come_from_all_over_the_list() {
        check(&[("good", 9)], Label::Normal, 3, &["good1", "good4", "good7"]);
        check(&[("good", 9), ("bent", 1)], Label::Normal, 1, &["good4"]);
        check(&[("good", 2)], Label::Normal, 5, &["good0", "good1"]);
        check(&[("good", 2)], Label::Anomalous, 5, &[]);
        check(&[("good", 2)], Label::Normal, 0, &[]);
    }

    #[test]
    fn every_defect_is_shown_where_there_is_room() {
        let defects = [("torn", 8), ("bent", 1), ("cut", 4), ("good", 3)];
        let all = ["bent0", "cut0", "cut2", "cut3", "torn2", "torn6"];
        check(&defects, Label::Anomalous, 6, &all);
        check(&defects, Label::Anomalous, 3, &["bent0", "cut2", "torn4"]);
        check(&defects, Label::Anomalous, 1, &["cut2"]);
    }
}
