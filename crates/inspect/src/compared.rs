//! The methods that MoECLIP is compared with, as this crate opens methods.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anomaly::{Domain, ScoreRule};
use anomaly_methods::{ClipMethod, DetectorParts, MethodDescription, MethodFile, write_method};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clip_vit::{ClipCheckpoint, WeightSource};
use moeclip_data::{ContentHash, Label, Sample, Split, epoch_order, prepare_image};
use moeclip_eval::report::Provenance;
use serde::{Deserialize, Serialize};

use crate::backends::Compute;
use crate::error::{Context, refuse};
use crate::methods::fact;
use crate::registry::{Method, MethodFiles};
use crate::train_method::{MethodTrainCall, MethodTrained};
use crate::{
    ClipSource, DataRequest, Dataset, InspectError, LoadedDetector, TrainedFile, Watcher,
    preprocessing, refuse_other_clip,
};

/// Normal images that a method is shown before it looks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReferenceRequest {
    /// A dataset whose normal training images are drawn from, or a folder of normal images of one class.
    pub folder: PathBuf,
    /// Images of each class.
    pub shots: usize,
    /// Decides which.
    pub seed: u64,
}

/// An authors' file of weights that was written as ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConvertedWeights {
    /// The file that was written.
    pub output: String,
    /// The method, as it is typed.
    pub method: String,
    /// Tensors that were written.
    pub tensors: usize,
    /// Tensors that the method does not need, which were left out.
    pub unused: usize,
}

/// A method of `anomaly-methods`, opened.
pub struct ComparedClip<M: ClipMethod> {
    settings: M::Settings,
    file: Option<MethodFile<M>>,
    references: Option<ReferenceRequest>,
}

impl<M: ClipMethod> Method for ComparedClip<M> {
    const WORD: &'static str = M::WORD;
    const NAME: &'static str = M::NAME;
    const ABOUT: &'static str = M::ABOUT;
    const IS_TRAINED: bool = M::IS_TRAINED;

    fn open(files: &MethodFiles, _: &mut dyn Watcher) -> Result<Self, InspectError> {
        let word = M::WORD;
        if !M::TAKES_REFERENCES {
            files.refuse_references(word)?;
        }
        let references = files.references.clone();
        let file = match (&files.adapter, M::IS_TRAINED) {
            (Some(file), true) => Some(MethodFile::<M>::open(file)?),
            (None, true) => refuse!("the weights of {word} are missing; give --adapter FILE"),
            (Some(file), false) => {
                refuse!("{}: {word} has no weights of its own; leave it out", file.display())
            }
            (None, false) => None,
        };
        let described = files.config.as_deref();
        let described = described.map(|file| MethodDescription::read(file, word)).transpose()?;
        let settings = match (&file, described) {
            (Some(file), _) => file.settings().clone(),
            (None, Some(MethodDescription { settings, .. })) => settings,
            (None, None) => M::Settings::default(),
        };
        Ok(Self { settings, file, references })
    }

    fn convert(input: &Path, output: &Path) -> Result<ConvertedWeights, InspectError> {
        if !M::IS_TRAINED {
            refuse!("{}: {} has no weights of its own", input.display(), M::WORD);
        }
        let file = MethodFile::<M>::open(input)?;
        let (tensors, provenance) = (file.tensors()?, file.provenance().cloned());
        write_method::<M>(output, &tensors, file.settings(), &provenance.unwrap_or_default())?;
        Ok(ConvertedWeights {
            output: output.display().to_string(),
            method: M::WORD.to_owned(),
            tensors: tensors.len(),
            unused: file.unused(),
        })
    }

    fn train<B: Backend>(call: MethodTrainCall<'_, B>) -> Result<MethodTrained, InspectError> {
        call.train::<M>()
    }

    fn image_size(&self) -> usize {
        M::image_size(&self.settings)
    }

    fn score_rule(&self, domain: Domain) -> ScoreRule {
        let references = self.references.as_ref().map_or(0, |request| request.shots);
        M::score_rule(&self.settings, domain, references)
    }

    fn digest(&self) -> Result<String, InspectError> {
        let mut lines = format!("{} {}", M::WORD, serde_json::to_string(&self.settings)?);
        if let Some(file) = &self.file {
            for (name, tensor) in file.tensors()? {
                lines += &format!("\n{name} {}", ContentHash::of_bytes(tensor.as_bytes()));
            }
        }
        Ok(ContentHash::of_bytes(lines.as_bytes()).to_string())
    }

