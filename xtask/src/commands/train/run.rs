//! A run under way: its learner, its images, and what its files say about it.

use std::path::Path;

use burn::tensor::backend::Backend;
use clip_vit::{ClipCheckpoint, Frozen};
use inspect::{ClipSource, Fingerprint, cached, preprocessing, shared_conditions, source_sha256};
use moeclip::{Adapters, MoeClip, Provenance};
use moeclip_data::{Cache, HeldOutSplit, ImageDataset, PictureFormat, Sample};
use moeclip_train::{
    AuxiliaryImages, Experiment, Extent, Learner, Outcome, RunDescription, TrainConfig,
    measured_partition,
};

use super::checkpoints::Saving;
use crate::cli::Common;
use crate::output::Terminal;
use crate::system;
use inspect::prompt_names;

/// What is trained, and on what.
pub(super) struct Plan {
    pub(super) experiment: Experiment,
    pub(super) samples: HeldOutSplit,
    pub(super) format: PictureFormat,
    pub(super) cache: Option<Cache>,
    pub(super) fingerprint: Fingerprint,
}

/// A run under way.
pub(super) struct Run<B: Backend> {
    pub(super) learner: Learner<B>,
    pub(super) images: AuxiliaryImages,
    pub(super) classes: Vec<String>,
    pub(super) cache: Option<Cache>,
    pub(super) fingerprint: Fingerprint,
    pub(super) experiment: Experiment,
}

impl<B: Backend> Run<B> {
    pub(super) fn prepare(
        clip: &ClipCheckpoint,
        plan: Plan,
        source: &ClipSource,
        common: &Common,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let Plan { experiment, samples, format, cache, fingerprint } = plan;
        let config = experiment.model_on(clip.spec());
        config.check(&clip.spec().vision)?;
        let training = experiment.training.clone();
        let HeldOutSplit { training: samples, held_out } = samples;
        let classes = prompt_names(samples.iter().chain(&held_out));
        let PictureFormat { bits, masks } = format;
        let preprocessing = preprocessing(clip, config.image_size)?.with_mask_rule(masks.rule);
        let dataset = |samples: Vec<Sample>| {
            let images = ImageDataset::new(samples, preprocessing);
            cached(images.checking_masks(masks).with_bits(bits), &cache)
        };
        let training_images = dataset(samples);
        let frozen = source.frozen::<B>(
            clip,
            &experiment.prompts,
            &classes,
            common.compute(),
            device,
            &mut Terminal::default(),
        )?;
        let config = measured_partition(config, &frozen.tower, &training_images, device)?;
        let images = AuxiliaryImages {
            training: training_images.augmented(experiment.augmentation, training.seed)?,
            held_out: (!held_out.is_empty()).then(|| dataset(held_out)),
        };
        let adapters = Adapters::init(&config, clip.spec(), training.seed, device)?;
        let model = MoeClip::new(Frozen::new(frozen.tower), adapters, config, device)?;
        let learner = Learner::new(model, frozen.book, training, device)?;
        Ok(Self { learner, images, classes, cache, fingerprint, experiment })
    }

    /// The run as it stood at the checkpoint that it goes on from, if there is one.
    pub(super) fn taken_up(
        mut self,
        clip: &ClipCheckpoint,
        saving: &Saving,
    ) -> anyhow::Result<Self> {
        if let Some(checkpoint) = &saving.from {
            self.learner = self.learner.restore(clip.spec(), checkpoint)?;
        }
        Ok(self)
    }

    /// What a checkpoint of this run belongs to.
    pub(super) fn description(
        &self,
        clip: &ClipCheckpoint,
        backend: &str,
        common: &Common,
    ) -> RunDescription {
        RunDescription {
            training: self.experiment.training.clone(),
            model: self.learner.model().config().clone(),
            augmentation: self.experiment.augmentation,
            backend: backend.to_owned(),
            precision: format!("{:?}", common.precision),
            data: self.fingerprint.in_order.clone(),
            samples: self.images.training.samples().len(),
            shared: shared_conditions(clip, common.compute().device),
            provenance: self.provenance(clip),
        }
    }

    /// Where the adapters come from.
    pub(super) fn provenance(&self, clip: &ClipCheckpoint) -> Provenance {
        Provenance {
            version: system::VERSION.into(),
            commit: system::COMMIT.map(str::to_owned),
            epoch: None,
            preset: clip.preset().map(|preset| preset.name().to_owned()),
            clip: Some(clip.spec().clone()),
            clip_sha256: Some(source_sha256(clip)),
            classes: self.classes.clone(),
            data: Some(self.fingerprint.data.clone()),
            run: Some(self.experiment.to_toml()),
            metrics: self.learner.metrics().clone(),
            steps: self.learner.steps(),
            chosen: None,
            seed: self.experiment.training.seed,
            prompts: self.experiment.prompts.clone(),
        }
    }

    /// How far it goes, ended early by `limit` where given.
    pub(super) fn extent(&self, limit: Option<usize>) -> Extent {
        let images = self.images.training.samples().len();
        let TrainConfig { batch_size, epochs, .. } = self.experiment.training;
        Extent::new(images, batch_size, epochs, limit)
    }

    /// Experts left at each tap, where some were dropped.
    pub(super) fn experts(&self) -> Option<Vec<usize>> {
        let kept = self.learner.model().config().kept_experts.as_ref()?;
        Some(kept.iter().map(Vec::len).collect())
    }

    /// The adapters that it ends with now.
    pub(super) fn outcome(&self) -> Outcome {
        self.learner.outcome(self.extent(None).epochs(self.learner.steps()))
    }

    pub(super) fn write(
        &self,
        out: &Path,
        clip: &ClipCheckpoint,
        outcome: &Outcome,
    ) -> anyhow::Result<()> {
        let chosen = Some(outcome.chosen.clone());
        let provenance = Provenance { chosen, ..self.provenance(clip) };
        let config = self.learner.model().config();
        moeclip::write_adapter(out, &outcome.weights, config, Some(&provenance))?;
        Ok(())
    }
}
