//! `calibrate`: what a detector's numbers mean on normal images, stored with its adapters.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anomaly::{Calibration, CalibrationImages, Domain};
use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use clap::{Args, ValueEnum};
use inspect::backends::{Job, run_on};
use inspect::{
    Dataset, cached, conditions, described, fingerprint, open_adapter, open_model, tell_trouble,
};
use moeclip::AdapterFile;
use moeclip_data::{ImageDataset, Label, Sample, Split};
use moeclip_eval::metrics::Workspace;
use moeclip_eval::{CalibrationTargets, Calibrator};
use serde::Serialize;

use crate::arguments::{AdapterArgs, CacheArgs, ClipArgs, DataOptions};
use crate::cli::{Common, domain_values};
use crate::commands::eval::for_each_image;
use crate::commands::train::refuse_unwritable;
use crate::interrupt;
use crate::output::print_json;
use crate::progress::Terminal;
use inspect::prompt_names;

/// Measure on normal images what a detector's scores mean, and store it with the adapters.
///
/// Stored are the ranges of the maps and of the image head, a threshold of the image score for a rate
/// of false alarms with its intervals, and a threshold of the map's values. `predict` then says normal
/// or anomalous, and `eval` has the protocol `deployed`. Nothing else in the file of adapters changes.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask calibrate --data photos-of-good-parts --class \"metal nut\" --clip clip.safetensors --adapter adapter.safetensors\n         cargo xtask calibrate --data visa --split train --fpr 0.05 --clip clip.safetensors --adapter adapter.safetensors"
)]
pub(crate) struct CalibrateArgs {
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,
    /// A folder of normal images (with --class), or a known dataset's name, a list or description, of
    /// which the normal images are taken
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) data: PathBuf,
    #[command(flatten)]
    pub(crate) options: DataOptions,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    /// Which normal images of a dataset; train by default, and all of a folder of one's own
    #[arg(long, value_enum)]
    pub(crate) split: Option<SplitChoice>,
    /// Kind of pictures, which decides blur and score; else as the dataset is described, or
    /// industrial
    #[arg(long, value_parser = domain_values())]
    pub(crate) domain: Option<Domain>,
    /// Share of normal images that may be called anomalous; 0.01 takes 99 images or more
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub(crate) fpr: f64,
    /// Share of a normal image's pixels that may be called anomalous
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub(crate) pixel_fpr: f64,
    /// Write the calibrated adapters to this file and leave the others as they are
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Splits that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitChoice {
    /// Normal images that no benchmark measures on
    Train,
    /// The normal ones of those that benchmarks measure on
    Test,
}

/// The confidence of intervals.
const LEVEL: f64 = 0.95;

pub(crate) fn run(args: CalibrateArgs, common: Common) -> anyhow::Result<()> {
    interrupt::listen()?;
    run_on(common.compute(), CalibrateJob { args, common: common.clone() })
}

struct CalibrateJob {
    args: CalibrateArgs,
    common: Common,
}

/// The images that are calibrated on.
struct NormalImages {
    dataset: Dataset,
    samples: Vec<Sample>,
    split: Split,
}

#[derive(Serialize)]
struct Calibrated<'a> {
    file: String,
    seconds: f64,
    calibration: &'a Calibration,
}

impl Job for CalibrateJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let (args, start) = (&self.args, Instant::now());
        let targets = CalibrationTargets::new(args.fpr, args.pixel_fpr, LEVEL)
            .context("--fpr and --pixel-fpr")?;
        let adapter = open_adapter(
            &args.adapter.adapter,
            &(&args.adapter.assumed).into(),
            &mut Terminal::default(),
        )?;
        adapter.require_place_for_calibration()?;
        let out = args.out.as_deref().unwrap_or(adapter.path());
        refuse_unwritable(out)?;
        let normal = args.normal_images()?;
        targets.require(normal.samples.len()).with_context(|| args.data.display().to_string())?;
        let calibrator = Calibrator::new(targets, Workspace::default());
        let calibration = self.measure::<B>(&adapter, normal, calibrator, &device)?;
        adapter.write_calibrated(out, &calibration)?;
        let seconds = start.elapsed().as_secs_f64();
        self.report(out, seconds, &calibration)
    }
}

