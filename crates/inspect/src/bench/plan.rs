//! What there is to do: every dataset with every method, found, hashed and held against what is
//! stored, before anything is computed.

use std::collections::HashSet;
use std::path::PathBuf;

use anomaly::Calibration;
use conditions::Conditions;
use moeclip_data::{ContentHash, Descriptor, Sample, Split};
use moeclip_eval::ResultFolder;

use super::BenchRequest;
use super::identity::{Identity, key_of};
use crate::error::refuse;
use crate::{
    DataRoot, Dataset, HashedImage, InspectError, MethodFiles, MethodName, OpenMethod,
    ShownPictures, Warning, Watcher, WorkKind, calibrated_on, conditions_with, known,
    refuse_other_clip, shared_conditions, source_sha256, trained_on,
};

/// The name of the dataset that adapters are usually trained on.
const AUXILIARY: &str = "VisA";

/// Everything that is to be done.
pub(crate) struct BenchPlan {
    pub(crate) clip: PlannedClip,
    pub(crate) methods: Vec<PlannedMethod>,
    pub(crate) datasets: Vec<PlannedDataset>,
}

/// The CLIP that is measured with.
pub(crate) struct PlannedClip {
    pub(crate) sha256: String,
    /// What everything that is said with it shares.
    pub(crate) shared: Conditions,
}

/// A method, with the adapters for most datasets and those for the one that these are trained on.
pub(crate) struct PlannedMethod {
    pub(crate) choice: MethodName,
    pub(crate) usual: OpenMethod,
    pub(crate) auxiliary: Option<OpenMethod>,
}

/// A dataset of the catalogue.
pub(crate) struct PlannedDataset {
    pub(crate) descriptor: Descriptor,
    pub(crate) copy: DatasetCopy,
}

/// Whether a dataset can be measured.
pub(crate) enum DatasetCopy {
    /// There is no copy.
    Missing,
    /// There is one, and it cannot be used, for this reason.
    Unusable(String),
    /// It can.
    Found(FoundCopy),
}

/// The copy of a dataset.
pub(crate) struct FoundCopy {
    pub(crate) root: PathBuf,
    /// Class by class.
    pub(crate) samples: Vec<Sample>,
    /// For each sample its key, or why its files cannot be read.
    pub(crate) keys: Vec<Result<String, String>>,
    /// For each method.
    pub(crate) tasks: Vec<Task>,
}

/// A method on a dataset.
pub(crate) enum Task {
    /// It must not be measured, for this reason.
    Refused(String),
    /// Its results are, or will be, here.
    Ready(Ready),
}

/// A method on a dataset that may be measured.
pub(crate) struct Ready {
    pub(crate) results: ResultFolder,
    pub(crate) deployment: Deployment,
}

/// Whether a method is also measured as it would be deployed.
pub(crate) enum Deployment {
    /// It has no calibration, or that is to be left aside.
    Uncalibrated,
    /// It has one, and it must not be used here, for this reason.
    Unusable(String),
    /// By this one.
    Calibrated(Box<Calibration>),
}

/// Whether a plan is made for tables, or only to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reporting {
    Tables,
    Nothing,
}

impl BenchPlan {
    /// Opens everything, so that a mistake shows before any work.
    pub(crate) fn make(
        request: &BenchRequest,
        reporting: Reporting,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        let clip = request.clip.open(watch)?;
        let mut methods = Vec::new();
        for &choice in &request.methods {
            methods.push(PlannedMethod::open(request, choice, watch)?);
        }
        for subject in methods.iter().flat_map(PlannedMethod::subjects) {
            if let Some(file) = subject.trained() {
                refuse_other_clip(&clip, file)?;
            }
        }
        let shared = shared_conditions(&clip, request.compute().device);
        let clip = PlannedClip { sha256: source_sha256(&clip), shared };
        let mut plan = Self { clip, methods, datasets: Vec::new() };
        let Some(root) = DataRoot::find(request.data_root.as_deref())? else {
            refuse!(
                "nobody said where datasets lie; give --data-root DIR, set MOECLIP_DATA, or write \
                 data-root = \"DIR\" into moeclip.toml"
            );
        };
        for descriptor in asked(request)? {
            let dataset = plan.dataset(request, reporting, &root, descriptor, watch)?;
            plan.datasets.push(dataset);
        }
        if plan.datasets.iter().all(|dataset| matches!(dataset.copy, DatasetCopy::Missing)) {
            let (root, count) = (root.path.display(), plan.datasets.len());
            refuse!(
                "{root}: holds none of the {count} datasets; `cargo xtask datasets list` shows their names"
            );
        }
        Ok(plan)
    }

