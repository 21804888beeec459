//! What a detector's numbers mean on normal images.

use std::path::PathBuf;
use std::time::Instant;

use anomaly::{AuxiliaryData, Calibration, CalibrationConditions, CalibrationImages, Domain};
use burn::tensor::backend::Backend;
use moeclip_data::{ImageDataset, Label, Sample, Split};
use moeclip_eval::metrics::Workspace;
use moeclip_eval::{CalibrationTargets, Calibrator, EvalError, FalsePositives};
use serde::Serialize;

use crate::backends::{Compute, Job, run_on};
use crate::error::{Context, refuse};
use crate::pictures::within;
use crate::registry::{MethodFiles, MethodName};
use crate::{
    CacheRequest, ClipSource, DataRequest, Dataset, InspectError, LoadedDetector, ShownPictures,
    TrainedFile, Warning, Watcher, cached, conditions, fingerprint, for_each_image, prompt_names,
    tell_file_faults, tell_trouble,
};

/// The confidence of intervals.
const LEVEL: f64 = 0.95;

/// Adapters to be calibrated.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrateRequest {
    /// The CLIP.
    pub clip: ClipSource,
    /// The method.
    pub method: MethodName,
    /// What it is opened from.
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
        if request.files.references.is_some() {
            refuse!(
                "--references: a calibration is kept with the weights and knows no reference images; \
                 leave them out"
            );
        }
        let method = request.method.open(&request.files, watch)?;
        let adapter = method.trained().context(
            "a method without trained weights has no file to keep a calibration in; give --adapter FILE",
        )?;
        adapter.require_place_for_calibration()?;
        let out = request.out.as_deref().unwrap_or(adapter.path());
        refuse_unwritable(out)?;
        let normal = request.normal_images(watch)?;
        let named = || request.data.display().to_string();
        require(targets, normal.samples.len()).with_context(named)?;
        let domain = request.domain.unwrap_or(normal.dataset.descriptor.domain);
        let classes = prompt_names(&normal.samples);
        let images = normal.described(adapter, classes.clone(), watch)?;
        let (clip, compute) = (&request.clip, request.compute);
        let shown = ShownPictures { domain, bits: normal.dataset.descriptor.bits };
        let conditions = conditions(adapter, clip, shown, compute)?;
        let mut loaded = method.load::<B>(clip, &classes, domain, compute, &device, watch)?;
        let cache = request.cache.open()?;
        let images_read = ImageDataset::new(normal.samples, loaded.preprocessing)
            .with_bits(normal.dataset.descriptor.bits);
        let dataset = cached(images_read, &cache);
        let calibrating = Calibrating { targets, images, conditions };
        let calibration = calibrating.run(&dataset, &mut loaded, &device, watch, named);
        tell_file_faults(&dataset, watch);
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

/// Refuses too few images, by the name of the option that asks for more.
fn require(targets: CalibrationTargets, images: usize) -> Result<(), InspectError> {
    let Err(error) = targets.require(images) else { return Ok(()) };
    let EvalError::TooFewImages { rate, .. } = error else { return Err(error.into()) };
    let (option, rate) = match rate {
        FalsePositives::Images(rate) => ("--fpr", rate),
        FalsePositives::Pixels(rate) => ("--pixel-fpr", rate),
    };
    refuse!("{option} is {rate} (0.01 where it is not given): {error}")
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
        let LabelledImages { dataset, samples: all, split } = self.labelled_images(watch)?;
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

    /// All images of what was named, of the split that is calibrated on.
    fn labelled_images(&self, watch: &mut dyn Watcher) -> Result<LabelledImages, InspectError> {
        let mut options = self.options.clone();
        let is_own = !options.normal.is_empty() || !options.anomalous.is_empty();
        if let Some(class) = options.class.take_if(|_| !is_own) {
            return match options.described_as {
                Some(_) => self.of_class(Dataset::open(&self.data, &options, watch)?, class, watch),
                None => match Dataset::known(&self.data, &options, watch)? {
                    Some(dataset) => {
                        dataset.tell_layout(watch);
                        self.of_class(dataset, class, watch)
                    }
                    None => self.of_folder(class, watch),
                },
            };
        }
        let own = if options.normal.is_empty() { Split::Train } else { Split::Test };
        let split = self.split.unwrap_or(own);
        let found = Dataset::open(&self.data, &options, watch).and_then(|dataset| {
            let samples = dataset.samples_there(split, watch)?;
            Ok(LabelledImages { dataset, samples, split })
        });
        found.with_context(|| match options.normal.is_empty() {
            true => "give --class NAME for a folder of normal images, or another --split",
            false => "no normal images",
        })
    }

    /// Those of a dataset, all of which show `class`: of train where there is such a split.
    fn of_class(
        &self,
        dataset: Dataset,
        class: String,
        watch: &mut dyn Watcher,
    ) -> Result<LabelledImages, InspectError> {
        let scan = dataset.descriptor.scan(&dataset.root, Split::Train);
        let has_train = scan.is_ok_and(|scan| !scan.samples.is_empty());
        let split = match (self.split, has_train) {
            (Some(split), _) => split,
            (None, true) => Split::Train,
            (None, false) => {
                watch.warn(Warning::CalibratedOnTest { folder: dataset.root.clone() });
                Split::Test
            }
        };
        let mut samples = dataset.samples_there(split, watch)?;
        samples.iter_mut().for_each(|sample| sample.prompt.clone_from(&class));
        Ok(LabelledImages { dataset, samples, split })
    }

    /// A folder all of whose images are normal and show `class`.
    fn of_folder(
        &self,
        class: String,
        watch: &mut dyn Watcher,
    ) -> Result<LabelledImages, InspectError> {
        if let Some(inner) = within(&self.data)?.first() {
            let (data, inner, layout) =
                (self.data.display(), inner.root.display(), inner.layout_name());
            refuse!(
                "{data}: not all that lies here are normal images: {inner} is a dataset of its own, \
                 by {layout}; name that, or a folder of normal images"
            );
        }
        let (normal, class) = (vec![PathBuf::from(".")], Some(class));
        let options = DataRequest { normal, class, ..self.options.clone() };
        let dataset = Dataset::open(&self.data, &options, watch)?;
        let split = self.split.unwrap_or(Split::Test);
        let samples = dataset.samples_there(split, watch).context("no normal images")?;
        Ok(LabelledImages { dataset, samples, split })
    }
}

