//! Anomaly maps of images, as pictures and as lines of JSON.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anomaly::{Calibration, Domain};
use burn::tensor::backend::Backend;
use image::RgbImage;
use moeclip_data::{PictureReader, Sample, SampleBits, Split, images};
use moeclip_eval::pictures::{Overlay, write_map_png, write_npy_f32, write_png};
use moeclip_eval::{MapRange, MapView};
use serde::Serialize;
use whole_file::WholeFile;

use crate::backends::{Compute, Job, run_on};
use crate::error::{Context, refuse};
use crate::registry::{MethodFiles, MethodName};
use crate::view::{Legend, colours};
use crate::{
    ClipSource, DataRequest, Dataset, InspectError, Judged, LoadedDetector, SeenMap, Unwatched,
    Viewing, Warning, Watcher, WorkKind, calibration_of, tell_each,
};

/// Images to look at, and what is to become of their maps.
#[derive(Debug, Clone, PartialEq)]
pub struct PredictRequest {
    /// An image, a folder of images, or a folder in MVTec layout.
    pub input: PathBuf,
    /// The CLIP.
    pub clip: ClipSource,
    /// The adapters.
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
    /// The folder, or image, that the images were found in: below `out` they lie as they do there.
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
    /// Its file.
    pub path: String,
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

    /// The images to look at, with what they show.
    fn targets(&self, watch: &mut dyn Watcher) -> Result<Vec<Target>, InspectError> {
        if let Some(class) = &self.class {
            if class.trim().is_empty() {
                refuse!("--class is empty; say what the images show, as in \"metal nut\"");
            }
            let target = |path| Target { path, class: class.clone() };
            return Ok(images(&self.input)?.into_iter().map(target).collect());
        }
        let samples = Dataset::open(&self.input, &DataRequest::default(), watch)
            .and_then(|dataset| dataset.samples(Split::Test, watch))
            .context(
                "no --class NAME says what the images show, and the folder does not tell either",
            )?;
        let target = |sample: Sample| Target { path: sample.image, class: sample.prompt };
        Ok(samples.into_iter().map(target).collect())
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
        let targets = request.targets(watch)?;
        let mut classes: Vec<String> = targets.iter().map(|target| target.class.clone()).collect();
        classes.sort();
        classes.dedup();
        let out = &request.output.out;
        std::fs::create_dir_all(out).with_context(|| {
            format!("{}: cannot be made; check the path and its permissions", out.display())
        })?;
        let method = MethodName::default().open(&request.files, watch)?;
        let (clip, domain, compute) = (&request.clip, request.domain, request.compute);
        let adapters = method.adapters().filter(|_| !request.uncalibrated);
        let calibration = adapters.map(|file| calibration_of(file, clip, domain, compute));
        let calibration = calibration.transpose()?.flatten();
        let calibration = request.output.viewing.holding(calibration, watch);
        warn_of_other_classes(calibration.as_ref(), &classes, watch);
        let mut loaded = method.load::<B>(clip, &classes, domain, compute, &device, watch)?;
        let mut output = request.output.clone();
        output.viewing.bits = output.viewing.bits.or_else(|| described_bits(&request.input));
        predict(&targets, &mut loaded, calibration, &output, &device, watch, tell)
    }
}

/// The bits that a description of the images names.
fn described_bits(input: &Path) -> Option<SampleBits> {
    Dataset::open(input, &DataRequest::default(), &mut Unwatched).ok()?.descriptor.bits
}

/// Looks at images with any detector and writes what it sees; `tell` hears of each.
///
/// # Errors
/// What cannot be written. Neither a failed image nor cancellation is one.
pub fn predict<B: Backend>(
    targets: &[Target],
    loaded: &mut LoadedDetector<B>,
    calibration: Option<Calibration>,
    output: &PredictOutput,
    device: &B::Device,
    watch: &mut dyn Watcher,
    tell: Tell<'_>,
) -> Result<Predicted, InspectError> {
    let reader = PictureReader::new(output.viewing.bits);
    let mut lines = Lines::create(&output.out)?;
    let mut predicted = Predicted { images: targets.len(), calibration, ..Predicted::default() };
    // Tiles have a progress of their own.
    let is_whole = output.viewing.tiling.is_none();
    if is_whole {
        watch.begin(WorkKind::Images, targets.len());
    }
    for target in targets {
        if watch.is_cancelled() {
            break;
        }
        let calibration = predicted.calibration.as_ref();
        let written = output.one(target, &reader, calibration, loaded, device, watch);
        let said = match &written {
            Err(InspectError::Cancelled { .. }) => break,
            Ok(WrittenPrediction { prediction, .. }) => format!("score {:.3}", prediction.score),
            Err(_) => "failed".to_owned(),
        };
        let told = predicted.take(written, &mut lines, tell)?;
        if is_whole {
            watch.advance(said);
        }
        if told.is_break() {
            break;
        }
    }
    if is_whole {
        watch.end();
    }
    tell_each(&reader.take_faults(), watch);
    predicted.lines = lines.finish()?;
    Ok(predicted)
}