    fn dataset(
        &self,
        request: &BenchRequest,
        reporting: Reporting,
        root: &DataRoot,
        descriptor: Descriptor,
        watch: &mut dyn Watcher,
    ) -> Result<PlannedDataset, InspectError> {
        let descriptor = descriptor.with_prompt_names(request.prompt_names);
        let Some(root) = root.folder_of(&descriptor)? else {
            return Ok(PlannedDataset { descriptor, copy: DatasetCopy::Missing });
        };
        let dataset = Dataset { descriptor: descriptor.clone(), root };
        let copy = match dataset.samples(Split::Test, watch) {
            Err(error) => DatasetCopy::Unusable(error.one_line()),
            Ok(samples) => {
                DatasetCopy::Found(self.copy(request, reporting, &dataset, samples, watch)?)
            }
        };
        Ok(PlannedDataset { descriptor, copy })
    }

    fn copy(
        &self,
        request: &BenchRequest,
        reporting: Reporting,
        dataset: &Dataset,
        mut samples: Vec<Sample>,
        watch: &mut dyn Watcher,
    ) -> Result<FoundCopy, InspectError> {
        samples.sort_by(|a, b| a.class.cmp(&b.class));
        watch.begin(WorkKind::Hashing, samples.len());
        let (mut hashes, mut keys) = (Vec::new(), Vec::new());
        for sample in &samples {
            if watch.is_cancelled() {
                return Err(InspectError::cancelled(
                    "interrupted while hashing images; nothing was done",
                ));
            }
            let hash = ContentHash::of_file(&sample.image);
            hashes.extend(
                hash.as_ref().map(|hash| HashedImage { path: &sample.image, hash: hash.short() }),
            );
            let key = hash.map_err(InspectError::from);
            let key = key.and_then(|hash| key_of(&hash.to_string(), sample));
            keys.push(key.map_err(|error| error.one_line()));
            watch.advance(String::new());
        }
        watch.end();
        let mut tasks = Vec::new();
        for method in &self.methods {
            tasks.push(self.task(request, reporting, method, dataset, &hashes, watch)?);
        }
        Ok(FoundCopy { root: dataset.root.clone(), samples, keys, tasks })
    }

    fn task(
        &self,
        request: &BenchRequest,
        reporting: Reporting,
        method: &PlannedMethod,
        dataset: &Dataset,
        images: &[HashedImage<'_>],
        watch: &mut dyn Watcher,
    ) -> Result<Task, InspectError> {
        if let Some(file) = method.subject(&dataset.descriptor).trained()
            && let Some(why) = trained_on(file, dataset, || Ok(images.to_vec()))?
        {
            let why = without(&why, &dataset.root);
            return Ok(Task::Refused(why + method.remedy(dataset)));
        }
        self.ready(request, reporting, method, dataset, images, watch).map(Task::Ready)
    }

    fn ready(
        &self,
        request: &BenchRequest,
        reporting: Reporting,
        method: &PlannedMethod,
        dataset: &Dataset,
        images: &[HashedImage<'_>],
        watch: &mut dyn Watcher,
    ) -> Result<Ready, InspectError> {
        let Descriptor { name, domain, masks, .. } = &dataset.descriptor;
        let (subject, domain) = (method.subject(&dataset.descriptor), *domain);
        let identity = Identity::new(request, &self.clip, subject, domain, masks.rule)?;
        let folder = format!("{}-{}", method.word(), identity.number()?);
        let results = request.out.join("results").join(name);
        let others = others(&results, &folder, method.word());
        if others > 0 && reporting == Reporting::Tables {
            let (dataset, method) = (name.clone(), method.word().to_owned());
            watch.warn(Warning::OtherResults { dataset, method });
        }
        let results = ResultFolder::open(&results.join(folder))?;
        results.require(&identity.conditions())?;
        results.describe(&identity)?;
        let shown = ShownPictures { domain, bits: dataset.descriptor.bits };
        let deployment = self.deployment(request, subject, shown, images);
        let deployment = match deployment {
            Deployment::Unusable(why) => Deployment::Unusable(without(&why, &dataset.root)),
            other => other,
        };
        Ok(Ready { results, deployment })
    }

    fn deployment(
        &self,
        request: &BenchRequest,
        subject: &OpenMethod,
        shown: ShownPictures,
        images: &[HashedImage<'_>],
    ) -> Deployment {
        let Some(adapter) = subject.trained() else { return Deployment::Uncalibrated };
        let PlannedClip { sha256, shared } = &self.clip;
        let wanted = adapter.calibration().filter(|_| !request.uncalibrated);
        let Some(calibration) = wanted else { return Deployment::Uncalibrated };
        let (sha256, shared) = (sha256.clone(), shared.clone());
        let given = conditions_with(adapter, sha256, shared, shown, request.precision);
        if let Err(error) = calibration.require(&given) {
            return Deployment::Unusable(error.to_string());
        }
        match calibrated_on(calibration, images) {
            Some(why) => Deployment::Unusable(why),
            None => Deployment::Calibrated(Box::new(calibration.clone())),
        }
    }
}

/// The datasets that were asked for; all of them where none was named.
fn asked(request: &BenchRequest) -> Result<Vec<Descriptor>, InspectError> {
    let known = known()?;
    for name in &request.datasets {
        if !known.iter().any(|descriptor| descriptor.is_called(name)) {
            refuse!("--datasets {name}: no known dataset; `cargo xtask datasets list` shows them");
        }
    }
    let wanted = |descriptor: &Descriptor| {
        request.datasets.is_empty()
            || request.datasets.iter().any(|name| descriptor.is_called(name))
    };
    Ok(known.into_iter().filter(wanted).collect())
}

/// A message without `folder` before the files in it.
pub(crate) fn without(message: &str, folder: &std::path::Path) -> String {
    message.replace(&format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR), "")
}

/// How many folders hold results of a method that follow from something else.
fn others(dataset: &std::path::Path, folder: &str, method: &str) -> usize {
    let entries = std::fs::read_dir(dataset).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("{method}-")) && name != folder).count()
}

