//! What a CLIP is made of: sizes of both towers, the activation, and the published presets.

mod towers;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::towers::{IMAGE_TOWERS, TEXT_TOWERS, known_heads};

/// Nonlinearity of the feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// `x * sigmoid(1.702 x)`, with which OpenAI's weights were trained.
    QuickGelu,
    /// The exact (erf) GELU, with which LAION's weights were trained.
    Gelu,
}

/// Sizes of the image tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisionSpec {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Patches along one side at pretraining: the learned position grid.
    pub grid: usize,
    /// Token width `d`.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads per block.
    pub heads: usize,
    /// Inner width of the feed-forward layers.
    pub mlp: usize,
}

/// Sizes of the text tower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextSpec {
    /// Tokens per prompt.
    pub context: usize,
    /// Entries of the token table.
    pub vocab: usize,
    /// Token width.
    pub width: usize,
    /// Transformer blocks.
    pub layers: usize,
    /// Attention heads per block.
    pub heads: usize,
    /// Inner width of the feed-forward layers.
    pub mlp: usize,
}

/// A whole CLIP: both towers and what they share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipSpec {
    /// The image tower.
    pub vision: VisionSpec,
    /// The text tower.
    pub text: TextSpec,
    /// Width of the joint embedding.
    pub embed: usize,
    /// Nonlinearity of both towers.
    pub activation: Activation,
}

/// With what pictures are normalised: `(value - mean) / deviation` per channel, in units of 1 for white.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Normalisation {
    /// Red, green, blue.
    pub mean: [f32; 3],
    /// Standard deviations of red, green, blue.
    pub deviation: [f32; 3],
}

impl Normalisation {
    /// That of the pictures that CLIP was trained on.
    pub const CLIP: Normalisation = Normalisation {
        mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
        deviation: [0.268_629_54, 0.261_302_6, 0.275_777_1],
    };

    /// Checks that the numbers can be used.
    ///
    /// # Errors
    ///
    /// [`SpecError::Normalisation`] when a number is not finite or a deviation not positive.
    pub fn check(&self) -> Result<(), SpecError> {
        let usable = self.mean.iter().all(|mean| mean.is_finite())
            && self.deviation.iter().all(|deviation| deviation.is_finite() && *deviation > 0.0);
        if usable { Ok(()) } else { Err(SpecError::Normalisation) }
    }
}

/// A size that cannot be built; the message names the field and the remedy.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SpecError {
    /// A size is zero.
    #[error("{field} is 0; every size of a CLIP is at least 1")]
    Zero {
        /// The field, as in `vision.width`.
        field: &'static str,
    },
    /// A mean or deviation that cannot be used.
    #[error("a normalisation needs finite means and positive deviations of three channels")]
    Normalisation,
    /// The heads do not divide the width.
    #[error(
        "{tower}.heads = {heads} does not divide {tower}.width = {width}; CLIP's own choice is width / 64"
    )]
    Heads {
        /// `vision` or `text`.
        tower: &'static str,
        /// The heads asked for.
        heads: usize,
        /// The width they must divide.
        width: usize,
    },
}