impl Predicted {
    /// Counts an image, writes its line and tells of it.
    fn take(
        &mut self,
        written: Result<WrittenPrediction, InspectError>,
        lines: &mut Lines,
        tell: Tell<'_>,
    ) -> Result<ControlFlow<()>, InspectError> {
        let WrittenPrediction { prediction, range } = match written {
            Ok(written) => written,
            Err(error) => {
                self.failed += 1;
                return Ok(tell(Err(error)));
            }
        };
        self.done += 1;
        self.anomalous += usize::from(prediction.judged.is_some_and(|j| j.is_anomalous()));
        self.range = Some(self.range.map_or(range, |all| all.union(range)));
        lines.write(&prediction)?;
        Ok(tell(Ok(&prediction)))
    }
}

/// What was written of an image, and over what its map ranges.
struct WrittenPrediction {
    prediction: Prediction,
    range: MapRange,
}

impl PredictOutput {
    fn one<B: Backend>(
        &self,
        target: &Target,
        reader: &PictureReader,
        calibration: Option<&Calibration>,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<WrittenPrediction, InspectError> {
        let start = Instant::now();
        let image = reader.rgb(&target.path)?;
        let seen = self.viewing.look(&image, &target.class, calibration, loaded, device, watch)?;
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        self.write(target, &seen, &image, calibration, milliseconds)
    }

    fn write(
        &self,
        target: &Target,
        seen: &SeenMap,
        image: &RgbImage,
        calibration: Option<&Calibration>,
        milliseconds: f64,
    ) -> Result<WrittenPrediction, InspectError> {
        let SeenMap { map, image_score, score, tiles, judged } = seen;
        let (width, height) = (map.width, map.height);
        let view = MapView::new(width, height, &map.values)?;
        let files = Files::of(self, &target.path)?;
        write_map_png(&files.map, view, self.range.unwrap_or_else(|| view.range()))?;
        let legend = Legend::of(&target.class, *score, judged.as_ref());
        let range = colours(self.range, calibration, view)?;
        let overlay =
            Overlay { image, map: view, range, title: &legend.title, score: legend.score };
        write_png(&files.overlay, &overlay.draw()?)?;
        if self.npy {
            write_npy_f32(&files.npy, &[height, width], &map.values)?;
        }
        let peak = view.peak();
        let own = |at: usize, side: u32, of: usize| {
            ((at as f64 + 0.5) * f64::from(side) / of as f64) as u32
        };
        let prediction = Prediction {
            path: target.path.display().to_string(),
            class: target.class.clone(),
            score: *score,
            image_score: *image_score,
            maximum: peak.value,
            maximum_x: own(peak.x, image.width(), width),
            maximum_y: own(peak.y, image.height(), height),
            milliseconds,
            tiles: *tiles,
            map: files.map.display().to_string(),
            overlay: files.overlay.display().to_string(),
            judged: *judged,
        };
        Ok(WrittenPrediction { prediction, range: view.range() })
    }
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

/// The files of one image, under the same folders as the image itself.
struct Files {
    map: PathBuf,
    overlay: PathBuf,
    npy: PathBuf,
}

impl Files {
    fn of(output: &PredictOutput, image: &Path) -> Result<Self, InspectError> {
        let inside = image.strip_prefix(&output.input).unwrap_or(Path::new(""));
        let name = image.file_name().context("the image has no name")?.to_string_lossy();
        let folder = output.out.join(inside.parent().unwrap_or(Path::new("")));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        Ok(Self { map: file("map.png"), overlay: file("overlay.png"), npy: file("map.npy") })
    }
}

/// `predictions.jsonl`, whole or absent.
struct Lines {
    file: WholeFile,
    path: PathBuf,
}

impl Lines {
    fn create(folder: &Path) -> Result<Self, InspectError> {
        let path = folder.join("predictions.jsonl");
        let file = WholeFile::create(&path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(Self { file, path })
    }

    fn write(&mut self, prediction: &Prediction) -> Result<(), InspectError> {
        writeln!(self.file, "{}", serde_json::to_string(prediction)?)
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn finish(self) -> Result<PathBuf, InspectError> {
        let Self { file, path } = self;
        file.commit().with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(path)
    }
}
