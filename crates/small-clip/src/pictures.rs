//! The pictures that are looked at: drawn once, then cropped, turned and recoloured without end.
//!
//! The generator knows what it drew. Of that, this reaches the model: a sentence about the crop, which
//! says whether a defect can be seen in it, and for each crop with a defect the same one without it,
//! with the other sentence. Masks decide that one word and are no target of anything.

use std::ops::ControlFlow;

use moeclip_data::{DataError, Split};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use synthetic_world::{Category, DefectKind, Drawn, Role, Shot, Twins, World};

use crate::captions::{Facts, State};
use crate::view::{View, Window};
use crate::{PictureSettings, PretrainConfig};

/// Pixels of a defect that must be in a crop for its caption to say so. Crops with fewer, but not
/// none, are not taken: nobody could tell.
const VISIBLE: usize = 24;

/// How often a window is drawn anew to have a defect in it, or not.
const ATTEMPTS: usize = 12;

/// How many crops of normal state are cut from pictures that have a defect elsewhere.
const BESIDE_A_DEFECT: f64 = 0.25;

/// Pictures of the auxiliary half.
#[derive(Debug)]
pub struct Pictures {
    shots: Vec<Shot>,
    twins: Vec<Twins>,
    side: usize,
}

impl Pictures {
    /// Draws the pictures of a run on so many threads; `None` where `observe` broke.
    ///
    /// # Errors
    ///
    /// [`DataError`] when the world has no such pictures.
    pub fn draw(
        config: &PretrainConfig,
        threads: usize,
        observe: impl FnMut(Drawn) -> ControlFlow<()>,
    ) -> Result<Option<Self>, DataError> {
        Self::from_shots(config, shots(&config.pictures, 0), threads, observe)
    }

    /// Draws pictures that no run of this configuration learns from, a twentieth as many.
    ///
    /// # Errors
    ///
    /// As [`Pictures::draw`].
    pub fn draw_held_out(
        config: &PretrainConfig,
        threads: usize,
    ) -> Result<Option<Self>, DataError> {
        let count = (config.pictures.count / 20).max(100);
        let settings = PictureSettings { count, ..config.pictures.clone() };
        let shots = shots(&settings, config.pictures.count);
        Self::from_shots(config, shots, threads, |_| ControlFlow::Continue(()))
    }

    fn from_shots(
        config: &PretrainConfig,
        shots: Vec<Shot>,
        threads: usize,
        observe: impl FnMut(Drawn) -> ControlFlow<()>,
    ) -> Result<Option<Self>, DataError> {
        let side = config.model.patch * config.model.grid;
        let world = World::new(config.seed, side as u32)?;
        let twins = world.all_twins(&shots, threads, observe)?;
        Ok(twins.map(|twins| Self { shots, twins, side }))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.twins.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.twins.is_empty()
    }

    /// Side of a picture in pixels.
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// The bytes of a picture, RGB row by row.
    pub(crate) fn bytes(&self, index: usize) -> &[u8] {
        self.twins[index].picture.image.as_raw()
    }

    /// The bytes of the same scene without its defect; those of the picture where it has none.
    pub(crate) fn sound_bytes(&self, index: usize) -> &[u8] {
        let Twins { picture, sound } = &self.twins[index];
        sound.as_ref().unwrap_or(&picture.image).as_raw()
    }

    /// What a whole picture shows.
    pub(crate) fn facts(&self, index: usize) -> Facts {
        let Shot { category, defect, .. } = self.shots[index];
        Facts { category, state: defect.map_or(State::Sound, State::With) }
    }

