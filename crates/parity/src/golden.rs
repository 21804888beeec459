//! A golden file: a model, its inputs, and what must come out of every stage.

use std::path::{Path, PathBuf};

use clip_vit::weights::OpenOptions;
use clip_vit::{Activation, ClipSpec, TensorFile, TextSpec, VisionSpec};
use moeclip::MoeClipConfig;
use serde::Deserialize;

use crate::ParityError;

/// The configuration that a golden carries as JSON in its metadata.
#[derive(Debug, Clone, Deserialize)]
struct GoldenConfig {
    image_size: usize,
    patch: usize,
    width: usize,
    layers: usize,
    heads: usize,
    embed: usize,
    text_width: usize,
    text_layers: usize,
    text_heads: usize,
    context: usize,
    vocab: usize,
    activation: Activation,
    taps: Vec<usize>,
    experts: usize,
    top_k: usize,
    rank: usize,
    alpha: f64,
    lambda_moe: f64,
    scales: Vec<usize>,
    pretrain_grid: usize,
}

/// An opened golden.
#[derive(Debug)]
pub struct Golden {
    pub(crate) file: TensorFile,
    pub(crate) clip: ClipSpec,
    pub(crate) config: MoeClipConfig,
}

/// A tensor of a golden on the host.
#[derive(Debug, Clone)]
pub(crate) struct HostValues {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<f32>,
}

impl Golden {
    /// Opens a golden and reads its configuration.
    ///
    /// # Errors
    ///
    /// [`ParityError`] when it cannot be read or its metadata has no usable `config`.
    pub fn open(path: &Path) -> Result<Self, ParityError> {
        let file = TensorFile::open(path)?;
        let broken = |reason: String| ParityError::Config { file: path.into(), reason };
        let text = file.metadata().get("config").ok_or_else(|| broken("is not there".into()))?;
        let config: GoldenConfig =
            serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        let clip = config.clip();
        clip.check().map_err(|error| broken(error.to_string()))?;
        let config = config.moeclip();
        config.check(&clip.vision).map_err(|error| broken(error.to_string()))?;
        Ok(Self { file, clip, config })
    }

    /// Sizes of the CLIP that it was made with.
    pub fn clip(&self) -> &ClipSpec {
        &self.clip
    }

    /// The configuration of its model.
    pub fn config(&self) -> &MoeClipConfig {
        &self.config
    }

    /// Whether it brings its CLIP along; otherwise a checkpoint must be given.
    pub fn has_clip(&self) -> bool {
        self.file.contains("clip.visual.conv1.weight")
    }

    /// How to open the checkpoint that it was made with: with its own heads and activation.
    pub fn open_options(&self) -> OpenOptions {
        OpenOptions {
            vision_heads: Some(self.clip.vision.heads),
            text_heads: Some(self.clip.text.heads),
            activation: Some(self.clip.activation),
            weights: None,
        }
    }

    /// The picture that it was made from, beside the folder that the golden lies in, unless it
    /// brings its images along.
    pub fn image(&self) -> Option<PathBuf> {
        let named = self.file.metadata().get("image")?;
        let folder = self.file.path().parent()?.parent()?;
        Some(folder.join(named))
    }

    pub(crate) fn values(&self, name: &str) -> Result<HostValues, ParityError> {
        let integers = self.file.dtype(name).is_some_and(|dtype| !dtype.is_float());
        let values = if integers {
            self.file.read_i64(name)?.into_iter().map(|value| value as f32).collect()
        } else {
            self.file.read_f32(name)?
        };
        let shape = self.file.shape(name).unwrap_or_default().to_vec();
        Ok(HostValues { shape, values })
    }

    /// Rows of token ids.
    pub(crate) fn tokens(&self, name: &str) -> Result<Vec<Vec<i64>>, ParityError> {
        let ids = self.file.read_i64(name)?;
        Ok(ids.chunks(self.clip.text.context).map(<[i64]>::to_vec).collect())
    }

    /// Names of what must come out.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.file.names().filter(|name| name.starts_with("out.")).map(str::to_owned).collect()
    }
}

impl GoldenConfig {
    fn clip(&self) -> ClipSpec {
        ClipSpec {
            vision: VisionSpec {
                patch: self.patch,
                grid: self.pretrain_grid,
                width: self.width,
                layers: self.layers,
                heads: self.heads,
                mlp: 4 * self.width,
            },
            text: TextSpec {
                context: self.context,
                vocab: self.vocab,
                width: self.text_width,
                layers: self.text_layers,
                heads: self.text_heads,
                mlp: 4 * self.text_width,
            },
            embed: self.embed,
            activation: self.activation,
        }
    }

    fn moeclip(&self) -> MoeClipConfig {
        MoeClipConfig {
            image_size: self.image_size,
            taps: self.taps.clone(),
            scales: self.scales.clone(),
            experts: self.experts,
            top_k: self.top_k,
            rank: self.rank,
            alpha: self.alpha,
            lambda: self.lambda_moe,
            ..MoeClipConfig::default()
        }
    }
}
