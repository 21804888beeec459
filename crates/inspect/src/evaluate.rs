//! What a detector is worth on labelled images: every image through it, and the reports.

use std::path::PathBuf;
use std::time::Instant;

use anomaly::{Domain, ScoreRule};
use burn::tensor::{Tensor, backend::Backend};
use moeclip_data::{Batch, Batches, ImageDataset, Label, LoaderOptions, Sample, Split};
use moeclip_eval::MapView;
use moeclip_eval::metrics::{Bootstrap, Workspace};
use moeclip_eval::report::{Evaluation, ImageRecord, Report, SavedMaps};
use moeclip_train::peak_memory;
use serde::{Deserialize, Serialize};

use crate::backends::{Compute, Job, run_on};
use crate::error::Context;
use crate::registry::{MethodFiles, MethodName};
use crate::{
    CacheRequest, ClipSource, DataRequest, Dataset, InspectError, LoadedDetector, ShownPictures,
    Watcher, WorkKind, cached, calibration_of, prompt_names, refuse_calibration_data,
    refuse_reference_images, refuse_training_data, shown_path, tell_file_faults, tell_trouble,
};

/// MiB for the pixels of a class.
pub const PIXEL_MEMORY: usize = 256;
/// The share of draws that an interval holds.
const INTERVAL_LEVEL: f64 = 0.95;

/// How images are measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measuring {
    /// New folder for every map and mask.
    pub save_maps: Option<PathBuf>,
    /// Draws for intervals of the image metrics.
    pub bootstrap: Option<usize>,
    /// Intervals of the pixel metrics too.
    pub bootstrap_pixels: bool,
    /// Decides the draws.
    pub bootstrap_seed: u64,
    /// MiB for the pixels of a class; what does not fit goes to temporary files.
    pub pixel_memory: usize,
    /// Folder of those files; else the system's.
    pub pixel_folder: Option<PathBuf>,
}

impl Default for Measuring {
    /// What nobody asks for.
    fn default() -> Self {
        Self {
            save_maps: None,
            bootstrap: None,
            bootstrap_pixels: false,
            bootstrap_seed: 0,
            pixel_memory: PIXEL_MEMORY,
            pixel_folder: None,
        }
    }
}

impl Measuring {
    /// An evaluation of scores made by `rule`, without an image yet.
    ///
    /// # Errors
    /// No draws; a folder of maps that cannot be made or holds something.
    pub fn evaluation(&self, rule: ScoreRule) -> Result<Evaluation, InspectError> {
        let memory = self.pixel_memory.saturating_mul(1 << 20);
        let folder = self.pixel_folder.clone().unwrap_or_else(|| Workspace::default().folder);
        // Half of it each, where pixels are kept for their intervals too.
        let memory = if self.bootstrap_pixels { memory / 2 } else { memory };
        let workspace = Workspace { memory, folder };
        let mut evaluation = Evaluation::new(rule, workspace.clone());
        if let Some(draws) = self.bootstrap {
            let bootstrap = Bootstrap::new(draws, self.bootstrap_seed, INTERVAL_LEVEL);
            let bootstrap = bootstrap.context("--bootstrap")?;
            evaluation = match self.bootstrap_pixels {
                true => evaluation.with_all_intervals(bootstrap, workspace),
                false => evaluation.with_intervals(bootstrap),
            };
        }
        if let Some(folder) = &self.save_maps {
            evaluation = evaluation.saving(SavedMaps::create(folder).context("--save-maps")?);
        }
        Ok(evaluation)
    }
}

/// A method to be measured on a dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// The method.
    pub method: MethodName,
    /// What it is opened from.
    pub files: MethodFiles,
    /// A known dataset's name, or a folder, list or description.
    pub data: PathBuf,
    /// How it is found and read.
    pub options: DataRequest,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// Kind of pictures; else as the dataset is described.
    pub domain: Option<Domain>,
    /// Leaves the calibration that adapters carry aside.
    pub uncalibrated: bool,
    /// How images are measured.
    pub measuring: Measuring,
    /// Where to compute.
    pub compute: Compute,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluated {
    /// The data, as it was named.
    pub data: String,
    /// Images.
    pub images: usize,
    /// Seconds on the clock, loading included.
    pub seconds: f64,
    /// The most memory that this process ever had; `None` where the system does not say.
    pub peak_bytes: Option<u64>,
    /// One for each protocol.
    pub reports: Vec<Report>,
}

impl EvalRequest {
    /// Measures. Images that the method was trained or calibrated on are refused.
    ///
    /// # Errors
    /// The refusal; whatever cannot be opened, read or computed; cancellation.
    pub fn run(&self, watch: &mut dyn Watcher) -> Result<Evaluated, InspectError> {
        run_on(self.compute, EvalJob { request: self, watch })
    }
}

struct EvalJob<'a> {
    request: &'a EvalRequest,
    watch: &'a mut dyn Watcher,
}