impl PlannedMethod {
    fn open(
        request: &BenchRequest,
        choice: MethodName,
        watch: &mut dyn Watcher,
    ) -> Result<Self, InspectError> {
        // A benchmark is zero-shot: no method is shown references.
        let MethodFiles { adapter, assumed, config, references: _ } = &request.files;
        let mut open = |adapter: Option<PathBuf>| {
            let config = config.clone().filter(|_| choice == MethodName::Clip);
            let assumed = assumed.clone();
            choice.open(&MethodFiles { adapter, assumed, config, references: None }, watch)
        };
        let usual = request.weights_of(choice, adapter).filter(|_| choice.is_trained());
        let usual = open(usual)?;
        let auxiliary = request.adapter_visa.clone().filter(|_| choice == MethodName::default());
        let auxiliary = auxiliary.map(|file| open(Some(file))).transpose()?;
        Ok(Self { choice, usual, auxiliary })
    }

    /// What the method is, on a dataset.
    pub(crate) fn subject(&self, descriptor: &Descriptor) -> &OpenMethod {
        match &self.auxiliary {
            Some(subject) if descriptor.is_called(AUXILIARY) => subject,
            _ => &self.usual,
        }
    }

    fn subjects(&self) -> impl Iterator<Item = &OpenMethod> {
        std::iter::once(&self.usual).chain(&self.auxiliary)
    }

    /// As tables call it.
    pub(crate) fn name(&self) -> &'static str {
        self.choice.name()
    }

    /// As it is typed.
    pub(crate) fn word(&self) -> &'static str {
        self.choice.word()
    }

    /// What could be done about a refusal.
    fn remedy(&self, dataset: &Dataset) -> &'static str {
        match &self.auxiliary {
            None if dataset.descriptor.is_called(AUXILIARY) => {
                ", or give --adapter-visa FILE with adapters that were not"
            }
            _ => "",
        }
    }
}

impl FoundCopy {
    /// The samples of a task that have no result yet, each content once.
    pub(crate) fn left(&self, task: &Ready) -> Vec<usize> {
        let mut seen = HashSet::new();
        let keys = self.keys.iter().enumerate();
        let left = keys.filter_map(|(index, key)| {
            let key = key.as_ref().ok()?;
            (!task.results.has(key) && seen.insert(key)).then_some(index)
        });
        left.collect()
    }

    /// An image's path from the dataset's folder, the same on every machine.
    pub(crate) fn path_of(&self, sample: &Sample) -> String {
        let path = sample.image.strip_prefix(&self.root).unwrap_or(&sample.image);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }
}