impl CalibrateJob {
    /// Every image through the detector.
    fn measure<B: Backend>(
        &self,
        adapter: &AdapterFile,
        normal: NormalImages,
        mut calibrator: Calibrator,
        device: &B::Device,
    ) -> anyhow::Result<Calibration> {
        let (args, common) = (&self.args, &self.common);
        let described = normal.dataset.descriptor.domain;
        let domain = args.domain.unwrap_or(described);
        let classes = prompt_names(&normal.samples);
        let images = normal.described(adapter, classes.clone())?;
        let conditions =
            conditions(adapter, &args.clip.source(), domain, common.compute().precision)?;
        let mut loaded = open_model::<B>(
            &args.clip.source(),
            adapter,
            &classes,
            common.compute(),
            device,
            &mut Terminal::default(),
        )?
        .detector(domain, device)?;
        let cache = args.cache.request().open()?;
        let dataset = cached(ImageDataset::new(normal.samples, loaded.preprocessing), &cache);
        for_each_image(&dataset, &mut loaded, device, |sample, record| {
            let taken = calibrator.push(record.map, record.image_score);
            taken.with_context(|| sample.image.display().to_string())
        })?;
        tell_trouble(&cache, &mut Terminal::default());
        let calibration = calibrator.finish(images, conditions);
        calibration.with_context(|| args.data.display().to_string())
    }

    fn report(&self, out: &Path, seconds: f64, calibration: &Calibration) -> anyhow::Result<()> {
        let file = out.display().to_string();
        if self.common.json {
            return print_json(&Calibrated { file, seconds, calibration });
        }
        println!("{file}: calibrated in {seconds:.0} s");
        for (name, said) in described(calibration) {
            println!("  {name:18} {said}");
        }
        if calibration.image_threshold.high.is_none() {
            println!("  more images would bound the threshold from above too");
        }
        Ok(())
    }
}

impl CalibrateArgs {
    /// The normal images of what was named; says on stderr how many anomalous ones are left out.
    fn normal_images(&self) -> anyhow::Result<NormalImages> {
        let mut options = self.options.clone();
        let is_own_folder = options.class.is_some() && options.anomalous.is_empty();
        if is_own_folder && options.normal.is_empty() {
            options.normal.push(PathBuf::from("."));
        }
        let split = match self.split {
            Some(SplitChoice::Test) => Split::Test,
            Some(SplitChoice::Train) => Split::Train,
            None if options.normal.is_empty() => Split::Train,
            None => Split::Test,
        };
        let found = Dataset::open(&self.data, &options.request(), &mut Terminal::default())
            .and_then(|dataset| {
                let samples = dataset.samples(split, &mut Terminal::default())?;
                Ok((dataset, samples))
            });
        let (dataset, all) = found.with_context(|| match options.normal.is_empty() {
            true => "give --class NAME for a folder of normal images, or another --split",
            false => "no normal images",
        })?;
        let count = all.len();
        let is_normal = |sample: &Sample| sample.label == Label::Normal;
        let samples: Vec<Sample> = all.into_iter().filter(is_normal).collect();
        if samples.is_empty() {
            let (data, split) = (self.data.display(), split.name());
            bail!(
                "{data}: all {count} images of the split {split} are anomalous; give normal images"
            );
        }
        if samples.len() < count {
            eprintln!("note: {} anomalous images are left out", count - samples.len());
        }
        Ok(NormalImages { dataset, samples, split })
    }
}

impl NormalImages {
    /// What the calibration remembers of them. Says on stderr what its intervals do not know.
    fn described(
        &self,
        adapter: &AdapterFile,
        classes: Vec<String>,
    ) -> anyhow::Result<CalibrationImages> {
        let data = fingerprint(&self.dataset, &self.samples, &mut Terminal::default())?.data;
        let trained = adapter.provenance().and_then(|from| from.data.as_ref());
        let is_trained = |image: &&String| {
            trained.is_some_and(|trained| trained.images.binary_search(image).is_ok())
        };
        let trained_on = data.images.iter().filter(is_trained).count();
        if trained_on > 0 {
            eprintln!(
                "note: the adapters were trained on {trained_on} of these images; on others more \
                 may lie above the thresholds"
            );
        }
        if self.samples.iter().any(|sample| sample.group.is_some()) {
            eprintln!(
                "note: these images come in groups, such as patients; the intervals take them as \
                 independent and are too narrow"
            );
        }
        let split = self.split.name().to_owned();
        Ok(CalibrationImages { data, split, classes, trained_on })
    }
}
