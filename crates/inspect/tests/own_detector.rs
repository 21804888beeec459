//! A detector of one's own, written as anybody outside this workspace would: it is measured, calibrated
//! and looked through by the library's calls, and nothing else knows of it.

use std::ops::ControlFlow;
use std::path::Path;

use anomaly::{
    AnomalyMap, AuxiliaryData, CalibrationConditions, DetectError, Detection, Detector, Domain,
    ImageInput, ScoreRule, Tiling,
};
use burn::backend::Flex;
use burn::tensor::{Tensor, backend::Backend};
use inspect::{
    Cancellation, DataRequest, Dataset, InspectError, LoadedDetector, Measuring, PredictOutput,
    Prediction, Target, Unwatched, Viewing, Warning, Watcher, WorkKind, calibrate, evaluate,
    for_each_image, predict,
};
use moeclip_data::{ImageDataset, Label, SampleBits, Split};
use moeclip_eval::CalibrationTargets;
use synthetic_world::{Surface, SyntheticSet, write_synthetic};

const SIZE: usize = 48;

/// Finds every image equally suspicious.
struct Constant;

impl<B: Backend> Detector<B> for Constant {
    fn input(&self) -> ImageInput {
        ImageInput::unnormalised(SIZE)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::MapMax
    }

    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        let [batch, _, _, size] = images.dims();
        let map = AnomalyMap { size, values: vec![0.25; size * size] };
        Ok(vec![Detection::new(map, 0.5, ScoreRule::MapMax); batch])
    }
}

/// Finds what is red anomalous, and says the picture's mean red of the image as a whole.
struct Redness;

impl<B: Backend> Detector<B> for Redness {
    fn input(&self) -> ImageInput {
        ImageInput::unnormalised(SIZE)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::MapMax
    }

    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        let values = anomaly::to_host(images)?;
        let detection = |image: &[f32]| {
            let values = image[..SIZE * SIZE].to_vec();
            let mean = values.iter().sum::<f32>() / values.len() as f32;
            Detection::new(AnomalyMap { size: SIZE, values }, mean, ScoreRule::MapMax)
        };
        Ok(values.chunks_exact(3 * SIZE * SIZE).map(detection).collect())
    }
}

fn loaded(detector: impl Detector<Flex> + 'static) -> LoadedDetector<Flex> {
    LoadedDetector::new(Box::new(detector)).unwrap()
}

/// The labelled pictures of a small world, or its normal ones alone.
fn pictures(folder: &Path, only_normal: bool) -> ImageDataset {
    let root = folder.join("speckle-world");
    if !root.exists() {
        let set = SyntheticSet { surface: Surface::Speckle, size: 64, per_kind: 6, seed: 3 };
        write_synthetic(&root, &set).unwrap();
    }
    let dataset = Dataset::open(&root, &DataRequest::default(), &mut Unwatched).unwrap();
    let mut samples = dataset.samples(Split::Test, &mut Unwatched).unwrap();
    samples.retain(|sample| !only_normal || sample.label == Label::Normal);
    ImageDataset::new(samples, loaded(Constant).preprocessing)
}

#[test]
fn a_constant_is_measured_as_chance() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path(), false);
    let evaluation = Measuring::default().evaluation(ScoreRule::MapMax).unwrap();
    let device = Default::default();
    let reports =
        evaluate(&images, &mut loaded(Constant), evaluation, &device, &mut Unwatched).unwrap();
    assert_eq!(reports.len(), 2, "paper and raw; nothing is deployed");
    for report in &reports {
        assert_eq!(report.classes[0].images, images.samples().len());
        assert_eq!((report.mean.image_auroc, report.mean.pixel_auroc), (Some(0.5), Some(0.5)));
    }
}

#[test]
fn what_says_the_same_of_all_images_has_no_calibration_and_what_does_not_has_one() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path(), true);
    let targets = CalibrationTargets::new(0.3, 0.3, 0.95).unwrap();
    let conditions = CalibrationConditions {
        domain: Domain::Medical,
        image_size: SIZE,
        precision: "F32".into(),
        clip_sha256: String::new(),
        prompts_sha256: String::new(),
        shared: Default::default(),
    };
    let data = AuxiliaryData { name: "speckle".into(), ..AuxiliaryData::default() };
    let measure = |mut loaded: LoadedDetector<Flex>| {
        let (data, conditions, device) = (data.clone(), conditions.clone(), Default::default());
        calibrate(&images, data, &mut loaded, targets, conditions, &device, &mut Unwatched)
    };
    let flat = measure(loaded(Constant)).unwrap_err().one_line();
    assert!(flat.starts_with("speckle: ") && flat.contains("map"), "{flat}");
    let calibration = measure(loaded(Redness)).unwrap();
    assert_eq!(calibration.images.classes, ["speckle"]);
    assert!(calibration.map.low < calibration.map.high);
}