    /// A window of `side` pixels in which a defect is seen.
    pub(crate) fn defective_view(
        &self,
        side: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<(View, Facts)> {
        let (category, defect) = any_defect(rng)?;
        let picture =
            self.any(rng, |shot| (shot.category, shot.defect) == (category, Some(defect)))?;
        let window = (0..ATTEMPTS)
            .map(|_| Window::draw(self.side, side, rng))
            .find(|window| self.seen(picture, *window) >= VISIBLE);
        let window = window.unwrap_or_else(|| self.around_defect(picture, side));
        let facts = Facts { category, state: State::With(defect) };
        Some((View::draw(picture, window, rng), facts))
    }

    /// A window of `side` pixels without a defect: of a normal picture, or beside a defect.
    pub(crate) fn normal_view(&self, side: usize, rng: &mut ChaCha8Rng) -> Option<(View, Facts)> {
        let category = any_category(rng)?;
        let facts = Facts { category, state: State::Sound };
        if side < self.side && rng.random_bool(BESIDE_A_DEFECT) {
            let other = self.any(rng, |shot| shot.category == category && shot.defect.is_some());
            let windows = other.into_iter().flat_map(|index| (0..ATTEMPTS).map(move |_| index));
            for index in windows {
                let window = Window::draw(self.side, side, rng);
                if self.seen(index, window) == 0 {
                    return Some((View::draw(index, window, rng), facts));
                }
            }
        }
        let picture = self.any(rng, |shot| (shot.category, shot.defect) == (category, None))?;
        let window = Window::draw(self.side, side, rng);
        Some((View::draw(picture, window, rng), facts))
    }

    /// One of the pictures that are wanted.
    fn any(&self, rng: &mut ChaCha8Rng, wanted: impl Fn(&Shot) -> bool) -> Option<usize> {
        let count = self.shots.iter().filter(|shot| wanted(shot)).count();
        let place = (count > 0).then(|| rng.random_range(0..count))?;
        let mut places = (0..self.shots.len()).filter(|index| wanted(&self.shots[*index]));
        places.nth(place)
    }

    /// Pixels of the defect in a window.
    fn seen(&self, picture: usize, window: Window) -> usize {
        let Some(mask) = &self.twins[picture].picture.mask else { return 0 };
        let (mask, Window { top, left, side }) = (mask.as_raw(), window);
        let row = |y: usize| &mask[y * self.side + left..y * self.side + left + side];
        (top..top + side).map(|y| row(y).iter().filter(|pixel| **pixel > 0).count()).sum()
    }

    /// The window in whose middle the middle of the defect lies, as far as the picture reaches.
    fn around_defect(&self, picture: usize, side: usize) -> Window {
        let mask = self.twins[picture].picture.mask.as_ref().map(|mask| mask.as_raw().as_slice());
        let marked = mask.unwrap_or(&[]).iter().enumerate().filter(|(_, pixel)| **pixel > 0);
        let (mut count, mut sum) = (0, [0, 0]);
        for (place, _) in marked {
            count += 1;
            sum = [sum[0] + place / self.side, sum[1] + place % self.side];
        }
        let start =
            |sum: usize| (sum / count.max(1)).saturating_sub(side / 2).min(self.side - side);
        Window { top: start(sum[0]), left: start(sum[1]), side }
    }
}

fn any_category(rng: &mut ChaCha8Rng) -> Option<Category> {
    Category::of(Role::Auxiliary).collect::<Vec<_>>().choose(rng).copied()
}

fn any_defect(rng: &mut ChaCha8Rng) -> Option<(Category, DefectKind)> {
    let category = any_category(rng)?;
    category.defects().choose(rng).map(|defect| (category, *defect))
}

/// Pictures of every auxiliary category in turn, as even over its defects as can be. Those from
/// number `first` of each kind on; none is of the split that datasets are measured and trained on.
fn shots(settings: &PictureSettings, first: usize) -> Vec<Shot> {
    let categories: Vec<Category> = Category::of(Role::Auxiliary).collect();
    let shot = |number: usize| {
        let (category, round) = (categories[number % categories.len()], number / categories.len());
        let defects = category.defects();
        let before = (round as f64 * settings.defective).floor() as usize;
        let is_defective = ((round + 1) as f64 * settings.defective).floor() as usize > before;
        let (defect, index) = match is_defective {
            true => (Some(defects[before % defects.len()]), before / defects.len()),
            false => (None, round - before),
        };
        Shot { category, defect, split: Split::Train, index: first + index }
    };
    (0..settings.count).map(shot).collect()
}
