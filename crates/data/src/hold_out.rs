//! Sets part of an auxiliary set aside, to choose an epoch by images that were never trained on.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::error::DataError;
use crate::order::held_out_rng;
use crate::sample::Sample;

/// An auxiliary set in two parts, each in the order of the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldOutSplit {
    /// What is trained on.
    pub training: Vec<Sample>,
    /// What never is.
    pub held_out: Vec<Sample>,
}

/// Draws `share` of the samples of every class and label, rounded to whole samples; at least one of
/// each stays for training. Samples that are not independent, as their `group` says, stay together
/// and count as one. A share of 0 holds nothing out.
///
/// # Errors
/// [`DataError::Setting`] when the share is not within 0 and 1, or is so small that it holds nothing
/// out.
pub fn hold_out(samples: Vec<Sample>, share: f64, seed: u64) -> Result<HeldOutSplit, DataError> {
    if !(0.0..1.0).contains(&share) {
        return Err(DataError::setting("held_out", share, "use a share, 0 or more and under 1"));
    }
    let mut is_held_out = vec![false; samples.len()];
    for (stratum, mut units) in strata(&samples).into_iter().enumerate() {
        let count = (share * units.len() as f64).round() as usize;
        units.shuffle(&mut held_out_rng(seed, stratum));
        let drawn = units.iter().take(count.min(units.len() - 1)).flatten();
        drawn.for_each(|index| is_held_out[*index] = true);
    }
    let mut split = HeldOutSplit { training: Vec::new(), held_out: Vec::new() };
    for (sample, held_out) in samples.into_iter().zip(is_held_out) {
        if held_out { split.held_out.push(sample) } else { split.training.push(sample) }
    }
    if share > 0.0 && split.held_out.is_empty() {
        let remedy = "it holds nothing out of so few images; use a larger share";
        return Err(DataError::setting("held_out", share, remedy));
    }
    Ok(split)
}

/// The indices of samples that stay together, for each class and label; of those that differ in
/// their labels, the anomalous one counts.
fn strata(samples: &[Sample]) -> Vec<Vec<Vec<usize>>> {
    let mut units: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (index, sample) in samples.iter().enumerate() {
        let alone = sample.group.is_none().then_some(index);
        units.entry((&sample.class, &sample.group, alone)).or_default().push(index);
    }
    let mut strata: BTreeMap<_, Vec<Vec<usize>>> = BTreeMap::new();
    for ((class, _, _), unit) in units {
        let label = unit.iter().map(|index| samples[*index].label).max();
        strata.entry((class, label)).or_default().push(unit);
    }
    strata.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Label;

    fn samples() -> Vec<Sample> {
        let groups =
            [("nut", Label::Normal, 10), ("nut", Label::Anomalous, 4), ("screw", Label::Normal, 1)];
        let of = |(class, label, count): (&str, Label, usize)| {
            let class = class.to_owned();
            (0..count).map(move |index| {
                let image = format!("{class}-{label:?}-{index}.png").into();
                Sample::new(image, &class, label, "bent")
            })
        };
        groups.into_iter().flat_map(of).collect()
    }

    fn count(part: &[Sample], class: &str, label: Label) -> usize {
        part.iter().filter(|sample| sample.class == class && sample.label == label).count()
    }

    #[test]
    fn every_class_and_label_gives_its_share_and_keeps_one() {
        let HeldOutSplit { training, held_out } = hold_out(samples(), 0.5, 3).unwrap();
        assert_eq!(count(&held_out, "nut", Label::Normal), 5);
        assert_eq!(count(&held_out, "nut", Label::Anomalous), 2);
        assert_eq!((count(&held_out, "screw", Label::Normal), held_out.len()), (0, 7));
        let mut all = [training, held_out].concat();
        all.sort_by_key(|sample| samples().iter().position(|other| other == sample));
        assert_eq!(all, samples());
    }

    #[test]
    fn what_is_not_independent_stays_together() {
        let mut slices = samples();
        slices.iter_mut().enumerate().for_each(|(index, slice)| {
            slice.class = "brain".into();
            slice.group = Some(format!("patient {}", index % 5));
        });
        let HeldOutSplit { training, held_out } = hold_out(slices, 0.4, 3).unwrap();
        assert_eq!((training.len(), held_out.len()), (9, 6));
        assert!(held_out.iter().all(|slice| training.iter().all(|t| t.group != slice.group)));
    }

    #[test]
    fn the_seed_decides_and_nothing_else() {
        let drawn = |seed| hold_out(samples(), 0.3, seed).unwrap();
        assert_eq!(drawn(1), drawn(1));
        assert!((2..9).any(|seed| drawn(seed) != drawn(1)));
    }

    #[test]
    fn a_share_that_cannot_be_is_refused() {
        assert_eq!(hold_out(samples(), 0.0, 1).unwrap().training, samples());
        for (share, says) in [(1.0, "under 1"), (f64::NAN, "under 1"), (0.01, "larger share")] {
            let line = hold_out(samples(), share, 1).unwrap_err().to_string();
            assert!(line.contains("held_out") && line.contains(says), "{line}");
        }
    }
}
