//! Our side of `speed.py`: the image tower alone, or the whole model from normalised images to maps.
//!
//! `speed encoder|whole PRECISION BATCH RUNS [CHECKPOINT]` prints one line of JSON: seconds an image of
//! each run after a first one that is not counted, the peak resident memory, and the kernels that were
//! used. Without a checkpoint the tower is a tiny one with drawn weights.

use std::path::Path;
use std::time::Instant;

use anomaly::{Detector, Domain};
use anyhow::{Result, bail};
use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor};
use clip_vit::weights::OpenOptions;
use clip_vit::{
    ClipCheckpoint, ClipSpec, ClipSpecBuilder, Precision, RandomWeights, VisionBackbone,
    VisionTower, WeightSource,
};
use moeclip::{Adapters, FrozenClip, MoeClip, MoeClipConfig, MoeClipDetector, PromptSet};
use tile_kernels::Isa;

/// What is asked for.
struct Order {
    part: String,
    precision: Precision,
    batch: usize,
    runs: usize,
    /// Side of the images, in pixels.
    size: usize,
}

/// Of a real tower's images, and of a tiny one's.
const SIZE: usize = 518;
const TINY: usize = 42;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [part, precision, batch, runs, checkpoint @ ..] = arguments.as_slice() else {
        bail!("usage: speed encoder|whole f32|bf16|f16 BATCH RUNS [CHECKPOINT]");
    };
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        "f16" => Precision::F16,
        other => bail!("there is no precision {other}; take f32, bf16 or f16"),
    };
    let size = if checkpoint.is_empty() { TINY } else { SIZE };
    let (batch, runs) = (batch.parse()?, runs.parse()?);
    let order = Order { part: part.clone(), precision, batch, runs, size };
    let seconds = match checkpoint.first() {
        Some(path) => {
            let clip = ClipCheckpoint::open(Path::new(path), &OpenOptions::default())?;
            measure(&order, clip.spec(), &clip)?
        }
        None => {
            let clip = ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build()?;
            measure(&order, &clip, &RandomWeights::new(1))?
        }
    };
    let said = serde_json::json!({
        "seconds": seconds,
        "peak_bytes": peak_bytes(),
        "kernels": Isa::chosen()?.name(),
    });
    println!("{said}");
    Ok(())
}

fn measure(order: &Order, clip: &ClipSpec, source: &dyn WeightSource) -> Result<Vec<f64>> {
    match order.part.as_str() {
        "encoder" => encoder(order, clip, source),
        "whole" => whole(order, clip, source),
        other => bail!("there is no part {other}; take encoder or whole"),
    }
}

fn encoder(order: &Order, clip: &ClipSpec, source: &dyn WeightSource) -> Result<Vec<f64>> {
    let device = Default::default();
    let tower = VisionTower::<Flex>::load(clip, source, order.precision, &device)?;
    let images = images(order.batch, order.size);
    timed(order, || {
        let tokens = tower.layers(0..clip.vision.layers, tower.embed(images.clone()));
        tokens.into_data();
        Ok(())
    })
}

fn whole(order: &Order, clip: &ClipSpec, source: &dyn WeightSource) -> Result<Vec<f64>> {
    let device = Default::default();
    let config = MoeClipConfig { image_size: order.size, ..MoeClipConfig::for_clip(clip) };
    let prompts = PromptSet::default();
    let FrozenClip { tower, book } =
        FrozenClip::<Flex>::load(clip, source, &prompts, ["nut"], order.precision, &device)?;
    let adapters = Adapters::init(&config, clip, 3, &device)?;
    let images = images(order.batch, config.image_size);
    let model = MoeClip::new(tower, adapters, config, &device)?;
    let mut detector = MoeClipDetector::new(model, book, Domain::Industrial, &device);
    timed(order, || {
        detector.detect(images.clone(), "nut")?;
        Ok(())
    })
}

fn images(batch: usize, size: usize) -> Tensor<Flex, 4> {
    Tensor::random([batch, 3, size, size], Distribution::Default, &Default::default())
}

/// Seconds an image of each run.
fn timed(order: &Order, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    run()?;
    let mut seconds = Vec::with_capacity(order.runs);
    for _ in 0..order.runs {
        let start = Instant::now();
        run()?;
        seconds.push(start.elapsed().as_secs_f64() / order.batch as f64);
    }
    Ok(seconds)
}

/// The most memory that was resident, where the system says it.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes << 10)
}
