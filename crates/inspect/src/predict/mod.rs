//! Anomaly maps of images, as pictures and as lines of JSON.

mod earlier;
mod names;
mod results;
mod run;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anomaly::{Calibration, Domain};
use burn::tensor::backend::Backend;
use moeclip_data::{PREDICTIONS, is_written};
use moeclip_eval::MapRange;
use serde::Serialize;

pub use self::names::{result_name, shown_path};
use self::results::Reserved;
use self::run::PredictRun;
use crate::backends::{Compute, Job, run_on};
use crate::error::refuse;
use crate::pictures::Pictures;
use crate::registry::{MethodFiles, MethodName};
use crate::{
    ClipSource, InspectError, Judged, LoadedDetector, ShownPictures, Viewing, Warning, Watcher,
    calibration_of,
};

/// Images to look at, and what is to become of their maps.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictRequest {
    /// An image, a folder of images, or a folder in MVTec layout.
    pub input: PathBuf,
    /// The CLIP.
    pub clip: ClipSource,
    /// The method.
    pub method: MethodName,
    /// What it is opened from.
    pub files: MethodFiles,
    /// What the images show; told by the folders of an MVTec layout.
    pub class: Option<String>,
    /// Kind of pictures.
    pub domain: Domain,
    /// Leaves the calibration that adapters carry aside.
    pub uncalibrated: bool,
    /// What is written, and where.
    pub output: PredictOutput,
    /// Where to compute.
    pub compute: Compute,
}

/// How images are looked at, and what is written of them.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictOutput {
    /// The folder.
    pub out: PathBuf,
    /// The folder that the images were found in: below `out` their maps lie as they do there. Of what
    /// is no such folder the last one that all images have in common takes its place.
    pub input: PathBuf,
    /// Colours for every image, instead of those of the calibration or of each map.
    pub range: Option<MapRange>,
    /// Write each map as float32 too.
    pub npy: bool,
    /// How images are looked at.
    pub viewing: Viewing,
}

/// An image to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its file.
    pub path: PathBuf,
    /// What it shows.
    pub class: String,
}

/// What is written of one image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Prediction {
    /// Its file; percent-encoded where it is not UTF-8.
    pub path: String,
    /// `percent` where the path is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path_encoding: Option<&'static str>,
    /// What it shows.
    pub class: String,
    /// How anomalous it is.
    pub score: f32,
    /// What the detector says of it besides its map.
    pub image_score: f32,
    /// The map's highest value.
    pub maximum: f32,
    /// Where the maximum is, in pixels of the image itself.
    pub maximum_x: u32,
    /// The same, down.
    pub maximum_y: u32,
    /// Decoding and looking.
    pub milliseconds: f64,
    /// How many tiles it was looked at in.
    pub tiles: usize,
    /// The map's file.
    pub map: String,
    /// The overlay's file.
    pub overlay: String,
    /// What a calibration says of it.
    #[serde(flatten)]
    pub judged: Option<Judged>,
}

/// How many images went well, and over what their maps range.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Predicted {
    /// `predictions.jsonl`.
    pub lines: PathBuf,
    /// Images that there were.
    pub images: usize,
    /// Images that went well.
    pub done: usize,
    /// Images that did not.
    pub failed: usize,
    /// Those that are anomalous by the calibration.
    pub anomalous: usize,
    /// Over what all maps range.
    pub range: Option<MapRange>,
    /// What verdicts were made by.
    pub calibration: Option<Calibration>,
}

/// Hears of every image what was written, or why it failed, and may end the work.
pub type Tell<'a> = &'a mut dyn FnMut(Result<&Prediction, InspectError>) -> ControlFlow<()>;

impl PredictRequest {
    /// Looks at every image; `tell` hears of each, also why one failed.
    ///
    /// # Errors
    /// What cannot be opened or written. Neither a failed image nor cancellation is one.
    pub fn run(&self, watch: &mut dyn Watcher, tell: Tell<'_>) -> Result<Predicted, InspectError> {
        self.output.viewing.check()?;
        run_on(self.compute, Predicting { request: self, watch, tell })
    }
}

