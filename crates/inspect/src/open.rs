//! Opens the files that everything starts from: CLIP, adapters and prompts, and a detector of them.

use std::path::{Path, PathBuf};

use anomaly::{Calibration, CalibrationConditions, Detector, Domain, ImageInput};
use burn::tensor::backend::Backend;
use clip_vit::weights::{ActivationSource, GuessedHeads, OpenOptions};
use clip_vit::{Activation, ClipCheckpoint, Normalisation, Precision, VisionTower};
use conditions::{Condition, Conditions};
use moeclip::{
    AdapterFile, AdapterFormat, Assumed, FrozenClip, MoeClip, MoeClipDetector, PromptBook,
    PromptCache, PromptOrigin, PromptSet,
};
use moeclip_data::{Preprocessing, Sample, SampleBits};
use serde::{Deserialize, Serialize};

use crate::backends::{Compute, DeviceChoice};
use crate::error::refuse;
use crate::trained::prompts_of;
use crate::{InspectError, TrainedFile, Warning, Watcher};

/// Which CLIP, what its file may not say, and where its encoded prompts are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClipSource {
    /// The checkpoint, of any format.
    pub path: PathBuf,
    /// Attention heads of the image tower, where they are not width / 64.
    pub vision_heads: Option<usize>,
    /// Attention heads of the text tower.
    pub text_heads: Option<usize>,
    /// Activation, where the file does not say.
    pub activation: Option<Activation>,
    /// What the names of the weights begin with, where the file holds several sets of them.
    #[serde(default)]
    pub weights: Option<String>,
    /// Folder of encoded prompts.
    pub prompt_cache: Option<PathBuf>,
}

impl ClipSource {
    /// Opens it, without a word about guesses.
    ///
    /// # Errors
    /// As [`ClipCheckpoint::open`].
    pub fn read(&self) -> Result<ClipCheckpoint, InspectError> {
        let options = OpenOptions {
            vision_heads: self.vision_heads,
            text_heads: self.text_heads,
            activation: self.activation,
            weights: self.weights.clone(),
        };
        Ok(ClipCheckpoint::open(&self.path, &options)?)
    }

    /// Opens it; warns when its activation or heads are a guess.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn open(&self, watch: &mut dyn Watcher) -> Result<ClipCheckpoint, InspectError> {
        let clip = self.read()?;
        warn_of_guesses(&clip, watch);
        Ok(clip)
    }

    /// The frozen part of this CLIP, opened as `clip`, with `classes` encoded; warns of what is wrong
    /// with the cache.
    ///
    /// # Errors
    /// As [`FrozenClip::load`] and [`PromptCache::open`].
    pub fn frozen<B: Backend>(
        &self,
        clip: &ClipCheckpoint,
        prompts: &PromptSet,
        classes: &[String],
        compute: Compute,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<FrozenClip<B>, InspectError> {
        let (spec, precision) = (clip.spec(), compute.precision);
        let names = classes.iter().map(String::as_str);
        let Some(folder) = &self.prompt_cache else {
            return Ok(FrozenClip::load(spec, clip, prompts, names, precision, device)?);
        };
        let (clip_sha256, backend) = (source_sha256(clip), compute.device.to_string());
        let shared = shared_conditions(clip, compute.device);
        let origin = PromptOrigin { clip_sha256, backend, shared };
        let mut cache = PromptCache::open(folder, origin)?;
        let frozen =
            FrozenClip::load_cached(spec, clip, prompts, names, precision, device, &mut cache);
        for trouble in cache.take_trouble() {
            watch.warn(Warning::Cache { reason: trouble.to_string() });
        }
        Ok(frozen?)
    }
}

/// Warns when a CLIP's activation or heads are a guess.
pub fn warn_of_guesses(clip: &ClipCheckpoint, watch: &mut dyn Watcher) {
    for GuessedHeads { tower, heads } in clip.guessed_heads() {
        watch.warn(Warning::GuessedHeads { tower: tower.to_string(), heads: *heads });
    }
    let because = match clip.activation_source() {
        ActivationSource::Preset => "as the published CLIP of these sizes has it",
        ActivationSource::Assumed => "as OpenAI's weights have it",
        _ => return,
    };
    let activation = format!("{:?}", clip.spec().activation);
    watch.warn(Warning::GuessedActivation { activation, because });
}

