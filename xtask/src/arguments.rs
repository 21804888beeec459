//! Options that several commands share, and what the library is asked for by them.

use std::path::PathBuf;

use clap::Args;
use clip_vit::{Activation, Precision};
use inspect::{
    CacheRequest, ClipSource, DataRequest, InspectError, MethodFiles, MethodName, ReferenceRequest,
    calibrated_precision,
};
use moeclip::Assumed;
use moeclip_data::{PromptNames, SampleBits};

use crate::cli::{activations, methods, prompt_names};

/// Which CLIP, and what its file may not say.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClipArgs {
    /// CLIP checkpoint: open_clip, OpenAI or Hugging Face, or one that convert-openclip wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) clip: PathBuf,
    #[command(flatten)]
    pub(crate) shape: ClipShapeArgs,
    #[command(flatten)]
    pub(crate) prompting: PromptArgs,
}

/// Where encoded prompts are kept.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PromptArgs {
    /// Keep the text tower's features of prompts in this folder; with all of them there the tower
    /// is not loaded
    #[arg(long, value_name = "DIR")]
    pub(crate) prompt_cache: Option<PathBuf>,
}

/// What a CLIP checkpoint may not say of itself.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClipShapeArgs {
    /// Attention heads of the image tower, where they are not width / 64
    #[arg(long, value_name = "N")]
    pub(crate) vision_heads: Option<usize>,
    /// Attention heads of the text tower, where they are not width / 64
    #[arg(long, value_name = "N")]
    pub(crate) text_heads: Option<usize>,
    /// Activation that the CLIP was trained with, where its file does not say
    #[arg(long, value_parser = activations())]
    pub(crate) activation: Option<Activation>,
    /// Which weights, where the file holds several sets of them: what their names begin with, as in
    /// model_ema
    #[arg(long, value_name = "PREFIX")]
    pub(crate) weights: Option<String>,
}

impl ClipArgs {
    /// What it asks for.
    pub(crate) fn source(&self) -> ClipSource {
        let prompt_cache = self.prompting.prompt_cache.clone();
        ClipSource { prompt_cache, ..self.shape.source(self.clip.clone()) }
    }
}

impl ClipShapeArgs {
    /// A CLIP of this shape, without a cache of prompts.
    pub(crate) fn source(&self, path: PathBuf) -> ClipSource {
        ClipSource {
            path,
            vision_heads: self.vision_heads,
            text_heads: self.text_heads,
            activation: self.activation,
            weights: self.weights.clone(),
            prompt_cache: None,
        }
    }
}

/// Which of MoECLIP's adapters, and what the authors' files do not say.
#[derive(Debug, Clone, Args)]
pub(crate) struct AdapterArgs {
    /// Trained adapters: ours or the authors'
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: PathBuf,
    #[command(flatten)]
    pub(crate) assumed: AssumedArgs,
}

/// What an authors' adapter file does not say.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AssumedArgs {
    /// Layers behind which an authors' file has its mixtures, as in 6,12,18,24
    #[arg(long, value_delimiter = ',', value_name = "LAYERS")]
    pub(crate) taps: Option<Vec<usize>>,
    /// Experts asked per token in an authors' file
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Strength of the experts in an authors' file
    #[arg(long, value_name = "ALPHA")]
    pub(crate) alpha: Option<f64>,
}

/// The method, and what it needs besides the CLIP.
#[derive(Debug, Clone, Args)]
pub(crate) struct MethodArgs {
    /// The method that looks at the images
    #[arg(long, value_parser = methods(), default_value = MethodName::default().word())]
    pub(crate) method: MethodName,
    /// The method's trained weights: ours or the authors'
    #[arg(long, value_name = "FILE")]
    pub(crate) adapter: Option<PathBuf>,
    /// Description of a method that is opened without trained weights: for --method clip image size and
    /// prompts, as in configs/; for others their settings, as in configs/methods/
    #[arg(long, value_name = "TOML", conflicts_with = "adapter")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) references: ReferenceArgs,
    #[command(flatten)]
    pub(crate) assumed: AssumedArgs,
}

/// Normal images that a few-shot method is shown before it looks.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ReferenceArgs {
    /// Dataset whose normal training images a few-shot method is shown, or a folder of normal images of
    /// one class; never images that are measured
    #[arg(long, value_name = "DIR")]
    references: Option<PathBuf>,
    /// Reference images of each class, drawn without replacement
    #[arg(long, value_name = "K", requires = "references", default_value_t = 4)]
    shots: usize,
    /// Decides which reference images are drawn
    #[arg(long, value_name = "SEED", requires = "references", default_value_t = 0)]
    reference_seed: u64,
}

