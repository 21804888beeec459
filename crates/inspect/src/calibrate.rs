//! What a detector's numbers mean on normal images.

use std::path::PathBuf;
use std::time::Instant;

use anomaly::{AuxiliaryData, Calibration, CalibrationConditions, CalibrationImages, Domain};
use burn::tensor::backend::Backend;
use moeclip::AdapterFile;
use moeclip_data::{ImageDataset, Label, Sample, Split};
use moeclip_eval::metrics::Workspace;
use moeclip_eval::{CalibrationTargets, Calibrator};
use serde::Serialize;

use crate::backends::{Compute, Job, run_on};
use crate::error::{Context, refuse};
use crate::registry::{MethodFiles, MethodName};
use crate::{
    CacheRequest, ClipSource, DataRequest, Dataset, InspectError, LoadedDetector, Warning, Watcher,
    cached, conditions, fingerprint, for_each_image, prompt_names, tell_mask_faults, tell_trouble,
};

/// The confidence of intervals.
const LEVEL: f64 = 0.95;

/// Adapters to be calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// The adapters.
    pub files: MethodFiles,
    /// A folder of normal images, or a dataset of which the normal ones are taken.
    pub data: PathBuf,
    /// How it is found and read.
    pub options: DataRequest,
    /// Where decoded pictures are kept.
    pub cache: CacheRequest,
    /// The split; train by default, and all of a folder of one's own.
    pub split: Option<Split>,
    /// Kind of pictures; else as the dataset is described.
    pub domain: Option<Domain>,
    /// Share of normal images that may be called anomalous.
    pub fpr: f64,
    /// Share of a normal image's pixels that may be.
    pub pixel_fpr: f64,
    /// File of the calibrated adapters; else their own.
    pub out: Option<PathBuf>,
    /// Where to compute.
    pub compute: Compute,
}

/// Adapters that were calibrated.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibrated {
    /// Their file.
    pub file: String,
    /// Seconds on the clock.
    pub seconds: f64,
    /// What was measured.
    pub calibration: Calibration,
}

impl CalibrateRequest {
    /// Calibrates, and writes it into the file of the adapters.
    ///
    /// # Errors
    /// Rates and images that do not go together; what cannot be opened, read, computed or written;
    /// cancellation.
    pub fn run(&self, watch: &mut dyn Watcher) -> Result<Calibrated, InspectError> {
        run_on(self.compute, CalibrateJob { request: self, watch })
    }
}

struct CalibrateJob<'a> {
    request: &'a CalibrateRequest,
    watch: &'a mut dyn Watcher,
}

impl Job for CalibrateJob<'_> {
    type Output = Calibrated;
    type Error = InspectError;

    fn run<B: Backend>(self, device: B::Device) -> Result<Calibrated, InspectError> {
        let (Self { request, watch }, start) = (self, Instant::now());
        let targets = CalibrationTargets::new(request.fpr, request.pixel_fpr, LEVEL)
            .context("--fpr and --pixel-fpr")?;
        let method = MethodName::default().open(&request.files, watch)?;
        let adapter = method.adapters().context("there are no adapters to calibrate")?;
        adapter.require_place_for_calibration()?;
        let out = request.out.as_deref().unwrap_or(adapter.path());
        refuse_unwritable(out)?;
        let normal = request.normal_images(watch)?;
        let named = || request.data.display().to_string();
        targets.require(normal.samples.len()).with_context(named)?;
        let domain = request.domain.unwrap_or(normal.dataset.descriptor.domain);
        let classes = prompt_names(&normal.samples);
        let images = normal.described(adapter, classes.clone(), watch)?;
        let (clip, compute) = (&request.clip, request.compute);
        let conditions = conditions(adapter, clip, domain, compute)?;
        let mut loaded = method.load::<B>(clip, &classes, domain, compute, &device, watch)?;
        let cache = request.cache.open()?;
        let images_read = ImageDataset::new(normal.samples, loaded.preprocessing)
            .with_bits(normal.dataset.descriptor.bits);
        let dataset = cached(images_read, &cache);
        let calibrating = Calibrating { targets, images, conditions };
        let calibration = calibrating.run(&dataset, &mut loaded, &device, watch, named);
        tell_mask_faults(&dataset, watch);
        let calibration = calibration?;
        tell_trouble(&cache, watch);
        adapter.write_calibrated(out, &calibration)?;
        let (file, seconds) = (out.display().to_string(), start.elapsed().as_secs_f64());
        Ok(Calibrated { file, seconds, calibration })
    }
}

