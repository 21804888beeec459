//! What there is to do: every dataset with every method, found, hashed and held against what is
//! stored, before anything is computed.

use std::collections::HashSet;
use std::path::PathBuf;

use anomaly::{Calibration, Domain};
use anyhow::bail;
use conditions::Conditions;
use inspect::{
    DataRoot, Dataset, HashedImage, MethodFiles, MethodName, OpenMethod, calibrated_on,
    conditions_with, known, refuse_other_clip, shared_conditions, source_sha256, trained_on,
};
use moeclip_data::{ContentHash, Descriptor, PromptNames, Sample, Split};
use moeclip_eval::ResultFolder;

use super::BenchArgs;
use super::identity::{Identity, key};
use crate::cli::Common;
use crate::interrupt;
use crate::progress::{Progress, Terminal};

/// The name of the dataset that adapters are usually trained on.
const AUXILIARY: &str = "VisA";

/// Everything that is to be done.
pub(super) struct Plan {
    pub(super) clip: PlannedClip,
    pub(super) methods: Vec<Method>,
    pub(super) datasets: Vec<PlannedDataset>,
}

/// The CLIP that is measured with.
pub(super) struct PlannedClip {
    pub(super) sha256: String,
    /// What everything that is said with it shares.
    pub(super) shared: Conditions,
}

/// A method, with the adapters for most datasets and those for the one that these are trained on.
pub(super) struct Method {
    pub(super) choice: MethodName,
    pub(super) usual: OpenMethod,
    pub(super) auxiliary: Option<OpenMethod>,
}

/// A dataset of the catalogue.
pub(super) struct PlannedDataset {
    pub(super) descriptor: Descriptor,
    pub(super) copy: Standing,
}

/// Whether a dataset can be measured.
pub(super) enum Standing {
    /// There is no copy.
    Missing,
    /// There is one, and it cannot be used, for this reason.
    Unusable(String),
    /// It can.
    Found(Copy),
}

/// The copy of a dataset.
pub(super) struct Copy {
    pub(super) root: PathBuf,
    /// Class by class.
    pub(super) samples: Vec<Sample>,
    /// For each sample its key, or why its files cannot be read.
    pub(super) keys: Vec<Result<String, String>>,
    /// For each method.
    pub(super) tasks: Vec<Task>,
}

/// A method on a dataset.
pub(super) enum Task {
    /// It must not be measured, for this reason.
    Refused(String),
    /// Its results are, or will be, here.
    Ready(Ready),
}

/// A method on a dataset that may be measured.
pub(super) struct Ready {
    pub(super) results: ResultFolder,
    pub(super) deployment: Deployment,
}

/// Whether a method is also measured as it would be deployed.
pub(super) enum Deployment {
    /// It has no calibration, or that is to be left aside.
    Uncalibrated,
    /// It has one, and it must not be used here, for this reason.
    Unusable(String),
    /// By this one.
    Calibrated(Box<Calibration>),
}

impl Plan {
    /// Opens everything, so that a mistake shows before any work.
    pub(super) fn make(args: &BenchArgs, common: &Common) -> anyhow::Result<Self> {
        let clip = args.clip.source().read()?;
        let methods = args.methods.iter().map(|&choice| Method::open(args, choice));
        let methods = methods.collect::<anyhow::Result<Vec<_>>>()?;
        for subject in methods.iter().flat_map(Method::subjects) {
            if let Some(file) = subject.adapters() {
                refuse_other_clip(&clip, file)?;
            }
        }
        let shared = shared_conditions(&clip, args.devices(common)[0]);
        let clip = PlannedClip { sha256: source_sha256(&clip), shared };
        let mut plan = Self { clip, methods, datasets: Vec::new() };
        let Some(root) = DataRoot::find(args.data_root.as_deref())? else {
            bail!(
                "nobody said where datasets lie; give --data-root DIR, set MOECLIP_DATA, or write \
                 data-root = \"DIR\" into moeclip.toml"
            );
        };
        for descriptor in asked(args)? {
            let dataset = plan.dataset(args, common, &root, descriptor)?;
            plan.datasets.push(dataset);
        }
        if plan.datasets.iter().all(|dataset| matches!(dataset.copy, Standing::Missing)) {
            let (root, count) = (root.path.display(), plan.datasets.len());
            bail!(
                "{root}: holds none of the {count} datasets; `cargo xtask datasets list` shows their names"
            );
        }
        Ok(plan)
    }

