//! `eval`: what a detector is worth on labelled images.

mod method;

use std::path::PathBuf;
use std::time::Instant;

use anomaly::{Domain, ScoreRule};
use anyhow::{Context, bail};
use burn::tensor::{Tensor, backend::Backend};
use clap::Args;
use inspect::backends::{Job, run_on};
use inspect::{
    Dataset, LoadedDetector, cached, refuse_calibration_data, refuse_training_data, tell_trouble,
};
use moeclip_data::{Batch, Batches, ImageDataset, Label, LoaderOptions, Sample, Split};
use moeclip_eval::MapView;
use moeclip_eval::metrics::{Bootstrap, Workspace};
use moeclip_eval::report::{Evaluation, ImageRecord, Report, SavedMaps};
use serde::Serialize;

pub(crate) use self::method::{MethodArgs, MethodChoice, Subject};
use crate::arguments::{CacheArgs, CalibrationArgs, ClipArgs, DataOptions};
use crate::cli::{Common, domain_values};
use crate::interrupt;
use crate::output::print_json;
use crate::progress::{Progress, Terminal};
use crate::system::peak_memory;
use inspect::prompt_names;

/// Measure trained adapters on a dataset, or CLIP as it is with --method clip.
///
/// Reads a known dataset, a folder in MVTec layout, a list, or a tree of one's own; images that the
/// adapters were trained on are refused.
///
/// Prints image and pixel AUROC, AP and F1-max, calibration error, IoU and AUPRO per class, under the
/// paper's protocol (scores normalised over each class's test images), raw, and as deployed where the
/// adapters carry a calibration. Everything is exact; what is undefined is n/a.
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
    #[arg(long, value_parser = domain_values())]
    pub(crate) domain: Option<Domain>,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArgs,
    #[command(flatten)]
    pub(crate) measuring: MeasuringArgs,
}

/// How images are measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct MeasuringArgs {
    /// Write every map and mask as float32 .npy, and image scores and labels as images.jsonl, into a
    /// new folder
    #[arg(long, value_name = "DIR")]
    pub(crate) save_maps: Option<PathBuf>,
    /// Add 95 % intervals of the image metrics: draw the images, or their groups, so many times anew
    #[arg(long, value_name = "DRAWS")]
    pub(crate) bootstrap: Option<usize>,
    /// Add intervals of the pixel metrics too: 8 bytes a pixel of a class, and time by the draws
    #[arg(long, requires = "bootstrap")]
    pub(crate) bootstrap_pixels: bool,
    /// Decides the draws of --bootstrap
    #[arg(long, default_value_t = 0, value_name = "SEED")]
    pub(crate) bootstrap_seed: u64,
    /// Memory for the pixels of a class; what does not fit goes to temporary files, and no number
    /// changes
    #[arg(long, default_value_t = PIXEL_MEMORY, value_name = "MIB")]
    pub(crate) pixel_memory: usize,
    /// Folder of those files; else the system's
    #[arg(long, value_name = "DIR")]
    pub(crate) pixel_folder: Option<PathBuf>,
}

impl MeasuringArgs {
    fn evaluation(&self, rule: ScoreRule) -> anyhow::Result<Evaluation> {
        let memory = self.pixel_memory.saturating_mul(1 << 20);
        let folder = self.pixel_folder.clone().unwrap_or_else(|| Workspace::default().folder);
        // Half of it each, where pixels are kept for their intervals too.
        let memory = if self.bootstrap_pixels { memory / 2 } else { memory };
        let workspace = Workspace { memory, folder };
        let mut evaluation = Evaluation::new(rule, workspace.clone());
        if let Some(draws) = self.bootstrap {
            let bootstrap = Bootstrap::new(draws, self.bootstrap_seed, INTERVAL_LEVEL);
            let bootstrap = bootstrap.context("--bootstrap")?;
            evaluation = match self.bootstrap_pixels {
                true => evaluation.with_all_intervals(bootstrap, workspace),
                false => evaluation.with_intervals(bootstrap),
            };
        }
        if let Some(folder) = &self.save_maps {
            evaluation = evaluation.saving(SavedMaps::create(folder).context("--save-maps")?);
        }
        Ok(evaluation)
    }
}

