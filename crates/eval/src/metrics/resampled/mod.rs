//! The pixel metrics of every bootstrap draw, exact, from one pass over the pixels.
//!
//! A draw takes an image, or the images of a group, so and so many times: each of its pixels then
//! counts so often. Pixels are sorted once, by score, with the image that they are of (`sorted`), and
//! pass all draws side by side (`sweep`). Eight bytes a pixel, and one addition a pixel and draw; the
//! metrics of a draw move only where an anomalous pixel lies.

mod sorted;
mod sweep;

use super::pixels::Workspace;
use super::regions::Regions;
use super::tie::{key, share};
use super::{MaskedMap, PixelMetrics};
use crate::EvalError;
use sorted::Sorted;
use sweep::{Draws, GroupTotals};

/// What marks an anomalous pixel; the other bits of its tag are its region.
const ANOMALOUS: u32 = 1 << 31;

/// Fewest pixels that are sorted at once: 8 MB.
const FEWEST: usize = 1 << 20;

/// Collects maps and masks by group, and measures draws of groups.
#[derive(Debug)]
pub(crate) struct GroupedPixels {
    sorted: Sorted,
    totals: Vec<GroupTotals>,
    regions: Vec<Region>,
}

/// An anomalous region.
#[derive(Clone, Copy, Debug)]
struct Region {
    group: u32,
    area: u32,
}

impl GroupedPixels {
    /// Without a pixel yet.
    pub(crate) fn new(workspace: Workspace) -> Self {
        let at_once = (workspace.memory / size_of::<u64>()).max(FEWEST);
        Self::sorting(at_once, workspace)
    }

    fn sorting(at_once: usize, workspace: Workspace) -> Self {
        let sorted = Sorted::new(at_once, workspace.folder);
        Self { sorted, totals: Vec::new(), regions: Vec::new() }
    }

    /// Takes a map of a group in.
    ///
    /// # Errors
    /// [`EvalError::Workspace`] when the temporary files cannot be written.
    pub(crate) fn push(&mut self, masked: MaskedMap<'_>, group: usize) -> Result<(), EvalError> {
        let values = masked.map.values();
        let mask = masked.mask.filter(|mask| mask.contains(&true));
        let regions = mask.map(|mask| Regions::of(mask, masked.map.width()));
        let first = self.regions.len() as u32;
        let areas = regions.as_ref().map(Regions::areas).unwrap_or_default();
        let group_tag = group as u32;
        self.regions.extend(areas.iter().map(|&area| Region { group: group_tag, area }));
        let anomalous: u64 = areas.iter().map(|&area| u64::from(area)).sum();
        if self.totals.len() <= group {
            self.totals.resize(group + 1, GroupTotals::default());
        }
        let totals = &mut self.totals[group];
        totals.counts.positives += anomalous;
        totals.counts.negatives += values.len() as u64 - anomalous;
        totals.regions += areas.len() as u64;
        for (pixel, &score) in values.iter().enumerate() {
            let label = regions.as_ref().map_or(0, |regions| regions.labels()[pixel]);
            let tag = if label == 0 { group_tag } else { ANOMALOUS | (first + label - 1) };
            self.sorted.push(u64::from(key(score)) << 32 | u64::from(tag))?;
        }
        Ok(())
    }

    /// The metrics of each draw, which is how often it takes each group. AUPRO by 200 steps is left
    /// out: its steps follow from the range of each draw's scores.
    ///
    /// # Errors
    /// As [`GroupedPixels::push`].
    pub(crate) fn metrics(&mut self, draws: &[Vec<u64>]) -> Result<Vec<PixelMetrics>, EvalError> {
        let mut sweep = Draws::new(&self.totals, draws);
        let regions = &self.regions;
        self.sorted.read(|entry| {
            let (key, tag) = ((entry >> 32) as u32, entry as u32);
            if tag & ANOMALOUS == 0 {
                return sweep.normal(key, tag as usize);
            }
            if let Some(region) = regions.get((tag & !ANOMALOUS) as usize) {
                sweep.anomalous(key, region.group as usize, share(region.area));
            }
        })?;
        Ok(sweep.finish())
    }
}

#[cfg(test)]
mod tests;