impl ReferenceArgs {
    /// What it asks for.
    pub(crate) fn request(&self) -> Option<ReferenceRequest> {
        let folder = self.references.clone()?;
        Some(ReferenceRequest { folder, shots: self.shots, seed: self.reference_seed })
    }
}

impl MethodArgs {
    /// What the method is opened from.
    pub(crate) fn files(&self) -> MethodFiles {
        MethodFiles {
            adapter: self.adapter.clone(),
            assumed: (&self.assumed).into(),
            config: self.config.clone(),
            references: self.references.request(),
        }
    }
}

impl AdapterArgs {
    /// What a detector is opened from.
    pub(crate) fn files(&self) -> MethodFiles {
        let (adapter, assumed) = (Some(self.adapter.clone()), (&self.assumed).into());
        MethodFiles { adapter, assumed, ..MethodFiles::default() }
    }
}

impl From<&AssumedArgs> for Assumed {
    fn from(args: &AssumedArgs) -> Self {
        Assumed { taps: args.taps.clone(), top_k: args.top_k, alpha: args.alpha }
    }
}

/// How data is found and read; the folder flags describe a tree of one's own.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DataOptions {
    /// Folder that holds the datasets; else MOECLIP_DATA, else data-root in moeclip.toml
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Read the folder as this dataset: a name that `datasets list` shows, or a TOML file
    #[arg(long = "as", value_name = "NAME|TOML")]
    pub(crate) described_as: Option<PathBuf>,
    /// Words for classes in prompts, where the authors' release has odd ones
    #[arg(long, value_parser = prompt_names())]
    pub(crate) prompt_names: Option<PromptNames>,
    /// Folders of normal images, in a tree of one's own
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "described_as")]
    pub(crate) normal: Vec<PathBuf>,
    /// Folders of anomalous images, in a tree of one's own
    #[arg(long, value_name = "DIR", value_delimiter = ',', conflicts_with = "described_as")]
    pub(crate) anomalous: Vec<PathBuf>,
    /// Folders of masks, named as their images or with _mask behind
    #[arg(long, value_name = "DIR", value_delimiter = ',', requires = "anomalous")]
    pub(crate) masks: Vec<PathBuf>,
    /// What the images of a tree of one's own show, as in "metal nut"
    #[arg(long, value_name = "NAME", conflicts_with = "described_as")]
    pub(crate) class: Option<String>,
    #[command(flatten)]
    pub(crate) depth: DepthArgs,
}

/// What a file of 16 bits a sample does not say.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct DepthArgs {
    /// How many bits of 16-bit images the camera filled, from the lowest: 8 to 16, as in 12; without it
    /// the upper byte is taken, and images that never use the upper bits are told
    #[arg(long, value_name = "N")]
    pub(crate) bits: Option<SampleBits>,
}

impl DataOptions {
    /// What they ask for.
    pub(crate) fn request(&self) -> DataRequest {
        let Self { data_root, described_as, prompt_names, normal, anomalous, masks, class, depth } =
            self.clone();
        let bits = depth.bits;
        DataRequest { data_root, described_as, prompt_names, normal, anomalous, masks, class, bits }
    }
}

/// Where decoded and resized images are kept between epochs and runs.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct CacheArgs {
    /// Keep decoded and resized images in this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) cache: Option<PathBuf>,
    /// Most that the folder may hold (20)
    #[arg(long, value_name = "GIB", requires = "cache")]
    pub(crate) cache_limit: Option<u64>,
}

impl CacheArgs {
    /// What they ask for.
    pub(crate) fn request(&self) -> CacheRequest {
        CacheRequest { cache: self.cache.clone(), cache_limit: self.cache_limit }
    }
}

/// Whether the calibration that adapters carry is used.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CalibrationArgs {
    /// Leave the calibration that the adapters carry aside
    #[arg(long)]
    pub(crate) uncalibrated: bool,
}

impl CalibrationArgs {
    /// The precision that the calibration in use was measured in, if the method's weights carry one.
    ///
    /// # Errors
    /// As [`calibrated_precision`].
    pub(crate) fn precision(
        &self,
        method: MethodName,
        files: &MethodFiles,
    ) -> Result<Option<Precision>, InspectError> {
        match &files.adapter {
            Some(_) if !self.uncalibrated => calibrated_precision(method, files),
            _ => Ok(None),
        }
    }
}