/// CLIPs whose weights people hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preset {
    /// OpenAI ViT-B/32 at 224 px.
    #[serde(rename = "ViT-B-32")]
    VitB32,
    /// OpenAI ViT-B/16 at 224 px.
    #[serde(rename = "ViT-B-16")]
    VitB16,
    /// LAION ViT-B/16+ at 240 px, WinCLIP's backbone.
    #[serde(rename = "ViT-B-16-plus-240")]
    VitB16PlusAt240,
    /// OpenAI ViT-L/14 at 224 px.
    #[serde(rename = "ViT-L-14")]
    VitL14,
    /// OpenAI ViT-L/14 at 336 px, the paper's backbone.
    #[serde(rename = "ViT-L-14-336")]
    VitL14At336,
    /// LAION ViT-H/14 at 224 px.
    #[serde(rename = "ViT-H-14")]
    VitH14,
    /// DFN ViT-H/14 at 378 px, trained with QuickGELU.
    #[serde(rename = "ViT-H-14-378")]
    VitH14At378,
    /// LAION ViT-g/14 at 224 px.
    #[serde(rename = "ViT-g-14")]
    VitG14,
    /// LAION ViT-bigG/14 at 224 px.
    #[serde(rename = "ViT-bigG-14")]
    VitBigG14,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Preset; 9] = [
        Preset::VitB32,
        Preset::VitB16,
        Preset::VitB16PlusAt240,
        Preset::VitL14,
        Preset::VitL14At336,
        Preset::VitH14,
        Preset::VitH14At378,
        Preset::VitG14,
        Preset::VitBigG14,
    ];

    /// The name that open_clip gives it.
    pub fn name(self) -> &'static str {
        match self {
            Preset::VitB32 => "ViT-B-32",
            Preset::VitB16 => "ViT-B-16",
            Preset::VitB16PlusAt240 => "ViT-B-16-plus-240",
            Preset::VitL14 => "ViT-L-14",
            Preset::VitL14At336 => "ViT-L-14-336",
            Preset::VitH14 => "ViT-H-14",
            Preset::VitH14At378 => "ViT-H-14-378",
            Preset::VitG14 => "ViT-g-14",
            Preset::VitBigG14 => "ViT-bigG-14",
        }
    }

    /// Its sizes.
    pub fn spec(self) -> ClipSpec {
        let clip = |patch, grid, width, layers, text_width, text_layers, embed| {
            ClipSpecBuilder::new()
                .vision(patch, grid, width, layers)
                .text(text_width, text_layers)
                .embed(embed)
        };
        let builder = match self {
            Preset::VitB32 => clip(32, 7, 768, 12, 512, 12, 512),
            Preset::VitB16 => clip(16, 14, 768, 12, 512, 12, 512),
            Preset::VitB16PlusAt240 => {
                clip(16, 15, 896, 12, 640, 12, 640).activation(Activation::Gelu)
            }
            Preset::VitL14 => clip(14, 16, 1024, 24, 768, 12, 768),
            Preset::VitL14At336 => clip(14, 24, 1024, 24, 768, 12, 768),
            Preset::VitH14 => {
                clip(14, 16, 1280, 32, 1024, 24, 1024).vision_heads(16).activation(Activation::Gelu)
            }
            Preset::VitH14At378 => clip(14, 27, 1280, 32, 1024, 24, 1024).vision_heads(16),
            Preset::VitG14 => clip(14, 16, 1408, 40, 1024, 24, 1024)
                .vision_heads(16)
                .vision_mlp(6144)
                .activation(Activation::Gelu),
            Preset::VitBigG14 => clip(14, 16, 1664, 48, 1280, 32, 1280)
                .vision_heads(16)
                .vision_mlp(8192)
                .activation(Activation::Gelu),
        };
        builder.spec
    }

    /// The preset with exactly these sizes and this activation, if there is one.
    pub fn of(spec: &ClipSpec) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.spec() == *spec)
    }

    /// Heads of the published image towers of this width and depth, at whatever resolution: no shape
    /// shows them.
    pub fn vision_heads(tower: &VisionSpec) -> Option<usize> {
        known_heads(&IMAGE_TOWERS, [tower.width, tower.layers, tower.mlp])
    }

    /// Heads of the published text towers of this width and depth.
    pub fn text_heads(tower: &TextSpec) -> Option<usize> {
        let small = TextSpec { heads: tower.heads, ..SMALL_TEXT };
        let is_small = *tower == small;
        let known = known_heads(&TEXT_TOWERS, [tower.width, tower.layers, tower.mlp]);
        known.or(is_small.then_some(SMALL_TEXT.heads))
    }
}

/// The text tower of the small CLIP of this project. Others of its width and depth have one head.
const SMALL_TEXT: TextSpec =
    TextSpec { context: 32, vocab: 49408, width: 64, layers: 2, heads: 2, mlp: 256 };

/// Builds the sizes of any CLIP, starting from CLIP's own habits (heads of 64, feed-forward of four
/// widths, 77 tokens of 49408).
#[derive(Debug, Clone)]
pub struct ClipSpecBuilder {
    spec: ClipSpec,
}

impl Default for ClipSpecBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl ClipSpecBuilder {
    /// Starts from ViT-B/32's sizes.
    pub fn new() -> Self {
        let vision =
            VisionSpec { patch: 32, grid: 7, width: 768, layers: 12, heads: 12, mlp: 3072 };
        let text =
            TextSpec { context: 77, vocab: 49408, width: 512, layers: 12, heads: 8, mlp: 2048 };
        let spec = ClipSpec { vision, text, embed: 512, activation: Activation::QuickGelu };
        Self { spec }
    }

    /// Sizes of the image tower; heads become width / 64 and the feed-forward four widths.
    pub fn vision(mut self, patch: usize, grid: usize, width: usize, layers: usize) -> Self {
        self.spec.vision =
            VisionSpec { patch, grid, width, layers, heads: heads_of(width), mlp: 4 * width };
        self
    }

