//! `predict`: anomaly maps of images, as pictures and as lines of JSON.

mod judged;
mod viewing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anomaly::{Calibration, Domain};
use anyhow::{Context, bail};
use burn::tensor::backend::Backend;
use clap::Args;
use image::RgbImage;
use inspect::backends::{Job, run_on};
use inspect::{DataRequest, Dataset, LoadedDetector, open_adapter, open_model};
use moeclip_data::{Preprocessing, Sample, Split, decode_rgb, images};
use moeclip_eval::pictures::{Overlay, write_map_png, write_npy_f32, write_png};
use moeclip_eval::{MapRange, MapView};
use serde::Serialize;
use whole_file::WholeFile;

use self::judged::{Judged, Legend, colours, legend, note_other_classes};
pub(crate) use self::viewing::ViewingArgs;
use self::viewing::{View, Viewed};
use crate::arguments::{AdapterArgs, CalibrationArgs, ClipArgs};
use crate::cli::{Common, domain_values};
use crate::interrupt;
use crate::progress::{Progress, Terminal};

/// Draw anomaly maps of images.
///
/// Writes for each image a 16-bit map, an overlay at the image's own size with a legend, and a line
/// in predictions.jsonl: path, score, the map's maximum and where it is, milliseconds. With calibrated
/// adapters also the calibrated score, the threshold, and whether the image is anomalous by it. Large
/// images can be looked at in tiles.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask predict photos --class \"metal nut\" --clip clip.safetensors --adapter adapter.safetensors --out maps"
)]
pub(crate) struct PredictArgs {
    /// An image, a folder of images, or a folder in MVTec layout
    #[arg(value_name = "IMAGES")]
    pub(crate) input: PathBuf,
    #[command(flatten)]
    pub(crate) clip: ClipArgs,
    #[command(flatten)]
    pub(crate) adapter: AdapterArgs,
    /// Folder to write to
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// What the images show, as in "metal nut"; told by the folders of an MVTec layout
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Kind of pictures: decides blur and score
    #[arg(long, value_parser = domain_values(), default_value = Domain::default().name())]
    pub(crate) domain: Domain,
    #[command(flatten)]
    pub(crate) calibration: CalibrationArgs,
    /// Colours from LOW to HIGH for every image, instead of the range of the calibration, or of each
    /// image's own without one
    #[arg(long, value_parser = parse_range, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    pub(crate) range: Option<MapRange>,
    /// Write each map as float32 too
    #[arg(long)]
    pub(crate) npy: bool,
    #[command(flatten)]
    pub(crate) viewing: ViewingArgs,
}

/// An image to look at.
struct Target {
    path: PathBuf,
    class: String,
}

/// What is written of one image.
#[derive(Serialize)]
struct Prediction {
    path: String,
    class: String,
    score: f32,
    image_score: f32,
    maximum: f32,
    /// Where the maximum is, in pixels of the image itself.
    maximum_x: u32,
    maximum_y: u32,
    milliseconds: f64,
    /// How many tiles it was looked at in.
    tiles: usize,
    map: String,
    overlay: String,
    #[serde(flatten)]
    judged: Option<Judged>,
}

pub(crate) fn run(args: PredictArgs, common: Common) -> anyhow::Result<()> {
    args.viewing.check()?;
    interrupt::listen()?;
    run_on(common.compute(), PredictJob { args, common: common.clone(), calibration: None })
}

struct PredictJob {
    args: PredictArgs,
    common: Common,
    /// Known once the adapters are open.
    calibration: Option<Calibration>,
}

impl Job for PredictJob {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let args = &self.args;
        let targets = targets(args)?;
        let mut classes: Vec<String> = targets.iter().map(|target| target.class.clone()).collect();
        classes.sort();
        classes.dedup();
        std::fs::create_dir_all(&args.out).with_context(|| {
            format!("{}: cannot be made; check the path and its permissions", args.out.display())
        })?;
        let adapter = open_adapter(
            &args.adapter.adapter,
            &(&args.adapter.assumed).into(),
            &mut Terminal::default(),
        )?;
        let (domain, common) = (args.domain, &self.common);
        let calibration = args.calibration.of(&adapter, &args.clip, domain, common)?;
        let calibration = args.viewing.holding(calibration);
        note_other_classes(calibration.as_ref(), &classes);
        let loaded = open_model::<B>(
            &args.clip.source(),
            &adapter,
            &classes,
            common.compute(),
            &device,
            &mut Terminal::default(),
        )?
        .detector(domain, &device)?;
        Self { calibration, ..self }.predict(&targets, loaded, &device)
    }
}