impl Job for EvalJob<'_> {
    type Output = Evaluated;
    type Error = InspectError;

    fn run<B: Backend>(self, device: B::Device) -> Result<Evaluated, InspectError> {
        let (Self { request, watch }, start) = (self, Instant::now());
        let opened = Dataset::open(&request.data, &request.options, watch)?;
        let samples = opened.samples(Split::Test, watch)?;
        let method = request.method.open(&request.files, watch)?;
        let domain = request.domain.unwrap_or(opened.descriptor.domain);
        let mut evaluation = request.measuring.evaluation(method.score_rule(domain))?;
        if let Some(adapter) = method.trained() {
            refuse_training_data(adapter, &opened, &samples, watch)?;
            let (clip, compute) = (&request.clip, request.compute);
            let wanted = !request.uncalibrated;
            let shown = ShownPictures { domain, bits: opened.descriptor.bits };
            let calibration =
                wanted.then(|| calibration_of(adapter, clip, shown, compute)).transpose()?;
            let calibration = calibration.flatten();
            request.files.refuse_calibrated_references(calibration.as_ref())?;
            if let Some(calibration) = calibration {
                refuse_calibration_data(adapter, &calibration, &samples, watch)?;
                evaluation = evaluation.calibrated(calibration)?;
            }
        }
        let (images, classes) = (samples.len(), prompt_names(&samples));
        refuse_reference_images(&method.reference_images(&classes, watch)?, &samples, watch)?;
        let (clip, compute) = (&request.clip, request.compute);
        let mut loaded = method.load::<B>(clip, &classes, domain, compute, &device, watch)?;
        let preprocessing = loaded.preprocessing.with_mask_rule(opened.descriptor.masks.rule);
        let cache = request.cache.open()?;
        let images_read = ImageDataset::new(samples, preprocessing)
            .checking_masks(opened.descriptor.masks)
            .with_bits(opened.descriptor.bits);
        let dataset = cached(images_read, &cache);
        let reports = evaluate(&dataset, &mut loaded, evaluation, &device, watch);
        tell_file_faults(&dataset, watch);
        let reports = reports?;
        tell_trouble(&cache, watch);
        Ok(Evaluated {
            data: request.data.display().to_string(),
            images,
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(),
            reports,
        })
    }
}

/// Measures any detector on labelled images.
///
/// # Errors
/// As [`for_each_image`] and [`Evaluation::push`].
pub fn evaluate<B: Backend>(
    images: &ImageDataset,
    loaded: &mut LoadedDetector<B>,
    mut evaluation: Evaluation,
    device: &B::Device,
    watch: &mut dyn Watcher,
) -> Result<Vec<Report>, InspectError> {
    for_each_image(images, loaded, device, watch, |sample, record| {
        Ok(evaluation.push(&sample.class, record)?)
    })?;
    Ok(evaluation.finish()?)
}

/// Every image through the detector, class by class; `take` is given each with what is true of it.
///
/// # Errors
/// An image that cannot be read; as the detector and as `take`; cancellation.
pub fn for_each_image<'a, B: Backend>(
    dataset: &'a ImageDataset,
    loaded: &mut LoadedDetector<B>,
    device: &B::Device,
    watch: &mut dyn Watcher,
    mut take: impl FnMut(&'a Sample, ImageRecord<'_>) -> Result<(), InspectError>,
) -> Result<(), InspectError> {
    let samples = dataset.samples();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|&index| &samples[index].class);
    // One image a batch.
    let options = LoaderOptions::new(1);
    let batches = Batches::<B>::start(dataset, order.clone(), options, device.clone())?;
    watch.begin(WorkKind::Images, samples.len());
    for (batch, index) in batches.zip(order) {
        if watch.is_cancelled() {
            return Err(InspectError::cancelled("interrupted; nothing was measured"));
        }
        let score = detect_image(batch?, &samples[index], loaded, &mut take)?;
        watch.advance(format!("score {score:.3}"));
    }
    watch.end();
    Ok(())
}

/// The image of a batch of one through the detector; its score.
fn detect_image<'a, B: Backend>(
    batch: Batch<B>,
    sample: &'a Sample,
    loaded: &mut LoadedDetector<B>,
    take: &mut impl FnMut(&'a Sample, ImageRecord<'_>) -> Result<(), InspectError>,
) -> Result<f32, InspectError> {
    let name = shown_path(&sample.image);
    let detection = loaded.detector.detect(batch.images, &sample.prompt);
    let detection = detection.with_context(|| name.clone())?;
    let detection = detection.into_iter().next().context("the detector gave no map")?;
    let size = detection.map.size;
    let mask = batch.has_mask.first().is_some_and(|has| *has).then(|| to_bools(batch.masks));
    let record = ImageRecord {
        name: &name,
        group: sample.group.as_deref(),
        map: MapView::new(size, size, &detection.map.values).with_context(|| name.clone())?,
        mask: mask.as_deref(),
        label: sample.label == Label::Anomalous,
        image_score: detection.image_score,
    };
    take(sample, record)?;
    Ok(detection.score)
}

/// A mask on the host.
pub fn to_bools<B: Backend>(mask: Tensor<B, 4>) -> Vec<bool> {
    mask.into_data().iter::<f32>().map(|value| value != 0.0).collect()
}