    /// Sizes of the text tower; heads become width / 64 and the feed-forward four widths.
    pub fn text(mut self, width: usize, layers: usize) -> Self {
        self.spec.text =
            TextSpec { width, layers, heads: heads_of(width), mlp: 4 * width, ..self.spec.text };
        self
    }

    /// Tokens per prompt and entries of the token table.
    pub fn tokens(mut self, context: usize, vocab: usize) -> Self {
        self.spec.text.context = context;
        self.spec.text.vocab = vocab;
        self
    }

    /// Attention heads of the image tower.
    pub fn vision_heads(mut self, heads: usize) -> Self {
        self.spec.vision.heads = heads;
        self
    }

    /// Attention heads of the text tower.
    pub fn text_heads(mut self, heads: usize) -> Self {
        self.spec.text.heads = heads;
        self
    }

    /// Inner width of the image tower's feed-forward.
    pub fn vision_mlp(mut self, mlp: usize) -> Self {
        self.spec.vision.mlp = mlp;
        self
    }

    /// Width of the joint embedding.
    pub fn embed(mut self, embed: usize) -> Self {
        self.spec.embed = embed;
        self
    }

    /// Nonlinearity of both towers.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.spec.activation = activation;
        self
    }

    /// The sizes, checked.
    ///
    /// # Errors
    ///
    /// [`SpecError`] when a size is zero or the heads do not divide a width.
    pub fn build(self) -> Result<ClipSpec, SpecError> {
        self.spec.check()?;
        Ok(self.spec)
    }
}

impl ClipSpec {
    /// Checks that the sizes can be built.
    ///
    /// # Errors
    ///
    /// [`SpecError`] when a size is zero or the heads do not divide a width.
    pub fn check(&self) -> Result<(), SpecError> {
        let (vision, text) = (&self.vision, &self.text);
        let sizes = [
            ("vision.patch", vision.patch),
            ("vision.grid", vision.grid),
            ("vision.width", vision.width),
            ("vision.layers", vision.layers),
            ("vision.heads", vision.heads),
            ("vision.mlp", vision.mlp),
            ("text.context", text.context),
            ("text.vocab", text.vocab),
            ("text.width", text.width),
            ("text.layers", text.layers),
            ("text.heads", text.heads),
            ("text.mlp", text.mlp),
            ("embed", self.embed),
        ];
        if let Some((field, _)) = sizes.into_iter().find(|(_, size)| *size == 0) {
            return Err(SpecError::Zero { field });
        }
        check_heads("vision", vision.heads, vision.width)?;
        check_heads("text", text.heads, text.width)
    }
}

/// CLIP's own choice of heads: 64 channels each, at least one head.
pub fn heads_of(width: usize) -> usize {
    (width / 64).max(1)
}

fn check_heads(tower: &'static str, heads: usize, width: usize) -> Result<(), SpecError> {
    if width.is_multiple_of(heads) {
        return Ok(());
    }
    Err(SpecError::Heads { tower, heads, width })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_are_found_by_their_sizes() {
        for preset in Preset::ALL {
            assert_eq!(preset.spec().check(), Ok(()));
            assert_eq!(Preset::of(&preset.spec()), Some(preset));
        }
    }

    #[test]
    fn the_plus_sized_clip_has_as_many_numbers_as_its_file() {
        let spec = Preset::VitB16PlusAt240.spec();
        assert_eq!((spec.vision.heads, spec.text.heads), (14, 10));
        let shapes = crate::weights::canonical_shapes(&spec);
        let numbers: usize = shapes.iter().map(|(_, shape)| shape.iter().product::<usize>()).sum();
        assert_eq!(numbers, 208_377_345);
    }

    #[test]
    fn a_zero_size_is_named() {
        let error = ClipSpecBuilder::new().embed(0).build().unwrap_err();
        assert_eq!(error, SpecError::Zero { field: "embed" });
    }

    #[test]
    fn deviations_must_be_positive() {
        let other = Normalisation { deviation: [1.0, 0.0, 1.0], ..Normalisation::CLIP };
        assert_eq!(
            (Normalisation::CLIP.check(), other.check()),
            (Ok(()), Err(SpecError::Normalisation))
        );
    }

    #[test]
    fn heads_must_divide_the_width() {
        let error = ClipSpecBuilder::new().vision_heads(7).build().unwrap_err();
        assert!(error.to_string().contains("width / 64"));
    }
}