#[test]
fn a_constant_is_drawn_whole_and_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path(), false);
    let target = |path: &Path| Target { path: path.to_path_buf(), class: "speckle".into() };
    let mut targets: Vec<Target> =
        images.samples().iter().take(2).map(|sample| target(&sample.image)).collect();
    targets.push(target(Path::new("nowhere.png")));
    let tiling = Some(Tiling { side: 40, overlap: 0.25 });
    for (tiling, tiles) in [(None, 1), (tiling, 4)] {
        let output = PredictOutput {
            out: folder.path().join(format!("maps-{tiles}")),
            input: folder.path().to_path_buf(),
            range: None,
            npy: false,
            viewing: Viewing { tiling, tile_batch: 2, ..Viewing::default() },
        };
        let (mut seen, mut failed): (Vec<Prediction>, Vec<String>) = Default::default();
        std::fs::create_dir_all(&output.out).unwrap();
        let (device, mut constant) = (Default::default(), loaded(Constant));
        let mut tell = |told: Result<&Prediction, InspectError>| {
            match told {
                Ok(prediction) => seen.push(prediction.clone()),
                Err(error) => failed.push(error.one_line()),
            }
            ControlFlow::Continue(())
        };
        let predicted =
            predict(&targets, &mut constant, None, &output, &device, &mut Unwatched, &mut tell);
        let predicted = predicted.unwrap();
        assert_eq!((predicted.images, predicted.done, predicted.failed), (3, 2, 1));
        assert!(failed[0].contains("nowhere.png"), "{failed:?}");
        for prediction in &seen {
            assert_eq!(prediction.tiles, tiles);
            // Windows of tiles sum to one but for rounding.
            assert!((prediction.maximum - 0.25).abs() < 1e-6, "{}", prediction.maximum);
            assert!(Path::new(&prediction.overlay).exists() && Path::new(&prediction.map).exists());
        }
        let lines = std::fs::read_to_string(predicted.lines).unwrap();
        assert_eq!(lines.lines().count(), 2);
    }
}

/// Keeps what it is warned of.
#[derive(Default)]
struct Listening(Vec<Warning>);

impl Watcher for Listening {
    fn warn(&mut self, warning: Warning) {
        self.0.push(warning);
    }

    fn begin(&mut self, _: WorkKind, _: usize) {}

    fn advance(&mut self, _: String) {}

    fn end(&mut self) {}

    fn report(&mut self, _: &str) {}

    fn cancellation(&self) -> Cancellation {
        Cancellation::default()
    }
}

/// The first few by name, and all of them by number; nothing once the bits are said.
#[test]
fn pictures_that_may_be_meant_otherwise_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let picture = image::ImageBuffer::<image::Luma<u16>, _>::from_pixel(8, 8, image::Luma([900]));
    let target = |at: usize| {
        let path = folder.path().join(format!("{at}.png"));
        picture.save(&path).unwrap();
        Target { path, class: "speckle".into() }
    };
    let targets: Vec<Target> = (0..6).map(target).collect();
    let bits = SampleBits::new(10).unwrap();
    for (bits, told) in [(None, 5), (Some(bits), 0)] {
        let output = PredictOutput {
            out: folder.path().join(format!("maps-{told}")),
            input: folder.path().to_path_buf(),
            range: None,
            npy: false,
            viewing: Viewing { bits, ..Viewing::default() },
        };
        std::fs::create_dir_all(&output.out).unwrap();
        let (device, mut redness, mut watch) =
            (Default::default(), loaded(Redness), Listening::default());
        let mut tell = |_: Result<&Prediction, InspectError>| ControlFlow::Continue(());
        predict(&targets, &mut redness, None, &output, &device, &mut watch, &mut tell).unwrap();
        let lines: Vec<String> = watch.0.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), told, "{lines:?}");
        assert!(lines.first().is_none_or(|l| l.contains("0.png: no value above 1023 of 65535")));
        assert!(lines.last().is_none_or(|line| line.starts_with("2 more faults")), "{lines:?}");
    }
}

/// Counts, and asks for the end after the second image.
#[derive(Default)]
struct Impatient {
    seen: usize,
    cancellation: Cancellation,
}

impl Watcher for Impatient {
    fn warn(&mut self, _: Warning) {}

    fn begin(&mut self, work: WorkKind, _: usize) {
        assert_eq!(work, WorkKind::Images);
    }

    fn advance(&mut self, _: String) {
        self.seen += 1;
        if self.seen == 2 {
            self.cancellation.ask();
        }
    }

    fn end(&mut self) {}

    fn report(&mut self, _: &str) {}

    fn cancellation(&self) -> Cancellation {
        self.cancellation.clone()
    }
}

#[test]
fn cancellation_is_a_value() {
    let folder = tempfile::tempdir().unwrap();
    let images = pictures(folder.path(), false);
    let mut watch = Impatient::default();
    let device = Default::default();
    let taken = for_each_image(&images, &mut loaded(Constant), &device, &mut watch, |_, _| Ok(()));
    assert!(matches!(taken, Err(InspectError::Cancelled { .. })));
    assert_eq!(watch.seen, 2);
}
