//! AdaCLIP in training. The release takes one image a step; a larger batch is here the mean of its images, each
//! with sentences of its own class.

use std::collections::BTreeMap;

use burn::backend::Autodiff;
use burn::tensor::{Tensor, backend::Backend};
use clip_vit::ClipSpec;
use clip_vit::tokenizer::Tokenizer;
use moeclip_data::Batch;
use moeclip_train::Movement;

use crate::MethodError;
use crate::adaclip::{
    AdaClip, AdaClipLosses, AdaClipMaps, AdaClipModel, AdaClipSettings, AdaClipWeights,
    ClusterSeeds, FrozenTowers, PlainTowers, PromptedSentences,
};
use crate::training::{
    LossTerm, MethodLosses, Recipe, RunPlace, TrainedMethod, TrainingParts, TrainingStage,
};

/// What of AdaCLIP stays as it is.
#[derive(Debug)]
pub struct FrozenAdaClip<B: Backend> {
    towers: FrozenTowers<B>,
    sentences: BTreeMap<String, PromptedSentences<Autodiff<B>>>,
    maps: AdaClipMaps<Autodiff<B>>,
}

impl TrainedMethod for AdaClip {
    type Learned<B: Backend> = AdaClipWeights<Autodiff<B>>;
    type Frozen<B: Backend> = FrozenAdaClip<B>;

    fn recipe() -> Recipe {
        Recipe::new(vec![TrainingStage { epochs: 5, batch_size: 1 }], 111)
    }

    fn start<B: Backend>(
        settings: &AdaClipSettings,
        clip: &ClipSpec,
        seed: u64,
        device: &B::Device,
    ) -> AdaClipWeights<Autodiff<B>> {
        AdaClipWeights::init(settings, clip, seed, device)
    }

    fn frozen<B: Backend>(
        settings: &AdaClipSettings,
        parts: &TrainingParts<'_, B>,
    ) -> Result<FrozenAdaClip<B>, MethodError> {
        let TrainingParts { clip, weights, precision, device, .. } = *parts;
        let towers = PlainTowers::load(settings, clip, weights, precision, device)?.frozen();
        let tokenizer = Tokenizer::new(clip.text.context);
        let read = |class: &String| {
            let read = PromptedSentences::of_class(class, &towers.text, &tokenizer, settings)?;
            Ok::<_, MethodError>((class.clone(), read))
        };
        let sentences = parts.classes.iter().map(read).collect::<Result<_, _>>()?;
        let maps = AdaClipMaps::new(settings, clip, device);
        Ok(FrozenAdaClip { towers, sentences, maps })
    }

    fn movement(settings: &AdaClipSettings, _: RunPlace, _: &str) -> Option<Movement> {
        Some(Movement { learning_rate: settings.learning_rate, decay: settings.weight_decay })
    }

    fn losses<B: Backend>(
        settings: &AdaClipSettings,
        frozen: &FrozenAdaClip<B>,
        learned: &AdaClipWeights<Autodiff<B>>,
        batch: &Batch<B>,
        _: RunPlace,
    ) -> Result<MethodLosses<Autodiff<B>>, MethodError> {
        let device = batch.images.device();
        let zero = || Tensor::<Autodiff<B>, 1>::zeros([1], &device);
        let (mut classification, mut focal, mut dice) = (zero(), zero(), zero());
        for (image, class) in batch.prompts.iter().enumerate() {
            let losses = frozen.image_losses(settings, learned, batch, image, class)?;
            classification = classification + losses.classification;
            focal = focal + losses.focal;
            dice = dice + losses.dice;
        }
        let images = batch.prompts.len().max(1) as f64;
        let term = |name, value: Tensor<Autodiff<B>, 1>| LossTerm {
            name,
            value: value.div_scalar(images),
        };
        let terms =
            vec![term("classification", classification), term("focal", focal), term("dice", dice)];
        Ok(MethodLosses::sum(terms, &device))
    }
}