impl PredictJob {
    fn predict<B: Backend>(
        &self,
        targets: &[Target],
        mut loaded: LoadedDetector<B>,
        device: &B::Device,
    ) -> anyhow::Result<()> {
        let preprocessing = loaded.preprocessing;
        let mut lines = Lines::create(&self.args.out)?;
        // Tiles have a progress of their own.
        let mut progress =
            (!self.args.viewing.is_tiled()).then(|| Progress::new("images", targets.len()));
        let mut tally = Tally::default();
        for target in targets.iter().take_while(|_| !interrupt::asked()) {
            let said = match self.one(target, &preprocessing, &mut loaded, device) {
                Ok(None) => break,
                Ok(Some((prediction, range))) => {
                    tally.add(range, prediction.judged);
                    lines.write(&prediction)?;
                    if self.common.json {
                        crate::output::print_json(&prediction)?;
                    }
                    format!("score {:.3}", prediction.score)
                }
                Err(error) => {
                    tally.failed += 1;
                    eprintln!("error: {}", crate::one_line(&error));
                    "failed".into()
                }
            };
            progress.iter_mut().for_each(|progress| progress.advance(said.clone()));
        }
        progress.iter().for_each(Progress::finish);
        let written = lines.finish()?;
        self.report(&written, &tally);
        tally.verdict(targets.len())
    }

    /// What is said of an image; `None` when it was interrupted.
    fn one<B: Backend>(
        &self,
        target: &Target,
        preprocessing: &Preprocessing,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
    ) -> anyhow::Result<Option<(Prediction, MapRange)>> {
        let start = Instant::now();
        let image = decode_rgb(&target.path)?;
        let (class, calibration) = (target.class.as_str(), self.calibration.as_ref());
        let view = View { image: &image, class, calibration, preprocessing, device };
        let Some(viewed) = self.args.viewing.look(&view, loaded)? else { return Ok(None) };
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        self.write(target, &viewed, &image, milliseconds).map(Some)
    }

    fn write(
        &self,
        target: &Target,
        viewed: &Viewed,
        image: &RgbImage,
        milliseconds: f64,
    ) -> anyhow::Result<(Prediction, MapRange)> {
        let Viewed { map: seen, image_score, score, tiles, judged } = viewed;
        let (width, height) = (seen.width, seen.height);
        let map = MapView::new(width, height, &seen.values)?;
        let range = self.args.range.unwrap_or_else(|| map.range());
        let files = Files::of(&self.args, &target.path)?;
        write_map_png(&files.map, map, range)?;
        let Legend { title, score: shown } = legend(&target.class, *score, judged.as_ref());
        let range = colours(self.args.range, self.calibration.as_ref(), map)?;
        let overlay = Overlay { image, map, range, title: &title, score: shown };
        write_png(&files.overlay, &overlay.draw()?)?;
        if self.args.npy {
            write_npy_f32(&files.npy, &[height, width], &seen.values)?;
        }
        let peak = map.peak();
        let own = |at: usize, side: u32, of: usize| {
            ((at as f64 + 0.5) * f64::from(side) / of as f64) as u32
        };
        let prediction = Prediction {
            path: target.path.display().to_string(),
            class: target.class.clone(),
            score: *score,
            image_score: *image_score,
            maximum: peak.value,
            maximum_x: own(peak.x, image.width(), width),
            maximum_y: own(peak.y, image.height(), height),
            milliseconds,
            tiles: *tiles,
            map: files.map.display().to_string(),
            overlay: files.overlay.display().to_string(),
            judged: *judged,
        };
        Ok((prediction, map.range()))
    }