    fn facts(&self, name: &str) -> Vec<Provenance> {
        let size = self.image_size();
        let mut facts = vec![fact(format!("{name}, images"), format!("{size}x{size} pixels"))];
        if let Some(file) = &self.file {
            let hash = ContentHash::of_file(file.path());
            let hash = hash.map_or_else(|error| error.to_string(), |hash| hash.to_string());
            facts.push(fact(format!("{name}, weights, SHA-256"), hash));
        }
        if let Some(ReferenceRequest { shots, seed, .. }) = &self.references {
            let drawn = format!("{shots} normal images of each class, seed {seed}");
            facts.push(fact(format!("{name}, references"), drawn));
        }
        facts
    }

    fn trained(&self) -> Option<&dyn TrainedFile> {
        self.file.as_ref().map(|file| file as &dyn TrainedFile)
    }

    fn reference_images(
        &self,
        classes: &[String],
        watch: &mut dyn Watcher,
    ) -> Result<Vec<PathBuf>, InspectError> {
        let Some(request) = &self.references else { return Ok(Vec::new()) };
        let drawn = request.draw(classes, watch)?;
        Ok(drawn.into_values().flatten().map(|sample| sample.image).collect())
    }

    fn load<B: Backend>(
        &self,
        clip: &ClipSource,
        classes: &[String],
        domain: Domain,
        compute: Compute,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<LoadedDetector<B>, InspectError> {
        let clip = clip.open(watch)?;
        if let Some(file) = self.trained() {
            refuse_other_clip(&clip, file)?;
        }
        M::check(&self.settings, clip.spec())?;
        let references = match &self.references {
            None => BTreeMap::new(),
            Some(request) => {
                request.prepared::<B>(&clip, self.image_size(), classes, device, watch)?
            }
        };
        let parts = DetectorParts::<B> {
            clip: clip.spec(),
            weights: &clip,
            normalisation: clip.normalisation(),
            learned: self.file.as_ref().map(|file| file as &dyn WeightSource),
            classes,
            domain,
            references: &references,
            precision: compute.precision,
            device,
        };
        LoadedDetector::new(M::detector(&self.settings, &parts)?)
    }
}

impl ReferenceRequest {
    /// The images of each class, drawn without replacement.
    fn draw(
        &self,
        classes: &[String],
        watch: &mut dyn Watcher,
    ) -> Result<BTreeMap<String, Vec<Sample>>, InspectError> {
        if self.shots == 0 {
            refuse!("--shots must be at least 1; leave --references out for none");
        }
        let normal = self.normal_images(classes, watch)?;
        let of_class = |class: &String| {
            let all: Vec<&Sample> = normal.iter().filter(|s| s.prompt == *class).collect();
            let (found, asked) = (all.len(), self.shots);
            if found < asked {
                let folder = self.folder.display();
                refuse!(
                    "{folder}: has {found} normal images of {class:?}, --shots asks for {asked}"
                );
            }
            let order = epoch_order(self.seed, 0, found).into_iter().take(asked);
            let drawn = order.filter_map(|at| all.get(at).map(|sample| (*sample).clone()));
            Ok((class.clone(), drawn.collect()))
        };
        classes.iter().map(of_class).collect()
    }

    /// Normal training images of a dataset, or all of a folder of one class.
    fn normal_images(
        &self,
        classes: &[String],
        watch: &mut dyn Watcher,
    ) -> Result<Vec<Sample>, InspectError> {
        let options = DataRequest::default();
        let samples = match (Dataset::known(&self.folder, &options, watch)?, classes) {
            (Some(dataset), _) => dataset.samples_there(Split::Train, watch),
            (None, [class]) => {
                let normal = vec![PathBuf::from(".")];
                let options = DataRequest { normal, class: Some(class.clone()), ..options };
                Dataset::open(&self.folder, &options, watch)?.samples_there(Split::Test, watch)
            }
            (None, _) => refuse!(
                "{}: is no dataset with normal training images, and there are {} classes; give one",
                self.folder.display(),
                classes.len()
            ),
        };
        let samples = samples.with_context(|| format!("--references {}", self.folder.display()))?;
        Ok(samples.into_iter().filter(|sample| sample.label == Label::Normal).collect())
    }

    fn prepared<B: Backend>(
        &self,
        clip: &ClipCheckpoint,
        size: usize,
        classes: &[String],
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<BTreeMap<String, Tensor<B, 4>>, InspectError> {
        let preprocessing = preprocessing(clip, size)?;
        let mut references = BTreeMap::new();
        for (class, samples) in self.draw(classes, watch)? {
            let (mut values, count) = (Vec::new(), samples.len());
            for sample in samples {
                values.extend(prepare_image(&sample.image, &preprocessing)?.values);
            }
            let images = TensorData::new(values, [count, 3, size, size]);
            references.insert(class, Tensor::from_data(images, device));
        }
        Ok(references)
    }
}
