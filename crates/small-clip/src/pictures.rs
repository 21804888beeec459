//! The pictures that are looked at: drawn once, then cropped, turned and recoloured without end.
//!
//! The generator knows what it drew. Of that, this reaches the model: a sentence about the crop, which
//! says whether a defect can be seen in it, and for each crop with a defect the same one without it,
//! with the other sentence. Masks decide that one word and are no target of anything.

use std::ops::ControlFlow;

use moeclip_data::{CLIP_MEAN, CLIP_STD, DataError, Split};
use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use synthetic_world::{Category, DefectKind, DrawProgress, Role, Shot, Twins, World};

use crate::captions::{ImageLabel, State};
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
        observe: impl FnMut(DrawProgress) -> ControlFlow<()>,
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
        observe: impl FnMut(DrawProgress) -> ControlFlow<()>,
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
    pub(crate) fn label(&self, index: usize) -> ImageLabel {
        let Shot { category, defect, .. } = self.shots[index];
        ImageLabel { category, state: defect.map_or(State::Sound, State::With) }
    }

    /// A window of `side` pixels in which a defect is seen.
    pub(crate) fn defective_view(
        &self,
        side: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<(View, ImageLabel)> {
        let (category, defect) = any_defect(rng)?;
        let picture =
            self.any(rng, |shot| (shot.category, shot.defect) == (category, Some(defect)))?;
        let window = (0..ATTEMPTS)
            .map(|_| Window::draw(self.side, side, rng))
            .find(|window| self.seen(picture, *window) >= VISIBLE);
        let window = window.unwrap_or_else(|| self.around_defect(picture, side));
        let label = ImageLabel { category, state: State::With(defect) };
        Some((View::draw(picture, window, rng), label))
    }

    /// A window of `side` pixels without a defect: of a normal picture, or beside a defect.
    pub(crate) fn normal_view(
        &self,
        side: usize,
        rng: &mut ChaCha8Rng,
    ) -> Option<(View, ImageLabel)> {
        let category = any_category(rng)?;
        let label = ImageLabel { category, state: State::Sound };
        if side < self.side && rng.random_bool(BESIDE_A_DEFECT) {
            let other = self.any(rng, |shot| shot.category == category && shot.defect.is_some());
            let windows = other.into_iter().flat_map(|index| (0..ATTEMPTS).map(move |_| index));
            for index in windows {
                let window = Window::draw(self.side, side, rng);
                if self.seen(index, window) == 0 {
                    return Some((View::draw(index, window, rng), label));
                }
            }
        }
        let picture = self.any(rng, |shot| (shot.category, shot.defect) == (category, None))?;
        let window = Window::draw(self.side, side, rng);
        Some((View::draw(picture, window, rng), label))
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

/// A square part of a picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) side: usize,
}

/// A window of a picture as it is shown.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// Which picture.
    pub(crate) picture: usize,
    pub(crate) window: Window,
    turn: Turn,
    colours: Colours,
}

/// One of the eight ways to lay down a square.
#[derive(Debug, Clone, Copy)]
struct Turn {
    mirrored: bool,
    upside_down: bool,
    transposed: bool,
}

/// What is done to the colours: the same for all pixels, so that nothing but the surface changes.
#[derive(Debug, Clone)]
struct Colours {
    /// Which channel of the picture each channel shows.
    channels: [usize; 3],
    is_grey: bool,
    is_negative: bool,
    /// What a byte becomes, for each channel; 0 to 1.
    curves: [Vec<f32>; 3],
}

/// Pixels of a square, 0 to 1, row by row.
pub(crate) type Colour = [f32; 3];

impl Window {
    /// Anywhere in a picture of `whole` pixels.
    pub(crate) fn draw(whole: usize, side: usize, rng: &mut ChaCha8Rng) -> Self {
        let free = whole.saturating_sub(side);
        Self { top: rng.random_range(0..=free), left: rng.random_range(0..=free), side }
    }
}

impl View {
    pub(crate) fn draw(picture: usize, window: Window, rng: &mut ChaCha8Rng) -> Self {
        let turn = Turn {
            mirrored: rng.random_bool(0.5),
            upside_down: rng.random_bool(0.5),
            transposed: rng.random_bool(0.5),
        };
        Self { picture, window, turn, colours: Colours::draw(rng) }
    }

    /// The same window as it lies, in its own colours: for measuring.
    pub(crate) fn plain(picture: usize, window: Window) -> Self {
        let turn = Turn { mirrored: false, upside_down: false, transposed: false };
        Self { picture, window, turn, colours: Colours::own() }
    }

    /// The pixels that it shows of a picture of `whole` by `whole` RGB bytes.
    pub(crate) fn pixels(&self, bytes: &[u8], whole: usize) -> Vec<Colour> {
        let Window { top, left, side } = self.window;
        let pixel = |index: usize| {
            let (y, x) = self.turn.source(index / side, index % side, side);
            let at = 3 * ((top + y) * whole + left + x);
            self.colours.of([bytes[at], bytes[at + 1], bytes[at + 2]])
        };
        (0..side * side).map(pixel).collect()
    }

