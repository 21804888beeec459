//! Opens the files that most commands start from, and tells the user what had to be assumed.

use std::path::{Path, PathBuf};

use anomaly::{Detector, Domain, ImageInput};
use anyhow::bail;
use burn::tensor::backend::Backend;
use clap::Args;
use clip_vit::weights::{ActivationSource, GuessedHeads, OpenOptions};
use clip_vit::{ClipCheckpoint, Normalisation, VisionTower};
use moeclip::{
    AdapterFile, AdapterFormat, Assumed, FrozenClip, MoeClip, MoeClipDetector, PromptBook,
    PromptCache, PromptOrigin, PromptSet,
};
use moeclip_data::Preprocessing;

use crate::cli::{ActivationChoice, Common};

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
    #[arg(long, value_enum)]
    pub(crate) activation: Option<ActivationChoice>,
}

/// Which adapters, and what the authors' files do not say.
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

impl From<&AssumedArgs> for Assumed {
    fn from(args: &AssumedArgs) -> Self {
        Assumed { taps: args.taps.clone(), top_k: args.top_k, alpha: args.alpha }
    }
}

/// Opens a CLIP; says on stderr when its activation or heads are a guess.
pub(crate) fn open_clip(path: &Path, shape: &ClipShapeArgs) -> anyhow::Result<ClipCheckpoint> {
    let clip = read_clip(path, shape)?;
    note_guesses(&clip);
    Ok(clip)
}

/// Opens a CLIP.
pub(crate) fn read_clip(path: &Path, shape: &ClipShapeArgs) -> anyhow::Result<ClipCheckpoint> {
    let options = OpenOptions {
        vision_heads: shape.vision_heads,
        text_heads: shape.text_heads,
        activation: shape.activation.map(Into::into),
    };
    Ok(ClipCheckpoint::open(path, &options)?)
}

/// Says on stderr when a CLIP's activation or heads are a guess.
pub(crate) fn note_guesses(clip: &ClipCheckpoint) {
    for GuessedHeads { tower, heads } in clip.guessed_heads() {
        eprintln!(
            "note: neither the file nor a config beside it names the heads of its {tower} tower; \
             {heads}, its width / 64, are used (--{tower}-heads changes them)"
        );
    }
    let guessed = match clip.activation_source() {
        ActivationSource::Preset => "as the published CLIP of these sizes has it",
        ActivationSource::Assumed => "as OpenAI's weights have it",
        _ => return,
    };
    let activation = clip.spec().activation;
    eprintln!(
        "note: the file does not name its activation; {activation:?} is used, {guessed} \
         (--activation changes it)"
    );
}

/// Opens adapters; says on stderr what an authors' file left open.
pub(crate) fn open_adapter(path: &Path, assumed: &AssumedArgs) -> anyhow::Result<AdapterFile> {
    let file = AdapterFile::open(path, &assumed.into())?;
    if file.format() == AdapterFormat::Authors {
        let config = file.config();
        eprintln!(
            "note: the authors' format does not name taps, top-k and alpha; used are {:?}, {} and {} \
             (--taps, --top-k, --alpha change them)",
            config.taps, config.top_k, config.alpha
        );
    }
    Ok(file)
}

/// SHA-256 of the CLIP's own file, before any conversion.
pub(crate) fn source_sha256(clip: &ClipCheckpoint) -> String {
    let stored = clip.file().metadata().get("source_sha256").cloned();
    stored.unwrap_or_else(|| clip.file().sha256())
}

