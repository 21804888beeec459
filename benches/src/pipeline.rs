//! Our side of `pipeline.py`: batches of the pictures in a folder, decoded, resized and normalised,
//! as many images per second as two workers make of them.
//!
//! `pipeline FOLDER [PASSES]` prints one line of JSON: images per second of each pass after a first
//! one that is not counted, and the mean of the last batch, which the peer's has to equal.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use burn::backend::Flex;
use moeclip_data::{
    Batch, Batches, ImageDataset, Label, LoaderOptions, Preprocessing, Sample, images,
};

const SIZE: usize = 518;
const LOADER: LoaderOptions = LoaderOptions { batch_size: 8, workers: 2, queue: 1, start_at: 0 };

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: pipeline FOLDER [PASSES]")?);
    let passes: usize = arguments.next().map_or(Ok(3), |passes| passes.parse())?;
    let dataset = dataset(images(&folder)?.images)?;
    let mut last = run(&dataset)?;
    let mut speeds = Vec::with_capacity(passes);
    for _ in 0..passes {
        let start = Instant::now();
        last = run(&dataset)?;
        speeds.push(dataset.samples().len() as f64 / start.elapsed().as_secs_f64());
    }
    let mean = last.context("the folder holds no image")?.images.mean().into_scalar();
    println!("{}", serde_json::json!({ "images_per_second": speeds, "mean": mean }));
    Ok(())
}

fn dataset(files: Vec<PathBuf>) -> Result<ImageDataset> {
    let sample = |file| Sample::new(file, "made", Label::Normal, "good");
    Ok(ImageDataset::new(files.into_iter().map(sample).collect(), Preprocessing::clip(SIZE)?))
}

/// One pass in order; the last batch.
fn run(dataset: &ImageDataset) -> Result<Option<Batch<Flex>>> {
    let order = (0..dataset.samples().len()).collect();
    let mut last = None;
    for batch in Batches::<Flex>::start(dataset, order, LOADER, Default::default())? {
        last = Some(batch?);
    }
    Ok(last)
}