/// Calibrates any detector on normal images; `data` is remembered as what they are.
///
/// # Errors
/// Too few images, or a detector that says the same of all; as [`for_each_image`].
pub fn calibrate<B: Backend>(
    dataset: &ImageDataset,
    data: AuxiliaryData,
    loaded: &mut LoadedDetector<B>,
    targets: CalibrationTargets,
    conditions: CalibrationConditions,
    device: &B::Device,
    watch: &mut dyn Watcher,
) -> Result<Calibration, InspectError> {
    let (name, classes) = (data.name.clone(), prompt_names(dataset.samples()));
    let images =
        CalibrationImages { data, split: Split::Test.name().to_owned(), classes, trained_on: 0 };
    Calibrating { targets, images, conditions }.run(dataset, loaded, device, watch, || name.clone())
}

/// A calibration under way.
struct Calibrating {
    targets: CalibrationTargets,
    images: CalibrationImages,
    conditions: CalibrationConditions,
}

impl Calibrating {
    /// Every image through the detector; `named` is what an error says of all of them.
    fn run<B: Backend>(
        self,
        dataset: &ImageDataset,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
        named: impl Fn() -> String,
    ) -> Result<Calibration, InspectError> {
        let mut calibrator =
            Calibrator::new(self.targets, loaded.detector.score_rule(), Workspace::default());
        for_each_image(dataset, loaded, device, watch, |sample, record| {
            let taken = calibrator.push(record.map, record.image_score);
            taken.with_context(|| sample.image.display().to_string())
        })?;
        calibrator.finish(self.images, self.conditions).with_context(named)
    }
}

/// The images that are calibrated on.
struct NormalImages {
    dataset: Dataset,
    samples: Vec<Sample>,
    split: Split,
}

impl CalibrateRequest {
    /// The normal images of what was named; warns of how many anomalous ones are left out.
    fn normal_images(&self, watch: &mut dyn Watcher) -> Result<NormalImages, InspectError> {
        let mut options = self.options.clone();
        let is_own_folder = options.class.is_some() && options.anomalous.is_empty();
        if is_own_folder && options.normal.is_empty() {
            options.normal.push(PathBuf::from("."));
        }
        let own = if options.normal.is_empty() { Split::Train } else { Split::Test };
        let split = self.split.unwrap_or(own);
        let found = Dataset::open(&self.data, &options, watch).and_then(|dataset| {
            let samples = dataset.samples(split, watch)?;
            Ok((dataset, samples))
        });
        let (dataset, all) = found.with_context(|| match options.normal.is_empty() {
            true => "give --class NAME for a folder of normal images, or another --split",
            false => "no normal images",
        })?;
        let count = all.len();
        let is_normal = |sample: &Sample| sample.label == Label::Normal;
        let samples: Vec<Sample> = all.into_iter().filter(is_normal).collect();
        if samples.is_empty() {
            let (data, split) = (self.data.display(), split.name());
            refuse!(
                "{data}: all {count} images of the split {split} are anomalous; give normal images"
            );
        }
        if samples.len() < count {
            watch.warn(Warning::AnomalousLeftOut { images: count - samples.len() });
        }
        Ok(NormalImages { dataset, samples, split })
    }
}

impl NormalImages {
    /// What the calibration remembers of them. Warns of what its intervals do not know.
    fn described(
        &self,
        adapter: &AdapterFile,
        classes: Vec<String>,
        watch: &mut dyn Watcher,
    ) -> Result<CalibrationImages, InspectError> {
        let data = fingerprint(&self.dataset, &self.samples, watch)?.data;
        let trained = adapter.provenance().and_then(|from| from.data.as_ref());
        let is_trained = |image: &&String| {
            trained.is_some_and(|trained| trained.images.binary_search(image).is_ok())
        };
        let trained_on = data.images.iter().filter(is_trained).count();
        if trained_on > 0 {
            watch.warn(Warning::CalibratedOnTrained { images: trained_on });
        }
        if self.samples.iter().any(|sample| sample.group.is_some()) {
            watch.warn(Warning::Grouped);
        }
        let split = self.split.name().to_owned();
        Ok(CalibrationImages { data, split, classes, trained_on })
    }
}

/// Finds out before hours of work whether a file can be written.
///
/// # Errors
/// A folder, or a file whose folder does not take it.
pub fn refuse_unwritable(out: &std::path::Path) -> Result<(), InspectError> {
    if out.is_dir() {
        refuse!("{}: is a folder; give a file", out.display());
    }
    whole_file::check_writable(whole_file::parent(out)).with_context(|| {
        format!(
            "{}: cannot be written; check that its folder exists and is writable",
            out.display()
        )
    })
}