impl Default for MeasuringArgs {
    /// What no option asks for.
    fn default() -> Self {
        Self {
            save_maps: None,
            bootstrap: None,
            bootstrap_pixels: false,
            bootstrap_seed: 0,
            pixel_memory: PIXEL_MEMORY,
            pixel_folder: None,
        }
    }
}

/// MiB for the pixels of a class.
pub(crate) const PIXEL_MEMORY: usize = 256;
/// The share of draws that an interval holds.
const INTERVAL_LEVEL: f64 = 0.95;

pub(crate) fn run(args: EvalArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    run_on(common.compute(), EvalJob { args, common: common.clone() })
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
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let args = &self.args;
        let start = Instant::now();
        let opened = Dataset::open(&args.data, &args.options.request(), &mut Terminal::default())?;
        let samples = opened.samples(Split::Test, &mut Terminal::default())?;
        let subject = args.method.open()?;
        let domain = args.domain.unwrap_or(opened.descriptor.domain);
        let mut evaluation = args.measuring.evaluation(subject.score_rule(domain))?;
        if let Subject::Moeclip(adapter) = &subject {
            refuse_training_data(adapter, &opened, &samples, &mut Terminal::default())?;
            if let Some(calibration) =
                args.calibration.of(adapter, &args.clip, domain, &self.common)?
            {
                refuse_calibration_data(adapter, &calibration, &samples, &mut Terminal::default())?;
                evaluation = evaluation.calibrated(calibration)?;
            }
        }
        let images = samples.len();
        let prompts = prompt_names(&samples);
        let mut loaded = subject.load::<B>(&args.clip, &prompts, domain, &self.common, &device)?;
        let preprocessing = loaded.preprocessing.with_mask_rule(opened.descriptor.masks.rule);
        let cache = args.cache.request().open()?;
        let dataset = cached(ImageDataset::new(samples, preprocessing), &cache);
        for_each_image(&dataset, &mut loaded, &device, |sample, record| {
            Ok(evaluation.push(&sample.class, record)?)
        })?;
        tell_trouble(&cache, &mut Terminal::default());
        let reports = evaluation.finish()?;
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

/// Every image through the detector, class by class; `take` is given each with what is true of it.
pub(crate) fn for_each_image<'a, B: Backend>(
    dataset: &'a ImageDataset,
    loaded: &mut LoadedDetector<B>,
    device: &B::Device,
    mut take: impl FnMut(&'a Sample, ImageRecord<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let samples = dataset.samples();
    let mut order: Vec<usize> = (0..samples.len()).collect();
    order.sort_by_key(|&index| &samples[index].class);
    // One image a batch.
    let options = LoaderOptions::new(1);
    let batches = Batches::<B>::start(dataset, order.clone(), options, device.clone())?;
    let mut progress = Progress::new("images", samples.len());
    for (batch, index) in batches.zip(order) {
        if interrupt::asked() {
            bail!("interrupted; nothing was measured");
        }
        let score = detect_image(batch?, &samples[index], loaded, &mut take)?;
        progress.advance(format!("score {score:.3}"));
    }
    progress.finish();
    Ok(())
}

/// The image of a batch of one through the detector; its score.
fn detect_image<'a, B: Backend>(
    batch: Batch<B>,
    sample: &'a Sample,
    loaded: &mut LoadedDetector<B>,
    take: &mut impl FnMut(&'a Sample, ImageRecord<'_>) -> anyhow::Result<()>,
) -> anyhow::Result<f32> {
    let name = sample.image.display().to_string();
    let detection = loaded.detector.detect(batch.images, &sample.prompt);
    let detection = detection.with_context(|| name.clone())?;
    let detection = detection.into_iter().next().context("the detector gave no map")?;
    let size = detection.map.size;
    let mask = batch.has_mask.first().is_some_and(|has| *has).then(|| to_bools(batch.masks));
    let record = ImageRecord {
        name: &name,
        group: sample.group.as_deref(),
        map: MapView::new(size, size, &detection.map.values).with_context(|| name.clone())?,
        mask: mask.as_deref(),
        label: sample.label == Label::Anomalous,
        image_score: detection.image_score,
    };
    take(sample, record)?;
    Ok(detection.score)
}

pub(crate) fn to_bools<B: Backend>(mask: Tensor<B, 4>) -> Vec<bool> {
    mask.into_data().iter::<f32>().map(|value| value != 0.0).collect()
}
