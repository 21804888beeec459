//! A golden file: a model, its inputs, and what must come out of every stage.

use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::weights::OpenOptions;
use clip_vit::{
    Activation, ClipCheckpoint, ClipSpec, PrefixedSource, TensorFile, TextSpec, VisionSpec,
    WeightSource,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::GoldenError;

/// The sizes of a golden's CLIP, as its metadata has them beside the settings of its method.
#[derive(Debug, Clone, Deserialize)]
struct ClipSizes {
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
    pretrain_grid: usize,
}

/// An opened golden.
#[derive(Debug)]
pub struct Golden {
    file: TensorFile,
    clip: ClipSpec,
    image_size: usize,
    settings: serde_json::Value,
}

/// A tensor of a golden on the host.
#[derive(Debug, Clone)]
pub struct HostValues {
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, integers as floats.
    pub values: Vec<f32>,
}

impl Golden {
    /// Opens a golden and reads its configuration.
    ///
    /// # Errors
    ///
    /// [`GoldenError`] when it cannot be read or its metadata has no usable `config`.
    pub fn open(path: &Path) -> Result<Self, GoldenError> {
        let file = TensorFile::open(path)?;
        let broken = |reason: String| GoldenError::Config { file: path.into(), reason };
        let text = file.metadata().get("config").ok_or_else(|| broken("is not there".into()))?;
        let settings: serde_json::Value =
            serde_json::from_str(text).map_err(|error| broken(error.to_string()))?;
        let sizes = ClipSizes::deserialize(&settings).map_err(|error| broken(error.to_string()))?;
        let (clip, image_size) = (sizes.clip(), sizes.image_size);
        clip.check().map_err(|error| broken(error.to_string()))?;
        Ok(Self { file, clip, image_size, settings })
    }

    /// The file itself.
    pub fn file(&self) -> &TensorFile {
        &self.file
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Sizes of the CLIP that it was made with.
    pub fn clip(&self) -> &ClipSpec {
        &self.clip
    }

    /// Side of its images in pixels.
    pub fn image_size(&self) -> usize {
        self.image_size
    }

    /// Whether its metadata has a setting of this name.
    pub fn has_setting(&self, name: &str) -> bool {
        self.settings.get(name).is_some()
    }

    /// The settings of its method.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Config`] when one is missing or of another type.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, GoldenError> {
        T::deserialize(&self.settings).map_err(|error| self.unusable(error))
    }

    /// A configuration that cannot be used, and why.
    pub fn unusable(&self, reason: impl ToString) -> GoldenError {
        GoldenError::Config { file: self.path().into(), reason: reason.to_string() }
    }

    /// Why its method cannot be run.
    pub fn failed(&self, source: impl Error + Send + Sync + 'static) -> GoldenError {
        GoldenError::Method { file: self.path().into(), source: Box::new(source) }
    }

    /// Whether it brings its CLIP along; otherwise a checkpoint must be given.
    pub fn has_clip(&self) -> bool {
        self.file.contains("clip.visual.conv1.weight")
    }

    /// The weights of its CLIP: its own, or those of the checkpoint it was made with.
    ///
    /// # Errors
    ///
    /// [`GoldenError`] when it brings none along and none, or another one, is given.
    pub fn clip_weights<'a>(
        &'a self,
        given: Option<&'a ClipCheckpoint>,
    ) -> Result<Box<dyn WeightSource + 'a>, GoldenError> {
        let file = || self.path().into();
        match given {
            _ if self.has_clip() => {
                Ok(Box::new(PrefixedSource { file: &self.file, prefix: "clip." }))
            }
            Some(clip) if *clip.spec() == self.clip => Ok(Box::new(clip)),
            Some(clip) => {
                Err(GoldenError::OtherClip { clip: clip.file().path().into(), file: file() })
            }
            None => Err(GoldenError::NoClip { file: file() }),
        }
    }

    /// Its trained weights, by the names of their checkpoint.
    pub fn learned(&self) -> PrefixedSource<'_> {
        PrefixedSource { file: &self.file, prefix: "adapter." }
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
        let folder = self.path().parent()?.parent()?;
        Some(folder.join(named))
    }

    /// A tensor on the host.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Weights`] when it is not there.
    pub fn values(&self, name: &str) -> Result<HostValues, GoldenError> {
        let integers = self.file.dtype(name).is_some_and(|dtype| !dtype.is_float());
        let values = if integers {
            self.integers(name)?.into_iter().map(|value| value as f32).collect()
        } else {
            self.file.read_f32(name)?
        };
        let shape = self.file.shape(name).unwrap_or_default().to_vec();
        Ok(HostValues { shape, values })
    }

    /// The integers of a tensor, bytes too.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Weights`] when it is not there or holds no integers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, GoldenError> {
        Ok(self.file.read_i64(name)?)
    }

    /// A tensor on a device.
    ///
    /// # Errors
    ///
    /// [`GoldenError::Weights`] when it is not there, [`GoldenError::Shape`] when it has not as many axes.
    pub fn tensor<B: Backend, const D: usize>(
        &self,
        name: &str,
        device: &B::Device,
    ) -> Result<Tensor<B, D>, GoldenError> {
        let HostValues { shape, values } = self.values(name)?;
        if shape.len() != D {
            return Err(GoldenError::Shape { file: self.path().into(), name: name.into(), shape });
        }
        Ok(Tensor::from_data(TensorData::new(values, shape), device))
    }

    /// Rows of token ids.
    ///
    /// # Errors
    ///
    /// As [`integers`](Self::integers).
    pub fn tokens(&self, name: &str) -> Result<Vec<Vec<i64>>, GoldenError> {
        let ids = self.integers(name)?;
        Ok(ids.chunks(self.clip.text.context).map(<[i64]>::to_vec).collect())
    }

    /// Names of what must come out.
    pub(crate) fn expected(&self) -> Vec<String> {
        self.file.names().filter(|name| name.starts_with("out.")).map(str::to_owned).collect()
    }
}

impl ClipSizes {
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
}
