//! Every stage of WinCLIP's goldens: the picture, the text, windows, zero-shot maps, association, and both as one.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{TextBackbone, TextTower, VisionTower};
use moeclip::TextFeatures;
use moeclip_data::Preprocessing;
use moeclip_goldens::{Comparison, Golden, GoldenError};
use serde::Deserialize;

use super::{
    Association, AssociationLevels, AveragedState, MapFusion, MapLevels, PatchWindows, WinClip,
    WinClipFeatures, WinClipModel, WinClipScore, WinClipSettings, WinClipTemplates, WindowMean,
    WindowMemory, ZeroShot,
};
use crate::prepared::raw_picture;
use crate::states::SentenceMean;
use crate::{Reference, ReferenceRun};

/// What goldens are set to, in the reference's words.
#[derive(Deserialize)]
struct WinClipGoldenSettings {
    image_size: usize,
    scales: Vec<usize>,
    templates: WinClipTemplates,
    temperature: f64,
    text_mean: SentenceMean,
    harmonic: AveragedState,
    whole_image: bool,
    patch_tokens: bool,
    association: GoldenMean,
    fuse: GoldenFusion,
    score: GoldenScore,
    resize: GoldenResize,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoldenMean {
    Harmonic,
    Mean,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoldenFusion {
    Mean,
    ProductOverSum,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoldenScore {
    ClassToken,
    Map,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoldenResize {
    Tensor,
    Pil,
}

impl WinClipGoldenSettings {
    fn settings(&self) -> WinClipSettings {
        WinClipSettings {
            image_size: self.image_size,
            scales: self.scales.clone(),
            templates: self.templates,
            temperature: self.temperature,
            sentence_mean: self.text_mean,
            averaged: self.harmonic,
            map_levels: match self.whole_image {
                true => MapLevels::ImageAndWindows,
                false => MapLevels::Windows,
            },
            association_levels: match self.patch_tokens {
                true => AssociationLevels::PatchesAndWindows,
                false => AssociationLevels::Windows,
            },
            association_mean: match self.association {
                GoldenMean::Harmonic => WindowMean::Harmonic,
                GoldenMean::Mean => WindowMean::Arithmetic,
            },
            fusion: match self.fuse {
                GoldenFusion::Mean => MapFusion::Mean,
                GoldenFusion::ProductOverSum => MapFusion::ProductOverSum,
            },
            score: match self.score {
                GoldenScore::ClassToken => WinClipScore::ClassToken,
                GoldenScore::Map => WinClipScore::MapMaximum,
            },
        }
    }
}

impl Reference for WinClip {
    const WORD: &'static str = "winclip";
    const TELLING_SETTING: &'static str = "whole_image";

    fn compare<B: Backend>(
        run: &ReferenceRun<'_, B>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let golden: WinClipGoldenSettings = run.golden.settings()?;
        let stages = WinClipStages::load(run, golden.settings())?;
        stages.compare_picture(golden.resize, comparison)?;
        stages.compare_features(comparison)?;
        stages.compare_maps(comparison)
    }
}

/// A golden's model and what it sees.
struct WinClipStages<'a, B: Backend> {
    golden: &'a Golden,
    model: WinClipModel<B>,
    text: TextFeatures<B>,
    features: WinClipFeatures<B>,
    /// Those of the references, where there are any.
    references: Option<WinClipFeatures<B>>,
}

impl<'a, B: Backend> WinClipStages<'a, B> {
    fn load(run: &ReferenceRun<'a, B>, settings: WinClipSettings) -> Result<Self, GoldenError> {
        let ReferenceRun { golden, clip: source, precision, device } = *run;
        let text = TextTower::<B>::load(golden.clip(), source, precision, device)?;
        let direction = |name: &str| {
            let features = text.project(text.encode(&golden.tokens(name)?)?).cast(DType::F32);
            Ok::<_, GoldenError>(settings.sentence_mean.direction(features))
        };
        let text = TextFeatures {
            normal: direction("in.tokens_normal")?,
            abnormal: direction("in.tokens_abnormal")?,
        };
        let tower = VisionTower::load(golden.clip(), source, precision, device)?;
        let model =
            WinClipModel::new(tower, settings, device).map_err(|error| golden.failed(error))?;
        let features = model.encode(golden.tensor("in.images", device)?);
        let has_references = golden.file().contains("in.reference");
        let images = has_references.then(|| golden.tensor("in.reference", device)).transpose()?;
        let references = images.map(|images| model.encode(images));
        Ok(Self { golden, model, text, features, references })
    }

    fn compare_picture(
        &self,
        resize: GoldenResize,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let size = self.model.settings().image_size;
        let picture = raw_picture(self.golden, "in.raw")?;
        let prepared = Preprocessing::clip(size).and_then(|preprocessing| match resize {
            GoldenResize::Tensor => preprocessing.image_unrounded(&picture),
            GoldenResize::Pil => preprocessing.image(&picture),
        });
        let prepared = prepared.map_err(|error| self.golden.failed(error))?;
        comparison.data("preprocessed", &TensorData::new(prepared, [3, size, size]))
    }

    fn compare_features(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let grid = self.model.grid();
        comparison.tensor("positions", self.model.tower().resized_positions(grid))?;
        let TextFeatures { normal, abnormal } = self.text.clone();
        comparison.tensor("text", Tensor::cat(vec![normal, abnormal], 0))?;
        let WinClipFeatures { tokens, image, windows, patches } = self.features.clone();
        comparison.tensor("feature_map", tokens)?;
        comparison.tensor("image", image)?;
        comparison.tensor("patches", patches)?;
        for (scale, vectors) in self.model.settings().scales.iter().zip(windows) {
            let numbers = PatchWindows::<B>::patch_numbers(*scale, grid).concat();
            let count = numbers.len();
            let numbers = numbers.into_iter().map(|number| number as f32).collect();
            comparison.data(&format!("windows.{scale}"), &TensorData::new(numbers, [count]))?;
            comparison.tensor(&format!("window.{scale}"), vectors)?;
        }
        Ok(())
    }

    fn compare_maps(&self, comparison: &mut Comparison<'_>) -> Result<(), GoldenError> {
        let zero = self.model.zero_shot(&self.features, &self.text);
        let ZeroShot { image_score, window_scores, scales, map } = zero.clone();
        comparison.tensor("zero.image_score", image_score)?;
        self.compare_scales("zero", window_scores, scales, comparison)?;
        comparison.tensor("zero.map", map)?;
        let association = self.compare_association(comparison)?;
        let fused = self.model.fuse(&zero, association.as_ref());
        comparison.tensor("grid_map", fused.grid)?;
        comparison.tensor("map", fused.whole)?;
        comparison.tensor("score", fused.score)
    }

    fn compare_association(
        &self,
        comparison: &mut Comparison<'_>,
    ) -> Result<Option<Association<B>>, GoldenError> {
        let Some(references) = &self.references else { return Ok(None) };
        comparison.tensor("reference.patches", references.patches.clone())?;
        for (scale, vectors) in self.model.settings().scales.iter().zip(&references.windows) {
            comparison.tensor(&format!("reference.window.{scale}"), vectors.clone())?;
        }
        let found = self.model.associate(&self.features, &WindowMemory::new(references));
        let Association { patches, window_scores, scales, map } = found.clone();
        comparison.tensor("few.patches", patches)?;
        self.compare_scales("few", window_scores, scales, comparison)?;
        comparison.tensor("few.map", map)?;
        Ok(Some(found))
    }

    fn compare_scales(
        &self,
        stage: &str,
        window_scores: Vec<Tensor<B, 2>>,
        scales: Vec<Tensor<B, 2>>,
        comparison: &mut Comparison<'_>,
    ) -> Result<(), GoldenError> {
        let values = window_scores.into_iter().zip(scales);
        for (scale, (scores, map)) in self.model.settings().scales.iter().zip(values) {
            comparison.tensor(&format!("{stage}.window_score.{scale}"), scores)?;
            comparison.tensor(&format!("{stage}.scale.{scale}"), map)?;
        }
        Ok(())
    }
}
