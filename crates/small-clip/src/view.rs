//! Where in a picture one looks, how it is turned, and in which colours it is seen.

use moeclip_data::{CLIP_MEAN, CLIP_STD};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

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