/// Opens adapters; warns of what an authors' file leaves open.
///
/// # Errors
/// As [`AdapterFile::open`].
pub fn open_adapter(
    path: &Path,
    assumed: &Assumed,
    watch: &mut dyn Watcher,
) -> Result<AdapterFile, InspectError> {
    let file = AdapterFile::open(path, assumed)?;
    if file.format() == AdapterFormat::Authors {
        let config = file.config();
        let (taps, top_k, alpha) = (config.taps.clone(), config.top_k, config.alpha);
        watch.warn(Warning::AssumedSettings { taps, top_k, alpha });
    }
    Ok(file)
}

/// SHA-256 of a CLIP's own file, before any conversion.
pub fn source_sha256(clip: &ClipCheckpoint) -> String {
    clip.source_sha256()
}

/// What every stored number follows from, whatever else decides it: build, machine, and how the pictures
/// of a CLIP are normalised. CLIP's own normalisation is not said, as it was not before others could be.
pub fn shared_conditions(clip: &ClipCheckpoint, device: DeviceChoice) -> Conditions {
    let other = Some(clip.normalisation()).filter(|used| *used != Normalisation::CLIP);
    Conditions::here(&device.to_string()).with(Condition::Normalisation, &other)
}

/// CLIP with adapters on a device, and the prompts of `classes`.
///
/// # Errors
/// A CLIP that the adapters were not trained on; as [`ClipSource::frozen`], [`AdapterFile::load`] and
/// [`MoeClip::new`].
pub fn open_model<B: Backend>(
    source: &ClipSource,
    file: &AdapterFile,
    classes: &[String],
    compute: Compute,
    device: &B::Device,
    watch: &mut dyn Watcher,
) -> Result<LoadedModel<B>, InspectError> {
    let clip = source.open(watch)?;
    refuse_other_clip(&clip, file)?;
    let prompts = prompts_of(file);
    let adapters = file.load::<B>(clip.spec(), device)?;
    let frozen = source.frozen(&clip, &prompts, classes, compute, device, watch)?;
    let model = MoeClip::new(frozen.tower, adapters, file.config().clone(), device)?;
    let preprocessing = preprocessing(&clip, file.config().image_size)?;
    let normalisation = clip.normalisation();
    Ok(LoadedModel { model, book: frozen.book, normalisation, preprocessing })
}

/// How pictures become input of a CLIP, squares of this size.
///
/// # Errors
/// As [`Preprocessing::new`].
pub fn preprocessing(
    clip: &ClipCheckpoint,
    image_size: usize,
) -> Result<Preprocessing, InspectError> {
    let Normalisation { mean, deviation } = clip.normalisation();
    Ok(Preprocessing::new(image_size, mean, deviation)?)
}

/// A model, its prompts, and how pictures become its input.
pub struct LoadedModel<B: Backend> {
    /// CLIP with adapters.
    pub model: MoeClip<B, VisionTower<B>>,
    /// The prompts of its classes, encoded.
    pub book: PromptBook<B>,
    /// What it subtracts and divides by.
    pub normalisation: Normalisation,
    /// The same as a whole, with the size.
    pub preprocessing: Preprocessing,
}

impl<B: Backend> LoadedModel<B> {
    /// The detector of this model for pictures of a domain.
    ///
    /// # Errors
    /// As [`LoadedDetector::new`].
    pub fn detector(
        self,
        domain: Domain,
        device: &B::Device,
    ) -> Result<LoadedDetector<B>, InspectError> {
        let detector = MoeClipDetector::new(self.model, self.book, domain, device);
        LoadedDetector::new(Box::new(detector.with_normalisation(self.normalisation)))
    }
}

/// A detector, and how pictures become the images that it takes.
pub struct LoadedDetector<B: Backend> {
    /// The detector.
    pub detector: Box<dyn Detector<B>>,
    /// What it says that it takes.
    pub preprocessing: Preprocessing,
}

impl<B: Backend> LoadedDetector<B> {
    /// With the images that the detector says it takes.
    ///
    /// # Errors
    /// As [`Preprocessing::new`].
    pub fn new(detector: Box<dyn Detector<B>>) -> Result<Self, InspectError> {
        let ImageInput { size, mean, std } = detector.input();
        let preprocessing = Preprocessing::new(size, mean, std)?;
        Ok(Self { detector, preprocessing })
    }
}