    /// Row and column of the first patch among those of a whole picture of `whole` pixels, turned as the
    /// view is.
    pub(crate) fn corner(&self, whole: usize, patch: usize) -> [usize; 2] {
        let Window { top, left, side } = self.window;
        let Turn { mirrored, upside_down, transposed } = self.turn;
        let (top, left) = if transposed { (left, top) } else { (top, left) };
        let turned = |start: usize, turned: bool| if turned { whole - side - start } else { start };
        [turned(top, upside_down), turned(left, mirrored)].map(|start| (start + patch / 2) / patch)
    }
}

impl Turn {
    /// Where a pixel of the view comes from.
    fn source(self, y: usize, x: usize, side: usize) -> (usize, usize) {
        let y = if self.upside_down { side - 1 - y } else { y };
        let x = if self.mirrored { side - 1 - x } else { x };
        if self.transposed { (x, y) } else { (y, x) }
    }
}

impl Colours {
    fn own() -> Self {
        let curve: Vec<f32> = (0..256).map(|byte| byte as f32 / 255.0).collect();
        let curves = [curve.clone(), curve.clone(), curve];
        Self { channels: [0, 1, 2], is_grey: false, is_negative: false, curves }
    }

    fn draw(rng: &mut ChaCha8Rng) -> Self {
        let mut channels = [0, 1, 2];
        if rng.random_bool(0.4) {
            channels.shuffle(rng);
        }
        let light = rng.random_range(0.8..1.2_f32);
        let gamma = rng.random_range(-0.35..0.35_f32).exp();
        let curves = std::array::from_fn(|_| {
            let gain = light * rng.random_range(0.85..1.15_f32);
            let curve = |byte: u16| (gain * (f32::from(byte) / 255.0).powf(gamma)).clamp(0.0, 1.0);
            (0..256).map(curve).collect()
        });
        Self { channels, is_grey: rng.random_bool(0.2), is_negative: rng.random_bool(0.1), curves }
    }

    fn of(&self, bytes: [u8; 3]) -> Colour {
        let mut bytes = self.channels.map(|channel| bytes[channel]);
        if self.is_grey {
            let [red, green, blue] = bytes.map(u32::from);
            bytes = [((30 * red + 59 * green + 11 * blue) / 100) as u8; 3];
        }
        let curve = |channel: usize| {
            // A grey picture stays grey: all channels take the first curve.
            let curve = if self.is_grey { &self.curves[0] } else { &self.curves[channel] };
            let value = curve[usize::from(bytes[channel])];
            if self.is_negative { 1.0 - value } else { value }
        };
        [curve(0), curve(1), curve(2)]
    }
}

/// Pixels as the image tower reads them: `[3, side, side]`, normalised as CLIP's are.
pub(crate) fn normalised(pixels: &[Colour]) -> Vec<f32> {
    let channel =
        |c: usize| pixels.iter().map(move |pixel| (pixel[c] - CLIP_MEAN[c]) / CLIP_STD[c]);
    (0..3).flat_map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture of 4 by 4 whose red says where a pixel lies.
    fn places() -> Vec<u8> {
        (0..16_u8).flat_map(|place| [place, 0, 0]).collect()
    }

    fn red(view: &View) -> Vec<u8> {
        view.pixels(&places(), 4).iter().map(|pixel| (pixel[0] * 255.0).round() as u8).collect()
    }

    #[test]
    fn a_view_is_its_window_turned() {
        let window = Window { top: 1, left: 2, side: 2 };
        let plain = View::plain(0, window);
        assert_eq!(red(&plain), [6, 7, 10, 11]);
        let turned = |mirrored, upside_down, transposed| View {
            turn: Turn { mirrored, upside_down, transposed },
            ..plain.clone()
        };
        assert_eq!(red(&turned(true, false, false)), [7, 6, 11, 10]);
        assert_eq!(red(&turned(false, true, false)), [10, 11, 6, 7]);
        assert_eq!(red(&turned(false, false, true)), [6, 10, 7, 11]);
    }

    #[test]
    fn positions_turn_with_the_picture() {
        let window = Window { top: 0, left: 8, side: 16 };
        let plain = View::plain(0, window);
        assert_eq!(plain.corner(32, 8), [0, 1]);
        let turned = |mirrored, upside_down, transposed| View {
            turn: Turn { mirrored, upside_down, transposed },
            ..plain.clone()
        };
        assert_eq!(turned(true, false, false).corner(32, 8), [0, 1]);
        assert_eq!(turned(false, true, false).corner(32, 8), [2, 1]);
        assert_eq!(turned(false, false, true).corner(32, 8), [1, 0]);
    }

    #[test]
    fn pixels_are_normalised_as_clips_are() {
        let normal = normalised(&[CLIP_MEAN, [1.0; 3]]);
        assert_eq!(normal.len(), 6);
        assert_eq!([normal[0], normal[2], normal[4]], [0.0; 3]);
        assert!((normal[1] - (1.0 - CLIP_MEAN[0]) / CLIP_STD[0]).abs() < 1e-6);
    }
}
