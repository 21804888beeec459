//! The methods of the paper: trained adapters, and CLIP as it is.

use anomaly::{Domain, ScoreRule};
use anomaly_methods::method_of_file;
use burn::tensor::backend::Backend;
use moeclip::{AdapterFile, ClipDetector};
use moeclip_data::ContentHash;
use moeclip_eval::report::Provenance;
use moeclip_train::Experiment;

use crate::backends::Compute;
use crate::error::{Context, refuse};
use crate::registry::{Method, MethodFiles};
use crate::{
    ClipSource, InspectError, LoadedDetector, TrainedFile, Watcher, described, open_adapter,
    open_model,
};

/// CLIP with trained adapters: MoECLIP.
pub struct AdaptedClip {
    file: AdapterFile,
}

impl Method for AdaptedClip {
    const WORD: &'static str = "moeclip";
    const NAME: &'static str = "MoECLIP";
    const ABOUT: &'static str = "Trained adapters";
    const IS_TRAINED: bool = true;

    fn open(files: &MethodFiles, watch: &mut dyn Watcher) -> Result<Self, InspectError> {
        files.refuse_references(Self::WORD)?;
        let file = files.adapter.as_ref().context(
            "what to measure is missing; give --adapter FILE, or --method clip for CLIP as it is",
        )?;
        if let Some(method) = method_of_file(file)? {
            let file = file.display();
            refuse!("{file}: holds the weights of {method}; give --method {method}");
        }
        Ok(Self { file: open_adapter(file, &files.assumed, watch)? })
    }

    fn image_size(&self) -> usize {
        self.file.config().image_size
    }

    fn score_rule(&self, domain: Domain) -> ScoreRule {
        ScoreRule::of(domain)
    }

    /// Of tensors, configuration and prompts. What else the file holds may change, such as a calibration.
    fn digest(&self) -> Result<String, InspectError> {
        let prompts = self.file.provenance().map(|from| &from.prompts);
        let mut lines = serde_json::to_string(&(self.file.config(), prompts))?;
        for (name, tensor) in self.file.tensors()? {
            lines += &format!("\n{name} {}", ContentHash::of_bytes(tensor.as_bytes()));
        }
        Ok(ContentHash::of_bytes(lines.as_bytes()).to_string())
    }

    fn facts(&self, name: &str) -> Vec<Provenance> {
        let (config, hash) = (self.file.config(), ContentHash::of_file(self.file.path()));
        let hash = hash.map_or_else(|error| error.to_string(), |hash| hash.to_string());
        let size = config.image_size;
        let images = format!("{size}x{size} pixels, taps {:?}", config.taps);
        let mut facts = vec![
            fact(format!("{name}, adapters, SHA-256"), hash),
            fact(format!("{name}, images"), images),
        ];
        if let Some(from) = self.file.provenance() {
            let data = from.data.as_ref().map_or("data that it does not name", |data| &data.name);
            let commit = from.commit.as_ref().map(|commit| format!(" ({commit})"));
            let made = format!(
                "trained on {data}, {} steps, seed {}, by version {}{}",
                from.steps,
                from.seed,
                from.version,
                commit.unwrap_or_default()
            );
            facts.push(fact(format!("{name}, training"), made));
        }
        if let Some(calibration) = self.file.calibration() {
            let described = described(calibration).into_iter();
            let lines: Vec<String> =
                described.map(|(what, said)| format!("{what} {said}")).collect();
            facts.push(fact(format!("{name}, calibration"), lines.join("; ")));
        }
        facts
    }

    fn trained(&self) -> Option<&dyn TrainedFile> {
        Some(&self.file)
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
        open_model(clip, &self.file, classes, compute, device, watch)?.detector(domain, device)
    }
}

/// CLIP as it is, with the image size and the prompts of a description.
pub struct UnchangedClip {
    experiment: Experiment,
}

impl Method for UnchangedClip {
    const WORD: &'static str = "clip";
    const NAME: &'static str = "CLIP";
    const ABOUT: &'static str = "CLIP as it is";
    const IS_TRAINED: bool = false;

    fn open(files: &MethodFiles, _: &mut dyn Watcher) -> Result<Self, InspectError> {
        files.refuse_references(Self::WORD)?;
        Ok(Self { experiment: files.experiment()? })
    }

    fn image_size(&self) -> usize {
        self.experiment.model.image_size
    }

    fn score_rule(&self, _: Domain) -> ScoreRule {
        ScoreRule::Image
    }

    fn digest(&self) -> Result<String, InspectError> {
        let prompts = ContentHash::of_bytes(&serde_json::to_vec(&self.experiment.prompts)?);
        Ok(format!("clip {prompts}"))
    }

    fn facts(&self, name: &str) -> Vec<Provenance> {
        let size = self.image_size();
        vec![fact(name, format!("CLIP as it is, images of {size}x{size} pixels"))]
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
        let (names, prompts) = (classes.iter().map(String::as_str), &self.experiment.prompts);
        let plain = moeclip::PlainClip::<B>::load(
            clip.spec(),
            &clip,
            prompts,
            names,
            compute.precision,
            device,
        )?;
        let detector = ClipDetector::new(plain, domain, self.image_size(), device)?;
        LoadedDetector::new(Box::new(detector.with_normalisation(clip.normalisation())))
    }
}

/// A line of a page.
pub(crate) fn fact(name: impl Into<String>, value: impl Into<String>) -> Provenance {
    Provenance { name: name.into(), value: value.into() }
}
