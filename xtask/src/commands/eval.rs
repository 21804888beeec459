//! `eval`: what a detector is worth on labelled images.

mod method;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use burn::tensor::{Tensor, backend::Backend};
use clap::Args;
use moeclip_data::{Batches, ImageDataset, LoaderOptions, Preprocessing, Sample, Split};
use moeclip_eval::MapView;
use moeclip_eval::report::{ClassScores, ImageRecord, Protocol, Report};
use serde::Serialize;

pub(crate) use self::method::MethodArgs;
use self::method::Subject;
use crate::backends::{Job, run_on};
use crate::cli::{Common, DomainChoice};
use crate::commands::train::prompt_names;
use crate::data::{CacheArgs, DataOptions, Dataset, cached, refuse_training_data, tell_trouble};
use crate::interrupt;
use crate::model::{ClipArgs, LoadedDetector};
use crate::output::print_json;
use crate::progress::Progress;
use crate::system::peak_memory;

/// Measure trained adapters on a dataset, or CLIP as it is with --method clip.
///
/// Reads a known dataset, a folder in MVTec layout, a list, or a tree of one's own; images that the
/// adapters were trained on are refused.
///
/// Prints image and pixel AUROC, AP, F1-max and AUPRO per class, under the paper's protocol (scores
/// normalised over each class's test images) and raw. What is undefined is n/a.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask eval --data mvtec --clip clip.safetensors --adapter adapter.safetensors"
)]
pub(crate) struct EvalArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    #[command(flatten)]
    pub(crate) method: MethodArgs,
    /// A known dataset's name, or a folder, list or description
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) options: DataOptions,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Kind of pictures, which decides blur and score; else as the dataset is described, or
    /// industrial
    #[arg(long, value_enum)]
    pub(crate) domain: Option<DomainChoice>,
}

pub(crate) fn run(args: EvalArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    run_on(&common, EvalJob { args, common: common.clone() })
}

struct EvalJob {
    args: EvalArgs,
    common: Common,
}

#[derive(Serialize)]
struct Evaluated<'a> {
    data: String,
    images: usize,
    seconds: f64,
    peak_bytes: Option<u64>,
    reports: &'a [Report],
}

impl Job for EvalJob {
    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let args = &self.args;
        let start = Instant::now();
        let opened = Dataset::open(&args.data, &args.options)?;
        let samples = opened.samples(Split::Test)?;
        let subject = args.method.open()?;
        if let Subject::Moeclip(adapter) = &subject {
            refuse_training_data(adapter, &opened, &samples)?;
        }
        let images = samples.len();
        let (classes, prompts) = (class_names(&samples), prompt_names(&samples));
        let domain = args.domain.unwrap_or(opened.descriptor.domain.into()).into();
        let mut loaded = subject.load::<B>(&args.clip, &prompts, domain, &self.common, &device)?;
        let preprocessing = Preprocessing::clip(loaded.image_size)?;
        let preprocessing = preprocessing.with_mask_rule(opened.descriptor.masks.rule);
        let cache = args.cache.open()?;
        let dataset = cached(ImageDataset::new(samples, preprocessing), &cache);
        let scores = score(&dataset, &classes, &mut loaded, &device)?;
        tell_trouble(&cache);
        let reports = [Protocol::Paper, Protocol::Raw].map(|protocol| {
            let results =
                scores.iter().map(|class| class.finish(subject.score_rule(domain), protocol));
            Report::new(protocol, results.collect())
        });
        let evaluated = Evaluated {
            data: args.data.display().to_string(),
            images,
            seconds: start.elapsed().as_secs_f64(),
            peak_bytes: peak_memory(),
            reports: &reports,
        };
        if self.common.json {
            return print_json(&evaluated);
        }
        println!("{}: {images} images in {:.0} s", evaluated.data, evaluated.seconds);
        reports.iter().for_each(|report| println!("\n{report}"));
        Ok(())
    }
}

/// Every image through the detector, class by class.
fn score<B: Backend>(
    dataset: &ImageDataset,
    classes: &[String],
    loaded: &mut LoadedDetector<B>,
    device: &B::Device,
) -> anyhow::Result<Vec<ClassScores>> {
    let mut scores: Vec<ClassScores> = classes.iter().map(ClassScores::new).collect();
    let order = (0..dataset.samples().len()).collect();
    let batches = Batches::<B>::start(dataset, order, LoaderOptions::new(1), device.clone())?;
    let mut progress = Progress::new("images", dataset.samples().len());
    for batch in batches {
        if interrupt::asked() {
            bail!("interrupted; nothing was measured");
        }
        let batch = batch?;
        // One image a batch, so its class, mask and label are the first and only ones.
        let class = batch.classes.first().context("a batch has no image")?;
        let prompt = batch.prompts.first().context("a batch has no image")?;
        let detection = loaded.detector.detect(batch.images, prompt)?;
        let detection = detection.into_iter().next().context("the detector gave no map")?;
        let size = detection.map.size;
        let mask = batch.has_mask.first().is_some_and(|has| *has).then(|| to_bools(batch.masks));
        let record = ImageRecord {
            map: MapView::new(size, size, &detection.map.values)?,
            mask: mask.as_deref(),
            label: batch.labels.into_data().iter::<i64>().any(|label| label == 1),
            image_score: detection.image_score,
        };
        let at = classes.iter().position(|name| name == class);
        scores[at.with_context(|| format!("class {class:?} is not among the folders"))?]
            .push(record)?;
        progress.advance(format!("score {:.3}", detection.score));
    }
    progress.finish();
    Ok(scores)
}

/// The classes that are scored, each once.
fn class_names(samples: &[Sample]) -> Vec<String> {
    let names: BTreeSet<&String> = samples.iter().map(|sample| &sample.class).collect();
    names.into_iter().cloned().collect()
}

fn to_bools<B: Backend>(mask: Tensor<B, 4>) -> Vec<bool> {
    mask.into_data().iter::<f32>().map(|value| value != 0.0).collect()
}
