//! `predict`: anomaly maps of images, as pictures and as lines of JSON.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anomaly::{Domain, Tiling};
use anyhow::bail;
use clap::{Args, ValueEnum};
use inspect::{MapSize, PredictOutput, PredictRequest, Predicted, Viewing};
use moeclip_eval::MapRange;

use crate::arguments::{CalibrationArgs, ClipArgs, DepthArgs, MethodArgs};
use crate::cli::{Common, domains};
use crate::interrupt;
use crate::output::{Terminal, print_json};

/// Draw anomaly maps of images.
///
/// Writes for each image a 16-bit map, an overlay at the image's own size with a legend, and a line
/// in predictions.jsonl: path, score, the map's maximum and where it is, milliseconds. With calibrated
/// adapters also the calibrated score, the threshold, and whether the image is anomalous by it. Large
/// images can be looked at in tiles.
///
/// A line is written as soon as it is known. Maps lie below --out as the images do. A run replaces the
/// list of an earlier one and removes what that names; it writes over nothing else.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Example: cargo xtask predict photos --class \"metal nut\" --clip clip.safetensors --adapter adapter.safetensors --out maps"
)]
pub(crate) struct PredictArgs {
    /// An image, a folder of images, or a folder in MVTec layout; maps that were written into it are
    /// passed over
    #[arg(value_name = "IMAGES")]
    input: PathBuf,
    #[command(flatten)]
    clip: ClipArgs,
    #[command(flatten)]
    method: MethodArgs,
    /// Folder to write to, of one run at a time; may lie below the images
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// What the images show, as in "metal nut"; told by the folders of an MVTec layout
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Kind of pictures: decides blur and score
    #[arg(long, value_parser = domains(), default_value = Domain::default().name())]
    domain: Domain,
    #[command(flatten)]
    calibration: CalibrationArgs,
    /// Colours from LOW to HIGH for every image, instead of the range of the calibration, or of each
    /// image's own without one
    #[arg(long, value_parser = parse_range, value_name = "LOW,HIGH", allow_hyphen_values = true)]
    range: Option<MapRange>,
    /// Write each map as float32 too
    #[arg(long)]
    npy: bool,
    #[command(flatten)]
    viewing: ViewingArgs,
}

/// How images are looked at.
#[derive(Debug, Clone, Args)]
struct ViewingArgs {
    /// Size of the maps that are written: the model's, or the image's own; with --tile the image's
    #[arg(long, value_enum, value_name = "SIZE")]
    map_size: Option<MapSizeChoice>,
    /// Cut images into overlapping tiles of so many of their pixels a side, for defects that are small
    /// beside a large image; an image no larger is looked at as a whole
    #[arg(long, value_name = "PIXELS")]
    tile: Option<usize>,
    /// Share of its side that a tile has in common with its neighbour, at least; 0 to 0.75
    #[arg(long, value_name = "SHARE", default_value_t = 0.25, requires = "tile")]
    tile_overlap: f64,
    /// Tiles that are looked at together; more take more memory
    #[arg(long, value_name = "TILES", default_value_t = 4, requires = "tile")]
    tile_batch: usize,
    #[command(flatten)]
    depth: DepthArgs,
}

/// Sizes of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum MapSizeChoice {
    /// As they are scored
    Model,
    /// As large as the image
    Image,
}

impl ViewingArgs {
    fn viewing(&self) -> Viewing {
        let map_size = self.map_size.map(|size| match size {
            MapSizeChoice::Model => MapSize::Model,
            MapSizeChoice::Image => MapSize::Image,
        });
        let tiling = self.tile.map(|side| Tiling { side, overlap: self.tile_overlap });
        Viewing { map_size, tiling, tile_batch: self.tile_batch, bits: self.depth.bits }
    }
}

pub(crate) fn run(args: PredictArgs, common: Common) -> anyhow::Result<()> {
    let output = PredictOutput {
        out: args.out,
        input: args.input.clone(),
        range: args.range,
        npy: args.npy,
        viewing: args.viewing.viewing(),
    };
    let (method, files) = (args.method.method, args.method.files());
    let compute = common.viewing(args.calibration.precision(method, &files)?)?;
    let request = PredictRequest {
        input: args.input,
        clip: args.clip.source(),
        method,
        files,
        class: args.class,
        domain: args.domain,
        uncalibrated: args.calibration.uncalibrated,
        output,
        compute,
    };
    run_request(&request, &common)
}

/// Looks at the images, and says what was seen.
pub(crate) fn run_request(request: &PredictRequest, common: &Common) -> anyhow::Result<()> {
    request.output.viewing.check()?;
    interrupt::listen()?;
    let mut unread = None;
    let predicted = request.run(&mut Terminal::default(), &mut |prediction| {
        match prediction {
            Ok(prediction) if common.json => unread = print_json(prediction).err(),
            Ok(_) => {}
            Err(error) => eprintln!("error: {}", error.one_line()),
        }
        if unread.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    unread.map_or(Ok(()), Err)?;
    if !common.json {
        report(request, &predicted);
    }
    verdict(&predicted)
}

fn report(request: &PredictRequest, predicted: &Predicted) {
    let out = request.output.out.display();
    println!("{out}: maps and overlays of {} images", predicted.done);
    println!("  {}", predicted.lines.display());
    if let Some(calibration) = &predicted.calibration {
        let (anomalous, threshold) = (predicted.anomalous, calibration.image_threshold.value);
        println!("  {anomalous} anomalous, by a calibrated score above {threshold:.4}");
    } else if let Some(range) = predicted.range {
        let (low, high) = (range.low(), range.high());
        println!(
            "  maps range from {low:.3} to {high:.3}; --range {low:.3},{high:.3} colours all alike"
        );
    }
}

fn verdict(predicted: &Predicted) -> anyhow::Result<()> {
    let Predicted { images, done, failed, .. } = predicted;
    let looked_at = done + failed;
    if looked_at < *images {
        bail!("interrupted after {looked_at} of {images} images");
    }
    if *failed > 0 {
        bail!("{failed} of {images} images failed; the lines above say why");
    }
    Ok(())
}

fn parse_range(text: &str) -> Result<MapRange, String> {
    let usage = || "give two numbers, the lower first, as in 0,40".to_owned();
    let (low, high) = text.split_once(',').ok_or_else(usage)?;
    let number = |part: &str| part.trim().parse::<f32>().map_err(|_| usage());
    MapRange::new(number(low)?, number(high)?).map_err(|error| error.to_string())
}
