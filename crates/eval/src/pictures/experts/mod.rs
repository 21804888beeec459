//! What the experts did with an image, on one sheet: for each tapped layer the expert that each patch
//! trusts most, how alike the experts are, and where each of them adds to the score.

mod canvas;
mod colours;
mod tiles;

use anomaly::{ExpertExplanation, Explanation, TapExplanation};
use image::RgbImage;

use self::canvas::{Canvas, SIDE, Tile};
use self::tiles::{LayerTiles, anomaly_tile, image_tile};
use super::overlay::MapOverImage;
use super::sheet::shrunk;
use crate::{EvalError, MapView};

/// Most tiles side by side; a layer with more experts takes a further row.
const COLUMNS: usize = 8;

/// How a sheet is read.
const GUIDE: [&str; 4] = [
    "first choice: each patch in the colour of the expert that it trusts most",
    "cosine: between the outputs of two experts, mean over the patches",
    "expert: Grad-CAM, where what it adds raises the score; dark red is the most of all in its layer",
    "weight: mean routing weight; first: patches that trust it most; asked: patches that asked it",
];

/// An image and what explains its score.
#[derive(Clone, Copy, Debug)]
pub struct ExpertSheet<'a> {
    /// The image at its own size.
    pub image: &'a RgbImage,
    /// What its experts did.
    pub explanation: &'a Explanation,
    /// What is shown, such as the image's path.
    pub title: &'a str,
}

impl ExpertSheet<'_> {
    /// Draws the sheet. The image and its map stand on top, below them a band for each tapped layer. The
    /// colours of experts can be told apart by colour-blind people (Okabe and Ito); each is also named.
    ///
    /// # Errors
    /// [`EvalError`] when image or explanation have no pixels, or a map is not as large as its grid.
    pub fn draw(&self) -> Result<RgbImage, EvalError> {
        let (width, height) = self.image.dimensions();
        if width == 0 || height == 0 {
            let (width, height) = (width as usize, height as usize);
            return Err(EvalError::EmptyPicture { what: "image".into(), width, height });
        }
        let layers = self.layers()?;
        let tiles = layers.iter().map(|layer| layer.tiles.len().min(COLUMNS)).max().unwrap_or(0);
        let mut canvas = Canvas::new(tiles.max(4) as u32);
        canvas.heading(self.title, &self.facts());
        canvas.row(&self.pictures()?);
        canvas.beside(2, &GUIDE);
        for layer in &layers {
            canvas.heading(&layer.name, &layer.facts);
            layer.tiles.chunks(COLUMNS).for_each(|row| canvas.row(row));
        }
        Ok(canvas.finish())
    }

    fn facts(&self) -> String {
        let Explanation { grid, detection, .. } = self.explanation;
        let (score, maximum) = (detection.score, detection.map.maximum());
        format!("score {score:.3}  map's maximum {maximum:.2}  {grid} x {grid} patches")
    }

    fn pictures(&self) -> Result<[Tile; 2], EvalError> {
        let map = &self.explanation.detection.map;
        let map = MapView::new(map.size, map.size, &map.values)?;
        let shrunk = shrunk(self.image, SIDE);
        let over = MapOverImage { image: &shrunk, map, range: map.range() };
        Ok([image_tile(&shrunk), anomaly_tile(over)])
    }

    fn layers(&self) -> Result<Vec<Layer>, EvalError> {
        let image = shrunk(self.image, SIDE);
        let layer = |tap: &TapExplanation| {
            let tiles = LayerTiles::new(&image, self.explanation.grid, tap)?;
            let mut all = vec![tiles.first_choices(), tiles.similarity()];
            all.extend(tap.experts.iter().map(|expert: &ExpertExplanation| tiles.expert(expert)));
            let facts = format!("mean cosine of two experts {:.3}", tap.mean_similarity);
            Ok(Layer { name: format!("layer {}", tap.layer), facts, tiles: all })
        };
        self.explanation.taps.iter().map(layer).collect()
    }
}

/// A band of the sheet.
struct Layer {
    name: String,
    facts: String,
    tiles: Vec<Tile>,
}