/// Images of a dataset, normal and anomalous.
struct LabelledImages {
    dataset: Dataset,
    samples: Vec<Sample>,
    split: Split,
}

impl NormalImages {
    /// What the calibration remembers of them. Warns of what its intervals do not know.
    fn described(
        &self,
        adapter: &dyn TrainedFile,
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use clip_vit::Precision;

    use super::*;
    use crate::Unwatched;
    use crate::backends::DeviceChoice;
    use crate::pictures::tests::folder;

    const TREE: [&str; 4] = [
        "parts/plate/test/good/0.png",
        "parts/plate/test/good/1.png",
        "parts/plate/test/bent/0.png",
        "parts/plate/ground_truth/bent/0_mask.png",
    ];

    /// The images that `data` below `root` is calibrated on, with their class.
    fn normal(root: &Path, data: &str) -> Result<Vec<(String, String)>, InspectError> {
        let request = CalibrateRequest {
            clip: ClipSource::default(),
            method: MethodName::default(),
            files: MethodFiles::default(),
            data: root.join(data),
            options: DataRequest { class: Some("nut".into()), ..DataRequest::default() },
            cache: CacheRequest::default(),
            split: None,
            domain: None,
            fpr: 0.5,
            pixel_fpr: 0.5,
            out: None,
            compute: Compute { device: DeviceChoice::default(), precision: Precision::F32 },
        };
        let found = request.normal_images(&mut Unwatched)?;
        let relative = |path: &Path| path.strip_prefix(root).unwrap().display().to_string();
        Ok(found.samples.into_iter().map(|s| (relative(&s.image), s.prompt)).collect())
    }

    fn check(root: &Path, data: &str, expected: &[&str]) {
        let found = normal(root, data).unwrap();
        let expected: Vec<(String, String)> =
            expected.iter().map(|path| ((*path).to_owned(), "nut".to_owned())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn neither_defects_nor_masks_of_a_known_tree_are_normal_images() {
        let root = folder(&TREE);
        check(root.path(), "parts", &TREE[..2]);
        check(root.path(), "parts/plate", &TREE[..2]);
        check(root.path(), "parts/plate/test/good", &TREE[..2]);
        let refused = normal(root.path(), "").unwrap_err().one_line();
        assert!(refused.contains("not all that lies here are normal images"), "{refused}");
        let train = "parts/plate/train/good/7.png";
        let trained = folder(&[&TREE[..], &[train]].concat());
        check(trained.path(), "parts", &[train]);
        let described = folder(&["ok/0.png", "bent/0.png", "labels/bent/0.png"]);
        let text = "name = \"g\"\n[[layouts]]\nkind = \"folder\"\nnormal = [\"ok\"]\n\
                    anomalous = [\"bent\"]\nmasks = [\"labels\"]";
        fs::write(described.path().join("dataset.toml"), text).unwrap();
        check(described.path(), "", &["ok/0.png"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_that_leads_nowhere_costs_no_other_image() {
        for (files, data, link) in [
            (&["0.png"][..], "", "1.png"),
            (&["parts/plate/test/good/0.png"], "parts", "parts/plate/test/good/1.png"),
        ] {
            let root = folder(files);
            std::os::unix::fs::symlink("gone.png", root.path().join(link)).unwrap();
            check(root.path(), data, files);
        }
    }

    #[test]
    fn too_few_images_name_the_rate_that_asks_for_more() {
        let refusal = |fpr, pixel_fpr| {
            let targets = CalibrationTargets::new(fpr, pixel_fpr, LEVEL).unwrap();
            require(targets, 19).map_err(|error| error.one_line())
        };
        assert_eq!(refusal(0.05, 0.05), Ok(()));
        assert!(refusal(0.05, 0.01).unwrap_err().starts_with("--pixel-fpr "));
        assert!(refusal(0.01, 0.05).unwrap_err().starts_with("--fpr "));
        assert!(refusal(0.01, 0.01).unwrap_err().starts_with("--fpr "));
    }
}
