//! The work itself, in one process: every image that has no result yet goes through its detector, and
//! what is said of it is stored before the next.

use std::ops::ControlFlow;
use std::time::Instant;

use burn::tensor::backend::Backend;
use moeclip_data::{Batch, Batches, ImageDataset, LoaderOptions};
use moeclip_eval::StoredResult;
use serde::{Deserialize, Serialize};

use super::BenchRequest;
use super::plan::{
    BenchPlan, DatasetCopy, FoundCopy, PlannedDataset, PlannedMethod, Ready, Task, without,
};
use crate::backends::{Job, run_on};
use crate::error::{Context, refuse};
use crate::{
    InspectError, LoadedDetector, Warning, Watcher, WorkKind, cached, prompt_names,
    tell_file_faults, tell_trouble, to_bools,
};

/// What became of an image; a line of JSON for whoever started this process.
#[derive(Debug, Serialize, Deserialize)]
pub struct MeasuredImage {
    /// Its path from the dataset's folder.
    pub image: String,
    /// Why it has no result, if it has none.
    pub unread: Option<String>,
}

/// Hears of every image, and may end the work.
pub type TellImage<'a> = &'a mut dyn FnMut(&MeasuredImage) -> ControlFlow<()>;

/// Measures whatever of the plan is left.
pub(crate) fn run(
    request: &BenchRequest,
    plan: &BenchPlan,
    watch: &mut dyn Watcher,
    tell: TellImage<'_>,
) -> Result<(), InspectError> {
    for dataset in &plan.datasets {
        let DatasetCopy::Found(copy) = &dataset.copy else { continue };
        for (method, task) in plan.methods.iter().zip(&copy.tasks) {
            let Task::Ready(ready) = task else { continue };
            let left = copy.left(ready);
            if !left.is_empty() {
                let piece = Piece { request, dataset, copy, method, ready, left };
                run_on(
                    request.compute(),
                    MeasuringPiece { piece, watch: &mut *watch, tell: &mut *tell },
                )?;
            }
        }
    }
    Ok(())
}

/// A method on a dataset.
struct Piece<'a> {
    request: &'a BenchRequest,
    dataset: &'a PlannedDataset,
    copy: &'a FoundCopy,
    method: &'a PlannedMethod,
    ready: &'a Ready,
    left: Vec<usize>,
}

/// The same with those who hear of it.
struct MeasuringPiece<'a> {
    piece: Piece<'a>,
    watch: &'a mut dyn Watcher,
    tell: TellImage<'a>,
}

impl Job for MeasuringPiece<'_> {
    type Output = ();
    type Error = InspectError;

    fn run<B: Backend>(self, device: B::Device) -> Result<(), InspectError> {
        let Self { piece, watch, tell } = self;
        let Piece { request, dataset, copy, method, .. } = &piece;
        let descriptor = &dataset.descriptor;
        // All of them, though few images may be left: then nothing depends on which.
        let prompts = prompt_names(&copy.samples);
        let (subject, domain) = (method.subject(descriptor), descriptor.domain);
        let (clip, compute) = (&request.clip, request.compute());
        let mut loaded = subject.load::<B>(clip, &prompts, domain, compute, &device, watch)?;
        let preprocessing = loaded.preprocessing.with_mask_rule(descriptor.masks.rule);
        let cache = request.cache.open()?;
        let images = ImageDataset::new(copy.samples.clone(), preprocessing);
        let images = images.checking_masks(descriptor.masks).with_bits(descriptor.bits);
        let images = cached(images, &cache);
        watch.begin(WorkKind::Images, piece.left.len());
        piece.measure(&images, &mut loaded, &device, watch, tell)?;
        watch.end();
        tell_file_faults(&images, watch);
        tell_trouble(&cache, watch);
        Ok(())
    }
}

impl Piece<'_> {
    fn measure<B: Backend>(
        &self,
        images: &ImageDataset,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
        tell: TellImage<'_>,
    ) -> Result<(), InspectError> {
        let mut at = 0;
        while at < self.left.len() {
            // A batch that cannot be read ends the reader; another goes on behind it.
            let order = self.left[at..].to_vec();
            for batch in Batches::<B>::start(images, order, LoaderOptions::new(1), device.clone())?
            {
                if watch.is_cancelled() {
                    return Err(InspectError::cancelled(
                        "interrupted; what was measured is stored",
                    ));
                }
                let index = self.left[at];
                let result = match batch {
                    Ok(batch) => self.detect(batch, index, loaded),
                    Err(error) => Err(error.into()),
                };
                at += 1;
                if tell(&self.store(index, result, watch)?).is_break() {
                    return Err(InspectError::cancelled("nobody reads the output"));
                }
                watch.advance(format!("{}, {}", self.dataset.descriptor.name, self.method.name()));
            }
        }
        Ok(())
    }

    /// What the detector says of the image of a batch of one.
    fn detect<B: Backend>(
        &self,
        batch: Batch<B>,
        index: usize,
        loaded: &mut LoadedDetector<B>,
    ) -> Result<StoredResult, InspectError> {
        let start = Instant::now();
        let prompt = &self.copy.samples[index].prompt;
        let detection = loaded.detector.detect(batch.images, prompt)?;
        let detection = detection.into_iter().next().context("the detector gave no map")?;
        let seconds = start.elapsed().as_secs_f64();
        let mask = batch.has_mask.first().is_some_and(|has| *has).then(|| to_bools(batch.masks));
        let size = detection.map.size;
        let image_score = detection.image_score;
        let map = detection.map.values;
        Ok(StoredResult { width: size, height: size, map, mask, image_score, seconds })
    }

    /// Stores a result, or why there is none: then the dataset goes on without the image.
    fn store(
        &self,
        index: usize,
        result: Result<StoredResult, InspectError>,
        watch: &mut dyn Watcher,
    ) -> Result<MeasuredImage, InspectError> {
        let (sample, results) = (&self.copy.samples[index], &self.ready.results);
        let image = self.copy.path_of(sample);
        let Ok(key) = &self.copy.keys[index] else { refuse!("{image}: has no key") };
        let unread = match result {
            Ok(result) => {
                results.put(key, &result)?;
                None
            }
            Err(error) => {
                let reason = without(&error.one_line(), &self.copy.root);
                results.put_unread(key, &reason)?;
                let dataset = self.dataset.descriptor.name.clone();
                watch.warn(Warning::Unread { dataset, reason: reason.clone() });
                Some(reason)
            }
        };
        Ok(MeasuredImage { image, unread })
    }
}