impl<B: Backend> FrozenAdaClip<B> {
    /// The losses of one image of a batch.
    fn image_losses(
        &self,
        settings: &AdaClipSettings,
        weights: &AdaClipWeights<Autodiff<B>>,
        batch: &Batch<B>,
        image: usize,
        class: &str,
    ) -> Result<AdaClipLosses<Autodiff<B>>, MethodError> {
        let Some(sentences) = self.sentences.get(class) else {
            let reason = format!("{class:?} was not named before training; name every class");
            return Err(MethodError::Settings { key: "classes", reason });
        };
        let one = |tensor: &Tensor<B, 4>| Tensor::from_inner(tensor.clone().narrow(0, image, 1));
        let model = AdaClipModel { towers: &self.towers, weights, settings };
        let features = model
            .forward(one(&batch.images), sentences, &ClusterSeeds::Spread)
            .map_err(|error| MethodError::Settings { key: "fusion", reason: error.to_string() })?;
        let maps = self.maps.of_taps(&features.logits);
        let labels = Tensor::from_inner(batch.labels.clone().narrow(0, image, 1).float());
        let unit = settings.dice;
        Ok(AdaClipLosses::of(&features, &maps, one(&batch.masks), labels, unit))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use burn::backend::Flex;
    use burn::tensor::{Distribution, Int, TensorData};
    use clip_vit::tokenizer::VOCABULARY;
    use clip_vit::{ClipSpecBuilder, Precision, RandomWeights};
    use moeclip_data::ImageSize;

    use super::*;
    use crate::training::MethodTraining;

    type Device = <Flex as burn::tensor::backend::BackendTypes>::Device;

    fn training(settings: &AdaClipSettings, clip: &ClipSpec) -> MethodTraining<Flex, AdaClip> {
        let (weights, device) = (RandomWeights::new(2), Device::default());
        let parts = TrainingParts {
            clip,
            weights: &weights,
            classes: &["nut".to_owned(), "cable".to_owned()],
            precision: Precision::F32,
            device: &device,
        };
        MethodTraining::new(settings.clone(), AdaClip::recipe(), 2, &parts).unwrap()
    }

    fn batch(size: usize, device: &Device) -> Batch<Flex> {
        let classes = vec!["nut".to_owned(), "cable".to_owned()];
        let mask = |value| Tensor::<Flex, 4>::full([1, 1, size, size], value, device);
        let side = size as u32;
        Batch {
            images: Tensor::random([2, 3, size, size], Distribution::Default, device),
            masks: Tensor::cat(vec![mask(1.0), mask(0.0)], 0),
            labels: Tensor::<Flex, 1, Int>::from_data(TensorData::from([1, 0]), device),
            prompts: classes.clone(),
            classes,
            paths: vec![PathBuf::new(); 2],
            has_mask: vec![true; 2],
            original_sizes: vec![ImageSize { width: side, height: side }; 2],
        }
    }

    #[test]
    fn steps_lower_the_loss_and_leave_alone_what_no_layer_reads() {
        let clip = ClipSpecBuilder::new().vision(8, 3, 16, 2).text(16, 2).embed(16);
        let clip = clip.tokens(20, VOCABULARY).build().unwrap();
        let settings = AdaClipSettings {
            image_size: 24,
            prompt_length: 2,
            clusters: 3,
            learning_rate: 1e-3,
            ..AdaClipSettings::for_clip(&clip)
        };
        let mut trainer = training(&settings, &clip).start();
        let (before, batch) = (trainer.weights(), batch(24, &Device::default()));
        let losses: Vec<f32> =
            (0..4).map(|_| trainer.step(batch.clone()).unwrap().losses["total"]).collect();
        assert!(losses[3] < losses[0], "{losses:?}");
        for (name, now) in trainer.weights() {
            let read = !["text_prompter.static_prompts.0", "prompter.static_prompts.2"]
                .iter()
                .chain(&["prompter.static_prompts.3"])
                .any(|unread| name.ends_with(unread));
            assert_eq!(now != before[&name], read, "{name}");
        }
    }
}