    fn dataset(
        &self,
        args: &BenchArgs,
        common: &Common,
        root: &DataRoot,
        descriptor: Descriptor,
    ) -> anyhow::Result<PlannedDataset> {
        let names = args.prompt_names.map_or_else(PromptNames::default, Into::into);
        let descriptor = descriptor.with_prompt_names(names);
        let Some(root) = root.folder_of(&descriptor)? else {
            return Ok(PlannedDataset { descriptor, copy: Standing::Missing });
        };
        let dataset = Dataset { descriptor: descriptor.clone(), root };
        let copy = match dataset.samples(Split::Test, &mut Terminal::default()) {
            Err(error) => Standing::Unusable(error.one_line()),
            Ok(samples) => Standing::Found(self.copy(args, common, &dataset, samples)?),
        };
        Ok(PlannedDataset { descriptor, copy })
    }

    fn copy(
        &self,
        args: &BenchArgs,
        common: &Common,
        dataset: &Dataset,
        mut samples: Vec<Sample>,
    ) -> anyhow::Result<Copy> {
        samples.sort_by(|a, b| a.class.cmp(&b.class));
        let mut progress = Progress::of_short_work("hashing", samples.len());
        let (mut hashes, mut keys) = (Vec::new(), Vec::new());
        for sample in &samples {
            if interrupt::asked() {
                bail!("interrupted while hashing images; nothing was done");
            }
            let hash = ContentHash::of_file(&sample.image);
            hashes.extend(
                hash.as_ref().map(|hash| HashedImage { path: &sample.image, hash: hash.short() }),
            );
            let key = hash.map_err(Into::into).and_then(|hash| key(&hash.to_string(), sample));
            keys.push(key.map_err(|error| crate::one_line(&error)));
            progress.advance(String::new());
        }
        progress.finish();
        let task = |method: &Method| {
            let subject = method.subject(&dataset.descriptor);
            if let Some(file) = subject.adapters()
                && let Some(why) = trained_on(file, dataset, || Ok(hashes.clone()))?
            {
                return Ok(Task::Refused(relative(&why, dataset) + method.remedy(dataset)));
            }
            self.ready(args, common, method, dataset, &hashes).map(Task::Ready)
        };
        let tasks = self.methods.iter().map(task).collect::<anyhow::Result<Vec<Task>>>()?;
        Ok(Copy { root: dataset.root.clone(), samples, keys, tasks })
    }