/// Refuses adapters that were trained on another CLIP than the one given.
///
/// # Errors
/// A refusal that names both.
pub fn refuse_other_clip(
    clip: &ClipCheckpoint,
    file: &dyn TrainedFile,
) -> Result<(), InspectError> {
    let trained = file.provenance().and_then(|from| from.clip_sha256.as_ref());
    let Some(trained) = trained else { return Ok(()) };
    let given = source_sha256(clip);
    if *trained != given {
        refuse!(
            "{}: was trained on another CLIP (its file's SHA-256 {}..., yours {}...); use that one",
            file.path().display(),
            &trained[..trained.len().min(12)],
            &given[..given.len().min(12)]
        );
    }
    Ok(())
}

/// The classes as they stand in prompts, each once.
pub fn prompt_names<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Vec<String> {
    let names: std::collections::BTreeSet<String> =
        samples.into_iter().map(|sample| sample.prompt.clone()).collect();
    names.into_iter().collect()
}

/// What is known of pictures before they are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownPictures {
    /// Their kind.
    pub domain: Domain,
    /// How many bits of 16 hold them, where somebody says it.
    pub bits: Option<SampleBits>,
}

/// The calibration of adapters, if they carry one; one for other images, another CLIP, another precision,
/// build or machine is refused.
///
/// # Errors
/// As [`conditions()`]; a refusal that names what differs.
pub fn calibration_of(
    trained: &dyn TrainedFile,
    clip: &ClipSource,
    shown: ShownPictures,
    compute: Compute,
) -> Result<Option<Calibration>, InspectError> {
    let Some(calibration) = trained.calibration() else { return Ok(None) };
    let given = conditions(trained, clip, shown, compute)?;
    let file = trained.path().display();
    calibration
        .require(&given)
        .map_err(|error| InspectError::refused(format!("{file}: {error} (--uncalibrated)")))?;
    Ok(Some(calibration.clone()))
}

/// What a calibration of these adapters with this CLIP holds for.
///
/// # Errors
/// As [`ClipSource::read`].
pub fn conditions(
    trained: &dyn TrainedFile,
    clip: &ClipSource,
    shown: ShownPictures,
    compute: Compute,
) -> Result<CalibrationConditions, InspectError> {
    let clip = clip.read()?;
    let shared = shared_conditions(&clip, compute.device);
    Ok(conditions_with(trained, source_sha256(&clip), shared, shown, compute.precision))
}

/// The same where the CLIP's SHA-256 and what is shared are known.
pub fn conditions_with(
    trained: &dyn TrainedFile,
    clip_sha256: String,
    shared: Conditions,
    shown: ShownPictures,
    precision: Precision,
) -> CalibrationConditions {
    let ShownPictures { domain, bits } = shown;
    let bits = bits.filter(|bits| !bits.is_all());
    CalibrationConditions {
        domain,
        image_size: trained.image_size(),
        precision: precision.dtype().name().to_owned(),
        clip_sha256,
        prompts_sha256: trained.prompts_sha256(),
        shared: shared.with(Condition::SampleBits, &bits),
    }
}

/// A calibration for a person: names and what they say.
pub fn described(calibration: &Calibration) -> Vec<(&'static str, String)> {
    let Calibration { map, image, image_threshold, pixel_threshold, images, conditions, .. } =
        calibration;
    let percent = |rate: f64| (1e6 * rate).round() / 1e4;
    let end = |end: Option<f32>| end.map_or("-".to_owned(), |end| format!("{end:.4}"));
    let (level, fpr) = (percent(image_threshold.level), image_threshold.fpr);
    let count = images.data.images.len();
    let (domain, size) = (conditions.domain, conditions.image_size);
    vec![
        (
            "calibrated on",
            format!("{count} normal images of {} ({})", images.data.name, images.split),
        ),
        ("showing", images.classes.join(", ")),
        ("for", format!("{domain:?} images, {size}x{size}, {}", conditions.precision)),
        ("map", format!("{:.4} to {:.4}", map.low, map.high)),
        ("image head", format!("{:.4} to {:.4}", image.low, image.high)),
        (
            "threshold",
            format!(
                "{:.4} for an FPR of {} % ({level} %: {} to {})",
                image_threshold.value,
                percent(image_threshold.target_fpr),
                end(image_threshold.low),
                end(image_threshold.high),
            ),
        ),
        (
            "its true FPR",
            format!("{:.2} to {:.2} % with {level} %", percent(fpr.low), percent(fpr.high)),
        ),
        (
            "pixel threshold",
            format!(
                "{:.4} for an FPR of {} %",
                pixel_threshold.value,
                percent(pixel_threshold.target_fpr)
            ),
        ),
    ]
}