struct Predicting<'a> {
    request: &'a PredictRequest,
    watch: &'a mut dyn Watcher,
    tell: Tell<'a>,
}

impl Job for Predicting<'_> {
    type Output = Predicted;
    type Error = InspectError;

    fn run<B: Backend>(self, device: B::Device) -> Result<Predicted, InspectError> {
        let Self { request, watch, tell } = self;
        let Pictures { targets, folder, bits, lost } =
            Pictures::of(&request.input, request.class.as_deref(), watch)?;
        let mut classes: Vec<String> = targets.iter().map(|target| target.class.clone()).collect();
        classes.sort();
        classes.dedup();
        let mut output = PredictOutput { input: folder, ..request.output.clone() };
        output.viewing.bits = output.viewing.bits.or(bits);
        if is_same_file(&request.input, &output.out.join(PREDICTIONS)) {
            let list = request.input.display();
            refuse!("{list}: is the input and would be written over; choose another --out");
        }
        let reserved = Reserved::hold(&output, &targets)?;
        let method = request.method.open(&request.files, watch)?;
        let (clip, domain, compute) = (&request.clip, request.domain, request.compute);
        let shown = ShownPictures { domain, bits: output.viewing.bits };
        let adapters = method.trained().filter(|_| !request.uncalibrated);
        let calibration = adapters.map(|file| calibration_of(file, clip, shown, compute));
        let calibration = calibration.transpose()?.flatten();
        request.files.refuse_calibrated_references(calibration.as_ref())?;
        let calibration = request.output.viewing.holding(calibration, watch);
        warn_of_other_classes(calibration.as_ref(), &classes, watch);
        let mut loaded = method.load::<B>(clip, &classes, domain, compute, &device, watch)?;
        let run = PredictRun { targets: &targets, output: &output, calibration };
        let predicted = run.predict(reserved, &mut loaded, &device, watch, tell)?;
        let (images, failed) = (predicted.images + lost, predicted.failed + lost);
        Ok(Predicted { images, failed, ..predicted })
    }
}

/// Looks at images with any detector and writes what it sees; `tell` hears of each.
///
/// # Errors
/// A folder that another run holds, or in which something would be written over; what cannot be written.
/// Neither a failed image nor cancellation is one.
pub fn predict<B: Backend>(
    targets: &[Target],
    loaded: &mut LoadedDetector<B>,
    calibration: Option<Calibration>,
    output: &PredictOutput,
    device: &B::Device,
    watch: &mut dyn Watcher,
    tell: Tell<'_>,
) -> Result<Predicted, InspectError> {
    let reserved = Reserved::hold(output, targets)?;
    PredictRun { targets, output, calibration }.predict(reserved, loaded, device, watch, tell)
}

/// Refuses a picture's file that is there and that this program did not write.
///
/// # Errors
/// The refusal.
pub fn refuse_foreign(path: &Path) -> Result<(), InspectError> {
    if path.symlink_metadata().is_ok() && !is_written(path) {
        let path = path.display();
        refuse!("{path}: is there, and this program did not write it; choose another --out");
    }
    Ok(())
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    let whole = |path: &Path| path.canonicalize().ok();
    whole(a).is_some_and(|a| Some(a) == whole(b))
}

/// Warns that a calibration knows nothing of some of these classes.
fn warn_of_other_classes(
    calibration: Option<&Calibration>,
    classes: &[String],
    watch: &mut dyn Watcher,
) {
    let Some(Calibration { images, .. }) = calibration else { return };
    let is_other = |class: &&String| !images.classes.contains(class);
    let others: Vec<&str> = classes.iter().filter(is_other).map(String::as_str).collect();
    if !others.is_empty() {
        let (calibrated, others) = (images.classes.join(", "), others.join(", "));
        watch.warn(Warning::OtherClasses { calibrated, others });
    }
}