    fn ready(
        &self,
        args: &BenchArgs,
        common: &Common,
        method: &Method,
        dataset: &Dataset,
        images: &[HashedImage<'_>],
    ) -> anyhow::Result<Ready> {
        let Descriptor { name, domain, masks, .. } = &dataset.descriptor;
        let (subject, domain) = (method.subject(&dataset.descriptor), *domain);
        let identity = Identity::new(args, common, &self.clip, subject, domain, masks.rule)?;
        let folder = format!("{}-{}", method.word(), identity.number()?);
        let results = args.out.join("results").join(name);
        let others = others(&results, &folder, method.word());
        if others > 0 && !args.measure_only {
            eprintln!(
                "note: {name}, {}: stored results of other weights or settings are left alone, and \
                 not used",
                method.word()
            );
        }
        let results = ResultFolder::open(&results.join(folder))?;
        results.require(&identity.conditions())?;
        results.describe(&identity)?;
        let deployment = self.deployment(args, common, subject, domain, images);
        let deployment = match deployment {
            Deployment::Unusable(why) => Deployment::Unusable(relative(&why, dataset)),
            other => other,
        };
        Ok(Ready { results, deployment })
    }

    fn deployment(
        &self,
        args: &BenchArgs,
        common: &Common,
        subject: &OpenMethod,
        domain: Domain,
        images: &[HashedImage<'_>],
    ) -> Deployment {
        let Some(adapter) = subject.adapters() else { return Deployment::Uncalibrated };
        let PlannedClip { sha256, shared } = &self.clip;
        let wanted = adapter.calibration().filter(|_| !args.calibration.uncalibrated);
        let Some(calibration) = wanted else { return Deployment::Uncalibrated };
        let given = conditions_with(
            adapter,
            sha256.clone(),
            shared.clone(),
            domain,
            common.compute().precision,
        );
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
fn asked(args: &BenchArgs) -> anyhow::Result<Vec<Descriptor>> {
    let known = known()?;
    for name in &args.datasets {
        if !known.iter().any(|descriptor| descriptor.is_called(name)) {
            bail!("--datasets {name}: no known dataset; `cargo xtask datasets list` shows them");
        }
    }
    let wanted = |descriptor: &Descriptor| {
        args.datasets.is_empty() || args.datasets.iter().any(|name| descriptor.is_called(name))
    };
    Ok(known.into_iter().filter(wanted).collect())
}

/// A message without the folder that the dataset happens to lie in.
pub(super) fn relative(message: &str, dataset: &Dataset) -> String {
    without(message, &dataset.root)
}

/// A message without `folder` before the files in it.
pub(super) fn without(message: &str, folder: &std::path::Path) -> String {
    message.replace(&format!("{}{}", folder.display(), std::path::MAIN_SEPARATOR), "")
}

/// How many folders hold results of a method that follow from something else.
fn others(dataset: &std::path::Path, folder: &str, method: &str) -> usize {
    let entries = std::fs::read_dir(dataset).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(&format!("{method}-")) && name != folder).count()
}

impl Method {
    fn open(args: &BenchArgs, method: MethodName) -> anyhow::Result<Self> {
        let open = |adapter: Option<PathBuf>| {
            let config = args.config.clone().filter(|_| !method.is_trained());
            let files = MethodFiles { adapter, assumed: (&args.assumed).into(), config };
            method.open(&files, &mut Terminal::default())
        };
        let usual = open(args.adapter.clone().filter(|_| method.is_trained()))?;
        let auxiliary = args.adapter_visa.clone().filter(|_| method.is_trained());
        let auxiliary = auxiliary.map(|file| open(Some(file))).transpose()?;
        Ok(Self { choice: method, usual, auxiliary })
    }

    /// What the method is, on a dataset.
    pub(super) fn subject(&self, descriptor: &Descriptor) -> &OpenMethod {
        match &self.auxiliary {
            Some(subject) if descriptor.is_called(AUXILIARY) => subject,
            _ => &self.usual,
        }
    }

    fn subjects(&self) -> impl Iterator<Item = &OpenMethod> {
        std::iter::once(&self.usual).chain(&self.auxiliary)
    }

    /// As tables call it.
    pub(super) fn name(&self) -> &'static str {
        self.choice.name()
    }

    /// As it is typed.
    pub(super) fn word(&self) -> &'static str {
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

impl Copy {
    /// The samples of a task that have no result yet, each content once.
    pub(super) fn left(&self, task: &Ready) -> Vec<usize> {
        let mut seen = HashSet::new();
        let keys = self.keys.iter().enumerate();
        let left = keys.filter_map(|(index, key)| {
            let key = key.as_ref().ok()?;
            (!task.results.has(key) && seen.insert(key)).then_some(index)
        });
        left.collect()
    }

    /// An image's path from the dataset's folder, the same on every machine.
    pub(super) fn path_of(&self, sample: &Sample) -> String {
        let path = sample.image.strip_prefix(&self.root).unwrap_or(&sample.image);
        let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
        parts.join("/")
    }
}