impl PromptArgs {
    /// The frozen part of a CLIP, `classes` encoded; says on stderr what is wrong with the cache.
    pub(crate) fn frozen_clip<B: Backend>(
        &self,
        clip: &ClipCheckpoint,
        prompts: &PromptSet,
        classes: &[String],
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<FrozenClip<B>> {
        let (spec, precision) = (clip.spec(), common.precision.into());
        let names = classes.iter().map(String::as_str);
        let Some(folder) = &self.prompt_cache else {
            return Ok(FrozenClip::load(spec, clip, prompts, names, precision, device)?);
        };
        let origin =
            PromptOrigin { clip_sha256: source_sha256(clip), backend: common.device.to_string() };
        let mut cache = PromptCache::open(folder, origin)?;
        let frozen =
            FrozenClip::load_cached(spec, clip, prompts, names, precision, device, &mut cache);
        for trouble in cache.take_trouble() {
            eprintln!("warning: {trouble}");
        }
        Ok(frozen?)
    }
}

/// Everything that detecting needs, on a device; `classes` are names for prompts.
pub(crate) fn detector<B: Backend>(
    clip: &ClipArgs,
    file: &AdapterFile,
    classes: &[String],
    domain: Domain,
    common: &Common,
    device: &B::Device,
) -> anyhow::Result<LoadedDetector<B>> {
    let LoadedModel { model, book, normalisation, .. } =
        model(clip, file, classes, common, device)?;
    let detector = MoeClipDetector::new(model, book, domain, device);
    let detector = detector.with_normalisation(normalisation);
    LoadedDetector::new(Box::new(detector))
}

/// CLIP with adapters on a device, and the prompts of `classes`.
pub(crate) fn model<B: Backend>(
    clip: &ClipArgs,
    file: &AdapterFile,
    classes: &[String],
    common: &Common,
    device: &B::Device,
) -> anyhow::Result<LoadedModel<B>> {
    let prompting = &clip.prompting;
    let clip = read_clip(&clip.clip, &clip.shape)?;
    note_guesses(&clip);
    let provenance = file.provenance();
    refuse_other_clip(&clip, file)?;
    let prompts = provenance.map_or_else(PromptSet::default, |from| from.prompts.clone());
    let adapters = file.load::<B>(clip.spec(), device)?;
    let frozen = prompting.frozen_clip(&clip, &prompts, classes, common, device)?;
    let model = MoeClip::new(frozen.tower, adapters, file.config().clone(), device)?;
    let preprocessing = preprocessing(&clip, file.config().image_size)?;
    let normalisation = clip.normalisation();
    Ok(LoadedModel { model, book: frozen.book, normalisation, preprocessing })
}

/// How pictures become input of a CLIP, squares of this size.
pub(crate) fn preprocessing(
    clip: &ClipCheckpoint,
    image_size: usize,
) -> anyhow::Result<Preprocessing> {
    let Normalisation { mean, deviation } = clip.normalisation();
    Ok(Preprocessing::new(image_size, mean, deviation)?)
}

/// A model, its prompts, and how pictures become its input.
pub(crate) struct LoadedModel<B: Backend> {
    pub(crate) model: MoeClip<B, VisionTower<B>>,
    pub(crate) book: PromptBook<B>,
    pub(crate) normalisation: Normalisation,
    pub(crate) preprocessing: Preprocessing,
}

/// A detector, and how pictures become the images that it takes.
pub(crate) struct LoadedDetector<B: Backend> {
    pub(crate) detector: Box<dyn Detector<B>>,
    pub(crate) preprocessing: Preprocessing,
}

impl<B: Backend> LoadedDetector<B> {
    /// With the images that the detector says it takes.
    pub(crate) fn new(detector: Box<dyn Detector<B>>) -> anyhow::Result<Self> {
        let ImageInput { size, mean, std } = detector.input();
        let preprocessing = Preprocessing::new(size, mean, std)?;
        Ok(Self { detector, preprocessing })
    }
}

/// Refuses adapters that were trained on another CLIP than the one given.
pub(crate) fn refuse_other_clip(clip: &ClipCheckpoint, file: &AdapterFile) -> anyhow::Result<()> {
    let trained = file.provenance().and_then(|from| from.clip_sha256.as_ref());
    let Some(trained) = trained else { return Ok(()) };
    let given = source_sha256(clip);
    if *trained != given {
        bail!(
            "{}: was trained on another CLIP (its file's SHA-256 {}..., yours {}...); use that one",
            file.path().display(),
            &trained[..trained.len().min(12)],
            &given[..given.len().min(12)]
        );
    }
    Ok(())
}