    fn report(&self, lines: &Path, tally: &Tally) {
        if self.common.json {
            return;
        }
        println!("{}: maps and overlays of {} images", self.args.out.display(), tally.done);
        println!("  {}", lines.display());
        if let Some(calibration) = &self.calibration {
            let (anomalous, threshold) = (tally.anomalous, calibration.image_threshold.value);
            println!("  {anomalous} anomalous, by a calibrated score above {threshold:.4}");
        } else if let Some(range) = tally.range {
            let (low, high) = (range.low(), range.high());
            println!(
                "  maps range from {low:.3} to {high:.3}; --range {low:.3},{high:.3} colours all alike"
            );
        }
    }
}

/// How many images went well, and over what their maps range.
#[derive(Default)]
struct Tally {
    done: usize,
    failed: usize,
    anomalous: usize,
    range: Option<MapRange>,
}

impl Tally {
    fn add(&mut self, range: MapRange, judged: Option<Judged>) {
        self.done += 1;
        self.anomalous += usize::from(judged.is_some_and(|judged| judged.is_anomalous()));
        self.range = Some(self.range.map_or(range, |all| all.union(range)));
    }

    fn verdict(&self, images: usize) -> anyhow::Result<()> {
        let looked_at = self.done + self.failed;
        if looked_at < images {
            bail!("interrupted after {looked_at} of {images} images");
        }
        if self.failed > 0 {
            bail!("{} of {images} images failed; the lines above say why", self.failed);
        }
        Ok(())
    }
}

/// The files of one image, under the same folders as the image itself.
struct Files {
    map: PathBuf,
    overlay: PathBuf,
    npy: PathBuf,
}

impl Files {
    fn of(args: &PredictArgs, image: &Path) -> anyhow::Result<Self> {
        let inside = image.strip_prefix(&args.input).unwrap_or(Path::new(""));
        let name = image.file_name().context("the image has no name")?.to_string_lossy();
        let folder = args.out.join(inside.parent().unwrap_or(Path::new("")));
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("{}: cannot be made", folder.display()))?;
        let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        Ok(Self { map: file("map.png"), overlay: file("overlay.png"), npy: file("map.npy") })
    }
}

/// `predictions.jsonl`, whole or absent.
struct Lines {
    file: WholeFile,
    path: PathBuf,
}

impl Lines {
    fn create(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join("predictions.jsonl");
        let file = WholeFile::create(&path)
            .with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(Self { file, path })
    }

    fn write(&mut self, prediction: &Prediction) -> anyhow::Result<()> {
        writeln!(self.file, "{}", serde_json::to_string(prediction)?)
            .with_context(|| format!("{}: cannot be written", self.path.display()))
    }

    fn finish(self) -> anyhow::Result<PathBuf> {
        let Self { file, path } = self;
        file.commit().with_context(|| format!("{}: cannot be written", path.display()))?;
        Ok(path)
    }
}

/// The images to look at, with what they show.
fn targets(args: &PredictArgs) -> anyhow::Result<Vec<Target>> {
    if let Some(class) = &args.class {
        if class.trim().is_empty() {
            bail!("--class is empty; say what the images show, as in \"metal nut\"");
        }
        let target = |path| Target { path, class: class.clone() };
        return Ok(images(&args.input)?.into_iter().map(target).collect());
    }
    let samples = Dataset::open(&args.input, &DataRequest::default(), &mut Terminal::default())
        .and_then(|dataset| dataset.samples(Split::Test, &mut Terminal::default()))
        .context(
            "no --class NAME says what the images show, and the folder does not tell either",
        )?;
    let target = |sample: Sample| Target { path: sample.image, class: sample.prompt };
    Ok(samples.into_iter().map(target).collect())
}

fn parse_range(text: &str) -> Result<MapRange, String> {
    let usage = || "give two numbers, the lower first, as in 0,40".to_owned();
    let (low, high) = text.split_once(',').ok_or_else(usage)?;
    let number = |part: &str| part.trim().parse::<f32>().map_err(|_| usage());
    MapRange::new(number(low)?, number(high)?).map_err(|error| error.to_string())
}
