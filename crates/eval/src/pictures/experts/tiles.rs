//! The tiles of a layer: who is trusted where, how alike the experts are, what each adds.

use anomaly::{ExpertExplanation, TapExplanation};
use image::{Rgb, RgbImage};

use super::canvas::{SIDE, Tile};
use super::colours;
use crate::error::require_length;
use crate::pictures::font::{GLYPH, Pen, draw_text, text_width};
use crate::pictures::overlay::{MapOverImage, tint};
use crate::{EvalError, MapRange};

/// How much of the image the colour of an expert covers.
const STRENGTH: f32 = 0.65;
/// Width of the experts' colours beside a matrix.
const MARGIN: u32 = 10;

/// The image itself.
pub(super) fn image_tile(image: &RgbImage) -> Tile {
    Tile { picture: image.clone(), colour: None, caption: vec!["image".into()] }
}

/// The anomaly map over the image.
pub(super) fn anomaly_tile(over: MapOverImage<'_>) -> Tile {
    let (low, high) = (over.range.low(), over.range.high());
    let caption = vec!["anomaly map".into(), format!("{low:.2} to {high:.2}")];
    Tile { picture: over.draw(), colour: None, caption }
}

/// Draws the tiles of one layer.
pub(super) struct LayerTiles<'a> {
    /// The image in grey, as large as a tile.
    grey: RgbImage,
    grid: usize,
    tap: &'a TapExplanation,
    /// From zero to the highest Grad-CAM of any expert.
    range: MapRange,
}

impl<'a> LayerTiles<'a> {
    /// # Errors
    /// [`EvalError`] when a map or the matrix has not as many values as the grid or the experts ask for.
    pub(super) fn new(
        image: &RgbImage,
        grid: usize,
        tap: &'a TapExplanation,
    ) -> Result<Self, EvalError> {
        let (patches, experts) = (grid.saturating_mul(grid), tap.experts.len());
        require_length("first choices", patches.max(1), tap.first_choices.len())?;
        for expert in &tap.experts {
            require_length("grad_cam", patches, expert.grad_cam.len())?;
        }
        for row in &tap.similarity {
            require_length("similarity", experts, row.len())?;
        }
        let all = tap.experts.iter().flat_map(|expert| expert.grad_cam.iter().copied());
        let range = MapRange::new(0.0, all.fold(0.0, f32::max))?;
        let mut grey = image.clone();
        grey.pixels_mut().for_each(|pixel| *pixel = colours::grey(*pixel));
        Ok(Self { grey, grid, tap, range })
    }

    /// Each patch in the colour of its expert.
    pub(super) fn first_choices(&self) -> Tile {
        let colour = |pixel, patch: usize| {
            colours::mixed(pixel, colours::expert(self.tap.first_choices[patch]), STRENGTH)
        };
        let caption = vec!["first choice of each patch".into(), self.most_trusted()];
        Tile { picture: self.over_patches(colour), colour: None, caption }
    }

    /// The matrix of cosines, the experts' colours on its left and above.
    pub(super) fn similarity(&self) -> Tile {
        let experts = self.tap.experts.len().max(1) as u32;
        let cell = ((SIDE - MARGIN) / experts).max(1);
        let side = (MARGIN + cell * experts).min(SIDE);
        let mut picture = RgbImage::from_pixel(side, side, Rgb([24; 3]));
        for (row, values) in (0..).zip(&self.tap.similarity) {
            let (start, colour) = (MARGIN + row * cell, colours::expert(row as usize));
            fill(&mut picture, [1, start], [MARGIN - 3, cell - 1], colour);
            fill(&mut picture, [start, 1], [cell - 1, MARGIN - 3], colour);
            for (column, value) in (0..).zip(values) {
                matrix_cell(&mut picture, [MARGIN + column * cell, start], cell, *value);
            }
        }
        let caption = vec!["cosine of two experts".into(), "-1 blue, 0 white, 1 red".into()];
        Tile { picture, colour: None, caption }
    }

    /// Where an expert raises the score.
    pub(super) fn expert(&self, expert: &ExpertExplanation) -> Tile {
        let place = self.tap.experts.iter().position(|other| other.number == expert.number);
        let fraction = |patch: usize| self.range.fraction(expert.grad_cam[patch]);
        let picture = self.over_patches(|pixel, patch| tint(pixel, fraction(patch)));
        let highest = expert.grad_cam.iter().copied().fold(0.0, f32::max);
        let ExpertExplanation { number, first_choices, choices, mean_weight, .. } = expert;
        let caption = vec![
            format!("expert {number}  weight {mean_weight:.3}"),
            format!("first {first_choices}, asked {choices}"),
            format!("Grad-CAM {}", up_to(highest)),
        ];
        Tile { picture, colour: place.map(colours::expert), caption }
    }

    fn most_trusted(&self) -> String {
        let most = self.tap.experts.iter().max_by_key(|expert| expert.first_choices);
        most.map_or_else(String::new, |expert| {
            let share = 100.0 * expert.first_choices as f32 / self.tap.first_choices.len() as f32;
            format!("expert {} in {share:.0} %", expert.number)
        })
    }

    /// The grey image, every pixel coloured by the patch that it lies in.
    fn over_patches(&self, colour: impl Fn(Rgb<u8>, usize) -> Rgb<u8>) -> RgbImage {
        let mut picture = self.grey.clone();
        let (width, height) = picture.dimensions();
        let patch = |at: u32, side: u32| at as usize * self.grid / side as usize;
        for (x, y, pixel) in picture.enumerate_pixels_mut() {
            *pixel = colour(*pixel, patch(y, height) * self.grid + patch(x, width));
        }
        picture
    }
}

/// How high a map is, in few characters.
fn up_to(highest: f32) -> String {
    match highest {
        0.0 => "nowhere".to_owned(),
        value if (0.01..1e4).contains(&value) => format!("up to {value:.2}"),
        value => format!("up to {value:.1e}"),
    }
}

/// A cell in the colour of its value, which is written where it fits.
fn matrix_cell(picture: &mut RgbImage, [x, y]: [u32; 2], cell: u32, value: f32) {
    let colour = colours::cosine(value);
    fill(picture, [x, y], [cell - 1, cell - 1], colour);
    let text = format!("{value:.2}");
    let width = text_width(&text, 1);
    if width + 2 <= cell {
        let (x, y) = (x + (cell - width) / 2, y + (cell - GLYPH) / 2);
        draw_text(picture, Pen { x, y, scale: 1, colour: colours::ink_on(colour) }, &text);
    }
}

fn fill(picture: &mut RgbImage, corner: [u32; 2], size: [u32; 2], colour: Rgb<u8>) {
    for y in corner[1]..(corner[1] + size[1]).min(picture.height()) {
        for x in corner[0]..(corner[0] + size[0]).min(picture.width()) {
            picture.put_pixel(x, y, colour);
        }
    }
}
