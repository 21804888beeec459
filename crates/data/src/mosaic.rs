//! Mosaics of training pictures: four of one class in a square, so that a thing is also seen small and
//! several times, as APRIL-GAN (arXiv 2305.17382) trains on MVTec-AD.

use std::collections::BTreeMap;
use std::sync::Arc;

use image::imageops::replace;
use image::{GrayImage, RgbImage};
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

use crate::sample::Sample;

/// A picture as it was read, and its mask of the same size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PictureWithMask {
    /// The picture.
    pub picture: RgbImage,
    /// Its anomalous pixels; black where there are none.
    pub mask: GrayImage,
}

/// Four pictures, row by row, as one of twice the first one's sides. The others keep their scale: what
/// leaves the whole is cut, the next one covers what reaches into its place, and what a picture does
/// not fill is black.
pub fn mosaic(parts: &[PictureWithMask; 4]) -> PictureWithMask {
    let (width, height) = parts[0].picture.dimensions();
    let mut whole = PictureWithMask {
        picture: RgbImage::new(2 * width, 2 * height),
        mask: GrayImage::new(2 * width, 2 * height),
    };
    let corners = [(0, 0), (width, 0), (0, height), (width, height)];
    for (part, (left, top)) in parts.iter().zip(corners) {
        let (left, top) = (i64::from(left), i64::from(top));
        replace(&mut whole.picture, &part.picture, left, top);
        replace(&mut whole.mask, &part.mask, left, top);
    }
    whole
}

/// How often a sample gives way to a mosaic of its class, and of which samples that is made.
#[derive(Clone, Debug)]
pub(crate) struct MosaicDraw {
    probability: f64,
    /// By class, the samples of each kind of defect; good ones are a kind, too.
    classes: Arc<BTreeMap<String, Vec<Vec<usize>>>>,
}

impl MosaicDraw {
    pub(crate) fn new(samples: &[Sample], probability: f64) -> Self {
        let mut kinds: BTreeMap<(&str, &str), Vec<usize>> = BTreeMap::new();
        for (index, Sample { class, defect, .. }) in samples.iter().enumerate() {
            kinds.entry((class, defect)).or_default().push(index);
        }
        let mut classes: BTreeMap<String, Vec<Vec<usize>>> = BTreeMap::new();
        for ((class, _), samples) in kinds {
            classes.entry(class.to_owned()).or_default().push(samples);
        }
        Self { probability, classes: classes.into() }
    }

    /// Four samples of a class, if it comes to a mosaic. Each is drawn by its kind of defect first, all
    /// kinds alike, so that rare ones are seen as often as frequent ones.
    pub(crate) fn draw(&self, class: &str, rng: &mut impl Rng) -> Option<[usize; 4]> {
        if rng.random::<f64>() >= self.probability {
            return None;
        }
        let kinds = self.classes.get(class)?;
        let mut part = || kinds.choose(rng)?.choose(rng).copied();
        Some([part()?, part()?, part()?, part()?])
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use image::{Luma, Rgb};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::sample::Label;

    fn part(width: u32, height: u32, grey: u8) -> PictureWithMask {
        let picture = RgbImage::from_pixel(width, height, Rgb([grey; 3]));
        PictureWithMask { picture, mask: GrayImage::from_pixel(width, height, Luma([grey])) }
    }

    #[test]
    fn the_first_gives_the_cell_and_later_ones_cover_earlier_ones() {
        let whole = mosaic(&[part(2, 2, 1), part(3, 3, 2), part(1, 1, 3), part(1, 2, 4)]);
        let expected = [1, 1, 2, 2, 1, 1, 2, 2, 3, 0, 4, 2, 0, 0, 4, 0];
        assert_eq!(whole.mask.into_raw(), expected);
        let red: Vec<u8> = whole.picture.pixels().map(|pixel| pixel.0[0]).collect();
        assert_eq!(red, expected);
    }
    #[test]
    fn all_kinds_of_a_class_are_drawn_alike_and_none_of_another() {
        let sample = |class: &str, defect: &str| {
            Sample::new(PathBuf::new(), class, Label::Anomalous, defect)
        };
        let mut samples = vec![sample("nut", "good"); 9];
        samples.extend([sample("nut", "bent"), sample("pill", "good")]);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (always, never) = (MosaicDraw::new(&samples, 1.0), MosaicDraw::new(&samples, 0.0));
        assert_eq!(never.draw("nut", &mut rng), None);
        let drawn = (0..250).flat_map(|_| always.draw("nut", &mut rng).unwrap());
        let drawn = drawn.collect::<Vec<_>>();
        assert!(!drawn.contains(&10), "the pill");
        let bent = drawn.iter().filter(|index| **index == 9).count();
        assert!((440..560).contains(&bent), "one kind of two: {bent} of 1000");
    }
}
