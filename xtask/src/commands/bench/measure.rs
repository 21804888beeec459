//! The work itself, in one process: every image that has no result yet goes through its detector, and
//! what is said of it is stored before the next.

use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use inspect::backends::{Job, run_on};
use inspect::{LoadedDetector, cached, tell_trouble, to_bools};
use moeclip_data::{Batch, Batches, ImageDataset, LoaderOptions};
use moeclip_eval::StoredResult;
use serde::{Deserialize, Serialize};

use super::BenchArgs;
use super::plan::{Copy, Method, Plan, PlannedDataset, Ready, Standing, Task, without};
use crate::cli::Common;
use crate::interrupt;
use crate::output::print_json;
use crate::progress::{Progress, Terminal};
use inspect::prompt_names;

/// What became of an image; a line of JSON for whoever started this process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Done {
    /// Its path from the dataset's folder.
    pub(super) image: String,
    /// Why it has no result, if it has none.
    pub(super) unread: Option<String>,
}

/// Measures whatever of the plan is left.
pub(super) fn run(args: &BenchArgs, common: &Common, plan: &Plan) -> anyhow::Result<()> {
    for dataset in &plan.datasets {
        let Standing::Found(copy) = &dataset.copy else { continue };
        for (method, task) in plan.methods.iter().zip(&copy.tasks) {
            let Task::Ready(ready) = task else { continue };
            let left = copy.left(ready);
            if !left.is_empty() {
                let work = Work { args, common, dataset, copy, method, ready, left };
                run_on(common.compute(), work)?;
            }
        }
    }
    Ok(())
}

/// A method on a dataset.
struct Work<'a> {
    args: &'a BenchArgs,
    common: &'a Common,
    dataset: &'a PlannedDataset,
    copy: &'a Copy,
    method: &'a Method,
    ready: &'a Ready,
    left: Vec<usize>,
}

impl Job for Work<'_> {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let descriptor = &self.dataset.descriptor;
        // All of them, though few images may be left: then nothing depends on which.
        let prompts = prompt_names(&self.copy.samples);
        let subject = self.method.subject(descriptor);
        let domain = descriptor.domain;
        let (clip, common) = (&self.args.clip, self.common);
        let mut loaded = subject.load::<B>(
            &clip.source(),
            &prompts,
            domain,
            common.compute(),
            &device,
            &mut Terminal::default(),
        )?;
        let preprocessing = loaded.preprocessing.with_mask_rule(descriptor.masks.rule);
        let cache = self.args.cache.request().open()?;
        let images = ImageDataset::new(self.copy.samples.clone(), preprocessing);
        let images = cached(images, &cache);
        let mut progress = (!common.json).then(|| Progress::new("images", self.left.len()));
        self.measure(&images, &mut loaded, &device, |done| match &mut progress {
            None => print_json(done),
            Some(progress) => {
                progress.advance(format!("{}, {}", descriptor.name, self.method.name()));
                Ok(())
            }
        })?;
        tell_trouble(&cache, &mut Terminal::default());
        Ok(())
    }
}

impl Work<'_> {
    fn measure<B: Backend>(
        &self,
        images: &ImageDataset,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        mut tell: impl FnMut(&Done) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut at = 0;
        while at < self.left.len() {
            // A batch that cannot be read ends the reader; another goes on behind it.
            let order = self.left[at..].to_vec();
            for batch in Batches::<B>::start(images, order, LoaderOptions::new(1), device.clone())?
            {
                if interrupt::asked() {
                    bail!("interrupted; what was measured is stored");
                }
                let index = self.left[at];
                let result = match batch {
                    Ok(batch) => self.detect(batch, index, loaded),
                    Err(error) => Err(error.into()),
                };
                at += 1;
                tell(&self.store(index, result)?)?;
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
    ) -> anyhow::Result<StoredResult> {
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
    fn store(&self, index: usize, result: anyhow::Result<StoredResult>) -> anyhow::Result<Done> {
        let (sample, results) = (&self.copy.samples[index], &self.ready.results);
        let image = self.copy.path_of(sample);
        let Ok(key) = &self.copy.keys[index] else { bail!("{image}: has no key") };
        let unread = match result {
            Ok(result) => {
                results.put(key, &result)?;
                None
            }
            Err(error) => {
                let reason = without(&crate::one_line(&error), &self.copy.root);
                results.put_unread(key, &reason)?;
                eprintln!("warning: {}: {reason}", self.dataset.descriptor.name);
                Some(reason)
            }
        };
        Ok(Done { image, unread })
    }
}
