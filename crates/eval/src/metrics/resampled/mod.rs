//! The pixel metrics of every bootstrap draw, exact, from one pass over the pixels.
//!
//! A draw takes an image, or the images of a group, so and so many times: each of its pixels then
//! counts so often. Pixels are sorted once, by score, with the image that they are of (`Sorted`), and
//! pass all draws side by side (`sweep`). Eight bytes a pixel, and one addition a pixel and draw; the
//! metrics of a draw move only where an anomalous pixel lies.

mod sweep;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read, Seek, Write};
use std::path::PathBuf;

use super::aupro::Regions;
use super::pixels::Workspace;
use super::tie::{key, share};
use super::{MaskedMap, PixelMetrics};
use crate::EvalError;
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

/// Bytes that each file is read through.
const BUFFER: usize = 1 << 18;

/// Collects numbers.
#[derive(Debug)]
struct Sorted {
    at_once: usize,
    folder: PathBuf,
    held: Vec<u64>,
    /// Sorted, each.
    files: Vec<File>,
}

impl Sorted {
    /// Without a number yet.
    fn new(at_once: usize, folder: PathBuf) -> Self {
        Self { at_once, folder, held: Vec::new(), files: Vec::new() }
    }

    fn push(&mut self, number: u64) -> Result<(), EvalError> {
        if self.held.len() >= self.at_once {
            self.spill().map_err(|cause| self.failed(cause))?;
        }
        self.held.push(number);
        Ok(())
    }

    /// Gives every number to `take`, from the lowest up.
    fn read(&mut self, take: impl FnMut(u64)) -> Result<(), EvalError> {
        self.held.sort_unstable();
        if self.files.is_empty() {
            self.held.iter().copied().for_each(take);
            return Ok(());
        }
        self.merge(take).map_err(|cause| self.failed(cause))
    }

    fn spill(&mut self) -> io::Result<()> {
        self.held.sort_unstable();
        let mut file = tempfile::tempfile_in(&self.folder)?;
        file.write_all(bytemuck::cast_slice(&self.held))?;
        self.held.clear();
        self.files.push(file);
        Ok(())
    }

    fn merge(&self, mut take: impl FnMut(u64)) -> io::Result<()> {
        let mut sources: Vec<Box<dyn Read + '_>> = Vec::with_capacity(self.files.len() + 1);
        for mut file in &self.files {
            file.rewind()?;
            sources.push(Box::new(BufReader::with_capacity(BUFFER, file)));
        }
        sources.push(Box::new(bytemuck::cast_slice::<u64, u8>(&self.held)));
        let mut heads = BinaryHeap::with_capacity(sources.len());
        for (index, source) in sources.iter_mut().enumerate() {
            heads.extend(next(source)?.map(|number| Reverse((number, index))));
        }
        while let Some(Reverse((number, index))) = heads.pop() {
            take(number);
            heads.extend(next(&mut sources[index])?.map(|number| Reverse((number, index))));
        }
        Ok(())
    }

    fn failed(&self, cause: io::Error) -> EvalError {
        EvalError::Workspace { folder: self.folder.clone(), cause }
    }
}

/// The next number of a source; `None` at its end.
fn next(source: &mut impl Read) -> io::Result<Option<u64>> {
    let mut bytes = [0; size_of::<u64>()];
    match source.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(u64::from_ne_bytes(bytes))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::MapView;
    use crate::metrics::pixel_metrics;

    const WIDTH: usize = 8;

    struct Made {
        map: Vec<f32>,
        mask: Option<Vec<bool>>,
    }

    impl Made {
        fn masked(&self) -> MaskedMap<'_> {
            let map = MapView::new(WIDTH, self.map.len() / WIDTH, &self.map).unwrap();
            self.mask
                .as_ref()
                .map_or(MaskedMap::normal(map), |mask| MaskedMap::new(map, mask).unwrap())
        }
    }

    /// Five images with few distinct scores, so that many tie, and masks of several regions.
    fn made(rng: &mut ChaCha8Rng) -> Vec<Made> {
        let mut image = |index: usize| {
            let mask: Vec<bool> = (0..64).map(|_| rng.random_range(0..5) == 0).collect();
            let score =
                |&marked: &bool| (rng.random_range(0..12) + 2 * i32::from(marked)) as f32 / 7.0;
            let map = mask.iter().map(score).collect();
            Made { map, mask: index.is_multiple_of(2).then_some(mask) }
        };
        (0..5).map(&mut image).collect()
    }

    #[test]
    fn a_draw_is_the_metrics_of_its_images_taken_so_often() {
        let mut rng = ChaCha8Rng::seed_from_u64(8);
        for at_once in [7, 1 << 20] {
            let images = made(&mut rng);
            // The last two images are one group.
            let groups = [0, 1, 2, 3, 3];
            let mut pixels = GroupedPixels::sorting(at_once, Workspace::default());
            for (image, group) in images.iter().zip(groups) {
                pixels.push(image.masked(), group).unwrap();
            }
            let draws: Vec<Vec<u64>> =
                (0..20).map(|_| (0..4).map(|_| rng.random_range(0..3)).collect()).collect();
            let found = pixels.metrics(&draws).unwrap();
            assert_eq!(found, pixels.metrics(&draws).unwrap(), "may be asked again");
            for (draw, found) in draws.iter().zip(found) {
                let taken = images
                    .iter()
                    .zip(groups)
                    .flat_map(|(image, group)| (0..draw[group]).map(move |_| image.masked()));
                let expected = pixel_metrics(&taken.collect::<Vec<_>>()).unwrap();
                let exact = |metrics: &PixelMetrics| {
                    (metrics.auroc, metrics.ap, metrics.f1_max, metrics.iou)
                };
                assert_eq!(exact(&found), exact(&expected), "{draw:?}");
                assert_eq!(found.aupro_exact.is_some(), expected.aupro_exact.is_some());
                let gap = found.aupro_exact.unwrap_or(0.0) - expected.aupro_exact.unwrap_or(0.0);
                assert!(gap.abs() < 1e-12, "{draw:?}: {gap}");
            }
        }
    }

    #[test]
    fn a_draw_of_one_kind_of_pixel_defines_nothing() {
        let images = made(&mut ChaCha8Rng::seed_from_u64(9));
        let mut pixels = GroupedPixels::new(Workspace::default());
        for (group, image) in images.iter().take(2).enumerate() {
            pixels.push(image.masked(), group).unwrap();
        }
        let [normal, nothing, both] =
            &pixels.metrics(&[vec![0, 3], vec![0, 0], vec![1, 1]]).unwrap()[..]
        else {
            panic!("three draws")
        };
        assert_eq!((*normal, *nothing), (PixelMetrics::default(), PixelMetrics::default()));
        assert!(both.auroc.is_some());
    }
}
